//! The body of a request: how much of what comes is content (RFC 9112 6, 7.1).
//!
//! ```text
//!   a chunk:     Size -> Digits [-> Gap] [-> Extension] -> SizeEnd -> Data -> DataCr -> DataLf -> Size …
//!   behind the last one, whose size is 0:               -> Line -> Name -> Value -> LineEnd -> Line …
//!                                                          Line -> LastLf -> Done
//! ```
//!
//! Every byte that is no content is looked at once and used up, so a body costs the same however it is cut, nothing has to be
//! kept for the reader, and there is no line that it would have to wait for. Content is never copied nor looked at.
//!
//! Rules: every line ends with CRLF, also where RFC 9112 2.2 would allow less; chunk extensions and trailers are
//! checked, limited and dropped (RFC 9112 7.1.1, 7.1.2).

use std::ops::Range;

use super::grammar::{is_text_byte, is_token_byte};
use crate::wire::{Framing, Refusal};

/// Bytes of one body that chunk extensions and leading zeros of sizes may take together. Nobody sends extensions; less would refuse
/// a proxy that signs its chunks, more lets a client move bytes that no limit counts.
const EXTENSION_BYTES_MAX: u32 = 16 * 1024;

/// Digits of the largest size.
const DIGITS: u32 = u64::BITS / 4;

/// What a body may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of content, decoded. Above it: 413.
    pub body_bytes_max: u64,
    /// Bytes of the trailer fields, their line ends included. Above it: 431.
    pub trailer_bytes_max: usize,
}

/// What a call found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the input that are used up.
    pub taken: usize,
    /// Those of them that are content; may be none.
    pub data: Range<usize>,
    /// Whether the body ends behind what was taken.
    pub complete: bool,
}

/// Tells content from framing in one body.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    at: Place,
    /// Bytes of content to come: of the body by Content-Length, else of the chunk.
    left: u64,
    /// Bytes of content that later chunks may have.
    allowed: u64,
    /// Bytes that extensions and leading zeros may still take.
    extension: u32,
    /// Bytes that the trailer section may still take.
    trailer: usize,
}

/// Where in the body the reader is: what it expects next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Content by Content-Length.
    Whole,
    /// Something around a chunk.
    Frame(Frame),
    /// Content of a chunk.
    Data,
    /// Something behind the last chunk.
    Trailer(Trailer),
    /// Nothing.
    Done,
}

/// Around a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// The first digit of a size.
    Size,
    /// More digits, or what may follow them; so many came.
    Digits(u32),
    /// White space before the semicolon of an extension.
    Gap,
    /// The rest of the extensions.
    Extension,
    /// The rest of a quoted value in an extension.
    Quoted,
    /// The byte behind a backslash in there.
    Escaped,
    /// The LF of the size line.
    SizeEnd,
    /// The CR behind content.
    DataCr,
    /// The LF behind that.
    DataLf,
}

/// Behind the last chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailer {
    /// The first byte of a line, or the CR of the last line.
    Line,
    /// More of a name, or the colon.
    Name,
    /// More of a value, or the CR.
    Value,
    /// The LF of a line.
    LineEnd,
    /// The very last LF.
    LastLf,
}

impl Reader {
    /// A reader of a body that ends as `framing` says.
    ///
    /// # Errors
    /// 413 when the Content-Length alone is over the limit.
    pub fn new(framing: Framing, limits: Limits) -> Result<Reader, Refusal> {
        let (at, left) = match framing {
            Framing::None | Framing::Length(0) => (Place::Done, 0),
            Framing::Length(length) if length > limits.body_bytes_max => return Err(TOO_LARGE),
            Framing::Length(length) => (Place::Whole, length),
            Framing::Chunked => (Place::Frame(Frame::Size), 0),
        };
        let (allowed, trailer) = (limits.body_bytes_max, limits.trailer_bytes_max);
        Ok(Reader { at, left, allowed, extension: EXTENSION_BYTES_MAX, trailer })
    }

    /// Goes through `input`, which begins behind what was taken before, up to the end of the first content in it. Nothing taken
    /// and not complete: more is needed. Call it again until then.
    ///
    /// # Errors
    /// 400 where the coding is broken, 413 and 431 where a limit is; nothing after it can be trusted.
    pub fn read(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let mut taken = 0;
        while taken < input.len() {
            match self.at {
                Place::Whole | Place::Data => {
                    let data = self.take_content(taken, input.len());
                    return Ok(Piece { taken: data.end, data, complete: self.at == Place::Done });
                }
                Place::Frame(frame) => self.at = self.take_frame(frame, input[taken])?,
                Place::Trailer(trailer) => self.at = self.take_trailer(trailer, input[taken])?,
                Place::Done => break,
            }
            taken += 1;
        }
        Ok(Piece { taken, data: taken..taken, complete: self.at == Place::Done })
    }

    /// How many bytes are left of a body that is nothing but content; `None` where there is anything around it.
    pub fn rest(&self) -> Option<u64> {
        (self.at == Place::Whole).then_some(self.left)
    }

    /// As much content as there is between `start` and `end` of the input.
    fn take_content(&mut self, start: usize, end: usize) -> Range<usize> {
        let length = usize::try_from(self.left).map_or(end - start, |left| left.min(end - start));
        self.left -= length as u64;
        if self.left == 0 {
            self.at = if self.at == Place::Whole { Place::Done } else { Place::Frame(Frame::DataCr) };
        }
        start..start + length
    }

    /// One byte of a size line, or of the line end behind content (RFC 9112 7.1), and where it leads.
    fn take_frame(&mut self, frame: Frame, byte: u8) -> Result<Place, Refusal> {
        let next = match (frame, byte) {
            (Frame::Size, _) if byte.is_ascii_hexdigit() => self.add_digit(0, byte)?,
            (Frame::Digits(count), _) if byte.is_ascii_hexdigit() => self.add_digit(count, byte)?,
            (Frame::Digits(_), b' ' | b'\t' | b';' | b'\r') => {
                // The chunk is taken off what is allowed before any of it is read.
                self.allowed = self.allowed.checked_sub(self.left).ok_or(TOO_LARGE)?;
                after_size(byte)
            }
            // White space there is bad, but must be read over (RFC 9110 5.6.3, BWS).
            (Frame::Gap, b' ' | b'\t' | b';') => {
                self.spend_extension()?;
                after_size(byte)
            }
            (Frame::Extension, b'\r') => Frame::SizeEnd,
            (Frame::Extension | Frame::Quoted | Frame::Escaped, _) if is_text_byte(byte) => {
                self.spend_extension()?;
                within_extension(frame, byte)
            }
            (Frame::SizeEnd, b'\n') if self.left == 0 => return Ok(Place::Trailer(Trailer::Line)),
            (Frame::SizeEnd, b'\n') => return Ok(Place::Data),
            (Frame::DataCr, b'\r') => Frame::DataLf,
            (Frame::DataLf, b'\n') => Frame::Size,
            (Frame::Size | Frame::Digits(_), _) => {
                return Err(bad("a chunk size is no hexadecimal number"));
            }
            (Frame::Gap, _) => return Err(bad("white space follows a chunk size")),
            (Frame::Extension | Frame::Quoted | Frame::Escaped, _) => {
                return Err(bad("a chunk extension has a control character or no closing quote"));
            }
            (Frame::SizeEnd, _) => return Err(bad("a chunk size line does not end with CRLF")),
            (Frame::DataCr | Frame::DataLf, _) => {
                return Err(bad("a chunk is longer than its size"));
            }
        };
        Ok(Place::Frame(next))
    }

    /// 1*HEXDIG without overflow; zeros in front are allowed but not for ever (RFC 9112 7.1).
    fn add_digit(&mut self, count: u32, digit: u8) -> Result<Frame, Refusal> {
        if self.left >> (u64::BITS - 4) != 0 {
            return Err(bad("a chunk size is beyond all limits"));
        }
        let value = char::from(digit).to_digit(16).unwrap_or_default();
        self.left = self.left << 4 | u64::from(value);
        if count >= DIGITS {
            self.spend_extension()?;
        }
        Ok(Frame::Digits(count.saturating_add(1)))
    }

    /// Takes a byte off what extensions and zeros may have.
    fn spend_extension(&mut self) -> Result<(), Refusal> {
        self.extension = self.extension.checked_sub(1).ok_or(bad("the chunk extensions are too long"))?;
        Ok(())
    }

    /// One byte of the trailer section, and where it leads. Fields by the rules of the head, forgotten at once (RFC 9110 6.5.1,
    /// RFC 9112 7.1.2).
    fn take_trailer(&mut self, trailer: Trailer, byte: u8) -> Result<Place, Refusal> {
        let next = match (trailer, byte) {
            (Trailer::Line, b'\r') => return Ok(Place::Trailer(Trailer::LastLf)),
            (Trailer::LastLf, b'\n') => return Ok(Place::Done),
            (Trailer::Line, _) if is_token_byte(byte) => Trailer::Name,
            (Trailer::Name, b':') => Trailer::Value,
            (Trailer::Name, _) if is_token_byte(byte) => Trailer::Name,
            (Trailer::Value, b'\r') => Trailer::LineEnd,
            (Trailer::Value, _) if is_text_byte(byte) => Trailer::Value,
            (Trailer::LineEnd, b'\n') => Trailer::Line,
            (Trailer::Line | Trailer::Name, _) => {
                return Err(bad("a trailer line is no token followed by a colon"));
            }
            (Trailer::Value, _) => return Err(bad("a trailer value has a control character")),
            (Trailer::LineEnd | Trailer::LastLf, _) => {
                return Err(bad("a trailer line does not end with CRLF"));
            }
        };
        let too_long = Refusal { status: 431, why: "the trailer section is longer than the limit" };
        self.trailer = self.trailer.checked_sub(1).ok_or(too_long)?;
        Ok(Place::Trailer(next))
    }
}

/// Where the byte behind a chunk size, or behind white space there, leads.
fn after_size(byte: u8) -> Frame {
    match byte {
        b'\r' => Frame::SizeEnd,
        b';' => Frame::Extension,
        _ => Frame::Gap,
    }
}

/// Where a byte within an extension leads: a quoted value must be closed before the line ends (RFC 9110 5.6.4).
fn within_extension(frame: Frame, byte: u8) -> Frame {
    match (frame, byte) {
        (Frame::Quoted, b'\\') => Frame::Escaped,
        (Frame::Quoted, b'"') => Frame::Extension,
        (Frame::Quoted | Frame::Escaped, _) | (_, b'"') => Frame::Quoted,
        (_, _) => Frame::Extension,
    }
}

const TOO_LARGE: Refusal = Refusal { status: 413, why: "the body is longer than the limit" };

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}
