//! One pipe of a worker's: made here, read here, with a bound on each reading.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use monoceros_shared::config::RunAs;
use monoceros_shared::stdio::Lines;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Uid, fchown, geteuid, pipe2};

/// Bytes that a pipe is to hold. The kernel's 64 KiB fill within a millisecond of a busy application's, and then its prints
/// wait for us; much more would use up what the kernel allows a user for all pipes (64 MiB, unless it is root).
const PIPE_BYTES: i32 = 256 * 1024;

/// Bytes of one reading. A reading is told whole, so more would overrun the queue of the log by the short lines in it; less costs
/// a system call more often.
pub(super) const READ_BYTES: usize = 4 * 1024;

/// A new pipe: the end that is read, which does not block, and the end that a process gets. `owner` may open it by its name in
/// `/proc`, as programs do that log to `/dev/stdout`.
pub(super) fn make(owner: Option<&RunAs>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Refused when the user's pipes hold too much together; then it stays as it is.
    let _ = fcntl(&read, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
    if let Some(owner) = owner.filter(|_| geteuid().is_root()) {
        // Where it fails, the process can write to it all the same, only not open it anew.
        let _ = fchown(&write, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
    }
    Ok((read, write))
}

/// What a reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// There may be more.
    Some,
    /// There is no more now.
    Nothing,
    /// Nobody will write to it any more.
    End,
}

/// The end that is read, and the lines that came of it.
pub(super) struct Pipe {
    end: File,
    pub(super) lines: Lines,
    /// Whether there may be something to read.
    pub(super) is_ready: bool,
}

impl Pipe {
    pub(super) fn new(end: OwnedFd) -> Pipe {
        Pipe { end: end.into(), lines: Lines::default(), is_ready: true }
    }

    /// Reads once.
    pub(super) fn read(&mut self, now: Instant, ready: &mut Vec<String>) -> Reading {
        let mut bytes = [0; READ_BYTES];
        loop {
            match (&self.end).read(&mut bytes) {
                Ok(0) => break Reading::End,
                Ok(count) => {
                    self.lines.add(&bytes[..count], now, ready);
                    // Also of fewer bytes than there was room for: the end may come behind them, and was announced already.
                    break Reading::Some;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Reading::Nothing,
                // Nothing that could be done would bring more out of it.
                Err(_) => break Reading::End,
            }
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}
