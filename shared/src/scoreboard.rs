//! What a worker is doing, in memory that both programs see: counters, two heartbeats, and each thread's request.
//!
//! ```text
//!   | header: magic, version, threads | counters | thread row | thread row | ...      (a memfd; 192 bytes each)
//!   row: | serial | length | since | request line, 168 bytes in words |
//! ```
//!
//! Rules
//! * The worker writes, the supervisor reads, nobody waits: every field is an atomic word, and a reader that meets a
//!   row in change looks again. It needs no word from the worker, and outlives one that crashed: the flight recorder.
//! * The size is sealed, so that no process can shorten it under another's mapping (which would be a SIGBUS).
//!   What an application scribbles into it can make numbers wrong, never more than that.
//! * A row belongs to one thread. Its serial is odd while the row is written, and even when it may be read.
//! * Times are milliseconds of `CLOCK_MONOTONIC`, which both programs share.
//!
//! Known fault: a thread killed in the few nanoseconds in which it writes its row leaves no readable line.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::link::VERSION;
use crate::sealed;

/// `monoscbd`, so that another descriptor by mistake is told from a scoreboard.
const MAGIC: u64 = u64::from_le_bytes(*b"monoscbd");

/// Threads that a scoreboard can hold. Above any sensible engine; below what would make a wrong header map gigabytes.
const THREADS_MAX: usize = 65_536;

/// Words of a request line. With the three before them a row fills three cache lines, so that threads do not share one.
const LINE_WORDS: usize = 21;

/// Bytes kept of a request line: most are shorter than half of it; a longer one is still told by its start.
pub const LINE_BYTES_MAX: usize = LINE_WORDS * 8;

/// How often a reader looks at a row that is being written. A write takes nanoseconds, so the second look succeeds
/// unless the writer was stopped in the middle, and then no number of looks would.
const LOOKS_MAX: usize = 64;

#[repr(C, align(64))]
struct Header {
    magic: AtomicU64,
    version: AtomicU64,
    threads: AtomicU64,
}

/// What a worker counts since it started. Each only grows, but `open` and the beats.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections held now.
    pub open: AtomicU64,
    /// Requests whose head was complete and right.
    pub requests: AtomicU64,
    /// Answers begun, by the first digit of their status: `responses[0]` counts 1xx.
    pub responses: [AtomicU64; 5],
    /// Requests that never reached the application, for their form or their size.
    pub refused: AtomicU64,
    /// When the I/O loop last went round, in ms.
    pub io_beat: AtomicU64,
    /// When Python last ran, in ms.
    pub python_beat: AtomicU64,
    /// Rows that were ever used: those beyond need not be looked at.
    pub rows: AtomicU64,
}

/// What one thread that runs Python is doing.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ThreadRow {
    serial: AtomicU64,
    /// 0 when idle, else one more than the bytes of the line.
    length: AtomicU64,
    since_ms: AtomicU64,
    line: [AtomicU64; LINE_WORDS],
}

impl ThreadRow {
    /// The thread takes up a request. Only the row's own thread may call this.
    pub fn begin(&self, request_line: &[u8], now_ms: u64) {
        let line = &request_line[..request_line.len().min(LINE_BYTES_MAX)];
        let odd = self.serial.load(Ordering::Relaxed) | 1;
        self.serial.store(odd, Ordering::Relaxed);
        // The odd serial is seen before any word of the change is.
        fence(Ordering::Release);
        self.since_ms.store(now_ms, Ordering::Relaxed);
        self.length.store(line.len() as u64 + 1, Ordering::Relaxed);
        let (whole, rest) = line.as_chunks::<8>();
        for (word, bytes) in self.line.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.line[whole.len()].store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        self.serial.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// The thread is done with it.
    pub fn end(&self) {
        self.length.store(0, Ordering::Release);
    }

    /// The request it runs, with control characters escaped, and since when. `None` when it is idle.
    pub fn current(&self) -> Option<(String, u64)> {
        (0..LOOKS_MAX).find_map(|_| self.look())?
    }

    /// A number that grows with every request begun: the same twice means still the same request.
    pub fn serial(&self) -> u64 {
        self.serial.load(Ordering::Acquire)
    }

    /// One try to read the row; `None` when it changed meanwhile.
    fn look(&self) -> Option<Option<(String, u64)>> {
        let serial = self.serial.load(Ordering::Acquire);
        let length = self.length.load(Ordering::Relaxed);
        let since_ms = self.since_ms.load(Ordering::Relaxed);
        let mut bytes = [0; LINE_BYTES_MAX];
        let (words, _) = bytes.as_chunks_mut::<8>();
        for (into, word) in words.iter_mut().zip(&self.line) {
            *into = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        // Every word was read before the serial is read again.
        fence(Ordering::Acquire);
        if !serial.is_multiple_of(2) || self.serial.load(Ordering::Relaxed) != serial {
            return None;
        }
        // The length may be anything: an application can write here.
        let line = length.checked_sub(1).map(|length| &bytes[..(length as usize).min(LINE_BYTES_MAX)]);
        Some(line.map(|line| (printable(line), since_ms)))
    }
}

/// One worker's board.
pub struct Scoreboard {
    map: MmapRaw,
    threads: usize,
    /// Kept, so that the next supervisor can be given it.
    memory: File,
}

impl Scoreboard {
    /// A new one for a worker with that many threads, and the descriptor to pass to it.
    pub fn create(threads: usize) -> io::Result<(Scoreboard, OwnedFd)> {
        let file = sealed::create("monoceros-scoreboard", size_for(threads))?;
        let board = Scoreboard { map: map(&file, threads)?, threads, memory: file.try_clone()? };
        let header = board.header();
        header.version.store(VERSION.into(), Ordering::Relaxed);
        header.threads.store(threads as u64, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Release);
        Ok((board, file.into()))
    }

    /// Takes up one that was passed.
    ///
    /// # Errors
    /// When it is no scoreboard, one of another version, or one whose size is not sealed or not what it says.
    pub fn open(memory: OwnedFd) -> io::Result<Scoreboard> {
        let file = File::from(memory);
        let length = file.metadata()?.len();
        let is_sealed = sealed::is_sealed(&file).map_err(|_| wrong("it is no sealed memory"))?;
        if !is_sealed || length < size_for(0) as u64 {
            return Err(wrong("its size is not what it should be"));
        }
        let head = Scoreboard { map: map(&file, 0)?, threads: 0, memory: file };
        if head.header().magic.load(Ordering::Acquire) != MAGIC {
            return Err(wrong("it is another thing"));
        }
        let version = head.header().version.load(Ordering::Relaxed);
        if version != u64::from(VERSION) {
            return Err(wrong(&format!("it has version {version}, this program version {VERSION}")));
        }
        let threads = head.header().threads.load(Ordering::Relaxed) as usize;
        if threads > THREADS_MAX || length != size_for(threads) as u64 {
            return Err(wrong("its size is not what it should be"));
        }
        Ok(Scoreboard { map: map(&head.memory, threads)?, threads, memory: head.memory })
    }

    /// The memory itself, to be passed on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// What the worker counts.
    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    pub fn counters(&self) -> &Counters {
        // SAFETY: as for `header`; `map` has made the mapping long enough for the counters behind it.
        unsafe { &*self.map.as_ptr().add(size_of::<Header>()).cast::<Counters>() }
    }

    /// What each of its threads does, by the thread's number.
    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    pub fn threads(&self) -> &[ThreadRow] {
        // SAFETY: as for `header`; `map` has made the mapping long enough for `self.threads` rows behind the counters,
        // and `self.threads` is our own copy, which nobody who shares the memory can change.
        unsafe { slice::from_raw_parts(self.map.as_ptr().add(size_for(0)).cast::<ThreadRow>(), self.threads) }
    }

    /// The rows that were ever used. With greenlets there may be thousands that were not, whose memory is not to be touched.
    pub fn used(&self) -> &[ThreadRow] {
        let used = self.counters().rows.load(Ordering::Relaxed);
        &self.threads()[..usize::try_from(used).unwrap_or(usize::MAX).min(self.threads)]
    }

    /// Row `index` is used from now on.
    pub fn use_row(&self, index: usize) {
        self.counters().rows.fetch_max(index as u64 + 1, Ordering::Relaxed);
    }

    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    fn header(&self) -> &Header {
        // SAFETY: `map` starts on a page, which is more than the 64 bytes of alignment asked for, and is at least
        // `size_for(0)` long; `open` and `create` make sure that the seals keep it so. Everything in it is an
        // AtomicU64, which any bytes are a value of and which any process may change. It lives as long as `self`.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }
}

const fn size_for(threads: usize) -> usize {
    size_of::<Header>() + size_of::<Counters>() + threads * size_of::<ThreadRow>()
}

fn map(file: &File, threads: usize) -> io::Result<MmapRaw> {
    MmapOptions::new().len(size_for(threads)).map_raw(file)
}

fn printable(line: &[u8]) -> String {
    let mut text = String::with_capacity(line.len());
    for character in String::from_utf8_lossy(line).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot open the scoreboard: {why}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use nix::fcntl::{FcntlArg, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::thread;

    use super::*;
    use crate::sealed::SEALS;

    fn both(threads: usize) -> (Scoreboard, Scoreboard) {
        let (ours, descriptor) = Scoreboard::create(threads).unwrap();
        (ours, Scoreboard::open(descriptor).unwrap())
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let (ours, theirs) = both(3);
        theirs.counters().responses[4].fetch_add(7, Ordering::Relaxed);
        theirs.counters().python_beat.store(9, Ordering::Relaxed);
        assert_eq!(ours.counters().responses[4].load(Ordering::Relaxed), 7);
        assert_eq!(ours.counters().python_beat.load(Ordering::Relaxed), 9);
        assert_eq!(ours.threads().len(), 3);
        theirs.threads()[2].begin(b"GET /a HTTP/1.1", 1234);
        assert_eq!(ours.threads()[2].current(), Some(("GET /a HTTP/1.1".into(), 1234)));
        assert_eq!(ours.threads()[1].current(), None);
        theirs.threads()[2].end();
        assert_eq!(ours.threads()[2].current(), None);
    }

    #[test]
    fn only_rows_that_were_used_are_looked_at() {
        let (ours, theirs) = both(3);
        assert_eq!(ours.used().len(), 0);
        theirs.use_row(1);
        theirs.use_row(0);
        assert_eq!(ours.used().len(), 2);
        theirs.counters().rows.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(ours.used().len(), 3, "an application can write anything there");
    }

    #[test]
    fn it_outlives_the_side_that_wrote() {
        let (ours, theirs) = both(1);
        theirs.threads()[0].begin(b"GET /crash HTTP/1.1", 5);
        drop(theirs);
        assert_eq!(ours.threads()[0].current(), Some(("GET /crash HTTP/1.1".into(), 5)));
    }

    #[test]
    fn lines_of_every_length_come_back_cut_at_the_bound() {
        let (ours, theirs) = both(1);
        let line: String = ('!'..='~').cycle().take(LINE_BYTES_MAX + 9).collect();
        for length in (0..line.len()).chain((0..line.len()).rev()) {
            theirs.threads()[0].begin(&line.as_bytes()[..length], 1);
            let expected = &line[..length.min(LINE_BYTES_MAX)];
            assert_eq!(ours.threads()[0].current().unwrap().0, expected);
        }
    }

    #[test]
    fn a_request_line_cannot_forge_a_log_line() {
        let (ours, theirs) = both(1);
        theirs.threads()[0].begin(b"GET /\r\n\x1b[2J\xff HTTP/1.1", 1);
        assert_eq!(ours.threads()[0].current().unwrap().0, "GET /\\r\\n\\u{1b}[2J\u{fffd} HTTP/1.1");
    }

    #[test]
    fn the_serial_grows_with_each_request() {
        let (ours, theirs) = both(1);
        let before = ours.threads()[0].serial();
        theirs.threads()[0].begin(b"a", 1);
        let during = ours.threads()[0].serial();
        theirs.threads()[0].end();
        assert!(before < during);
        assert_eq!(during, ours.threads()[0].serial());
    }

    #[test]
    fn a_reader_never_takes_half_a_line() {
        let (ours, theirs) = both(1);
        let lines: Vec<String> = ('a'..='z').map(|letter| letter.to_string().repeat(LINE_BYTES_MAX)).collect();
        let stop = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for line in lines.iter().cycle() {
                    theirs.threads()[0].begin(line.as_bytes(), u64::from(line.as_bytes()[0]));
                    if stop.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                }
            });
            let halves = (0..20_000).filter_map(|_| ours.threads()[0].current()).find(|(line, since)| {
                let first = line.as_bytes()[0];
                *since != u64::from(first) || line.bytes().any(|byte| byte != first)
            });
            stop.store(1, Ordering::Relaxed);
            assert_eq!(halves, None);
        });
    }

    #[test]
    fn other_memory_is_refused() {
        let refused = |descriptor: OwnedFd| Scoreboard::open(descriptor).err().expect("opened").to_string();
        assert!(refused(File::open("/dev/null").unwrap().into()).contains("no sealed memory"));

        let loose = memfd_create("loose", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING).unwrap();
        let loose = File::from(loose);
        loose.set_len(size_for(1) as u64).unwrap();
        assert!(refused(loose.try_clone().unwrap().into()).contains("its size"));
        fcntl(&loose, FcntlArg::F_ADD_SEALS(SEALS)).unwrap();
        assert!(refused(loose.into()).contains("another thing"));

        for (offset, value, why) in [(8, 77, "version 77"), (16, 2, "its size"), (16, u64::MAX, "its size")] {
            let (_, descriptor) = Scoreboard::create(1).unwrap();
            let file = File::from(descriptor);
            file.write_all_at(&u64::to_ne_bytes(value), offset).unwrap();
            assert!(refused(file.into()).contains(why));
        }
    }

    #[test]
    fn nobody_can_shorten_it_under_another() {
        let (_, descriptor) = Scoreboard::create(1).unwrap();
        assert!(File::from(descriptor).set_len(0).is_err());
    }

    #[test]
    fn a_row_of_nonsense_is_read_without_harm() {
        let (ours, theirs) = both(1);
        theirs.threads()[0].length.store(u64::MAX, Ordering::Relaxed);
        assert_eq!(ours.threads()[0].current().unwrap().0.len(), LINE_BYTES_MAX * "\\u{0}".len());
        theirs.threads()[0].serial.store(1, Ordering::Relaxed);
        assert_eq!(ours.threads()[0].current(), None);
    }
}
