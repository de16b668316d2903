//! The giving side of a hand-over: a worker that drains passes its connections on, each at a request boundary.
//!
//! ```text
//!   park -> offer -> waiting -> given -> TAKEN: our copy of the socket is closed, without a word to the client
//!                                   \--> REFUSED, or the heir is gone: it comes home, and is served with a close
//! ```
//!
//! A connection is out of our poll before it is given, for its description lives on elsewhere and would go on reporting.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Interest, Registry};
use monoceros_shared::link::fd::{Carrier, Taken};

use super::estate::{Estate, TAKEN, address};
use super::guest::Guest;
use super::leader::HEIR;
use super::runner::Runner;
use super::slots::lock;
use crate::descriptors;

/// Connections given and not yet replied to. More would let the replies fill the socket that they come by; fewer makes a
/// hand-over of thousands wait for more rounds.
const GIVEN_MAX: usize = 128;

/// The worker that our connections go to.
pub struct Heir {
    carrier: Carrier,
    waiting: VecDeque<Box<Guest>>,
    given: VecDeque<Box<Guest>>,
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
        Ok(Heir { carrier, waiting: VecDeque::new(), given: VecDeque::new() })
    }

    /// Gives as many as it takes now. Says whether it lives.
    fn push(&mut self, listeners: &[String]) -> bool {
        while self.given.len() < GIVEN_MAX
            && let Some(guest) = self.waiting.pop_front()
        {
            let connection = &guest.connection;
            let estate = Estate {
                listener: &listeners[connection.listener],
                peer: address(&connection.peer),
                served: connection.turn.served(),
                input: connection.turn.unread(),
            };
            match self.carrier.give(&estate.packed(), Some(connection.descriptor())) {
                Ok(()) => self.given.push_back(guest),
                Err(error) => {
                    self.waiting.push_front(guest);
                    return matches!(error.kind(), ErrorKind::WouldBlock)
                        || error.raw_os_error() == Some(libc::ETOOMANYREFS);
                }
            }
        }
        true
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

impl Drop for Heir {
    fn drop(&mut self) {
        descriptors::forget(&self.carrier);
    }
}

impl Runner {
    /// Passes a connection on to the heir, if there is one and it stands at a request boundary; else gives it back.
    pub(super) fn hand_over(&mut self, guest: Box<Guest>) -> Option<Box<Guest>> {
        let turn = &guest.connection.turn;
        if guest.lingering || guest.rest.is_some() || turn.is_last() || !turn.may_travel() {
            return Some(guest);
        }
        let engine = self.engine.clone();
        let mut heir = lock(&engine.heir);
        let Some(known) = heir.as_mut() else { return Some(guest) };
        engine.deregister(&guest);
        known.waiting.push_back(guest);
        let lives = known.push(&engine.settings.listeners);
        self.after_push(heir, lives);
        None
    }

    /// The heir has replied, or has room, or is gone.
    pub(super) fn hear_heir(&mut self) {
        let engine = self.engine.clone();
        let mut heir = lock(&engine.heir);
        let Some(known) = heir.as_mut() else { return };
        let mut replies = Replies::default();
        let lives = known.hear(&mut replies) && known.push(&engine.settings.listeners);
        self.after_push(heir, lives);
        for guest in replies.taken {
            self.forget(guest);
        }
        for guest in replies.refused {
            self.take_home(guest);
        }
    }

    /// When the heir is gone, everything that it has not taken comes home.
    fn after_push(&mut self, mut heir: std::sync::MutexGuard<'_, Option<Heir>>, lives: bool) {
        if lives {
            return;
        }
        // Before anybody can find that there is none: who parks then gives its client a last call.
        self.engine.end();
        let gone = heir.take();
        drop(heir);
        let Some(mut gone) = gone else { return };
        // It was registered when it was introduced.
        let _ = self.engine.registry.deregister(&mut SourceFd(&gone.carrier.as_raw_fd()));
        slog::warn!(self.engine.log, "the worker that connections were handed to is gone: they are finished here");
        let home: Vec<_> = gone.given.drain(..).chain(gone.waiting.drain(..)).collect();
        home.into_iter().for_each(|guest| self.take_home(guest));
    }

    fn take_home(&mut self, mut guest: Box<Guest>) {
        guest.connection.turn.make_last();
        guest.patience = None;
        match self.engine.register(&guest) {
            Ok(()) => self.settle(guest),
            Err(_) => self.forget(guest),
        }
    }
}
