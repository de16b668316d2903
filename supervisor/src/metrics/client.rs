//! One connection of somebody who watches.
//!
//! ```text
//!   Idle --a byte--> Head --a whole head--> Asks --answer--> Answering --all sent--> Idle
//!                      \-- no request --> (refusal) Answering --all sent--> Ending: our side is shut, what comes is thrown away
//! ```
//!
//! Rule: each phase has its time and its bound, and nobody is waited for: a client that does not read holds up itself.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant, SystemTime};

use socket2::Socket;

use super::answer;
use super::request::{self, Request, Taken, Then};

/// How long a kept connection may ask nothing. Less than the longest sensible pause between two scrapes makes each a new connection; more
/// holds descriptors for scrapers that are gone.
const IDLE: Duration = Duration::from_secs(180);

/// How long a head may take, and an answer between two pieces of it. A scraper is a machine on a good network; more lets a stranger hold
/// its place for nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long is waited for the other side to have read what we said last. Less resets slow ones, more holds their places.
const ENDING: Duration = Duration::from_secs(2);

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// Reads in a row that throw away what nobody wants. More has the loop to itself.
const DISCARDS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Asks(Then),
    Answering(Then),
    Ending,
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    socket: Socket,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    sent: usize,
    phase: Phase,
    /// When the phase began, or an answer went on last.
    since: Instant,
}

/// What came of moving bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// It asks this; answer it.
    Asks(Request),
    /// Nothing more for now.
    Waits,
    /// It is over; drop it.
    Over,
}

impl Client {
    /// One that has just connected; its socket does not block.
    pub fn new(socket: Socket, now: Instant) -> Client {
        Client { socket, inbox: Vec::new(), outbox: Vec::new(), sent: 0, phase: Phase::Idle, since: now }
    }

    /// When its patience ends with which we wait for it.
    pub fn deadline(&self) -> Instant {
        self.since
            + match self.phase {
                Phase::Idle => IDLE,
                Phase::Head | Phase::Asks(_) | Phase::Answering(_) => PATIENCE,
                Phase::Ending => ENDING,
            }
    }

    /// How little it would lose if it had to make room: those that ask nothing first, then the oldest.
    pub fn rank(&self) -> (bool, Instant) {
        (self.phase != Phase::Idle, self.since)
    }

    /// Moves what can be moved.
    pub fn pump(&mut self, now: Instant) -> Moved {
        self.try_pump(now).unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Moved::Waits,
            _ => Moved::Over,
        })
    }

    /// Answers what it asked.
    pub fn answer(&mut self, bytes: Vec<u8>, now: Instant) {
        if let Phase::Asks(then) = self.phase {
            self.outbox = bytes;
            self.enter(Phase::Answering(then), now);
        }
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        (self.phase, self.since) = (phase, now);
    }

    fn try_pump(&mut self, now: Instant) -> io::Result<Moved> {
        loop {
            match self.phase {
                Phase::Asks(_) => return Ok(Moved::Waits),
                Phase::Ending => return self.discard(),
                Phase::Answering(then) => {
                    self.flush(now)?;
                    match then {
                        Then::Keep => self.enter(Phase::Idle, now),
                        Then::Close => {
                            self.socket.shutdown(Shutdown::Write)?;
                            self.enter(Phase::Ending, now);
                        }
                    }
                }
                Phase::Idle | Phase::Head => {
                    if let Some(moved) = self.take(now) {
                        return Ok(moved);
                    }
                    if self.phase == Phase::Answering(Then::Close) {
                        continue;
                    }
                    let mut bytes = [0; READ_BYTES];
                    match self.socket.read(&mut bytes) {
                        Ok(0) => return Ok(Moved::Over),
                        Ok(count) => self.inbox.extend_from_slice(&bytes[..count]),
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Looks at what has come.
    fn take(&mut self, now: Instant) -> Option<Moved> {
        if self.inbox.is_empty() {
            return None;
        }
        if self.phase == Phase::Idle {
            self.enter(Phase::Head, now);
        }
        match request::take(&self.inbox) {
            Taken::Part => None,
            Taken::Whole(request, length) => {
                self.inbox.drain(..length);
                self.enter(Phase::Asks(request.then), now);
                Some(Moved::Asks(request))
            }
            Taken::Wrong(status) => {
                self.outbox = answer::refusal(status, SystemTime::now());
                self.enter(Phase::Answering(Then::Close), now);
                None
            }
        }
    }

    fn flush(&mut self, now: Instant) -> io::Result<()> {
        while self.sent < self.outbox.len() {
            match self.socket.write(&self.outbox[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => (self.sent, self.since) = (self.sent + count, now),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        (self.outbox, self.sent) = (Vec::new(), 0);
        Ok(())
    }

    fn discard(&mut self) -> io::Result<Moved> {
        let mut bytes = [0; READ_BYTES];
        for _ in 0..DISCARDS_MAX {
            match self.socket.read(&mut bytes) {
                Ok(0) => return Ok(Moved::Over),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // It has been told, and goes on sending: it does not want to know.
        Ok(Moved::Over)
    }
}
