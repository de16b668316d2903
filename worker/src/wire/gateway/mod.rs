//! What the gateways' wires have in common: a web server before us has read the request, and passes it on as variables.
//!
//! ```text
//!   bytes -> scgi, … -> variables -> head -> Head        one machine for all of them, as HTTP has its own
//!   an answer's head and content -> answer -> bytes      the same head, put as each wire wants it
//! ```
//!
//! Rule: what the variables are spans of is kept apart from what was received, so that a wire may gather them as it likes.

pub mod answer;
pub mod head;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::ajp::{self, Wish};
use super::fastcgi::{self, Role};
use super::http::{body, head as http};
use super::{Field, Framing, Head, Refusal, cgi, scgi, uwsgi, variables};
use answer::Manner;
use head::Given;

use crate::heap::empty;

/// What a gateway speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// CGI: the environment, each variable with a NUL behind it and one more at the end; then standard input.
    Cgi,
    /// SCGI.
    Scgi,
    /// uwsgi.
    Uwsgi,
    /// FastCGI: one request's stream of it.
    FastCgi,
    /// AJP, for whoever passes this guard.
    Ajp(Guard),
}

/// Whose AJP requests are served: they can set variables that the application takes for the web server's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Of those that know this.
    Secret(Arc<str>),
    /// Of this peer, which is trusted.
    Open,
    /// Not of this peer: it is not trusted, and there is nothing that it could know.
    Closed,
}

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its head.
    pub head: http::Limits,
    /// Its body.
    pub body: body::Limits,
}

impl Limits {
    fn variables(&self) -> variables::Limits {
        variables::Limits {
            count_max: self.head.header_count_max + head::META_MAX,
            bytes_max: self.head.header_bytes_max,
        }
    }
}

/// The status that stands for a role that is not ours, which has no other answer than that.
pub const UNKNOWN_ROLE: u16 = 501;

/// Reads the requests of one connection.
pub struct Reader {
    wire: Wire,
    limits: Limits,
    /// What the head's spans are of.
    text: Vec<u8>,
    given: Vec<Field>,
    /// What the wire itself has to say to the web server.
    replies: Vec<u8>,
    /// Whether any byte of a request has come.
    begun: bool,
}

/// What is spoken, and what of a request is not in its head.
enum Wire {
    Cgi,
    Scgi,
    Uwsgi,
    FastCgi { reader: fastcgi::Reader, request: Box<fastcgi::Request>, body: Option<fastcgi::body::Reader> },
    Ajp { guard: Guard, request: Box<ajp::Request>, body: Option<ajp::body::Reader> },
}

impl Reader {
    /// A reader that expects a request.
    pub fn new(protocol: Protocol, limits: Limits) -> Reader {
        let wire = match protocol {
            Protocol::Cgi => Wire::Cgi,
            Protocol::Scgi => Wire::Scgi,
            Protocol::Uwsgi => Wire::Uwsgi,
            Protocol::FastCgi => {
                Wire::FastCgi { reader: fastcgi::Reader::new(limits.variables()), request: Box::default(), body: None }
            }
            Protocol::Ajp(guard) => Wire::Ajp { guard, request: Box::default(), body: None },
        };
        Reader { wire, limits, text: Vec::new(), given: Vec::new(), replies: Vec::new(), begun: false }
    }

    /// A reader that expects a request, with the memory of this one, or little more than so many bytes of each of its buffers.
    pub fn renew(mut self: Box<Reader>, protocol: Protocol, limits: Limits, keep: usize) -> Box<Reader> {
        let fresh = Reader::new(protocol, limits);
        let Reader { mut text, mut given, mut replies, .. } = std::mem::replace(&mut *self, fresh);
        empty(&mut text, keep);
        empty(&mut given, keep);
        empty(&mut replies, keep);
        (self.text, self.given, self.replies) = (text, given, replies);
        self
    }

    /// Takes what it can of `input`, which begins behind what was taken before: how many bytes that was, and whether the head is whole. Then
    /// its spans are of [`Reader::text`], and the body follows.
    ///
    /// # Errors
    /// When the rules are broken; then nothing on this connection can be trusted any more.
    pub fn read(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, bool), Refusal> {
        let limits = self.limits.variables();
        self.begun |= !input.is_empty();
        let taken = match &mut self.wire {
            Wire::Cgi => return self.read_cgi(input, head),
            Wire::Scgi => scgi::read(input, limits, &mut self.given)?,
            Wire::Uwsgi => uwsgi::read(input, limits, &mut self.given)?,
            Wire::FastCgi { .. } => return self.read_fastcgi(input, head),
            Wire::Ajp { .. } => return self.read_ajp(input, limits, head),
        };
        let Some(taken) = taken else { return Ok((0, false)) };
        self.text.clear();
        self.text.extend_from_slice(&input[..taken]);
        head::fill(&mut self.text, Given { variables: &self.given, fields: &[] }, self.limits, head)?;
        self.begun = false;
        Ok((taken, true))
    }

    /// The variables of an environment.
    fn read_cgi(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, bool), Refusal> {
        // No variable is empty, so two NULs are the end.
        let Some(end) = memchr::memmem::find(input, b"\0\0") else { return Ok((0, false)) };
        let pairs = input[..end].split(|byte| *byte == 0).filter_map(|pair| {
            let at = memchr::memchr(b'=', pair)?;
            Some((&pair[..at], &pair[at + 1..]))
        });
        cgi::read(pairs, self.limits.variables(), &mut self.text, &mut self.given)?;
        head::fill(&mut self.text, Given { variables: &self.given, fields: &[] }, self.limits, head)?;
        self.begun = false;
        Ok((end + 2, true))
    }

    /// A request's own records.
    fn read_fastcgi(&mut self, input: &[u8], head: &mut Head) -> Result<(usize, bool), Refusal> {
        let Wire::FastCgi { reader, request, body } = &mut self.wire else { return Ok((0, false)) };
        let Some(taken) = reader.read(input, request)? else { return Ok((0, false)) };
        if request.role != Role::Responder {
            return Err(Refusal { status: UNKNOWN_ROLE, why: "the web server wants a role that is not ours" });
        }
        std::mem::swap(&mut self.text, &mut request.text);
        let given = Given { variables: &request.variables, fields: &[] };
        head::fill(&mut self.text, given, self.limits, head)?;
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::None if head.fields.iter().any(|field| field.name.of(&self.text) == b"CONTENT-LENGTH") => Some(0),
            Framing::None | Framing::Chunked => None,
        };
        *body = Some(fastcgi::body::Reader::new(request.id, length, self.limits.body.body_bytes_max)?);
        // Its end is a record of its own, always.
        head.framing = Framing::Chunked;
        head.keep_alive = request.keeps;
        self.begun = false;
        Ok((taken, true))
    }

    /// Packets up to a request; those that are none are answered, or nothing to us.
    fn read_ajp(&mut self, input: &[u8], limits: variables::Limits, head: &mut Head) -> Result<(usize, bool), Refusal> {
        let Wire::Ajp { guard, request, .. } = &mut self.wire else { return Ok((0, false)) };
        let mut at = 0;
        loop {
            let Some((wish, taken)) = ajp::read(&input[at..], limits, request)? else {
                self.begun = at < input.len();
                return Ok((at, false));
            };
            at += taken;
            match wish {
                Wish::Request => break,
                Wish::Pong => self.replies.extend_from_slice(ajp::answer::PONG),
                Wish::Nothing => {}
            }
        }
        match guard {
            Guard::Open => {}
            Guard::Secret(secret) if request.knows(secret.as_bytes()) => {}
            Guard::Secret(_) => return Err(Refusal { status: 403, why: "the web server does not know the secret" }),
            Guard::Closed => {
                return Err(Refusal { status: 403, why: "without a secret only trusted web servers are served" });
            }
        }
        std::mem::swap(&mut self.text, &mut request.text);
        let given = Given { variables: &request.variables, fields: &request.fields };
        head::fill(&mut self.text, given, self.limits, head)?;
        (head.framing, head.keep_alive) = (request.framing, true);
        self.begun = false;
        Ok((at, true))
    }

    /// Whether the wire itself says where a body ends, and not its Content-Length alone: then it is read here.
    ///
    /// # Errors
    /// 413 when the Content-Length alone is over the limit.
    pub fn open_body(&mut self, framing: Framing) -> Result<bool, Refusal> {
        match &mut self.wire {
            Wire::Cgi | Wire::Scgi | Wire::Uwsgi => Ok(false),
            // It was opened with the head, whose length it must have.
            Wire::FastCgi { .. } => Ok(true),
            Wire::Ajp { body, .. } => {
                *body = Some(ajp::body::Reader::new(framing, self.limits.body.body_bytes_max)?);
                Ok(true)
            }
        }
    }

    /// As [`body::Reader::read`], of a body that was opened.
    ///
    /// # Errors
    /// As there.
    pub fn read_body(&mut self, input: &[u8]) -> Result<body::Piece, Refusal> {
        match &mut self.wire {
            Wire::FastCgi { body: Some(body), .. } => body.read(input),
            Wire::Cgi | Wire::Scgi | Wire::Uwsgi | Wire::FastCgi { body: None, .. } | Wire::Ajp { body: None, .. } => {
                Ok(body::Piece { taken: 0, data: 0..0, complete: true })
            }
            Wire::Ajp { body: Some(body), .. } => body.read(input),
        }
    }

    /// Asks for more of the body, where that has to be asked for.
    pub fn ask_for_body(&mut self) {
        if let Wire::Ajp { body: Some(body), .. } = &mut self.wire {
            body.ask(&mut self.replies);
        }
    }

    /// Whether more of the body would have to be asked for, and was not.
    pub fn is_body_unasked(&self) -> bool {
        matches!(&self.wire, Wire::Ajp { body: Some(body), .. } if body.is_owed())
    }

    /// Whether the body that was opened ends where `input` begins.
    pub fn is_body_empty(&self, input: &[u8]) -> bool {
        matches!((&self.wire, input), (Wire::FastCgi { .. }, [1, 5, _, _, 0, 0, ..]))
    }

    /// Takes what the wire itself has to say to the web server.
    pub fn reply(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.replies);
    }

    /// What the spans of the last head are of.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether any byte of the next request has been seen.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// A request of this number is about to come, and is answered under that even if nothing else of it is right.
    pub fn expect(&mut self, id: u16) {
        if let Wire::FastCgi { request, .. } = &mut self.wire {
            request.id = id;
        }
    }

    /// Forgets what it has read of a request.
    pub fn forget(&mut self) {
        self.begun = false;
        if let Wire::FastCgi { reader, body, .. } = &mut self.wire {
            (*reader, *body) = (fastcgi::Reader::new(self.limits.variables()), None);
        }
    }

    /// Whether the web server wants to keep the connection behind its request.
    pub fn keeps(&self) -> bool {
        match &self.wire {
            Wire::Cgi | Wire::Scgi | Wire::Uwsgi => false,
            Wire::FastCgi { request, .. } => request.keeps,
            Wire::Ajp { .. } => true,
        }
    }

    /// How answers are put.
    pub fn manner(&self) -> Manner {
        match &self.wire {
            Wire::Cgi | Wire::Scgi => Manner::Cgi,
            Wire::Uwsgi => Manner::Uwsgi,
            Wire::FastCgi { request, .. } => Manner::FastCgi(request.id),
            Wire::Ajp { .. } => Manner::Ajp,
        }
    }
}
