//! `supervisor run`: the loop that joins sources, core and effects. It translates and decides nothing.
//!
//! ```text
//!   lock -> bind -> Start -> [ wait -> Stir -> Event -> core -> Effect -> done -> Event ... ] -> Exit
//! ```

use std::collections::VecDeque;
use std::io;
use std::path::{PathBuf, absolute};
use std::time::{Duration, Instant};

use monoceros_shared::config::{self, Config};
use monoceros_shared::exit;
use nix::unistd::geteuid;
use slog::{Logger, error, info, warn};

use crate::certify::Shown;
use crate::control::words::{Reply, Request};
use crate::control::{Control, Found};
use crate::core::plan::{Manner, Plan};
use crate::core::status::Outcome;
use crate::core::{Answer, Asker, Cause, Core, Effect, Event, Now, Scale, Stop, Wish};
use crate::effects::{Means, Workers, now_ms};
use crate::journal;
use crate::listen::Sockets;
use crate::sources::{Sources, Stir};
use crate::spawn::{Program, keep_strangers_from_workers, raise_descriptor_limit};
use crate::status::{Report, Work};
use crate::watch::Watch;

/// How often is looked at what workers have used up, where a limit is set. More often costs the kernel a walk through their
/// page tables each time; less often, and a leak grows further beyond its limit.
const OBSERVATION: Duration = Duration::from_secs(5);

/// Serves until it is asked to stop; the exit status. `file` is as the user named it, and is read again at each reload.
pub fn run(config: &Config, file: Option<PathBuf>, manner: Manner, log: &Logger) -> i32 {
    let server = start(config, file, manner, log);
    let ended = server.and_then(|server| server.serve().map_err(|error| format!("cannot wait for events: {error}")));
    ended.unwrap_or_else(|why| {
        error!(log, "stopped"; "why" => why);
        exit::FAILED
    })
}

fn start<'a>(config: &Config, file: Option<PathBuf>, manner: Manner, log: &'a Logger) -> Result<Server<'a>, String> {
    info!(log, "starting";
        "version" => env!("CARGO_PKG_VERSION"),
        "config" => config.file.as_ref().map_or_else(|| "command line".into(), |file| file.display().to_string()));
    if geteuid().is_root() && config.apps.iter().any(|app| app.run_as.is_none()) {
        warn!(log, "applications run as root: set `user` to run them as somebody else");
    }
    if let Err(error) = raise_descriptor_limit() {
        warn!(log, "open files stay limited as they are"; "why" => error.to_string());
    }
    if let Err(error) = keep_strangers_from_workers() {
        warn!(log, "workers inherit what was left open for the supervisor"; "why" => error.to_string());
    }
    let program = Program::find()?;
    let sources = Sources::new().map_err(|error| format!("cannot take over signals: {error}"))?;
    let watch = sources.watch().map_err(|error| format!("cannot watch processes: {error}"))?;
    let plan = Plan::of(config, manner);
    let file = file.map(absolute).transpose().map_err(|error| format!("cannot find the config's folder: {error}"))?;
    let registry = sources.registry().map_err(|error| format!("cannot watch the control socket: {error}"))?;
    let found = Found { file: file.as_deref(), control: config.control.as_deref() };
    let control = Control::open(found, registry, log)?;
    let mut watch_files = Watch::new(sources.wake(), log);
    watch_files.aim(file.as_deref().filter(|_| config.watch), &config.apps);
    let mut listeners = Sockets::default();
    listeners.bind(&plan.listeners().into_values().collect::<Vec<_>>())?;
    let means = Means { program, post: sources.post(), watch };
    Ok(Server {
        log,
        core: Core::new(plan.clone(), u64::from(std::process::id())),
        source: Source { file, plan, pending: None, shown: Shown::of(config) },
        sources,
        control,
        watch: watch_files,
        workers: Workers::new(means),
        listeners,
        began: Instant::now(),
        observed: Instant::now(),
        settled: None,
    })
}

struct Server<'a> {
    log: &'a Logger,
    core: Core,
    source: Source,
    sources: Sources,
    control: Control,
    watch: Watch,
    workers: Workers,
    listeners: Sockets,
    began: Instant,
    /// When it was looked last at what workers have used up.
    observed: Instant,
    /// When the last reload was decided whose consequences have been drawn.
    settled: Option<Now>,
}

impl Server<'_> {
    fn serve(mut self) -> io::Result<i32> {
        let mut status = self.happen(vec![Event::Start]);
        while status.is_none() {
            let stirs = self.sources.wait(self.patience())?;
            let mut events = Vec::new();
            for stir in stirs {
                match stir {
                    Stir::Signal(event) => events.push(event),
                    Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                    Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                    Stir::Control(ready) => {
                        let asked = self.control.hear(ready);
                        events.extend(asked.into_iter().filter_map(|asked| self.asked(Some(asked))));
                    }
                }
            }
            self.workers.take_loaded().into_iter().for_each(|loaded| self.watch.loaded(&loaded.app, loaded.files));
            let changes = self.watch.take(Instant::now()).into_iter();
            events.extend(changes.map(|wish| Event::Wanted { wish, asker: None }));
            events.extend(self.workers.farewells());
            if self.observation().is_some_and(|at| at <= Instant::now()) {
                self.observed = Instant::now();
                events.extend(self.workers.observe());
            }
            events.push(Event::Tick);
            status = self.happen(events);
            self.settle();
        }
        Ok(status.unwrap_or(exit::DONE))
    }

    /// How long there is nothing to do, if nothing stirs.
    fn patience(&self) -> Option<Duration> {
        let core = self.core.deadline().map(|at| at.saturating_sub(self.began.elapsed()));
        let shell = self.workers.deadline().into_iter().chain(self.observation()).chain(self.watch.deadline());
        core.into_iter().chain(shell.map(|at| at.saturating_duration_since(Instant::now()))).min()
    }

    /// When it is looked next at what workers have used up, if anybody wants to know.
    fn observation(&self) -> Option<Instant> {
        self.workers.are_measured().then(|| self.observed + OBSERVATION)
    }

    /// What a request is to the core. Who only wants to know how things are is answered here.
    fn asked(&mut self, mut asked: Option<(Asker, Request)>) -> Option<Event> {
        while let Some((asker, request)) = asked {
            let wish = match request {
                Request::Status => {
                    let report = Reply::Status(Box::new(self.report()));
                    asked = self.control.answer(asker, &report);
                    continue;
                }
                Request::Reload => Wish::Reload { cause: Cause::Command },
                Request::Scale { app, workers } => Wish::Scale { app, to: Scale::To(workers) },
                Request::Stop => Wish::Stop(Stop::Graceful),
            };
            return Some(Event::Wanted { wish, asker: Some(asker) });
        }
        None
    }

    fn report(&self) -> Report {
        let now_ms = now_ms();
        let work = |worker| self.workers.scoreboard(worker).map(|scoreboard| Work::of(scoreboard, now_ms));
        let config = self.source.file.as_ref().map(|file| file.display().to_string());
        Report::new(self.core.status(self.began.elapsed()), config, work)
    }

    /// What follows from a reload that has been decided: files are watched as the new config says, or who works on the
    /// application is shown why there is none.
    fn settle(&mut self) {
        let Some(last) = self.core.last_reload().filter(|last| self.settled.is_none_or(|settled| settled < last.at))
        else {
            return;
        };
        self.settled = Some(last.at);
        let pending = self.source.pending.take();
        match (last.outcome, pending) {
            (Outcome::Adopted, Some(config)) => {
                let file = self.source.file.as_deref().filter(|_| config.watch);
                self.source.shown = Shown::of(&config);
                self.watch.aim(file, &config.apps);
            }
            (Outcome::Abandoned, _) if self.source.plan.manner == Manner::Development => {
                self.workers.notice(&format!("{}\n\n{}", last.why, last.detail));
            }
            (Outcome::Adopted, None) | (Outcome::Abandoned, _) => {}
        }
    }

    /// Tells the core what happened, does what it answers, and tells it what came of that; the exit status if it ends.
    fn happen(&mut self, events: Vec<Event>) -> Option<i32> {
        let mut events = VecDeque::from(events);
        let mut status = None;
        while let Some(event) = events.pop_front() {
            for effect in self.core.handle(self.began.elapsed(), event) {
                if let Effect::Exit(ended) = effect {
                    status = Some(ended);
                }
                events.extend(self.perform(effect));
            }
            if status.is_some() {
                break;
            }
        }
        status
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Spawn(recruit) => {
                let listeners = self.listeners.of(&recruit.app.app);
                return Some(self.workers.spawn(&recruit, &listeners));
            }
            Effect::Say { worker, word } => return self.workers.say(worker, word),
            Effect::Introduce { from, to } => {
                if let Err(why) = self.workers.introduce(from, to) {
                    warn!(self.log, "connections are not handed over"; "why" => why);
                }
            }
            Effect::Certify { worker, app } => {
                if let Err(why) = self.workers.certify(worker, &app.app) {
                    warn!(self.log, "a worker keeps its certificates"; "worker" => worker, "why" => why);
                }
            }
            Effect::Terminate { worker } => self.workers.terminate(worker),
            Effect::Kill { worker } => self.workers.kill(worker),
            Effect::ReadConfig => return Some(Event::ConfigRead(self.source.read(self.log))),
            Effect::Bind { listeners } => {
                return Some(match self.listeners.bind(&listeners) {
                    Ok(()) => Event::Bound,
                    Err(why) => Event::NotBound { why },
                });
            }
            Effect::Adjust { listeners } => {
                for why in self.listeners.adjust(&listeners) {
                    warn!(self.log, "a listener stays as it was"; "why" => why);
                }
            }
            Effect::Unbind { addresses } => self.listeners.close(&addresses),
            Effect::CloseListeners => self.listeners.close_all(),
            Effect::Log(line) => journal::write(self.log, &line),
            Effect::Answer { asker, answer } => {
                let reply = match answer {
                    Answer::Done(text) => Reply::Done { text },
                    Answer::Failed { why, detail } => Reply::Failed { why, detail },
                };
                let next = self.control.answer(asker, &reply);
                return self.asked(next);
            }
            Effect::Exit(_) => {}
        }
        None
    }
}

/// Where plans come from.
struct Source {
    /// The file; absolute, with the links in it that the user named.
    file: Option<PathBuf>,
    /// What was read at the start: the command line does not change.
    plan: Plan,
    /// What was read for a reload that is not decided yet.
    pending: Option<Config>,
    /// The certificates that are shown now.
    shown: Shown,
}

impl Source {
    /// What is to run now.
    fn read(&mut self, log: &Logger) -> Result<Plan, String> {
        let Some(file) = &self.file else {
            return Ok(self.plan.clone());
        };
        let checked = config::read(file).map_err(|error| error.to_string())?;
        for warning in &checked.warnings {
            warn!(log, "config"; "why" => warning.to_string());
        }
        self.shown.admits(&checked, log)?;
        let plan = Plan::of(&checked.config, self.plan.manner);
        self.pending = Some(checked.config);
        Ok(plan)
    }
}
