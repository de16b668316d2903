//! What is ready to leave on a connection, in order: bytes, then perhaps a stretch of a file, then the bytes behind it.
//!
//! A queue of at most one file is enough, because the next item of an answer is asked for only when this is empty. One for a gateway that
//! wants content in packets is read into those, some at a time.

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::wire::gateway::answer::Manner;

/// Bytes of a file that are put into packets at once. Less costs more reads and sends, more costs memory for each slow reader.
const PACKED_BYTES: u64 = 64 * 1024;

/// A part of a plain file that is still to be sent.
#[derive(Debug)]
pub struct Stretch {
    /// The file; its own position is neither used nor moved.
    pub file: File,
    /// Where the part begins, in bytes.
    pub offset: u64,
    /// How many bytes are left of it.
    pub length: u64,
}

/// Bytes and files on their way out.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
    stretch: Option<Stretch>,
    /// How the stretch is put into packets, if it is.
    packed: Option<Manner>,
    behind: Vec<u8>,
}

/// What to send next.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This part of a file.
    Stretch(&'a mut Stretch),
    /// A file that cannot be read, or is shorter than it was: the rest cannot be sent.
    Broken,
    /// Nothing is left.
    Nothing,
}

impl Output {
    /// Where the next bytes are to be written.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.stretch.is_some() { &mut self.behind } else { &mut self.bytes }
    }

    /// Queues a part of a file behind the bytes.
    pub fn push(&mut self, stretch: Stretch) {
        assert!(self.stretch.is_none(), "the item before was not sent yet");
        self.stretch = Some(stretch);
    }

    /// The same in packets, as this manner has them.
    pub fn push_packed(&mut self, stretch: Stretch, manner: Manner) {
        self.push(stretch);
        self.packed = Some(manner);
    }

    /// Whether all has left.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.stretch.is_none()
    }

    /// Bytes that wait, if nothing else does.
    pub fn bytes_alone(&self) -> Option<usize> {
        self.stretch.is_none().then(|| self.bytes.len() - self.sent)
    }

    /// What to send next. Tell with [`Output::sent`] how much of it went.
    #[inline]
    pub fn front(&mut self) -> Piece<'_> {
        if self.sent < self.bytes.len() {
            return Piece::Bytes(&self.bytes[self.sent..]);
        }
        if let Some(manner) = self.packed {
            return if self.pack(manner) { Piece::Bytes(&self.bytes[self.sent..]) } else { Piece::Broken };
        }
        match &mut self.stretch {
            Some(stretch) => Piece::Stretch(stretch),
            None => Piece::Nothing,
        }
    }

    /// So many bytes of the last piece have left.
    pub fn sent(&mut self, count: usize) {
        if self.sent < self.bytes.len() {
            self.sent += count;
        } else if let Some(stretch) = &mut self.stretch {
            stretch.offset += count as u64;
            stretch.length -= count as u64;
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            if self.stretch.as_ref().is_some_and(|stretch| stretch.length == 0) {
                self.stretch = None;
                std::mem::swap(&mut self.bytes, &mut self.behind);
            }
        }
    }

    /// Puts the next of the file into packets. Says whether it could be had.
    fn pack(&mut self, manner: Manner) -> bool {
        let Some(stretch) = &mut self.stretch else { return false };
        let mut content = vec![0; stretch.length.min(PACKED_BYTES) as usize];
        if stretch.file.read_exact_at(&mut content, stretch.offset).is_err() {
            return false;
        }
        stretch.offset += content.len() as u64;
        stretch.length -= content.len() as u64;
        let mut rest = &content[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(manner.fit(rest.len() as u64) as usize);
            manner.open(piece.len() as u64, &mut self.bytes);
            self.bytes.extend_from_slice(piece);
            manner.close(piece.len() as u64, &mut self.bytes);
            rest = behind;
        }
        if stretch.length == 0 {
            (self.stretch, self.packed) = (None, None);
            self.bytes.append(&mut self.behind);
        }
        true
    }

    /// Forgets what has not left.
    pub fn clear(&mut self) {
        *self = Output::default();
    }

    /// Forgets all of it, and keeps little more than so many bytes of memory.
    pub fn empty(&mut self, keep: usize) {
        let (mut bytes, mut behind) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.behind));
        bytes.clear();
        behind.clear();
        *self = Output { bytes, behind, ..Output::default() };
        self.shrink(keep);
    }

    /// Gives memory back that an idle connection should not hold.
    pub fn shrink(&mut self, keep: usize) {
        if self.bytes.capacity() > keep {
            self.bytes = Vec::new();
        }
        if self.behind.capacity() > keep {
            self.behind = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_a_gateway_goes_in_packets() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[b'x'; 100_000]).unwrap();
        let mut output = Output::default();
        output.tail().extend_from_slice(b"head");
        output.push_packed(Stretch { file, offset: 1, length: 99_000 }, Manner::Ajp);
        output.tail().extend_from_slice(b"end");
        let mut all = Vec::new();
        while let Piece::Bytes(bytes) = output.front() {
            assert!(bytes.len() < 70_000, "some at a time");
            all.extend_from_slice(bytes);
            let count = bytes.len();
            output.sent(count);
        }
        // 65536 bytes are eight packets of 8184 and one of 64; the other 33464 are four and one.
        assert_eq!(all.len(), 4 + 99_000 + 14 * 8 + 3);
        assert!(all.starts_with(b"headAB\x1f\xfc\x03\x1f\xf8xxx") && all.ends_with(b"xxx\0end"));
        assert!(output.is_empty());
        let file = tempfile::tempfile().unwrap();
        output.push_packed(Stretch { file, offset: 0, length: 1 }, Manner::Ajp);
        assert!(matches!(output.front(), Piece::Broken), "it is shorter than it was");
    }

    #[test]
    fn bytes_behind_a_file_leave_after_it() {
        let mut output = Output::default();
        output.tail().extend_from_slice(b"head");
        output.push(Stretch { file: tempfile::tempfile().unwrap(), offset: 2, length: 3 });
        output.tail().extend_from_slice(b"end");
        assert!(matches!(output.front(), Piece::Bytes(b"head")));
        output.sent(1);
        assert!(matches!(output.front(), Piece::Bytes(b"ead")));
        output.sent(3);
        assert!(matches!(output.front(), Piece::Stretch(Stretch { offset: 2, length: 3, .. })));
        output.sent(2);
        assert!(matches!(output.front(), Piece::Stretch(Stretch { offset: 4, length: 1, .. })));
        output.sent(1);
        assert!(matches!(output.front(), Piece::Bytes(b"end")));
        output.sent(3);
        assert!(output.is_empty());
    }
}
