//! Notices calls that block, and sees to it that a thread that could do their neighbours' work does it.
//!
//! A thread of its own, which needs no GIL, looks once a tick whether some runner is in the same call as at the last look.
//! If so, and work waits or nobody leads while a runner is idle, it wakes one; and for a while whoever takes work wakes the
//! next one itself, so that an application whose calls block by habit waits for no tick. When all is quiet it sleeps.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use super::{Engine, Mode};

/// How long a call may keep others waiting while a thread is idle, before it is noticed. Less costs wakes on a machine whose
/// calls are short, more is felt by clients.
const TICK: Duration = Duration::from_millis(1);

/// Ticks for which one blocked call makes the runners eager. Less makes an application that blocks now and then wait for
/// ticks again, more costs one whose calls are short a wake for each.
const EAGER_TICKS: u32 = 1_000;

/// Ticks without any call before the watch sleeps.
const QUIET_TICKS: u32 = 16;

/// What the watch sees of the runners.
pub struct Watch {
    /// For each runner: odd while it is in a call, another value for each call.
    calls: Box<[AtomicU64]>,
    eager: AtomicU32,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Watch {
    /// A watch over so many runners, not started.
    pub fn new(threads: usize) -> Watch {
        Watch {
            calls: (0..threads).map(|_| AtomicU64::new(0)).collect(),
            eager: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Whether calls have blocked lately.
    pub fn is_eager(&self) -> bool {
        self.eager.load(Ordering::Relaxed) > 0
    }

    /// This runner begins a call.
    pub fn begin(&self, runner: usize) {
        // Only its own thread writes a runner's number.
        let call = &self.calls[runner];
        call.store(call.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Wakes the watch if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Its call is over.
    pub fn end(&self, runner: usize) {
        let call = &self.calls[runner];
        call.store(call.load(Ordering::Relaxed) + 1, Ordering::Release);
    }

    fn calls(&self) -> impl Iterator<Item = u64> {
        self.calls.iter().map(|call| call.load(Ordering::SeqCst))
    }
}

/// Starts the watch of an engine with more than one runner; with one there is nobody to wake.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(engine: &Arc<Engine>) -> std::io::Result<()> {
    let watched = engine.clone();
    thread::Builder::new().name("watch".into()).spawn(move || watch(&watched))?;
    Ok(())
}

fn watch(engine: &Engine) {
    let watch = &engine.watch;
    watch.thread.get_or_init(thread::current);
    let mut seen: Vec<u64> = watch.calls().collect();
    let mut quiet = 0;
    while !engine.mode_is(Mode::Done) {
        thread::park_timeout(TICK);
        let mut blocked = false;
        let mut moved = false;
        for (before, now) in seen.iter_mut().zip(watch.calls()) {
            blocked |= now % 2 == 1 && now == *before;
            moved |= now != *before;
            *before = now;
        }
        if blocked && engine.wants_runner() {
            watch.eager.store(EAGER_TICKS, Ordering::Relaxed);
            engine.wake_idle();
        } else {
            let eager = watch.eager.load(Ordering::Relaxed);
            watch.eager.store(eager.saturating_sub(1), Ordering::Relaxed);
        }
        quiet = if blocked || moved { 0 } else { quiet + 1 };
        if quiet > QUIET_TICKS {
            sleep(watch);
            quiet = 0;
        }
    }
}

/// Until a call begins.
fn sleep(watch: &Watch) {
    watch.asleep.store(true, Ordering::SeqCst);
    // A call that began before it could see us asleep is seen here.
    if watch.calls().any(|call| call % 2 == 1) {
        watch.asleep.store(false, Ordering::SeqCst);
    }
    while watch.asleep.load(Ordering::SeqCst) {
        thread::park();
    }
}
