//! What is ready to leave on a connection, in order: bytes, then perhaps a stretch of a file, then the bytes behind it.
//!
//! A queue of at most one file is enough, because the next item of an answer is asked for only when this is empty.

use std::fs::File;

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
    behind: Vec<u8>,
}

/// What to send next.
#[derive(Debug)]
pub enum Piece<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// This part of a file.
    Stretch(&'a mut Stretch),
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

    /// Whether all has left.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && self.stretch.is_none()
    }

    /// What to send next. Tell with [`Output::sent`] how much of it went.
    pub fn front(&mut self) -> Piece<'_> {
        if self.sent < self.bytes.len() {
            return Piece::Bytes(&self.bytes[self.sent..]);
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

    /// Forgets what has not left.
    pub fn clear(&mut self) {
        *self = Output::default();
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
