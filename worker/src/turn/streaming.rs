//! The body of a request that the application reads while it runs, and what is left of it when the application is done.
//!
//! ```text
//!   Running --- feed: Hungry -> take_in -> feed: Data … End
//!      \__ the answer is out, and the body is not in: Discard --- its end --> Head (the next request)
//!                                                        \__ more than is worth it --> farewell
//! ```
//!
//! A client that waits for a 100 gets it when the application first asks for the body, and not once the answer has begun; if it never
//! asks, the client does not send, so the connection ends with the answer (RFC 9110 10.1.1).

use super::{Phase, Turn, Wire};
use crate::wire::Refusal;
use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::{self, Ending};

/// Bytes of a body that nobody read which are thrown away for the sake of the connection. Less closes connections that a client could
/// have used again, more reads what nobody wants.
const DISCARD_MAX: usize = 256 * 1024;

/// What the application gets of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Some bytes, one at least.
    Data,
    /// Nothing before more has come from the client.
    Hungry,
    /// There is no more.
    End,
}

impl Turn {
    /// Whether some of the body of a request that is with the application has still to come.
    pub fn is_body_open(&self) -> bool {
        self.bodies.is_some()
    }

    /// Gives the application up to `max` bytes of the body.
    ///
    /// # Errors
    /// When the body is not as it must be, or did not come: as then told, and again at every further call.
    pub fn feed(&mut self, max: usize, into: &mut Vec<u8>) -> Result<Fed, Refusal> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        while let Some(bodies) = &mut self.bodies {
            let end = self.unread.saturating_add(max).min(self.input.len());
            let piece = match bodies.read(&mut self.wire, &self.input[self.unread..end]) {
                Ok(piece) => piece,
                Err(fault) => return Err(self.break_body(fault)),
            };
            let data = self.unread + piece.data.start..self.unread + piece.data.end;
            self.unread += piece.taken;
            self.fed += data.len() as u64;
            into.extend_from_slice(&self.input[data.clone()]);
            if piece.complete {
                self.bodies = None;
            }
            if !data.is_empty() {
                return Ok(Fed::Data);
            }
            if piece.taken == 0 && !piece.complete {
                self.invite();
                self.reply();
                return Ok(Fed::Hungry);
            }
        }
        Ok(Fed::End)
    }

    /// Bytes of the body that the application has read.
    pub fn fed(&self) -> u64 {
        self.fed
    }

    /// What is wrong with the body that the application has tried to read.
    pub fn body_fault(&self) -> Option<Refusal> {
        self.fault
    }

    /// Takes bytes that came while the application reads.
    pub fn take_in(&mut self, bytes: &[u8]) {
        if self.unread == self.input.len() {
            // What was fed is done with; the head stays, for its spans are in use.
            self.input.truncate(self.body_at);
            self.unread = self.body_at;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The rest of the body will not come, or cannot be understood. Nothing behind it can be trusted.
    pub fn break_body(&mut self, fault: Refusal) -> Refusal {
        self.fault = Some(fault);
        self.bodies = None;
        fault
    }

    /// Asks the client for the body, if it waits for that and still can be told.
    fn invite(&mut self) {
        if self.head.expects_continue && self.unread == self.body_at && !self.is_head_out() {
            self.head.expects_continue = false;
            self.output.tail().extend_from_slice(answer::CONTINUE);
        }
    }

    /// Whether another request cannot follow this one, whatever its client says.
    pub(super) fn is_body_lost(&self) -> bool {
        if matches!(self.manner(), Manner::FastCgi(_)) {
            return false;
        }
        let waits_for_us = self.bodies.is_some() && self.head.expects_continue && self.unread == self.input.len();
        self.fault.is_some() || waits_for_us
    }

    /// Whether the rest of a body stays with the web server, for nobody has asked for it.
    fn nothing_more_comes(&self) -> bool {
        match &self.wire {
            Wire::Http(_) => false,
            Wire::Gateway(reader) => reader.is_body_unasked(),
        }
    }

    /// The answer is out, and the body is not in.
    pub(super) fn leave_body(&mut self) {
        match (&mut self.wire, self.reply.manner()) {
            // What still comes of it does not come here.
            (Wire::Gateway(reader), Manner::FastCgi(_)) => {
                reader.forget();
                self.bodies = None;
                self.unread = self.input.len();
                self.start = self.unread;
            }
            (Wire::Gateway(_) | Wire::Http(_), _) => self.begin_to_discard(),
        }
    }

    /// What is left of the body is thrown away.
    fn begin_to_discard(&mut self) {
        self.phase = Phase::Discard;
        self.fed = 0;
        self.discard();
    }

    /// Throws away what came of the body. Then the turn is at the next head, or waits for more, or ends.
    pub(super) fn discard(&mut self) {
        // Otherwise what follows is the next request's, which may have come with the last that was asked for.
        while !self.nothing_more_comes() {
            let Some(bodies) = &mut self.bodies else { return };
            let read = bodies.read(&mut self.wire, &self.input[self.unread..]);
            let Ok(piece) = read.map_err(|fault| self.fault = Some(fault)) else { return self.end_discarding() };
            self.unread += piece.taken;
            self.start = self.unread;
            self.fed += piece.taken as u64;
            if piece.complete {
                break;
            }
            if self.fed > DISCARD_MAX as u64 {
                return self.end_discarding();
            }
            if piece.taken == 0 {
                return;
            }
        }
        self.bodies = None;
        self.phase = Phase::Head;
    }

    /// Nobody waits for the rest of the body any more.
    pub(super) fn end_discarding(&mut self) {
        self.phase = Phase::Answered(Ending::Close);
    }
}
