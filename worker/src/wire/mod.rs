//! The wires: bytes in, items out; items in, bytes out. No socket, no clock, no Python, no config.
//!
//! Every wire reads a request into the same [`Head`] and frames an answer behind the same verbs, so that the rest of the
//! worker does not know which one a client speaks.

pub mod ajp;
pub mod cgi;
pub mod demux;
pub mod fastcgi;
pub mod forwarded;
pub mod gateway;
pub mod http;
pub mod percent;
pub mod proxy;
pub mod scgi;
pub mod uwsgi;
pub mod variables;

/// A part of the buffer that a head was read from, as offsets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The part from `start` up to `end`, in bytes. A head is far below 4 GiB by its limits.
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Span { start: start as u32, end: end as u32 }
    }

    /// The bytes it stands for, of the buffer that it was made from.
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start as usize..self.end as usize]
    }

    /// From the start of this one to the end of a later one.
    pub fn to(self, later: Span) -> Span {
        Span { start: self.start, end: later.end }
    }

    /// Where it stands.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether it stands for nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header field, its value without the white space around it (RFC 9110 5.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    /// As the client wrote it.
    pub name: Span,
    /// Opaque bytes; latin-1 for WSGI.
    pub value: Span,
}

/// The version that a request is answered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1, and every later 1.x (RFC 9110 2.5).
    #[default]
    Http11,
}

/// Where the body of a request ends (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    None,
    /// After so many bytes; never 0.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// The head of a request: spans of the buffer it was read from. Reused from request to request, so it allocates once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// A token, case kept.
    pub method: Span,
    /// The whole request-target as received.
    pub target: Span,
    /// Its path, still percent-encoded, beginning with `/`; `*` for `OPTIONS *`; empty for an empty path.
    pub path: Span,
    /// What follows `?`, without it.
    pub query: Span,
    /// The authority of an absolute-form target, which then stands for the Host field (RFC 9112 3.2.2).
    pub authority: Option<Span>,
    /// What to answer in.
    pub version: Version,
    /// Every field in order, those that frame the message included.
    pub fields: Vec<Field>,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the client waits for a 100 before it sends the body (RFC 9110 10.1.1).
    pub expects_continue: bool,
    /// Whether the client is willing to send another request on this connection (RFC 9112 9.3).
    pub keep_alive: bool,
    /// What a gateway tells besides; `None` where clients speak to us themselves.
    pub meta: Option<Box<gateway::head::Meta>>,
}

/// Why a message is refused. The connection is closed behind the answer, for nothing after it can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with: 400, 408, 413, 414, 417, 431, 501 or 505.
    pub status: u16,
    /// The rule that was broken, for the body of the answer and for the log.
    pub why: &'static str,
}
