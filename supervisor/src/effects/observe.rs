//! What workers do and have used up, looked at from outside: their scoreboards, their memory. None is asked.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use monoceros_shared::scoreboard::Scoreboard;
use nix::time::{ClockId, clock_gettime};

use super::{Worker, Workers};
use crate::core::line::span;
use crate::core::{Event, LastSeen, WorkerId};
use crate::memory;
use crate::metrics::counts::Counts;
use crate::pulse::Vital;
use crate::systemd::notify::Beats;

impl Worker {
    fn vital(&self) -> Vital {
        let counters = self.scoreboard.counters();
        let at = |beat: &AtomicU64| beat.load(Ordering::Relaxed);
        Vital { io_ms: at(&counters.io_beat), python_ms: at(&counters.python_beat), heartbeat: self.heartbeat }
    }

    fn is_measured(&self) -> bool {
        self.recycle.requests.is_some() || self.recycle.memory.is_some()
    }
}

impl Workers {
    /// What the workers have used up whose applications limit it.
    pub fn observe(&self) -> Vec<Event> {
        let measured = self.register.iter().filter(|(_, known)| known.exit.is_none() && known.is_measured());
        let told = measured.map(|(worker, known)| Event::Observed {
            worker: *worker,
            requests: known.scoreboard.requests(),
            memory: known.recycle.memory.map_or(0, |_| memory::of(known.process.pid())),
        });
        told.collect()
    }

    /// Whether there is anything to observe.
    pub fn are_measured(&self) -> bool {
        self.register.values().any(Worker::is_measured)
    }

    /// What the workers show of their beats.
    pub fn vitals(&self) -> BTreeMap<WorkerId, Vital> {
        let living = self.register.iter().filter(|(_, known)| known.exit.is_none());
        living.map(|(worker, known)| (*worker, known.vital())).collect()
    }

    /// The shortest pace at which any worker is to beat.
    pub fn shortest_heartbeat(&self) -> Option<Duration> {
        self.register.values().map(|known| known.heartbeat).min()
    }

    /// How much memory a worker's process takes.
    pub fn memory(&self, worker: WorkerId) -> Option<u64> {
        self.living(worker).map(|known| memory::resident(known.process.pid()))
    }

    /// What a worker shows of its work.
    pub fn scoreboard(&self, worker: WorkerId) -> Option<&Scoreboard> {
        self.living(worker).map(|known| &known.scoreboard)
    }

    /// What the workers of an application have counted, those that are gone too.
    pub fn counts(&self, app: &str) -> Counts {
        let mut counts = self.ledger.of(app);
        let known = self.register.values().filter(|known| known.app == app);
        known.for_each(|known| counts.add(&Counts::of(&known.scoreboard)));
        counts
    }

    /// How many of these workers show by their scoreboards that they live.
    pub fn beats(&self, workers: impl Iterator<Item = WorkerId>) -> Beats {
        let now_ms = now_ms();
        let known: Vec<&Worker> = workers.filter_map(|worker| self.living(worker)).collect();
        let beating = known.iter().filter(|known| known.vital().is_beating(now_ms)).count();
        Beats { serving: known.len(), beating }
    }
}

/// Requests of one worker that a line of the log tells. Fewer may leave out the one that matters; where there are greenlets there can
/// be thousands, which nobody reads.
const TOLD_MAX: usize = 32;

/// What a worker's scoreboard shows.
pub fn last_seen(scoreboard: &Scoreboard) -> LastSeen {
    let now_ms = now_ms();
    let lines = scoreboard.used().iter().filter_map(|row| row.current());
    let told = |(line, since_ms)| {
        let age = Duration::from_millis(now_ms.saturating_sub(since_ms));
        format!("{line} (for {})", span(age))
    };
    let requests = scoreboard.requests();
    let mut running: Vec<String> = lines.map(told).collect();
    if running.len() > TOLD_MAX {
        let more = running.split_off(TOLD_MAX).len();
        running.push(format!("and {more} more"));
    }
    LastSeen { requests, running, output: String::new() }
}

/// The clock of scoreboards.
pub fn now_ms() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec().unsigned_abs() * 1000 + now.tv_nsec().unsigned_abs() / 1_000_000)
}
