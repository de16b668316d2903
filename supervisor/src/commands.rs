//! Commands of the config's, run when something happens to the server: what gunicorn's hooks of its master are used for.
//!
//! ```text
//!   the loop:  start (waited for) .. ready .. reload, worker_exit .. stop (waited for)
//!                 | a Job each
//!   a thread:  one after another: spawn -> its lines into the log -> its end, or the kill when its time is up
//! ```
//!
//! Rules
//! * The loop waits for no command but the first and the last, and goes on to hear signals meanwhile.
//! * `start` decides whether the server begins; of any other the failure is a line of the log.
//!
//! Known fault: an upgrade while a command runs leaves it without anybody who reads what it prints.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use monoceros_shared::config::Config;
use slog::{Logger, info, warn};

use crate::core::status::{AppState, AppStatus, LastReload, Outcome, ServerState, Status};
use crate::core::{Event, Recruit, Wish, WorkerId};
use crate::errand::{self, Errand};
use crate::sources::{Sources, Stir};
use crate::systemd::notify;

/// Jobs that may wait. A command that is slower than what happens is run for so many; more would be news of long ago.
const JOBS_MAX: usize = 200;

/// How long the loop waits for a word of a command that it waits for; it is woken at its end, so this only bounds what a lost wake costs.
const GLANCE: Duration = Duration::from_secs(1);

/// When a command is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Before anything is bound.
    Start,
    /// Every application serves, for the first time.
    Ready,
    /// A reload is decided.
    Reload,
    /// A worker is gone.
    WorkerExit,
    /// Every worker is.
    Stop,
}

impl Occasion {
    /// Its key in the config.
    fn word(self) -> &'static str {
        match self {
            Occasion::Start => "start",
            Occasion::Ready => "ready",
            Occasion::Reload => "reload",
            Occasion::WorkerExit => "worker_exit",
            Occasion::Stop => "stop",
        }
    }

    fn words(self, config: &Config) -> &[String] {
        let commands = &config.commands;
        match self {
            Occasion::Start => &commands.start,
            Occasion::Ready => &commands.ready,
            Occasion::Reload => &commands.reload,
            Occasion::WorkerExit => &commands.worker_exit,
            Occasion::Stop => &commands.stop,
        }
    }
}

/// A command to be run, with what it is told.
struct Job {
    occasion: Occasion,
    words: Vec<String>,
    folder: PathBuf,
    facts: BTreeMap<String, String>,
    limit: Duration,
    /// Who waits for its end.
    done: Option<mpsc::Sender<Result<(), String>>>,
}

/// What is known of a worker that lives.
#[derive(Clone, Debug)]
struct Known {
    app: String,
    generation: u64,
    pid: Option<u32>,
}

/// Where commands are run.
pub struct Commands {
    log: Logger,
    /// What makes the loop look whether one is done.
    wake: Box<dyn Fn() + Send + Sync>,
    jobs: Option<SyncSender<Job>>,
    /// Its end cancels what runs.
    alive: Option<PipeWriter>,
    workers: BTreeMap<WorkerId, Known>,
    is_ready: bool,
}

/// A command that is waited for.
pub struct Pending {
    outcome: Receiver<Result<(), String>>,
    /// When it is cancelled: there may be others to be run before it.
    until: Instant,
}

impl Pending {
    /// What came of it, once it is over.
    pub fn outcome(&self) -> Option<Result<(), String>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err("cannot run it: its thread is gone".into())),
        }
    }
}

impl Commands {
    /// None has been run. `wake` makes the loop look around.
    pub fn new(log: &Logger, wake: impl Fn() + Send + Sync + 'static) -> Commands {
        Commands {
            log: log.clone(),
            wake: Box::new(wake),
            jobs: None,
            alive: None,
            workers: BTreeMap::new(),
            is_ready: false,
        }
    }

    /// The server goes on where another has ended, with its workers: it was ready already.
    pub fn go_on(&mut self, status: &Status) {
        self.is_ready = true;
        for app in &status.apps {
            let known = app.workers.iter().map(|worker| {
                let known = Known { app: app.name.clone(), generation: worker.generation, pid: worker.pid };
                (worker.id, known)
            });
            self.workers.extend(known);
        }
    }

    /// A worker is to be.
    pub fn recruited(&mut self, recruit: &Recruit) {
        let known = Known { app: recruit.app.app.name.clone(), generation: recruit.generation, pid: None };
        self.workers.insert(recruit.worker, known);
    }

    /// Something happened: is a command to be run for it?
    pub fn learn(&mut self, event: &Event, config: &Config) {
        match event {
            Event::Spawned { worker, pid } => {
                if let Some(known) = self.workers.get_mut(worker) {
                    known.pid = Some(*pid);
                }
            }
            Event::NotSpawned { worker, .. } => drop(self.workers.remove(worker)),
            Event::Exited { worker, exit, last } => {
                let known = self.workers.remove(worker);
                let mut facts = BTreeMap::from([
                    ("WORKER", worker.to_string()),
                    ("EXIT", exit.to_string()),
                    ("REQUESTS", last.requests.to_string()),
                ]);
                if let Some(Known { app, generation, pid }) = known {
                    facts.extend([("APP", app), ("GENERATION", generation.to_string())]);
                    facts.extend(pid.map(|pid| ("WORKER_PID", pid.to_string())));
                }
                self.run(Occasion::WorkerExit, config, facts);
            }
            Event::Loaded { .. }
            | Event::Left { .. }
            | Event::Failed { .. }
            | Event::Unreachable { .. }
            | Event::Start
            | Event::Observed { .. }
            | Event::Stuck { .. }
            | Event::Silent { .. }
            | Event::Beats { .. }
            | Event::Stacks { .. }
            | Event::Resized
            | Event::ConfigRead(_)
            | Event::Bound
            | Event::NotBound { .. }
            | Event::Wanted { .. }
            | Event::Preflown(_)
            | Event::Tick => {}
        }
    }

    /// Whether anybody wants to know that the server is ready, and has not been told.
    pub fn awaits_ready(&self, config: &Config) -> bool {
        !self.is_ready && !config.commands.ready.is_empty()
    }

    /// How things are: has the server become ready?
    pub fn look(&mut self, status: &Status, config: &Config) {
        let is_stopping = matches!(status.state, ServerState::Lingering | ServerState::Stopping);
        let serves = |app: &AppStatus| app.state != AppState::Broken && notify::is_up(app);
        if !is_stopping && status.apps.iter().all(serves) {
            self.is_ready = true;
            self.run(Occasion::Ready, config, BTreeMap::new());
        }
    }

    /// A reload was decided.
    pub fn decided(&mut self, last: &LastReload, config: &Config) {
        let outcome = match last.outcome {
            Outcome::Adopted => "adopted",
            Outcome::Abandoned => "abandoned",
        };
        self.run(Occasion::Reload, config, BTreeMap::from([("OUTCOME", outcome.into()), ("WHY", last.why.clone())]));
    }

    /// Has a command run that is waited for, if there is one, and with it those that are to be run before it.
    pub fn begin(&mut self, occasion: Occasion, config: &Config) -> Option<Pending> {
        let (done, outcome) = mpsc::channel();
        let job = self.job(occasion, config, BTreeMap::new());
        if job.words.is_empty() && self.jobs.is_none() {
            return None;
        }
        // A thread that cannot be had is told of by the channel's end.
        self.send(Job { done: Some(done), ..job });
        Some(Pending { outcome, until: Instant::now() + config.commands.timeout * 2 })
    }

    /// Waits for a command, and hears signals meanwhile: a wish to stop cancels it.
    ///
    /// # Errors
    /// Why it failed.
    pub fn wait(&mut self, pending: &Pending, sources: &mut Sources) -> Result<(), String> {
        loop {
            if let Some(outcome) = pending.outcome() {
                return outcome;
            }
            let stirs = sources.wait(Some(GLANCE)).map_err(|error| format!("cannot wait for it: {error}"))?;
            let is_stop = |stir: &Stir| matches!(stir, Stir::Signal(Event::Wanted { wish: Wish::Stop(_), .. }));
            if stirs.iter().any(is_stop) || pending.until <= Instant::now() {
                self.alive = None;
            }
        }
    }

    fn run(&mut self, occasion: Occasion, config: &Config, facts: BTreeMap<&'static str, String>) {
        let job = self.job(occasion, config, facts);
        if !job.words.is_empty() {
            self.send(job);
        }
    }

    /// The job; its words are none where the config has no command for that.
    fn job(&self, occasion: Occasion, config: &Config, facts: BTreeMap<&'static str, String>) -> Job {
        let words = occasion.words(config).to_vec();
        let mut facts: BTreeMap<String, String> =
            facts.into_iter().map(|(name, value)| (format!("MONOCEROS_{name}"), value)).collect();
        facts.insert("MONOCEROS_EVENT".into(), occasion.word().into());
        facts.insert("MONOCEROS_PID".into(), std::process::id().to_string());
        let file = config.file.as_deref();
        facts.extend(file.map(|file| ("MONOCEROS_FILE".into(), file.to_string_lossy().into_owned())));
        let folder = file.and_then(Path::parent).map_or_else(|| PathBuf::from("/"), Path::to_owned);
        Job { occasion, words, folder, facts, limit: config.commands.timeout, done: None }
    }

    fn send(&mut self, job: Job) {
        if self.jobs.is_none() {
            self.jobs = self.start().inspect_err(|why| warn!(self.log, "commands are not run"; "why" => %why)).ok();
        }
        let (event, Some(jobs)) = (job.occasion.word(), &self.jobs) else { return };
        if jobs.try_send(job).is_err() {
            warn!(self.log, "a command is not run"; "event" => event, "why" => "too many wait to be run");
        }
    }

    /// The thread, once there is a command.
    fn start(&mut self) -> io::Result<SyncSender<Job>> {
        let (sender, jobs) = sync_channel(JOBS_MAX);
        let (cancelled, alive) = io::pipe()?;
        self.alive = Some(alive);
        let log = self.log.clone();
        let wake = std::mem::replace(&mut self.wake, Box::new(|| {}));
        thread::Builder::new().name("commands".into()).spawn(move || {
            for job in jobs {
                do_it(job, &cancelled, &log);
                wake();
            }
        })?;
        Ok(sender)
    }
}

/// Runs a command to its end.
fn do_it(job: Job, cancelled: &PipeReader, log: &Logger) {
    let Job { occasion, words, folder, facts, limit, done } = job;
    let event = occasion.word();
    let arguments: Vec<_> = words.iter().skip(1).map(Into::into).collect();
    let program = Path::new(words.first().map_or("", String::as_str));
    let errand = Errand { program, arguments: &arguments, folder: &folder, environment: &facts };
    let line = |line: &str| info!(log, "command"; "event" => event, "text" => line);
    // Without words it only waits for those before it.
    let outcome = if words.is_empty() { Ok(()) } else { errand::run(&errand, limit, cancelled.as_fd(), line) };
    if let Err(why) = &outcome {
        warn!(log, "a command failed"; "event" => event, "command" => words.join(" "), "why" => why);
    }
    if let Some(done) = done {
        // Whoever waited may have been told to stop.
        let _ = done.send(outcome);
    }
}
