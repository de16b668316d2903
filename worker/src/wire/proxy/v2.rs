//! Version 2: a binary block.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Header, Malformed, Said};

/// Bytes of a block. Addresses take 232 at most, the rest is for TLVs, of which a client's certificate may be one; more would be
/// memory for who has proved nothing yet.
pub const BYTES_MAX: usize = 4096;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

const TLV_CRC32C: u8 = 0x03;
const TLV_SSL: u8 = 0x20;

/// Reads a block off the start of `bytes`, and says how long it is.
pub fn read(bytes: &[u8]) -> Result<Option<(Header, usize)>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(Malformed("it begins with no PROXY header"));
    }
    let Some(&version) = bytes.get(SIGNATURE.len()) else { return Ok(None) };
    if !matches!(version, 0x20 | 0x21) {
        return Err(Malformed("the version is not 2, or the command neither LOCAL nor PROXY"));
    }
    let Some((fixed, _)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [.., family, high, low] = *fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > BYTES_MAX {
        return Err(Malformed("the block is longer than 4096 bytes"));
    }
    let Some(block) = bytes.get(..length) else { return Ok(None) };
    // A LOCAL block is to be skipped whatever is in it.
    let header = if version == 0x20 { NOTHING } else { proxied(block, family)? };
    Ok(Some((header, length)))
}

const NOTHING: Header = Header { said: Said::Nothing, is_tls: false };

/// What a whole block says of a client.
fn proxied(block: &[u8], family: u8) -> Result<Header, Malformed> {
    let body = &block[FIXED..];
    let (said, addresses) = match family {
        // Of an unknown family the addresses are to be ignored, and with them where the TLVs would begin.
        0x00..=0x02 => return Ok(NOTHING),
        0x11 => ipv4(body)?,
        0x21 => ipv6(body)?,
        0x31 if body.len() >= 216 => (Said::Unix, 216),
        0x31 => return Err(TOO_SHORT),
        _ => return Err(Malformed("the family is unknown, or no stream")),
    };
    let is_tls = tlvs(block, FIXED + addresses)?;
    Ok(Header { said, is_tls })
}

const TOO_SHORT: Malformed = Malformed("the block is too short for its addresses");

fn ipv4(body: &[u8]) -> Result<(Said, usize), Malformed> {
    let (&addresses, _) = body.split_first_chunk::<12>().ok_or(TOO_SHORT)?;
    let [a, b, c, d, e, f, g, h, ports @ ..] = addresses;
    Ok((tcp(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports), 12))
}

fn ipv6(body: &[u8]) -> Result<(Said, usize), Malformed> {
    let (&client, rest) = body.split_first_chunk::<16>().ok_or(TOO_SHORT)?;
    let (&server, rest) = rest.split_first_chunk::<16>().ok_or(TOO_SHORT)?;
    let (&ports, _) = rest.split_first_chunk::<4>().ok_or(TOO_SHORT)?;
    Ok((tcp(Ipv6Addr::from(client), Ipv6Addr::from(server), ports), 36))
}

fn tcp<A: Into<std::net::IpAddr>>(client: A, server: A, [a, b, c, d]: [u8; 4]) -> Said {
    Said::Tcp {
        client: SocketAddr::new(client.into(), u16::from_be_bytes([a, b])),
        server: SocketAddr::new(server.into(), u16::from_be_bytes([c, d])),
    }
}

/// Reads the TLVs that stand in the block from `at` on: whether the client came by TLS.
fn tlvs(block: &[u8], mut at: usize) -> Result<bool, Malformed> {
    const CUT: Malformed = Malformed("a TLV is not whole");
    let mut is_tls = false;
    let mut has_checksum = false;
    while at < block.len() {
        let (&[kind, high, low], _) = block[at..].split_first_chunk::<3>().ok_or(CUT)?;
        let start = at + 3;
        at = start + usize::from(u16::from_be_bytes([high, low]));
        let value = block.get(start..at).ok_or(CUT)?;
        match kind {
            TLV_SSL => is_tls |= value.first().ok_or(CUT)? & 1 == 1,
            TLV_CRC32C if has_checksum => return Err(Malformed("there are two checksums")),
            TLV_CRC32C => {
                has_checksum = true;
                check(block, start, value)?;
            }
            _ => {}
        }
    }
    Ok(is_tls)
}

/// The checksum is of the whole block, its own four bytes taken for zeros.
fn check(block: &[u8], start: usize, value: &[u8]) -> Result<(), Malformed> {
    let expected = <[u8; 4]>::try_from(value).map_err(|_| Malformed("the checksum has not four bytes"))?;
    let bytes = block.iter().enumerate().map(|(at, &byte)| if (start..start + 4).contains(&at) { 0 } else { byte });
    if crc32c(bytes) == u32::from_be_bytes(expected) { Ok(()) } else { Err(Malformed("the checksum is wrong")) }
}

/// RFC 9260 appendix A, bit by bit: it is asked for seldom, and of few bytes.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32, _: u32| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg());
    !bytes.fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(byte), shift))
}
