//! `supervisor run`: the loop that joins sources, core and effects. It translates and decides nothing.
//!
//! ```text
//!   lock -> bind, or take over -> Start -> [ wait -> Stir -> Event -> core -> Effect -> done -> Event ... ] -> Exit, or leave
//! ```

mod passage;

use std::collections::VecDeque;
use std::io;
use std::path::{PathBuf, absolute};
use std::time::{Duration, Instant};

use monoceros_shared::config::{self, Config};
use monoceros_shared::exit;
use nix::unistd::geteuid;
use slog::{Logger, error, info, warn};

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
use crate::succession::arrival::Luggage;
use crate::succession::departure::{Departure, Programs};
use crate::succession::state::Adoptions;
use crate::watch::Watch;
use passage::{Origin, Passage};

/// How often is looked at what workers have used up, where a limit is set. More often costs the kernel a walk through their
/// page tables each time; less often, and a leak grows further beyond its limit.
const OBSERVATION: Duration = Duration::from_secs(5);

/// What a server begins with.
pub struct Beginning {
    /// What is to run.
    pub config: Config,
    /// The file that it was read from, as the user named it; it is read again at each reload.
    pub file: Option<PathBuf>,
    /// Who looks at it.
    pub manner: Manner,
    /// What an upgrade starts.
    pub programs: Programs,
    /// What came through an exec, if this is what another program has become.
    pub luggage: Option<Luggage>,
}

/// How a server has ended.
pub enum Ended {
    /// With this exit status.
    With(i32),
    /// In the next program, which is to be exec'd.
    Departing(Departure),
}

/// Serves until it is asked to stop, or leaves to the next program.
pub fn run(beginning: Beginning, log: &Logger) -> Ended {
    let server = start(beginning, log);
    let ended = server
        .and_then(|(server, first)| server.serve(first).map_err(|error| format!("cannot wait for events: {error}")));
    ended.unwrap_or_else(|why| {
        error!(log, "stopped"; "why" => why);
        Ended::With(exit::FAILED)
    })
}

fn start(beginning: Beginning, log: &Logger) -> Result<(Server<'_>, Vec<Event>), String> {
    let Beginning { config, file, manner, programs, luggage } = beginning;
    info!(log, "starting";
        "version" => env!("CARGO_PKG_VERSION"), "config" => passage::named(config.file.as_deref()));
    if geteuid().is_root() && config.apps.iter().any(|app| app.run_as.is_none()) {
        warn!(log, "applications run as root: set `user` to run them as somebody else");
    }
    if let Err(error) = raise_descriptor_limit() {
        warn!(log, "open files stay limited as they are"; "why" => error.to_string());
    }
    if let Err(error) = keep_strangers_from_workers() {
        warn!(log, "workers inherit what was left open for the supervisor"; "why" => error.to_string());
    }
    let sources = Sources::new().map_err(|error| format!("cannot take over signals: {error}"))?;
    let watch = sources.watch().map_err(|error| format!("cannot watch processes: {error}"))?;
    let plan = Plan::of(&config, manner);
    let file = file.map(absolute).transpose().map_err(|error| format!("cannot find the config's folder: {error}"))?;
    let found = Found { file: file.as_deref(), control: config.control.as_deref() };
    let mut origin = Origin::find(luggage, found, (&plan, &sources), log)?;
    let (began, token) = origin.identity()?;
    let first = origin.first_events(&plan);
    let programs = passage::programs(programs, origin.rest.as_mut());
    let program = origin.rest.as_mut().and_then(|rest| rest.worker.take()).map_or_else(Program::find, Ok)?;
    let mut watch_files = Watch::new(sources.wake(), log);
    watch_files.aim(file.as_deref().filter(|_| config.watch), &config.apps);
    let place = origin.control.place().cloned();
    let adoptions = place.map(|place| Adoptions { place, token, log: log.clone() });
    let workers = Workers::new(Means { program, post: sources.post(), watch, adoptions });
    let (core, workers, listeners) = match origin.heritage.take() {
        Some(heritage) => passage::resume(heritage, &plan, workers)?,
        None => {
            let mut listeners = Sockets::default();
            listeners.bind(&plan.listeners().into_values().collect::<Vec<_>>())?;
            (Core::new(plan.clone(), u64::from(std::process::id())), workers, listeners)
        }
    };
    let mut server = Server {
        log,
        settled: core.last_reload().map(|last| last.at),
        core,
        source: Source { file, plan, config, pending: None },
        sources,
        passage: Passage::new(programs, &origin.control, (began, token), log),
        control: origin.control,
        watch: watch_files,
        workers,
        listeners,
        began,
        observed: Instant::now(),
    };
    server.answer_for_upgrade(origin.rest.as_ref());
    Ok((server, first))
}

struct Server<'a> {
    log: &'a Logger,
    core: Core,
    source: Source,
    sources: Sources,
    control: Control,
    passage: Passage,
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
    fn serve(mut self, first: Vec<Event>) -> io::Result<Ended> {
        let mut status = self.happen(first);
        while status.is_none() {
            if let Some(askers) = self.passage.leaving.take() {
                match self.leave(askers) {
                    Ok(departure) => return Ok(Ended::Departing(departure)),
                    Err(returned) => {
                        let (stays, events) = *returned;
                        self = stays;
                        status = self.happen(events);
                        continue;
                    }
                }
            }
            let stirs = self.sources.wait(self.patience())?;
            let mut events = Vec::new();
            let mut preflown = None;
            for stir in stirs {
                match stir {
                    Stir::Signal(event) => events.push(event),
                    Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                    Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                    Stir::Preflown => preflown = self.preflown(),
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
            // Last, for what comes after it would be lost with us.
            events.extend(preflown);
            status = self.happen(events);
            self.settle();
        }
        self.passage.end();
        Ok(Ended::With(status.unwrap_or(exit::DONE)))
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
                Request::Upgrade => Wish::Upgrade,
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
                self.watch.aim(file, &config.apps);
                self.source.config = config;
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
            let effects = self.core.handle(self.began.elapsed(), event);
            if !effects.is_empty() {
                self.passage.keep(&self.core, &self.listeners);
            }
            for effect in effects {
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
            Effect::Preflight => return self.begin_preflight(),
            Effect::EndPreflight => self.end_preflight(),
            Effect::Succeed { askers } => self.passage.leaving = Some(askers),
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
    /// What is run.
    config: Config,
    /// What was read for a reload that is not decided yet.
    pending: Option<Config>,
}

impl Source {
    /// What is run, for a program that is to run it too.
    fn written(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    /// What is to run now.
    fn read(&mut self, log: &Logger) -> Result<Plan, String> {
        let Some(file) = &self.file else {
            return Ok(self.plan.clone());
        };
        let checked = config::read(file).map_err(|error| error.to_string())?;
        for warning in &checked.warnings {
            warn!(log, "config"; "why" => warning.to_string());
        }
        let plan = Plan::of(&checked.config, self.plan.manner);
        self.pending = Some(checked.config);
        Ok(plan)
    }
}
