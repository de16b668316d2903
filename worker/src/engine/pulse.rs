//! The two heartbeats of a worker, which its supervisor reads: the I/O loop's and Python's.
//!
//! Whoever works beats: the leader each time round, Python at each call. For a worker that does neither the watch asks, four
//! times in `timeouts.heartbeat`: it wakes the leader, and sends the probe into Python. If nobody follows, the beat stands still, and that
//! is the news. A GIL that is held shows as Python's standing still while the other goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use monoceros_shared::config::Engine as Config;

use super::watch::Watchman;
use super::{Engine, Mode};
use crate::clock;
use crate::python::probe;

/// Looks in the time in which the supervisor wants a beat. Fewer leave too little time for a busy machine to answer in; more wake an
/// idle worker for nothing.
const LOOKS: u32 = 4;

/// The shortest time between two looks. Less wakes an idle worker all the time.
const STRIDE_MIN: Duration = Duration::from_millis(250);

/// When to look next.
pub(super) struct Pulse {
    stride: u64,
    next: u64,
    /// The probe was sent, and is not back.
    is_asked: Arc<AtomicBool>,
}

impl Pulse {
    /// For this `timeouts.heartbeat`.
    pub fn new(heartbeat: Duration, now: u64) -> Pulse {
        let stride = (heartbeat / LOOKS).max(STRIDE_MIN).as_millis() as u64;
        Pulse { stride, next: now + stride, is_asked: Arc::default() }
    }

    /// When that is.
    pub fn next(&self) -> u64 {
        self.next
    }
}

impl Watchman {
    /// Has the heart beat where it has not by itself.
    pub(super) fn feel_pulse(&mut self, now: u64) {
        if self.pulse.next > now {
            return;
        }
        self.pulse.next = now + self.pulse.stride;
        let counters = self.engine.scoreboard.counters();
        // Younger than half a stride is young enough to be fresh at the next look still.
        let is_old = |beat: u64| beat != 0 && beat + self.pulse.stride / 2 <= now;
        if is_old(counters.io_beat.load(Ordering::Relaxed)) {
            self.engine.wake_leader();
        }
        if !is_old(counters.python_beat.load(Ordering::Relaxed)) {
            return;
        }
        // A call that tornado's loop makes keeps the loop, and has `timeouts.request`.
        let has_loop = match self.engine.settings.engine {
            Config::Threads => false,
            Config::Gevent | Config::Eventlet => true,
            Config::Tornado => self.engine.watch.is_quiet(),
        };
        if has_loop {
            // Its Python lives as long as its loop comes round, whoever has the GIL.
            self.engine.foreign.ring();
        } else if !self.pulse.is_asked.swap(true, Ordering::AcqRel) {
            let (engine, is_asked) = (self.engine.clone(), self.pulse.is_asked.clone());
            probe::ask(move |_| {
                if !engine.mode_is(Mode::Done) {
                    engine.scoreboard.counters().python_beat.store(clock::now(), Ordering::Relaxed);
                }
                is_asked.store(false, Ordering::Release);
            });
        }
    }
}

impl Engine {
    /// The first beats. Say nothing of being loaded before.
    pub fn begin_to_beat(&self, heart: Heart) {
        let counters = self.scoreboard.counters();
        counters.io_beat.store(clock::now(), Ordering::Relaxed);
        match heart {
            Heart::Python => counters.python_beat.store(clock::now(), Ordering::Relaxed),
            Heart::IoAlone => {}
        }
    }

    /// The worker has served its last: what it still does is bounded by the drain, not by its beats.
    pub(super) fn stop_beating(&self) {
        let counters = self.scoreboard.counters();
        counters.io_beat.store(0, Ordering::Relaxed);
        counters.python_beat.store(0, Ordering::Relaxed);
    }
}

/// Which beats a worker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heart {
    /// Both.
    Python,
    /// It has no Python.
    IoAlone,
}
