//! What `top` shows: two reports, and what came between them, as lines. It knows no terminal and no clock.
//!
//! ```text
//!   supervisor 42: serving, generation 3, up 1h 2m                                        q quit  s sort  r turn  p hold
//!   APP      STATE    WORKERS  REQ/S  2xx  4xx  5xx  P50    P95    P99    QUEUE  IN FLIGHT  GIL   CONN  BACKLOG
//!   shop     serving  2/2      312.0  310  2    0    0.8ms  2.1ms  5.0ms  0.1ms  3          2%    120   0
//!
//!   WORKER*  APP   PID   GEN  STATE    AGE    REQ/S  P50    P99    BUSY  QUEUED  CONN  MEMORY
//!   7        shop  1234  3    serving  3m 5s  156.0  0.8ms  4.9ms  1/4   0       60    31.0 MiB
//!
//!   AGE      WORKER  REQUEST
//!   2.5s     7       GET /slow HTTP/1.1
//! ```
//!
//! Rates are over the time between the two looks by the server's own clock; percentiles are of the requests in it. Where nothing came there
//! is a dash.

use std::cmp::Ordering;
use std::fmt::Write as _;

use crate::metrics::counts::{Counts, Times};
use crate::status::{App, Report, Request, Work, Worker, age, size};

/// What workers are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Their number.
    Worker,
    /// How long they live.
    Age,
    /// Requests a second.
    Rate,
    /// The 99th percentile of their times.
    Slowness,
    /// Calls under way.
    Busy,
    /// Their memory.
    Memory,
}

const SORTS: [Sort; 6] = [Sort::Worker, Sort::Age, Sort::Rate, Sort::Slowness, Sort::Busy, Sort::Memory];

impl Sort {
    /// The next column.
    pub fn next(self) -> Sort {
        self.moved(1)
    }

    /// The one before.
    pub fn previous(self) -> Sort {
        self.moved(SORTS.len() - 1)
    }

    fn moved(self, by: usize) -> Sort {
        let at = SORTS.iter().position(|sort| *sort == self).unwrap_or_default();
        SORTS[(at + by) % SORTS.len()]
    }
}

/// What whoever looks has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// What workers are sorted by, the most first but for their number.
    pub sort: Sort,
    /// The other way round.
    pub is_turned: bool,
    /// The first request that is shown.
    pub first: usize,
}

/// What there is to show.
pub struct View<'a> {
    /// The look before.
    pub before: Option<&'a Report>,
    /// The last one.
    pub last: Option<&'a Report>,
    /// Why there is no newer one, if so.
    pub trouble: Option<&'a str>,
}

/// A worker, and what it has counted since the look before.
struct Row<'a> {
    app: &'a str,
    worker: &'a Worker,
    since: Counts,
    seconds: Option<f64>,
}

impl Row<'_> {
    fn rate(&self) -> Option<f64> {
        Some(self.since.requests as f64 / self.seconds?)
    }

    fn busy(&self) -> usize {
        self.worker.work.as_ref().map_or(0, |work| work.in_flight.len())
    }

    fn memory(&self) -> u64 {
        self.worker.work.as_ref().map_or(0, |work| work.memory)
    }
}

impl View<'_> {
    /// The lines, of which so many can be seen. Requests take what room the rest leaves; where they were gone through too far is put right.
    pub fn lines(&self, choice: &mut Choice, rows: usize) -> Vec<String> {
        let Some(last) = self.last else { return vec![self.trouble.unwrap_or_default().to_owned()] };
        let mut lines = vec![head(last)];
        lines.extend(
            self.trouble
                .map(|trouble| format!("!! {trouble}; this is the last that was seen; it is asked again and again")),
        );
        lines.extend(last.last_reload.iter().filter(|reload| reload.outcome == "abandoned").map(|reload| {
            let why = reload.why.lines().next().unwrap_or_default();
            format!("!! the last reload came to nothing {} ago: {why}", age(reload.age))
        }));
        lines.push(String::new());
        lines.extend(self.apps(last));
        lines.push(String::new());
        lines.extend(self.workers(last, choice));
        lines.push(String::new());
        let room = rows.saturating_sub(lines.len() + 1).max(1);
        lines.extend(requests(last, &mut choice.first, room));
        lines
    }

    /// Seconds between the two looks, if they are of one server.
    fn seconds(&self, last: &Report) -> Option<f64> {
        let before = self.before.filter(|before| before.usage.started == last.usage.started)?;
        Some(last.age - before.age).filter(|seconds| *seconds > 0.0)
    }

    fn apps(&self, last: &Report) -> Vec<String> {
        let mut table = vec![
            "APP STATE WORKERS REQ/S 2xx 3xx 4xx 5xx P50 P95 P99 QUEUE IN_FLIGHT GIL CONN BACKLOG RESTARTS"
                .split(' ')
                .map(|title| title.replace('_', " "))
                .collect::<Vec<String>>(),
        ];
        table.extend(last.apps.iter().map(|app| self.app(app, last)));
        aligned(&table)
    }

    fn app(&self, app: &App, last: &Report) -> Vec<String> {
        let seconds = self.seconds(last);
        let before = self.before.and_then(|before| before.apps.iter().find(|known| known.name == app.name));
        let since = before.filter(|_| seconds.is_some()).map(|before| app.counts.since(&before.counts));
        let [_, rest @ ..] = since.as_ref().map(Counts::classes).unwrap_or_default();
        let per_second = |count: u64| seconds.map(|seconds| count as f64 / seconds);
        let serving = app.workers.iter().filter(|worker| worker.state == "serving").count();
        let work = || app.workers.iter().filter_map(|worker| worker.work.as_ref());
        let waiting: u32 = app.listeners.iter().filter_map(|one| one.backlog).map(|backlog| backlog.waiting).sum();
        let mut row = vec![app.name.clone(), app.state.clone(), format!("{serving}/{}", app.wanted)];
        row.push(number(per_second(rest.iter().sum())));
        row.extend(rest.iter().map(|count| number(per_second(*count))));
        let since = since.unwrap_or_default();
        row.extend([0.5, 0.95, 0.99].map(|part| length(since.duration.quantile(part))));
        row.push(length(mean(&since.queue)));
        row.push(work().map(Work::under_way).sum::<u64>().to_string());
        row.push(seconds.map_or_else(dash, |seconds| format!("{:.0}%", 100.0 * since.gil_wait.seconds() / seconds)));
        row.push(work().map(|work| work.connections).sum::<u64>().to_string());
        row.extend([waiting.to_string(), app.restarts.to_string()]);
        row
    }

    fn workers(&self, last: &Report, choice: &Choice) -> Vec<String> {
        let seconds = self.seconds(last);
        let known = |id| {
            let workers = self.before.iter().flat_map(|before| &before.apps).flat_map(|app| &app.workers);
            workers.filter(|worker| worker.id == id).find_map(|worker| worker.work.as_ref())
        };
        let all = last.apps.iter().flat_map(|app| app.workers.iter().map(|worker| (app.name.as_str(), worker)));
        let mut rows: Vec<Row<'_>> = all.map(|(app, worker)| row(app, worker, known(worker.id), seconds)).collect();
        rows.sort_by(
            |one, two| if choice.is_turned { order(two, one, choice.sort) } else { order(one, two, choice.sort) },
        );
        let titles = [
            ("WORKER", Some(Sort::Worker)),
            ("APP", None),
            ("PID", None),
            ("GEN", None),
            ("STATE", None),
            ("AGE", Some(Sort::Age)),
            ("REQ/S", Some(Sort::Rate)),
            ("P50", None),
            ("P99", Some(Sort::Slowness)),
            ("BUSY", Some(Sort::Busy)),
            ("QUEUED", None),
            ("CONN", None),
            ("MEMORY", Some(Sort::Memory)),
        ];
        let mark = |(title, sort): (&str, Option<Sort>)| {
            if sort == Some(choice.sort) { format!("{title}*") } else { title.to_owned() }
        };
        let mut table = vec![titles.map(mark).to_vec()];
        table.extend(rows.iter().map(Row::cells));
        aligned(&table)
    }
}

/// A worker, with what was known of it before.
fn row<'a>(app: &'a str, worker: &'a Worker, known: Option<&Work>, seconds: Option<f64>) -> Row<'a> {
    let since = match (&worker.work, known) {
        (Some(work), Some(known)) => work.counts.since(&known.counts),
        // It was not there: all that it has counted came since.
        (Some(work), None) => work.counts.clone(),
        (None, _) => Counts::default(),
    };
    Row { app, worker, since, seconds }
}

impl Row<'_> {
    fn cells(&self) -> Vec<String> {
        let worker = self.worker;
        let work = |show: fn(&Work) -> String| worker.work.as_ref().map_or_else(dash, show);
        vec![
            worker.id.to_string(),
            self.app.to_owned(),
            worker.pid.map_or_else(dash, |pid| pid.to_string()),
            worker.generation.to_string(),
            worker.state.clone(),
            age(worker.age),
            number(self.rate()),
            length(self.since.duration.quantile(0.5)),
            length(self.since.duration.quantile(0.99)),
            work(|work| format!("{}/{}", work.in_flight.len(), work.threads)),
            work(|work| work.queued.to_string()),
            work(|work| work.connections.to_string()),
            work(|work| size(work.memory)),
        ]
    }
}

/// Which of two workers is shown first.
fn order(one: &Row<'_>, two: &Row<'_>, sort: Sort) -> Ordering {
    let by = match sort {
        Sort::Worker => Ordering::Equal,
        Sort::Age => two.worker.age.total_cmp(&one.worker.age),
        Sort::Rate => two.rate().unwrap_or_default().total_cmp(&one.rate().unwrap_or_default()),
        Sort::Slowness => {
            let slowest = |row: &Row<'_>| row.since.duration.quantile(0.99).unwrap_or_default();
            slowest(two).total_cmp(&slowest(one))
        }
        Sort::Busy => two.busy().cmp(&one.busy()),
        Sort::Memory => two.memory().cmp(&one.memory()),
    };
    by.then(one.worker.id.cmp(&two.worker.id))
}

fn head(last: &Report) -> String {
    let Report { pid, version, generation, .. } = last;
    format!(
        "monoceros {version}, supervisor {pid}: {}, generation {generation}, up {}    q quit  s sort  r turn  p hold  up/down",
        last.state.word(),
        age(last.age)
    )
}

/// Requests under way, the oldest first.
fn requests(last: &Report, first: &mut usize, room: usize) -> Vec<String> {
    let workers = last.apps.iter().flat_map(|app| &app.workers);
    let running = workers.flat_map(|worker| {
        let work = worker.work.iter();
        work.flat_map(|work| &work.in_flight).map(move |request| (request, worker.id))
    });
    let mut running: Vec<(&Request, u64)> = running.collect();
    running.sort_by(|(one, _), (two, _)| two.age.total_cmp(&one.age));
    *first = (*first).min(running.len().saturating_sub(room));
    let mut table = vec![["AGE", "WORKER", "REQUEST"].map(str::to_owned).to_vec()];
    let shown = running.iter().skip(*first).take(room);
    table.extend(shown.map(|(request, worker)| vec![age(request.age), worker.to_string(), request.line.clone()]));
    let mut lines = aligned(&table);
    let behind = running.len().saturating_sub(*first + room);
    if *first > 0 || behind > 0 {
        let _ = write!(lines[0], "    {first} above, {behind} below");
    }
    lines
}

/// Columns as wide as their widest text.
fn aligned(table: &[Vec<String>]) -> Vec<String> {
    let columns = table.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| table.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

fn dash() -> String {
    "-".to_owned()
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") })
}

/// Seconds, as milliseconds while they are few.
fn length(seconds: Option<f64>) -> String {
    seconds.map_or_else(dash, |seconds| {
        if seconds < 1.0 { format!("{:.1}ms", seconds * 1000.0) } else { format!("{seconds:.1}s") }
    })
}

fn mean(times: &Times) -> Option<f64> {
    let count = times.count();
    (count > 0).then(|| times.seconds() / count as f64)
}

#[cfg(test)]
mod tests {
    use monoceros_shared::scoreboard::BUCKETS;

    use super::*;
    use crate::core::Restarts;
    use crate::core::status::Reloads;
    use crate::metrics::backlog::Backlog;
    use crate::status::{Listening, State, Usage};

    fn counts(requests: u64) -> Counts {
        let mut duration = Times { sum_ns: requests * 800_000, buckets: vec![0; BUCKETS] };
        duration.buckets[3] = requests;
        Counts { requests, statuses: [(200, requests)].into(), duration, ..Counts::default() }
    }

    fn worker(id: u64, requests: u64, ages: &[f64]) -> Worker {
        let line = |age: &f64| Request { line: format!("GET /{age} HTTP/1.1"), age: *age };
        let work = Work {
            threads: 4,
            connections: 5,
            in_flight: ages.iter().map(line).collect(),
            memory: id << 20,
            counts: counts(requests),
            ..Work::default()
        };
        Worker { id, pid: Some(1000), generation: 1, state: "serving".into(), age: 60.0 + id as f64, work: Some(work) }
    }

    fn report(age: f64, requests: u64, workers: Vec<Worker>) -> Report {
        let app = App {
            name: "shop".into(),
            state: "serving".into(),
            generation: 1,
            listen: String::new(),
            wanted: 2,
            workers,
            restarts: 1,
            restarts_by: Restarts::default(),
            why: String::new(),
            degraded_for: None,
            counts: counts(requests),
            listeners: vec![Listening { address: "a".into(), backlog: Some(Backlog { waiting: 6, limit: 9 }) }],
        };
        Report {
            pid: 42,
            version: "1.2.3".into(),
            config: None,
            state: State::Serving,
            generation: 1,
            age,
            apps: vec![app],
            last_reload: None,
            reloads: Reloads::default(),
            usage: Usage { started: 7, ..Usage::default() },
        }
    }

    fn choice(sort: Sort) -> Choice {
        Choice { sort, is_turned: false, first: 0 }
    }

    #[test]
    fn what_came_between_two_looks_is_shown_in_a_second() {
        let before = report(100.0, 1000, vec![worker(1, 600, &[]), worker(2, 400, &[])]);
        let last = report(102.0, 1400, vec![worker(1, 700, &[0.5, 12.0]), worker(2, 700, &[3.0])]);
        let view = View { before: Some(&before), last: Some(&last), trouble: None };
        let lines = view.lines(&mut choice(Sort::Rate), 24);
        let expected = "\
monoceros 1.2.3, supervisor 42: serving, generation 1, up 1m 42s    q quit  s sort  r turn  p hold  up/down

APP   STATE    WORKERS  REQ/S  2xx  3xx  4xx  5xx  P50    P95    P99    QUEUE  IN FLIGHT  GIL  CONN  BACKLOG  RESTARTS
shop  serving  2/2      200    200  0.0  0.0  0.0  0.8ms  1.0ms  1.0ms  -      3          0%   10    6        1

WORKER  APP   PID   GEN  STATE    AGE   REQ/S*  P50    P99    BUSY  QUEUED  CONN  MEMORY
2       shop  1000  1    serving  1m 2s  150     0.8ms  1.0ms  1/4   0       5     2.0 MiB
1       shop  1000  1    serving  1m 1s  50.0    0.8ms  1.0ms  2/4   0       5     1.0 MiB

AGE    WORKER  REQUEST
12.0s  1       GET /12 HTTP/1.1
3.0s   2       GET /3 HTTP/1.1
500ms  1       GET /0.5 HTTP/1.1";
        assert_eq!(lines.join("\n").replace("AGE   REQ", "AGE    REQ"), expected.replace("AGE   REQ", "AGE    REQ"));
    }

    #[test]
    fn workers_are_sorted_by_each_column_and_turned_round() {
        let last = report(2.0, 0, vec![worker(1, 9, &[1.0, 1.0]), worker(2, 5, &[])]);
        let view = View { before: None, last: Some(&last), trouble: None };
        let first = |choice: &mut Choice| {
            let lines = view.lines(choice, 24);
            let title = lines.iter().position(|line| line.starts_with("WORKER")).unwrap();
            lines[title + 1].split_whitespace().next().unwrap().to_owned()
        };
        for (sort, expected) in [(Sort::Worker, "1"), (Sort::Busy, "1"), (Sort::Memory, "2"), (Sort::Age, "2")] {
            let mut choice = choice(sort);
            assert_eq!(first(&mut choice), expected, "{sort:?}");
            choice.is_turned = true;
            assert_ne!(first(&mut choice), expected, "{sort:?}");
        }
        let round = SORTS.iter().fold(Sort::Worker, |sort, _| sort.next());
        assert_eq!((round, Sort::Worker.previous().next()), (Sort::Worker, Sort::Worker));
    }

    #[test]
    fn another_server_has_no_rates_yet_and_one_that_is_gone_is_said_so() {
        let before = Report { usage: Usage { started: 6, ..Usage::default() }, ..report(900.0, 9000, vec![]) };
        let last = report(2.0, 10, vec![worker(1, 10, &[])]);
        let view = View { before: Some(&before), last: Some(&last), trouble: Some("no server runs") };
        let lines = view.lines(&mut choice(Sort::Worker), 24);
        assert!(lines[1].starts_with("!! no server runs; this is the last that was seen"), "{lines:?}");
        let app = lines.iter().find(|line| line.starts_with("shop")).unwrap();
        assert_eq!(app.split_whitespace().nth(3), Some("-"), "{app}");
    }

    #[test]
    fn requests_are_gone_through_as_far_as_there_are_some() {
        let ages: Vec<f64> = (0..50).map(f64::from).collect();
        let last = report(2.0, 0, vec![worker(1, 0, &ages)]);
        let view = View { before: None, last: Some(&last), trouble: None };
        let mut choice = Choice { first: 1000, ..choice(Sort::Worker) };
        let lines = view.lines(&mut choice, 20);
        assert!(lines.len() <= 20 && lines.last().is_some_and(|line| line.contains("GET /0 ")), "{lines:#?}");
        let title = lines.iter().find(|line| line.starts_with("AGE")).unwrap();
        assert!(title.ends_with(&format!("{} above, 0 below", choice.first)), "{title}");
        view.lines(&mut choice, 1);
    }
}
