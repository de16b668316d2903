//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr2;

use super::{Header, Malformed, Said};

/// Bytes of the longest line that the protocol knows, its CRLF included.
pub const BYTES_MAX: usize = 107;

const SIGNATURE: &[u8] = b"PROXY ";

/// Reads a line off the start of `bytes`, and says how long it is.
pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(Malformed("it begins with no PROXY header"));
    }
    let window = &bytes[..bytes.len().min(BYTES_MAX)];
    let Some(end) = memchr2(b'\r', b'\n', window) else {
        return if window.len() < BYTES_MAX { Ok(None) } else { Err(Malformed("the line is longer than 107 bytes")) };
    };
    match (window[end], window.get(end + 1)) {
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) if window.len() < BYTES_MAX => return Ok(None),
        (b'\r', None) => return Err(Malformed("the line is longer than 107 bytes")),
        _ => return Err(Malformed("the line does not end with CRLF")),
    }
    let said = line(window.get(SIGNATURE.len()..end).unwrap_or_default())?;
    Ok(Some((Header { said, is_tls: false }, end + 2)))
}

/// What stands behind the signature.
fn line(bytes: &[u8]) -> Result<Said, Malformed> {
    // What follows UNKNOWN is to be ignored.
    if bytes == b"UNKNOWN" || bytes.starts_with(b"UNKNOWN ") {
        return Ok(Said::Nothing);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed("the line is no ASCII text"))?;
    let parts: Vec<&str> = text.split(' ').collect();
    let &[family, client, server, client_port, server_port] = parts.as_slice() else {
        return Err(Malformed("the line has not its five parts with one space between them"));
    };
    let (client, server) = match family {
        "TCP4" => (address::<Ipv4Addr>(client)?, address::<Ipv4Addr>(server)?),
        "TCP6" => (address::<Ipv6Addr>(client)?, address::<Ipv6Addr>(server)?),
        _ => return Err(Malformed("the family is none of TCP4, TCP6 and UNKNOWN")),
    };
    Ok(Said::Tcp {
        client: SocketAddr::new(client, port(client_port)?),
        server: SocketAddr::new(server, port(server_port)?),
    })
}

/// Rust's parser takes canonical IPv4 addresses alone (four decimals below 256, no leading zeros), and no zone with IPv6.
fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Malformed> {
    text.parse::<A>().map(Into::into).map_err(|_| Malformed("an address is none of its family"))
}

/// 0 to 65535, without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let is_canonical = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| is_canonical).ok_or(Malformed("a port is no number from 0 to 65535"))
}
