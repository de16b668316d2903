//! Who runs what: runner threads that share one poll.
//!
//! ```text
//!   whoever holds the poll is the leader:   poll -> read, parse -> the batch of whole requests into the shared queue
//!   then it lets the poll go, and runs:     queue -> call -> send -> next ... until the queue is empty -> leads again
//!   a runner that finds neither is idle
//! ```
//!
//! With one thread that is one loop. With more it costs nothing until a call blocks: then the [`watch`] notices, within a
//! tick, that requests wait or nobody leads while a runner is idle, and wakes it. While calls keep blocking, runners wake
//! each other at once instead.
//!
//! A connection has one owner ([`slots`]); when to look at it again is in [`deadlines`]. At a reload a worker that drains hands
//! its connections over ([`heir`]) to a new one, which goes on with them ([`inheritance`]). When its supervisor is gone the next
//! one takes its place ([`succession`]), and no call and no connection notices.
//!
//! Known fault: the leader reads its whole batch before the first call of it starts.

mod accept;
mod account;
pub mod apology;
mod branches;
mod crowd;
pub mod deadlines;
mod deputy;
mod doors;
mod drain;
mod estate;
mod files;
mod foreign;
pub mod greenlets;
mod growth;
pub mod guest;
mod heir;
mod inheritance;
mod late;
mod leader;
mod listen;
pub mod offers;
mod outbox;
mod parts;
mod places;
pub mod pulse;
mod queue;
pub mod runner;
mod settings;
pub mod siblings;
pub mod slots;
mod stacks;
mod succession;
pub mod threads;
pub mod tornado;
mod watch;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use monoceros_shared::config::App;
use monoceros_shared::log::Outlet;
use monoceros_shared::scoreboard::Scoreboard;
use slog::Logger;

use deadlines::Deadlines;
use foreign::Foreign;
use growth::Growth;
use guest::Guest;
use heir::Heir;
use leader::Leader;
use listen::Listener;
use outbox::Outbox;
pub use parts::{Entrance, Leave, Parts, Say};
use queue::Ready;
pub use queue::Task;
use settings::Settings;
use siblings::Siblings;
use slots::{Slots, lock};
use succession::Succession;
use watch::Watch;

use crate::access::Access;
use crate::keeper::Keeper;
use crate::statics::Statics;

/// The tally of the thread that a loop of Python's runs on.
const TALLY_OF_LOOP: usize = 0;

/// What the engine is told to do, in the order it can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Mode {
    /// The application is loaded; nothing is accepted.
    Loaded,
    /// Accept and serve.
    Serve,
    /// Finish what there is.
    Drain,
    /// Nothing is left.
    Done,
}

/// What all threads of a worker share.
pub struct Engine {
    registry: Registry,
    waker: Waker,
    lead: Mutex<Leader>,
    led: AtomicBool,
    /// The watch leads, until a runner is free.
    deputy: AtomicBool,
    slots: Slots,
    deadlines: Mutex<Deadlines>,
    /// Homes whose trunks are to be looked at.
    trunks: Mutex<Vec<u32>>,
    ready: Mutex<Ready>,
    outbox: Outbox,
    idle: Condvar,
    idlers: AtomicU32,
    watch: Watch,
    /// The threads that there are, and how more are made.
    growth: Growth,
    /// Where a loop of Python's waits for us.
    foreign: Foreign,
    mode: AtomicU8,
    /// The word to serve has come, though the word to drain may have come before anybody could follow it.
    adopted: AtomicBool,
    /// The drain has begun, and an heir is known if there is one: until then a turn goes on as ever.
    leaving: AtomicBool,
    /// The listeners are another server's, in this process.
    is_native: AtomicBool,
    /// The listeners are left, and what waited in them is taken.
    drained: AtomicBool,
    /// That was said to the supervisor.
    left: AtomicBool,
    /// Workers that may still hand connections over to us.
    givers: AtomicUsize,
    /// Connections whose call nobody believes in any more.
    stuck: AtomicUsize,
    /// When the drain has lasted long enough, by [`crate::clock::now`]; 0 before it.
    drain_ends: AtomicU64,
    /// Until when another heir is awaited in the place of one that is gone, by [`crate::clock::now`]; 0 before.
    heirless: AtomicU64,
    /// Who takes our connections over, once one was introduced.
    heir: Mutex<Option<Heir>>,
    broken: AtomicBool,
    /// What browsers get in the place of the application's answers.
    notice: apology::Notice,
    /// Files that are served without Python.
    statics: Statics,
    /// What comes from one supervisor to the next.
    succession: Succession,
    settings: Settings,
    scoreboard: Arc<Scoreboard>,
    siblings: Siblings,
    access: Option<Access>,
    log: Logger,
    /// How to speak to the supervisor.
    say: Say,
    /// How to leave while a thread cannot.
    leave: Leave,
    outlet: Outlet,
    keeper: Keeper,
}

impl Engine {
    /// An engine that accepts nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no poll.
    pub fn new(app: &App, siblings: usize, parts: Parts) -> io::Result<Engine> {
        let backlog = app.listen.iter().map(|listener| listener.backlog as usize).sum();
        let slots = Slots::new(app.limits.connections_max, backlog);
        let apart = |entrance: Entrance| (entrance.name, (entrance.socket, entrance.terms));
        let (names, listeners): (Vec<String>, Vec<_>) = parts.listeners.into_iter().map(apart).unzip();
        let listeners = listeners.into_iter().map(Listener::new).collect::<io::Result<Vec<_>>>()?;
        let inventory = names.iter().zip(&listeners).map(|(name, listener)| listener.inventoried(name)).collect();
        let settings = Settings::new(app, siblings, (names, parts.policy));
        let shortest = settings.patiences.shortest().min(guest::LINGER);
        let (leader, registry, waker) = Leader::new((listeners, parts.offers), parts.carrier, parts.alarm)?;
        registry.register(&mut SourceFd(&parts.siblings.bell()), leader::BELL, Interest::READABLE)?;
        let watch = Watch::new(app.calls_max(), app.timeouts.request);
        if !app.engine.has_greenlets() {
            parts.scoreboard.use_row(app.threads_min - 1);
            watch.lease(app.threads_min - 1);
        }
        Ok(Engine {
            registry,
            waker,
            lead: Mutex::new(leader),
            led: AtomicBool::new(false),
            deputy: AtomicBool::new(false),
            slots,
            deadlines: Mutex::new(Deadlines::new(shortest)),
            trunks: Mutex::default(),
            ready: Mutex::new(Ready::default()),
            outbox: Outbox::default(),
            idle: Condvar::new(),
            idlers: AtomicU32::new(0),
            watch,
            growth: Growth::new(app.threads),
            foreign: Foreign::new(app)?,
            mode: AtomicU8::new(Mode::Loaded as u8),
            leaving: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            is_native: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            left: AtomicBool::new(false),
            givers: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            drain_ends: AtomicU64::new(0),
            heirless: AtomicU64::new(0),
            heir: Mutex::new(None),
            broken: AtomicBool::new(false),
            notice: apology::Notice::default(),
            statics: Statics::open(&app.statics)?,
            succession: Succession::new(inventory, parts.channels),
            settings,
            scoreboard: parts.scoreboard,
            siblings: parts.siblings,
            access: parts.access,
            log: parts.log,
            say: parts.say,
            leave: parts.leave,
            outlet: parts.outlet,
            keeper: parts.keeper,
        })
    }

    /// Goes on to a mode; never back.
    pub fn enter(&self, mode: Mode) {
        if mode == Mode::Serve {
            self.adopted.store(true, Ordering::Release);
        }
        if mode >= Mode::Drain {
            self.begin_to_end();
        }
        self.mode.fetch_max(mode as u8, Ordering::AcqRel);
        if mode == Mode::Done {
            // The lock orders this after the look of whoever is about to wait.
            drop(lock(&self.ready));
            self.idle.notify_all();
        }
        self.wake_leader();
    }

    /// Has the leader look at what it is to do, wherever it waits.
    fn wake_leader(&self) {
        if let Err(error) = self.waker.wake() {
            slog::error!(self.log, "cannot wake the poll"; "why" => %error);
        }
    }

    /// Lets the access log write what is left. Nothing is served any more.
    pub fn finish(&self) {
        if let Some(access) = &self.access {
            access.finish();
        }
    }

    /// Who keeps what is printed while there is no supervisor.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Whether it was ever told to serve.
    pub fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    /// Whether it ended because it could not go on.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Nothing can be waited for any more, so this worker ends.
    fn break_off(&self, why: &io::Error) {
        slog::crit!(self.log, "cannot wait for events: this worker ends"; "why" => %why);
        self.broken.store(true, Ordering::Release);
        self.enter(Mode::Done);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// From now on every answer is the last of its connection.
    fn end(&self) {
        self.settings.limits.ending.store(true, Ordering::Release);
    }

    /// Ends the worker when it drains and nothing is left of it: no connection but of calls that cannot be ended, and nobody who may still hand one over, for
    /// that one is on its way to our own heir.
    fn end_if_empty(&self) {
        let is_empty =
            self.slots.open() <= self.stuck.load(Ordering::SeqCst) && self.givers.load(Ordering::SeqCst) == 0;
        if is_empty && self.drained.load(Ordering::SeqCst) {
            self.enter(Mode::Done);
        }
    }

    fn has_heir(&self) -> bool {
        lock(&self.heir).is_some()
    }

    /// Puts a connection into the poll, under its slot. What it stands ready for is reported at once.
    fn register(&self, guest: &mut Guest) -> io::Result<()> {
        let token = Token(guest.key.index as usize);
        let both = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut SourceFd(&guest.connection.raw_fd()), token, both)?;
        guest.is_polled = true;
        Ok(())
    }

    /// The same, and its deadline is looked at from now on.
    fn wait_for(&self, guest: &mut Guest, now: u64) -> io::Result<()> {
        self.register(guest)?;
        lock(&self.deadlines).watch(guest.key, u64::MAX, now);
        Ok(())
    }

    /// Has the poll report a connection once more that was left before it was read empty: to set its interest anew is to have
    /// its readiness looked at anew (epoll_ctl(2), EPOLL_CTL_MOD).
    fn call_again_if_more(&self, guest: &Guest) {
        if guest.connection.has_more() {
            self.call_again(guest);
        }
    }

    /// As above, whatever it waits for.
    fn call_again(&self, guest: &Guest) {
        // What comes into the poll later is looked at then.
        if !guest.is_polled {
            return;
        }
        let token = Token(guest.key.index as usize);
        let both = Interest::READABLE | Interest::WRITABLE;
        let called = self.registry.reregister(&mut SourceFd(&guest.connection.raw_fd()), token, both);
        debug_assert!(called.is_ok(), "{called:?}");
    }

    fn deregister(&self, guest: &mut Guest) {
        if !std::mem::take(&mut guest.is_polled) {
            return;
        }
        // It fails only for a descriptor that is no longer ours: a bug.
        let removed = self.registry.deregister(&mut SourceFd(&guest.connection.raw_fd()));
        debug_assert!(removed.is_ok(), "{removed:?}");
    }

    fn mode_is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::Acquire) == mode as u8
    }

    fn try_lead(&self) -> Option<MutexGuard<'_, Leader>> {
        match self.lead.try_lock() {
            Ok(leader) => Some(leader),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => unreachable!("a panic ends the process"),
        }
    }
}
