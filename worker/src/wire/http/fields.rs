//! The fields of a request, and what they say of its framing, its host and its connection (RFC 9110 5, RFC 9112 5 to 7, 9).
//!
//! httparse splits the lines; it already insists on tokens as names, on the colon behind them, on values without control
//! characters, and has no line folding. The head's reader has seen to CRLF. Here is what the fields mean.
//!
//! Rule: no repairs. Two Content-Length are refused even when equal, Transfer-Encoding beside Content-Length or in HTTP/1.0 too.

use httparse::{EMPTY_HEADER, Error, Header, Status};

use super::authority::is_authority;
use super::grammar::{NotANumber, decimal, is_token, members};
use crate::wire::{Field, Framing, Head, Refusal, Span, Version};

/// Up to so many fields are split on the stack; browsers send about twenty. More of them cost every head the clearing of the place,
/// fewer cost usual requests an allocation.
const FEW: usize = 24;

/// Reads the `count` field lines that stand in `input` from `start` on, the empty line behind them included, into `head`.
///
/// # Errors
/// When a rule is broken: 400, 413, 417 or 501.
pub fn read(input: &[u8], start: usize, count: usize, head: &mut Head) -> Result<(), Refusal> {
    if count <= FEW {
        return read_with(&mut [EMPTY_HEADER; FEW], input, start, head);
    }
    read_with(&mut vec![EMPTY_HEADER; count], input, start, head)
}

fn read_with<'a>(room: &mut [Header<'a>], input: &'a [u8], start: usize, head: &mut Head) -> Result<(), Refusal> {
    let fields = match httparse::parse_headers(&input[start..], room) {
        Ok(Status::Complete((_, fields))) => fields,
        Ok(Status::Partial) | Err(Error::NewLine) => {
            return Err(bad("a line of the head has no proper end"));
        }
        Err(Error::HeaderValue) => return Err(bad("a field value has a control character")),
        Err(_) => return Err(bad("a field line is no token followed by a colon")),
    };
    let place = |bytes: &[u8]| {
        let offset = bytes.as_ptr() as usize - input.as_ptr() as usize;
        Span::new(offset, offset + bytes.len())
    };
    let mut facts = Facts::default();
    for field in fields {
        facts.note(field.name.as_bytes(), field.value)?;
        head.fields.push(Field { name: place(field.name.as_bytes()), value: place(field.value) });
    }
    facts.conclude(head)?;
    // Whatever follows a CONNECT may be meant for the other end of the tunnel that it did not get (RFC 9110 9.3.6).
    head.keep_alive &= head.method.of(input) != b"CONNECT";
    Ok(())
}

/// What the fields say together.
#[derive(Default)]
struct Facts {
    has_host: bool,
    length: Option<u64>,
    chunked: bool,
    expectation: Expectation,
    close: bool,
    keep_alive: bool,
}

/// What the client expects before it goes on (RFC 9110 10.1.1).
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl Facts {
    /// Looks at one field. By its length first, for most fields are none of these.
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.expect(value);
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection(value);
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            _ => Ok(()),
        }
    }

    /// One, and a valid one; empty when the client has no name for us (RFC 9112 3.2).
    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.has_host {
            return Err(bad("there are two Host fields"));
        }
        self.has_host = true;
        if value.is_empty() || is_authority(value) {
            return Ok(());
        }
        Err(bad("the Host field is no host with or without a port"))
    }

    /// RFC 9110 10.1.1.
    fn expect(&mut self, value: &[u8]) {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            self.expectation = Expectation::Unknown;
        } else if self.expectation == Expectation::Nothing {
            self.expectation = Expectation::Continue;
        }
    }

    /// A list, over any number of lines (RFC 9110 7.6.1).
    fn connection(&mut self, value: &[u8]) {
        for option in members(value) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// 1*DIGIT, once (RFC 9110 8.6, RFC 9112 6.3).
    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(bad("there are two Content-Length fields"));
        }
        match decimal(value) {
            Ok(length) => self.length = Some(length),
            Err(NotANumber::Malformed) => return Err(bad("the Content-Length is no number")),
            Err(NotANumber::TooLarge) => {
                return Err(Refusal { status: 413, why: "the Content-Length is beyond all limits" });
            }
        }
        Ok(())
    }

    /// `chunked`, once and alone: other codings we do not know, and no coding may follow it (RFC 9112 6.1, 6.3, 7).
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for coding in members(value) {
            if self.chunked {
                return Err(bad("a transfer coding follows chunked"));
            }
            if coding.eq_ignore_ascii_case(b"chunked") {
                self.chunked = true;
                continue;
            }
            let name = coding.split(|&byte| b"; \t".contains(&byte)).next().unwrap_or_default();
            if !is_token(name) {
                return Err(bad("the Transfer-Encoding is malformed"));
            }
            if name.eq_ignore_ascii_case(b"chunked") {
                return Err(bad("chunked has parameters"));
            }
            return Err(Refusal { status: 501, why: "only the transfer coding chunked is known here" });
        }
        Ok(())
    }

    /// What follows from all of them for the request.
    fn conclude(self, head: &mut Head) -> Result<(), Refusal> {
        head.framing = self.framing(head.version)?;
        match head.version {
            Version::Http10 => {
                // It knows no 100 (RFC 9110 15.2), and goes on only when it asks to (RFC 9112 9.3).
                head.expects_continue = false;
                head.keep_alive = self.keep_alive && !self.close;
            }
            Version::Http11 => {
                if !self.has_host {
                    return Err(bad("there is no Host field"));
                }
                if self.expectation == Expectation::Unknown {
                    return Err(Refusal { status: 417, why: "the only expectation known here is 100-continue" });
                }
                // Without a body there is nothing to wait for (RFC 9110 10.1.1).
                head.expects_continue = self.expectation == Expectation::Continue && head.framing != Framing::None;
                head.keep_alive = !self.close;
            }
        }
        Ok(())
    }

    /// RFC 9112 6.3, strictest reading.
    fn framing(&self, version: Version) -> Result<Framing, Refusal> {
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(bad("there are both Transfer-Encoding and Content-Length")),
            (true, None) if version == Version::Http10 => Err(bad("there is a Transfer-Encoding in HTTP/1.0")),
            (true, None) => Ok(Framing::Chunked),
            (false, None | Some(0)) => Ok(Framing::None),
            (false, Some(length)) => Ok(Framing::Length(length)),
        }
    }
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}
