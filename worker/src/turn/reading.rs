//! The reading half of a turn: from the client's bytes to a whole request, or to a refusal.

use monoceros_shared::config::Bodies;

use super::{BodyReader, INPUT_TRAVELS_MAX, Moment, Phase, Turn, Wire};
use crate::body::Body;
use crate::heap::empty;
use crate::identity::Identity;
use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::{self, Ending};
use crate::wire::http::{body, head};
use crate::wire::{Framing, Refusal};

const CANNOT_STORE: Refusal = Refusal { status: 503, why: "the server has no room for the body of the request" };

impl Turn {
    /// Takes bytes that came from the client, while [`Next::Receive`] was asked for.
    pub fn receive(&mut self, bytes: &[u8], moment: &Moment) {
        if self.phase == Phase::Body && self.unread == self.input.len() {
            return self.receive_body(bytes, moment);
        }
        // Requests that came together were answered without moving the ones behind them; now is the time.
        self.input.drain(..self.start);
        self.unread -= self.start;
        self.body_at = self.body_at.saturating_sub(self.start);
        self.start = 0;
        self.input.extend_from_slice(bytes);
        self.advance(moment);
    }

    /// The answer is out and another request may follow: begins with what has come of it.
    pub fn restart(&mut self, moment: &Moment) {
        debug_assert_eq!(self.phase, Phase::Answered(Ending::KeepAlive));
        self.body = Body::Empty;
        self.phase = Phase::Head;
        self.has_head = false;
        self.identity = Identity::None;
        self.start = self.unread;
        if self.is_body_open() {
            self.leave_body();
        }
        if self.start < self.input.len() {
            return self.advance(moment);
        }
        empty(&mut self.input, self.limits.kept_buffer_max);
        (self.start, self.unread) = (0, 0);
        self.output.shrink(self.limits.kept_buffer_max);
    }

    /// Whether it takes what comes for its request.
    pub fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Head | Phase::Body)
    }

    /// Whether some of a request has come, and not all of it.
    pub fn is_within_a_request(&self) -> bool {
        match self.phase {
            Phase::Head => self.wire.has_begun(),
            Phase::Body => true,
            Phase::Ready | Phase::Running | Phase::Answered(_) | Phase::Discard | Phase::Refused => false,
        }
    }

    /// The client will send no more. Says whether that leaves anything to be done: an answer to what it sent before.
    pub fn end_of_input(&mut self, moment: &Moment) {
        match self.phase {
            Phase::Head if !self.wire.has_begun() => self.phase = Phase::Answered(Ending::Close),
            Phase::Discard => self.end_discarding(),
            Phase::Head => self.refuse(Refusal { status: 400, why: "the request ended within its head" }, moment),
            Phase::Body => self.refuse(Refusal { status: 400, why: "the request ended within its body" }, moment),
            Phase::Ready | Phase::Running | Phase::Answered(_) | Phase::Refused => {}
        }
    }

    /// The patience with a client that was to send something has run out.
    pub fn expire(&mut self, moment: &Moment) {
        match self.phase {
            // Who has kept his connection may be sending on it in this moment. No answer is to be lost by that, which he may not have read.
            Phase::Head if !self.wire.has_begun() && self.served > 0 => self.phase = Phase::Refused,
            Phase::Head if !self.wire.has_begun() => self.phase = Phase::Answered(Ending::Close),
            Phase::Discard => self.end_discarding(),
            Phase::Head => {
                self.refuse(Refusal { status: 408, why: "the head of the request did not come in time" }, moment)
            }
            Phase::Body => {
                self.refuse(Refusal { status: 408, why: "the body of the request did not come in time" }, moment)
            }
            Phase::Ready | Phase::Running | Phase::Answered(_) | Phase::Refused => {}
        }
    }

    /// Refuses a whole request that the application is not to see, or a client that has sent nothing that is understood.
    pub fn give_up(&mut self, refusal: Refusal, moment: &Moment) {
        debug_assert!(matches!(self.phase, Phase::Ready | Phase::Head));
        self.refuse(refusal, moment);
    }

    /// Whether bytes can be made again of a whole request that the application has not seen: not if its body is in a file, or was chunked, or
    /// it would not fit a packet, or a gateway sent it.
    pub fn may_unread(&self) -> bool {
        if self.phase != Phase::Ready || matches!(self.wire, Wire::Gateway(_)) {
            return false;
        }
        let body = match &self.body {
            Body::Empty if self.head.framing == Framing::None => 0,
            Body::Memory(body) if matches!(self.head.framing, Framing::Length(_)) => body.len(),
            Body::Empty | Body::Memory(_) | Body::File(..) => return false,
        };
        (self.body_at - self.start) + body + (self.input.len() - self.unread) <= INPUT_TRAVELS_MAX
    }

    /// Makes bytes again of a whole request that the application has not seen, so that another worker can read it. Says whether it could.
    pub fn unread_whole(&mut self) -> bool {
        if !self.may_unread() {
            return false;
        }
        let mut heads = head::Reader::new(self.limits.head);
        let Ok(Some(length)) = heads.read(&self.input[self.start..], &mut self.head) else { return false };
        let body = match &self.body {
            Body::Memory(body) => &body[..],
            Body::Empty | Body::File(..) => &[],
        };
        let head = &self.input[self.start..self.start + length];
        let input = [head, body, &self.input[self.unread..]].concat();
        (self.input, self.start, self.unread) = (input, 0, 0);
        self.wire = Wire::Http(head::Reader::new(self.limits.head));
        (self.bodies, self.body) = (None, Body::Empty);
        (self.phase, self.has_head) = (Phase::Head, false);
        true
    }

    fn advance(&mut self, moment: &Moment) {
        if self.phase == Phase::Discard {
            self.discard();
        }
        if self.phase == Phase::Head && self.start < self.input.len() {
            let input = &self.input[self.start..];
            let read = match &mut self.wire {
                Wire::Http(heads) => {
                    heads.read(input, &mut self.head).map(|read| read.map_or((0, false), |taken| (taken, true)))
                }
                Wire::Gateway(reader) => reader.read(input, &mut self.head),
            };
            match read {
                Err(refusal) => return self.refuse(refusal, moment),
                Ok((taken, false)) => {
                    self.start += taken;
                    self.unread = self.start;
                    return self.reply();
                }
                Ok((taken, true)) => {
                    self.unread = self.start + taken;
                    self.body_at = self.unread;
                    self.has_head = true;
                }
            }
            if let Err(refusal) = self.admit().and_then(|()| self.open_body()) {
                return self.refuse(refusal, moment);
            }
        }
        while self.phase == Phase::Body {
            let Some(bodies) = &mut self.bodies else { break };
            let piece = match bodies.read(&mut self.wire, &self.input[self.unread..]) {
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
        self.reply();
    }

    /// What the wire itself has to say: it may have to ask for more of the body.
    pub(super) fn reply(&mut self) {
        if let Wire::Gateway(reader) = &mut self.wire {
            if self.bodies.is_some() {
                reader.ask_for_body();
            }
            reader.reply(self.output.tail());
        }
    }

    /// Looks where the request comes from and goes to, before its body is waited for.
    fn admit(&mut self) -> Result<(), Refusal> {
        let Some(way) = &self.way else { return Ok(()) };
        let bytes = match &self.wire {
            Wire::Http(_) => &self.input[self.start..],
            Wire::Gateway(reader) => reader.text(),
        };
        way.judge(&self.head, bytes, &mut self.origin)
    }

    fn open_body(&mut self) -> Result<(), Refusal> {
        if self.head.framing == Framing::None {
            self.phase = Phase::Ready;
            return Ok(());
        }
        let reads_itself = match &mut self.wire {
            Wire::Http(_) => false,
            Wire::Gateway(reader) => reader.open_body(self.head.framing)?,
        };
        self.bodies = Some(if reads_itself {
            BodyReader::OfTheWire
        } else {
            BodyReader::Plain(body::Reader::new(self.head.framing, self.limits.body)?)
        });
        if self.limits.bodies == Bodies::Stream && !self.is_body_empty() {
            (self.phase, self.fed, self.fault) = (Phase::Ready, 0, None);
            return Ok(());
        }
        if let Framing::Length(length) = self.head.framing {
            self.body.expect(length, self.limits.body_memory_max);
        }
        if self.head.expects_continue && self.unread == self.input.len() {
            self.output.tail().extend_from_slice(answer::CONTINUE);
        }
        self.phase = Phase::Body;
        Ok(())
    }

    /// Whether the end of a body is known to be all of it.
    fn is_body_empty(&self) -> bool {
        match &self.wire {
            Wire::Http(_) => false,
            Wire::Gateway(reader) => reader.is_body_empty(&self.input[self.unread..]),
        }
    }

    /// Body bytes that need not pass through the input: the head's spans keep theirs.
    fn receive_body(&mut self, bytes: &[u8], moment: &Moment) {
        let mut taken = 0;
        while let Some(bodies) = &mut self.bodies {
            let piece = match bodies.read(&mut self.wire, &bytes[taken..]) {
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
        self.reply();
    }

    /// Where what comes can be read straight into the body. Tell with [`Turn::came_into_room`] where it ended before.
    pub fn room(&mut self) -> Option<&mut Vec<u8>> {
        match &self.bodies {
            Some(BodyReader::Plain(bodies)) if self.phase == Phase::Body && self.unread == self.input.len() => {
                self.body.room(bodies.rest()?)
            }
            Some(BodyReader::Plain(_) | BodyReader::OfTheWire) | None => None,
        }
    }

    /// The room has what was in it up to `before`, and behind it what came.
    pub fn came_into_room(&mut self, before: usize, moment: &Moment) {
        let (Some(bodies), Body::Memory(bytes)) = (&mut self.bodies, &mut self.body) else { return };
        match bodies.read(&mut self.wire, &bytes[before..]) {
            Err(refusal) => self.refuse(refusal, moment),
            Ok(piece) => {
                self.input.extend_from_slice(&bytes[before + piece.taken..]);
                bytes.truncate(before + piece.data.end);
                if piece.complete {
                    self.complete_body(moment);
                }
            }
        }
    }

    /// Ends a connection that did not begin as it must: without a word, for there is nobody who would read it.
    pub fn turn_away(&mut self, why: &'static str) {
        self.refusal = Some(Refusal { status: 400, why });
        self.phase = Phase::Answered(Ending::Close);
    }

    fn complete_body(&mut self, moment: &Moment) {
        self.bodies = None;
        match self.body.complete() {
            Ok(()) => self.phase = Phase::Ready,
            Err(_) => self.refuse(CANNOT_STORE, moment),
        }
    }

    fn refuse(&mut self, refusal: Refusal, moment: &Moment) {
        let (manner, is_last) = (self.manner(), self.is_last());
        self.put_refusal(refusal, &moment.date);
        self.body = Body::Empty;
        self.bodies = None;
        self.phase = Phase::Refused;
        if let (Wire::Gateway(reader), Manner::FastCgi(_)) = (&mut self.wire, manner) {
            // What is framed by the connection leaves no doubt where the next request begins.
            self.unread = self.input.len();
            reader.forget();
            self.phase = Phase::Answered(if reader.keeps() && !is_last { Ending::KeepAlive } else { Ending::Close });
        }
    }
}
