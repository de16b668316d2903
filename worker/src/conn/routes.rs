//! Whose is what of a FastCGI connection: which request each record is for, and what waits for each.

use std::io::{self, ErrorKind};

use socket2::Socket;

use super::trunk::Written;
use crate::turn::{Moment, Turn};
use crate::wire::demux::{Demux, Part};

#[derive(Default)]
pub(super) struct State {
    pub demux: Demux,
    /// Kept for its memory.
    pub parts: Vec<Part>,
    pub home: Home,
    pub branches: Vec<Branch>,
    /// What must be written before anything else: the rest of a record, answers of the connection itself.
    pub rest: Vec<u8>,
    pub written: usize,
    /// Nothing more comes.
    pub is_over: bool,
}

#[derive(Default)]
pub(super) struct Home {
    pub id: Option<u16>,
    pub is_aborted: bool,
    /// The slot that its edges come to.
    pub place: Option<u32>,
}

/// A request beside the home's.
pub(super) struct Branch {
    pub id: u16,
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
    pub fn new(id: u16) -> Branch {
        Branch { id, place: None, inbox: Vec::new(), is_aborted: false, is_called: false, waits: false }
    }
}

impl State {
    pub fn branch(&mut self, id: u16) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.id == id)
    }

    pub fn deliver(&mut self, id: u16, bytes: &[u8], home: &mut Option<(&mut Turn, &Moment)>) {
        if self.home.id == Some(id) {
            // While it is refused, what still comes of it is for nobody.
            if let Some((turn, moment)) = home.as_mut().filter(|(turn, _)| turn.is_reading()) {
                turn.receive(bytes, moment);
            }
        } else if let Some(branch) = self.branch(id) {
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
        } else if let Some(branch) = self.branch(id) {
            (branch.is_aborted, branch.is_called) = (true, true);
        }
    }

    pub fn end(&mut self) {
        self.is_over = true;
        self.branches.iter_mut().for_each(|branch| branch.is_called = true);
    }

    pub fn leave(&mut self, id: u16) {
        self.branches.retain(|branch| branch.id != id);
        self.demux.end(id);
    }

    pub fn pay(&mut self, socket: &Socket) -> Written {
        while self.written < self.rest.len() {
            match send(socket, &self.rest[self.written..]) {
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
pub(super) fn send(socket: &Socket, bytes: &[u8]) -> Result<usize, Written> {
    loop {
        match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
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
