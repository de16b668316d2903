//! Whole answers of our own: refusals, and what else needs no application (RFC 9110 15).

use super::answer::{Asked, Ending, write_connection, write_date, write_length};
use crate::wire::gateway::answer::Manner;
use crate::wire::{Refusal, Version};

/// A whole answer of our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<'a> {
    /// A final status.
    pub status: u16,
    /// The content, for people to read. A line end is added.
    pub text: &'a str,
    /// The field that tells the request's identifier, and that, if it has one.
    pub id: Option<(&'a str, &'a [u8])>,
}

/// Writes a whole answer of our own, such as the 500 of a failed application, and says what becomes of the connection.
pub fn plain(answer: Plain<'_>, asked: Asked, date: &[u8; 29], out: &mut Vec<u8>) -> Ending {
    let start = out.len();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(answer.status).as_bytes());
    out.push(b' ');
    out.extend_from_slice(reason(answer.status).as_bytes());
    out.extend_from_slice(b"\r\nContent-Type: text/plain; charset=utf-8\r\n");
    write_length(answer.text.len() as u64 + 1, out);
    if answer.status == 503 {
        out.extend_from_slice(RETRY_AFTER);
    }
    if let Some((name, id)) = answer.id {
        for part in [name.as_bytes(), b": ", id, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    if asked.manner == Manner::Http {
        write_date(date, out);
        write_connection(asked, out);
    }
    out.extend_from_slice(b"\r\n");
    let dressed = asked.manner.dress(start, out);
    debug_assert_eq!(dressed, Ok(()), "it is short");
    if !asked.head {
        let length = answer.text.len() as u64 + 1;
        asked.manner.open(length, out);
        out.extend_from_slice(answer.text.as_bytes());
        out.push(b'\n');
        asked.manner.close(length, out);
    }
    asked.manner.end(asked.ending(), out);
    asked.ending()
}

/// What a client is told that came when there was no room: to come again in two seconds (RFC 9110 10.2.3). Less brings it back before
/// there is room, more keeps it away when there is.
const RETRY_AFTER: &[u8] = b"Retry-After: 2\r\n";

/// Writes the whole answer to a message that is refused. Nothing of the request is known for sure, so it closes.
pub fn refuse(refusal: Plain<'_>, manner: Manner, date: &[u8; 29], out: &mut Vec<u8>) {
    if manner.refuse(refusal.status, out) {
        return;
    }
    let asked = Asked { version: Version::Http11, head: false, keep_alive: false, manner };
    plain(refusal, asked, date, out);
}

impl From<Refusal> for Plain<'static> {
    fn from(refusal: Refusal) -> Plain<'static> {
        Plain { status: refusal.status, text: refusal.why, id: None }
    }
}

/// The reason phrase of a status (RFC 9110 15, RFC 6585); empty for one without (RFC 9112 4).
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
