//! How things are, as `supervisor status` shows it: the core's view of lives, with what each worker is at from its
//! scoreboard, as JSON for programs and as a table for people.
//!
//! Rules
//! * Ages are seconds. What is not known is `null`, never a zero.
//! * Keys are only ever added: programs read this.

use std::fmt::{self, Write as _};
use std::sync::atomic::Ordering;
use std::time::Duration;

use monoceros_shared::scoreboard::{Scoreboard, ThreadRow};
use serde::{Deserialize, Serialize};

use crate::core::line::span;
use crate::core::status::{AppState, AppStatus, LastReload, Outcome, ServerState, Status, WorkerStatus};
use crate::core::{Cause, Restarts, WorkerId};

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
    /// What a scoreboard shows at a moment of its clock, in ms.
    pub fn of(scoreboard: &Scoreboard, memory: u64, now_ms: u64) -> Work {
        let counters = scoreboard.counters();
        let age = |since_ms| Duration::from_millis(now_ms.saturating_sub(since_ms)).as_secs_f64();
        let running = scoreboard.used().iter().filter_map(ThreadRow::current);
        Work {
            requests: counters.requests.load(Ordering::Relaxed),
            connections: counters.open.load(Ordering::Relaxed),
            threads: scoreboard.threads().len(),
            in_flight: running.map(|(line, since_ms)| Request { line, age: age(since_ms) }).collect(),
            memory,
        }
    }
}

impl Report {
    /// A report of the core's view, which `work` fills in for each worker.
    pub fn new(status: Status, config: Option<String>, work: impl Fn(WorkerId) -> Option<Work>) -> Report {
        Report {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config,
            state: state_of(&status),
            generation: status.generation,
            age: status.age.as_secs_f64(),
            last_reload: status.last_reload.map(|last| reload_of(last, status.age)),
            apps: status.apps.into_iter().map(|app| app_of(app, &work)).collect(),
        }
    }
}

fn state_of(status: &Status) -> State {
    let state = match status.state {
        ServerState::Lingering | ServerState::Stopping => return State::Stopping,
        ServerState::Parked => return State::Parked,
        ServerState::Up => State::Serving,
        ServerState::Reading | ServerState::Binding | ServerState::Loading | ServerState::Draining => State::Reloading,
    };
    if status.apps.iter().all(|app| app.state == AppState::Serving) { state } else { State::Degraded }
}

fn app_of(app: AppStatus, work: &impl Fn(WorkerId) -> Option<Work>) -> App {
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
        work: work(worker.id),
    };
    App {
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

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Serving => "serving",
            State::Degraded => "degraded",
            State::Reloading => "reloading",
            State::Parked => "parked",
            State::Stopping => "stopping",
        };
        let (pid, generation) = (self.pid, self.generation);
        writeln!(f, "supervisor {pid}: {state}, generation {generation}, up {}", age(self.age))?;
        if let Some(last) = &self.last_reload {
            writeln!(f, "last reload: {} {} ago ({})", last.outcome, age(last.age), last.cause)?;
            block(f, &last.why)?;
            block(f, &last.detail)?;
        }
        self.apps.iter().try_for_each(|app| app.show(f))
    }
}

impl App {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serving = self.workers.iter().filter(|worker| worker.state == "serving").count();
        writeln!(f)?;
        write!(f, "{}: {}, generation {}, ", self.name, self.state, self.generation)?;
        writeln!(f, "{serving} of {} workers, {}, {}", self.wanted, self.shown_restarts(), self.listen)?;
        if let Some(length) = self.degraded_for {
            writeln!(f, "    for {}:", age(length))?;
        }
        block(f, &self.why)?;
        if self.workers.is_empty() {
            return Ok(());
        }
        let mut rows =
            vec![["worker", "pid", "generation", "state", "age", "served", "busy", "memory"].map(str::to_owned)];
        rows.extend(self.workers.iter().map(Worker::row));
        let table = aligned(&rows);
        writeln!(f, "{}", table[0])?;
        for (worker, row) in self.workers.iter().zip(&table[1..]) {
            writeln!(f, "{row}")?;
            for request in worker.work.iter().flat_map(|work| &work.in_flight) {
                writeln!(f, "      {} for {}", request.line, age(request.age))?;
            }
        }
        Ok(())
    }
}

impl App {
    /// `3 restarts (2 crashes, 1 stuck)`.
    fn shown_restarts(&self) -> String {
        let Restarts { crash, exit, boot_failure, stuck, silent, recycled } = self.restarts_by;
        let by = [
            (crash, "crashed"),
            (exit, "exited"),
            (boot_failure, "failed to boot"),
            (stuck, "stuck"),
            (silent, "silent"),
        ];
        let by: Vec<String> = by.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let plural = if self.restarts == 1 { "" } else { "s" };
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        let recycled = if recycled == 0 { String::new() } else { format!(", {recycled} recycled") };
        format!("{} restart{plural}{by}{recycled}", self.restarts)
    }
}

impl Worker {
    fn row(&self) -> [String; 8] {
        let unknown = || "-".to_owned();
        let work = self.work.as_ref();
        [
            self.id.to_string(),
            self.pid.map_or_else(unknown, |pid| pid.to_string()),
            self.generation.to_string(),
            self.state.clone(),
            age(self.age),
            work.map_or_else(unknown, |work| work.requests.to_string()),
            work.map_or_else(unknown, |work| format!("{}/{}", work.in_flight.len(), work.threads)),
            work.map_or_else(unknown, |work| size(work.memory)),
        ]
    }
}

/// Columns as wide as their widest text.
fn aligned(rows: &[[String; 8]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let mut line = String::new();
        for (text, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {text:width$}");
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `12.3 MiB`.
fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn block(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "    {line}"))
}

/// `12.3s`, `3m 4s`, `2h 3m`, `5d 6h`.
fn age(seconds: f64) -> String {
    // What another program wrote may be no length of time.
    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = age.as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => span(age),
        60..3600 => format!("{minutes}m {}s", whole % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        86_400.. => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
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
        }
    }

    fn report() -> Report {
        let work = |worker| {
            let request = Request { line: "GET /slow HTTP/1.1".into(), age: 2.5 };
            (worker == 7).then(|| Work {
                requests: 99,
                connections: 3,
                threads: 4,
                in_flight: vec![request],
                memory: 12 << 20,
            })
        };
        Report { pid: 42, ..Report::new(status(), Some("/etc/a.yaml".into()), work) }
    }

    #[test]
    fn work_is_what_the_scoreboard_shows() {
        let (scoreboard, _memory) = Scoreboard::create(3).unwrap();
        scoreboard.counters().requests.store(7, Ordering::Relaxed);
        scoreboard.counters().open.store(2, Ordering::Relaxed);
        scoreboard.use_row(2);
        scoreboard.threads()[1].begin(b"GET / HTTP/1.1", 1000);
        let in_flight = vec![Request { line: "GET / HTTP/1.1".into(), age: 0.5 }];
        let expected = Work { requests: 7, connections: 2, threads: 3, in_flight, memory: 9 };
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
