//! The giving side of a hand-over: a worker that drains passes its connections on, each at a request boundary.
//!
//! ```text
//!   park -> given -> TAKEN: our copy of the socket is closed, without a word to the client
//!      \        \--> REFUSED: it comes home, and is served with a close
//!      |         \--> the heir is gone: it comes home, is served as ever, and goes to the next heir, if one comes in time
//!       \--> no room: parked as ever, served as ever, and offered again when there is room
//! ```
//!
//! A connection is out of our poll before it is given, for its description lives on elsewhere and would go on reporting. So only
//! as many are given at once as are soon replied to: nobody serves one that is on its way.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use monoceros_shared::link::fd::{Carrier, Taken};

use super::Engine;
use super::estate::{Estate, TAKEN};
use super::guest::Guest;
use super::leader::HEIR;
use super::runner::Runner;
use super::settings::Settings;
use super::slots::lock;
use crate::{clock, descriptors};

/// Connections given and not yet replied to. More makes requests wait that come while theirs is on its way, and would let the
/// replies fill the socket that they come by; fewer makes a hand-over of thousands wait for more rounds.
const GIVEN_MAX: usize = 64;

/// How long connections whose heir is gone are served as ever while another is awaited, in milliseconds. Less closes what
/// could have travelled; more keeps a worker that nobody will relieve.
const HEIR_PATIENCE: u64 = 5_000;

/// The worker that our connections go to.
pub struct Heir {
    carrier: Carrier,
    given: VecDeque<Box<Guest>>,
    /// Its socket took no more; the next event of it says that it does again.
    is_full: bool,
    /// The slot to look at next for a parked connection that it has not been offered.
    next: usize,
    /// Some found no room, and may be parked behind the slot that is next.
    again: bool,
}

/// What became of a connection that was offered.
enum Offer {
    /// It is on its way.
    Given,
    /// There is no room for it now.
    NoRoom(Box<Guest>),
    /// The heir is gone.
    Gone(Box<Guest>),
}

/// What came of connections that were given.
#[derive(Default)]
struct Replies {
    taken: VecDeque<Box<Guest>>,
    refused: VecDeque<Box<Guest>>,
}

impl Heir {
    /// Watches for its replies.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub fn new(carrier: Carrier, registry: &Registry) -> std::io::Result<Heir> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&carrier.as_raw_fd()), HEIR, interest)?;
        descriptors::note(&carrier);
        Ok(Heir { carrier, given: VecDeque::new(), is_full: false, next: 0, again: false })
    }

    fn has_room(&self) -> bool {
        self.given.len() < GIVEN_MAX && !self.is_full
    }

    /// Gives it a connection that is out of the poll.
    fn give(&mut self, guest: Box<Guest>, settings: &Settings) -> Offer {
        let packet = Estate::of(&guest, settings).packed();
        match self.carrier.give(&packet, Some(guest.connection.descriptor())) {
            Ok(()) => {
                self.given.push_back(guest);
                Offer::Given
            }
            // With none on their way no event would ever come, so the heir is as good as gone.
            Err(error) if is_full(&error) && !self.given.is_empty() => {
                self.is_full = true;
                Offer::NoRoom(guest)
            }
            Err(_) => Offer::Gone(guest),
        }
    }

    /// Takes in its replies. Says whether it lives.
    fn hear(&mut self, replies: &mut Replies) -> bool {
        let mut packet = [0; GIVEN_MAX];
        loop {
            let count = match self.carrier.take(&mut packet) {
                Ok(Taken::Packet((count, _))) => count,
                Ok(Taken::Nothing) => return true,
                Ok(Taken::End) | Err(_) => return false,
            };
            for reply in &packet[..count] {
                let Some(guest) = self.given.pop_front() else { return false };
                if *reply == TAKEN { replies.taken.push_back(guest) } else { replies.refused.push_back(guest) }
            }
        }
    }
}

/// The socket's buffer is full, or as many descriptors are on their way as the kernel allows a user (unix(7)).
fn is_full(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

impl Drop for Heir {
    fn drop(&mut self) {
        descriptors::forget(&self.carrier);
    }
}

impl Runner {
    /// Passes a connection on to the heir, if there is one with room and it stands at a request boundary; else gives it back.
    pub(super) fn hand_over(&mut self, guest: Box<Guest>) -> Option<Box<Guest>> {
        let mut guest = guest;
        if !guest.connection.may_travel() {
            guest.connection.turn.make_last();
        }
        if !guest.connection.stands_alone() {
            return Some(guest);
        }
        let turn = &guest.connection.turn;
        if guest.lingering || guest.rest.is_some() || turn.is_last() || !turn.may_travel() {
            return Some(guest);
        }
        let engine = self.engine.clone();
        let mut heir = lock(&engine.heir);
        let Some(known) = heir.as_mut() else { return Some(guest) };
        if !known.has_room() {
            known.again = true;
            return Some(guest);
        }
        engine.deregister(&mut guest);
        match known.give(guest, &engine.settings) {
            Offer::Given => None,
            Offer::NoRoom(guest) => {
                known.again = true;
                drop(heir);
                self.back_into_poll(guest)
            }
            Offer::Gone(guest) => {
                self.lose_heir(heir);
                self.back_into_poll(guest)
            }
        }
    }

    /// The heir has replied, or has room, or is gone.
    pub(super) fn hear_heir(&mut self) {
        let engine = self.engine.clone();
        let mut heir = lock(&engine.heir);
        let Some(known) = heir.as_mut() else { return };
        let mut replies = Replies::default();
        known.is_full = false;
        if known.hear(&mut replies) {
            drop(heir);
        } else {
            self.lose_heir(heir);
        }
        for guest in replies.taken {
            self.forget(guest);
        }
        for mut guest in replies.refused {
            guest.connection.turn.make_last();
            self.take_home(guest);
        }
        while let Some(guest) = engine.next_for_heir() {
            self.settle(guest);
        }
    }

    /// Everything that the heir has not taken comes home, and waits for the next one: the supervisor names another as soon as
    /// one serves.
    fn lose_heir(&mut self, mut heir: MutexGuard<'_, Option<Heir>>) {
        let gone = heir.take();
        drop(heir);
        let Some(mut gone) = gone else { return };
        // It was registered when it was introduced.
        let _ = self.engine.registry.deregister(&mut SourceFd(&gone.carrier.as_raw_fd()));
        slog::warn!(
            self.engine.log,
            "the worker that connections were handed to is gone: they are served here until another comes"
        );
        let home: Vec<_> = gone.given.drain(..).collect();
        home.into_iter().for_each(|guest| self.take_home(guest));
        self.engine.await_heir();
    }

    /// A connection that was to go stays for now.
    pub(super) fn back_into_poll(&mut self, mut guest: Box<Guest>) -> Option<Box<Guest>> {
        match self.engine.register(&mut guest) {
            Ok(()) => Some(guest),
            Err(_) => {
                self.forget(guest);
                None
            }
        }
    }

    /// A connection that had been given goes on here, and its client is waited for anew.
    fn take_home(&mut self, guest: Box<Guest>) {
        if let Some(mut guest) = self.back_into_poll(guest) {
            guest.patience = None;
            // It may be a whole request that was made bytes again.
            guest.connection.turn.receive(&[], &self.moment);
            self.settle(guest);
        }
    }
}

impl Engine {
    /// Has the leader look in a while whether another heir has come.
    fn await_heir(&self) {
        self.heirless.store(clock::now() + HEIR_PATIENCE, Ordering::Release);
        self.wake_leader();
    }

    /// Until when an heir is awaited, if one was lost and none has come.
    pub(super) fn awaits_heir(&self) -> Option<u64> {
        let until = self.heirless.load(Ordering::Acquire);
        (until != 0 && !self.has_heir() && !self.settings.limits.ending.load(Ordering::Acquire)).then_some(until)
    }

    /// The next parked connection that the heir has room for.
    fn next_for_heir(&self) -> Option<Box<Guest>> {
        let mut heir = lock(&self.heir);
        let known = heir.as_mut().filter(|known| known.has_room())?;
        let mut next = self.slots.take_next_parked(&mut known.next);
        if next.is_none() && std::mem::take(&mut known.again) {
            known.next = 0;
            next = self.slots.take_next_parked(&mut known.next);
        }
        next
    }
}
