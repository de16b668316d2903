//! What is remembered of a request while Python has it, so that its line can be written without: when it takes too long.

use std::fmt;
use std::net::IpAddr;

use crate::conn::{Connection, Peer};
use crate::wire::Head;

/// What is remembered. Reused from request to request of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memo {
    /// The bytes that the head is of.
    pub bytes: Vec<u8>,
    /// Its head.
    pub head: Head,
    /// REMOTE_ADDR, or `unix`.
    pub client: String,
    /// Its identifier, if it has one.
    pub id: Option<Vec<u8>>,
}

impl Memo {
    /// Remembers the request of this connection, and nothing else.
    pub fn take(&mut self, connection: &Connection) {
        let turn = &connection.turn;
        self.bytes.clear();
        self.bytes.extend_from_slice(turn.head_bytes());
        self.head.clone_from(turn.head());
        self.client.clear();
        // A String takes all.
        let _ = fmt::Write::write_fmt(&mut self.client, format_args!("{}", client_of(connection)));
        self.id = turn.id().map(<[u8]>::to_vec);
    }
}

/// Who a request is from, as REMOTE_ADDR says it.
pub enum Client<'a> {
    /// A trusted proxy's word.
    Told(IpAddr),
    /// Whoever is at the other end.
    Peer(&'a Peer),
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Told(address) => address.fmt(f),
            Client::Peer(peer) => peer.fmt(f),
        }
    }
}

/// Who the request of this connection is from.
pub fn client_of(connection: &Connection) -> Client<'_> {
    match connection.turn.origin().client {
        Some((address, _)) if connection.turn.has_head() => Client::Told(address),
        Some(_) | None => Client::Peer(&connection.peer),
    }
}
