//! One request, from its first byte to the last of its answer: the same life for every engine.
//!
//! ```text
//!            receive           receive            call            finish / fail          all sent
//!   Head ------------> Body ------------> Ready ------> Running ---------------> Answered --------> Head (the next request)
//!     \                  \                                                          \
//!      \__ refuse ________\____________________> Refused --- all sent ---> farewell  \--> farewell
//! ```
//!
//! A turn is told what came in and holds what is to go out; it has no socket and no clock. What it was told of the time
//! ([`Moment`]) is what its answers say. It never reads ahead of an answer: bytes of the next request wait in the input.
//!
//! Known fault: a body is spooled to disk from the thread that reads, so a slow disk is felt by that thread's other clients.

mod answering;
mod reading;
mod renewal;
mod reply;
mod seat;
mod streaming;
#[cfg(test)]
pub mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use renewal::Spare;
use reply::Reply;
pub use seat::Seat;
pub use streaming::Fed;

use monoceros_shared::config::Bodies;

use crate::body::Body;
use crate::identity::Identity;
use crate::origin::{Origin, Way};
use crate::output::Output;
use crate::wire::gateway;
use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::Ending;
use crate::wire::http::{body, head};
use crate::wire::{Head, Refusal};

/// What the turns of one application may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a head.
    pub head: head::Limits,
    /// Of a body.
    pub body: body::Limits,
    /// When a body is read.
    pub bodies: Bodies,
    /// Bytes of a body kept in memory.
    pub body_memory_max: usize,
    /// Bytes of each buffer that a turn keeps for the next request.
    pub kept_buffer_max: usize,
    /// Set when the server ends: every answer whose head is not out says so, and is the last of its connection.
    pub ending: Arc<AtomicBool>,
}

/// Bytes of a half-read head that still travel. More would not fit a packet; less would keep clients with long heads from
/// travelling, which are then answered here and closed.
pub const INPUT_TRAVELS_MAX: usize = 64 * 1024;

/// What a turn needs to know of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds of a clock that never goes back.
    pub now: u64,
    /// The value of a Date field: an IMF-fixdate (RFC 9110 5.6.7).
    pub date: [u8; 29],
}

/// What a turn needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More bytes from the client.
    Receive,
    /// What is in its output to be sent.
    Send,
    /// The application to be called: a whole request stands ready.
    Call,
    /// Nothing from us: the application has it.
    Wait,
    /// The connection to end, so.
    End(Farewell),
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// The client expects it.
    Close,
    /// The client may still be sending: our side first, then what comes is thrown away for a while, so that no reset
    /// overtakes the answer (RFC 9112 9.6).
    Linger,
    /// What was sent must not look complete, and only a reset can say so.
    Reset,
}

/// What a client is being waited for, which decides how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The rest of a head, or the first byte of a new connection.
    Head,
    /// The next bytes of a body.
    Body,
    /// The next request.
    Keepalive,
    /// Room for the next bytes of an answer.
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Head,
    Body,
    Ready,
    Running,
    Answered(Ending),
    /// The answer is out, and of the body that nobody read the rest is still to come.
    Discard,
    Refused,
}

/// What is spoken on a connection, and how far its reader is in a head.
enum Wire {
    Http(head::Reader),
    Gateway(Box<gateway::Reader>),
}

/// What reads a body.
enum BodyReader {
    /// By its length, or chunks.
    Plain(body::Reader),
    /// The wire, which has it in pieces of its own.
    OfTheWire,
}

impl BodyReader {
    fn read(&mut self, wire: &mut Wire, input: &[u8]) -> Result<body::Piece, Refusal> {
        match (self, wire) {
            (BodyReader::Plain(reader), _) => reader.read(input),
            (BodyReader::OfTheWire, Wire::Gateway(reader)) => reader.read_body(input),
            (BodyReader::OfTheWire, Wire::Http(_)) => unreachable!("HTTP's bodies are plain"),
        }
    }
}

impl Wire {
    /// Whether any byte of a request has been seen.
    fn has_begun(&self) -> bool {
        match self {
            Wire::Http(heads) => heads.has_begun(),
            Wire::Gateway(reader) => reader.has_begun(),
        }
    }
}

/// One request's life, and then the next one's.
pub struct Turn {
    limits: Arc<Limits>,
    phase: Phase,
    /// Received and not yet given up; the current request begins at `start`, what is not yet understood at `unread`.
    input: Vec<u8>,
    start: usize,
    unread: usize,
    wire: Wire,
    head: Head,
    /// Where in the input the body begins.
    body_at: usize,
    /// Reads the body, until it is complete.
    bodies: Option<BodyReader>,
    /// Bytes of the body that the application has read, or that were thrown away.
    fed: u64,
    /// What is wrong with a body that the application reads.
    fault: Option<Refusal>,
    body: Body,
    reply: Reply,
    output: Output,
    served: u64,
    last: bool,
    refusal: Option<Refusal>,
    /// How its requests come; `None` when they are our own.
    way: Option<Way>,
    origin: Origin,
    identity: Identity,
    /// Whether the head is this request's; until it is read, it is the last one's.
    has_head: bool,
    /// Whether the web server has something for its log.
    complained: bool,
    /// What the connection before has left.
    spare: Option<Spare>,
}

impl Turn {
    /// The first turn of a new connection.
    pub fn new(limits: Arc<Limits>) -> Turn {
        Turn {
            wire: Wire::Http(head::Reader::new(limits.head)),
            limits,
            phase: Phase::Head,
            input: Vec::new(),
            start: 0,
            unread: 0,
            head: Head::default(),
            body_at: 0,
            bodies: None,
            fed: 0,
            fault: None,
            body: Body::Empty,
            reply: Reply::default(),
            output: Output::default(),
            served: 0,
            last: false,
            refusal: None,
            way: None,
            origin: Origin::default(),
            identity: Identity::None,
            has_head: false,
            complained: false,
            spare: None,
        }
    }

    /// How its answers are put.
    pub fn manner(&self) -> Manner {
        match &self.wire {
            Wire::Http(_) => Manner::Http,
            Wire::Gateway(reader) => reader.manner(),
        }
    }

    /// The next request has this number on its connection.
    pub fn expect(&mut self, id: u16) {
        if let Wire::Gateway(reader) = &mut self.wire {
            reader.expect(id);
        }
    }

    /// What it may take.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Whether a refusal was not told of, though another request may follow.
    pub fn owes_refusal(&self) -> bool {
        self.refusal.is_some() && self.may_restart()
    }

    /// Its requests come this way from now on.
    pub fn come_by(&mut self, way: Way) {
        self.way = Some(way);
    }

    /// How its requests come.
    pub fn way(&self) -> Option<&Way> {
        self.way.as_ref()
    }

    /// Whether another worker could go on with it: it stands at a request boundary, or within a head of HTTP.
    pub fn may_travel(&self) -> bool {
        match &self.wire {
            Wire::Http(_) => {
                self.phase == Phase::Head && self.output.is_empty() && self.unread().len() <= INPUT_TRAVELS_MAX
            }
            Wire::Gateway(_) => self.is_idle() && self.unread().is_empty(),
        }
    }

    /// What was received and not yet understood.
    pub fn unread(&self) -> &[u8] {
        &self.input[self.start..]
    }

    /// What it needs next.
    pub fn next(&self) -> Next {
        if !self.output.is_empty() {
            return Next::Send;
        }
        match self.phase {
            Phase::Head | Phase::Body | Phase::Discard => Next::Receive,
            Phase::Ready => Next::Call,
            Phase::Running | Phase::Answered(Ending::KeepAlive) => Next::Wait,
            Phase::Answered(Ending::Short) if self.reply.shows_its_end() => Next::End(Farewell::Close),
            Phase::Answered(Ending::Short) => Next::End(Farewell::Reset),
            Phase::Answered(Ending::Close) if self.expects_more_of_client() => Next::End(Farewell::Linger),
            Phase::Answered(Ending::Close) => Next::End(Farewell::Close),
            Phase::Refused => Next::End(Farewell::Linger),
        }
    }

    /// Whether the connection ends well when all that is ready has left.
    pub fn is_to_end(&self) -> bool {
        matches!(self.phase, Phase::Answered(Ending::Close) | Phase::Refused)
    }

    /// A client that did not ask for the close may have sent its next request already.
    fn expects_more_of_client(&self) -> bool {
        let has_body_to_come = self.bodies.is_some() || self.fault.is_some();
        self.head.keep_alive || self.unread < self.input.len() || has_body_to_come
    }

    /// What the client is waited for, and so how long.
    pub fn patience(&self) -> Patience {
        match self.next() {
            Next::Send => Patience::Write,
            Next::Receive if matches!(self.phase, Phase::Body | Phase::Discard) => Patience::Body,
            Next::Receive if self.is_idle() && self.served > 0 => Patience::Keepalive,
            Next::Receive | Next::Call | Next::Wait | Next::End(_) => Patience::Head,
        }
    }

    /// Whether it stands between requests: nothing of the next one has come.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Head && self.output.is_empty() && !self.wire.has_begun()
    }

    /// Requests that the application was called for on this connection.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// This connection has no future, though others have one.
    pub fn make_last(&mut self) {
        self.last = true;
    }

    /// Whether no other request may follow on this connection, for reasons of the server's.
    pub fn is_last(&self) -> bool {
        self.last || self.limits.ending.load(Ordering::Relaxed)
    }

    /// Why the request was refused, once.
    pub fn take_refusal(&mut self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// What is ready to leave.
    pub fn output(&mut self) -> &mut Output {
        &mut self.output
    }
}
