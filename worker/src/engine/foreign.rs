//! Where a loop of Python's (gevent's or eventlet's hub, tornado's IOLoop) waits for us: mio's poll is itself a descriptor, and readable
//! when somebody is to lead it.
//!
//! ```text
//!   the loop waits for    the poll: sockets, deadlines, the supervisor       -> comes round: leads once, without waiting
//!                         the bell: threads that need no GIL want a word     -> comes round too
//!   the loop does not     somebody keeps its thread: the watch leads meanwhile, and rings so that it steps down when the loop is back
//! ```
//!
//! Each time round is a beat of Python's heart: what keeps the loop from coming round keeps every call of it.
//!
//! Known fault: an epoll that another one waits on is woken for every connection in a listener, EPOLLEXCLUSIVE or not, so that all
//! workers look for each.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use monoceros_shared::config::{self, App};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use pyo3::Python;

use super::Engine;
use super::runner::Runner;
use super::slots::lock;
use crate::clock;
use crate::lease::Call;
use crate::python;

/// What the loop and the threads beside it have in common.
pub(super) struct Foreign {
    /// `None` where there is no such loop.
    bell: Option<EventFd>,
    /// How often it has come round.
    turns: AtomicU64,
    /// Calls at these places that are to be ended, by the loop itself.
    overdue: Mutex<Vec<(usize, Call)>>,
}

impl Foreign {
    /// What the engine of this application needs.
    ///
    /// # Errors
    /// When there is no descriptor for it.
    pub fn new(app: &App) -> io::Result<Foreign> {
        let bell = match app.engine {
            config::Engine::Threads => None,
            config::Engine::Gevent | config::Engine::Eventlet | config::Engine::Tornado => {
                Some(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?)
            }
        };
        Ok(Foreign { bell, turns: AtomicU64::new(0), overdue: Mutex::default() })
    }

    /// Has the loop come round, if there is one. Says whether there is.
    pub fn ring(&self) -> bool {
        // Full only when it was rung without end, and then it is heard.
        self.bell.as_ref().is_some_and(|bell| bell.write(1).is_ok())
    }

    /// How often the loop has come round.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The calls that are to be ended, once.
    pub fn take_overdue(&self) -> Vec<(usize, Call)> {
        std::mem::take(&mut *lock(&self.overdue))
    }
}

impl Engine {
    /// What a foreign loop is to wait for.
    pub(super) fn waited_for(&self) -> Vec<RawFd> {
        let bell = self.foreign.bell.iter().map(|bell| bell.as_fd().as_raw_fd());
        [self.registry.as_fd().as_raw_fd()].into_iter().chain(bell).collect()
    }

    /// Raises RequestTimeout in a late call: at once if it has the thread, so that one that never lets go of it is ended too; else by the
    /// loop, when that comes round.
    pub(super) fn raise_in(&self, py: Python<'_>, (place, call): (usize, Call)) {
        if !self.settings.engine.has_greenlets() || python::greenlets::runs(py, place) {
            python::raise_in(py, self.watch.lease(place).thread());
        } else {
            lock(&self.foreign.overdue).push((place, call));
            self.foreign.ring();
        }
    }

    /// Whether something has come that nobody has taken in.
    pub(super) fn has_events(&self) -> bool {
        let mut asked = [PollFd::new(self.registry.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO).is_ok_and(|count| count > 0)
    }
}

impl Runner {
    /// What was done outside of leading may have left a deadline that the timer does not know: in a drain, those of idle connections.
    pub(super) fn leave_loop(&mut self) {
        self.flush_batch();
        if self.engine.is_leaving() {
            self.engine.foreign.ring();
        }
    }

    /// The loop has come round: takes in what has come. What is ready for the application is in the queue afterwards.
    pub(super) fn come_round(&mut self) {
        let engine = self.engine.clone();
        engine.foreign.turns.fetch_add(1, Ordering::Relaxed);
        // Empty when it was the poll that was readable.
        let _ = engine.foreign.bell.as_ref().map(EventFd::read);
        let led = match engine.try_lead() {
            Some(mut leader) => {
                engine.led.store(true, Ordering::Release);
                let led = self.lead(&mut leader, Some(Duration::ZERO));
                // The loop waits now, and not we.
                let next = lock(&engine.deadlines).next();
                let led = led.and_then(|()| leader.arm(next, clock::now()));
                engine.led.store(false, Ordering::Release);
                led
            }
            None => {
                engine.relieve_deputy();
                Ok(())
            }
        };
        engine.scoreboard.counters().python_beat.store(self.moment.now, Ordering::Relaxed);
        if let Err(error) = led {
            engine.break_off(&error);
        }
    }
}
