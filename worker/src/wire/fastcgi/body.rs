//! The body of a request: STDIN up to the empty one (FastCGI Specification 1.0, 5.3).
//!
//! ```text
//!   Header -> Content -> Padding -> Header …    behind the empty record: -> Done
//! ```
//!
//! A body with a CONTENT_LENGTH has as much content; one without ends with its stream.

use super::record::{HEADER, Header, Kind, check_version};
use crate::wire::Refusal;
use crate::wire::http::body::Piece;
use crate::wire::variables::bad;

/// Tells content from records in one body.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    at: Place,
    id: u16,
    /// Bytes of content that may still come.
    left: u64,
    /// Whether so many must.
    is_exact: bool,
}

/// Where in the body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Within a header, so much of which has come.
    Header([u8; HEADER], usize),
    /// Within content, of which so much is to come, and then so much padding.
    Content(usize, u8),
    /// Within padding, of which so much is to come. Behind that of an empty record nothing is.
    Padding(u8, Next),
    /// Behind the last record.
    Done,
}

/// What follows a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Another,
    Nothing,
}

impl Reader {
    /// A reader of the body of the request of this number, which has so many bytes by its CONTENT_LENGTH, and at most as many as the limit.
    ///
    /// # Errors
    /// 413 when the CONTENT_LENGTH alone is over the limit.
    pub fn new(id: u16, content_length: Option<u64>, body_bytes_max: u64) -> Result<Reader, Refusal> {
        if content_length.is_some_and(|length| length > body_bytes_max) {
            return Err(TOO_LARGE);
        }
        let left = content_length.unwrap_or(body_bytes_max);
        Ok(Reader { at: Place::Header([0; HEADER], 0), id, left, is_exact: content_length.is_some() })
    }

    /// Goes through `input`, which begins behind what was taken before, up to the end of the first content in it. Nothing taken and not
    /// complete: more is needed. Call it again until then.
    ///
    /// # Errors
    /// 400 where a record is none of the body's or its length is not what was said, 413 where the limit is.
    pub fn read(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            match self.at {
                Place::Done => break,
                Place::Padding(0, Next::Another) => self.at = Place::Header([0; HEADER], 0),
                Place::Padding(0, Next::Nothing) => self.at = Place::Done,
                _ if rest.is_empty() => break,
                Place::Header(header, count) => {
                    let more = rest.len().min(HEADER - count);
                    self.at = self.take_header((header, count), &rest[..more])?;
                    taken += more;
                }
                Place::Content(left, padding) => {
                    let length = rest.len().min(left);
                    self.left -= length as u64;
                    self.at = match left - length {
                        0 => Place::Padding(padding, Next::Another),
                        left => Place::Content(left, padding),
                    };
                    return Ok(Piece { taken: taken + length, data: taken..taken + length, complete: false });
                }
                Place::Padding(left, next) => {
                    let length = rest.len().min(left.into());
                    self.at = Place::Padding(left - length as u8, next);
                    taken += length;
                }
            }
        }
        Ok(Piece { taken, data: taken..taken, complete: self.at == Place::Done })
    }

    /// More bytes of a header, and where they lead.
    fn take_header(&self, (mut header, count): ([u8; HEADER], usize), more: &[u8]) -> Result<Place, Refusal> {
        header[count..count + more.len()].copy_from_slice(more);
        check_version(header[0])?;
        if count + more.len() < HEADER {
            return Ok(Place::Header(header, count + more.len()));
        }
        let header = Header::read(header)?;
        if header.kind != Kind::Stdin || header.id != self.id {
            return Err(bad("a record stands where STDIN of the request must"));
        }
        match u64::from(header.length) {
            0 if self.is_exact && self.left > 0 => Err(bad("the body is shorter than its CONTENT_LENGTH")),
            0 => Ok(Place::Padding(header.padding, Next::Nothing)),
            length if length <= self.left => Ok(Place::Content(header.length.into(), header.padding)),
            _ if self.is_exact => Err(bad("the body is longer than its CONTENT_LENGTH")),
            _ => Err(TOO_LARGE),
        }
    }
}

const TOO_LARGE: Refusal = Refusal { status: 413, why: "the body is longer than the limit" };
