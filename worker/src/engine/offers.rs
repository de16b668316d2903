//! Requests that no thread of ours is free for go to a sibling that has one.
//!
//! ```text
//!   every runner in a call:   queue -> offered, with its connection -> [one socket, for all workers of a generation]
//!   a thread free:            [the same socket] -> taken, one at a time -> served here from now on, as is all that follows on it
//!   nobody has taken it:      recalled by whoever looks after a busy worker, and not offered again for a while
//! ```
//!
//! The socket belongs to all of them, so nobody chooses: whoever is free takes. What a worker has offered that dies is served all the same.
//!
//! Rule: who drains offers nothing any more and takes all that is there, so that the last one leaves nothing.
//!
//! Rule: whoever has no room for what is offered waits for no more of it, or it would be woken for nothing, again and again.
//!
//! Known faults: what cannot be made bytes again stays, as by TLS, from a gateway or with a long body. A worker that is killed between taking and
//! answering takes the connection with it, as it does all of its own. A supervisor that comes after one that was killed, or an upgrade, makes another
//! socket: workers from before it and those that it adds relieve their own kind until the next reload.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use monoceros_shared::link::fd::{Carrier, Taken};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};

use super::Task;
use super::estate::{Estate, PACKET_MAX};
use super::guest::Guest;
use super::leader::{Leader, OFFERS};
use super::runner::Runner;
use super::slots::Room;
use crate::clock;

/// Offers of ours that lie there at once. Fewer relieve a worker with a long queue slowly, more are taken from their place in the queue while those who
/// seemed to be free are not.
const OFFERS_MAX: usize = 4;

/// How soon there is another look, when more could be offered. Less spins, more makes them wait.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How long an offer waits to be taken, in milliseconds. Less recalls what a sibling would have come to, more makes it wait where none is free
/// that seemed to be.
const OFFERED_MAX: u64 = 50;

/// How long nothing is offered after that, in milliseconds. Less offers in vain to one that is stuck, more leaves requests with a busy worker.
const SHY: u64 = 500;

/// Where the workers of one generation leave requests for each other.
pub struct Offers {
    giving: Carrier,
    taking: Carrier,
    is_in_poll: bool,
    /// When something was offered that may still be there.
    offered: Option<u64>,
    /// Nothing is offered before this.
    shy: u64,
}

impl Offers {
    /// The two ends that the supervisor gave.
    ///
    /// # Errors
    /// When they are no such ends.
    pub fn new(giving: OwnedFd, taking: OwnedFd) -> io::Result<Offers> {
        let (giving, taking) = (Carrier::adopt(giving)?, Carrier::adopt(taking)?);
        Ok(Offers { giving, taking, is_in_poll: false, offered: None, shy: 0 })
    }

    /// Waits for offers, of which each wakes one worker.
    pub(super) fn join(&mut self, epoll: &Epoll) -> io::Result<()> {
        if !self.is_in_poll {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            epoll.add(&self.taking, EpollEvent::new(flags, OFFERS.0 as u64))?;
            self.is_in_poll = true;
        }
        Ok(())
    }

    /// Stops to wait for them.
    pub(super) fn part(&mut self, epoll: &Epoll) -> io::Result<()> {
        if self.is_in_poll {
            epoll.delete(&self.taking)?;
            self.is_in_poll = false;
        }
        Ok(())
    }

    /// Whether nothing lies there, of ours or of others.
    fn is_taken(&self) -> bool {
        let mut asked = [PollFd::new(self.taking.as_fd(), PollFlags::POLLIN)];
        poll(&mut asked, PollTimeout::ZERO) == Ok(0)
    }

    /// Whether something that was offered has waited for too long.
    fn is_forgotten(&self, now: u64) -> bool {
        self.offered.is_some_and(|at| at + OFFERED_MAX <= now)
    }
}

impl Runner {
    /// Takes one request of a sibling's that has no thread for it. Says whether there may be another.
    pub(super) fn take_offer(&mut self, leader: &mut Leader, room: Room) -> bool {
        let Some(offers) = &leader.offers else { return false };
        let Some(key) = self.engine.slots.enter(room) else {
            return self.pause_taking(leader, "the worker holds limits.connections_max connections");
        };
        // A packet that is taken without a descriptor left for its socket is lost, and nobody else has that. So one is had, and set free again.
        let taken = offers.taking.as_fd().try_clone_to_owned().map(drop).and_then(|()| {
            let mut packet = vec![0; PACKET_MAX];
            Ok((offers.taking.take(&mut packet)?, packet))
        });
        let guest = match taken {
            Ok((Taken::Packet((length, Some(socket))), packet)) => self.settle_in(key, &packet[..length], socket),
            Ok((Taken::Packet(_) | Taken::Nothing | Taken::End, _)) => {
                self.engine.slots.leave(key);
                return false;
            }
            Err(why) => {
                self.engine.slots.leave(key);
                return self.pause_taking(leader, &why.to_string());
            }
        };
        match guest {
            Some(guest) => self.settle(guest),
            None => {
                self.engine.slots.leave(key);
                slog::warn!(self.engine.log, "cannot go on with a connection of a sibling's: it is closed");
            }
        }
        true
    }

    /// Takes all of them: nobody may come after us. Says whether none is left.
    pub(super) fn take_offers(&mut self, leader: &mut Leader) -> bool {
        while self.take_offer(leader, Room::Last) {}
        leader.offers.as_ref().is_none_or(Offers::is_taken)
    }

    /// Leaves them to others until there is room. There is no other now.
    fn pause_taking(&mut self, leader: &mut Leader, why: &str) -> bool {
        if let Err(error) = leader.leave_siblings() {
            self.engine.break_off(&error);
        }
        self.pause_inheriting(leader, why);
        false
    }

    /// Offers what waits for a thread of ours to the siblings, if one of them seems to have one; takes back what none has taken. Says whether to
    /// look again soon.
    pub(super) fn make_offers(&mut self, leader: &mut Leader) -> bool {
        let now = clock::now();
        let Some(offers) = &mut leader.offers else { return false };
        if offers.offered.is_some() && offers.is_taken() {
            offers.offered = None;
        }
        if offers.is_forgotten(now) {
            (offers.offered, offers.shy) = (None, now + SHY);
            self.take_offers(leader);
            return false;
        }
        let may_offer = offers.offered.is_none() && offers.shy <= now && !self.engine.is_leaving();
        if may_offer && !self.engine.is_queue_empty() && self.engine.siblings.is_another_free() {
            self.offer_some(offers);
        }
        offers.offered.is_some()
    }

    fn offer_some(&mut self, offers: &mut Offers) {
        let mut stay = Vec::new();
        for _ in 0..OFFERS_MAX {
            let Some(guest) = self.engine.pop_unbegun(may_be_offered) else { break };
            stay.extend(self.offer(offers, guest));
        }
        stay.into_iter().rev().for_each(|guest| self.engine.queue_first(Task::Serve(guest)));
    }

    /// Offers one request. Gives it back if it cannot travel, or there is no room for it.
    fn offer(&mut self, offers: &mut Offers, mut guest: Box<Guest>) -> Option<Box<Guest>> {
        if !guest.connection.turn.unread_whole() {
            return Some(guest);
        }
        self.engine.deregister(&mut guest);
        let packet = Estate::of(&guest, &self.engine.settings).packed();
        if offers.giving.give(&packet, Some(guest.connection.descriptor())).is_ok() {
            offers.offered.get_or_insert_with(clock::now);
            self.forget(guest);
            return None;
        }
        // It was whole, so it is again.
        let mut guest = self.back_into_poll(guest)?;
        guest.connection.turn.receive(&[], &self.moment);
        Some(guest)
    }
}

/// Whether another worker could have it. What cannot travel is passed by, for others may wait behind it.
fn may_be_offered(guest: &Guest) -> bool {
    let connection = &guest.connection;
    let may_travel = connection.may_travel() && connection.turn.may_unread() && !connection.turn.is_last();
    may_travel && connection.stands_alone()
}
