//! Where lines go, how they look and which are kept: shared by who logs, by the thread that writes, and by who changes it.
//!
//! Rules
//! * A change takes effect between two lines: none is lost, none is torn.
//! * A line that cannot be written whole is lost and counted. What was written of it is ended, so that the next line begins
//!   a line.
//! * To change it waits for nobody, least of all for a reader that stands still.
//!
//! Known fault: a line that is on its way to a reader that stands still is waited for, also when lines are to go elsewhere
//! meanwhile.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slog::Level;

use crate::config::{Log, LogFormat};
use crate::scoreboard::Scoreboard;

/// Where lines go.
#[derive(Clone)]
pub struct Outlet {
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<Target>,
    /// Held by the thread that writes, of which there are two in a worker; never by who changes something.
    writing: Mutex<()>,
    is_json: AtomicBool,
    level: AtomicUsize,
    /// Lines that could not be written and that nobody was told of.
    lost: AtomicU64,
    /// Whether the last line could be.
    is_well: AtomicBool,
    /// Where urgent lines are counted, if anywhere,
    board: OnceLock<Arc<Scoreboard>>,
    /// else here: critical ones, errors, warnings.
    logged: [AtomicU64; 3],
}

struct Target {
    file: Arc<File>,
    /// Whether what was written last is no whole line.
    is_torn: bool,
    reader: Reader,
}

/// Who reads the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Eyes that like colours.
    Terminal,
    /// systemd's journal, which has the time by itself, and takes the level from a line's beginning (sd-daemon(3)).
    Journal,
    /// Whoever it may be.
    Anybody,
}

impl Reader {
    fn of(file: &File) -> Reader {
        if file.is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            Reader::Terminal
        } else if std::env::var("JOURNAL_STREAM").is_ok_and(|named| is_named(&named, file)) {
            Reader::Journal
        } else {
            Reader::Anybody
        }
    }
}

/// Whether it is the file of this device and number, `8:1234`. What is inherited may be about another one (systemd.exec(5), `JOURNAL_STREAM`).
fn is_named(named: &str, file: &File) -> bool {
    file.metadata().is_ok_and(|about| named == format!("{}:{}", about.dev(), about.ino()))
}

impl Outlet {
    /// To this descriptor.
    pub fn new(descriptor: OwnedFd) -> Outlet {
        let file = File::from(descriptor);
        let shared = Shared {
            is_json: AtomicBool::new(false),
            level: AtomicUsize::new(Level::Info.as_usize()),
            lost: AtomicU64::new(0),
            is_well: AtomicBool::new(true),
            board: OnceLock::new(),
            logged: [const { AtomicU64::new(0) }; 3],
            target: Mutex::new(Target { reader: Reader::of(&file), file: Arc::new(file), is_torn: false }),
            writing: Mutex::new(()),
        };
        Outlet { shared: Arc::new(shared) }
    }

    /// To a copy of standard error.
    ///
    /// # Errors
    /// When no descriptor is left, or standard error is closed.
    pub fn stderr() -> io::Result<Outlet> {
        Ok(Outlet::new(io::stderr().as_fd().try_clone_to_owned()?))
    }

    /// What lines are written to now.
    pub fn file(&self) -> Arc<File> {
        self.target().file.clone()
    }

    /// Has lines go to this descriptor from now on. Gives the one before, which is closed when nobody writes to it any more.
    pub fn switch(&self, descriptor: OwnedFd) -> Arc<File> {
        let file = File::from(descriptor);
        let reader = Reader::of(&file);
        let mut target = self.target();
        target.is_torn = false;
        target.reader = reader;
        std::mem::replace(&mut target.file, Arc::new(file))
    }

    /// Has lines look as the config says, and those be kept that it asks for. Where it says that they go is not looked at.
    pub fn follow(&self, log: &Log) {
        self.shared.is_json.store(log.format == LogFormat::Json, Relaxed);
        self.shared.level.store(super::level(log.level).as_usize(), Relaxed);
    }

    /// Has lines that are urgent be counted there from now on.
    pub fn count_on(&self, board: &Arc<Scoreboard>) {
        // Nobody says it twice.
        let _ = self.shared.board.set(board.clone());
    }

    /// A line of this level was said.
    pub(super) fn count(&self, level: Level) {
        let place = match level {
            Level::Critical => 0,
            Level::Error => 1,
            Level::Warning => 2,
            Level::Info | Level::Debug | Level::Trace => return,
        };
        let counts = self.shared.board.get().map_or(&self.shared.logged, |board| &board.counters().logged);
        counts[place].fetch_add(1, Relaxed);
    }

    /// A line told of an exception that the application has raised.
    pub(super) fn count_exception(&self) {
        if let Some(board) = self.shared.board.get() {
            board.counters().exceptions.fetch_add(1, Relaxed);
        }
    }

    /// How many urgent lines were said before they were counted elsewhere: critical ones, errors, warnings.
    pub fn logged(&self) -> [u64; 3] {
        std::array::from_fn(|place| self.shared.logged[place].load(Relaxed))
    }

    pub(super) fn level(&self) -> Level {
        Level::from_usize(self.shared.level.load(Relaxed)).unwrap_or(Level::Info)
    }

    pub(super) fn format(&self) -> LogFormat {
        if self.shared.is_json.load(Relaxed) { LogFormat::Json } else { LogFormat::Text }
    }

    /// Who reads the lines.
    pub(super) fn reader(&self) -> Reader {
        self.target().reader
    }

    /// Writes a line, with its end.
    pub(super) fn write_line(&self, line: &[u8]) {
        self.write_lines(line);
    }

    /// Writes whole lines at once, with their ends.
    pub fn write_lines(&self, line: &[u8]) {
        let _one_after_the_other = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, is_torn) = {
            let target = self.target();
            (target.file.clone(), target.is_torn)
        };
        let outcome = if is_torn { write(&file, &[b"\n", line].concat()) } else { write(&file, line) };
        self.shared.is_well.store(outcome.is_ok(), Relaxed);
        if outcome.is_err() {
            let lines = line.iter().filter(|&&byte| byte == b'\n').count();
            self.shared.lost.fetch_add(lines.max(1) as u64, Relaxed);
        }
        let is_torn_now = match outcome {
            Ok(()) => false,
            // Not one byte more: it is as it was.
            Err(0) => is_torn,
            Err(_) => true,
        };
        if is_torn_now != is_torn {
            let mut target = self.target();
            // It may lead elsewhere by now.
            if Arc::ptr_eq(&target.file, &file) {
                target.is_torn = is_torn_now;
            }
        }
    }

    /// How many lines were lost that nobody was told of, if somebody can be told now.
    pub(super) fn take_lost(&self) -> Option<u64> {
        let is_well = self.shared.is_well.load(Relaxed);
        is_well.then(|| self.shared.lost.swap(0, Relaxed)).filter(|lost| *lost > 0)
    }

    #[cfg(test)]
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Relaxed)
    }

    #[cfg(test)]
    pub(super) fn pretend_to_be_torn(&self) {
        self.target().is_torn = true;
    }

    #[cfg(test)]
    pub(super) fn pretend_to_be(&self, reader: Reader) {
        self.target().reader = reader;
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.shared.target.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all, by one call where the kernel takes it at once. The error is how much was written.
fn write(mut file: &File, bytes: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(count) if count > 0 => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Somebody else made the descriptor one that does not block; it is waited for all the same.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLOUT)];
                if !matches!(poll(&mut fds, PollTimeout::NONE), Ok(_) | Err(nix::errno::Errno::EINTR)) {
                    return Err(written);
                }
            }
            Ok(_) | Err(_) => return Err(written),
        }
    }
    Ok(())
}

/// Collects a line of JSON, and writes it when its end has come.
pub(super) struct Line {
    outlet: Outlet,
    bytes: Vec<u8>,
}

impl Line {
    pub(super) fn new(outlet: Outlet) -> Line {
        Line { outlet, bytes: Vec::new() }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        // JSON escapes the line ends within it.
        if bytes.ends_with(b"\n") {
            self.outlet.write_line(&self.bytes);
            self.bytes.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_journals_by_its_device_and_number() {
        let file = tempfile::tempfile().unwrap();
        let about = file.metadata().unwrap();
        assert!(is_named(&format!("{}:{}", about.dev(), about.ino()), &file));
        for other in [format!("{}:{}", about.dev(), about.ino() + 1), format!("{}:", about.dev()), String::new()] {
            assert!(!is_named(&other, &file), "{other}");
        }
    }
}
