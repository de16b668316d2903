//! AJP13 (The Apache Tomcat Connector, AJP Protocol Reference, <https://tomcat.apache.org/connectors-doc/ajp/ajpv13a.html>): packets of a web
//! server, and packets for it.
//!
//! ```text
//!   from it   0x12 0x34 | length | code | …      FORWARD_REQUEST, CPING, …          request
//!             0x12 0x34 | length | length | content      of a body, which has no code      body
//!   to it     'A' 'B'   | length | code | …      SEND_HEADERS, SEND_BODY_CHUNK, END_RESPONSE, GET_BODY_CHUNK, CPONG      answer
//! ```
//!
//! Numbers are big-endian. A packet of a body cannot be told from another, so it is read only where one must come: the first behind a request
//! with a Content-Length, and each that was asked for.
//!
//! Rules: a packet is what its length says to the byte. What asks us to end, or to be logged in to, is nothing to us. A request whose
//! web server must know the secret is compared by its owner: here it is only taken out ([`Request::knows`]).
//!
//! Known fault: lighttpd 1.4.69 sends content without the second length, and so without a reading.

pub mod answer;
pub mod body;
mod codes;
mod request;

#[cfg(test)]
mod tests;

pub use request::Request;

use super::Refusal;
use super::variables::{self, Limits, bad};

/// Magic and length.
const HEADER: usize = 4;

const MAGIC: [u8; 2] = [0x12, 0x34];

/// Codes of packets from a web server.
const FORWARD_REQUEST: u8 = 2;
const SHUTDOWN: u8 = 7;
const PING: u8 = 8;
const CPING: u8 = 10;

/// What a packet wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// A request to be answered.
    Request,
    /// A CPONG.
    Pong,
    /// Nothing that we do: the end of the server (SHUTDOWN), or a login (PING).
    Nothing,
}

/// Looks for a packet at the start of `input`, which begins where the packet begins and is the same bytes as in the call before plus
/// more. `None`: more is needed. `Some((wish, n))`: it took `n` bytes, and if it is a request, `request` is filled.
///
/// # Errors
/// When it is no packet, or one above the limits; nothing that follows can be trusted.
pub fn read(input: &[u8], limits: Limits, request: &mut Request) -> Result<Option<(Wish, usize)>, Refusal> {
    let Some(length) = length(input)? else { return Ok(None) };
    if length > limits.bytes_max {
        return Err(variables::TOO_LONG);
    }
    let end = HEADER + length;
    let wish = match (input.get(HEADER), length) {
        (_, 0) => return Err(bad("a packet is empty where a request must be")),
        (None, _) => return Ok(None),
        (Some(&FORWARD_REQUEST), _) => Wish::Request,
        (Some(&CPING), 1) => Wish::Pong,
        (Some(&(SHUTDOWN | PING)), _) => Wish::Nothing,
        (Some(_), _) => return Err(bad("a packet is none that a web server begins with")),
    };
    let Some(packet) = input.get(..end) else { return Ok(None) };
    if wish == Wish::Request {
        request.read(&packet[HEADER + 1..], limits)?;
    }
    Ok(Some((wish, end)))
}

/// The length of what follows the header of the packet that `input` begins with.
fn length(input: &[u8]) -> Result<Option<usize>, Refusal> {
    let seen = input.len().min(MAGIC.len());
    if input[..seen] != MAGIC[..seen] {
        return Err(bad("a packet does not begin with 0x1234"));
    }
    let &[_, _, high, low, ..] = input else { return Ok(None) };
    Ok(Some(usize::from(u16::from_be_bytes([high, low]))))
}
