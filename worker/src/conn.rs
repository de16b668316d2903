//! One client's connection: moves bytes between a socket and a turn, and decides nothing.
//!
//! Sockets are non-blocking and edge-triggered: `readable` says that a `recv` may find something, and is taken back only by
//! the socket itself, by a short read or EAGAIN. So a request costs one `recv` and its answer one `send`.

mod held;
mod introduced;
mod peer;
mod receive;
mod routes;
mod sealed;
mod send;
pub mod trunk;
mod trunked;
mod upload;
mod voice;

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::Socket;

pub use held::Holder;
pub use peer::Peer;
use send::Behind;
pub use trunked::Place;
pub use upload::{Waits, as_error};
pub use voice::{Voice, say};

use crate::descriptors;
use crate::lease::{Heard, Lease};
use crate::relay::Relay;
use crate::tls::{Session, Variables};
use crate::turn::{Farewell, Moment, Next, Patience, Seat};

/// Full reads of one connection in a row. More lets a client that sends as fast as we read keep the others waiting, fewer
/// costs a large upload more looks at the poll.
const READS_MAX: usize = 16;

/// What a connection waits for, or stands ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Bytes, or room for bytes: its next edge.
    Edge,
    /// The application to be called.
    Call,
    /// The application, which has it.
    Running,
    /// Its refusal to be told of; it goes on.
    Refused,
    /// To be ended, so.
    End(Farewell),
}

/// What an edge says of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Bytes have come.
    pub readable: bool,
    /// The client will send no more. Linux tells it once, perhaps together with its last bytes, so it is kept.
    pub hangup: bool,
    /// There is room again, or the connection is broken.
    pub writable: bool,
}

impl Edge {
    /// Whether it says anything.
    pub fn is_any(self) -> bool {
        self.readable || self.hangup || self.writable
    }

    /// Both.
    pub fn and(self, other: Edge) -> Edge {
        Edge {
            readable: self.readable || other.readable,
            hangup: self.hangup || other.hangup,
            writable: self.writable || other.writable,
        }
    }
}

/// How far a flush came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is out.
    All,
    /// The socket is full; an edge will tell when it is not.
    Full,
    /// The client is gone.
    Gone,
}

/// One client's connection.
pub struct Connection {
    socket: Arc<Socket>,
    readable: bool,
    hangup: bool,
    /// Whether bytes have gone either way since this was last asked.
    moved: bool,
    /// Its last bytes wait in the kernel for its end, to leave with that.
    is_corked: bool,
    /// Its answer has kept its client waiting for a piece that was held.
    is_hurried: bool,
    waits: Waits,
    /// When the body that the application reads began to be waited for.
    body_began: Option<Instant>,
    /// Its TLS, if it speaks it.
    session: Option<Arc<Mutex<Session>>>,
    /// What the application is told of that, once it is agreed on.
    variables: Option<Box<Variables>>,
    failure: Option<Box<str>>,
    /// Its place among the requests of one FastCGI connection, if it is one.
    place: Option<Box<Place>>,
    /// Who is at the other end.
    pub peer: Peer,
    /// Which of the assignment's listeners it came by.
    pub listener: usize,
    /// The request it is at.
    pub turn: Seat,
    /// What a proxy says of it before its first byte, on listeners where one does.
    pub relay: Option<Box<Relay>>,
    /// What the access log is to tell of the environ, once the application was called.
    pub notes: Vec<String>,
    /// The lease of the call that it is in.
    pub lease: Option<&'static Lease>,
}

impl Connection {
    /// A connection just accepted; its socket does not block.
    pub fn new(socket: Socket, peer: Peer, listener: usize, turn: Seat, waits: Waits) -> Connection {
        descriptors::note(&socket);
        Connection::over(Arc::new(socket), peer, (listener, turn), waits)
    }

    /// The same over a socket that others may have too.
    fn over(socket: Arc<Socket>, peer: Peer, (listener, turn): (usize, Seat), waits: Waits) -> Connection {
        // What a client sends with its connection is there already, as a rule: the first recv is worth its try.
        Connection {
            socket,
            readable: true,
            hangup: false,
            moved: false,
            is_corked: false,
            is_hurried: false,
            waits,
            body_began: None,
            session: None,
            variables: None,
            failure: None,
            place: None,
            peer,
            listener,
            turn,
            relay: None,
            notes: Vec::new(),
            lease: None,
        }
    }

    /// Its descriptor, for the poll.
    pub fn raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// What can speak to its client, for whoever may have to end it while the connection is with Python.
    pub fn voice(&self) -> Voice {
        Voice {
            socket: self.socket.clone(),
            session: self.session.clone(),
            place: self.place.as_deref().cloned(),
            manner: self.turn.manner(),
        }
    }

    /// Its descriptor, to be passed on.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// An edge was reported.
    pub fn wake(&mut self, edge: Edge) {
        self.readable |= edge.readable || edge.hangup;
        self.hangup |= edge.hangup;
    }

    /// Moves bytes for as long as the socket and the turn want to. `scratch` is the thread's own.
    pub fn advance(&mut self, scratch: &mut [u8], moment: &Moment) -> Standing {
        let mut reads = 0;
        loop {
            if self.owes_records()
                && let Some(standing) = self.pay_records()
            {
                return standing;
            }
            match self.turn.next() {
                Next::Call => {
                    self.note_call();
                    return Standing::Call;
                }
                Next::Wait if self.turn.owes_refusal() => return Standing::Refused,
                Next::Wait if self.turn.may_restart() => {
                    self.body_began = None;
                    self.restart(moment);
                }
                Next::Wait => return Standing::Running,
                Next::End(_) if self.is_needed() => return Standing::Edge,
                Next::End(farewell) => return Standing::End(farewell),
                Next::Send => match self.flush_and_go_on() {
                    Flushed::All => {}
                    Flushed::Full => return Standing::Edge,
                    Flushed::Gone => return Standing::End(Farewell::Reset),
                },
                Next::Receive if !(self.readable || self.is_over()) || reads == READS_MAX => return Standing::Edge,
                Next::Receive => {
                    reads += 1;
                    if let Some(standing) = self.read_on(scratch, moment) {
                        return standing;
                    }
                }
            }
        }
    }

    /// Sends what the turn has ready, as far as the socket takes it.
    pub fn flush(&mut self) -> Flushed {
        self.flush_before(Behind::Anything)
    }

    /// The same, for whoever goes on with the connection at once: if that means to end it, the end leaves with the last bytes. A packet less
    /// is sent, and the client woken once, which is a quarter of all that a connection of one request costs.
    pub fn flush_and_go_on(&mut self) -> Flushed {
        self.flush_before(if self.turn.is_to_end() { Behind::More } else { Behind::Anything })
    }

    fn flush_before(&mut self, behind: Behind) -> Flushed {
        if self.session.is_some() {
            return self.flush_sealed();
        }
        if self.place.is_some() {
            return self.flush_on_trunk(behind);
        }
        let (flushed, moved) = send::send(&self.socket, self.turn.output(), behind);
        self.is_corked |= moved && behind == Behind::More;
        self.moved |= moved;
        flushed
    }

    /// Sends all that the turn has ready, waiting for room in the socket: for WSGI's `write()`. Call it without the GIL.
    ///
    /// # Errors
    /// When the client is gone, or takes nothing for `timeouts.write`.
    pub fn flush_waiting(&mut self) -> io::Result<()> {
        let patience = PollTimeout::try_from(self.waits.write).unwrap_or(PollTimeout::MAX);
        loop {
            match self.flush() {
                Flushed::All => return Ok(()),
                Flushed::Gone => return Err(io::Error::from(ErrorKind::BrokenPipe)),
                Flushed::Full => {}
            }
            match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)], patience) {
                Ok(0) => return Err(io::Error::from(ErrorKind::TimedOut)),
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether its client is gone for good: it has reset the connection, or closed both ways of a Unix socket. Asks the kernel.
    pub fn has_left(&self) -> bool {
        let mut asked = [PollFd::new(self.socket.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP;
        poll(&mut asked, PollTimeout::ZERO).is_ok() && asked[0].revents().is_some_and(|seen| seen.intersects(gone))
    }

    /// Whether bytes have gone either way since this was last asked.
    pub fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// What its client is waited for.
    pub fn patience(&self) -> Patience {
        // A handshake is part of the head that it is for.
        if self.owes_records() && !self.is_handshaking() {
            return Patience::Write;
        }
        self.turn.patience()
    }

    /// Ends our side, or all, as the farewell says. By `shutdown`, so that a child forked by the application keeps nothing open.
    pub fn say(&self, farewell: Farewell) {
        match self.session {
            None if self.is_branch() => {}
            None => say(&self.socket, farewell),
            Some(_) => self.voice().say(farewell),
        }
    }

    /// Sends what waits for its end, before the socket is closed: to close one with bytes that nobody read throws those away that wait.
    pub fn let_go(&self) {
        if self.is_corked {
            say(&self.socket, Farewell::Linger);
        }
    }

    /// How much of its answer the client has, all that was ready to leave being out.
    pub fn heard(&self) -> Heard {
        if self.turn.is_answered() { Heard::All } else { self.turn.cut().map_or(Heard::Nothing, Heard::Part) }
    }

    /// Throws away some of what the client still sends. Says whether it may send more.
    pub fn discard(&mut self, scratch: &mut [u8]) -> bool {
        for _ in 0..READS_MAX {
            match self.receive(scratch) {
                Ok(0) => return false,
                Ok(_) if self.readable => {}
                Ok(_) => return true,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    /// Whether reading stopped only for the others' sake: no edge will tell of the rest.
    pub fn has_more(&self) -> bool {
        let is_wanted = match self.turn.next() {
            Next::Receive => !self.is_branch(),
            Next::End(_) => !self.is_shared(),
            Next::Send | Next::Call | Next::Wait => false,
        };
        self.readable && is_wanted && !self.owes_records()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.is_branch() {
            descriptors::forget(&self.socket);
        }
    }
}
