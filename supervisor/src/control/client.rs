//! One connection of a command: bytes to requests and answers to bytes, without ever waiting.
//!
//! ```text
//!   Open --request--> Asked --reply--> Open ...        a client is not read while it is answered
//!     | garbage, a line too long, the end of input
//!     v
//!   Closing: what is still to be written, then the end
//! ```
//!
//! Rule: what a client does not take is bounded by one answer. It is told no progress while it has something to take.
//!
//! A client that closes its half after the request is answered still: that is how `nc` and `socat` ask.

use std::io::{self, ErrorKind, Read, Write};

use mio::net::UnixStream;

use super::frame::{Inbox, TooLong};
use super::words::{Question, Reply, Request, parse, render};
use crate::core::Asker;
use crate::core::progress::Progress;

/// Bytes read at once; a request is much shorter.
const READ_BYTES: usize = 4096;

/// Who is at the other end, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 if it is in a namespace that we do not see.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Asked(Asker, Curiosity),
    Closing,
}

/// Whether one who waits wants to know how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curiosity {
    None,
    /// It does, and was told this last.
    Told(Option<Progress>),
}

/// A command's connection.
#[derive(Debug)]
pub struct Client {
    /// The socket.
    pub stream: UnixStream,
    /// Who it is.
    pub peer: Peer,
    inbox: Inbox,
    outbox: Vec<u8>,
    sent: usize,
    state: State,
}

/// What came of moving bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Moved {
    /// It asks this; answer it under this number.
    Asks(Asker, Request),
    /// Nothing more for now.
    Waits,
    /// It is over; drop it.
    Over,
}

impl Client {
    /// One that has just connected.
    pub fn new(stream: UnixStream, peer: Peer) -> Client {
        Client { stream, peer, inbox: Inbox::default(), outbox: Vec::new(), sent: 0, state: State::Open }
    }

    /// One that has asked this of the program before.
    pub fn waiting(stream: UnixStream, peer: Peer, asker: Asker) -> Client {
        Client { state: State::Asked(asker, Curiosity::None), ..Client::new(stream, peer) }
    }

    /// Whether it waits for an answer.
    pub fn is_asking(&self) -> bool {
        matches!(self.state, State::Asked(..))
    }

    /// Whether this answer is for it.
    pub fn is(&self, asker: Asker) -> bool {
        matches!(self.state, State::Asked(waiting, _) if waiting == asker)
    }

    /// Moves what can be moved. The next request gets this number.
    pub fn pump(&mut self, number: Asker) -> Moved {
        self.try_pump(number).unwrap_or_else(|error| match error.kind() {
            ErrorKind::WouldBlock => Moved::Waits,
            _ => Moved::Over,
        })
    }

    fn try_pump(&mut self, number: Asker) -> io::Result<Moved> {
        loop {
            self.flush()?;
            match self.state {
                State::Asked(..) => return Ok(Moved::Waits),
                State::Closing => return Ok(Moved::Over),
                State::Open => {}
            }
            match self.inbox.line() {
                Ok(Some(line)) => match self.take(number, &line) {
                    Some(request) => return Ok(Moved::Asks(number, request)),
                    None => continue,
                },
                Ok(None) => {}
                Err(TooLong) => {
                    self.refuse("cannot read the line: it is longer than 64 KiB");
                    continue;
                }
            }
            let mut bytes = [0; READ_BYTES];
            match self.stream.read(&mut bytes) {
                Ok(0) => match self.inbox.rest().and_then(|line| self.take(number, &line)) {
                    Some(request) => return Ok(Moved::Asks(number, request)),
                    None => self.state = State::Closing,
                },
                Ok(count) => self.inbox.push(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&mut self, number: Asker, line: &[u8]) -> Option<Request> {
        match parse(line) {
            Ok(Question { request, progress }) => {
                let curiosity = if progress { Curiosity::Told(None) } else { Curiosity::None };
                self.state = State::Asked(number, curiosity);
                Some(request)
            }
            Err(why) => {
                self.refuse(&why);
                None
            }
        }
    }

    /// Says that what it asked for is on its way; the answer is still to come.
    pub fn accept(&mut self) {
        self.write(&Reply::Accepted);
    }

    /// Answers; then it may ask again.
    pub fn reply(&mut self, reply: &Reply) {
        self.write(reply);
        self.state = State::Open;
        // What does not go out now goes when there is room. The server may be about to end.
        let _ = self.flush();
    }

    /// Tells it how far its wish is, if it wants to know, has not heard that yet, and takes what it is told.
    pub fn tell(&mut self, of: &impl Fn(Asker) -> Option<Progress>) {
        let State::Asked(asker, Curiosity::Told(last)) = self.state else {
            return;
        };
        let Some(progress) = of(asker).filter(|progress| self.outbox.is_empty() && last != Some(*progress)) else {
            return;
        };
        self.state = State::Asked(asker, Curiosity::Told(Some(progress)));
        self.write(&Reply::Progress(progress));
        // What does not go out now goes when there is room; an end is seen when it is read.
        let _ = self.flush();
    }

    /// Bytes that are kept for it, in both directions.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.inbox.held() + self.outbox.len() - self.sent
    }

    /// Says why it is not served; then it ends.
    pub fn refuse(&mut self, why: &str) {
        self.write(&Reply::Refused { why: why.to_owned() });
        self.state = State::Closing;
    }

    fn write(&mut self, reply: &Reply) {
        match render(reply) {
            Ok(line) => self.outbox.extend(line),
            Err(_) => self.state = State::Closing,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbox.clear();
        self.sent = 0;
        Ok(())
    }
}
