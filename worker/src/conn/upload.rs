//! A body that the application reads itself: its bytes are waited for within the application's call.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Connection, Flushed};
use crate::clock;
use crate::tls::{CIPHER_BYTES, Session};
use crate::turn::{Fed, Moment};
use crate::wire::Refusal;

/// Bytes for what is read at once: TLS needs room for its records and for what was in them.
const ONCE: usize = CIPHER_BYTES + Session::PLAIN_BYTES_MAX;

const ENDED: Refusal = Refusal { status: 400, why: "the request ended within its body" };
const ABORTED: Refusal = Refusal { status: 400, why: "the web server does not want the answer any more" };
const LATE: Refusal = Refusal { status: 408, why: "the body of the request did not come in time" };

/// How long a connection's client is waited for within a call.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For room in its socket.
    pub write: Duration,
    /// For the next bytes of a body.
    pub body: Duration,
    /// Bytes of a body that come in a second at least, on average, after that; 0: any.
    pub body_rate: u64,
}

impl Waits {
    /// So long for each, and bodies as slow as they like.
    pub fn all(patience: Duration) -> Waits {
        Waits { write: patience, body: patience, body_rate: 0 }
    }
}

impl Connection {
    /// How long its client is waited for within a call.
    pub fn waits(&self) -> Waits {
        self.waits
    }

    /// Reads up to `max` bytes of the body into `into`, and waits for the first of them; none: it is at its end. Call it without the GIL.
    ///
    /// # Errors
    /// When the body is not as it must be, or does not come.
    pub fn read_body(&mut self, max: usize, into: &mut Vec<u8>) -> Result<(), Refusal> {
        self.read_with((max, into), Connection::wait_for_body).map(drop)
    }

    /// The same without waiting: false when nothing has come. Then wait until the socket is readable, no longer than until
    /// [`Connection::body_is_due`] of the first such wait, and else [`Connection::miss_body`].
    ///
    /// # Errors
    /// As above.
    pub fn read_body_now(&mut self, max: usize, into: &mut Vec<u8>) -> Result<bool, Refusal> {
        // The 100 that asks for it: a client that has no room for it has not sent anything either, and is waited for all the same.
        self.read_with((max, into), |connection, scratch| {
            if connection.flush() == Flushed::Gone { Err(ENDED) } else { connection.take_body(scratch) }
        })
    }

    /// Feeds the application; where nothing is there, `come` has more come, or says that nothing has.
    fn read_with(
        &mut self,
        (max, into): (usize, &mut Vec<u8>),
        come: impl Fn(&mut Connection, &mut [u8]) -> Result<bool, Refusal>,
    ) -> Result<bool, Refusal> {
        let mut scratch = [0; ONCE];
        let fed = loop {
            match self.turn.feed(max, into)? {
                Fed::Hungry => {}
                fed @ (Fed::Data | Fed::End) => break fed,
            }
            match come(self, &mut scratch) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(fault) => return Err(self.turn.break_body(fault)),
            }
        };
        self.note_fed(fed);
        Ok(true)
    }

    /// The body may be all in now.
    fn note_fed(&self, fed: Fed) {
        if fed == Fed::End || !self.turn.is_body_open() {
            self.note_call();
        }
    }

    /// The body does not come.
    pub fn miss_body(&mut self) -> Refusal {
        self.turn.break_body(LATE)
    }

    /// Waits until something came of the body, and gives it to the turn.
    fn wait_for_body(&mut self, scratch: &mut [u8]) -> Result<bool, Refusal> {
        // The 100 that asks for it.
        self.flush_waiting().map_err(|_| ENDED)?;
        let until = self.body_is_due();
        while !self.take_body(scratch)? {
            self.await_readable(until)?;
        }
        Ok(true)
    }

    /// Gives the turn what has come of the body, if anything has.
    fn take_body(&mut self, scratch: &mut [u8]) -> Result<bool, Refusal> {
        let moment = Moment { now: clock::now(), date: *self.turn.date() };
        if self.place.is_some() {
            return match self.receive_within_call(scratch, &moment) {
                Ok(0) => Err(ENDED),
                _ if self.is_aborted() => Err(ABORTED),
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
                Err(_) => Err(ENDED),
            };
        }
        let came = match self.session {
            None => self.receive(scratch).map(|count| 0..count),
            Some(_) => self.receive_sealed(scratch, &moment),
        };
        match came {
            Ok(bytes) if bytes.is_empty() => Err(ENDED),
            Ok(bytes) => {
                self.turn.take_in(&scratch[bytes]);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(_) => Err(ENDED),
        }
    }

    /// When the patience with the next bytes ends.
    pub fn body_is_due(&mut self) -> Instant {
        let now = Instant::now();
        let began = *self.body_began.get_or_insert(now);
        let next = now + self.waits.body;
        match self.turn.fed().saturating_mul(1000).checked_div(self.waits.body_rate) {
            Some(earned) => next.min(began + self.waits.body + Duration::from_millis(earned)),
            None => next,
        }
    }

    fn await_readable(&self, until: Instant) -> Result<(), Refusal> {
        let left = until.saturating_duration_since(Instant::now());
        let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], patience) {
            Ok(0) => Err(LATE),
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(_) => Err(ENDED),
        }
    }
}

/// What Python is told of it.
pub fn as_error(fault: Refusal) -> io::Error {
    let kind = if fault == LATE { ErrorKind::TimedOut } else { ErrorKind::ConnectionAborted };
    io::Error::new(kind, fault.why)
}
