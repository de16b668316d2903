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
//!
//! Known faults: while the application reads the home's body itself (`body: stream`) others get what comes only when it reads, and the bodies of
//! branches are read before their calls. That an answer is cut only the end of the connection says so that every web server hears it, and others
//! share that: see [`Trunk::end_cut`].

use std::io::{self, ErrorKind, Read};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::Socket;

pub use super::routes::Number;
use super::routes::{Branch, State, is_full};
use super::send::Behind;
use super::{Peer, READS_MAX, Waits};
use crate::origin::Way;
use crate::turn::{Limits, Moment, Turn};
use crate::wire::demux::Part;
use crate::wire::fastcgi::answer::{self, Status, Values};
use crate::wire::variables::bad;

/// Bytes that may be owed beside the requests' own output: the rest of one record, and answers of the connection itself. Less ends connections
/// of web servers that are slow for a moment; more is memory for one that only asks.
const OWED_MAX: usize = 256 * 1024;

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
    /// How long it is waited for.
    pub waits: Waits,
    /// What a web server is told of us.
    pub values: Values,
}

/// What the requests of one connection share.
pub struct Trunk {
    /// What is common to them.
    pub seed: Seed,
    /// The number of the home's request, or of the one before.
    home: AtomicU16,
    state: Mutex<State>,
}

/// Calls whoever sees to the requests beside a home.
pub type Caller = Box<dyn Fn() + Send + Sync>;

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
    /// Whatever there is: it was not looked at, for the home reads itself.
    Unread,
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
        Trunk { seed, home: AtomicU16::new(0), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds a lock")
    }

    /// Reads some of what comes, for the home's turn and for others. How much that was; 0: no more comes.
    ///
    /// # Errors
    /// The socket's.
    pub fn receive(&self, socket: &Socket, scratch: &mut [u8], home: (&mut Turn, &Moment)) -> io::Result<usize> {
        let mut state = self.lock();
        let mut input = socket;
        let count = input.read(scratch)?;
        if count == 0 {
            state.end();
        } else {
            self.route(&mut state, &scratch[..count], Some(home));
        }
        Ok(count)
    }

    /// Takes what came, in the order in which it did: under the lock under which it was read. The home's share goes to its turn, if that is
    /// here.
    fn route(&self, state: &mut State, bytes: &[u8], home: Option<(&mut Turn, &Moment)>) {
        let mut parts = std::mem::take(&mut state.parts);
        let mut taken = state.demux.take(bytes, &mut parts);
        let mut home = home;
        for part in parts.drain(..) {
            match part {
                Part::Begin(id) => {
                    if let Some((turn, _)) = home.as_mut().filter(|_| state.home.id.is_none()) {
                        turn.expect(id);
                        (state.home.id, state.home.is_aborted) = (Some(id), false);
                        self.home.store(id, Ordering::Release);
                    } else {
                        state.births += 1;
                        state.branches.push(Branch::new(Number { id, birth: state.births }));
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
        if state.rest.len() > OWED_MAX {
            taken = taken.and(Err(bad("the web server asks more than it reads answers")));
        }
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

    /// Reads some of what comes while the home does not, if that is so, and writes what is owed.
    pub fn tend(&self, socket: &Socket, scratch: &mut [u8]) -> Tended {
        let mut state = self.lock();
        state.pay(socket);
        for _ in 0..READS_MAX {
            if !state.is_busy {
                return Tended::Unread;
            }
            let mut input = socket;
            match input.read(scratch) {
                Ok(count) if count > 0 => self.route(&mut state, &scratch[..count], None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => return Tended::Empty,
                Ok(_) | Err(_) => {
                    state.end();
                    return Tended::Over;
                }
            }
        }
        Tended::More
    }

    /// Ends a request of which there is no more, though it is not complete: as one that failed, and without the end of its stream.
    pub fn end_cut(&self, socket: &Socket, branch: Option<Number>) {
        if branch.is_none() && std::mem::replace(&mut self.lock().home.is_cut, true) {
            return;
        }
        let mut words = Vec::new();
        answer::end(branch.map_or_else(|| self.home(), |branch| branch.id), Status::Cut, &mut words);
        self.tell(socket, branch, &words);
    }

    /// Writes what a request has ready, in whole records. With the last of an answer the request is over: the web server may use its
    /// number again as soon as it has read that.
    pub(super) fn flush(&self, socket: &Socket, branch: Option<Number>, turn: &mut Turn, behind: Behind) -> Written {
        let mut state = self.lock();
        // Where others share the connection it does not end behind this answer. None comes beside the last of an answer, for nobody else reads then.
        let is_shared = branch.is_some() || !state.branches.is_empty();
        let written = state.write(socket, turn.output(), if is_shared { Behind::Anything } else { behind });
        match written {
            Written::Full => state.branch(branch).into_iter().for_each(|branch| branch.waits = true),
            Written::All if turn.is_answered() => state.finish(branch),
            Written::All | Written::Gone => {}
        }
        if written == Written::Full && turn.is_answered() && turn.output().is_empty() {
            state.finish(branch);
        }
        written
    }

    /// Writes what is owed.
    pub fn pay(&self, socket: &Socket) -> Written {
        self.lock().pay(socket)
    }

    /// Writes a last word of a request, whose owner cannot: all that the socket does not take goes before what is written next.
    pub fn tell(&self, socket: &Socket, branch: Option<Number>, words: &[u8]) -> bool {
        let mut state = self.lock();
        state.rest.extend_from_slice(words);
        let was_busy = state.is_busy;
        state.finish(branch);
        // The home is still with the application.
        state.is_busy = was_busy;
        state.pay(socket) != Written::Gone
    }

    /// The home reads nothing from now on, for its request is whole or its last: somebody else does for it.
    pub fn set_busy(&self) {
        self.lock().is_busy = true;
    }

    /// The home's request is over, and it can take another.
    pub fn finish_home(&self) {
        self.lock().finish(None);
    }

    /// The home's edges come to this slot. Whoever sees to branches is called so, where nobody looks who could.
    pub fn settle(&self, place: u32, caller: impl FnOnce() -> Caller) {
        let mut state = self.lock();
        if state.home.place != Some(place) {
            state.home.place = Some(place);
            state.caller = Some(caller());
        }
    }

    /// Whether the home in this slot, or whoever stands in for it, has anything to see to: as a rule not.
    pub fn is_quiet(&self, place: u32, is_readable: bool) -> bool {
        let state = self.lock();
        let is_settled = state.home.place == Some(place);
        is_settled && state.branches.is_empty() && state.rest.is_empty() && !(is_readable && state.is_busy)
    }

    /// Calls whoever sees to branches, if there is something for one of them.
    pub fn call_if_needed(&self) {
        let state = self.lock();
        let is_needed = state.branches.iter().any(|branch| branch.is_called || branch.place.is_none());
        if let Some(caller) = state.caller.as_ref().filter(|_| is_needed) {
            caller();
        }
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
    pub fn newborn(&self) -> Option<Number> {
        self.lock().branches.iter().find(|branch| branch.place.is_none()).map(|branch| branch.number)
    }

    /// Its connection is in this slot.
    pub fn place(&self, number: Number, place: u32) {
        self.lock().branch(Some(number)).into_iter().for_each(|branch| branch.place = Some(place));
    }

    /// There is no room for it.
    pub fn overload(&self, socket: &Socket, number: Number) {
        let mut state = self.lock();
        state.leave(number);
        answer::end(number.id, Status::Overloaded, &mut state.rest);
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
    pub fn mail(&self, number: Number) -> Mail {
        let mut state = self.lock();
        let is_over = state.is_over;
        match state.branch(Some(number)) {
            Some(branch) if branch.is_aborted => Mail::Abort,
            Some(branch) if !branch.inbox.is_empty() => Mail::Bytes(std::mem::take(&mut branch.inbox)),
            Some(_) if !is_over => Mail::Nothing,
            Some(_) | None => Mail::End,
        }
    }

    /// Whether the web server does not want the answer to this branch, or to the home, any more.
    pub fn is_aborted(&self, branch: Option<Number>) -> bool {
        let mut state = self.lock();
        match branch {
            None => state.home.is_aborted && state.home.id.is_some(),
            Some(_) => state.branch(branch).is_some_and(|branch| branch.is_aborted),
        }
    }

    /// A branch is over. The home's slot, if it may be waiting for that.
    pub fn leave(&self, number: Number) -> Option<u32> {
        let mut state = self.lock();
        state.leave(number);
        state.home.place.filter(|_| state.branches.is_empty())
    }
}
