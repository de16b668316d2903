//! Packets for a web server (AJP Protocol Reference: Response Packet Structure).
//!
//! Rule: none is longer than [`PACKET_MAX`], which every web server can take unless its administrator said otherwise.
//!
//! ```text
//!   head -> (open, content, close)* -> end
//! ```

use memchr::memchr;

use super::codes;

/// Bytes of a packet, its header included. It is the default of `mod_proxy_ajp` (ProxyIOBufferSize) and `mod_jk` (max_packet_size): a longer
/// packet ends the connection there, shorter ones would be more of them.
pub const PACKET_MAX: usize = 8192;

/// Bytes of content in one packet: beside it stand the header, the code, its length and a NUL.
pub const CONTENT_MAX: u64 = PACKET_MAX as u64 - 8;

/// Bytes of a body that one packet of the web server's brings: beside them stand the header and their length.
const BODY_MAX: u16 = PACKET_MAX as u16 - 6;

/// The answer to a CPING.
pub const PONG: &[u8] = b"AB\0\x01\x09";

/// Tells the web server to send on what it has: an empty SEND_BODY_CHUNK. Without it `mod_proxy_ajp` gathers content.
pub const FLUSH: &[u8] = b"AB\0\x04\x03\0\0\0";

/// The end of an answer, behind which another request may come.
pub const END: &[u8] = b"AB\0\x02\x05\x01";

/// The end of an answer, and of the connection.
pub const LAST: &[u8] = b"AB\0\x02\x05\0";

/// The head is too long for a packet, and there is no other way to send one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Writes SEND_HEADERS for a head that is written as HTTP has it: a status line, fields, an empty line.
///
/// # Errors
/// When it does not fit a packet; then nothing is written.
pub fn head(text: &[u8], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let start = out.len();
    let written = write_head(text, out);
    let length = out.len() - start;
    if written.is_none() || length > PACKET_MAX {
        out.truncate(start);
        return Err(TooLong);
    }
    out[start + 2..start + 4].copy_from_slice(&((length - 4) as u16).to_be_bytes());
    Ok(())
}

fn write_head(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut lines = text.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (status, reason) = status(lines.next()?)?;
    out.extend_from_slice(b"AB\0\0\x04");
    out.extend_from_slice(&status.to_be_bytes());
    write_text(reason, out)?;
    let count_at = out.len();
    out.extend_from_slice(&[0, 0]);
    let mut count: u16 = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_at_checked(memchr(b':', line)?)?;
        match codes::of_answer(name) {
            Some(code) => out.extend_from_slice(&code),
            None => write_text(name, out)?,
        }
        let value = &value[1..];
        write_text(value.strip_prefix(b" ").unwrap_or(value), out)?;
        count = count.checked_add(1)?;
    }
    out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
    Some(())
}

/// Number and reason of a status line (RFC 9112 4).
fn status(line: &[u8]) -> Option<(u16, &[u8])> {
    let (_, rest) = line.split_at_checked(memchr(b' ', line)? + 1)?;
    let (digits, reason) = rest.split_first_chunk::<3>()?;
    let number = digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'));
    Some((number, reason.strip_prefix(b" ").unwrap_or(reason)))
}

/// Length, bytes and a NUL.
fn write_text(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let length = u16::try_from(text.len()).ok()?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text);
    out.push(0);
    Some(())
}

/// Writes what stands before so much content, [`CONTENT_MAX`] at most.
pub fn open(length: u64, out: &mut Vec<u8>) {
    debug_assert!(length <= CONTENT_MAX);
    let length = length as u16;
    out.extend_from_slice(b"AB");
    out.extend_from_slice(&(length + 4).to_be_bytes());
    out.push(3);
    out.extend_from_slice(&length.to_be_bytes());
}

/// Writes what stands behind it.
pub fn close(out: &mut Vec<u8>) {
    out.push(0);
}

/// Writes GET_BODY_CHUNK for so many bytes, or as many as a packet can have.
pub fn ask(most: u64, out: &mut Vec<u8>) {
    let length = u16::try_from(most).map_or(BODY_MAX, |most| most.min(BODY_MAX));
    out.extend_from_slice(b"AB\0\x03\x06");
    out.extend_from_slice(&length.to_be_bytes());
}
