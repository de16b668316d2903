//! The taking side of a hand-over: a new worker goes on with the connections of an old one.
//!
//! A connection for which there is no listener of that name here is refused, and the giver keeps it. When no slot is free, the
//! rest waits in the socket: nothing in it is lost, not even when the giver ends.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use monoceros_shared::link::fd::{Carrier, Taken};
use socket2::Socket;

use super::estate::{Estate, PACKET_MAX, REFUSED, Relayed, TAKEN};
use super::guest::Guest;
use super::leader::{INHERITANCE, Leader};
use super::runner::Runner;
use super::slots::{Key, Room};
use crate::conn::{Connection, Peer};
use crate::descriptors;
use crate::turn::Seat;

/// Connections taken at once from one giver, and so the replies in one packet. More makes our own clients wait.
const TAKEN_MAX: usize = 64;

/// Those that hand connections over to us.
#[derive(Default)]
pub struct Inheritances {
    givers: Vec<Option<Carrier>>,
}

impl Inheritances {
    /// Begins to listen to one more.
    ///
    /// # Errors
    /// When the poll refuses it.
    pub fn add(&mut self, carrier: Carrier, registry: &Registry) -> io::Result<()> {
        let place = self.givers.iter().position(Option::is_none).unwrap_or(self.givers.len());
        registry.register(&mut SourceFd(&carrier.as_raw_fd()), Token(INHERITANCE + place), Interest::READABLE)?;
        descriptors::note(&carrier);
        self.givers.resize_with(self.givers.len().max(place + 1), || None);
        self.givers[place] = Some(carrier);
        Ok(())
    }

    /// How many places to look at.
    pub fn places(&self) -> usize {
        self.givers.len()
    }
}

impl Runner {
    /// Takes what one giver has for us.
    pub(super) fn inherit(&mut self, leader: &mut Leader, place: usize) {
        let Some(carrier) = leader.inheritances.givers.get_mut(place).and_then(Option::take) else { return };
        let mut packet = vec![0; PACKET_MAX];
        loop {
            let mut replies = Vec::new();
            let lives = self.inherit_some(&carrier, &mut packet, &mut replies);
            // As many as were given, of which there is a bound, so there is room; and if the giver is gone nobody waits for them.
            if !replies.is_empty()
                && carrier.give(&replies.iter().map(|(reply, _)| *reply).collect::<Vec<_>>(), None).is_err()
            {
                slog::debug!(self.engine.log, "a worker went while it handed connections over");
            }
            let more = replies.len() == TAKEN_MAX;
            for guest in replies.into_iter().filter_map(|(_, guest)| guest) {
                self.settle(guest);
            }
            match lives {
                Ok(true) if more => {}
                Ok(true) => break leader.inheritances.givers[place] = Some(carrier),
                Ok(false) => break self.end_inheritance(&carrier),
                Err(why) => {
                    leader.inheritances.givers[place] = Some(carrier);
                    break self.pause_inheriting(leader, &why.to_string());
                }
            }
        }
    }

    /// Takes up to a bound. Says whether the giver lives; an error means that something has run out here.
    fn inherit_some(
        &mut self,
        carrier: &Carrier,
        packet: &mut [u8],
        replies: &mut Vec<(u8, Option<Box<Guest>>)>,
    ) -> io::Result<bool> {
        while replies.len() < TAKEN_MAX {
            let Some(key) = self.engine.slots.enter(Room::Last) else {
                return Err(io::Error::other("the worker holds limits.connections_max connections"));
            };
            let guest = match carrier.take(packet) {
                Ok(Taken::Packet((length, Some(socket)))) => self.settle_in(key, &packet[..length], socket),
                other => {
                    self.engine.slots.leave(key);
                    return match other {
                        Ok(Taken::Nothing) => Ok(true),
                        Ok(Taken::Packet(_) | Taken::End) => Ok(false),
                        Err(why) => {
                            // Its packet is used up, and its socket closed here; the giver has both still.
                            replies.push((REFUSED, None));
                            Err(why)
                        }
                    };
                }
            };
            if guest.is_none() {
                self.engine.slots.leave(key);
            }
            replies.push((if guest.is_some() { TAKEN } else { REFUSED }, guest));
        }
        Ok(true)
    }

    /// A connection that goes on here, if it can.
    pub(super) fn settle_in(&mut self, key: Key, packet: &[u8], socket: OwnedFd) -> Option<Box<Guest>> {
        let estate = Estate::unpacked(packet)?;
        let listener = self.engine.settings.listeners.iter().position(|name| name == estate.listener)?;
        // What came in plain was to a listener that is encrypted now.
        if self.engine.settings.tls.iter().any(|sealed| sealed.address.to_string() == estate.listener) {
            return None;
        }
        let peer = estate.peer.map_or(Peer::Unix, Peer::Tcp);
        if self.engine.settings.doors.protocol(listener) != estate.protocol {
            return None;
        }
        let turn = Seat::new(self.engine.settings.limits.clone(), estate.served);
        let mut connection = Connection::new(Socket::from(socket), peer, listener, turn, self.engine.settings.waits);
        self.engine.settings.doors.let_on(&mut connection, &estate.relayed, estate.input);
        if estate.relayed != Relayed::Awaited && !estate.input.is_empty() {
            connection.turn.receive(estate.input, &self.moment);
        }
        let mut guest = Guest::new(key, connection);
        guest.arrived = estate.arrived;
        self.engine.slots.know(&guest);
        self.engine.wait_for(&mut guest, self.moment.now).ok()?;
        self.engine.count_inherited();
        Some(guest)
    }

    fn end_inheritance(&mut self, carrier: &Carrier) {
        // It was registered when it was added.
        let _ = self.engine.registry.deregister(&mut SourceFd(&carrier.as_raw_fd()));
        descriptors::forget(carrier);
        self.engine.givers.fetch_sub(1, Ordering::SeqCst);
        self.engine.end_if_empty();
    }
}
