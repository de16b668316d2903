//! What a worker kept of its output while it had no supervisor, as it travels to the next one: a file in memory.
//!
//! ```text
//!   postcard of Kept { lost, pieces: [(stream, bytes)] }
//! ```
//!
//! Rule: who reads it believes nothing: a file of another size or form is an error, never a panic and never much memory.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::Stream;

/// Bytes that are kept; the oldest go first. Less would lose the traceback of a busy minute; more is memory of each orphaned
/// worker.
pub const KEPT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a file of it: each piece adds a few to its own.
const FILE_BYTES_MAX: u64 = 4 * KEPT_BYTES_MAX as u64;

/// What was kept, in the order in which it was read.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Bytes that found no room.
    pub lost: u64,
    pieces: VecDeque<(Stream, Vec<u8>)>,
    #[serde(skip)]
    bytes: usize,
}

impl Kept {
    /// Keeps some more.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.pieces.back_mut() {
            // Small writes of one stream share a piece, so that pieces are few; none is long, so that few bytes go at once.
            Some((last, piece)) if *last == stream && piece.len() + bytes.len() <= KEPT_BYTES_MAX / 64 => {
                piece.extend_from_slice(bytes);
            }
            Some(_) | None => self.pieces.push_back((stream, bytes.to_vec())),
        }
        while self.bytes > KEPT_BYTES_MAX
            && let Some((_, oldest)) = self.pieces.pop_front()
        {
            self.bytes -= oldest.len();
            self.lost += oldest.len() as u64;
        }
    }

    /// Keeps what was kept later too.
    pub fn append(&mut self, later: Kept) {
        self.lost += later.lost;
        later.pieces().for_each(|(stream, bytes)| self.push(stream, bytes));
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.lost == 0
    }

    /// The pieces, the oldest first.
    pub fn pieces(&self) -> impl Iterator<Item = (Stream, &[u8])> {
        self.pieces.iter().map(|(stream, bytes)| (*stream, bytes.as_slice()))
    }

    /// As a file in memory, to be passed.
    ///
    /// # Errors
    /// When the kernel has no memory or no descriptor left.
    pub fn to_file(&self) -> io::Result<OwnedFd> {
        let bytes = postcard::to_stdvec(self).map_err(io::Error::other)?;
        let mut file = File::from(memfd_create(c"monoceros-output", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&bytes)?;
        Ok(file.into())
    }

    /// From such a file.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_file(file: OwnedFd) -> io::Result<Kept> {
        let wrong = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("cannot read kept output: {why}"));
        let file = File::from(file);
        if file.metadata()?.len() > FILE_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let mut bytes = Vec::new();
        // From its start, wherever whoever wrote it left the place to read from.
        let mut at = 0;
        loop {
            let mut piece = [0; 16 * 1024];
            match std::os::unix::fs::FileExt::read_at(&file, &mut piece, at)? {
                0 => break,
                count => bytes.extend_from_slice(&piece[..count]),
            }
            at = bytes.len() as u64;
            if at > FILE_BYTES_MAX {
                return Err(wrong("it is too long"));
            }
        }
        let kept: Kept = postcard::from_bytes(&bytes).map_err(|_| wrong("it is none"))?;
        Ok(Kept { bytes: kept.pieces.iter().map(|(_, piece)| piece.len()).sum(), ..kept })
    }

    /// Takes in what is there now of a pipe that does not block. False when it has ended.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&mut self, stream: Stream, mut pipe: impl Read) -> io::Result<bool> {
        let mut piece = [0; 16 * 1024];
        // A bound, for who writes without end would keep us here.
        for _ in 0..KEPT_BYTES_MAX / piece.len() {
            match pipe.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => self.push(stream, &piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_arrives_as_it_was_read() {
        let mut kept = Kept::default();
        kept.push(Stream::Out, b"one ");
        kept.push(Stream::Out, b"line\n");
        kept.push(Stream::Err, b"\xff\x00");
        kept.lost = 7;
        let arrived = Kept::from_file(kept.to_file().unwrap()).unwrap();
        assert_eq!(arrived, kept);
        let pieces: Vec<_> = arrived.pieces().collect();
        assert_eq!(pieces, [(Stream::Out, &b"one line\n"[..]), (Stream::Err, b"\xff\x00")]);
    }

    #[test]
    fn the_oldest_goes_when_there_is_no_room_and_is_counted() {
        let mut kept = Kept::default();
        kept.push(Stream::Err, b"oldest");
        for _ in 0..10 {
            kept.push(Stream::Out, &[b'x'; KEPT_BYTES_MAX / 4]);
        }
        let left: usize = kept.pieces().map(|(_, piece)| piece.len()).sum();
        assert_eq!(left, KEPT_BYTES_MAX);
        assert_eq!(kept.lost, 6 + 6 * KEPT_BYTES_MAX as u64 / 4);
        assert!(Kept::from_file(kept.to_file().unwrap()).is_ok());
    }

    #[test]
    fn many_small_writes_fit_into_a_file() {
        let mut kept = Kept::default();
        for number in 0..KEPT_BYTES_MAX {
            kept.push(Stream::BOTH[number % 2], b"x");
        }
        assert!(Kept::from_file(kept.to_file().unwrap()).is_ok());
    }

    #[test]
    fn another_file_is_refused() {
        let of = |bytes: &[u8]| {
            let mut file = File::from(memfd_create(c"other", MFdFlags::MFD_CLOEXEC).unwrap());
            file.write_all(bytes).unwrap();
            Kept::from_file(file.into())
        };
        assert!(of(b"").is_err() && of(&[0xff; 100]).is_err());
        assert!(of(&vec![0; 5 * KEPT_BYTES_MAX]).unwrap_err().to_string().ends_with("it is too long"));
    }
}
