//! uwsgi, the protocol (<https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html>): a request's variables in one packet, then its body.
//!
//! ```text
//!   modifier1 = 0 | size, 2 bytes | modifier2 = 0 | (length, 2 bytes | name | length, 2 bytes | value) …  of size bytes | body
//! ```
//!
//! Numbers are little-endian. The body has as many bytes as CONTENT_LENGTH says. One connection carries one request, and the answer is an
//! HTTP response that ends with the connection.
//!
//! Rules: only modifiers 0, a WSGI request; the others ask for what is no request, such as code to be run. The pairs fill the packet to
//! the byte. What can be refused early (another modifier, a size above the limit) is refused before the packet is whole.

use super::variables::{self, Limits, bad};
use super::{Field, Refusal, Span};

#[cfg(test)]
mod tests;

/// Modifiers and size.
const HEADER: usize = 4;

/// Looks for a packet at the start of `input`, which begins where the connection begins and is the same bytes as in the call before plus
/// more. `None`: more is needed. `Some(n)`: `variables` are those of the request, as spans of `input`, and its body begins behind `n` bytes.
///
/// # Errors
/// When it is no request, or one above the limits; nothing that follows can be trusted.
pub fn read(input: &[u8], limits: Limits, variables: &mut Vec<Field>) -> Result<Option<usize>, Refusal> {
    if input.first().is_some_and(|&modifier| modifier != 0) {
        return Err(bad("modifier1 is not 0, that of a WSGI request"));
    }
    let Some(&[_, low, high]) = input.first_chunk() else { return Ok(None) };
    let size = usize::from(u16::from_le_bytes([low, high]));
    if size > limits.bytes_max {
        return Err(variables::TOO_LONG);
    }
    if input.get(HEADER - 1).is_some_and(|&modifier| modifier != 0) {
        return Err(bad("modifier2 is not 0, that of a WSGI request"));
    }
    let Some(packet) = input.get(..HEADER + size) else { return Ok(None) };
    variables.clear();
    let mut at = HEADER;
    while at < packet.len() {
        let name = text(packet, &mut at)?;
        let value = text(packet, &mut at)?;
        variables::add(packet, (name, value), limits, variables)?;
    }
    Ok(Some(at))
}

/// A length and so many bytes, from `at` on.
fn text(packet: &[u8], at: &mut usize) -> Result<Span, Refusal> {
    const CUT: &str = "a variable reaches beyond its packet";
    let &[low, high] = packet[*at..].first_chunk().ok_or(bad(CUT))?;
    let start = *at + 2;
    let end = start + usize::from(u16::from_le_bytes([low, high]));
    if end > packet.len() {
        return Err(bad(CUT));
    }
    *at = end;
    Ok(Span::new(start, end))
}
