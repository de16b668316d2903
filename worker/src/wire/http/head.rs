//! The head of a request, off a growing buffer (RFC 9112 2.2).
//!
//! Line ends are looked for in new bytes alone, so a head costs the same however it is cut; what can be refused early
//! (a limit, a bare LF, another protocol, a bad request line) is refused early and at the same byte; the rest is read once the head is there.
//! Known fault: a field line is judged only with the whole head, so a client that stops after a bad one waits for its time-out.

use memchr::memchr2;

use super::fields;
use super::grammar::is_token_byte;
use super::line::Line;
use crate::wire::{Head, Refusal};

/// Empty lines skipped before a request (RFC 9112 2.2 asks for at least one). Fewer would refuse old clients that end a body
/// with one too many; with no end to them a client could keep a connection busy for ever without a request.
const EMPTY_LINES_MAX: usize = 8;

/// No head is longer, whatever the limits say, because offsets into it have 32 bits.
const HEAD_BYTES_END: usize = 1 << 30;

/// What a head may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request line without its line end. Above it: 414.
    pub request_line_max: usize,
    /// Field lines. Above it: 431.
    pub header_count_max: usize,
    /// Bytes of the whole head from the request line to the empty line, that included. Above it: 431.
    pub header_bytes_max: usize,
}

/// Reads heads off a growing buffer.
#[derive(Clone, Debug)]
pub struct Reader {
    limits: Limits,
    at: Place,
}

/// How far the reader is in one request.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Where the request line begins: behind the empty lines.
    start: usize,
    /// Where the line that is being looked at begins.
    line: usize,
    /// Bytes that hold no line end not yet accounted for.
    scanned: usize,
    /// Empty lines skipped before the request line.
    skipped: usize,
    /// The request line, once it is complete, and where the fields begin.
    request: Option<(Line, usize)>,
    /// Complete field lines.
    count: usize,
    /// Whether the request line has a first byte.
    begun: bool,
}

impl Reader {
    /// A reader that expects a request.
    pub fn new(limits: Limits) -> Reader {
        let header_bytes_max = limits.header_bytes_max.min(HEAD_BYTES_END);
        // A request line that is longer than a head may be is too long by both limits; 414 is the better answer.
        let request_line_max = limits.request_line_max.min(header_bytes_max);
        let limits = Limits { request_line_max, header_bytes_max, ..limits };
        Reader { limits, at: Place::default() }
    }

    /// Looks for a head at the start of `input`, which begins where the request begins and is the same bytes as in the
    /// call before plus more. `None`: more is needed. `Some(n)`: `head` is filled, its spans are of `input`, it took `n` bytes
    /// with any empty lines before it, and the reader expects the next request, for which `input` begins behind this one's body.
    ///
    /// # Errors
    /// When the rules are broken; then nothing on this connection can be trusted any more, and the reader is of no further use.
    pub fn read(&mut self, input: &[u8], head: &mut Head) -> Result<Option<usize>, Refusal> {
        let Some((line, start)) = self.find_end(input)? else {
            return Ok(None);
        };
        let end = self.at.scanned;
        line.begin(head);
        fields::read(&input[..end], start, self.at.count, head)?;
        self.at = Place::default();
        Ok(Some(end))
    }

    /// Whether any byte of a request has been seen. An empty line before it does not count.
    pub fn has_begun(&self) -> bool {
        self.at.begun
    }

    /// Goes from line end to line end until the empty line that ends the head.
    fn find_end(&mut self, input: &[u8]) -> Result<Option<(Line, usize)>, Refusal> {
        loop {
            self.check_first_byte(input)?;
            let fresh = input.get(self.at.scanned..).unwrap_or_default();
            let Some(end) = memchr2(b'\r', b'\n', fresh).map(|found| self.at.scanned + found) else {
                self.at.scanned = self.at.scanned.max(input.len());
                return self.check_length(input.len()).map(|()| None);
            };
            self.check_length(end)?;
            match (input[end], input.get(end + 1)) {
                (b'\r', Some(b'\n')) => {}
                (b'\r', None) => {
                    self.at.scanned = end;
                    return Ok(None);
                }
                (b'\r', Some(_)) => return Err(bad("a CR stands alone in the head")),
                _ => return Err(bad("a line of the head ends with a bare LF")),
            }
            self.at.scanned = end + 2;
            if let Some(found) = self.take_line(input, end)? {
                return Ok(Some(found));
            }
        }
    }

    /// Tells another protocol by the first byte of the request, for such a client may wait for us to speak (RFC 9112 2.2).
    fn check_first_byte(&mut self, input: &[u8]) -> Result<(), Refusal> {
        if self.at.begun {
            return Ok(());
        }
        match input.get(self.at.start) {
            None | Some(b'\r' | b'\n') => Ok(()),
            Some(0x16) => Err(bad("this is TLS, and HTTP is spoken here")),
            Some(&byte) if is_token_byte(byte) => {
                self.at.begun = true;
                Ok(())
            }
            Some(_) => Err(bad("the request does not begin with a method")),
        }
    }

    /// Refuses when the line, were it to end at `end`, is a request line that is too long (RFC 9112 3), or the head is (RFC 6585 5).
    fn check_length(&self, end: usize) -> Result<(), Refusal> {
        if self.at.request.is_none() && end.saturating_sub(self.at.line) > self.limits.request_line_max {
            return Err(Refusal { status: 414, why: "the request line is longer than the limit" });
        }
        self.check_head_length(end)
    }

    /// Refuses when a head that ends at `end` is too long.
    fn check_head_length(&self, end: usize) -> Result<(), Refusal> {
        if end.saturating_sub(self.at.start) > self.limits.header_bytes_max {
            return Err(Refusal { status: 431, why: "the head is longer than the limit" });
        }
        Ok(())
    }

    /// Takes the line that ends at `end` for what it is. The empty line behind a request line gives the whole back.
    fn take_line(&mut self, input: &[u8], end: usize) -> Result<Option<(Line, usize)>, Refusal> {
        let next = self.at.scanned;
        let is_empty = end == self.at.line;
        match self.at.request {
            None if is_empty => {
                self.at.skipped += 1;
                self.at.start = next;
                if self.at.skipped > EMPTY_LINES_MAX {
                    return Err(bad("too many empty lines before the request"));
                }
            }
            None => {
                self.check_head_length(next)?;
                self.at.request = Some((Line::read(input, self.at.line, end)?, next));
            }
            Some(found) => {
                self.check_head_length(next)?;
                if is_empty {
                    return Ok(Some(found));
                }
                self.at.count += 1;
                if self.at.count > self.limits.header_count_max {
                    return Err(Refusal { status: 431, why: "there are more header fields than the limit" });
                }
            }
        }
        self.at.line = next;
        Ok(None)
    }
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}
