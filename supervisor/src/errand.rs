//! Programs that are asked for something and end: started, heard, and ended when their time is up.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::core::Exit;
use crate::listen::cause;
use crate::spawn;

/// A program that is asked for something and ends.
#[derive(Debug)]
pub struct Errand<'a> {
    /// The program, by its path or a name that `PATH` finds.
    pub program: &'a Path,
    /// What it is told.
    pub arguments: &'a [OsString],
    /// Where it works.
    pub folder: &'a Path,
    /// Variables that it gets on top of ours.
    pub environment: &'a BTreeMap<String, String>,
}

/// Runs a program to its end, and gives what it said on standard output. What it says on standard error goes where ours does.
///
/// # Errors
/// When it cannot be started, or has not ended in time; then it is killed with all that it started.
pub fn told_by(errand: &Errand<'_>, limit: Duration) -> io::Result<Vec<u8>> {
    let (ours, theirs) = io::pipe()?;
    let process = spawn::begin(errand, theirs.into(), None)?;
    let mut said = Vec::new();
    let heard = hear(ours, Until::Silent, limit, |bytes| said.extend_from_slice(bytes));
    process.end();
    heard.map(|()| said)
}

/// Runs a program to its end, or until `cancelled` is readable, and hands over what it prints, line by line.
///
/// # Errors
/// One line: it cannot be started, has not ended in time and was killed with all that it started, or has failed.
pub fn run(
    errand: &Errand<'_>,
    limit: Duration,
    cancelled: BorrowedFd<'_>,
    line: impl FnMut(&str),
) -> Result<(), String> {
    let cannot = |why: io::Error| format!("cannot run it: {}", cause(&why));
    let (ours, theirs) = io::pipe().map_err(cannot)?;
    let errors = theirs.try_clone().map_err(cannot)?;
    let process = spawn::begin(errand, theirs.into(), Some(errors.into())).map_err(cannot)?;
    let mut lines = Lines::new(line);
    let heard = hear(ours, Until::Gone { pidfd: process.as_fd(), cancelled }, limit, |bytes| lines.add(bytes));
    lines.end();
    if let Err(why) = heard {
        process.end();
        return Err(why.to_string());
    }
    match process.reap() {
        Some(Exit::Code(0)) | None => Ok(()),
        Some(exit) => Err(format!("it ended with {exit}")),
    }
}

/// Until when a program is listened to.
#[derive(Clone, Copy)]
enum Until<'a> {
    /// Nobody holds the other end of the pipe any more.
    Silent,
    /// It has ended, whoever else holds the pipe, or nobody wants it any more.
    Gone {
        /// Its pidfd.
        pidfd: BorrowedFd<'a>,
        /// Readable then.
        cancelled: BorrowedFd<'a>,
    },
}

/// Hands over what comes out of a pipe, until then.
///
/// # Errors
/// When that takes longer than `limit`, or is cancelled.
fn hear(mut pipe: PipeReader, until: Until<'_>, limit: Duration, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut piece = [0; 16 << 10];
    let mut is_open = true;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let patience = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        let on = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let ends = match until {
            Until::Silent => Vec::new(),
            Until::Gone { pidfd, cancelled } => vec![on(cancelled), on(pidfd)],
        };
        let said = is_open.then(|| on(pipe.as_fd()));
        let mut watched: Vec<PollFd<'_>> = ends.into_iter().chain(said).collect();
        if poll(&mut watched, patience)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("it had not ended after {} s", limit.as_secs_f32()),
            ));
        }
        let is_ready = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or_default();
        if matches!(until, Until::Gone { .. }) && is_ready(watched.first()) {
            return Err(io::Error::other("it was cancelled"));
        }
        let is_readable = is_open && is_ready(watched.last());
        match is_readable.then(|| pipe.read(&mut piece)).transpose()? {
            Some(0) if matches!(until, Until::Silent) => return Ok(()),
            Some(0) => is_open = false,
            Some(length) => take(&piece[..length]),
            // It is gone, and has said all.
            None => return Ok(()),
        }
    }
}

/// Bytes as lines.
struct Lines<F> {
    line: F,
    unfinished: Vec<u8>,
}

impl<F: FnMut(&str)> Lines<F> {
    /// Bytes of a line: what a command prints without an end is told in pieces.
    const LONGEST: usize = 16 << 10;

    /// From a line's end on.
    pub fn new(line: F) -> Lines<F> {
        Lines { line, unfinished: Vec::new() }
    }

    /// Takes in what has come.
    pub fn add(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.unfinished.extend_from_slice(part);
            if part.ends_with(b"\n") || self.unfinished.len() >= Self::LONGEST {
                self.end();
            }
        }
    }

    /// What has no end is a line too.
    pub fn end(&mut self) {
        let text = String::from_utf8_lossy(&self.unfinished).trim_end().to_owned();
        self.unfinished.clear();
        if !text.is_empty() {
            (self.line)(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh<T>(script: &str, run: impl FnOnce(&Errand<'_>) -> T) -> T {
        let arguments = ["-c", script].map(OsString::from);
        let environment = BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]);
        let folder = Path::new("/");
        run(&Errand { program: Path::new("/bin/sh"), arguments: &arguments, folder, environment: &environment })
    }

    /// The lines of a script and what came of it, when nobody cancels it.
    fn lines(script: &str, limit: Duration) -> (Vec<String>, Result<(), String>) {
        let (cancelled, _alive) = io::pipe().unwrap();
        let mut lines = Vec::new();
        let outcome = sh(script, |errand| run(errand, limit, cancelled.as_fd(), |line| lines.push(line.to_owned())));
        (lines, outcome)
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn what_is_printed_is_heard_line_by_line_the_last_without_an_end_too() {
        let (heard, outcome) = lines("echo $COLOUR; pwd >&2; echo; printf 'no end'", LONG);
        assert_eq!((heard.as_slice(), outcome), (["blue", "/", "no end"].map(String::from).as_slice(), Ok(())));
        let (heard, _) = lines("head -c 40000 /dev/zero | tr '\\0' x", LONG);
        assert_eq!(heard.iter().map(String::len).sum::<usize>(), 40_000);
        assert!(heard.len() >= 2, "a line without end is told in pieces");
    }

    #[test]
    fn how_it_ended_is_told() {
        assert_eq!(lines("exit 3", LONG).1, Err("it ended with code 3".into()));
        assert_eq!(lines("kill -KILL $$", LONG).1, Err("it ended with SIGKILL".into()));
        let folder = Path::new("/");
        let nowhere = Errand { program: Path::new("/nowhere"), arguments: &[], folder, environment: &BTreeMap::new() };
        let (cancelled, _alive) = io::pipe().unwrap();
        let outcome = run(&nowhere, LONG, cancelled.as_fd(), |_| {});
        assert_eq!(outcome, Err("cannot run it: No such file or directory".into()));
    }

    #[test]
    fn who_takes_too_long_is_ended_with_all_that_it_started() {
        let (heard, outcome) = lines("echo $$; tail -f /dev/null & wait", SHORT);
        assert_eq!(outcome, Err("it had not ended after 0.3 s".into()));
        assert!(!Path::new("/proc").join(&heard[0]).exists(), "it is there still");
        // Nobody holds the pipe any more, else this would wait for it.
        let told = sh("echo up; tail -f /dev/null & wait", |errand| told_by(errand, SHORT));
        assert_eq!(told.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn what_is_left_in_the_background_is_not_waited_for_unless_its_words_are() {
        let (heard, outcome) = lines("exec 3>&1; (read -r x </dev/null; exec tail -f /dev/null >&3) & echo done", LONG);
        assert_eq!((heard.as_slice(), outcome), (["done".to_owned()].as_slice(), Ok(())));
        assert_eq!(sh("echo one; (echo two) & wait", |errand| told_by(errand, LONG)).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_cancelled_errand_is_ended() {
        let (cancelled, alive) = io::pipe().unwrap();
        let mut alive = Some(alive);
        let outcome = sh("echo up; exec tail -f /dev/null", |errand| {
            run(errand, LONG, cancelled.as_fd(), |_| drop(alive.take()))
        });
        assert_eq!(outcome, Err("it was cancelled".into()));
    }
}
