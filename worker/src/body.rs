//! The body of a request on its way to Python: in memory up to a bound, then in an unlinked file.
//!
//! The bound keeps a few uploads from filling the memory; too low a bound would send ordinary forms to the disk.

use std::fs::File;
use std::io::{self, Seek, Write};

/// Bytes of room behind a body. With none a read that takes its end could not tell whether there is more to be read, which costs another
/// read; more are memory.
const SURPLUS: usize = 64;

/// A whole request body.
#[derive(Debug, Default)]
pub enum Body {
    /// There was none.
    #[default]
    Empty,
    /// It fitted.
    Memory(Vec<u8>),
    /// It did not; the file stands at its start and has no name. Its length in bytes.
    File(File, u64),
}

impl Body {
    /// Decoded length, in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Body::Empty => 0,
            Body::Memory(bytes) => bytes.len() as u64,
            Body::File(_, length) => *length,
        }
    }

    /// Adds what has arrived; above `memory_max` bytes it moves to a file in the temporary directory.
    ///
    /// # Errors
    /// When the file cannot be made or written, as on a full disk.
    pub fn append(&mut self, data: &[u8], memory_max: usize) -> io::Result<()> {
        match self {
            Body::Empty if data.is_empty() => {}
            Body::Empty if data.len() <= memory_max => *self = Body::Memory(data.to_vec()),
            Body::Empty => *self = spool(&[], data)?,
            Body::Memory(bytes) if bytes.len() + data.len() <= memory_max => bytes.extend_from_slice(data),
            Body::Memory(bytes) => *self = spool(bytes, data)?,
            Body::File(file, length) => {
                file.write_all(data)?;
                *length += data.len() as u64;
            }
        }
        Ok(())
    }

    /// Makes room at once for a body of a known length, so that it is not moved as it grows, and can be read into.
    pub fn expect(&mut self, length: u64, memory_max: usize) {
        if let Ok(length) = usize::try_from(length)
            && length <= memory_max
        {
            *self = Body::Memory(Vec::with_capacity(length + SURPLUS));
        }
    }

    /// Where the rest of a body can be read into, if there is room for so much: what is read there may be more than that, of the next request.
    pub fn room(&mut self, rest: u64) -> Option<&mut Vec<u8>> {
        match self {
            Body::Memory(bytes) if (bytes.capacity() - bytes.len()) as u64 > rest => Some(bytes),
            Body::Memory(_) | Body::Empty | Body::File(..) => None,
        }
    }

    /// The last byte is in: a file is set back to its start.
    ///
    /// # Errors
    /// When the file cannot be sought.
    pub fn complete(&mut self) -> io::Result<()> {
        if let Body::File(file, _) = self {
            file.rewind()?;
        }
        Ok(())
    }
}

fn spool(first: &[u8], then: &[u8]) -> io::Result<Body> {
    let mut file = tempfile::tempfile()?;
    file.write_all(first)?;
    file.write_all(then)?;
    Ok(Body::File(file, (first.len() + then.len()) as u64))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn content(body: Body) -> Vec<u8> {
        match body {
            Body::Empty => Vec::new(),
            Body::Memory(bytes) => bytes,
            Body::File(mut file, length) => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes.len() as u64, length);
                bytes
            }
        }
    }

    #[test]
    fn a_body_moves_to_a_file_when_it_passes_the_bound() {
        for (pieces, spooled) in
            [(&[&b""[..]][..], false), (&[b"abc", b"d"], false), (&[b"abc", b"de"], true), (&[b"abcdef", b"g"], true)]
        {
            let mut body = Body::default();
            for piece in pieces {
                body.append(piece, 4).unwrap();
            }
            body.complete().unwrap();
            assert_eq!(matches!(body, Body::File(..)), spooled, "{pieces:?}");
            assert_eq!(content(body), pieces.concat());
        }
    }
}
