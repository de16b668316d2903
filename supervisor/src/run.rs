//! `supervisor run`: the loop that joins sources, core and effects. It translates and decides nothing.
//!
//! ```text
//!   lock -> bind -> Start -> [ wait -> Stir -> Event -> core -> Effect -> done -> Event ... ] -> Exit
//! ```

mod asked;
mod relog;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::time::{Duration, Instant};

use monoceros_shared::config::{self, Checked, Config};
use monoceros_shared::exit;
use nix::unistd::geteuid;
use slog::{Logger, error, info, warn};

use crate::certify::Shown;
use crate::control::words::Reply;
use crate::control::{Control, Found};
use crate::core::plan::{Manner, Plan};
use crate::core::status::Outcome;
use crate::core::{Answer, Core, Effect, Event, Now};
use crate::effects::{Means, Workers, now_ms};
use crate::inquiry::Inquiries;
use crate::journal;
use crate::listen::Sockets;
use crate::logs::Logs;
use crate::pid_file::PidFile;
use crate::pulse::Pulse;
use crate::sources::{Sources, Stir};
use crate::spawn::{Program, keep_strangers_from_workers, raise_descriptor_limit};
use crate::stdio::Outputs;
use crate::systemd::notify::View;
use crate::systemd::{self, Manager};
use crate::watch::Watch;
use crate::{capabilities, strangers};

/// How often is looked at what workers have used up, where a limit is set. More often costs the kernel a walk through their
/// page tables each time; less often, and a leak grows further beyond its limit.
const OBSERVATION: Duration = Duration::from_secs(5);

/// Serves until it is asked to stop; the exit status. `file` is as the user named it, and is read again at each reload.
pub fn run(checked: &Checked, file: Option<PathBuf>, manner: Manner) -> i32 {
    // While there is one thread: the log's is the second.
    let kept = capabilities::drop_unneeded(capabilities::Workers::of(&checked.config));
    let (logs, _guard) = match Logs::start(&checked.config.log) {
        Ok(started) => started,
        Err(why) => {
            eprintln!("supervisor: {why}");
            return exit::FAILED;
        }
    };
    let log = &logs.logger;
    if let Err(error) = kept {
        warn!(log, "capabilities are kept that are not needed"; "why" => error.to_string());
    }
    for remark in checked.remarks() {
        warn!(log, "config"; "why" => remark);
    }
    let server = start(&checked.config, file, manner, &logs);
    let ended = server.and_then(|server| server.serve().map_err(|error| format!("cannot wait for events: {error}")));
    ended.unwrap_or_else(|why| {
        error!(log, "stopped"; "why" => why);
        exit::FAILED
    })
}

fn start<'a>(config: &Config, file: Option<PathBuf>, manner: Manner, logs: &'a Logs) -> Result<Server<'a>, String> {
    // First of all, while nothing else is open.
    let (given, wrong) = systemd::given::take();
    let log = &logs.logger;
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
    if let Err(error) = strangers::adopt_orphans() {
        warn!(log, "orphans of workers go to init"; "why" => error.to_string());
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
    let mut manager = Manager::from_environment(log);
    manager.keeps_already(given.iter().filter(|given| given.was_ours()).map(|given| given.name.clone()));
    let mut listeners = Sockets::default();
    for why in wrong.into_iter().chain(listeners.offer(given, &config.apps)) {
        warn!(log, "a socket of the service manager's is not used"; "why" => why);
    }
    listeners.bind(&plan.listeners().into_values().collect::<Vec<_>>())?;
    let pid_file = config.pid_file.as_deref().map(PidFile::write).transpose();
    let pid_file = pid_file.inspect_err(|_| listeners.close_all())?;
    let registry = sources.registry().map_err(|error| format!("cannot watch what workers print: {error}"))?;
    let outputs = match manner {
        Manner::Production => Outputs::into_log(log, registry),
        Manner::Development => Outputs::inherited(),
    };
    let means = Means { program, post: sources.post(), watch, outlet: logs.outlet().clone(), outputs };
    Ok(Server {
        log,
        logs,
        core: Core::new(plan.clone(), u64::from(std::process::id())),
        source: Source { file, plan, pending: None, shown: Shown::of(config) },
        sources,
        control,
        manager,
        watch: watch_files,
        workers: Workers::new(means),
        listeners,
        pid_file,
        began: Instant::now(),
        observed: Instant::now(),
        pulse: Pulse::default(),
        inquiries: Inquiries::default(),
        settled: None,
    })
}

struct Server<'a> {
    log: &'a Logger,
    logs: &'a Logs,
    core: Core,
    source: Source,
    sources: Sources,
    control: Control,
    manager: Manager,
    watch: Watch,
    workers: Workers,
    listeners: Sockets,
    pid_file: Option<PidFile>,
    began: Instant,
    /// When it was looked last at what workers have used up.
    observed: Instant,
    pulse: Pulse,
    inquiries: Inquiries,
    /// When the last reload was decided whose consequences have been drawn.
    settled: Option<Now>,
}

impl Server<'_> {
    fn serve(mut self) -> io::Result<i32> {
        let mut status = self.happen(vec![Event::Start]);
        self.tell_manager();
        while status.is_none() {
            let stirs = self.sources.wait(self.patience())?;
            let mut events = Vec::new();
            let mut a_child_ended = self.workers.strangers.is_behind();
            for stir in stirs {
                match stir {
                    Stir::Signal(event) => events.push(event),
                    Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                    Stir::Child => a_child_ended = true,
                    Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                    Stir::Output(token) => self.workers.outputs().stir(token),
                    Stir::Reopen => drop(self.reopen()),
                    Stir::Control(ready) => {
                        let asked = self.control.hear(ready);
                        events.extend(asked.into_iter().filter_map(|asked| self.asked(asked)));
                    }
                }
            }
            let asked = self.control.hear_more();
            events.extend(asked.into_iter().filter_map(|asked| self.asked(asked)));
            if a_child_ended {
                self.workers.strangers.reap();
            }
            self.workers.strangers.tick(Instant::now());
            self.workers.outputs().read(Instant::now());
            self.workers.take_loaded().into_iter().for_each(|loaded| self.watch.loaded(&loaded.app, loaded.files));
            let changes = self.watch.take(Instant::now()).into_iter();
            events.extend(changes.map(|wish| Event::Wanted { wish, asker: None }));
            events.extend(self.workers.farewells());
            if self.observation().is_some_and(|at| at <= Instant::now()) {
                self.observed = Instant::now();
                events.extend(self.workers.observe());
            }
            events.extend(self.judge());
            events.push(Event::Tick);
            status = self.happen(events);
            self.settle();
            self.reply();
            self.tell_manager();
        }
        self.end_strangers()?;
        Ok(status.unwrap_or(exit::DONE))
    }

    /// Gives what the last workers left behind its time to go.
    fn end_strangers(&mut self) -> io::Result<()> {
        while let Some(until) = self.workers.strangers.deadline().filter(|until| *until > Instant::now()) {
            self.sources.wait(Some(until.saturating_duration_since(Instant::now())))?;
            self.workers.strangers.reap();
        }
        self.workers.strangers.kill_all();
        Ok(())
    }

    /// How long there is nothing to do, if nothing stirs.
    fn patience(&self) -> Option<Duration> {
        if self.control.has_more() {
            return Some(Duration::ZERO);
        }
        let core = self.core.deadline().map(|at| at.saturating_sub(self.began.elapsed()));
        let pulse = self.pulse.due_ms(self.workers.shortest_heartbeat());
        let pulse = pulse.map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
        let shell = self.workers.deadline().into_iter().chain(self.observation()).chain(self.watch.deadline());
        let shell = shell.chain(self.workers.strangers.deadline()).chain(self.manager.deadline());
        let shell = shell.chain(self.inquiries.deadline()).map(|at| at.saturating_duration_since(Instant::now()));
        core.into_iter().chain(pulse).chain(shell).min()
    }

    /// When it is looked next at what workers have used up, if anybody wants to know.
    fn observation(&self) -> Option<Instant> {
        self.workers.are_measured().then(|| self.observed + OBSERVATION)
    }

    /// Tells the service manager how things are, and which listeners to keep.
    fn tell_manager(&mut self) {
        if self.manager.is_there() {
            let status = self.core.status(self.began.elapsed());
            let workers = status.apps.iter().flat_map(|app| &app.workers).filter(|worker| worker.state == "serving");
            let beats = self.workers.beats(workers.map(|worker| worker.id));
            self.manager.tell(&View { status: &status, beats });
            if !self.core.is_stopping() {
                self.manager.keep(self.listeners.ours());
            }
        }
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
                self.move_pid_file(config.pid_file.as_deref());
                self.follow_log(&config);
            }
            (Outcome::Abandoned, _) if self.source.plan.manner == Manner::Development => {
                self.workers.notice(&format!("{}\n\n{}", last.why, last.detail));
            }
            (Outcome::Adopted, None) | (Outcome::Abandoned, _) => {}
        }
    }

    /// Has the pid file where the new config says. What fails leaves the old one.
    fn move_pid_file(&mut self, to: Option<&Path>) {
        if self.pid_file.as_ref().map(PidFile::path) == to {
            return;
        }
        match to.map(PidFile::write).transpose() {
            Ok(moved) => self.pid_file = moved,
            Err(why) => warn!(self.log, "the pid file stays where it was"; "why" => why),
        }
    }

    /// Tells the core what happened, does what it answers, and tells it what came of that; the exit status if it ends.
    fn happen(&mut self, events: Vec<Event>) -> Option<i32> {
        let mut events = VecDeque::from(events);
        let mut status = None;
        while let Some(event) = events.pop_front() {
            self.inquiries.learn(&event);
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
            Effect::Inspect { worker } => {
                // Of one that cannot be asked there are no stacks.
                let _ = self.workers.inspect(worker);
            }
            Effect::Terminate { worker } => self.workers.terminate(worker),
            Effect::Kill { worker } => self.workers.kill(worker),
            Effect::ReadConfig => return Some(Event::ConfigRead(self.source.read(self.log))),
            Effect::Bind { listeners } => {
                if let Some(config) = &self.source.pending {
                    self.listeners.claim(&config.apps);
                }
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
            // They wait in the manager's store for the next start, with all who connect meanwhile.
            Effect::CloseListeners if self.manager.keeps_listeners() => self.listeners.leave_all(),
            Effect::CloseListeners => self.listeners.close_all(),
            Effect::Log(line) => journal::write(self.log, &line),
            Effect::Answer { asker, answer } => {
                let reply = match answer {
                    Answer::Done(text) => Reply::Done { text },
                    Answer::Failed { why, detail } => Reply::Failed { why, detail },
                };
                self.control.answer(asker, &reply);
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
