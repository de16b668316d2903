//! The PROXY protocol, versions 1 and 2: what a proxy says of its client before the client's own first byte
//! (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! ```text
//!   v1   PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 CRLF          at most 107 bytes
//!   v2   signature, version and command, family, length | addresses | TLVs
//! ```
//!
//! Rule: a header has one reading or none, byte by byte as at once. What the text leaves to a sender's goodwill (leading zeros,
//! ports, spaces, the length of a line) is held to, for the header stands before everything that is believed later.
//! Of the TLVs the checksum is verified and `PP2_TYPE_SSL` read; others are skipped, but must be whole.

mod v1;
mod v2;

use std::net::SocketAddr;

#[cfg(test)]
mod tests;

/// What a proxy says of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing: the connection is the proxy's own, such as a health check, or it knows no addresses (`LOCAL`, `UNKNOWN`, `AF_UNSPEC`).
    Nothing,
    /// A TCP client, and the address that it had connected to.
    Tcp {
        /// The client's own.
        client: SocketAddr,
        /// Where the proxy took its connection.
        server: SocketAddr,
    },
    /// A client of a Unix socket of the proxy's.
    Unix,
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Of whom.
    pub said: Said,
    /// Whether the client came to the proxy by TLS (`PP2_CLIENT_SSL`).
    pub is_tls: bool,
}

/// Why a connection does not begin with a PROXY header. It is closed without a word, for there is nobody who would read one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Reads the one header of a connection.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    kept: Vec<u8>,
}

impl Reader {
    /// A reader that has seen these bytes already, of which the header was not whole.
    pub fn resumed(kept: &[u8]) -> Reader {
        Reader { kept: kept.to_vec() }
    }

    /// What was seen of a header that is not whole.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes the next bytes. `None`: more are needed. `Some((header, taken))`: so many of `bytes` belonged to it, and the others are
    /// what the client sent.
    ///
    /// # Errors
    /// When it is no header; the same whatever the pieces were.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
        let before = self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(v2::BYTES_MAX.max(v1::BYTES_MAX))]);
        let read = match self.kept.first() {
            None => Ok(None),
            Some(b'P') => v1::read(&self.kept),
            Some(_) => v2::read(&self.kept),
        };
        Ok(read?.map(|(header, length)| (header, length - before)))
    }
}
