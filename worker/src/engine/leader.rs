//! The leader's turn at the poll: waits, takes in what came, and leaves a batch of work behind.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use monoceros_shared::link::fd::Carrier;
use nix::sys::epoll::Epoll;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::Mode;
use super::guest::Guest;
use super::inheritance::Inheritances;
use super::listen::{self, Listener};
use super::offers::Offers;
use super::runner::Runner;
use super::slots::{Look, Room, lock};
use crate::clock;
use crate::conn::Edge;
use crate::turn::{Farewell, Patience};

/// Events taken from the kernel at once. More makes the first call of a batch wait longer for the rest to be read, fewer
/// costs more waits.
pub(super) const EVENTS_MAX: usize = 128;

/// Connections looked at for their deadlines at one turn. Fewer make a crowd of connections cost more turns, more let everybody else wait.
const LOOKS_MAX: usize = 256;
/// Late clients told so at one turn, which takes some system calls each. The next turn is a millisecond later: fewer make the last of a
/// crowd wait too long for its answer, more let everybody else wait while they are told.
const TOLD_MAX: usize = 12;

/// How long a worker that drains waits for room to take what still waits in its listeners, in milliseconds. Less looks more
/// often, more makes those clients wait.
pub(super) const NO_ROOM_PAUSE: u64 = 20;

const WAKER: Token = Token(usize::MAX);
const TIMER: Token = Token(usize::MAX - 1);
/// A sibling wants a client to be taken.
pub(super) const BELL: Token = Token(usize::MAX - 5);
const ALARM: Token = Token(usize::MAX - 2);
pub(super) const CARRIER: Token = Token(usize::MAX - 3);
/// The worker that takes our connections over.
pub(super) const HEIR: Token = Token(usize::MAX - 4);
/// A sibling has more requests than threads.
pub(super) const OFFERS: Token = Token(usize::MAX - 6);
/// The first of those that hand connections over to us; the others' count up. Connections have their slots' numbers, of 32 bits.
pub(super) const INHERITANCE: usize = 1 << 33;
/// The first listener's.
const LISTENER: usize = 1 << 32;

/// What only the leader touches.
pub struct Leader {
    poll: Poll,
    /// The same once more, for what mio cannot say of a listener.
    pub(super) epoll: Epoll,
    events: Events,
    pub(super) listeners: Vec<Listener>,
    /// What passes between us and our siblings, if we are to serve.
    pub(super) offers: Option<Offers>,
    /// The next deadline, as a descriptor, so that a foreign event loop that waits on the poll wakes for it too.
    timer: TimerFd,
    armed: u64,
    /// What the supervisor sends on; `None` while there is none.
    pub(super) carrier: Option<Arc<Carrier>>,
    /// Kept open: the poll watches it.
    _alarm: OwnedFd,
    pub(super) inheritances: Inheritances,
    pub(super) joined: bool,
    /// When to accept again after everything had run out.
    pub(super) resume: Option<u64>,
    /// Until when clients are left to the siblings.
    pub(super) aside: Option<u64>,
    /// When to give up waiting for another heir.
    heirless: Option<u64>,
    /// When the drain has lasted long enough for those whose request is not with the application.
    last: Option<u64>,
    /// When the log was last told of that.
    pub(super) complained: Option<u64>,
    pub(super) draining: bool,
}

impl Leader {
    /// A poll that watches the alarms, its timer and its waker, and no listener yet.
    pub fn new(
        (listeners, offers): (Vec<Listener>, Option<Offers>),
        carrier: Arc<Carrier>,
        alarm: OwnedFd,
    ) -> io::Result<(Leader, Registry, Waker)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = Waker::new(&registry, WAKER)?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        registry.register(&mut SourceFd(&alarm.as_raw_fd()), ALARM, Interest::READABLE)?;
        registry.register(&mut SourceFd(&carrier.as_fd().as_raw_fd()), CARRIER, Interest::READABLE)?;
        let leader = Leader {
            epoll: listen::epoll(&registry)?,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            listeners,
            offers,
            timer,
            armed: u64::MAX,
            carrier: Some(carrier),
            _alarm: alarm,
            inheritances: Inheritances::default(),
            joined: false,
            resume: None,
            aside: None,
            heirless: None,
            last: None,
            complained: None,
            draining: false,
        };
        Ok((leader, registry, waker))
    }

    /// Leaves the listeners and the siblings' requests, until it joins them again.
    pub(super) fn part(&mut self) -> io::Result<()> {
        self.leave_siblings()?;
        self.listeners.iter_mut().try_for_each(|listener| listener.part(&self.epoll))
    }

    /// Leaves the siblings' requests to others.
    pub(super) fn leave_siblings(&mut self) -> io::Result<()> {
        self.offers.as_mut().map_or(Ok(()), |offers| offers.part(&self.epoll))
    }

    /// Lets the timer come at the next deadline, if it would come later.
    pub(super) fn arm(&mut self, next: Option<u64>, now: u64) -> io::Result<()> {
        let next = next
            .into_iter()
            .chain(self.resume)
            .chain(self.aside)
            .chain(self.heirless)
            .chain(self.last)
            .min()
            .unwrap_or(u64::MAX);
        if next < self.armed {
            self.armed = next;
            let wait = Duration::from_millis(next.saturating_sub(now).max(1));
            self.timer.set(Expiration::OneShot(TimeSpec::from_duration(wait)), TimerSetTimeFlags::empty())?;
        }
        Ok(())
    }
}

impl Runner {
    /// Waits for events, as long as `patience` says, and takes them in. What is ready for the application is in the queue afterwards.
    pub(super) fn lead(&mut self, leader: &mut Leader, patience: Option<Duration>) -> io::Result<()> {
        let next = lock(&self.engine.deadlines).next();
        leader.arm(next, clock::now())?;
        match leader.poll.poll(&mut leader.events, patience) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        self.moment = self.clock.moment();
        self.stamp = clock::exactly();
        self.engine.scoreboard.counters().io_beat.store(self.moment.now, Ordering::Relaxed);
        let events = std::mem::replace(&mut leader.events, Events::with_capacity(0));
        for event in &events {
            self.take_in(event, leader)?;
        }
        leader.events = events;
        self.flush_batch();
        Ok(())
    }

    fn take_in(&mut self, event: &Event, leader: &mut Leader) -> io::Result<()> {
        match event.token() {
            WAKER => {
                self.look_at_trunks();
                self.follow_mode(leader)
            }
            ALARM => {
                self.engine.enter(Mode::Drain);
                Ok(())
            }
            TIMER => self.look_at_deadlines(leader),
            BELL => self.hear_bell(leader),
            OFFERS => {
                self.take_offer(leader, Room::Usual);
                Ok(())
            }
            CARRIER => self.take_delivery(leader),
            HEIR => {
                self.hear_heir();
                Ok(())
            }
            Token(token) if token >= INHERITANCE => {
                self.inherit(leader, token - INHERITANCE);
                Ok(())
            }
            Token(token) if token >= LISTENER => self.accept(leader, token - LISTENER),
            Token(index) => {
                let edge = Edge {
                    readable: event.is_readable(),
                    hangup: event.is_read_closed(),
                    writable: event.is_writable() || event.is_error(),
                };
                match self.engine.slots.wake(index, edge) {
                    Some(guest) => self.settle(guest),
                    None if self.engine.settings.doors.have_trunks => self.stand_in_at_trunk(index),
                    None => {}
                }
                Ok(())
            }
        }
    }

    fn follow_mode(&mut self, leader: &mut Leader) -> io::Result<()> {
        if self.engine.mode_is(Mode::Serve) && !leader.joined {
            leader.joined = true;
            self.engine.siblings.enter();
            self.join(leader)?;
        }
        if self.engine.mode_is(Mode::Drain) && !leader.draining {
            leader.draining = true;
            self.engine.siblings.leave();
            leader.last = self.engine.drain_ends();
            self.drain(leader)?;
        }
        leader.heirless = self.engine.awaits_heir();
        self.meet_successor(leader)
    }

    pub(super) fn join(&mut self, leader: &mut Leader) -> io::Result<()> {
        if self.engine.is_native.load(Ordering::Acquire) {
            return Ok(());
        }
        for (index, listener) in leader.listeners.iter_mut().enumerate().filter(|_| leader.joined) {
            listener.join(&leader.epoll, LISTENER + index)?;
        }
        self.join_siblings(leader)
    }

    /// Takes requests of siblings' from now on, if a thread of ours is free.
    pub(super) fn join_siblings(&self, leader: &mut Leader) -> io::Result<()> {
        let is_serving = leader.joined && !leader.draining;
        let has_time = is_serving && leader.resume.is_none() && !self.engine.deputy.load(Ordering::SeqCst);
        match leader.offers.as_mut().filter(|_| has_time) {
            Some(offers) => offers.join(&leader.epoll),
            None => Ok(()),
        }
    }

    fn look_at_deadlines(&mut self, leader: &mut Leader) -> io::Result<()> {
        // Spent, whatever it says: an edge of it comes again only when it is set again.
        let _ = nix::unistd::read(&leader.timer, &mut [0; 8]);
        leader.armed = u64::MAX;
        if leader.heirless.is_some_and(|until| until <= self.moment.now) {
            leader.heirless = None;
            self.give_up_heir();
        }
        if leader.last.is_some_and(|last| last <= self.moment.now) {
            leader.last = None;
            self.end_drain();
        }
        if leader.resume.is_some_and(|resume| resume <= self.moment.now) {
            leader.resume = None;
            if leader.draining {
                self.empty_listeners(leader)?;
            } else if self.engine.slots.has_room() {
                self.join(leader)?;
            } else {
                leader.resume = Some(self.moment.now + super::accept::EXHAUSTED_PAUSE);
            }
            (0..leader.inheritances.places()).for_each(|place| self.inherit(leader, place));
        }
        if leader.aside.is_some_and(|until| until <= self.moment.now) {
            self.step_back(leader)?;
        }
        self.tell_the_late();
        Ok(())
    }

    fn tell_the_late(&mut self) {
        let mut told = 0;
        for _ in 0..LOOKS_MAX {
            let Some(key) = lock(&self.engine.deadlines).due(self.moment.now) else { return };
            match self.engine.slots.look(key, self.moment.now) {
                Look::Gone => {}
                Look::Later(deadline) => lock(&self.engine.deadlines).watch(key, deadline, self.moment.now),
                Look::Due(guest) => {
                    lock(&self.engine.deadlines).watch(key, u64::MAX, self.moment.now);
                    self.expire(guest);
                    told += 1;
                    if told == TOLD_MAX {
                        return;
                    }
                }
            }
        }
    }

    pub(super) fn expire(&mut self, mut guest: Box<Guest>) {
        if guest.lingering {
            self.close(guest, Farewell::Close);
        } else if guest.patience == Some(Patience::Write) {
            guest.why = Some("the client did not take the answer in time");
            self.close(guest, Farewell::Reset);
        } else {
            guest.connection.turn.expire(&self.moment);
            self.settle(guest);
        }
    }
}
