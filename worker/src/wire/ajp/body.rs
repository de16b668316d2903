//! The body of a request by AJP13: packets of content, of which the first comes by itself when there is a Content-Length, and each other when
//! it is asked for (AJP Protocol Reference: Request Body Packet; GET_BODY_CHUNK).
//!
//! ```text
//!   of a length:   Header -> Content -> (ask) Header -> Content … until the length is reached
//!   chunked:       (ask) Header -> Content -> (ask) Header … until an empty packet
//! ```

use super::answer;
use super::{HEADER, MAGIC};
use crate::wire::http::body::Piece;
use crate::wire::variables::bad;
use crate::wire::{Framing, Refusal};

/// The header of a packet, and the length of its content; an empty packet may do without.
const START: usize = HEADER + 2;

/// Tells content from packets in one body.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    at: Place,
    /// Bytes that the body may still have; when it has a Content-Length, that it must.
    left: u64,
    framing: Framing,
}

/// Where in the body the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before a packet that must be asked for.
    Owed,
    /// Within the start of a packet, so much of which has come.
    Start([u8; START], usize),
    /// Within its content, of which so many bytes are to come.
    Content(u64),
    /// Behind the last packet.
    Done,
}

const BEGINNING: Place = Place::Start([0; START], 0);

impl Reader {
    /// A reader of a body that ends as `framing` says, and has so many bytes at most.
    ///
    /// # Errors
    /// 413 when the Content-Length alone is over the limit.
    pub fn new(framing: Framing, body_bytes_max: u64) -> Result<Reader, Refusal> {
        let (at, left) = match framing {
            Framing::None | Framing::Length(0) => (Place::Done, 0),
            Framing::Length(length) if length > body_bytes_max => return Err(TOO_LARGE),
            Framing::Length(length) => (BEGINNING, length),
            Framing::Chunked => (Place::Owed, body_bytes_max),
        };
        Ok(Reader { at, left, framing })
    }

    /// Whether the next packet must be asked for, and was not.
    pub fn is_owed(&self) -> bool {
        self.at == Place::Owed
    }

    /// Asks for the next packet, when one must be asked for.
    pub fn ask(&mut self, out: &mut Vec<u8>) {
        if self.at == Place::Owed {
            let most = match self.framing {
                Framing::Length(_) => self.left,
                Framing::None | Framing::Chunked => u64::MAX,
            };
            answer::ask(most, out);
            self.at = BEGINNING;
        }
    }

    /// Goes through `input`, which begins behind what was taken before, up to the end of the first content in it. Nothing taken and not
    /// complete: more is needed, for which [`Reader::ask`] may have to ask.
    ///
    /// # Errors
    /// 400 where a packet is broken, 413 where the limit is; nothing after it can be trusted.
    pub fn read(&mut self, input: &[u8]) -> Result<Piece, Refusal> {
        let mut taken = 0;
        loop {
            match (self.at, input.get(taken)) {
                (Place::Done, _) => return Ok(Piece { taken, data: taken..taken, complete: true }),
                (Place::Owed, None) | (Place::Start(..) | Place::Content(_), None) => {
                    return Ok(Piece { taken, data: taken..taken, complete: false });
                }
                (Place::Owed, Some(_)) => return Err(bad("a packet of the body comes before it is asked for")),
                (Place::Start(start, count), Some(&byte)) => {
                    self.at = self.take_start(start, count, byte)?;
                    taken += 1;
                }
                (Place::Content(left), Some(_)) => {
                    let length = (input.len() - taken).min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.take_content(left, length as u64);
                    let end = taken + length;
                    return Ok(Piece { taken: end, data: taken..end, complete: self.at == Place::Done });
                }
            }
        }
    }

    /// One byte of a packet's start, and where it leads.
    fn take_start(&self, mut start: [u8; START], count: usize, byte: u8) -> Result<Place, Refusal> {
        if count < MAGIC.len() && byte != MAGIC[count] {
            return Err(bad("a packet does not begin with 0x1234"));
        }
        start[count] = byte;
        let length = u16::from_be_bytes([start[2], start[3]]);
        match count + 1 {
            HEADER if length == 0 => return self.finish(),
            HEADER if length == 1 => return Err(bad("a packet of the body is too short for its length")),
            START => {}
            other => return Ok(Place::Start(start, other)),
        }
        let content = u16::from_be_bytes([start[4], start[5]]);
        match u64::from(content) {
            _ if content != length - 2 => Err(bad("a packet of the body has not the length that it says")),
            0 => self.finish(),
            content if content <= self.left => Ok(Place::Content(content)),
            _ => Err(match self.framing {
                Framing::None | Framing::Length(_) => bad("the body is longer than its Content-Length"),
                Framing::Chunked => TOO_LARGE,
            }),
        }
    }

    /// An empty packet: there is no more.
    fn finish(&self) -> Result<Place, Refusal> {
        match self.framing {
            Framing::None | Framing::Length(_) => Err(bad("the body is shorter than its Content-Length")),
            Framing::Chunked => Ok(Place::Done),
        }
    }

    /// So many bytes of content came, where `left` were to come of the packet.
    fn take_content(&mut self, left: u64, length: u64) {
        self.left -= length;
        self.at = match (left - length, self.framing) {
            (0, Framing::Length(_)) if self.left == 0 => Place::Done,
            (0, _) => Place::Owed,
            (left, _) => Place::Content(left),
        };
    }
}

const TOO_LARGE: Refusal = Refusal { status: 413, why: "the body is longer than the limit" };
