//! `supervisor run`: the loop that joins sources, core and effects. It translates and decides nothing.
//!
//! ```text
//!   lock -> bind, or take over -> Start -> [ wait -> Stir -> Event -> core -> Effect -> done -> Event ... ] -> Exit, or leave
//! ```

mod asked;
mod begin;
mod passage;
mod relog;
mod watched;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monoceros_shared::config::{self, Config};
use monoceros_shared::exit;
use slog::{Logger, warn};

use crate::certify;
use crate::commands::{Commands, Occasion};
use crate::control::Control;
use crate::control::words::Reply;
use crate::core::plan::{Manner, Plan};
use crate::core::status::Outcome;
use crate::core::{Answer, Core, Effect, Event, Now, QUIT_GRACE};
use crate::effects::{Workers, now_ms};
use crate::inquiry::Inquiries;
use crate::journal;
use crate::listen::{Bound, Sockets};
use crate::logs::Logs;
use crate::metrics::endpoint::{self, Endpoint};
use crate::metrics::statsd::Statsd;
use crate::pid_file::PidFile;
use crate::pulse::Pulse;
use crate::sources::{Sources, Stir};
use crate::standard_input;
use crate::systemd::Manager;
use crate::systemd::notify::View;
use crate::watch::Watch;
pub use begin::{Beginning, Ended, run};
use passage::Passage;

/// How often is looked at what workers have used up, where a limit is set. More often costs the kernel a walk through their
/// page tables each time; less often, and a leak grows further beyond its limit.
const OBSERVATION: Duration = Duration::from_secs(5);

struct Server<'a> {
    log: &'a Logger,
    logs: &'a Logs,
    core: Core,
    source: Source,
    sources: Sources,
    control: Control,
    commands: Commands,
    passage: Passage,
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
    endpoint: Endpoint,
    statsd: Statsd,
    /// When the server was started, in seconds since 1970.
    started: u64,
    /// When the last reload was decided whose consequences have been drawn.
    settled: Option<Now>,
}

impl Server<'_> {
    fn serve(mut self, first: Vec<Event>) -> io::Result<Ended> {
        let mut status = self.happen(first);
        self.tell_manager();
        while status.is_none() {
            if let Some(askers) = self.passage.leaving.take() {
                match self.leave(&askers) {
                    Ok(departure) => return Ok(self.end_in(departure)),
                    Err(events) => status = self.happen(events),
                }
                continue;
            }
            let stirs = self.sources.wait(self.patience())?;
            let events = self.translate(stirs);
            status = self.happen(events);
            self.settle();
            self.reply();
            self.tell_manager();
            self.tell_ready();
        }
        self.run_last();
        self.end_strangers()?;
        self.passage.end();
        Ok(Ended::With(status.unwrap_or(exit::DONE)))
    }

    /// What stirred, and what else is to be seen, in the order in which the core is told.
    fn translate(&mut self, stirs: Vec<Stir>) -> Vec<Event> {
        let mut events = Vec::new();
        let mut preflown = None;
        let mut a_child_ended = self.workers.strangers.is_behind();
        for stir in stirs {
            match stir {
                Stir::Signal(event) => events.push(event),
                Stir::Gone(worker) => events.extend(self.workers.gone(worker)),
                Stir::Child => a_child_ended = true,
                Stir::News(worker, news) => events.extend(self.workers.hear(worker, news)),
                Stir::Output(token) => self.workers.outputs().stir(token),
                Stir::Reopen => drop(self.reopen()),
                Stir::Preflown => preflown = self.preflown(),
                Stir::Watcher(ready) => {
                    let asked = self.endpoint.hear(ready, Instant::now());
                    self.show(asked);
                }
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
        events.extend(self.look_around(Instant::now()));
        events.push(Event::Tick);
        // Last, for what comes after it would be lost with us.
        events.extend(preflown);
        events
    }

    /// What nobody announces: changes of files, ends that can be told by now, what workers have used up, and their beats.
    fn look_around(&mut self, now: Instant) -> Vec<Event> {
        self.workers.strangers.tick(now);
        self.workers.outputs().read(now);
        self.tell_watchers(now);
        self.workers.take_loaded().into_iter().for_each(|loaded| self.watch.loaded(&loaded.app, loaded.files));
        let changes = self.watch.take(now).into_iter();
        let mut events: Vec<Event> = changes.map(|wish| Event::Wanted { wish, asker: None }).collect();
        events.extend(self.workers.farewells());
        if self.observation().is_some_and(|at| at <= now) {
            self.observed = now;
            events.extend(self.workers.observe());
        }
        events.extend(self.judge());
        events
    }

    /// Gives what the last workers left behind a moment to go, and ends it.
    fn end_strangers(&mut self) -> io::Result<()> {
        self.wait_for_strangers(QUIT_GRACE)?;
        self.workers.strangers.kill_all(Instant::now());
        self.wait_for_strangers(QUIT_GRACE)
    }

    fn wait_for_strangers(&mut self, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        while self.workers.strangers.deadline().is_some() && Instant::now() < until {
            self.sources.wait(Some(until.saturating_duration_since(Instant::now())))?;
            self.workers.strangers.reap();
        }
        Ok(())
    }

    /// How long there is nothing to do, if nothing stirs.
    fn patience(&self) -> Option<Duration> {
        if self.control.has_more() || self.endpoint.has_more() {
            return Some(Duration::ZERO);
        }
        let core = self.core.deadline().map(|at| at.saturating_sub(self.began.elapsed()));
        let pulse = self.pulse.due_ms(self.workers.shortest_heartbeat());
        let pulse = pulse.map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
        let shell = self.workers.deadline().into_iter().chain(self.observation()).chain(self.watch.deadline());
        let shell = shell.chain(self.workers.strangers.deadline()).chain(self.manager.deadline());
        let shell =
            shell.chain(self.inquiries.deadline()).chain(self.endpoint.deadline()).chain(self.statsd.deadline());
        let shell = shell.map(|at| at.saturating_duration_since(Instant::now()));
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

    /// Has the command run that waits for the server to be ready, if there is one.
    fn tell_ready(&mut self) {
        if self.commands.awaits_ready(&self.source.config) {
            self.commands.look(&self.core.status(self.began.elapsed()), &self.source.config);
        }
    }

    /// Has the last command run, and waits for it.
    fn run_last(&mut self) {
        if let Some(pending) = self.commands.begin(Occasion::Stop, &self.source.config) {
            // Its failure is in the log, and there is nothing else to be done.
            let _ = self.commands.wait(&pending, &mut self.sources);
        }
    }

    /// What follows from a reload that has been decided: files are watched as the new config says, or who works on the
    /// application is shown why there is none.
    fn settle(&mut self) {
        let news = self.core.last_reload().filter(|last| self.settled.is_none_or(|settled| settled < last.at));
        let Some(last) = news.cloned() else { return };
        self.settled = Some(last.at);
        let pending = self.source.pending.take();
        match (last.outcome, pending) {
            (Outcome::Adopted, Some(Pending { config, door })) => {
                self.follow_watchers(&config, door);
                let file = self.source.file.as_deref().filter(|_| config.watch);
                self.watch.aim(file, &config.apps);
                self.move_pid_file(config.pid_file.as_deref());
                self.follow_log(&config);
                self.workers.ledger.keep_only(|app| config.apps.iter().any(|known| known.name == app));
                self.source.config = config;
            }
            (Outcome::Abandoned, pending) => {
                pending.and_then(|pending| pending.door).into_iter().for_each(Bound::close);
                if self.source.plan.manner == Manner::Development {
                    self.workers.notice(&format!("{}\n\n{}", last.why, last.detail));
                }
            }
            (Outcome::Adopted, None) => {}
        }
        self.commands.decided(&last, &self.source.config);
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
            self.commands.learn(&event, &self.source.config);
            let effects = self.core.handle(self.began.elapsed(), event);
            if !effects.is_empty() {
                self.passage.keep(&self.core, &self.listeners, &self.workers.ledger);
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
                self.commands.recruited(&recruit);
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
            Effect::ReadConfig => return Some(Event::ConfigRead(self.source.read(self.endpoint.bound(), self.log))),
            Effect::Bind { listeners } => {
                if let Some(pending) = &self.source.pending {
                    self.listeners.claim(&pending.config.apps);
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
            Effect::Preflight => return self.begin_preflight(),
            Effect::EndPreflight => self.end_preflight(),
            Effect::Succeed { askers } => self.passage.leaving = Some(askers),
            Effect::Log(line) => journal::write(self.log, &line),
            Effect::Answer { asker, answer } => {
                // Whoever is told that it has happened finds that it has, the files that follow from it too.
                self.settle();
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
    /// What is run.
    config: Config,
    /// What was read for a reload that is not decided yet.
    pending: Option<Pending>,
}

/// A config that is not run yet.
struct Pending {
    config: Config,
    /// Where it wants those who watch to connect, if that is another place than now.
    door: Option<Bound>,
}

impl Source {
    /// What is run, for a program that is to run it too.
    fn written(&self) -> serde_json::Value {
        serde_json::to_value(&self.config).unwrap_or_default()
    }

    /// What is to run now.
    fn read(&mut self, watched: Option<&Bound>, log: &Logger) -> Result<Plan, String> {
        let Some(file) = &self.file else {
            return Ok(self.plan.clone());
        };
        let mut checked = config::read(file).map_err(|error| error.to_string())?;
        standard_input::serve(&mut checked.config)?;
        for warning in &checked.warnings {
            warn!(log, "config"; "why" => warning.to_string());
        }
        certify::admit(&checked, &self.config, log)?;
        let plan = Plan::of(&checked.config, self.plan.manner);
        // Last, for what is bound is to be taken up or closed.
        let address = checked.config.metrics.as_ref().filter(|address| self.config.metrics.as_ref() != Some(address));
        let door = address.map(|address| endpoint::bind(address, watched)).transpose()?;
        let before = self.pending.replace(Pending { config: checked.config, door });
        before.and_then(|before| before.door).into_iter().for_each(Bound::close);
        Ok(plan)
    }
}
