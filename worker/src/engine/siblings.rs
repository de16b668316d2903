//! Fairness among the workers of one application: whoever holds more connections than another leaves the next client to that one.
//!
//! ```text
//!   a client waits, and we are ahead:   leave the listeners, ring the bell that all siblings hear      -> whoever is not ahead accepts
//!   a moment later:                     take what still waits all the same, and wait in the listeners again
//! ```
//!
//! The kernel wakes one worker for a client (EPOLLEXCLUSIVE), and always the same one while that is idle: without this one worker would
//! serve nearly all of those who keep their connections. That a client is never lost to a sibling which is busy, stuck or gone is why the
//! moment is short, and the table need not be right.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use monoceros_shared::table::Table;
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::accept::Reception;
use super::leader::Leader;
use super::runner::Runner;
use super::slots::Room;

/// How long a client is left to others, in milliseconds. Less and a sibling that would have come is not waited for; more is felt by
/// clients whose siblings are all busy.
const ASIDE: u64 = 5;

/// The same while no thread of ours is free and a sibling has one: whom it does not take, we could not serve either.
const BUSY: u64 = 50;

/// Clients taken at once after that, from each listener. Fewer make a burst wait for as many moments more, more are unfair to the others.
const TAKEN_MAX: usize = 4;

/// No place at the table.
const NOWHERE: usize = usize::MAX;

/// The table of the workers of one application, and our place at it.
pub struct Siblings {
    table: Table,
    place: AtomicUsize,
    pid: u32,
    /// No thread of ours is free, so that whoever comes to us waits.
    is_busy: AtomicBool,
    bell: OwnedFd,
}

/// What a worker says to hold that has no free thread.
const TOO_MANY: usize = u32::MAX as usize;

impl Siblings {
    /// The table and the bell that the supervisor gave.
    ///
    /// # Errors
    /// When that is no table.
    pub fn new(memory: OwnedFd, bell: OwnedFd) -> io::Result<Siblings> {
        let (table, pid) = (Table::open(memory)?, std::process::id());
        Ok(Siblings { table, place: AtomicUsize::new(NOWHERE), pid, is_busy: AtomicBool::new(false), bell })
    }

    /// What to listen to, by its edges.
    pub(super) fn bell(&self) -> RawFd {
        self.bell.as_fd().as_raw_fd()
    }

    /// We take part from now on.
    pub(super) fn enter(&self) {
        self.place.store(self.table.take(self.pid).unwrap_or(NOWHERE), Ordering::Release);
    }

    /// We take no client any more.
    pub(super) fn leave(&self) {
        let place = self.place.swap(NOWHERE, Ordering::AcqRel);
        if place != NOWHERE {
            self.table.leave(place);
        }
    }

    /// We hold so many connections.
    pub(super) fn say(&self, open: usize) {
        let place = self.place.load(Ordering::Relaxed);
        if place != NOWHERE {
            self.table.say(place, self.pid, self.weight(open));
        }
    }

    /// Every thread of ours is in a call.
    pub(super) fn be_busy(&self) {
        self.is_busy.store(true, Ordering::Release);
        self.say(TOO_MANY);
    }

    /// One is free, and we hold so many connections.
    pub(super) fn be_free(&self, open: usize) {
        self.is_busy.store(false, Ordering::Release);
        self.say(open);
    }

    fn weight(&self, open: usize) -> usize {
        if self.is_busy.load(Ordering::Relaxed) { TOO_MANY } else { open }
    }

    /// Whether with so many connections we are ahead of somebody, by more than an eighth and one.
    fn are_behind(&self, open: usize) -> bool {
        let place = self.place.load(Ordering::Relaxed);
        if place == NOWHERE {
            return false;
        }
        let open = self.weight(open);
        self.is_any(place, |least| open > least + least / 8 + 1)
    }

    /// Whether a sibling may have a thread that is free.
    pub(super) fn is_another_free(&self) -> bool {
        let place = self.place.load(Ordering::Relaxed);
        place != NOWHERE && self.is_any(place, |open| open < TOO_MANY)
    }

    /// Whether this is so of a sibling that lives: of the one with the fewest connections.
    fn is_any(&self, place: usize, is_so: impl Fn(usize) -> bool) -> bool {
        while let Some(other) = self.table.least_of_others(place) {
            if !is_so(other.open as usize) {
                return false;
            }
            let process = i32::try_from(other.pid).map(Pid::from_raw);
            if process.is_ok_and(|pid| kill(pid, None) != Err(Errno::ESRCH)) {
                return true;
            }
            // It died at its place.
            self.table.leave(other.place);
        }
        false
    }

    fn ring(&self) {
        // Nobody reads it, so it is full after five hundred years of this.
        let _ = nix::unistd::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Runner {
    /// Whether the next client is to be left to a sibling.
    pub(super) fn is_ahead(&self) -> bool {
        self.engine.siblings.are_behind(self.engine.slots.open())
    }

    /// Leaves the next client to a sibling, for a moment.
    pub(super) fn step_aside(&mut self, leader: &mut Leader) -> io::Result<()> {
        leader.part()?;
        leader.aside = Some(self.moment.now + ASIDE);
        self.engine.siblings.ring();
        Ok(())
    }

    /// Takes what the siblings have left all the same.
    pub(super) fn step_back(&mut self, leader: &mut Leader) -> io::Result<()> {
        leader.aside = None;
        if leader.draining || leader.resume.is_some() {
            return Ok(());
        }
        if self.engine.siblings.is_busy.load(Ordering::Acquire) && self.is_ahead() {
            leader.aside = Some(self.moment.now + BUSY);
            return Ok(());
        }
        let mut is_more = false;
        for index in 0..leader.listeners.len() {
            let mut left = TAKEN_MAX;
            while left > 0 && self.accept_one(leader, index, Room::Usual)? == Reception::Client {
                left -= 1;
            }
            is_more |= left == 0;
        }
        if leader.resume.is_some() {
            return Ok(());
        }
        // They are busy, and more may wait. Else the next client decides anew.
        if is_more && self.is_ahead() {
            leader.aside = Some(self.moment.now + ASIDE);
            return Ok(());
        }
        self.join(leader)
    }

    /// A sibling that is ahead has left a client to whoever is not.
    pub(super) fn hear_bell(&mut self, leader: &mut Leader) -> io::Result<()> {
        if !leader.joined || leader.draining || leader.resume.is_some() || leader.aside.is_some() {
            return Ok(());
        }
        for index in 0..leader.listeners.len() {
            if !self.engine.slots.has_room() {
                break;
            }
            while !self.is_ahead() && self.accept_one(leader, index, Room::Usual)? == Reception::Client {}
        }
        Ok(())
    }
}
