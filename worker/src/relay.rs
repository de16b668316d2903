//! What stands before a connection's first request on a listener with `proxy_protocol`.

use std::net::{IpAddr, SocketAddr};

use crate::conn::Peer;
use crate::origin::Scheme;
use crate::wire::proxy::{Header, Malformed, Reader, Said};

/// A connection's PROXY header: awaited, and then known.
#[derive(Clone, Debug)]
pub enum Relay {
    /// It is not whole yet.
    Awaited(Reader),
    /// It has come.
    Said {
        /// Where the client had connected to, if it was told.
        server: Option<SocketAddr>,
        /// How it had come there.
        scheme: Scheme,
    },
}

/// What a header changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// The client, if it is another than the connection's own peer.
    pub peer: Option<Peer>,
    /// How it came to the proxy.
    pub scheme: Scheme,
    /// How many bytes the header took of those that were given.
    pub taken: usize,
}

impl Relay {
    /// Takes the next bytes of a connection. `None`: the header is not whole yet.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Introduction>, Malformed> {
        let Relay::Awaited(reader) = self else {
            return Ok(Some(Introduction { peer: None, scheme: Scheme::Http, taken: 0 }));
        };
        let Some((header, taken)) = reader.read(bytes)? else { return Ok(None) };
        let scheme = if header.is_tls { Scheme::Https } else { Scheme::Http };
        let (peer, server) = ends(header);
        *self = Relay::Said { server, scheme };
        Ok(Some(Introduction { peer, scheme, taken }))
    }

    /// Whether the header has not come yet.
    pub fn is_awaited(&self) -> bool {
        matches!(self, Relay::Awaited(_))
    }
}

/// The client and where it had connected to, as far as they are told.
fn ends(header: Header) -> (Option<Peer>, Option<SocketAddr>) {
    match header.said {
        Said::Nothing => (None, None),
        Said::Tcp { client, server } => (Some(Peer::Tcp(client)), Some(server)),
        Said::Unix => (Some(Peer::Unix), None),
    }
}

/// The address by which a peer is trusted or not; a client of a Unix socket has none.
pub fn address_of(peer: &Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Unix => None,
    }
}
