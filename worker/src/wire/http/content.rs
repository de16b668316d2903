//! The content of an answer: what is written around it, and how much of it may go (RFC 9112 6.3, 7.1).
//!
//! Rule: never more than Content-Length says, never anything where there must be no content, and never an end that looks
//! complete when it is not. The bytes themselves are not seen here.

use crate::wire::gateway::answer::Manner;

/// How the content of one answer is framed, and how much of it may still go.
#[derive(Clone, Copy, Debug)]
pub struct Content {
    framing: Framing,
    after: Ending,
    manner: Manner,
    /// Whether a chunk is begun and not ended.
    is_open: bool,
    /// Bytes of the piece that is begun and not ended, where a gateway wants content in pieces.
    piece: u64,
}

/// How content is delimited (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There must be none.
    Nothing,
    /// So many more bytes.
    Length(u64),
    /// By chunks, of which the last is empty.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// What becomes of the connection when an answer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Another request may come.
    KeepAlive,
    /// Nothing more may come; the client has been told.
    Close,
    /// Less content came than Content-Length said: the connection must be cut, and must not carry another answer.
    Short,
}

impl Content {
    /// Content that nothing has gone of yet; `after` is what becomes of the connection if all of it does.
    pub(super) fn new(framing: Framing, after: Ending, manner: Manner) -> Content {
        Content { framing, after, manner, is_open: false, piece: 0 }
    }

    /// Says that `length` bytes are about to follow. Writes what must precede them to `out`, and gives back how many of them may be
    /// sent: fewer when Content-Length would be exceeded or a gateway wants them in pieces, 0 when there must be no content. 0 bytes are
    /// no content and end nothing.
    pub fn open(&mut self, length: u64, out: &mut Vec<u8>) -> u64 {
        debug_assert!(!self.is_open);
        if self.manner != Manner::Http {
            return self.open_piece(length, out);
        }
        self.allow(length, out)
    }

    /// As [`Content::open`], for so much content that others put into pieces. Writes nothing.
    pub fn admit(&mut self, length: u64) -> u64 {
        debug_assert!(self.manner.is_packed());
        self.allow(length, &mut Vec::new())
    }

    fn open_piece(&mut self, length: u64, out: &mut Vec<u8>) -> u64 {
        self.piece = self.allow(self.manner.fit(length), out);
        if self.piece > 0 {
            self.manner.open(self.piece, out);
        }
        self.piece
    }

    fn allow(&mut self, length: u64, out: &mut Vec<u8>) -> u64 {
        match &mut self.framing {
            Framing::Nothing => 0,
            Framing::Length(left) => {
                let length = length.min(*left);
                *left -= length;
                length
            }
            Framing::Chunked => {
                // An empty chunk would be the last one (RFC 9112 7.1).
                if length > 0 {
                    write_chunk_size(length, out);
                    self.is_open = true;
                }
                length
            }
            Framing::UntilClose => length,
        }
    }

    /// Writes what must follow the bytes of the `open` before. After one that gave 0: nothing.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.is_open {
            out.extend_from_slice(b"\r\n");
            self.is_open = false;
        }
        if self.piece > 0 {
            self.manner.close(self.piece, out);
            self.piece = 0;
        }
    }

    /// Has what was written sent on, if more may follow.
    pub fn flush(&self, out: &mut Vec<u8>) {
        if self.manner != Manner::Http && self.remaining() != Some(0) {
            self.manner.flush(out);
        }
    }

    /// Ends the content, once.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Ending {
        debug_assert!(!self.is_open);
        match self.framing {
            Framing::Length(1..) => return Ending::Short,
            Framing::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            Framing::Nothing | Framing::Length(0) | Framing::UntilClose => self.manner.end(self.after, out),
        }
        self.framing = Framing::Nothing;
        self.after
    }

    /// Whether a client can tell a cut from the end: by Content-Length, by the last chunk, by AJP's last packet. Else only a reset can say it:
    /// Apache's SCGI takes the end of a connection for that of an answer whatever its Content-Length, and nginx's FastCGI, where it does not
    /// buffer, whether END_REQUEST has come or not.
    pub fn shows_its_end(&self) -> bool {
        match self.manner {
            Manner::Http => self.framing != Framing::UntilClose,
            Manner::Cgi | Manner::Uwsgi | Manner::FastCgi(_) => false,
            Manner::Ajp => true,
        }
    }

    /// How many bytes may still be sent: by Content-Length, or 0 where there must be no content. `None` when only the application knows.
    pub fn remaining(&self) -> Option<u64> {
        match self.framing {
            Framing::Nothing => Some(0),
            Framing::Length(left) => Some(left),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }
}

/// The size in hexadecimal and a line end (RFC 9112 7.1).
fn write_chunk_size(size: u64, out: &mut Vec<u8>) {
    let digits = (u64::BITS - size.leading_zeros()).div_ceil(4);
    out.extend((0..digits).rev().map(|place| b"0123456789abcdef"[(size >> (place * 4)) as usize & 15]));
    out.extend_from_slice(b"\r\n");
}
