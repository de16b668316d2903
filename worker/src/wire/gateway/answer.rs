//! Answers as each wire puts them: around a head that is written as HTTP's, and around content.
//!
//! ```text
//!   Http       HTTP/1.1 200 OK … content, framed by Content-Length or chunks
//!   Cgi        Status: 200 OK …    content up to the end of the connection          SCGI and CGI (RFC 3875 6)
//!   Uwsgi      HTTP/1.1 200 OK …  content up to the end of the connection
//!   FastCgi    STDOUT with what Cgi has …, END_REQUEST
//!   Ajp        SEND_HEADERS, SEND_BODY_CHUNK …, END_RESPONSE

//! ```

use super::UNKNOWN_ROLE;
use crate::wire::ajp::{self, answer::TooLong};
use crate::wire::fastcgi::answer::{self as fastcgi, Status, Stream};
use crate::wire::http::answer::Ending;

/// How an answer is put for whoever asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As HTTP, by the wire that has its own rules.
    #[default]
    Http,
    /// As a CGI program.
    Cgi,
    /// As HTTP, but for the framing.
    Uwsgi,
    /// In records of FastCGI, of the request of this number.
    FastCgi(u16),
    /// In packets of AJP.
    Ajp,
}

/// What a head is written with at first.
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";

impl Manner {
    /// Puts a head as this manner says it: `out` has it from `start` on, as HTTP, with the empty line at its end.
    ///
    /// # Errors
    /// When it cannot be put so, for its length. Then `out` has nothing from `start` on.
    pub fn dress(self, start: usize, out: &mut Vec<u8>) -> Result<(), TooLong> {
        debug_assert!(out[start..].starts_with(STATUS_LINE) && out.ends_with(b"\r\n\r\n"));
        match self {
            Manner::Http | Manner::Uwsgi => {}
            Manner::Cgi => {
                out.splice(start..start + STATUS_LINE.len(), *b"Status: ");
            }
            Manner::FastCgi(id) => {
                out.splice(start..start + STATUS_LINE.len(), *b"Status: ");
                pack(id, start, out);
            }
            Manner::Ajp => {
                let text = out.split_off(start);
                ajp::answer::head(&text, out)?;
            }
        }
        Ok(())
    }

    /// Refuses by a word of the protocol's own, if it has one for this status: then nothing else is said.
    pub fn refuse(self, status: u16, out: &mut Vec<u8>) -> bool {
        let word = match (self, status) {
            (Manner::FastCgi(_), 503) => Status::Overloaded,
            (Manner::FastCgi(_), UNKNOWN_ROLE) => Status::UnknownRole,
            (Manner::Http | Manner::Cgi | Manner::Uwsgi | Manner::FastCgi(_) | Manner::Ajp, _) => return false,
        };
        if let Manner::FastCgi(id) = self {
            fastcgi::end(id, word, out);
        }
        true
    }

    /// Whether content goes in packets.
    pub fn is_packed(self) -> bool {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => false,
            Manner::FastCgi(_) | Manner::Ajp => true,
        }
    }

    /// How much of so much content goes in one piece.
    pub fn fit(self, length: u64) -> u64 {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => length,
            Manner::FastCgi(_) => length.min(fastcgi::CONTENT_MAX),
            Manner::Ajp => length.min(ajp::answer::CONTENT_MAX),
        }
    }

    /// Writes what stands before a piece of content of this length.
    pub fn open(self, length: u64, out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
            Manner::FastCgi(id) => fastcgi::open(Stream::Stdout, id, length, out),
            Manner::Ajp => ajp::answer::open(length, out),
        }
    }

    /// Writes what stands behind it.
    pub fn close(self, length: u64, out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
            Manner::FastCgi(_) => fastcgi::close(length, out),
            Manner::Ajp => ajp::answer::close(out),
        }
    }

    /// Writes what makes the web server send on what it has, where it would wait for more otherwise.
    pub fn flush(self, out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi | Manner::FastCgi(_) => {}
            Manner::Ajp => out.extend_from_slice(ajp::answer::FLUSH),
        }
    }

    /// Writes what stands behind all content, `after` which this becomes of the connection.
    pub fn end(self, after: Ending, out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
            Manner::FastCgi(id) => {
                fastcgi::close_stream(Stream::Stdout, id, out);
                fastcgi::end(id, Status::Complete, out);
            }
            Manner::Ajp => out.extend_from_slice(match after {
                Ending::KeepAlive => ajp::answer::END,
                Ending::Close | Ending::Short => ajp::answer::LAST,
            }),
        }
    }
}

/// Puts what `out` has from `start` on into records of STDOUT.
fn pack(id: u16, start: usize, out: &mut Vec<u8>) {
    let length = (out.len() - start) as u64;
    if length > fastcgi::CONTENT_MAX {
        let text = out.split_off(start);
        return fastcgi::write(Stream::Stdout, id, &text, out);
    }
    // One record, as a rule: its header is written behind it and turned to its front, for that needs no other memory.
    let end = out.len();
    fastcgi::open(Stream::Stdout, id, length, out);
    let header = out.len() - end;
    out[start..].rotate_right(header);
    fastcgi::close(length, out);
}
