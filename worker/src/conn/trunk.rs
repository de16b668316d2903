//! What the requests of one FastCGI connection share: its socket, taken apart on the way in and written to by turns.
//!
//! ```text
//!   socket --demux--> home, the request that the connection itself is at     as with any other wire
//!                \--> branches: the requests beside it, each a connection of its own to everybody else, without a descriptor
//!   home, branches --whole records--> socket
//! ```
//!
//! Rules
//! * Web servers send one request at a time. Then there is the home alone, and a trunk costs it a lock that nobody else wants.
//! * Whoever is cut off in the middle of a record by a full socket leaves the rest of it here, and whoever writes next writes that first.
//! * While the home's request is with the application somebody else reads what comes, for the others' sake.
//! * No branch ends the socket. The home does, when it is the last.

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::{Peer, READS_MAX};
use crate::origin::Way;
use crate::output::{Output, Piece};
use crate::turn::{Limits, Moment, Turn};
use crate::wire::demux::{Demux, Part, end_of_record};
use crate::wire::fastcgi::answer::{self, Status, Values};

/// What is common to all requests of a connection.
pub struct Seed {
    /// What a turn may take.
    pub limits: Arc<Limits>,
    /// How its requests come.
    pub way: Option<Way>,
    /// The web server.
    pub peer: Peer,
    /// Which of the assignment's listeners it came by.
    pub listener: usize,
    /// How long `write()` waits.
    pub write_timeout: Duration,
    /// What a web server is told of us.
    pub values: Values,
}

/// What the requests of one connection share.
pub struct Trunk {
    /// What is common to them.
    pub seed: Seed,
    /// The home's request, by its number.
    home: AtomicU16,
    /// Its request is whole, so that it reads nothing until it has answered.
    busy: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    demux: Demux,
    /// Kept for its memory.
    parts: Vec<Part>,
    home: Home,
    branches: Vec<Branch>,
    /// What must be written before anything else: the rest of a record, answers of the connection itself.
    rest: Vec<u8>,
    written: usize,
    /// Nothing more comes.
    is_over: bool,
}

#[derive(Default)]
struct Home {
    id: Option<u16>,
    is_aborted: bool,
    /// The slot that its edges come to.
    place: Option<u32>,
}

/// A request beside the home's.
struct Branch {
    id: u16,
    /// The slot of its connection, once it has one.
    place: Option<u32>,
    inbox: Vec<u8>,
    is_aborted: bool,
    /// There is something for it.
    is_called: bool,
    /// It waits for room in the socket.
    waits: bool,
}

/// How far something written came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All of it is out.
    All,
    /// The socket is full.
    Full,
    /// The web server is gone.
    Gone,
}

/// What is left in the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tended {
    /// Perhaps more.
    More,
    /// Nothing now.
    Empty,
    /// Nothing more will come.
    Over,
}

/// What there is for a branch to read.
pub enum Mail {
    /// These bytes of its stream.
    Bytes(Vec<u8>),
    /// Nothing yet.
    Nothing,
    /// It is not wanted any more.
    Abort,
    /// Nothing more will come.
    End,
}

impl Trunk {
    /// That of a new connection.
    pub fn new(seed: Seed) -> Trunk {
        Trunk { seed, home: AtomicU16::new(0), busy: AtomicBool::new(false), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds a lock")
    }

    /// Takes what came; the home's share goes to its turn, if that is here.
    pub fn route(&self, bytes: &[u8], home: Option<(&mut Turn, &Moment)>) {
        let mut state = self.lock();
        let mut parts = std::mem::take(&mut state.parts);
        let mut taken = state.demux.take(bytes, &mut parts);
        let mut home = home;
        for part in parts.drain(..) {
            match part {
                Part::Begin(id) => {
                    if home.is_some() && state.home.id.is_none() {
                        (state.home.id, state.home.is_aborted) = (Some(id), false);
                        self.home.store(id, Ordering::Release);
                    } else {
                        state.branches.push(Branch::new(id));
                    }
                }
                Part::Header(id, header) => state.deliver(id, &header, &mut home),
                Part::Stream(id, range) => state.deliver(id, &bytes[range], &mut home),
                Part::Abort(id) => state.abort(id, &mut home),
                Part::Management(kind, content) => {
                    taken = taken.and(answer::manage(kind, &content, self.seed.values, &mut state.rest));
                }
            }
        }
        state.parts = parts;
        if let Err(refusal) = taken {
            state.end();
            if let Some((turn, _)) = home {
                turn.turn_away(refusal.why);
            }
        }
    }

    /// The web server will send no more, or is gone.
    pub fn end_of_input(&self) {
        self.lock().end();
    }

    /// Reads some of what comes while the home does not, and writes what is owed.
    pub fn tend(&self, socket: &Socket, scratch: &mut [u8]) -> Tended {
        self.pay(socket);
        for _ in 0..READS_MAX {
            let mut input = socket;
            match input.read(scratch) {
                Ok(count) if count > 0 => self.route(&scratch[..count], None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => return Tended::Empty,
                Ok(_) | Err(_) => {
                    self.end_of_input();
                    return Tended::Over;
                }
            }
        }
        Tended::More
    }

    /// Ends a request of which there is no more, though it is not complete.
    pub fn end_request(&self, socket: &Socket, id: u16) {
        let mut words = Vec::new();
        answer::end(id, Status::Complete, &mut words);
        self.tell(socket, &words);
    }

    /// Writes what must be written before anything else.
    pub fn pay(&self, socket: &Socket) -> Written {
        self.lock().pay(socket)
    }

    /// Writes what a request has ready, in whole records.
    pub fn flush(&self, socket: &Socket, branch: Option<u16>, output: &mut Output) -> Written {
        let mut state = self.lock();
        let mut written = state.pay(socket);
        while written == Written::All {
            let Piece::Bytes(bytes) = output.front() else { return Written::All };
            match send(socket, bytes) {
                Ok(count) => {
                    let end = end_of_record(bytes, count);
                    state.rest.extend_from_slice(&bytes[count..end]);
                    output.sent(end);
                    if end > count {
                        written = Written::Full;
                    }
                }
                Err(error) => written = error,
            }
        }
        if written == Written::Full {
            state.branches.iter_mut().filter(|known| Some(known.id) == branch).for_each(|known| known.waits = true);
        }
        written
    }

    /// Writes a last word of a request, whose owner cannot: all that the socket does not take goes before what is written next.
    pub fn tell(&self, socket: &Socket, words: &[u8]) -> bool {
        let mut state = self.lock();
        state.rest.extend_from_slice(words);
        state.pay(socket) != Written::Gone
    }

    /// The home's request is whole.
    pub fn set_busy(&self) {
        self.busy.store(true, Ordering::Release);
    }

    /// Whether somebody else is to read for the home.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// The home's request is over, and it can take another.
    pub fn finish_home(&self) {
        let mut state = self.lock();
        if let Some(id) = state.home.id.take() {
            state.demux.end(id);
        }
        self.busy.store(false, Ordering::Release);
    }

    /// The home's edges come to this slot.
    pub fn settle(&self, place: u32) {
        self.lock().home.place = Some(place);
    }

    /// The number of the home's request, or of the one before.
    pub fn home(&self) -> u16 {
        self.home.load(Ordering::Acquire)
    }

    /// Whether there are requests beside the home's.
    pub fn has_branches(&self) -> bool {
        !self.lock().branches.is_empty()
    }

    /// Whether nothing is begun and nothing owed.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.demux.is_idle() && state.branches.is_empty() && state.rest.is_empty()
    }

    /// A request that has no connection yet.
    pub fn newborn(&self) -> Option<u16> {
        self.lock().branches.iter().find(|branch| branch.place.is_none()).map(|branch| branch.id)
    }

    /// Its connection is in this slot.
    pub fn place(&self, id: u16, place: u32) {
        self.lock().branch(id).into_iter().for_each(|branch| branch.place = Some(place));
    }

    /// There is no room for it.
    pub fn overload(&self, socket: &Socket, id: u16) {
        let mut state = self.lock();
        state.leave(id);
        answer::end(id, Status::Overloaded, &mut state.rest);
        // What is not out goes with what is written next.
        state.pay(socket);
    }

    /// The slots of branches that there is something for, or now room.
    pub fn called(&self) -> Vec<u32> {
        let mut state = self.lock();
        let has_room = state.rest.is_empty();
        let called = |branch: &mut Branch| {
            let called = std::mem::take(&mut branch.is_called) | (has_room && std::mem::take(&mut branch.waits));
            branch.place.filter(|_| called)
        };
        state.branches.iter_mut().filter_map(called).collect()
    }

    /// What there is for a branch to read.
    pub fn mail(&self, id: u16) -> Mail {
        let mut state = self.lock();
        let is_over = state.is_over;
        match state.branch(id) {
            Some(branch) if branch.is_aborted => Mail::Abort,
            Some(branch) if !branch.inbox.is_empty() => Mail::Bytes(std::mem::take(&mut branch.inbox)),
            Some(_) if !is_over => Mail::Nothing,
            Some(_) | None => Mail::End,
        }
    }

    /// Whether the web server does not want the answer to this branch, or to the home, any more.
    pub fn is_aborted(&self, branch: Option<u16>) -> bool {
        let mut state = self.lock();
        match branch {
            None => state.home.is_aborted && state.home.id.is_some(),
            Some(id) => state.branch(id).is_some_and(|branch| branch.is_aborted),
        }
    }

    /// A branch is over. The home's slot, if it may be waiting for that.
    pub fn leave(&self, id: u16) -> Option<u32> {
        let mut state = self.lock();
        state.leave(id);
        state.home.place.filter(|_| state.branches.is_empty())
    }
}

impl Branch {
    fn new(id: u16) -> Branch {
        Branch { id, place: None, inbox: Vec::new(), is_aborted: false, is_called: false, waits: false }
    }
}

impl State {
    fn branch(&mut self, id: u16) -> Option<&mut Branch> {
        self.branches.iter_mut().find(|branch| branch.id == id)
    }

    fn deliver(&mut self, id: u16, bytes: &[u8], home: &mut Option<(&mut Turn, &Moment)>) {
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

    fn abort(&mut self, id: u16, home: &mut Option<(&mut Turn, &Moment)>) {
        if self.home.id == Some(id) {
            self.home.is_aborted = true;
            if let Some((turn, _)) = home.as_mut().filter(|(turn, _)| turn.is_reading()) {
                turn.abort();
            }
        } else if let Some(branch) = self.branch(id) {
            (branch.is_aborted, branch.is_called) = (true, true);
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.branches.iter_mut().for_each(|branch| branch.is_called = true);
    }

    fn leave(&mut self, id: u16) {
        self.branches.retain(|branch| branch.id != id);
        self.demux.end(id);
    }

    fn pay(&mut self, socket: &Socket) -> Written {
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

fn send(socket: &Socket, bytes: &[u8]) -> Result<usize, Written> {
    loop {
        match socket.send_with_flags(bytes, libc::MSG_NOSIGNAL) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if is_full(&error) => return Err(Written::Full),
            Err(_) => return Err(Written::Gone),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
