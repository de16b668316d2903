//! How things are, as `supervisor status` shows it: the core's view of lives, with what each worker is at from its
//! scoreboard, as JSON for programs and as a table for people.
//!
//! Rules
//! * Ages are seconds. What is not known is `null`, never a zero.
//! * Keys are only ever added: programs read this.

mod table;

use std::sync::atomic::Ordering;
use std::time::Duration;

use monoceros_shared::scoreboard::{Scoreboard, ThreadRow};
use serde::{Deserialize, Serialize};

use crate::core::status::{AppState, AppStatus, LastReload, Outcome, Reloads, ServerState, Status, WorkerStatus};
use crate::core::{Cause, Restarts, WorkerId};
use crate::metrics::backlog::Backlog;
use crate::metrics::counts::Counts;
pub use table::{age, size};

/// A server, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of the supervisor.
    pub pid: u32,
    /// Of the supervisor.
    pub version: String,
    /// The config file's real path; `null` when the command line alone described it.
    pub config: Option<String>,
    /// `serving`, `degraded`, `reloading`, `parked` or `stopping`.
    pub state: State,
    /// The newest generation that was adopted.
    pub generation: u64,
    /// How long it has been up.
    pub age: f64,
    /// Its applications.
    pub apps: Vec<App>,
    /// What came of the last reload, if there was one.
    pub last_reload: Option<Reload>,
    /// What came of all of them.
    #[serde(default)]
    pub reloads: Reloads,
    /// What the supervisor itself takes.
    #[serde(default)]
    pub usage: Usage,
}

/// What the supervisor's own process takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// When the server was started, in whole seconds since 1970.
    pub started: u64,
    /// Seconds of processor time since this program was started.
    pub cpu: f64,
    /// Bytes of its memory that are in RAM.
    pub memory: u64,
    /// Descriptors that it has open.
    pub descriptors: u64,
    /// Lines that this program has logged: critical ones, errors, warnings.
    pub logged: [u64; 3],
}

/// What a server is at, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Every application has the workers it is to have.
    Serving,
    /// Some application has not.
    Degraded,
    /// The same as serving, and a reload is on its way.
    Reloading,
    /// It has no workers, and keeps its listeners (WINCH).
    Parked,
    /// It was told to stop.
    Stopping,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its name.
    pub name: String,
    /// `serving`, `degraded`, `starting` or `broken`.
    pub state: String,
    /// The generation that serves, or tries to.
    pub generation: u64,
    /// Where it listens.
    pub listen: String,
    /// How many workers are to serve.
    pub wanted: usize,
    /// Its processes.
    pub workers: Vec<Worker>,
    /// Workers that had to be replaced, and nobody had asked for it.
    pub restarts: u64,
    /// The same by the reason, and those that were recycled.
    #[serde(default)]
    pub restarts_by: Restarts,
    /// Why it does not just serve; else empty.
    #[serde(default)]
    pub why: String,
    /// How long it has been losing too many workers; `null` if it does not.
    #[serde(default)]
    pub degraded_for: Option<f64>,
    /// What its workers have counted since the server was started, those that are gone too.
    #[serde(default)]
    pub counts: Counts,
    /// Where clients wait to be accepted.
    #[serde(default)]
    pub listeners: Vec<Listening>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Where.
    pub address: String,
    /// Who waits there; `null` where the kernel does not say.
    pub backlog: Option<Backlog>,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// Its number.
    pub id: WorkerId,
    /// Its process.
    pub pid: Option<u32>,
    /// Its generation.
    pub generation: u64,
    /// `booting`, `loaded`, `serving`, `apologising`, `draining`, `quitting` or `killed`.
    pub state: String,
    /// Since its spawn.
    pub age: f64,
    /// What it is at; `null` when there is no process to look at.
    pub work: Option<Work>,
}

/// What a worker is at, from its scoreboard.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Requests since its start.
    pub requests: u64,
    /// Connections that it holds.
    pub connections: u64,
    /// Threads that run Python.
    pub threads: usize,
    /// What they run; the others are idle.
    pub in_flight: Vec<Request>,
    /// Bytes of memory that are in RAM, shared ones counted whole.
    #[serde(default)]
    pub memory: u64,
    /// Whole requests that wait for a thread.
    #[serde(default)]
    pub queued: u64,
    /// Threads that have a request and wait for the GIL.
    #[serde(default)]
    pub awaiting_gil: usize,
    /// What it has counted since its start.
    #[serde(default)]
    pub counts: Counts,
}

/// A request that is being served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Its request line, cut, with control characters escaped.
    pub line: String,
    /// Since it was taken up.
    pub age: f64,
}

/// A reload that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reload {
    /// `adopted` or `abandoned`.
    pub outcome: String,
    /// What asked for it: `signal`, `command`, `file changed`, `code changed: PATH`.
    pub cause: String,
    /// Why it was abandoned; else empty.
    pub why: String,
    /// What helps to see it; else empty.
    pub detail: String,
    /// How long ago it was decided.
    pub age: f64,
}

impl Work {
    /// Requests that are with the application, or wait for a thread or the GIL.
    pub fn under_way(&self) -> u64 {
        self.queued + (self.in_flight.len() + self.awaiting_gil) as u64
    }

    /// What a scoreboard shows at a moment of its clock, in ms.
    pub fn of(scoreboard: &Scoreboard, memory: u64, now_ms: u64) -> Work {
        let counters = scoreboard.counters();
        let age = |since_ms| Duration::from_millis(now_ms.saturating_sub(since_ms)).as_secs_f64();
        let running = scoreboard.used().iter().filter_map(ThreadRow::current);
        Work {
            requests: scoreboard.requests(),
            connections: counters.open.load(Ordering::Relaxed),
            threads: scoreboard.calls_max(),
            in_flight: running.map(|(line, since_ms)| Request { line, age: age(since_ms) }).collect(),
            memory,
            queued: counters.queued.load(Ordering::Relaxed),
            awaiting_gil: scoreboard.tallies().iter().filter(|tally| tally.gil_asked_ns.get() > 0).count(),
            counts: Counts::of(scoreboard),
        }
    }
}

/// What is seen beside the core's view.
pub trait Seen {
    /// What a worker is at.
    fn work(&self, worker: WorkerId) -> Option<Work>;
    /// What an application's workers have counted.
    fn counts(&self, app: &str) -> Counts;
    /// Where an application listens.
    fn listeners(&self, app: &str) -> Vec<Listening>;
    /// What the supervisor takes.
    fn usage(&self) -> Usage;
}

impl Report {
    /// A report of the core's view, and of what else is seen.
    pub fn new(status: Status, config: Option<String>, seen: &impl Seen) -> Report {
        Report {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            state: state_of(&status),
            generation: status.generation,
            age: status.age.as_secs_f64(),
            last_reload: status.last_reload.map(|last| reload_of(last, status.age)),
            reloads: status.reloads,
            usage: seen.usage(),
            apps: status.apps.into_iter().map(|app| app_of(app, seen)).collect(),
        }
    }
}

fn state_of(status: &Status) -> State {
    let state = match status.state {
        ServerState::Lingering | ServerState::Stopping => return State::Stopping,
        ServerState::Parked => return State::Parked,
        ServerState::Up => State::Serving,
        ServerState::Reading
        | ServerState::Binding
        | ServerState::Loading
        | ServerState::Relieving
        | ServerState::Draining => State::Reloading,
    };
    if status.apps.iter().all(|app| app.state == AppState::Serving) { state } else { State::Degraded }
}

fn app_of(app: AppStatus, seen: &impl Seen) -> App {
    let state = match app.state {
        AppState::Serving => "serving",
        AppState::Degraded => "degraded",
        AppState::Starting => "starting",
        AppState::Broken => "broken",
    };
    let worker = |worker: WorkerStatus| Worker {
        id: worker.id,
        pid: worker.pid,
        generation: worker.generation,
        state: worker.state,
        age: worker.age.as_secs_f64(),
        work: seen.work(worker.id),
    };
    App {
        counts: seen.counts(&app.name),
        listeners: seen.listeners(&app.name),
        name: app.name,
        state: state.to_owned(),
        generation: app.generation,
        listen: app.listen,
        wanted: app.wanted,
        workers: app.workers.into_iter().map(worker).collect(),
        restarts: app.restarts.unasked(),
        restarts_by: app.restarts,
        why: app.why,
        degraded_for: app.degraded_for.map(|length| length.as_secs_f64()),
    }
}

fn reload_of(last: LastReload, now: Duration) -> Reload {
    let outcome = match last.outcome {
        Outcome::Adopted => "adopted",
        Outcome::Abandoned => "abandoned",
    };
    let cause = match last.cause {
        Cause::Signal => "signal".to_owned(),
        Cause::Command => "command".to_owned(),
        Cause::Upgraded => "upgrade".to_owned(),
        Cause::FileChanged => "file changed".to_owned(),
        Cause::CodeChanged { app: _, path } => format!("code changed: {path}"),
    };
    let age = now.saturating_sub(last.at).as_secs_f64();
    Reload { outcome: outcome.to_owned(), cause, why: last.why, detail: last.detail, age }
}

#[cfg(test)]
mod tests {
    use monoceros_shared::scoreboard::Size;

    use super::*;

    fn status() -> Status {
        let worker = |id, pid, state: &str| WorkerStatus {
            id,
            pid,
            generation: 3,
            state: state.into(),
            age: Duration::from_millis(500 * id),
        };
        let shop = AppStatus {
            name: "shop".into(),
            state: AppState::Degraded,
            generation: 3,
            listen: "http://127.0.0.1:8000".into(),
            wanted: 2,
            workers: vec![worker(7, Some(1234), "serving"), worker(18, None, "booting")],
            restarts: Restarts { crash: 1, recycled: 2, ..Restarts::default() },
            why: "11 workers lost".into(),
            degraded_for: Some(Duration::from_secs(70)),
        };
        let last = LastReload {
            outcome: Outcome::Abandoned,
            why: "cannot import shop:app: SyntaxError".into(),
            detail: "Traceback\n  File x".into(),
            cause: Cause::CodeChanged { app: "shop".into(), path: "shop.py".into() },
            at: Duration::from_secs(3600),
        };
        Status {
            state: ServerState::Loading,
            generation: 3,
            age: Duration::from_secs(3725),
            apps: vec![shop],
            last_reload: Some(last),
            reloads: Reloads { adopted: 2, abandoned: 1 },
            ended: None,
        }
    }

    struct Glance;

    impl Seen for Glance {
        fn work(&self, worker: WorkerId) -> Option<Work> {
            let request = Request { line: "GET /slow HTTP/1.1".into(), age: 2.5 };
            (worker == 7).then(|| Work {
                requests: 99,
                connections: 3,
                threads: 4,
                in_flight: vec![request],
                memory: 12 << 20,
                ..Work::default()
            })
        }

        fn counts(&self, app: &str) -> Counts {
            assert_eq!(app, "shop");
            Counts { requests: 120, ..Counts::default() }
        }

        fn listeners(&self, _: &str) -> Vec<Listening> {
            vec![Listening { address: "127.0.0.1:8000".into(), backlog: Some(Backlog { waiting: 3, limit: 128 }) }]
        }

        fn usage(&self) -> Usage {
            Usage { started: 1_700_000_000, ..Usage::default() }
        }
    }

    fn report() -> Report {
        Report { pid: 42, ..Report::new(status(), Some("/etc/a.yaml".into()), &Glance) }
    }

    #[test]
    fn work_is_what_the_scoreboard_shows() {
        let (scoreboard, _memory) = Scoreboard::create(Size { threads: 3, tallies: 1 }).unwrap();
        scoreboard.tally(0).requests.add(7);
        scoreboard.counters().open.store(2, Ordering::Relaxed);
        scoreboard.counters().queued.store(4, Ordering::Relaxed);
        scoreboard.use_row(2);
        scoreboard.threads()[1].begin(b"GET / HTTP/1.1", 1000);
        let in_flight = vec![Request { line: "GET / HTTP/1.1".into(), age: 0.5 }];
        scoreboard.tally(0).gil_asked_ns.set(1);
        let counts = Counts::of(&scoreboard);
        let (queued, awaiting_gil) = (4, 1);
        let expected =
            Work { requests: 7, connections: 2, threads: 3, in_flight, memory: 9, queued, awaiting_gil, counts };
        assert_eq!(Work::of(&scoreboard, 9, 1500), expected);
    }

    #[test]
    fn people_see_a_table() {
        let expected = "\
supervisor 42: degraded, generation 3, up 1h 2m
last reload: abandoned 2m 5s ago (code changed: shop.py)
    cannot import shop:app: SyntaxError
    Traceback
      File x

shop: degraded, generation 3, 1 of 2 workers, 1 restart (1 crashed), 2 recycled, http://127.0.0.1:8000
    for 1m 10s:
    11 workers lost
  worker  pid   generation  state    age   served  busy  memory
  7       1234  3           serving  3.5s  99      1/4   12.0 MiB
      GET /slow HTTP/1.1 for 2.5s
  18      -     3           booting  9.0s  -       -     -
";
        assert_eq!(report().to_string(), expected);
    }

    #[test]
    fn programs_see_the_same() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["state"], "degraded");
        assert_eq!(json["apps"][0]["workers"][0]["work"]["in_flight"][0]["line"], "GET /slow HTTP/1.1");
        assert!(json["apps"][0]["workers"][1]["work"].is_null());
        assert_eq!((&json["apps"][0]["restarts"], &json["apps"][0]["restarts_by"]["recycled"]), (&1.into(), &2.into()));
        assert_eq!(json["apps"][0]["degraded_for"], 70.0);
        assert_eq!(json["last_reload"]["age"], 125.0);
        assert_eq!((&json["reloads"]["adopted"], &json["apps"][0]["counts"]["requests"]), (&2.into(), &120.into()));
        assert_eq!(json["apps"][0]["listeners"][0]["backlog"]["waiting"], 3);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report());
    }

    #[test]
    fn a_server_is_what_its_weakest_application_is_unless_it_stops() {
        let of = |state, app| {
            let mut status = status();
            (status.state, status.apps[0].state) = (state, app);
            state_of(&status)
        };
        assert_eq!(of(ServerState::Up, AppState::Serving), State::Serving);
        assert_eq!(of(ServerState::Up, AppState::Broken), State::Degraded);
        assert_eq!(of(ServerState::Draining, AppState::Serving), State::Reloading);
        assert_eq!(of(ServerState::Parked, AppState::Degraded), State::Parked);
        assert_eq!(of(ServerState::Stopping, AppState::Starting), State::Stopping);
    }

    #[test]
    fn lengths_of_time_are_told_in_two_units_at_most() {
        let told = [0.25, 59.9, 60.0, 3600.0, 90_000.0, f64::NAN, -1.0].map(age);
        assert_eq!(told, ["250ms", "59.9s", "1m 0s", "1h 0m", "1d 1h", "0ms", "0ms"]);
    }
}
