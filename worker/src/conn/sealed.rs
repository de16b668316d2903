//! A connection whose bytes are records of TLS: between the socket and the session, and between that and the turn.
//!
//! A client that speaks plain HTTP here is told so in plain HTTP. An end of the stream without a close_notify is like any other
//! to the turn, which takes no request for complete that its own framing does not say is (RFC 8446 6.1).

use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use socket2::Socket;

use super::voice::{Outlet, lock};
use super::{Connection, Flushed, Standing};
use crate::output::Output;
use crate::tls::{CIPHER_BYTES, Session, Terms, Variables};
use crate::turn::{Farewell, Moment, Next};
use crate::wire::Refusal;

const PLAIN_HTTP: Refusal =
    Refusal { status: 400, why: "the request was sent in plain HTTP to a port that speaks HTTPS" };

impl Connection {
    /// The same, to speak TLS on these terms.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn sealed(mut self, terms: &Terms) -> Result<Connection, rustls::Error> {
        self.session = Some(Arc::new(Mutex::new(Session::new(terms)?)));
        Ok(self)
    }

    /// Whether another worker could ever go on with it. What TLS has agreed on stays in the process.
    pub fn may_travel(&self) -> bool {
        self.session.is_none()
    }

    /// Whether it could now: it stands at a boundary, and so do all that share its socket.
    pub fn stands_alone(&self) -> bool {
        self.place().is_none_or(|place| place.branch.is_none() && place.trunk.is_idle())
    }

    /// Whether its socket is its own and nothing is to be said at its end.
    pub fn is_plain(&self) -> bool {
        self.session.is_none() && self.place.is_none()
    }

    /// What the application is told of its TLS.
    pub fn variables(&self) -> Option<&Variables> {
        self.variables.as_deref()
    }

    /// Why its TLS has failed, once.
    pub fn take_failure(&mut self) -> Option<Box<str>> {
        self.failure.take()
    }

    /// Whether records wait to be sent.
    pub(super) fn owes_records(&self) -> bool {
        self.session.as_ref().is_some_and(|session| lock(session).owes())
    }

    pub(super) fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| lock(session).is_handshaking())
    }

    /// Whether the end that the client has announced is still to be told to the turn.
    pub(super) fn is_over(&self) -> bool {
        self.session.as_ref().is_some_and(|session| lock(session).is_over())
    }

    /// Sends the records that wait; where the connection stands if they do not leave.
    pub(super) fn pay_records(&mut self) -> Option<Standing> {
        match self.flush() {
            Flushed::All => None,
            Flushed::Gone => Some(Standing::End(Farewell::Reset)),
            // Its patience is that with a head, and is over: nobody would look at it again.
            Flushed::Full if self.is_handshaking() && matches!(self.turn.next(), Next::End(_)) => {
                Some(Standing::End(Farewell::Reset))
            }
            Flushed::Full => Some(Standing::Edge),
        }
    }

    /// Reads records; the bytes of `scratch` that have what was in them. None: the client sends no more.
    ///
    /// # Errors
    /// The socket's; `WouldBlock` too when no record is whole; `InvalidData` when it is no TLS, or not on our terms.
    pub(super) fn receive_sealed(&mut self, scratch: &mut [u8], moment: &Moment) -> io::Result<Range<usize>> {
        if self.is_over() {
            return Ok(0..0);
        }
        let count = self.receive(&mut scratch[..CIPHER_BYTES])?;
        if count == 0 { Ok(0..0) } else { self.unseal(scratch, 0..count, moment) }
    }

    /// Takes these of the first [`CIPHER_BYTES`] of `scratch` for records; the bytes of it that have what was in them.
    ///
    /// # Errors
    /// As [`Connection::receive_sealed`].
    pub(super) fn unseal(
        &mut self,
        scratch: &mut [u8],
        came: Range<usize>,
        moment: &Moment,
    ) -> io::Result<Range<usize>> {
        let (cipher, plain) = scratch.split_at_mut(CIPHER_BYTES);
        let Some(session) = self.session.clone() else { return Ok(came) };
        let mut session = lock(&session);
        let cipher = &cipher[came];
        if session.is_plain_http(cipher) {
            self.session = None;
            self.turn.give_up(PLAIN_HTTP, moment);
            return Err(ErrorKind::WouldBlock.into());
        }
        let received = session.receive(cipher, plain);
        if self.variables.is_none() {
            self.variables = session.take_variables();
        }
        match received {
            Ok(0) if !session.is_over() => Err(ErrorKind::WouldBlock.into()),
            Ok(filled) => Ok(CIPHER_BYTES..CIPHER_BYTES + filled),
            Err(why) => {
                // The alert that says why; if there is no room for it the client sees the end alone.
                let _ = session.send(&mut Outlet(&self.socket));
                self.failure = Some(why.to_string().into());
                Err(why)
            }
        }
    }

    /// Sends what the turn has ready, and records that wait, as far as the socket takes them.
    pub(super) fn flush_sealed(&mut self) -> Flushed {
        let Some(session) = &self.session else { return Flushed::All };
        let (flushed, moved) = send(&self.socket, session, self.turn.output());
        self.moved |= moved;
        flushed
    }
}

/// Sends what is ready, and records that wait, as far as the socket takes them. Says whether any went.
pub(super) fn send(socket: &Socket, session: &Mutex<Session>, output: &mut Output) -> (Flushed, bool) {
    let mut session = lock(session);
    let mut moved = false;
    loop {
        if session.wrap(output).is_err() {
            return (Flushed::Gone, moved);
        }
        if !session.owes() {
            return (Flushed::All, moved);
        }
        match session.send(&mut Outlet(socket)) {
            Ok(_) => moved = true,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (Flushed::Full, moved),
            Err(_) => return (Flushed::Gone, moved),
        }
    }
}
