//! A thread that needs no GIL and looks after those that do.
//!
//! ```text
//!   each tick, while calls run:   a call blocks and work waits, or nobody leads, and a runner is idle    -> wakes it
//!                                 every runner is in a call, or waits for the GIL, for a tick            -> leads itself (deputy)
//!                                 a call is due                                                          -> tells its client (late)
//!   now and then:                 the heart has not beaten for a while                                   -> lets it (pulse)
//! ```
//!
//! With greenlets calls that wait are the rule. There the loop of the thread is looked at: that something has come for it, and it has not
//! come round for a tick, says that somebody keeps the thread.
//!
//! For a while after a call has blocked, whoever takes work wakes the next runner itself, so that an application whose calls block by
//! habit waits for no tick. When no call runs the watch sleeps, but for the pulse.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use monoceros_shared::config::Engine as Config;
use monoceros_shared::exit;

use super::late::Late;
use super::pulse::Pulse;
use super::runner::{HANDS, Runner};
use super::{Engine, Mode};
use crate::clock;
use crate::lease::{Lease, Leases, Sight};

/// How long a call may keep others waiting while a thread is idle, before it is noticed. Less costs wakes on a machine whose
/// calls are short, more is felt by clients.
const TICK: Duration = Duration::from_millis(1);

/// The same where there is one runner, so that no other could do its neighbours' work: only deadlines wait for it.
pub(super) const TICK_ALONE: Duration = Duration::from_millis(10);

/// The same where calls are greenlets and may wait by the thousand: how soon a thread that somebody keeps is noticed, too.
const TICK_OF_LOOP: Duration = Duration::from_millis(50);

/// How long some of an answer may be held while the application makes the next of it, where answers are held; the first after a while
/// may be for a tick. Less costs wakes, more makes clients wait for an application that gives some and then takes its time.
const HOLD: Duration = Duration::from_millis(1);

/// Requests that the last line of a worker tells. Where there are greenlets there can be thousands, which nobody reads.
const TOLD_MAX: usize = 32;

/// Ticks for which one blocked call makes the runners eager, and the most to which others that follow double that. Less makes an application
/// that blocks now and then wait for ticks again, more costs one whose calls are short a wake for each: the least by a call that only seemed to
/// block, as its thread had no processor.
const EAGER_TICKS: [u32; 2] = [16, 1_000];

/// How long there must be no call before the watch sleeps. Less costs a wake more often, more costs ticks for nothing.
const QUIET: Duration = Duration::from_millis(16);

/// What the watch sees of the runners.
pub struct Watch {
    leases: &'static Leases,
    eager: AtomicU32,
    asleep: AtomicBool,
    /// Whether answers were held lately.
    has_held: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Watch {
    /// A watch over so many calls at once, each of which may take so long; not started.
    pub fn new(calls: usize, request: Duration) -> Watch {
        Watch {
            leases: Box::leak(Box::new(Leases::new(calls, request.as_millis() as u64))),
            eager: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            has_held: AtomicBool::new(true),
            thread: OnceLock::new(),
        }
    }

    /// The lease of this runner, or of the call at this place.
    pub fn lease(&self, runner: usize) -> &'static Lease {
        self.leases.get(runner)
    }

    /// All that were ever asked for, in their order.
    pub fn leases(&self) -> impl Iterator<Item = &'static Lease> + use<> {
        self.leases.used()
    }

    /// Whether calls have blocked lately.
    pub fn is_eager(&self) -> bool {
        self.eager.load(Ordering::Relaxed) > 0
    }

    /// A call has begun.
    pub fn note_call(&self) {
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Some of an answer is held while its call goes on.
    pub fn note_hold(&self) {
        if !self.has_held.load(Ordering::Relaxed) {
            self.has_held.store(true, Ordering::Relaxed);
        }
    }

    /// How long at most until the next look, so that nothing is held for long.
    pub(super) fn hold_patience(&self, otherwise: Duration) -> Duration {
        if self.has_held.swap(false, Ordering::Relaxed) { HOLD } else { otherwise }
    }

    /// Wakes the watch if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Whether no call runs.
    pub fn is_quiet(&self) -> bool {
        self.leases().all(|lease| lease.look() == Sight::Idle)
    }
}

/// Starts the watch of an engine.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(engine: &Arc<Engine>) -> io::Result<()> {
    let watchman = Watchman::new(engine.clone());
    thread::Builder::new().name("watch".into()).spawn(move || watchman.watch())?;
    Ok(())
}

/// The thread's own.
pub(super) struct Watchman {
    pub(super) engine: Arc<Engine>,
    /// What it leads with, when nobody else can.
    pub(super) hands: Runner,
    pub(super) late: Vec<Late>,
    pub(super) pulse: Pulse,
    /// The supervisor knows that this worker is to be replaced.
    pub(super) has_said_stuck: bool,
    /// The runners as they were at the last look, and when one of them last was another.
    seen: Vec<Sight>,
    pub(super) moved: u64,
    /// How often the loop had come round when something was last seen to wait for it.
    waited_for: Option<u64>,
}

/// What a look at the runners found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No call.
    Quiet,
    /// Calls that come and go.
    Busy,
    /// A call that was there at the last look too.
    Blocked,
    /// Such a call in every runner, or that it waits for the GIL.
    NobodyFree,
}

impl Watchman {
    fn new(engine: Arc<Engine>) -> Watchman {
        let now = clock::now();
        let hands = Runner::new(engine.clone(), HANDS);
        let pulse = Pulse::new(engine.settings.heartbeat, now);
        let (late, seen) = (Vec::new(), Vec::new());
        Watchman { engine, hands, late, pulse, has_said_stuck: false, seen, moved: now, waited_for: None }
    }

    fn watch(mut self) {
        let engine = self.engine.clone();
        let watch = &engine.watch;
        watch.thread.get_or_init(thread::current);
        let tick = match engine.settings.engine {
            Config::Gevent | Config::Eventlet => TICK_OF_LOOP,
            Config::Threads if engine.settings.threads > 1 => TICK,
            Config::Threads | Config::Tornado => TICK_ALONE,
        };
        let (mut quiet, mut waited) = (Duration::ZERO, Duration::ZERO);
        loop {
            let patience = tick.min(watch.hold_patience(tick));
            thread::park_timeout(patience.min(self.until_next(clock::now())));
            self.attend();
            waited += patience;
            if waited < tick {
                continue;
            }
            waited = Duration::ZERO;
            let found = self.look();
            match found {
                Found::NobodyFree => self.stand_in(),
                // Each place may have a call, and what waits for one has its time too.
                Found::Busy | Found::Blocked if engine.settings.engine.has_greenlets() => drop(self.tend_queue()),
                Found::Quiet | Found::Busy | Found::Blocked => {}
            }
            let blocks = matches!(found, Found::Blocked | Found::NobodyFree);
            // One alone has nobody to wake.
            if blocks && engine.settings.threads > 1 && engine.wants_runner() {
                let [least, most] = EAGER_TICKS;
                watch.eager.store((2 * watch.eager.load(Ordering::Relaxed)).clamp(least, most), Ordering::Relaxed);
                engine.wake_idle();
            } else {
                let eager = watch.eager.load(Ordering::Relaxed);
                watch.eager.store(eager.saturating_sub(1), Ordering::Relaxed);
            }
            quiet = if found == Found::Quiet { quiet + tick } else { Duration::ZERO };
            if quiet > QUIET && self.late.is_empty() {
                self.sleep();
                quiet = Duration::ZERO;
            }
        }
    }

    /// Does what is due. It is little, and waits for nothing.
    pub(super) fn attend(&mut self) {
        let now = clock::now();
        self.engine.watch.leases().for_each(|lease| lease.holder.send());
        self.engine.outbox.send();
        self.claim_due(now);
        self.follow_late(now);
        self.feel_pulse(now);
        self.leave_if_over(now);
    }

    pub(super) fn look(&mut self) -> Found {
        let (mut blocked, mut count) = (0, 0);
        let mut found = Found::Quiet;
        for (place, lease) in self.engine.watch.leases().enumerate() {
            count += 1;
            if place == self.seen.len() {
                self.seen.push(Sight::Idle);
            }
            let before = &mut self.seen[place];
            let now = lease.look();
            if now != *before {
                *before = now;
                self.moved = clock::now();
                found = Found::Busy;
            } else if now != Sight::Idle {
                blocked += 1;
            }
        }
        let is_nobody_free = match self.engine.settings.engine {
            Config::Gevent | Config::Eventlet => self.is_thread_kept(),
            Config::Threads | Config::Tornado => blocked + self.waiting_for_gil(count) == count,
        };
        match blocked {
            _ if is_nobody_free => Found::NobodyFree,
            0 => found,
            _ => Found::Blocked,
        }
    }

    /// How many of so many runners have work and have waited for the GIL for a tick: they neither lead nor can be asked to.
    fn waiting_for_gil(&self, runners: usize) -> usize {
        let (now, tick) = (clock::exactly(), TICK.as_nanos() as u64);
        let tallies = self.engine.scoreboard.tallies().iter().take(runners);
        let asked = tallies.map(|tally| tally.gil_asked_ns.get()).filter(|asked| *asked > 0);
        asked.filter(|asked| now.saturating_sub(*asked) >= tick).count()
    }

    /// Whether something has waited for the loop since the last look, and it has not come round.
    fn is_thread_kept(&mut self) -> bool {
        let turns = self.engine.foreign.turns();
        let is_kept = self.engine.has_events() || self.engine.deputy.load(Ordering::SeqCst);
        let before = std::mem::replace(&mut self.waited_for, is_kept.then_some(turns));
        is_kept && before == Some(turns)
    }

    /// Until a call begins, but for what is due without one.
    fn sleep(&mut self) {
        let engine = self.engine.clone();
        let watch = &engine.watch;
        watch.asleep.store(true, Ordering::SeqCst);
        // A call that began before it could see us asleep is seen here.
        if !watch.is_quiet() {
            watch.asleep.store(false, Ordering::SeqCst);
        }
        // The call that wakes us may be one whose answer is held.
        watch.note_hold();
        while watch.asleep.load(Ordering::SeqCst) {
            thread::park_timeout(self.until_next(clock::now()));
            self.attend();
        }
    }

    /// How long nothing is due, if no call begins: at least a millisecond, and no longer than a call may take.
    pub(super) fn until_next(&self, now: u64) -> Duration {
        let deadlines = self.engine.watch.leases().filter_map(Lease::deadline);
        let late = self.late.iter().filter_map(Late::next);
        let ends = self.engine.drain_ends().into_iter().chain(self.engine.leaves_at());
        let next = deadlines.chain(late).chain(ends.filter(|at| *at > now)).chain([self.pulse.next()]).min();
        let wait = next.unwrap_or(u64::MAX).saturating_sub(now).min(self.engine.settings.request);
        Duration::from_millis(wait.max(1))
    }

    /// Ends the process when the worker is done and a thread is not, or the drain has lasted as long as it may.
    fn leave_if_over(&mut self, now: u64) {
        let engine = self.engine.clone();
        let is_given_up = engine.mode_is(Mode::Done) && self.late.iter().any(Late::is_given_up);
        let is_over = engine.leaves_at().is_some_and(|at| at <= now);
        if !is_given_up && !is_over {
            return;
        }
        self.tell_the_rest(now);
        let rows = engine.scoreboard.used().iter();
        let requests: Vec<String> = rows.filter_map(|row| Some(row.current()?.0)).take(TOLD_MAX).collect();
        slog::warn!(engine.log, "this worker ends, though its Python has not";
            "requests" => requests.join(", "), "next" => "what Python does at its end is not done");
        engine.finish();
        (engine.leave)(if engine.is_broken() { exit::FAILED } else { exit::DONE });
    }
}
