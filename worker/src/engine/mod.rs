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
//! its connections over ([`heir`]) to a new one, which goes on with them ([`inheritance`]).
//!
//! Known fault: the leader reads its whole batch before the first call of it starts.

mod account;
pub mod apology;
pub mod deadlines;
mod drain;
mod estate;
pub mod guest;
mod heir;
mod inheritance;
mod leader;
mod listen;
pub mod runner;
pub mod slots;
pub mod threads;
mod watch;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, TryLockError};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use monoceros_shared::config::{self, App};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::scoreboard::Scoreboard;
use slog::Logger;

use deadlines::Deadlines;
use guest::{Guest, Patiences};
use heir::Heir;
use leader::Leader;
use slots::{Slots, lock};
use watch::Watch;

use crate::python::Rest;
use crate::tls::Terms;
use crate::turn::Limits;
use crate::wire::http;

/// Work for a thread that has Python.
pub enum Task {
    /// Call the application for a whole request, or pull the next piece of its answer.
    Serve(Box<Guest>),
    /// Close what is left of an answer whose client is gone.
    Abandon(Rest),
}

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
    slots: Slots,
    deadlines: Mutex<Deadlines>,
    ready: Mutex<Ready>,
    idle: Condvar,
    idlers: AtomicU32,
    watch: Watch,
    mode: AtomicU8,
    /// The word to serve has come, though the word to drain may have come before anybody could follow it.
    adopted: AtomicBool,
    /// The drain has begun, and an heir is known if there is one: until then a turn goes on as ever.
    leaving: AtomicBool,
    /// The listeners are left, and what waited in them is taken.
    drained: AtomicBool,
    /// Workers that may still hand connections over to us.
    givers: AtomicUsize,
    /// Until when another heir is awaited in the place of one that is gone, by [`crate::clock::now`]; 0 before.
    heirless: AtomicU64,
    /// Who takes our connections over, once one was introduced.
    heir: Mutex<Option<Heir>>,
    broken: AtomicBool,
    /// What browsers get in the place of the application's answers.
    notice: apology::Notice,
    settings: Settings,
    scoreboard: Arc<Scoreboard>,
    log: Logger,
}

/// Work that any runner may take.
#[derive(Default)]
struct Ready {
    now: VecDeque<Task>,
    /// Answers that go on and on: their next pieces come after everybody else, and after a look at the poll.
    later: VecDeque<Task>,
}

impl Ready {
    fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }
}

/// What the config says to the engine.
struct Settings {
    /// The names of the listeners, by which connections travel.
    listeners: Vec<String>,
    /// Those that are encrypted, for terms to come.
    tls: Vec<config::Listener>,
    limits: Arc<Limits>,
    patiences: Patiences,
    write_timeout: std::time::Duration,
    /// Connections taken from a listener at one wake. More would take from the other workers what they could begin with now.
    accept_max: usize,
    threads: usize,
    access: bool,
}

/// A listener as the engine gets it.
pub struct Entrance {
    /// Its name.
    pub name: String,
    /// Its socket.
    pub socket: OwnedFd,
    /// How its connections are encrypted, if they are.
    pub terms: Option<Terms>,
}

/// What an engine is made of.
pub struct Parts {
    /// The listeners, in the assignment's order.
    pub listeners: Vec<Entrance>,
    /// What descriptors still come by; its end tells that the supervisor is gone.
    pub carrier: Carrier,
    /// Where it keeps its counts.
    pub scoreboard: Arc<Scoreboard>,
    /// Where it logs.
    pub log: Logger,
    /// Whether each request is logged.
    pub access: bool,
    /// Readable when a signal says that it is time to drain.
    pub alarm: OwnedFd,
}

/// Buffer that an idle connection may keep, in bytes. Less costs most clients an allocation for each request, more costs memory
/// for each idle client.
const IDLE_BUFFER_MAX: usize = 1024;

impl Engine {
    /// An engine that accepts nothing yet.
    ///
    /// # Errors
    /// When the kernel gives no poll.
    pub fn new(app: &App, siblings: usize, parts: Parts) -> io::Result<Engine> {
        let patiences = Patiences::new(&app.timeouts);
        let shortest = patiences.shortest().min(guest::LINGER);
        let backlog = app.listen.iter().map(|listener| listener.backlog as usize).sum();
        let slots = Slots::new(app.limits.connections_max, backlog);
        let apart = |entrance: Entrance| (entrance.name, (entrance.socket, entrance.terms));
        let (names, listeners) = parts.listeners.into_iter().map(apart).unzip();
        let (leader, registry, waker) = Leader::new(listeners, parts.carrier, parts.alarm)?;
        Ok(Engine {
            registry,
            waker,
            lead: Mutex::new(leader),
            led: AtomicBool::new(false),
            slots,
            deadlines: Mutex::new(Deadlines::new(shortest)),
            ready: Mutex::new(Ready::default()),
            idle: Condvar::new(),
            idlers: AtomicU32::new(0),
            watch: Watch::new(app.threads),
            mode: AtomicU8::new(Mode::Loaded as u8),
            leaving: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            drained: AtomicBool::new(false),
            givers: AtomicUsize::new(0),
            heirless: AtomicU64::new(0),
            heir: Mutex::new(None),
            broken: AtomicBool::new(false),
            notice: apology::Notice::default(),
            settings: Settings {
                listeners: names,
                tls: app.listen.iter().filter(|listener| listener.tls.is_some()).cloned().collect(),
                limits: Arc::new(limits(app)),
                patiences,
                write_timeout: app.timeouts.write,
                accept_max: if siblings > 1 { app.threads } else { 64 },
                threads: app.threads,
                access: parts.access,
            },
            scoreboard: parts.scoreboard,
            log: parts.log,
        })
    }

    /// Goes on to a mode; never back.
    pub fn enter(&self, mode: Mode) {
        if mode == Mode::Serve {
            self.adopted.store(true, Ordering::Release);
        }
        self.mode.fetch_max(mode as u8, Ordering::AcqRel);
        if mode == Mode::Done {
            // The lock orders this after the look of whoever is about to wait.
            drop(lock(&self.ready));
            self.idle.notify_all();
            self.watch.wake();
        }
        self.wake_leader();
    }

    /// Has the leader look at what it is to do, wherever it waits.
    fn wake_leader(&self) {
        if let Err(error) = self.waker.wake() {
            slog::error!(self.log, "cannot wake the poll"; "why" => %error);
        }
    }

    /// Whether it was ever told to serve.
    pub fn is_adopted(&self) -> bool {
        self.adopted.load(Ordering::Acquire)
    }

    /// Whether it ended because it could not go on.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Acquire)
    }

    /// From now on every answer is the last of its connection.
    fn end(&self) {
        self.settings.limits.ending.store(true, Ordering::Release);
    }

    /// Ends the worker when it drains and nothing is left of it: no connection, and nobody who may still hand one over, for
    /// that one is on its way to our own heir.
    fn end_if_empty(&self) {
        let is_empty = self.slots.open() == 0 && self.givers.load(Ordering::SeqCst) == 0;
        if is_empty && self.drained.load(Ordering::SeqCst) {
            self.enter(Mode::Done);
        }
    }

    fn has_heir(&self) -> bool {
        lock(&self.heir).is_some()
    }

    /// Puts a connection into the poll, under its slot.
    fn register(&self, guest: &Guest) -> io::Result<()> {
        let token = Token(guest.key.index as usize);
        self.registry.register(
            &mut SourceFd(&guest.connection.raw_fd()),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )
    }

    /// Has the poll report a connection once more that was left before it was read empty: to set its interest anew is to have
    /// its readiness looked at anew (epoll_ctl(2), EPOLL_CTL_MOD).
    fn call_again_if_more(&self, guest: &Guest) {
        if !guest.connection.has_more() {
            return;
        }
        let token = Token(guest.key.index as usize);
        let both = Interest::READABLE | Interest::WRITABLE;
        let called = self.registry.reregister(&mut SourceFd(&guest.connection.raw_fd()), token, both);
        debug_assert!(called.is_ok(), "{called:?}");
    }

    fn deregister(&self, guest: &Guest) {
        // It was registered when it came, so this fails only for a descriptor that is no longer ours: a bug.
        let removed = self.registry.deregister(&mut SourceFd(&guest.connection.raw_fd()));
        debug_assert!(removed.is_ok(), "{removed:?}");
    }

    fn mode_is(&self, mode: Mode) -> bool {
        self.mode.load(Ordering::Acquire) == mode as u8
    }

    /// Puts work into the queue that all runners share.
    fn queue(&self, tasks: impl IntoIterator<Item = Task>) {
        lock(&self.ready).now.extend(tasks);
    }

    /// Puts the next piece of a long answer behind all other work.
    fn queue_later(&self, task: Task) {
        lock(&self.ready).later.push_back(task);
    }

    /// The next piece of work, if one stands ready.
    fn pop(&self) -> Option<Task> {
        lock(&self.ready).now.pop_front()
    }

    fn has_later(&self) -> bool {
        !lock(&self.ready).later.is_empty()
    }

    fn pop_later(&self) -> Option<Task> {
        lock(&self.ready).later.pop_front()
    }

    /// Whether no other work waits for a thread.
    fn is_queue_empty(&self) -> bool {
        lock(&self.ready).is_empty()
    }

    /// Whether work stands in the queue, or the poll has nobody.
    fn wants_runner(&self) -> bool {
        !self.led.load(Ordering::Acquire) || !lock(&self.ready).is_empty()
    }

    /// Wakes an idle runner, if there is one.
    fn wake_idle(&self) {
        if self.idlers.load(Ordering::Acquire) > 0 {
            drop(lock(&self.ready));
            self.idle.notify_one();
        }
    }

    fn try_lead(&self) -> Option<MutexGuard<'_, Leader>> {
        match self.lead.try_lock() {
            Ok(leader) => Some(leader),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(_)) => unreachable!("a panic ends the process"),
        }
    }

    /// Waits until there may be something to do for an idle runner.
    fn rest(&self) {
        let ready = lock(&self.ready);
        self.idlers.fetch_add(1, Ordering::AcqRel);
        if ready.is_empty() && self.led.load(Ordering::Acquire) && !self.mode_is(Mode::Done) {
            drop(self.idle.wait(ready).expect("no thread panics while it holds a lock"));
        } else {
            drop(ready);
        }
        self.idlers.fetch_sub(1, Ordering::AcqRel);
    }
}

fn limits(app: &App) -> Limits {
    let limits = &app.limits;
    Limits {
        head: http::head::Limits {
            request_line_max: limits.request_line_max,
            header_count_max: limits.header_count_max,
            header_bytes_max: limits.header_bytes_max,
        },
        body: http::body::Limits { body_bytes_max: limits.body_bytes_max, trailer_bytes_max: limits.header_bytes_max },
        body_memory_max: limits.body_memory_max,
        idle_buffer_max: IDLE_BUFFER_MAX,
        ending: Arc::default(),
    }
}
