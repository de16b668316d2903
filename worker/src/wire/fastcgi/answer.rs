//! Records for a web server (FastCGI Specification 1.0, 3.3, 4, 5.3, 5.5).
//!
//! ```text
//!   (open, content, close)* of either stream -> close_stream of each that was used -> end
//! ```
//!
//! Records are padded to a multiple of eight bytes, as the specification recommends.

use super::pairs;
use super::record::{Header, Kind};
use crate::wire::Refusal;

/// Bytes of content in one record: the most that leaves no padding. Fewer would be more records.
pub const CONTENT_MAX: u64 = 0xFFF8;

/// A stream of a request's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The answer itself, as a CGI program writes it.
    Stdout,
    /// Lines for the web server's log.
    Stderr,
}

/// How a request has ended for the protocol (FastCGI 1.0, 5.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is answered, or its abort is heard.
    Complete,
    /// Its answer ends in the middle. The protocol has no word for that, so it is the exit status of a CGI program that failed (6.2).
    Cut,
    /// A second request came on a connection that has one at a time.
    CannotMultiplex,
    /// There is no room for it.
    Overloaded,
    /// The role is none that we have.
    UnknownRole,
}

impl Status {
    /// appStatus, as far as it is not 0, and protocolStatus.
    fn codes(self) -> (u8, u8) {
        match self {
            Status::Complete => (0, 0),
            Status::Cut => (1, 0),
            Status::CannotMultiplex => (0, 1),
            Status::Overloaded => (0, 2),
            Status::UnknownRole => (0, 3),
        }
    }
}

impl Stream {
    fn kind(self) -> Kind {
        match self {
            Stream::Stdout => Kind::Stdout,
            Stream::Stderr => Kind::Stderr,
        }
    }
}

/// Writes what stands before so much content of a stream: more than none, and [`CONTENT_MAX`] at most.
pub fn open(stream: Stream, id: u16, length: u64, out: &mut Vec<u8>) {
    debug_assert!((1..=CONTENT_MAX).contains(&length));
    Header::padded(stream.kind(), id, length as u16).write(out);
}

/// Writes what stands behind it.
pub fn close(length: u64, out: &mut Vec<u8>) {
    out.resize(out.len() + (length.wrapping_neg() % 8) as usize, 0);
}

/// Writes content of a stream, in as many records as it needs.
pub fn write(stream: Stream, id: u16, content: &[u8], out: &mut Vec<u8>) {
    for piece in content.chunks(CONTENT_MAX as usize) {
        open(stream, id, piece.len() as u64, out);
        out.extend_from_slice(piece);
        close(piece.len() as u64, out);
    }
}

/// Ends a stream: an empty record.
pub fn close_stream(stream: Stream, id: u16, out: &mut Vec<u8>) {
    Header::padded(stream.kind(), id, 0).write(out);
}

/// Ends a request: END_REQUEST.
pub fn end(id: u16, status: Status, out: &mut Vec<u8>) {
    Header::padded(Kind::EndRequest, id, 8).write(out);
    let (of_application, of_protocol) = status.codes();
    out.extend_from_slice(&[0, 0, 0, of_application, of_protocol, 0, 0, 0]);
}

/// What the connection can tell of the program (FastCGI 1.0, 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// FCGI_MAX_CONNS: connections that it takes at one time.
    pub connections_max: u64,
    /// FCGI_MAX_REQS: requests.
    pub requests_max: u64,
    /// FCGI_MPXS_CONNS: 1 when it takes several of them on one connection, else 0.
    pub multiplexes: u8,
}

/// Writes the answer to a management record of this type and content: GET_VALUES_RESULT with those of the values asked for that are
/// known, else UNKNOWN_TYPE.
///
/// # Errors
/// When the content of GET_VALUES is no list of pairs.
pub fn manage(kind: u8, content: &[u8], values: Values, out: &mut Vec<u8>) -> Result<(), Refusal> {
    if Kind::of(kind) != Kind::GetValues {
        Header::padded(Kind::UnknownType, 0, 8).write(out);
        out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
        return Ok(());
    }
    let asked = names(content)?;
    let known: [(&[u8], u64); 3] = [
        (b"FCGI_MAX_CONNS", values.connections_max),
        (b"FCGI_MAX_REQS", values.requests_max),
        (b"FCGI_MPXS_CONNS", values.multiplexes.into()),
    ];
    let mut told = Vec::new();
    // Each once, however often it is asked for: else the answer could be longer than a record.
    for (name, value) in known.into_iter().filter(|(name, _)| asked.contains(name)) {
        pairs::write(name, itoa::Buffer::new().format(value).as_bytes(), &mut told);
    }
    Header::padded(Kind::GetValuesResult, 0, told.len() as u16).write(out);
    out.extend_from_slice(&told);
    close(told.len() as u64, out);
    Ok(())
}

/// The names of a list of pairs; their values are empty, and if not they mean nothing.
fn names(content: &[u8]) -> Result<Vec<&[u8]>, Refusal> {
    let (mut names, mut at) = (Vec::new(), 0);
    while let Some((name, _)) = pairs::next(content, &mut at)? {
        names.push(name.of(content));
    }
    Ok(names)
}
