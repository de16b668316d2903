//! Keeps what this process writes to its standard output and error while no supervisor reads it.
//!
//! ```text
//!   begin      the supervisor is gone: a thread reads both pipes, so that no print blocks, and keeps the newest of it
//!   hand_over  the next supervisor is here: the thread ends; it gets the read ends and what was kept
//!   finish     the worker ends without one: what was kept goes into the log
//! ```
//!
//! Rules
//! * The read ends are held from the start, so that no print fails when the supervisor dies: a pipe breaks only when nobody can
//!   read it any more.
//! * Only one reads: the supervisor, or between `begin` and `hand_over` the thread here.
//! * Each of the three may be called at any time, from any thread, and twice.
//! * The thread needs no Python: a call that holds the GIL may be the one that waits for room in a pipe.
//!
//! Known fault: a worker that is killed while it has no supervisor takes what it kept with it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use monoceros_shared::stdio::{self, Kept, Lines, Stream};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use slog::Logger;

/// Bytes of the thread's stack: it calls nothing deep.
const STACK_BYTES: usize = 256 * 1024;

/// The read ends, where they are pipes, and who reads them.
pub struct Keeper {
    pipes: Option<Arc<Pipes>>,
    reading: Mutex<Reading>,
}

struct Pipes {
    ends: [File; 2],
    /// Readable when the thread is to end.
    stop: EventFd,
}

#[derive(Default)]
struct Reading {
    thread: Option<JoinHandle<Kept>>,
    /// What was kept before the thread.
    kept: Kept,
}

/// What the next supervisor gets.
#[derive(Debug)]
pub struct HandOver {
    /// Copies of the read ends: of standard output and of standard error. They do not block.
    pub ends: [OwnedFd; 2],
    /// What was kept, for [`Kept::from_file`].
    pub kept: OwnedFd,
}

impl Keeper {
    /// Of the read ends of the pipes that are our descriptors 1 and 2, in this order; `None` where those are no pipes of
    /// the supervisor's.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn new(ends: Option<[OwnedFd; 2]>) -> io::Result<Keeper> {
        let pipes = |ends: [OwnedFd; 2]| {
            let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
            io::Result::Ok(Arc::new(Pipes { ends: ends.map(File::from), stop }))
        };
        Ok(Keeper { pipes: ends.map(pipes).transpose()?, reading: Mutex::default() })
    }

    /// Begins to read, until [`Keeper::hand_over`] or [`Keeper::finish`].
    ///
    /// # Errors
    /// When no thread can be made. Then prints block once the pipes are full.
    pub fn begin(&self) -> io::Result<()> {
        let Some(pipes) = &self.pipes else { return Ok(()) };
        let mut reading = self.reading();
        if reading.thread.is_none() {
            let pipes = pipes.clone();
            let thread = thread::Builder::new().name("keeper".into()).stack_size(STACK_BYTES);
            reading.thread = Some(thread.spawn(move || pipes.read_until_stopped())?);
        }
        Ok(())
    }

    /// Ends reading, and gives what the next supervisor is to have; `None` where there are no pipes. It reads from then on. Should
    /// it not get it all, `begin` goes on; what was kept is then lost.
    ///
    /// # Errors
    /// When no descriptor or no memory is left. Then reading goes on.
    pub fn hand_over(&self) -> io::Result<Option<HandOver>> {
        let Some(pipes) = &self.pipes else { return Ok(None) };
        let mut reading = self.reading();
        pipes.stop(&mut reading);
        let copies = || {
            let [out, err] = &pipes.ends;
            Ok(HandOver { ends: [out.try_clone()?.into(), err.try_clone()?.into()], kept: reading.kept.to_file()? })
        };
        match copies() {
            Ok(handed) => {
                reading.kept = Kept::default();
                Ok(Some(handed))
            }
            Err(error) => {
                drop(reading);
                self.begin()?;
                Err(error)
            }
        }
    }

    /// Ends reading for good, and writes what was kept, and what is still in the pipes, into the log. Does nothing while a
    /// supervisor reads.
    pub fn finish(&self, log: &Logger) {
        let Some(pipes) = &self.pipes else { return };
        let mut reading = self.reading();
        if reading.thread.is_none() && reading.kept.is_empty() {
            return;
        }
        pipes.stop(&mut reading);
        for (stream, end) in Stream::BOTH.into_iter().zip(&pipes.ends) {
            // What cannot be read any more is nothing.
            let _ = reading.kept.read(stream, end);
        }
        tell(&std::mem::take(&mut reading.kept), log);
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipes {
    fn stop(&self, reading: &mut Reading) {
        let Some(thread) = reading.thread.take() else { return };
        // It cannot fail: nobody else writes to it, and it is emptied each time.
        let _ = self.stop.write(1);
        // A panic has ended the process already.
        let kept = thread.join().unwrap_or_default();
        reading.kept.append(kept);
        let _ = self.stop.read();
    }

    fn read_until_stopped(&self) -> Kept {
        let mut kept = Kept::default();
        // One that has ended would be told for ever, so it is left out.
        let mut open: Vec<(Stream, &File)> = Stream::BOTH.into_iter().zip(&self.ends).collect();
        loop {
            let ends = open.iter().map(|(_, end)| PollFd::new(end.as_fd(), PollFlags::POLLIN));
            let mut fds: Vec<PollFd<'_>> =
                std::iter::once(PollFd::new(self.stop.as_fd(), PollFlags::POLLIN)).chain(ends).collect();
            // What fails here is an interrupted wait; then nothing is there to be read, and it waits again.
            let waited = poll(&mut fds, PollTimeout::NONE);
            if waited.is_ok() && fds[0].any() == Some(true) {
                return kept;
            }
            open.retain(|(stream, end)| kept.read(*stream, *end).unwrap_or(false));
        }
    }
}

fn tell(kept: &Kept, log: &Logger) {
    stdio::tell_lost(log, kept.lost);
    let mut lines = [Lines::default(), Lines::default()];
    let mut ready = Vec::new();
    let now = Instant::now();
    for (stream, bytes) in kept.pieces() {
        lines[stream as usize].add(bytes, now, &mut ready);
        ready.drain(..).for_each(|text| stdio::write(log, stream, text));
    }
    for (stream, mut lines) in Stream::BOTH.into_iter().zip(lines) {
        lines.finish(&mut ready);
        ready.drain(..).for_each(|text| stdio::write(log, stream, text));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe2;

    use super::*;

    /// A keeper, and where a process would print to.
    fn keeper() -> (Keeper, [File; 2]) {
        let pipe = || {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
            fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
            (read, File::from(write))
        };
        let ((out, print), (err, complain)) = (pipe(), pipe());
        (Keeper::new(Some([out, err])).unwrap(), [print, complain])
    }

    fn kept(keeper: &Keeper) -> Kept {
        Kept::from_file(keeper.hand_over().unwrap().unwrap().kept).unwrap()
    }

    /// All of one stream's.
    fn of(kept: &Kept, wanted: Stream) -> Vec<u8> {
        kept.pieces().filter(|(stream, _)| *stream == wanted).flat_map(|(_, bytes)| bytes.to_vec()).collect()
    }

    #[test]
    fn prints_never_block_without_a_supervisor_and_the_newest_is_handed_over() {
        let (keeper, [mut print, mut complain]) = keeper();
        keeper.begin().unwrap();
        keeper.begin().unwrap();
        // Many times what the pipe holds.
        for number in 0..200_000 {
            writeln!(print, "line {number}").unwrap();
        }
        complain.write_all(b"the end").unwrap();
        drop((print, complain));
        // It reads until it is stopped; what it has not read is in the pipes still, for whoever reads next.
        let handed = keeper.hand_over().unwrap().unwrap();
        let mut kept = Kept::from_file(handed.kept).unwrap();
        for (stream, end) in Stream::BOTH.into_iter().zip(handed.ends) {
            assert!(!kept.read(stream, File::from(end)).unwrap(), "the pipe was to be read to its end");
        }
        let printed = of(&kept, Stream::Out);
        assert!(printed.ends_with(b"line 199998\nline 199999\n") && kept.lost > 0);
        assert!(of(&kept, Stream::Err).is_empty() || of(&kept, Stream::Err) == b"the end");
    }

    #[test]
    fn who_gets_it_reads_alone_until_it_is_gone_too() {
        let (keeper, [mut print, _complain]) = keeper();
        keeper.begin().unwrap();
        drop(kept(&keeper));
        print.write_all(b"for the supervisor").unwrap();
        assert!(kept(&keeper).is_empty(), "it was read though a supervisor reads");
        keeper.begin().unwrap();
        drop(print);
        let mut seen = kept(&keeper);
        seen.read(Stream::Out, &keeper.pipes.as_ref().unwrap().ends[0]).unwrap();
        assert_eq!(of(&seen, Stream::Out), b"for the supervisor");
    }

    #[test]
    fn without_pipes_there_is_nothing_to_keep() {
        let keeper = Keeper::new(None).unwrap();
        keeper.begin().unwrap();
        assert!(keeper.hand_over().unwrap().is_none());
        keeper.finish(&Logger::root(slog::Discard, slog::o!()));
    }
}
