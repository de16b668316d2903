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

mod reply;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::sync::Arc;

use reply::Reply;

use crate::body::Body;
use crate::output::{Output, Stretch};
use crate::wire::http::answer::{self, Asked, Ending, Fault};
use crate::wire::http::{body, head};
use crate::wire::{Framing, Head, Refusal, Span};

/// What the turns of one application may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a head.
    pub head: head::Limits,
    /// Of a body.
    pub body: body::Limits,
    /// Bytes of a body kept in memory.
    pub body_memory_max: usize,
    /// Bytes of buffer that an idle connection may keep. Less costs an allocation per request, more costs memory per idle client.
    pub idle_buffer_max: usize,
}

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
    Refused,
}

/// Whether another request may follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    Another,
    Last,
}

/// One request's life, and then the next one's.
pub struct Turn {
    limits: Arc<Limits>,
    phase: Phase,
    follow: Follow,
    /// Received and not yet given up; the current request begins at `start`, what is not yet understood at `unread`.
    input: Vec<u8>,
    start: usize,
    unread: usize,
    heads: head::Reader,
    head: Head,
    bodies: Option<body::Reader>,
    body: Body,
    reply: Reply,
    output: Output,
    served: u64,
    refusal: Option<Refusal>,
}

impl Turn {
    /// The first turn of a new connection.
    pub fn new(limits: Arc<Limits>) -> Turn {
        Turn {
            heads: head::Reader::new(limits.head),
            limits,
            phase: Phase::Head,
            follow: Follow::Another,
            input: Vec::new(),
            start: 0,
            unread: 0,
            head: Head::default(),
            bodies: None,
            body: Body::Empty,
            reply: Reply::default(),
            output: Output::default(),
            served: 0,
            refusal: None,
        }
    }

    /// What it needs next.
    pub fn next(&self) -> Next {
        if !self.output.is_empty() {
            return Next::Send;
        }
        match self.phase {
            Phase::Head | Phase::Body => Next::Receive,
            Phase::Ready => Next::Call,
            Phase::Running | Phase::Answered(Ending::KeepAlive) => Next::Wait,
            Phase::Answered(Ending::Short) if self.reply.shows_its_end() => Next::End(Farewell::Close),
            Phase::Answered(Ending::Short) => Next::End(Farewell::Reset),
            Phase::Answered(Ending::Close) if self.expects_more_of_client() => Next::End(Farewell::Linger),
            Phase::Answered(Ending::Close) => Next::End(Farewell::Close),
            Phase::Refused => Next::End(Farewell::Linger),
        }
    }

    /// A client that did not ask for the close may have sent its next request already.
    fn expects_more_of_client(&self) -> bool {
        self.head.keep_alive || self.unread < self.input.len()
    }

    /// What the client is waited for, and so how long.
    pub fn patience(&self) -> Patience {
        match self.next() {
            Next::Send => Patience::Write,
            Next::Receive if self.phase == Phase::Body => Patience::Body,
            Next::Receive if self.is_idle() && self.served > 0 => Patience::Keepalive,
            Next::Receive | Next::Call | Next::Wait | Next::End(_) => Patience::Head,
        }
    }

    /// Whether it stands between requests: nothing of the next one has come.
    pub fn is_idle(&self) -> bool {
        self.phase == Phase::Head && self.output.is_empty() && !self.heads.has_begun()
    }

    /// Requests that the application was called for on this connection.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// The current request is the last of its connection: its answer says so.
    pub fn make_last(&mut self) {
        self.follow = Follow::Last;
        self.reply.make_last();
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

/// Reading.
impl Turn {
    /// Takes bytes that came from the client, while [`Next::Receive`] was asked for.
    pub fn receive(&mut self, bytes: &[u8], moment: &Moment) {
        if self.phase == Phase::Body && self.unread == self.input.len() {
            return self.receive_body(bytes, moment);
        }
        self.input.extend_from_slice(bytes);
        self.advance(moment);
    }

    /// The answer is out and another request may follow: begins with what has come of it.
    pub fn restart(&mut self, moment: &Moment) {
        debug_assert_eq!(self.phase, Phase::Answered(Ending::KeepAlive));
        self.body = Body::Empty;
        self.bodies = None;
        self.phase = Phase::Head;
        if self.unread == self.input.len() {
            self.input.clear();
            if self.input.capacity() > self.limits.idle_buffer_max {
                self.input = Vec::new();
            }
            self.output.shrink(self.limits.idle_buffer_max);
            (self.start, self.unread) = (0, 0);
        } else {
            self.input.drain(..self.unread);
            (self.start, self.unread) = (0, 0);
            self.advance(moment);
        }
    }

    /// The client will send no more. Says whether that leaves anything to be done: an answer to what it sent before.
    pub fn end_of_input(&mut self, moment: &Moment) {
        match self.phase {
            Phase::Head if !self.heads.has_begun() => self.phase = Phase::Answered(Ending::Close),
            Phase::Head => self.refuse(Refusal { status: 400, why: "the request ended within its head" }, moment),
            Phase::Body => self.refuse(Refusal { status: 400, why: "the request ended within its body" }, moment),
            Phase::Ready | Phase::Running | Phase::Answered(_) | Phase::Refused => {}
        }
    }

    /// The patience with a client that was to send something has run out.
    pub fn expire(&mut self, moment: &Moment) {
        match self.phase {
            Phase::Head if !self.heads.has_begun() => self.phase = Phase::Answered(Ending::Close),
            Phase::Head => self.refuse(Refusal { status: 408, why: "the head of the request did not come in time" }, moment),
            Phase::Body => self.refuse(Refusal { status: 408, why: "the body of the request did not come in time" }, moment),
            Phase::Ready | Phase::Running | Phase::Answered(_) | Phase::Refused => {}
        }
    }

    fn advance(&mut self, moment: &Moment) {
        if self.phase == Phase::Head {
            match self.heads.read(&self.input[self.start..], &mut self.head) {
                Err(refusal) => return self.refuse(refusal, moment),
                Ok(None) => return,
                Ok(Some(length)) => self.unread = self.start + length,
            }
            if let Err(refusal) = self.open_body() {
                return self.refuse(refusal, moment);
            }
        }
        while self.phase == Phase::Body {
            let Some(bodies) = &mut self.bodies else { break };
            let piece = match bodies.read(&self.input[self.unread..]) {
                Err(refusal) => return self.refuse(refusal, moment),
                Ok(piece) => piece,
            };
            let data = self.unread + piece.data.start..self.unread + piece.data.end;
            if self.body.append(&self.input[data], self.limits.body_memory_max).is_err() {
                return self.refuse(CANNOT_STORE, moment);
            }
            self.unread += piece.taken;
            if piece.complete {
                return self.complete_body(moment);
            }
            if piece.taken == 0 {
                break;
            }
        }
    }

    fn open_body(&mut self) -> Result<(), Refusal> {
        if self.head.framing == Framing::None {
            self.phase = Phase::Ready;
            return Ok(());
        }
        self.bodies = Some(body::Reader::new(self.head.framing, self.limits.body)?);
        if let Framing::Length(length) = self.head.framing {
            self.body.expect(length, self.limits.body_memory_max);
        }
        if self.head.expects_continue && self.unread == self.input.len() {
            self.output.tail().extend_from_slice(answer::CONTINUE);
        }
        self.phase = Phase::Body;
        Ok(())
    }

    /// Body bytes that need not pass through the input: the head's spans keep theirs.
    fn receive_body(&mut self, bytes: &[u8], moment: &Moment) {
        let mut taken = 0;
        while let Some(bodies) = &mut self.bodies {
            let piece = match bodies.read(&bytes[taken..]) {
                Err(refusal) => return self.refuse(refusal, moment),
                Ok(piece) => piece,
            };
            let data = &bytes[taken..][piece.data];
            if self.body.append(data, self.limits.body_memory_max).is_err() {
                return self.refuse(CANNOT_STORE, moment);
            }
            taken += piece.taken;
            if piece.complete {
                self.input.extend_from_slice(&bytes[taken..]);
                return self.complete_body(moment);
            }
            if piece.taken == 0 {
                break;
            }
        }
        self.input.extend_from_slice(&bytes[taken..]);
    }

    fn complete_body(&mut self, moment: &Moment) {
        match self.body.complete() {
            Ok(()) => self.phase = Phase::Ready,
            Err(_) => self.refuse(CANNOT_STORE, moment),
        }
    }

    fn refuse(&mut self, refusal: Refusal, moment: &Moment) {
        answer::refuse(refusal, &moment.date, self.output.tail());
        self.refusal = Some(refusal);
        self.body = Body::Empty;
        self.phase = Phase::Refused;
    }
}

const CANNOT_STORE: Refusal = Refusal { status: 503, why: "the server has no room for the body of the request" };

/// Answering, for the application's side.
impl Turn {
    /// The application takes it from here.
    pub fn run(&mut self, moment: &Moment) {
        debug_assert_eq!(self.phase, Phase::Ready);
        self.phase = Phase::Running;
        self.served += 1;
        let asked = Asked {
            version: self.head.version,
            head: self.text(self.head.method) == b"HEAD",
            keep_alive: self.head.keep_alive && self.follow == Follow::Another,
        };
        self.reply.prepare(asked, moment.date);
    }

    /// The request's head; its spans are of [`Turn::bytes`].
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The bytes that the head's spans are of.
    pub fn bytes(&self) -> &[u8] {
        &self.input[self.start..]
    }

    /// What a span of the head stands for.
    pub fn text(&self, span: Span) -> &[u8] {
        span.of(self.bytes())
    }

    /// The request's body, once.
    pub fn take_body(&mut self) -> Body {
        std::mem::take(&mut self.body)
    }

    /// Whether the application has begun a head.
    pub fn has_begun(&self) -> bool {
        self.reply.has_begun()
    }

    /// Whether the answer's head has gone out: it can no longer be replaced.
    pub fn is_head_out(&self) -> bool {
        self.reply.is_head_out()
    }

    /// The status of the answer; 0 before there is one.
    pub fn status(&self) -> u16 {
        self.reply.status()
    }

    /// Bytes of content in the answer so far.
    pub fn content_sent(&self) -> u64 {
        self.reply.sent()
    }

    /// How many bytes the application's Content-Length still allows; `None` when it gave none.
    pub fn remaining(&self) -> Option<u64> {
        self.reply.remaining()
    }

    /// Begins the answer's head with a status line such as `200 OK`, dropping one begun before (PEP 3333, exc_info).
    ///
    /// # Errors
    /// When the status is malformed.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), Fault> {
        self.reply.draft().begin(status)
    }

    /// Adds a field to the answer's head, latin-1 bytes.
    ///
    /// # Errors
    /// When the name is no token, the value has control characters, or the field is hop-by-hop (PEP 3333, Other HTTP Features).
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        self.reply.draft().field(name, value)
    }

    /// Says that the whole content will be so many bytes, which saves a chunked answer where the app gave no Content-Length.
    pub fn total(&mut self, length: u64) {
        self.reply.total(length);
    }

    /// Answers with these bytes next, the head before them if it is not out. More than Content-Length is dropped. Empty: nothing happens.
    pub fn write(&mut self, data: &[u8]) {
        self.reply.write(data, &mut self.output);
    }

    /// Answers with `length` bytes of a plain file from `offset` on (sendfile).
    pub fn write_file(&mut self, file: File, offset: u64, length: u64) {
        self.reply.write_file(Stretch { file, offset, length }, &mut self.output);
    }

    /// The answer is complete.
    pub fn finish(&mut self) {
        self.phase = Phase::Answered(self.reply.end(&mut self.output));
    }

    /// The application failed: a 500 while the head is not out, else the connection is cut so that nothing looks complete.
    pub fn fail(&mut self) {
        if self.reply.is_head_out() {
            self.output.clear();
            self.phase = Phase::Answered(Ending::Short);
        } else {
            self.reply.apologise(&mut self.output);
            self.finish();
        }
    }

    /// Whether the answer is complete, though some of it may still have to leave.
    pub fn is_answered(&self) -> bool {
        matches!(self.phase, Phase::Answered(_))
    }

    /// Whether the answer is complete and another request may follow.
    pub fn may_restart(&self) -> bool {
        self.phase == Phase::Answered(Ending::KeepAlive)
    }
}
