//! Does what the core answers: the register of processes, and how each is reached.
//!
//! ```text
//!   Spawn   door + carrier + scoreboard + pipes -> process; greeting, log, pipes, scoreboard and listeners on the carrier;
//!           a bridge
//!           (connected) -> Assignment
//!   exit    reaped at once, told when the bridge has ended: a word said before the exit is told before it
//! ```
//!
//! Rules: nothing here decides. What fails is told to the core as an event.

mod hire;
mod kin;
mod observe;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use monoceros_shared::config::{App, Recycle};
use monoceros_shared::link::channel::{self, Sender};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::link::{Assignment, FromWorker, LOG, ToWorker};
use monoceros_shared::log::Outlet;
use monoceros_shared::scoreboard::Scoreboard;
pub use observe::{last_seen, now_ms};

use crate::bridge::News;
use crate::certify::Certifier;
use crate::core::{Event, Exit, LastSeen, Recruit, Word, WorkerId};
use crate::listen::{Bound, cause};
use crate::metrics::counts::Counts;
use crate::metrics::ledger::Ledger;
use crate::sources::{Post, Watch};
use crate::spawn::{Process, Program};
use crate::stdio::Outputs;
use crate::strangers::Strangers;
use crate::succession::state::Adoptions;

/// How long the exit of a worker waits for its bridge. The bridge ends within microseconds of the process, unless a
/// child of the application's holds the channel; then a failure's reason may come after its exit, and is lost.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What all workers of a server share.
pub struct Means {
    /// Their binary.
    pub program: Program,
    /// Where their bridges leave news.
    pub post: Post,
    /// What tells of their end.
    pub watch: Watch,
    /// Where they wait for the next supervisor, if one can come.
    pub adoptions: Option<Adoptions>,
    /// Where they log.
    pub outlet: Outlet,
    /// What they print.
    pub outputs: Outputs,
}

/// The workers that there are.
pub struct Workers {
    means: Means,
    register: BTreeMap<WorkerId, Worker>,
    loaded: Vec<Loaded>,
    certifier: Certifier,
    /// By application.
    commons: BTreeMap<String, hire::Common>,
    /// What those have counted that are gone.
    pub ledger: Ledger,
    /// What workers leave behind.
    pub strangers: Strangers,
}

/// What a worker said to have loaded.
#[derive(Debug)]
pub struct Loaded {
    /// Its application's name.
    pub app: String,
    /// Files of modules; none if it was not asked.
    pub files: Vec<PathBuf>,
}

struct Worker {
    process: Process,
    /// Held for as long as the worker lives: its end would tell the worker that the supervisor is gone.
    carrier: Carrier,
    door: String,
    scoreboard: Scoreboard,
    assignment: Option<Assignment>,
    words: Words,
    app: String,
    generation: u64,
    recycle: Recycle,
    /// The file of the socket on which it waits for the next supervisor.
    adoption: Option<PathBuf>,
    heartbeat: Duration,
    inspection: Inspection,
    exit: Option<(Exit, Instant)>,
    /// The last lines that it printed, once it is gone.
    last_lines: String,
}

/// Whether a worker was asked for its stacks. One question at a time: more would fill the channel of one that stands still, and a
/// full channel blocks whoever writes to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inspection {
    None,
    Asked,
}

enum Words {
    NotYet,
    /// Another supervisor had it, and it has not connected yet: it hears signals.
    Signals,
    /// It is of another build and never will: it hears signals.
    Mute,
    By(Sender<ToWorker>),
    Ended,
}

impl Workers {
    /// None yet.
    pub fn new(means: Means) -> Workers {
        Workers {
            means,
            register: BTreeMap::new(),
            loaded: Vec::new(),
            certifier: Certifier::default(),
            commons: BTreeMap::new(),
            ledger: Ledger::default(),
            strangers: Strangers::default(),
        }
    }

    /// Makes a process and tells it everything but to serve.
    pub fn spawn(&mut self, recruit: &Recruit, listeners: &[&Bound]) -> Event {
        let worker = recruit.worker;
        match self.try_spawn(recruit, listeners) {
            Ok(pid) => Event::Spawned { worker, pid },
            Err(error) => {
                self.means.adoptions.iter().for_each(|adoptions| adoptions.close(worker));
                self.forget_offers();
                Event::NotSpawned { worker, why: format!("cannot spawn a worker: {}", cause(&error)) }
            }
        }
    }

    /// Says a word.
    pub fn say(&self, worker: WorkerId, word: Word) -> Option<Event> {
        if self.signal(worker, word) {
            return None;
        }
        let word = match word {
            Word::Serve => ToWorker::Serve,
            Word::Drain => ToWorker::Drain,
            Word::Quit => ToWorker::Quit,
        };
        self.tell(worker, &word)
    }

    /// Passes a worker the certificates of its listeners anew.
    ///
    /// # Errors
    /// One line. Then it keeps those that it has.
    pub fn certify(&mut self, worker: WorkerId, app: &App) -> Result<(), String> {
        let known = self.register.get(&worker).filter(|known| known.exit.is_none());
        let sent = known.map_or(Ok(()), |known| self.certifier.send(app, |_| true, &known.carrier));
        sent.map_err(|error| cause(&error))
    }

    /// Asks a worker for its stacks; whether an answer may come.
    pub fn inspect(&mut self, worker: WorkerId) -> bool {
        let Some(known) = self.register.get_mut(&worker).filter(|known| known.exit.is_none()) else {
            return false;
        };
        if known.inspection == Inspection::None
            && let Words::By(sender) = &known.words
            && sender.send(&ToWorker::Stacks).is_ok()
        {
            known.inspection = Inspection::Asked;
        }
        known.inspection == Inspection::Asked
    }

    /// What was loaded since this was last asked.
    pub fn take_loaded(&mut self) -> Vec<Loaded> {
        std::mem::take(&mut self.loaded)
    }

    /// Has the workers show browsers why there is no newer code. Who cannot be told shows nothing.
    pub fn notice(&self, text: &str) {
        for known in self.register.values().filter(|known| known.exit.is_none()) {
            if let Words::By(sender) = &known.words {
                let _ = sender.send(&ToWorker::Notice(text.to_owned()));
            }
        }
    }

    /// Asks a worker to drain, by signal.
    pub fn terminate(&self, worker: WorkerId) {
        if let Some(known) = self.living(worker) {
            known.process.terminate();
        }
    }

    /// Ends a worker now.
    pub fn kill(&self, worker: WorkerId) {
        if let Some(known) = self.living(worker) {
            known.process.kill();
        }
    }

    /// Takes in what a bridge heard; the events that it is for the core.
    pub fn hear(&mut self, worker: WorkerId, news: News) -> Vec<Event> {
        let Some(known) = self.register.get_mut(&worker) else {
            return Vec::new();
        };
        match news {
            News::Connected(sender) => {
                known.words = Words::By(sender);
                let assignment = known.assignment.take().map(|assignment| ToWorker::Assignment(Box::new(assignment)));
                assignment.and_then(|word| self.tell(worker, &word)).into_iter().collect()
            }
            News::Word(FromWorker::Loaded { files }) => {
                self.means.outputs.catch_up(worker);
                self.loaded.push(Loaded { app: known.app.clone(), files });
                vec![Event::Loaded { worker }]
            }
            News::Word(FromWorker::Failed(failure)) => {
                self.means.outputs.catch_up(worker);
                vec![Event::Failed { worker, failure }]
            }
            News::Word(FromWorker::Stacks(stacks)) => {
                known.inspection = Inspection::None;
                vec![Event::Stacks { worker, stacks }]
            }
            News::Word(FromWorker::Left) => vec![Event::Left { worker }],
            News::Word(FromWorker::Stuck(why)) => vec![Event::Stuck { worker, why }],
            News::Ended => {
                known.words = Words::Ended;
                self.farewells()
            }
        }
    }

    /// A process's pidfd says that it is gone.
    pub fn gone(&mut self, worker: WorkerId) -> Vec<Event> {
        let Some(known) = self.register.get_mut(&worker) else {
            return Vec::new();
        };
        if known.exit.is_none()
            && let Some(exit) = known.process.reap()
        {
            known.exit = Some((exit, Instant::now() + LAST_WORDS));
            known.last_lines = self.means.outputs.end(worker);
            self.means.watch.end(known.process.as_fd());
            self.strangers.left_by(known.process.pid(), Instant::now());
            if matches!(known.words, Words::NotYet | Words::Signals) {
                channel::release(&known.door);
            }
        }
        self.farewells()
    }

    /// The exits that can be told now.
    pub fn farewells(&mut self) -> Vec<Event> {
        let now = Instant::now();
        let told = |known: &Worker| match known.exit {
            Some((_, latest)) => matches!(known.words, Words::Ended | Words::Mute) || latest <= now,
            None => false,
        };
        let told: Vec<WorkerId> =
            self.register.iter().filter(|(_, known)| told(known)).map(|(worker, _)| *worker).collect();
        told.into_iter().filter_map(|worker| self.farewell(worker)).collect()
    }

    /// When an exit is told at the latest, or what was printed.
    pub fn deadline(&self) -> Option<Instant> {
        let exits = self.register.values().filter_map(|known| known.exit.map(|(_, latest)| latest));
        exits.chain(self.means.outputs.deadline()).min()
    }

    /// What workers print.
    pub fn outputs(&mut self) -> &mut Outputs {
        &mut self.means.outputs
    }

    /// Has all workers log to where we log now.
    ///
    /// # Errors
    /// One line about those that were not reached: they log to where they did.
    pub fn pass_log(&self) -> Result<(), String> {
        let file = self.means.outlet.file();
        let living = self.register.iter().filter(|(_, known)| known.exit.is_none());
        let missed = living.filter_map(|(worker, known)| match known.carrier.send(LOG, file.as_fd()) {
            // One that has left its carrier is about to end.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => None,
            outcome => outcome.err().map(|error| format!("worker {worker} logs to where it did: {}", cause(&error))),
        });
        let missed: Vec<String> = missed.collect();
        if missed.is_empty() { Ok(()) } else { Err(missed.join("; ")) }
    }

    fn farewell(&mut self, worker: WorkerId) -> Option<Event> {
        let known = self.register.remove(&worker)?;
        if !self.register.values().any(|other| other.app == known.app) {
            self.commons.remove(&known.app);
        }
        self.forget_offers();
        self.ledger.enter(&known.app, &Counts::of(&known.scoreboard));
        let (exit, _) = known.exit?;
        known.adoption.iter().for_each(kin::remove);
        let last = LastSeen { output: known.last_lines, ..last_seen(&known.scoreboard) };
        Some(Event::Exited { worker, exit, last })
    }

    fn tell(&self, worker: WorkerId, word: &ToWorker) -> Option<Event> {
        let known = self.living(worker)?;
        let why = match &known.words {
            Words::By(sender) => cause(&sender.send(word).err()?),
            Words::NotYet | Words::Signals | Words::Mute => "it has not connected".to_owned(),
            Words::Ended => "it has closed its channel".to_owned(),
        };
        Some(Event::Unreachable { worker, why })
    }

    /// A worker that is not reaped yet: only then does its number mean it.
    fn living(&self, worker: WorkerId) -> Option<&Worker> {
        self.register.get(&worker).filter(|known| known.exit.is_none())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use monoceros_shared::config::{CommandLine, Config, from_command_line};
    use monoceros_shared::link::Purpose;

    use super::*;
    use crate::core::plan::{Manner, Plan};
    use crate::sources::{Sources, Stir};

    fn config() -> Config {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        from_command_line(line).unwrap().config
    }

    fn recruit() -> Recruit {
        let app = Plan::of(&config(), Manner::Production).apps.remove(0);
        Recruit { worker: 7, generation: 1, app, purpose: Purpose::Serve, siblings: 1 }
    }

    fn workers_of(program: &str) -> (Sources, Workers) {
        let sources = Sources::new().unwrap();
        let means = Means {
            program: Program::open(Path::new(program)).unwrap(),
            post: sources.post(),
            watch: sources.watch().unwrap(),
            adoptions: None,
            outlet: Outlet::stderr().unwrap(),
            outputs: Outputs::inherited(),
        };
        (sources, Workers::new(means))
    }

    /// Whether the bridge ended, and what the core was told, up to the exit.
    fn until_the_exit(sources: &mut Sources, workers: &mut Workers) -> (usize, Event) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut ends = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no exit was told");
            for stir in sources.wait(Some(left)).unwrap() {
                let events = match stir {
                    Stir::Gone(worker) => workers.gone(worker),
                    Stir::News(worker, news) => {
                        ends += usize::from(matches!(news, News::Ended));
                        workers.hear(worker, news)
                    }
                    Stir::Signal(event) => vec![event],
                    Stir::Child => Vec::new(),
                    Stir::Control(_) | Stir::Watcher(_) | Stir::Reopen | Stir::Output(_) | Stir::Preflown => {
                        panic!("nobody asked for it")
                    }
                };
                if let Some(exit) = events.into_iter().find(|event| matches!(event, Event::Exited { .. })) {
                    return (ends, exit);
                }
            }
        }
    }

    #[test]
    fn a_worker_that_dies_before_it_connects_frees_its_bridge() {
        let (mut sources, mut workers) = workers_of("/bin/true");
        let spawned = workers.spawn(&recruit(), &[]);
        assert!(matches!(spawned, Event::Spawned { worker: 7, .. }), "{spawned:?}");
        let (ends, exit) = until_the_exit(&mut sources, &mut workers);
        assert_eq!(ends, 1, "the bridge still waits");
        assert!(matches!(exit, Event::Exited { worker: 7, exit: Exit::Code(0), .. }), "{exit:?}");
        assert!(workers.register.is_empty() && workers.deadline().is_none());
    }

    #[test]
    fn a_worker_that_has_not_connected_cannot_be_told_anything() {
        // It is gone at once, but nobody knows before its end is taken in.
        let (mut sources, mut workers) = workers_of("/bin/true");
        let _ = workers.spawn(&recruit(), &[]);
        let answer = workers.say(7, Word::Serve);
        assert!(matches!(answer, Some(Event::Unreachable { worker: 7, .. })), "{answer:?}");
        until_the_exit(&mut sources, &mut workers);
        assert!(workers.say(7, Word::Quit).is_none(), "a worker that is gone was spoken to");
    }

    #[test]
    fn a_binary_that_cannot_be_executed_is_an_event() {
        let (_sources, mut workers) = workers_of("/dev/null");
        let event = workers.spawn(&recruit(), &[]);
        let Event::NotSpawned { worker: 7, why } = event else { panic!("{event:?}") };
        assert_eq!(why, "cannot spawn a worker: Permission denied");
    }
}
