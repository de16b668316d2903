//! The head of a request: BEGIN_REQUEST, then PARAMS up to the empty one (FastCGI Specification 1.0, 5.1, 5.2).
//!
//! A pair may stand in several records, so content is gathered and then read. What was gathered is not looked at again.

use super::pairs;
use super::record::{HEADER, Header, Kind, check_version};
use crate::wire::variables::{self, Limits, bad};
use crate::wire::{Field, Refusal};

/// What a web server wants of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// An answer to a request.
    #[default]
    Responder,
    /// Something that we do not do: it is to be told UNKNOWN_ROLE.
    Other(u16),
}

/// A request, reused from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Its number on its connection.
    pub id: u16,
    /// What is wanted.
    pub role: Role,
    /// Whether the connection is to be kept (FCGI_KEEP_CONN).
    pub keeps: bool,
    /// What the spans are of.
    pub text: Vec<u8>,
    /// In order.
    pub variables: Vec<Field>,
}

/// Reads the head off a growing buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Limits,
    /// Where the record begins that is not yet read.
    at: usize,
    /// Whether BEGIN_REQUEST has been read.
    has_begun: bool,
}

/// What a request's first record is.
const BEGIN: usize = HEADER + 8;

const RESPONDER: u16 = 1;

const KEEP_CONN: u8 = 1;

impl Reader {
    /// A reader that expects a request. The limit of bytes is one of whole records.
    pub fn new(limits: Limits) -> Reader {
        Reader { limits, at: 0, has_begun: false }
    }

    /// Looks for a head at the start of `input`, which begins where the request's records begin and is the same bytes as in the call
    /// before plus more. `None`: more is needed. `Some(n)`: `request` is filled, its head took `n` bytes, and the reader expects the next
    /// one. Of a role that is not ours there is no more than its first record.
    ///
    /// # Errors
    /// When it is no request, or one above the limits; no more of its records can be trusted.
    pub fn read(&mut self, input: &[u8], request: &mut Request) -> Result<Option<usize>, Refusal> {
        if !self.has_begun && !self.begin(input, request)? {
            return Ok(None);
        }
        let is_ours = request.role == Role::Responder;
        if is_ours && !self.gather(input, request)? {
            return Ok(None);
        }
        if is_ours {
            self.split(request)?;
        }
        let taken = self.at;
        *self = Reader::new(self.limits);
        Ok(Some(taken))
    }

    /// BEGIN_REQUEST; whether it is whole.
    fn begin(&mut self, input: &[u8], request: &mut Request) -> Result<bool, Refusal> {
        let Some(header) = header(input)? else { return Ok(false) };
        if header.kind != Kind::BeginRequest || header.id == 0 {
            return Err(bad("the request does not begin with BEGIN_REQUEST"));
        }
        if header.length != 8 {
            return Err(bad("BEGIN_REQUEST has not eight bytes"));
        }
        let Some(&[.., high, low, flags, _, _, _, _, _]) = input.first_chunk::<BEGIN>() else { return Ok(false) };
        (request.id, request.keeps) = (header.id, flags & KEEP_CONN != 0);
        request.role = match u16::from_be_bytes([high, low]) {
            RESPONDER => Role::Responder,
            other => Role::Other(other),
        };
        request.text.clear();
        request.variables.clear();
        self.at = BEGIN + usize::from(header.padding);
        self.has_begun = request.role == Role::Responder || input.len() >= self.at;
        Ok(self.has_begun)
    }

    /// PARAMS, as far as whole records have come; whether the last one has.
    fn gather(&mut self, input: &[u8], request: &mut Request) -> Result<bool, Refusal> {
        loop {
            let rest = input.get(self.at..).unwrap_or_default();
            let Some(header) = header(rest)? else { return Ok(false) };
            if header.kind != Kind::Params || header.id != request.id {
                return Err(bad("a record stands where PARAMS of the request must"));
            }
            let end = HEADER + usize::from(header.length);
            let next = self.at + end + usize::from(header.padding);
            if next > self.limits.bytes_max {
                return Err(variables::TOO_LONG);
            }
            let Some(content) = rest.get(HEADER..end).filter(|_| next <= input.len()) else { return Ok(false) };
            request.text.extend_from_slice(content);
            self.at = next;
            if content.is_empty() {
                return Ok(true);
            }
        }
    }

    /// The pairs of what was gathered.
    fn split(&self, request: &mut Request) -> Result<(), Refusal> {
        let mut at = 0;
        while let Some(pair) = pairs::next(&request.text, &mut at)? {
            variables::add(&request.text, pair, self.limits, &mut request.variables)?;
        }
        Ok(())
    }
}

/// The header that `bytes` begin with, once it is whole.
fn header(bytes: &[u8]) -> Result<Option<Header>, Refusal> {
    if let Some(&version) = bytes.first() {
        check_version(version)?;
    }
    bytes.first_chunk().map(|header| Header::read(*header)).transpose()
}
