//! A connection that is one request of a FastCGI connection: the home, which has the socket, or a branch, which has no more than its stream.

use std::io;
use std::sync::Arc;

use super::send::Behind;
use super::trunk::{Mail, Number, Seed, Tended, Trunk, Written};
use super::{Connection, Flushed};
use monoceros_shared::config::Bodies;

use crate::turn::{Limits, Moment, Turn};
use crate::wire::fastcgi::answer::Values;
use crate::wire::gateway::Protocol;

/// A connection's place on its trunk.
#[derive(Clone)]
pub struct Place {
    /// What it shares with others.
    pub trunk: Arc<Trunk>,
    /// Its request, if it is a branch.
    pub branch: Option<Number>,
}

impl Connection {
    /// Has it speak FastCGI, and tell this of us.
    pub fn speak_fastcgi(&mut self, values: Values) {
        self.turn.speak(Protocol::FastCgi);
        let trunk = Trunk::new(Seed {
            limits: self.turn.limits().clone(),
            way: self.turn.way().cloned(),
            peer: self.peer.clone(),
            listener: self.listener,
            waits: self.waits,
            values,
        });
        self.place = Some(Box::new(Place { trunk: Arc::new(trunk), branch: None }));
    }

    /// The connection of a request beside the home's; the socket stays the home's.
    pub fn branch(place: &Place, number: Number, socket: Arc<socket2::Socket>) -> Connection {
        let seed = &place.trunk.seed;
        let mut turn = Turn::new(whole(&seed.limits));
        turn.speak(Protocol::FastCgi);
        turn.expect(number.id);
        if let Some(way) = seed.way.clone() {
            turn.come_by(way);
        }
        let place = Place { trunk: place.trunk.clone(), branch: Some(number) };
        let mut connection = Connection::over(socket, seed.peer.clone(), (seed.listener, turn.into()), seed.waits);
        connection.place = Some(Box::new(place));
        connection
    }

    /// Waits for what comes of the body of the request that it is at.
    ///
    /// # Errors
    /// The socket's. `WouldBlock` too when what came was for others.
    pub(super) fn receive_within_call(&mut self, scratch: &mut [u8], moment: &Moment) -> io::Result<usize> {
        let Some(place) = &self.place else { return Ok(0) };
        let came = place.trunk.receive(&self.socket, scratch, (&mut self.turn, moment));
        place.trunk.call_if_needed();
        came
    }

    /// Its place on a trunk, if it has one.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_deref()
    }

    /// Whether there is nothing to see to for requests beside its own; it is in this slot.
    pub fn is_trunk_quiet(&self, index: u32) -> bool {
        let home = self.place.as_ref().filter(|place| place.branch.is_none());
        home.is_none_or(|place| place.trunk.is_quiet(index, self.readable))
    }

    /// Whether the socket is another connection's.
    pub fn is_branch(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.branch.is_some())
    }

    /// Whether requests beside its own go on, which it must not end.
    pub fn is_shared(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.branch.is_some() || place.trunk.has_branches())
    }

    /// Whether it must not end yet, for the sake of others.
    pub(super) fn is_needed(&self) -> bool {
        let home = self.place.as_ref().filter(|place| place.branch.is_none());
        let is_needed = home.is_some_and(|place| place.trunk.has_branches());
        if let Some(place) = home.filter(|_| is_needed) {
            if self.turn.is_cut() {
                // The others may go on for long.
                place.trunk.end_cut(&self.socket, None);
            }
            // It takes no other request, and still has to read for those that there are.
            place.trunk.set_busy();
        }
        is_needed
    }

    /// Whether the web server does not want the answer any more.
    pub fn is_aborted(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.trunk.is_aborted(place.branch))
    }

    /// The turn goes on to the next request, if this is where one can come.
    pub(super) fn restart(&mut self, moment: &Moment) {
        match &self.place {
            None => self.turn.restart(moment),
            Some(place) if place.branch.is_none() => {
                place.trunk.finish_home();
                self.turn.restart(moment);
            }
            Some(_) => self.turn.end_here(),
        }
    }

    /// Its request is whole: until it has answered somebody else reads what comes for others.
    pub(super) fn note_call(&self) {
        // A body that the application reads itself is read by the home alone, and what comes between with it.
        if let Some(place) = self.place.as_ref().filter(|place| place.branch.is_none() && !self.turn.is_body_open()) {
            place.trunk.set_busy();
        }
    }

    /// Takes what there is for its turn.
    ///
    /// # Errors
    /// `WouldBlock`, for the turn has it; the socket's.
    pub(super) fn receive_on_trunk(&mut self, scratch: &mut [u8], moment: &Moment) -> io::Result<()> {
        let Some(place) = self.place.clone() else { return Ok(()) };
        let Some(number) = place.branch else {
            return match place.trunk.receive(&self.socket, scratch, (&mut self.turn, moment)) {
                Ok(count) => {
                    self.moved = true;
                    // As without a trunk.
                    self.readable = count == scratch.len() || self.hangup;
                    if count == 0 {
                        self.turn.end_of_input(moment);
                    }
                    Ok(())
                }
                Err(error) => {
                    self.readable &= error.kind() == io::ErrorKind::Interrupted;
                    Err(error)
                }
            };
        };
        match place.trunk.mail(number) {
            Mail::Bytes(bytes) => self.turn.receive(&bytes, moment),
            Mail::Nothing => self.readable = false,
            Mail::Abort => self.turn.abort(),
            Mail::End => self.turn.end_of_input(moment),
        }
        Ok(())
    }

    /// Reads what comes for others while it has no use for any itself, and writes what is owed.
    pub fn tend_trunk(&mut self, scratch: &mut [u8]) -> Tended {
        let Some(place) = self.place.as_ref().filter(|place| place.branch.is_none()) else { return Tended::Unread };
        if !self.readable {
            place.trunk.pay(&self.socket);
            return Tended::Unread;
        }
        let tended = place.trunk.tend(&self.socket, scratch);
        // An end of the input is there for the home's own look at it too.
        self.readable &= tended != Tended::Empty || self.hangup;
        tended
    }

    /// Sends what the turn has ready, in whole records.
    pub(super) fn flush_on_trunk(&mut self, behind: Behind) -> Flushed {
        let Some(place) = &self.place else { return Flushed::All };
        match place.trunk.flush(&self.socket, place.branch, &mut self.turn, behind) {
            Written::All => {
                self.moved = true;
                Flushed::All
            }
            // What is left of a branch's last record goes without it.
            Written::Full if place.branch.is_some() && self.turn.output().is_empty() => Flushed::All,
            Written::Full => Flushed::Full,
            Written::Gone => Flushed::Gone,
        }
    }
}

/// The same limits for a request whose body is read before its call, whatever the application wants: nobody but the home can wait for the
/// socket.
fn whole(limits: &Arc<Limits>) -> Arc<Limits> {
    match limits.bodies {
        Bodies::Buffer => limits.clone(),
        Bodies::Stream => Arc::new(Limits { bodies: Bodies::Buffer, ..Limits::clone(limits) }),
    }
}
