//! What is remembered of a request while Python has it, so that its line can be written without: when it takes too long, or where another
//! server than ours has read it and answers it.

use std::fmt;
use std::net::IpAddr;

use crate::conn::{Connection, Peer};
use crate::wire::{Field, Head, Span, Version};

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
    /// Bytes of content that its answer has had, as far as they are known.
    pub sent: u64,
    /// The fields of its answer, as far as they are known.
    pub answered: Fields,
}

/// Names and values.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

impl Memo {
    /// That of a request which another server has read: its method, its target and its version; its fields; and who asked.
    pub fn of(line: [&[u8]; 3], fields: &Fields, client: String) -> Memo {
        let mut bytes = Vec::new();
        let [method, target, version] = line.map(|part| push(part, b" ", &mut bytes));
        let whole = target.range();
        let mark = memchr::memchr(b'?', target.of(&bytes)).map(|at| whole.start + at);
        let head = Head {
            method,
            target,
            path: Span::new(whole.start, mark.unwrap_or(whole.end)),
            query: Span::new(mark.map_or(whole.end, |mark| mark + 1), whole.end),
            version: if version.of(&bytes) == b"HTTP/1.0" { Version::Http10 } else { Version::Http11 },
            fields: fields
                .iter()
                .map(|(name, value)| Field {
                    name: push(name, b": ", &mut bytes),
                    value: push(value, b"\r\n", &mut bytes),
                })
                .collect(),
            ..Head::default()
        };
        Memo { bytes, head, client, ..Memo::default() }
    }

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

/// Adds some bytes, and what parts them from the next. Says where they are.
fn push(part: &[u8], separator: &[u8], bytes: &mut Vec<u8>) -> Span {
    let start = bytes.len();
    bytes.extend_from_slice(part);
    let span = Span::new(start, bytes.len());
    bytes.extend_from_slice(separator);
    span
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
