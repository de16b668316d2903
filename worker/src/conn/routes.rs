//! Whose is what of a FastCGI connection: which request each record is for, and what waits for each.

use std::io::{self, ErrorKind};

use socket2::Socket;

use super::send::Behind;
use super::trunk::{Caller, Written};
use crate::output::{Output, Piece};
use crate::turn::{Moment, Turn};
use crate::wire::demux::{Demux, Part, end_of_record};

#[derive(Default)]
pub(super) struct State {
    pub demux: Demux,
    /// Kept for its memory.
    pub parts: Vec<Part>,
    pub home: Home,
    pub branches: Vec<Branch>,
    /// Branches that there were.
    pub births: u64,
    /// The home reads nothing, and whoever looks does so for it.
    pub is_busy: bool,
    /// What must be written before anything else: the rest of a record, answers of the connection itself.
    pub rest: Vec<u8>,
    pub written: usize,
    /// Nothing more comes.
    pub is_over: bool,
    pub caller: Option<Caller>,
}

#[derive(Default)]
pub(super) struct Home {
    pub id: Option<u16>,
    pub is_aborted: bool,
    /// The web server was told that its answer is cut. No other request follows.
    pub is_cut: bool,
    /// The slot that its edges come to.
    pub place: Option<u32>,
}

/// A branch's: of its request, which may come again, and its own, which does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Of its request.
    pub id: u16,
    /// Its own.
    pub birth: u64,
}

/// A request beside the home's.
pub(super) struct Branch {
    pub number: Number,
    /// Its answer is out, and its number may be another's.
    pub is_over: bool,
    /// The slot of its connection, once it has one.
    pub place: Option<u32>,
    pub inbox: Vec<u8>,
    pub is_aborted: bool,
    /// There is something for it.
    pub is_called: bool,
    /// It waits for room in the socket.
    pub waits: bool,
}

impl Branch {
    pub fn new(number: Number) -> Branch {
        Branch {
            number,
            is_over: false,
            place: None,
            inbox: Vec::new(),
            is_aborted: false,
            is_called: false,
            waits: false,
        }
    }
}

impl State {
    /// The branch of this number; `None` is the home, which is none.
    pub fn branch(&mut self, number: Option<Number>) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| Some(branch.number) == number)
    }

    /// The branch whose request has this number now.
    fn branch_of(&mut self, id: u16) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.number.id == id && !branch.is_over)
    }

    /// The answer to a branch, or the home, is out: its number is free.
    pub fn finish(&mut self, branch: Option<Number>) {
        let id = match branch {
            None => {
                self.is_busy = false;
                self.home.id.take()
            }
            Some(_) => {
                let branch = self.branch(branch).filter(|branch| !branch.is_over);
                branch.map(|branch| {
                    branch.is_over = true;
                    branch.number.id
                })
            }
        };
        id.into_iter().for_each(|id| self.demux.end(id));
    }

    /// Writes what a request has ready, and before it what is owed.
    pub fn write(&mut self, socket: &Socket, output: &mut Output, behind: Behind) -> Written {
        loop {
            let written = self.pay(socket);
            if written != Written::All {
                return written;
            }
            let bytes = match output.front() {
                Piece::Bytes(bytes) => bytes,
                Piece::Nothing => return Written::All,
                // Files are in records too, so there are no stretches.
                Piece::Stretch(_) | Piece::Broken => return Written::Gone,
            };
            match send(socket, bytes, behind) {
                Ok(count) => {
                    let end = end_of_record(bytes, count);
                    self.rest.extend_from_slice(&bytes[count..end]);
                    output.sent(end);
                }
                Err(written) => return written,
            }
        }
    }

    pub fn deliver(&mut self, id: u16, bytes: &[u8], home: &mut Option<(&mut Turn, &Moment)>) {
        if self.home.id == Some(id) {
            // While it is refused, what still comes of it is for nobody.
            match home {
                Some((turn, moment)) if turn.is_reading() => turn.receive(bytes, moment),
                Some((turn, _)) if turn.is_body_open() => turn.take_in(bytes),
                Some(_) | None => {}
            }
        } else if let Some(branch) = self.branch_of(id) {
            branch.inbox.extend_from_slice(bytes);
            branch.is_called = true;
        }
    }

    pub fn abort(&mut self, id: u16, home: &mut Option<(&mut Turn, &Moment)>) {
        if self.home.id == Some(id) {
            self.home.is_aborted = true;
            if let Some((turn, _)) = home.as_mut().filter(|(turn, _)| turn.is_reading()) {
                turn.abort();
            }
        } else if let Some(branch) = self.branch_of(id) {
            (branch.is_aborted, branch.is_called) = (true, true);
        }
    }

    pub fn end(&mut self) {
        self.is_over = true;
        self.branches.iter_mut().for_each(|branch| branch.is_called = true);
    }

    pub fn leave(&mut self, number: Number) {
        self.finish(Some(number));
        self.branches.retain(|branch| branch.number != number);
    }

    pub fn pay(&mut self, socket: &Socket) -> Written {
        while self.written < self.rest.len() {
            match send(socket, &self.rest[self.written..], Behind::Anything) {
                Ok(count) => self.written += count,
                Err(error) => return error,
            }
        }
        self.rest.clear();
        self.written = 0;
        Written::All
    }
}

/// Writes some.
fn send(socket: &Socket, bytes: &[u8], behind: Behind) -> Result<usize, Written> {
    loop {
        match socket.send_with_flags(bytes, behind.flags()) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_full(&error) => return Err(Written::Full),
            Err(_) => return Err(Written::Gone),
        }
    }
}

pub(super) fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
