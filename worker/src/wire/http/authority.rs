//! What may stand in a Host field and before the path of an absolute target (RFC 9110 7.2, RFC 3986 3.2).
//!
//! Stricter than RFC 3986 where http has no use for its freedom: no user information (RFC 9110 4.2.4), no empty host before
//! a port (RFC 9110 4.2.1), no comma, which is how two Host fields look after a careless merge, no port above 65535, and no
//! IPvFuture, which nobody uses.

use std::net::Ipv6Addr;

/// Whether this is a host, or a host and a port, as a Host field may have them. Nothing at all is not one.
pub fn is_authority(bytes: &[u8]) -> bool {
    let Some(host) = host_length(bytes) else {
        return false;
    };
    match &bytes[host..] {
        [] => true,
        [b':', port @ ..] => is_port(port),
        _ => false,
    }
}

/// Whether this is a host and a port, neither left out, as CONNECT needs them (RFC 9112 3.2.3).
pub fn has_port(bytes: &[u8]) -> bool {
    is_authority(bytes) && bytes.last().is_some_and(u8::is_ascii_digit) && bytes.contains(&b':')
}

/// How many bytes the host takes, if there is a valid one.
fn host_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'[') {
        let end = bytes.iter().position(|&byte| byte == b']')?;
        let literal = std::str::from_utf8(&bytes[1..end]).ok()?;
        literal.parse::<Ipv6Addr>().ok()?;
        return Some(end + 1);
    }
    let end = bytes.iter().position(|&byte| byte == b':').unwrap_or(bytes.len());
    is_name(&bytes[..end]).then_some(end)
}

/// Whether this is a name or an IPv4 address: unreserved, sub-delims without the comma, percent-encoded (RFC 3986 3.2.2).
fn is_name(bytes: &[u8]) -> bool {
    let allowed = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=%".contains(&byte);
    !bytes.is_empty() && bytes.iter().all(allowed) && are_escapes_whole(bytes)
}

/// Whether two hexadecimal digits follow every `%`.
fn are_escapes_whole(bytes: &[u8]) -> bool {
    let mut parts = bytes.split(|&byte| byte == b'%');
    parts.next();
    parts.all(|part| part.len() >= 2 && part[..2].iter().all(u8::is_ascii_hexdigit))
}

/// Whether this is *DIGIT, and no more than 65535 where it is not empty (RFC 3986 3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    bytes.is_empty() || super::grammar::decimal(bytes).is_ok_and(|port| port <= u64::from(u16::MAX))
}
