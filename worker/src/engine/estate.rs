//! A connection as it travels from one worker to another: one packet, with the socket itself beside it.
//!
//! ```text
//!   giver -> taker   FORM | postcard(listener, protocol, peer, relayed, served, arrived, input) + the socket
//!   taker -> giver   one byte for each, in their order: TAKEN or REFUSED; several in a packet
//! ```
//!
//! What the kernel holds for the socket, sent or received, travels with it. Nothing is read from a socket before the reply
//! says that it is taken, so a giver whose taker dies has lost nothing.

use std::net::SocketAddr;

use monoceros_shared::config::Protocol;
use serde::{Deserialize, Serialize};

use super::guest::Guest;
use super::settings::Settings;
use crate::conn::{Connection, Peer};
use crate::origin::Scheme;
use crate::relay::Relay;
use crate::turn::INPUT_TRAVELS_MAX;

/// The first byte of a packet; another form of it gets another.
const FORM: u8 = 4;

/// Replied for a connection that the taker has now.
pub const TAKEN: u8 = 1;
/// Replied for a connection that it has no listener for: the giver keeps it.
pub const REFUSED: u8 = 0;

/// Bytes of a packet.
pub const PACKET_MAX: usize = INPUT_TRAVELS_MAX + 1024;

/// A connection without its socket.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estate<'a> {
    /// The listener that it came by.
    pub listener: &'a str,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Its TCP peer; `None` for a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What a proxy said of it.
    pub relayed: Relayed,
    /// Requests that it was served.
    pub served: u64,
    /// When its next request was whole, by [`crate::clock::exactly`]; 0 if it is not.
    pub arrived: u64,
    /// What was read of its next request, or of its PROXY header while that is awaited.
    pub input: &'a [u8],
}

/// A connection's PROXY header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relayed {
    /// It has none.
    No,
    /// It is not whole yet.
    Awaited,
    /// It has come: where the client had connected to, and whether by TLS.
    Said {
        /// `None` where that was not told.
        server: Option<SocketAddr>,
        /// As far as is known.
        is_tls: bool,
    },
}

impl Relayed {
    /// What is known of a connection, and what of it was read and not yet understood.
    pub fn of(connection: &Connection) -> (Relayed, &[u8]) {
        match connection.relay.as_deref() {
            None => (Relayed::No, connection.turn.unread()),
            Some(Relay::Awaited(reader)) => (Relayed::Awaited, reader.kept()),
            Some(&Relay::Said { server, scheme }) => {
                (Relayed::Said { server, is_tls: scheme == Scheme::Https }, connection.turn.unread())
            }
        }
    }
}

impl<'a> Estate<'a> {
    /// What of a guest travels.
    pub fn of(guest: &'a Guest, settings: &'a Settings) -> Estate<'a> {
        let connection = &guest.connection;
        let (relayed, input) = Relayed::of(connection);
        Estate {
            listener: &settings.listeners[connection.listener],
            protocol: settings.doors.protocol(connection.listener),
            peer: address(&connection.peer),
            relayed,
            served: connection.turn.served(),
            arrived: guest.arrived,
            input,
        }
    }

    /// As a packet.
    pub fn packed(&self) -> Vec<u8> {
        let packet = postcard::to_extend(self, vec![FORM]);
        packet.expect("it has nothing that cannot be written, and memory grows as it must")
    }

    /// From a packet; `None` when it is of another form.
    pub fn unpacked(packet: &'a [u8]) -> Option<Estate<'a>> {
        match packet.split_first() {
            Some((&FORM, estate)) => postcard::from_bytes(estate).ok(),
            Some(_) | None => None,
        }
    }
}

/// A peer as it travels.
fn address(peer: &Peer) -> Option<SocketAddr> {
    match peer {
        Peer::Tcp(address) => Some(*address),
        Peer::Unix => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_as_it_was_laid_down() {
        let estate = Estate {
            listener: "a:1",
            protocol: Protocol::Http,
            peer: None,
            relayed: Relayed::No,
            served: 300,
            arrived: 5,
            input: b"GE",
        };
        assert_eq!(estate.packed(), b"\x04\x03a:1\x00\x00\x00\xac\x02\x05\x02GE");
        assert_eq!(Estate::unpacked(&estate.packed()), Some(estate));
    }

    #[test]
    fn a_packet_of_another_form_is_not_misread() {
        for packet in
            [&b""[..], b"\x03\x03a:1\x00\x00\x00\xac\x02\x02GE", b"\x04\x03a:1\x00\x00\x00\xac\x02\x05\x03GE", b"\x04"]
        {
            assert_eq!(Estate::unpacked(packet), None);
        }
    }
}
