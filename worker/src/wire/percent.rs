//! Percent-encoding (RFC 3986 2.1), taken back once.

use std::borrow::Cow;

/// The path with each `%XX` replaced by its byte, once (RFC 3875 4.1.5). What only looks like an escape stays.
#[inline]
pub fn decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() { Cow::Borrowed(path) } else { Cow::Owned(decode(path)) }
}

fn decode(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        match (first, behind) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (byte, after) => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 }
}
