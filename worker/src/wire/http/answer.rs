//! Answers: their heads, how their content is framed, and the answers of our own (RFC 9110 6, 8.6, 9.3.2; RFC 9112 4, 6, 9).
//!
//! ```text
//!   begin, field …  -> Draft -> finish -> Content -> (open, content, close) … -> end -> Ending
//! ```
//!
//! An application's head is checked field by field as it comes, so that no byte of it can end a line or frame a message
//! (PEP 3333, start_response). Framing and the connection are ours alone (PEP 3333, Other HTTP Features).
//!
//! The content itself goes by [`Content`].

use std::ops::Range;

use super::content::Framing;
pub use super::content::{Content, Ending};
use super::grammar::{decimal, is_text, is_token, members};
pub use super::plain::{Plain, plain, reason, refuse};
use crate::heap::empty;
use crate::wire::Version;
use crate::wire::gateway::answer::Manner;

/// Room for the fields that `finish` adds, so that the buffer grows once.
const OWN_FIELDS: usize = 128;

/// The answer that asks for the body (RFC 9110 15.2.1). No field frames it.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What is wrong with an answer's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault(pub &'static str);

/// What of a request decides about the framing of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request's version; answers are 1.1 all the same, but hold nothing that a 1.0 client cannot read (RFC 9110 2.5).
    pub version: Version,
    /// Whether the method was HEAD, whose answer has no content (RFC 9110 9.3.2).
    pub head: bool,
    /// Whether client and server are both willing to go on with another request.
    pub keep_alive: bool,
    /// How whoever asked wants it put.
    pub manner: Manner,
}

impl Asked {
    /// What a complete answer leads to.
    pub(super) fn ending(self) -> Ending {
        if self.keep_alive { Ending::KeepAlive } else { Ending::Close }
    }
}

/// An answer's head while the application makes it. Reused from answer to answer; keeps its buffer.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The status line and the fields so far, as they will be sent.
    text: Vec<u8>,
    /// 0: not begun.
    status: u16,
    length: Option<u64>,
    /// Where the Content-Length field stands in the text.
    length_at: Range<usize>,
    has_date: bool,
    close: bool,
    /// A field of ours, whole, unless the application gives one of that name; empty: there is none.
    promise: Vec<u8>,
    /// Bytes of its name.
    promised_name: usize,
    is_kept: bool,
}

impl Draft {
    /// Begins with a status such as `200 OK`, dropping all that was there: three digits, then nothing or a space and a reason, which may be
    /// empty (RFC 9112 4).
    ///
    /// # Errors
    /// When the status is malformed, or a 1xx, which is no final answer and ours to send (RFC 9110 15.2). Then nothing is begun.
    pub fn begin(&mut self, status: &[u8]) -> Result<(), Fault> {
        self.clear();
        let (&code, rest) = status.split_first_chunk::<3>().ok_or(Fault("the status has no three digits"))?;
        if !code.iter().all(u8::is_ascii_digit) {
            return Err(Fault("the status has no three digits"));
        }
        let reason = match rest {
            [] => rest,
            [b' ', reason @ ..] => reason,
            _ => return Err(Fault("the status has no space behind its three digits")),
        };
        if !is_text(reason) {
            return Err(Fault("the status has a control character"));
        }
        let number = code.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
        if number < 200 {
            return Err(Fault("the status is no final one, from 200 to 999"));
        }
        self.text.extend_from_slice(b"HTTP/1.1 ");
        self.text.extend_from_slice(&code);
        self.text.push(b' ');
        self.text.extend_from_slice(reason);
        self.text.extend_from_slice(b"\r\n");
        self.status = number;
        Ok(())
    }

    /// Adds a field. One that is hop-by-hop is the server's business (PEP 3333, Other HTTP Features) and not passed on:
    /// applications that relay another server's answer hand them over in good faith. But `Connection: close` is a wish, and honoured.
    ///
    /// # Errors
    /// When the name is no token, the value has a control character other than HTAB, or it is a second Date, a second
    /// Content-Length or one that is no number. Then nothing is added.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        debug_assert!(self.is_begun());
        check(name, value)?;
        if !self.promise.is_empty() && name.len() == self.promised_name {
            self.is_kept |= name.eq_ignore_ascii_case(&self.promise[..self.promised_name]);
        }
        match special(name) {
            None => push(name, value, &mut self.text),
            Some(Special::Connection) => self.close |= has_close(value),
            Some(Special::HopByHop) => {}
            Some(Special::ContentLength) => return self.content_length(name, value),
            Some(Special::Date) if self.has_date => {
                return Err(Fault("there are two Date fields"));
            }
            Some(Special::Date) => {
                self.has_date = true;
                push(name, value, &mut self.text);
            }
        }
        Ok(())
    }

    /// Forgets everything but the buffers and what was promised.
    pub fn clear(&mut self) {
        let (mut text, promise) = (std::mem::take(&mut self.text), std::mem::take(&mut self.promise));
        text.clear();
        *self = Draft { text, promise, promised_name: self.promised_name, ..Draft::default() };
    }

    /// Forgets everything but the buffers.
    pub fn renew(&mut self) {
        self.promise.clear();
        self.clear();
    }

    /// The same, and keeps little more than so many bytes of them.
    pub fn empty(&mut self, keep: usize) {
        self.renew();
        empty(&mut self.text, keep);
    }

    /// The head will have this field, which is right as it is, unless the application gives one of that name.
    pub fn promise(&mut self, name: &[u8], value: &[u8]) {
        debug_assert!(is_token(name) && is_text(value));
        self.promise.clear();
        for part in [name, b": ", value, b"\r\n"] {
            self.promise.extend_from_slice(part);
        }
        self.promised_name = name.len();
    }

    /// The value of a field that was added.
    pub fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let mut lines = self.text.split(|&byte| byte == b'\n').skip(1);
        lines.find_map(|line| {
            let line = line.strip_suffix(b"\r")?;
            let (known, value) = line.split_at_checked(name.len())?;
            known.eq_ignore_ascii_case(name).then_some(value)?.strip_prefix(b": ")
        })
    }

    /// Whether there is a status.
    pub fn is_begun(&self) -> bool {
        self.status != 0
    }

    /// The status; 0 before `begin`.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The application's Content-Length.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Writes the head to `out` and says how the content goes. `total` is the length of the whole content where the server knows it.
    pub fn finish(&mut self, asked: Asked, total: Option<u64>, date: &[u8; 29], out: &mut Vec<u8>) -> Content {
        debug_assert!(self.is_begun());
        if asked.manner != Manner::Http {
            return self.finish_for_gateway(asked, total, out);
        }
        let (framing, own) = self.framing(asked, total);
        let keep_alive = asked.keep_alive && !self.close && framing != Framing::UntilClose;
        let asked = Asked { keep_alive, ..asked };
        self.write(&own, out);
        if !self.has_date {
            write_date(date, out);
        }
        write_connection(asked, out);
        out.extend_from_slice(b"\r\n");
        Content::new(framing, asked.ending(), Manner::Http)
    }

    /// The same for a gateway, which frames and dates its own answers, and whose connection is no client's.
    fn finish_for_gateway(&mut self, asked: Asked, total: Option<u64>, out: &mut Vec<u8>) -> Content {
        let start = out.len();
        let (framing, own) = self.framing(Asked { version: Version::Http10, ..asked }, total);
        self.write(&own, out);
        out.extend_from_slice(b"\r\n");
        if asked.manner.dress(start, out).is_ok() {
            return Content::new(framing, asked.ending(), asked.manner);
        }
        self.status = 500;
        out.extend_from_slice(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
        let dressed = asked.manner.dress(start, out);
        debug_assert_eq!(dressed, Ok(()), "it is short");
        Content::new(Framing::Nothing, asked.ending(), asked.manner)
    }

    /// Writes what the application said, and what it left out.
    fn write(&self, own: &Own, out: &mut Vec<u8>) {
        out.reserve(self.text.len() + OWN_FIELDS);
        if self.status == 204 {
            // There a Content-Length must not be (RFC 9110 8.6).
            out.extend_from_slice(&self.text[..self.length_at.start]);
            out.extend_from_slice(&self.text[self.length_at.end..]);
        } else {
            out.extend_from_slice(&self.text);
        }
        match own {
            Own::Nothing => {}
            Own::Length(length) => write_length(*length, out),
            Own::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
        if !self.is_kept {
            out.extend_from_slice(&self.promise);
        }
    }

    /// How the content goes, and which field of ours says so (RFC 9112 6.3).
    fn framing(&self, asked: Asked, total: Option<u64>) -> (Framing, Own) {
        if matches!(self.status, 204 | 304) {
            return (Framing::Nothing, Own::Nothing);
        }
        let own = match (self.length, total) {
            (Some(_), _) | (None, None) => Own::Nothing,
            // Applications may leave out the content of an answer to HEAD themselves: 0 says nothing about GET (RFC 9110 9.3.2).
            (None, Some(0)) if asked.head => Own::Nothing,
            (None, Some(total)) => Own::Length(total),
        };
        match self.length.or(total) {
            _ if asked.head => (Framing::Nothing, own),
            Some(length) => (Framing::Length(length), own),
            // A 1.0 client cannot read chunks (RFC 9112 6.1); to it the end of the connection is the end.
            None if asked.version == Version::Http10 => (Framing::UntilClose, own),
            None => (Framing::Chunked, Own::Chunked),
        }
    }

    fn content_length(&mut self, name: &[u8], value: &[u8]) -> Result<(), Fault> {
        if self.length.is_some() {
            return Err(Fault("there are two Content-Length fields"));
        }
        self.length = Some(decimal(value).map_err(|_| Fault("the Content-Length is no number"))?);
        let start = self.text.len();
        push(name, value, &mut self.text);
        self.length_at = start..self.text.len();
        Ok(())
    }
}

/// The field with which we frame the content.
enum Own {
    Nothing,
    Length(u64),
    Chunked,
}

/// A field that means something to the server.
pub(super) enum Special {
    Connection,
    ContentLength,
    Date,
    HopByHop,
}

/// Whether a Connection field lists `close` (RFC 9110 7.6.1).
fn has_close(value: &[u8]) -> bool {
    members(value).any(|member| member.eq_ignore_ascii_case(b"close"))
}

/// By its length first, for most fields are none of these. The hop-by-hop ones are those of RFC 2616 13.5.1, which PEP 3333 means,
/// and of RFC 9110 7.6.1.
// Asked for each field of each answer, and a few instructions as a rule.
#[inline(always)]
pub(super) fn special(name: &[u8]) -> Option<Special> {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        2 if is("te") => Some(Special::HopByHop),
        4 if is("date") => Some(Special::Date),
        7 if is("upgrade") || is("trailer") => Some(Special::HopByHop),
        8 if is("trailers") => Some(Special::HopByHop),
        10 if is("connection") => Some(Special::Connection),
        10 if is("keep-alive") => Some(Special::HopByHop),
        14 if is("content-length") => Some(Special::ContentLength),
        16 if is("proxy-connection") => Some(Special::HopByHop),
        17 if is("transfer-encoding") => Some(Special::HopByHop),
        18 if is("proxy-authenticate") => Some(Special::HopByHop),
        19 if is("proxy-authorization") => Some(Special::HopByHop),
        _ => None,
    }
}

/// Whether a field may stand in a head (RFC 9110 5.1, 5.5).
#[inline]
pub(super) fn check(name: &[u8], value: &[u8]) -> Result<(), Fault> {
    if !is_token(name) {
        return Err(Fault("a field name is no token"));
    }
    if !is_text(value) {
        return Err(Fault("a field value has a control character"));
    }
    Ok(())
}

#[inline]
pub(super) fn push(name: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.reserve(name.len() + value.len() + 4);
    text.extend_from_slice(name);
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

pub(super) fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 6.6.1.
pub(super) fn write_date(date: &[u8; 29], out: &mut Vec<u8>) {
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112 9.3: 1.1 goes on unless told otherwise, 1.0 the other way round.
pub(super) fn write_connection(asked: Asked, out: &mut Vec<u8>) {
    match (asked.version, asked.keep_alive) {
        (Version::Http11, true) => {}
        (Version::Http10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (Version::Http10 | Version::Http11, false) => out.extend_from_slice(b"Connection: close\r\n"),
    }
}
