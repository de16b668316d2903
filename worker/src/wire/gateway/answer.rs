//! Answers as each wire puts them: around a head that is written as HTTP's, and around content.
//!
//! ```text
//!   Http       HTTP/1.1 200 OK … content, framed by Content-Length or chunks
//!   Cgi        Status: 200 OK …    content up to the end of the connection          SCGI and CGI (RFC 3875 6)
//!   Uwsgi      HTTP/1.1 200 OK …  content up to the end of the connection
//! ```

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
}

/// What a head is written with at first.
const STATUS_LINE: &[u8] = b"HTTP/1.1 ";

impl Manner {
    /// Puts a head as this manner says it: `out` has it from `start` on, as HTTP, with the empty line at its end.
    pub fn dress(self, start: usize, out: &mut Vec<u8>) {
        debug_assert!(out[start..].starts_with(STATUS_LINE) && out.ends_with(b"\r\n\r\n"));
        match self {
            Manner::Http | Manner::Uwsgi => {}
            Manner::Cgi => {
                out.splice(start..start + STATUS_LINE.len(), *b"Status: ");
            }
        }
    }

    /// How much of so much content goes in one piece.
    pub fn fit(self, length: u64) -> u64 {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => length,
        }
    }

    /// Writes what stands before a piece of content of this length.
    pub fn open(self, _length: u64, _out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
        }
    }

    /// Writes what stands behind it.
    pub fn close(self, _length: u64, _out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
        }
    }

    /// Writes what stands behind all content.
    pub fn end(self, _out: &mut Vec<u8>) {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => {}
        }
    }

    /// Whether a cut answer is seen to be one.
    pub fn shows_its_end(self) -> bool {
        match self {
            Manner::Http | Manner::Cgi | Manner::Uwsgi => false,
        }
    }
}
