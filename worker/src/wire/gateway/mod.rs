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

use super::http::{body, head as http};
use super::{Field, Head, Refusal, scgi, uwsgi, variables};

/// What a gateway speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// SCGI.
    Scgi,
    /// uwsgi.
    Uwsgi,
}

/// What a request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Its head.
    pub head: http::Limits,
    /// Its body.
    pub body: body::Limits,
}

/// Reads the requests of one connection.
#[derive(Clone, Debug)]
pub struct Reader {
    protocol: Protocol,
    limits: Limits,
    /// What the head's spans are of.
    text: Vec<u8>,
    given: Vec<Field>,
    /// Whether any byte of a request has come.
    begun: bool,
}

impl Reader {
    /// A reader that expects a request.
    pub fn new(protocol: Protocol, limits: Limits) -> Reader {
        Reader { protocol, limits, text: Vec::new(), given: Vec::new(), begun: false }
    }

    /// Takes what it can of `input`, which begins behind what was taken before. `Some`: the head is whole, its spans are of
    /// [`Reader::text`], and so many bytes were taken of `input`, the body behind them. `None`: more is needed, with the same bytes before it.
    ///
    /// # Errors
    /// When the rules are broken; then nothing on this connection can be trusted any more.
    pub fn read(&mut self, input: &[u8], head: &mut Head) -> Result<Option<usize>, Refusal> {
        self.begun |= !input.is_empty();
        let limits = variables::Limits {
            count_max: self.limits.head.header_count_max + head::META_MAX,
            bytes_max: self.limits.head.header_bytes_max,
        };
        let taken = match self.protocol {
            Protocol::Scgi => scgi::read(input, limits, &mut self.given)?,
            Protocol::Uwsgi => uwsgi::read(input, limits, &mut self.given)?,
        };
        let Some(taken) = taken else { return Ok(None) };
        self.text.clear();
        self.text.extend_from_slice(&input[..taken]);
        head::fill(&mut self.text, &self.given, self.limits, head)?;
        self.begun = false;
        Ok(Some(taken))
    }

    /// What the spans of the last head are of.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether any byte of the next request has been seen.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// How answers are put.
    pub fn manner(&self) -> answer::Manner {
        match self.protocol {
            Protocol::Scgi => answer::Manner::Cgi,
            Protocol::Uwsgi => answer::Manner::Uwsgi,
        }
    }
}
