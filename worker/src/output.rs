//! What is ready to leave on a connection, in order: bytes, then perhaps a stretch of a file or a loan, then the bytes behind it.
//!
//! A queue of at most one of those is enough, because the next item of an answer is asked for only when this is empty. One for a gateway that
//! wants content in packets is read into those, some at a time.

use std::fs::File;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;

use crate::heap::empty;
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

/// Bytes of somebody else's, who leaves them as they are until this is dropped.
pub type Loan = Box<dyn AsRef<[u8]> + Send + Sync>;

/// What of a loan is still to be sent.
struct Lent {
    loan: Loan,
    sent: usize,
    end: usize,
}

impl Lent {
    fn rest(&self) -> &[u8] {
        &(*self.loan).as_ref()[self.sent..self.end]
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lent").field("sent", &self.sent).field("end", &self.end).finish_non_exhaustive()
    }
}

/// What is more than bytes of ours.
#[derive(Debug, Default)]
enum Bulk {
    #[default]
    Nothing,
    File(Stretch),
    /// A file that is put into packets.
    Packed(Stretch, Manner),
    Lent(Lent),
}

/// Bytes, files and loans on their way out.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
    bulk: Bulk,
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
        if self.has_bulk() { &mut self.behind } else { &mut self.bytes }
    }

    /// Queues a part of a file behind the bytes.
    pub fn push(&mut self, stretch: Stretch) {
        self.put(Bulk::File(stretch));
    }

    /// The same in packets, as this manner has them.
    pub fn push_packed(&mut self, stretch: Stretch, manner: Manner) {
        self.put(Bulk::Packed(stretch, manner));
    }

    /// Queues the first `length` bytes of a loan behind the bytes, without a copy.
    pub fn push_lent(&mut self, loan: Loan, length: usize) {
        self.put(Bulk::Lent(Lent { loan, sent: 0, end: length }));
    }

    fn put(&mut self, bulk: Bulk) {
        assert!(!self.has_bulk(), "the item before was not sent yet");
        self.bulk = bulk;
    }

    /// Whether something else than bytes waits.
    pub fn has_bulk(&self) -> bool {
        !matches!(self.bulk, Bulk::Nothing)
    }

    /// Whether all has left.
    pub fn is_empty(&self) -> bool {
        self.sent == self.bytes.len() && !self.has_bulk()
    }

    /// Whether a file follows the bytes at once.
    pub fn has_file_behind(&self) -> bool {
        matches!(self.bulk, Bulk::File(_))
    }

    /// Bytes that wait, if nothing else does.
    pub fn bytes_alone(&self) -> Option<usize> {
        (!self.has_bulk()).then(|| self.bytes.len() - self.sent)
    }

    /// What to send next. Tell with [`Output::sent`] how much of it went.
    #[inline]
    pub fn front(&mut self) -> Piece<'_> {
        if self.sent < self.bytes.len() {
            return Piece::Bytes(&self.bytes[self.sent..]);
        }
        if matches!(self.bulk, Bulk::Packed(..)) {
            return if self.pack() { Piece::Bytes(&self.bytes[self.sent..]) } else { Piece::Broken };
        }
        match &mut self.bulk {
            Bulk::Nothing | Bulk::Packed(..) => Piece::Nothing,
            Bulk::File(stretch) => Piece::Stretch(stretch),
            Bulk::Lent(lent) => Piece::Bytes(lent.rest()),
        }
    }

    /// The bytes and the loan behind them, if there are both, so that one call sends them.
    #[inline]
    pub fn front_two(&self) -> Option<[IoSlice<'_>; 2]> {
        match &self.bulk {
            Bulk::Lent(lent) if self.sent < self.bytes.len() => {
                Some([IoSlice::new(&self.bytes[self.sent..]), IoSlice::new(lent.rest())])
            }
            Bulk::Nothing | Bulk::File(_) | Bulk::Packed(..) | Bulk::Lent(_) => None,
        }
    }

    /// So many bytes of the last piece have left, or of two.
    pub fn sent(&mut self, count: usize) {
        let own = count.min(self.bytes.len() - self.sent);
        self.sent += own;
        let count = count - own;
        let is_over = match &mut self.bulk {
            Bulk::Nothing | Bulk::Packed(..) => false,
            Bulk::File(stretch) => {
                stretch.offset += count as u64;
                stretch.length -= count as u64;
                stretch.length == 0
            }
            Bulk::Lent(lent) => {
                lent.sent += count;
                lent.sent == lent.end
            }
        };
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
            if is_over {
                self.bulk = Bulk::Nothing;
                std::mem::swap(&mut self.bytes, &mut self.behind);
            }
        }
    }

    /// Puts the next of the file into packets. Says whether it could be had.
    fn pack(&mut self) -> bool {
        let Bulk::Packed(stretch, manner) = &mut self.bulk else { return false };
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
            self.bulk = Bulk::Nothing;
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
        let Output { bytes, sent, bulk, behind } = self;
        empty(bytes, keep);
        empty(behind, keep);
        (*sent, *bulk) = (0, Bulk::Nothing);
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

    #[test]
    fn a_loan_leaves_between_the_bytes_however_it_is_cut() {
        for cut in 1..=9 {
            let mut output = Output::default();
            output.tail().extend_from_slice(b"<<");
            output.push_lent(Box::new(b"lent and more".to_vec()), 4);
            output.tail().extend_from_slice(b">>");
            let mut all = Vec::new();
            while !output.is_empty() {
                let ready = match output.front_two() {
                    Some([first, second]) => [&*first, &*second].concat(),
                    None => match output.front() {
                        Piece::Bytes(bytes) => bytes.to_vec(),
                        piece => panic!("{piece:?} instead of bytes"),
                    },
                };
                let count = ready.len().min(cut);
                all.extend_from_slice(&ready[..count]);
                output.sent(count);
            }
            assert_eq!(all, b"<<lent>>", "{cut} bytes at a time");
        }
    }
}
