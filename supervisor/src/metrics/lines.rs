//! What a statsd server is sent: gunicorn's names, and some of our own.
//!
//! ```text
//!   gunicorn.requests:3|c                    gunicorn.workers:4|g            monoceros.requests.in_flight:2|g
//!   gunicorn.request.status.200:3|c          gunicorn.backlog:0|h            monoceros.request.queue:0.05|ms|@0.25
//!   gunicorn.request.duration:0.42|ms|@0.5   gunicorn.log.exception:1|c          with tags: ...|#env:prod,app:shop
//! ```
//!
//! Rules
//! * A counter's line is what has come since the last one, so that sums are what gunicorn's lines would come to.
//! * A time is not told for each request, which would cost each a datagram, but for each bucket of the histogram that has some: one value
//!   with the sample rate that stands for as many. Counts and sums are exact; percentiles are as near as the buckets are narrow.
//! * With tags each application has lines of its own. Without there is one line, for all of them.

use std::collections::BTreeMap;

use monoceros_shared::config::Statsd;

use super::counts::{Counts, Times, ends_ns};
use super::exposition::LEVELS;
use crate::status::{App, Report, Work};

/// What had been counted when lines were made last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    apps: BTreeMap<String, Counts>,
    /// Lines of the supervisor's.
    logged: [u64; 3],
}

/// What is to be told next time as old.
pub fn told(report: &Report) -> Told {
    let apps = report.apps.iter().map(|app| (app.name.clone(), app.counts.clone()));
    Told { apps: apps.collect(), logged: report.usage.logged }
}

/// The lines for what has come since, and for how things are.
pub fn of(report: &Report, before: &Told, statsd: &Statsd) -> Vec<String> {
    let mut page = Lines { prefix: &statsd.prefix, tags: String::new(), lines: Vec::new() };
    let since =
        |app: &App| before.apps.get(&app.name).map_or_else(|| app.counts.clone(), |before| app.counts.since(before));
    let logged: [u64; 3] = std::array::from_fn(|level| report.usage.logged[level].saturating_sub(before.logged[level]));
    if statsd.tags.is_empty() {
        let mut all = Counts { logged, ..Counts::default() };
        report.apps.iter().for_each(|app| all.add(&since(app)));
        page.of(&report.apps.iter().collect::<Vec<_>>(), &all);
        return page.lines;
    }
    let tag =
        |(name, value): (&String, &String)| if value.is_empty() { name.clone() } else { format!("{name}:{value}") };
    let tags: Vec<String> = statsd.tags.iter().map(tag).collect();
    page.tags = format!("|#{}", tags.join(","));
    page.logged(logged);
    for app in &report.apps {
        page.tags = format!("|#{},app:{}", tags.join(","), app.name);
        page.of(&[app], &since(app));
    }
    page.lines
}

struct Lines<'a> {
    prefix: &'a str,
    tags: String,
    lines: Vec<String>,
}

impl Lines<'_> {
    fn of(&mut self, apps: &[&App], since: &Counts) {
        let answered = since.statuses.values().sum();
        self.counter("gunicorn.requests", answered);
        for (status, count) in &since.statuses {
            self.counter(&format!("gunicorn.request.status.{status}"), *count);
        }
        self.timer("gunicorn.request.duration", &since.duration);
        // gunicorn's errors are those without a traceback.
        let [critical, errors, warnings] = since.logged;
        self.logged([critical, errors.saturating_sub(since.exceptions), warnings]);
        self.counter("gunicorn.log.exception", since.exceptions);
        let workers = || apps.iter().flat_map(|app| &app.workers);
        let work = || workers().filter_map(|worker| worker.work.as_ref());
        self.gauge("gunicorn.workers", workers().filter(|worker| worker.state == "serving").count() as u64);
        let backlogs = apps.iter().flat_map(|app| &app.listeners).filter_map(|listener| listener.backlog);
        let waiting: Vec<u64> = backlogs.map(|backlog| backlog.waiting.into()).collect();
        if !waiting.is_empty() {
            self.line("gunicorn.backlog", &format!("{}|h", waiting.iter().sum::<u64>()));
        }
        self.timer("monoceros.request.queue", &since.queue);
        self.timer("monoceros.gil_wait", &since.gil_wait);
        self.counter("monoceros.requests.timed_out", since.timeouts);
        self.counter("monoceros.requests.refused", since.refused);
        let queued = work().map(|work| work.queued).sum::<u64>();
        let running = work().map(|work| work.in_flight.len() as u64).sum::<u64>();
        self.gauge("monoceros.requests.in_flight", work().map(Work::under_way).sum());
        self.gauge("monoceros.requests.queued", queued);
        self.gauge("monoceros.threads.busy", running);
        self.gauge("monoceros.connections", work().map(|work| work.connections).sum());
        self.gauge("monoceros.memory", work().map(|work| work.memory).sum());
        self.gauge("monoceros.restarts", apps.iter().map(|app| app.restarts).sum());
    }

    fn logged(&mut self, counts: [u64; 3]) {
        for (level, count) in LEVELS.into_iter().zip(counts) {
            self.counter(&format!("gunicorn.log.{level}"), count);
        }
    }

    fn counter(&mut self, name: &str, count: u64) {
        if count > 0 {
            self.line(name, &format!("{count}|c"));
        }
    }

    fn gauge(&mut self, name: &str, value: u64) {
        self.line(name, &format!("{value}|g"));
    }

    fn timer(&mut self, name: &str, times: &Times) {
        for (seconds, count) in representatives(times) {
            let rate = if count == 1 { String::new() } else { format!("|@{}", sample_rate(count)) };
            self.line(name, &format!("{:.6}|ms{rate}", seconds * 1000.0));
        }
    }

    fn line(&mut self, name: &str, rest: &str) {
        self.lines.push(format!("{}{name}:{rest}{}", self.prefix, self.tags));
    }
}

/// A sample rate that stands for so many. Some servers cut what it stands for to a whole number, so it is a hair more where it would
/// be less.
fn sample_rate(count: u64) -> String {
    let digits = 12 + count.to_string().len();
    let text = |of: f64| format!("{:.digits$}", 1.0 / of).trim_end_matches('0').to_owned();
    let exact = text(count as f64);
    let stands_for = exact.parse().map_or(0.0, |rate: f64| 1.0 / rate);
    if stands_for as u64 == count { exact } else { text(count as f64 * (1.0 + 1e-9)) }
}

/// For each bucket that has some, a number of seconds between its ends, and how many it stands for. All lie in the same part of their
/// buckets, so chosen that their sum is what was measured.
fn representatives(times: &Times) -> Vec<(f64, u64)> {
    let buckets = || times.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    let ends = |bucket: usize| ends_ns(bucket);
    let (low, wide) = buckets().fold((0.0, 0.0), |(low, wide), (bucket, count)| {
        let (lower, upper) = ends(bucket);
        (low + lower * *count as f64, wide + (upper - lower) * *count as f64)
    });
    let part = if wide > 0.0 { ((times.sum_ns as f64 - low) / wide).clamp(0.0, 1.0) } else { 0.5 };
    let mut chosen: Vec<(f64, u64)> = buckets()
        .map(|(bucket, count)| {
            let (lower, upper) = ends(bucket);
            ((lower + (upper - lower) * part) / 1e9, *count)
        })
        .collect();
    // What is above the last bound has no upper end, and takes what is left.
    if times.buckets.len() == monoceros_shared::scoreboard::BUCKETS
        && times.buckets.last().is_some_and(|count| *count > 0)
        && let Some((last, others)) = chosen.split_last_mut()
    {
        let rest = times.seconds() - others.iter().map(|(seconds, count)| seconds * *count as f64).sum::<f64>();
        last.0 = last.0.max(rest / last.1 as f64);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use monoceros_shared::scoreboard::{BOUNDS_NS, BUCKETS};

    use super::*;

    #[test]
    fn values_lie_in_their_buckets_and_their_sum_is_what_was_measured() {
        let cases: [&[u64]; 5] = [
            &[7_000_000],
            &[50_000, 60_000, 7_000_000, 7_000_001],
            &[0],
            &[1, 90_000_000_000, 100_000_000_000],
            &[100_000_000_000],
        ];
        for case in cases {
            let mut times = Times { sum_ns: case.iter().sum(), buckets: vec![0; BUCKETS] };
            for ns in case {
                let bucket = BOUNDS_NS.iter().position(|bound| ns <= bound).unwrap_or(BOUNDS_NS.len());
                times.buckets[bucket] += 1;
            }
            let chosen = representatives(&times);
            let count: u64 = chosen.iter().map(|(_, count)| count).sum();
            let sum: f64 = chosen.iter().map(|(seconds, count)| seconds * *count as f64).sum();
            assert_eq!(count, case.len() as u64);
            assert!((sum - times.seconds()).abs() < 1e-6, "{case:?}: {chosen:?}");
        }
        assert_eq!(representatives(&Times::default()), []);
    }

    #[test]
    fn a_sample_rate_stands_for_no_fewer_than_it_should_and_no_whole_one_more() {
        for count in (2..5000).chain([1_000_000, 49 * 49, 123_456_789]) {
            let rate: f64 = sample_rate(count).parse().unwrap();
            assert_eq!((1.0 / rate) as u64, count, "{}", sample_rate(count));
        }
    }
}
