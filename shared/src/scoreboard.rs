//! What a worker is doing, in memory that both programs see: counters, two heartbeats, and each thread's request.
//!
//! ```text
//!   | header: magic, version, threads, tallies | counters | tally | tally | ... | thread row | thread row | ...      (a memfd)
//!   row: | serial | length | since | request line, 168 bytes in words |
//! ```
//!
//! A [`Tally`] is one thread's; a row is one call's, of which a thread may have many at once where there are greenlets.
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

mod tally;

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use crate::config::App;
use crate::link::VERSION;
use crate::sealed;
pub use tally::{BOUNDS_NS, BUCKETS, Histogram, Tally};

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
    tallies: AtomicU64,
}

/// What a worker's threads count together, or only the one that leads. The rest is in their tallies.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections held now.
    pub open: AtomicU64,
    /// Lines that were logged: critical ones, errors, warnings.
    pub logged: [AtomicU64; 3],
    /// Exceptions of the application's that were logged; each is one of the errors too.
    pub exceptions: AtomicU64,
    /// Whole requests that wait for a thread now.
    pub queued: AtomicU64,
    /// When the I/O loop last went round, in ms.
    pub io_beat: AtomicU64,
    /// When Python last ran, in ms.
    pub python_beat: AtomicU64,
    /// Rows that were ever used: those beyond need not be looked at.
    pub rows: AtomicU64,
    /// Calls that there can be at once, where these are not as many as there are rows; else 0.
    pub calls_max: AtomicU64,
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
    size: Size,
    /// Kept, so that the next supervisor can be given it.
    memory: File,
}

impl Scoreboard {
    /// A new one of this size, and the descriptor to pass to the worker.
    pub fn create(size: Size) -> io::Result<(Scoreboard, OwnedFd)> {
        let file = sealed::create("monoceros-scoreboard", size.bytes())?;
        let board = Scoreboard { map: map(&file, size)?, size, memory: file.try_clone()? };
        let header = board.header();
        header.version.store(VERSION.into(), Ordering::Relaxed);
        header.threads.store(size.threads as u64, Ordering::Relaxed);
        header.tallies.store(size.tallies as u64, Ordering::Relaxed);
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
        if !is_sealed || length < Size::NONE.bytes() as u64 {
            return Err(wrong("its size is not what it should be"));
        }
        let head = Scoreboard { map: map(&file, Size::NONE)?, size: Size::NONE, memory: file };
        if head.header().magic.load(Ordering::Acquire) != MAGIC {
            return Err(wrong("it is another thing"));
        }
        let version = head.header().version.load(Ordering::Relaxed);
        if version != u64::from(VERSION) {
            return Err(wrong(&format!("it has version {version}, this program version {VERSION}")));
        }
        let word = |word: &AtomicU64| usize::try_from(word.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let size = Size { threads: word(&head.header().threads), tallies: word(&head.header().tallies) };
        let is_sane = size.threads <= THREADS_MAX && (1..=THREADS_MAX).contains(&size.tallies);
        if !is_sane || length != size.bytes() as u64 {
            return Err(wrong("its size is not what it should be"));
        }
        Ok(Scoreboard { map: map(&head.memory, size)?, size, memory: head.memory })
    }

    /// The memory itself, to be passed on.
    pub fn memory(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }

    /// What the worker's threads count together.
    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    pub fn counters(&self) -> &Counters {
        // SAFETY: as for `header`; `map` has made the mapping long enough for the counters behind it.
        unsafe { &*self.map.as_ptr().add(size_of::<Header>()).cast::<Counters>() }
    }

    /// What each of its threads counts, by the thread's number.
    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    pub fn tallies(&self) -> &[Tally] {
        // SAFETY: as for `header`; `map` has made the mapping long enough for `self.size.tallies` tallies behind the counters, and
        // `self.size` is our own copy, which nobody who shares the memory can change. A tally is words that are atomic.
        unsafe { slice::from_raw_parts(self.map.as_ptr().add(Size::NONE.bytes()).cast::<Tally>(), self.size.tallies) }
    }

    /// The tally of this thread; the last one's, where the number is beyond.
    pub fn tally(&self, thread: usize) -> &Tally {
        let tallies = self.tallies();
        &tallies[thread.min(tallies.len() - 1)]
    }

    /// Requests that a call began for, of all threads.
    pub fn requests(&self) -> u64 {
        self.tallies().iter().fold(0, |sum, tally| sum.wrapping_add(tally.requests.get()))
    }

    /// What each of its threads does, by the thread's number.
    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    pub fn threads(&self) -> &[ThreadRow] {
        let before = Size { threads: 0, ..self.size }.bytes();
        // SAFETY: as for `header`; `map` has made the mapping long enough for `self.size.threads` rows behind the tallies,
        // and `self.size` is our own copy, which nobody who shares the memory can change.
        unsafe { slice::from_raw_parts(self.map.as_ptr().add(before).cast::<ThreadRow>(), self.size.threads) }
    }

    /// The rows that were ever used. With greenlets there may be thousands that were not, whose memory is not to be touched.
    pub fn used(&self) -> &[ThreadRow] {
        let used = self.counters().rows.load(Ordering::Relaxed);
        &self.threads()[..usize::try_from(used).unwrap_or(usize::MAX).min(self.size.threads)]
    }

    /// How many calls there can be at once.
    pub fn calls_max(&self) -> usize {
        let said = usize::try_from(self.counters().calls_max.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        if said == 0 { self.size.threads } else { said.min(self.size.threads) }
    }

    /// Row `index` is used from now on.
    pub fn use_row(&self, index: usize) {
        self.counters().rows.fetch_max(index as u64 + 1, Ordering::Relaxed);
    }

    #[expect(unsafe_code, reason = "a typed view of shared memory")]
    fn header(&self) -> &Header {
        // SAFETY: `map` starts on a page, which is more than the 64 bytes of alignment asked for, and is at least
        // `Size::NONE.bytes()` long; `open` and `create` make sure that the seals keep it so. Everything in it is an
        // AtomicU64, which any bytes are a value of and which any process may change. It lives as long as `self`.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }
}

/// What a scoreboard has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Calls at once.
    pub threads: usize,
    /// Threads that count, at least one.
    pub tallies: usize,
}

impl Size {
    const NONE: Size = Size { threads: 0, tallies: 0 };

    /// What the workers of an application need: a tally for each thread that calls it, and one for the watch.
    pub fn of(app: &App) -> Size {
        Size { threads: app.rows_max(), tallies: app.threads + 1 }
    }

    /// One of which nothing is known.
    pub const BLANK: Size = Size { threads: 1, tallies: 1 };

    const fn bytes(self) -> usize {
        let tallies = self.tallies.saturating_mul(size_of::<Tally>());
        let rows = self.threads.saturating_mul(size_of::<ThreadRow>());
        (size_of::<Header>() + size_of::<Counters>()).saturating_add(tallies).saturating_add(rows)
    }
}

fn map(file: &File, size: Size) -> io::Result<MmapRaw> {
    MmapOptions::new().len(size.bytes()).map_raw(file)
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
        let (ours, descriptor) = Scoreboard::create(Size { threads, tallies: 2 }).unwrap();
        (ours, Scoreboard::open(descriptor).unwrap())
    }

    #[test]
    fn what_one_side_writes_the_other_reads() {
        let (ours, theirs) = both(3);
        theirs.counters().open.fetch_add(7, Ordering::Relaxed);
        theirs.counters().python_beat.store(9, Ordering::Relaxed);
        assert_eq!(ours.counters().open.load(Ordering::Relaxed), 7);
        assert_eq!(ours.counters().python_beat.load(Ordering::Relaxed), 9);
        assert_eq!(ours.threads().len(), 3);
        theirs.threads()[2].begin(b"GET /a HTTP/1.1", 1234);
        assert_eq!(ours.threads()[2].current(), Some(("GET /a HTTP/1.1".into(), 1234)));
        assert_eq!(ours.threads()[1].current(), None);
        theirs.threads()[2].end();
        assert_eq!(ours.threads()[2].current(), None);
    }

    #[test]
    fn each_thread_counts_for_itself_and_all_are_seen() {
        let (ours, theirs) = both(1);
        theirs.tally(0).requests.add(3);
        theirs.tally(1).requests.add(4);
        theirs.tally(usize::MAX).requests.add(5);
        assert_eq!((ours.requests(), ours.tallies()[1].requests.get()), (12, 9));
        assert_eq!(theirs.threads()[0].current(), None, "a tally lies in a row");
        theirs.threads()[0].begin(&[b'x'; LINE_BYTES_MAX], 1);
        assert_eq!((ours.requests(), ours.tallies()[1].statuses().map(|(_, count)| count).sum::<u64>()), (12, 0));
    }

    #[test]
    fn answers_are_counted_by_their_status_and_nonsense_is_not() {
        let (ours, theirs) = both(1);
        for status in [100, 200, 200, 599, 0, 99, 600, u16::MAX] {
            theirs.tally(0).count_answer(status);
        }
        let seen: Vec<(u16, u64)> = ours.tally(0).statuses().filter(|(_, count)| *count > 0).collect();
        assert_eq!(seen, [(100, 1), (200, 2), (599, 1)]);
    }

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_does_not_pass() {
        let (ours, theirs) = both(1);
        let (theirs, ours) = (&theirs.tally(1).duration, &ours.tally(1).duration);
        for (bucket, bound) in BOUNDS_NS.into_iter().enumerate() {
            theirs.record(bound);
            theirs.record(bound + 1);
            assert_eq!((ours.buckets()[bucket], ours.buckets()[bucket + 1]), (if bucket == 0 { 1 } else { 2 }, 1));
        }
        theirs.record(0);
        theirs.record(u64::MAX);
        assert_eq!((ours.buckets()[0], ours.buckets()[BUCKETS - 1]), (2, 2));
        let sum: u64 = BOUNDS_NS.iter().map(|bound| 2 * bound + 1).sum();
        assert_eq!(ours.sum_ns(), sum.wrapping_sub(1), "it goes round rather than to panic");
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
        loose.set_len(Size::BLANK.bytes() as u64).unwrap();
        assert!(refused(loose.try_clone().unwrap().into()).contains("its size"));
        fcntl(&loose, FcntlArg::F_ADD_SEALS(SEALS)).unwrap();
        assert!(refused(loose.into()).contains("another thing"));

        let wrongs = [(8, 77, "version 77"), (16, 2, "its size"), (24, 2, "its size"), (24, 0, "its size")];
        let wrongs = wrongs.into_iter().chain([(16, u64::MAX, "its size"), (24, u64::MAX, "its size")]);
        for (offset, value, why) in wrongs {
            let (_, descriptor) = Scoreboard::create(Size::BLANK).unwrap();
            let file = File::from(descriptor);
            file.write_all_at(&u64::to_ne_bytes(value), offset).unwrap();
            assert!(refused(file.into()).contains(why));
        }
    }

    #[test]
    fn nobody_can_shorten_it_under_another() {
        let (_, descriptor) = Scoreboard::create(Size::BLANK).unwrap();
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
