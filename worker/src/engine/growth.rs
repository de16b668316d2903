//! More threads when requests wait for one: `threads: {min, max}`.
//!
//! ```text
//!   each thread is in a call, and requests have waited for a while   -> the watch hires one more for each, until there are `max`
//! ```
//!
//! Whoever was hired stays. Nobody else is hired before the last ones have taken up work, so that there are as many as are needed.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use super::queue::unbegun;
use super::slots::lock;
use super::watch::Watchman;
use super::{Engine, Mode};

/// How long a request may wait for a thread before there is one more. Less makes threads for a moment's sake, more is felt by each
/// client until there are enough.
pub(super) const PATIENCE: Duration = Duration::from_millis(20);

/// How long no other try is made when a thread could not be made, in milliseconds. Less fills the log, more lets requests wait though
/// there is room again.
const PAUSE: u64 = 1_000;

/// Makes the thread of this number.
type Hire = Box<dyn Fn(usize) -> io::Result<JoinHandle<()>> + Send + Sync>;

/// The threads that there are.
pub(super) struct Growth {
    count: AtomicUsize,
    max: usize,
    hire: OnceLock<Hire>,
    /// Until when no other is tried, by [`crate::clock::now`].
    barred: AtomicU64,
    others: Mutex<Vec<JoinHandle<()>>>,
}

impl Growth {
    /// None yet but the main thread.
    pub fn new(max: usize) -> Growth {
        Growth {
            count: AtomicUsize::new(1),
            max,
            hire: OnceLock::new(),
            barred: AtomicU64::new(0),
            others: Mutex::default(),
        }
    }

    /// Threads are made so from now on.
    pub fn begin(&self, hire: Hire) {
        let _ = self.hire.set(hire);
    }

    /// Makes another thread.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn hire(&self) -> io::Result<()> {
        if let Some(hire) = self.hire.get() {
            let other = hire(self.count.load(Ordering::Acquire))?;
            lock(&self.others).push(other);
            self.count.fetch_add(1, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Waits until each has ended.
    pub fn join(&self) {
        let others = std::mem::take(&mut *lock(&self.others));
        for other in others {
            // A panic has ended the process already.
            let _ = other.join();
        }
    }

    /// Whether another may be made.
    pub fn may_grow(&self) -> bool {
        self.count.load(Ordering::Acquire) < self.max && self.hire.get().is_some()
    }
}

impl Engine {
    /// How many requests in the queue have waited for so long that there should be another thread for them.
    fn overdue(&self, now: u64) -> usize {
        let queued = |deadline: u64| deadline.saturating_sub(self.settings.wait.0);
        let ready = lock(&self.ready);
        let waiting = ready.now.iter().filter_map(unbegun);
        waiting.take_while(|guest| queued(guest.deadline) + PATIENCE.as_millis() as u64 <= now).count()
    }
}

impl Watchman {
    /// Hires as many threads as are wanted. Call it when every thread is in a call.
    pub(super) fn grow(&mut self, now: u64) {
        let engine = &self.engine;
        let growth = &engine.growth;
        if !growth.may_grow() || growth.barred.load(Ordering::Relaxed) > now || engine.mode_is(Mode::Done) {
            return;
        }
        for _ in 0..engine.overdue(now) {
            if !growth.may_grow() {
                return;
            }
            if let Err(why) = growth.hire() {
                growth.barred.store(now + PAUSE, Ordering::Relaxed);
                return slog::warn!(engine.log, "cannot make another thread: requests wait"; "why" => %why);
            }
            slog::debug!(engine.log, "one thread more: a request has waited for one";
                "threads" => growth.count.load(Ordering::Relaxed));
        }
    }
}
