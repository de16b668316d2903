//! What comes before a connection's own first byte: the PROXY header on listeners where one does, before TLS too.

use std::io::{self, ErrorKind};
use std::ops::Range;

use super::Connection;
use crate::relay::{Introduction, address_of};
use crate::tls::CIPHER_BYTES;
use crate::turn::Moment;

impl Connection {
    /// Whether its PROXY header is not whole yet.
    pub(super) fn awaits_introduction(&self) -> bool {
        self.relay.as_ref().is_some_and(|relay| relay.is_awaited())
    }

    /// Reads the header; the bytes of `scratch` behind it that are for the turn. None: the client sends no more.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` too when there is nothing for the turn yet.
    pub(super) fn receive_introduction(&mut self, scratch: &mut [u8], moment: &Moment) -> io::Result<Range<usize>> {
        // No more than can be unsealed where it lies.
        let count = self.receive(&mut scratch[..CIPHER_BYTES])?;
        let Some(relay) = self.relay.as_mut().filter(|_| count > 0) else { return Ok(0..0) };
        let rest = match relay.read(&scratch[..count]) {
            Ok(None) => return Err(ErrorKind::WouldBlock.into()),
            Ok(Some(introduction)) => {
                let rest = introduction.taken..count;
                self.meet(introduction);
                rest
            }
            Err(malformed) => {
                self.turn.turn_away(malformed.0);
                return Err(ErrorKind::WouldBlock.into());
            }
        };
        match self.session {
            _ if rest.is_empty() => Err(ErrorKind::WouldBlock.into()),
            None => Ok(rest),
            Some(_) => self.unseal(scratch, rest, moment),
        }
    }

    /// Whoever the proxy says is at the other end from now on.
    fn meet(&mut self, introduction: Introduction) {
        self.peer = introduction.peer.unwrap_or_else(|| self.peer.clone());
        if let Some(way) = self.turn.way() {
            let way = way.relayed(address_of(&self.peer), introduction.scheme);
            self.turn.come_by(way);
        }
    }
}
