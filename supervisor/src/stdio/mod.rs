//! Standard output and error of workers: pipes that are read here, line by line, into the log.
//!
//! ```text
//!   make -> (spawn: the write ends are its descriptors 1 and 2, copies of the read ends travel to it) -> begin
//!   readable -> read, a bounded part each round -> Lines -> room? -> log
//!   the process is gone -> end: what is still in its pipes is told, and the last lines are given for the line of its exit
//! ```
//!
//! Rules
//! * An application never waits for the log's reader for longer than a moment, see [`room`]; and a round of reading is bounded,
//!   so that one that prints without end keeps nothing from being done.
//! * What a process wrote is told before its exit is. A child of the application's that holds the pipes does not delay that:
//!   all that the process itself wrote was in them when it ended. The child is read on.
//! * Where somebody works on an application, or only checks it, there are no pipes: it writes where the supervisor does.
//!
//! Known fault: the two streams of a worker are two pipes, so the order between them is that of our readings.

mod pipe;
mod room;
mod tail;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use monoceros_shared::config::RunAs;
use monoceros_shared::link::Output as Leads;
use monoceros_shared::stdio::{self, Kept, Stream};
use slog::{Logger, o, warn};

use crate::core::WorkerId;
use pipe::{Pipe, Reading};
use room::{Advice, Queue, Room};
use tail::Tail;

/// Tokens from here on, up to the control socket's, are pipes'.
pub const TOKENS: usize = 1 << 61;

/// Readings of one pipe in a round: 32 KiB. More lets one that prints without end hold up everything else; fewer costs a
/// round of the loop more often.
const READINGS_MAX: usize = 8;

/// Readings that take up all that is there: what two pipes hold. More would read one that prints without end for as long.
const LAST_READINGS_MAX: usize = 128;

/// How soon a pipe is looked at again that was left for want of room. Less looks more often while nothing has changed; more
/// leaves the log's reader without work.
const PAUSE: Duration = Duration::from_millis(5);

/// How soon it is looked again whether a loss can be said.
const LOSS_PAUSE: Duration = Duration::from_secs(1);

/// Whose output it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tags {
    /// The application's name.
    pub app: String,
    /// The worker.
    pub worker: WorkerId,
    /// Its generation.
    pub generation: u64,
}

/// The pipes of a worker that is to be.
#[derive(Debug)]
pub struct Pipes {
    /// What is read: standard output and standard error.
    pub read: [OwnedFd; 2],
    /// What becomes its descriptors 1 and 2. To be closed here once it is spawned.
    pub write: [OwnedFd; 2],
}

/// The output of all workers.
pub struct Outputs {
    capture: Option<Capture>,
}

struct Capture {
    registry: Registry,
    log: Logger,
    queue: Queue,
    outputs: BTreeMap<WorkerId, Output>,
    /// When to look at all of them again, if nothing stirs.
    again: Option<Instant>,
}

/// The output of one.
struct Output {
    log: Logger,
    pipes: [Option<Pipe>; 2],
    room: Room,
    tail: Tail,
    /// Whether its process is gone; others may still hold the pipes.
    is_over: bool,
}

impl Outputs {
    /// Into the log.
    pub fn into_log(log: &Logger, registry: Registry) -> Outputs {
        let capture =
            Capture { registry, log: log.clone(), queue: Queue::default(), outputs: BTreeMap::new(), again: None };
        Outputs { capture: Some(capture) }
    }

    /// To where the supervisor's own leads.
    pub fn inherited() -> Outputs {
        Outputs { capture: None }
    }

    /// What a worker is told of it.
    pub fn leads(&self) -> Leads {
        if self.capture.is_some() { Leads::Piped } else { Leads::Inherited }
    }

    /// Makes the pipes of a worker, if it gets any.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn make(&self, owner: Option<&RunAs>) -> io::Result<Option<Pipes>> {
        if self.capture.is_none() {
            return Ok(None);
        }
        let ((out, print), (err, complain)) = (pipe::make(owner)?, pipe::make(owner)?);
        Ok(Some(Pipes { read: [out, err], write: [print, complain] }))
    }

    /// Begins to read a worker's.
    ///
    /// # Errors
    /// When the kernel cannot watch it.
    pub fn begin(&mut self, tags: &Tags, ends: [OwnedFd; 2]) -> io::Result<()> {
        self.capture.as_mut().map_or(Ok(()), |capture| capture.begin(tags, ends))
    }

    /// Goes on with the output of a worker that had another supervisor: `kept` is what it kept meanwhile.
    ///
    /// # Errors
    /// As [`Outputs::begin`].
    pub fn adopt(&mut self, tags: &Tags, ends: [OwnedFd; 2], kept: &Kept) -> io::Result<()> {
        self.begin(tags, ends)?;
        let output = self.capture.as_mut().and_then(|capture| capture.outputs.get_mut(&tags.worker));
        output.into_iter().for_each(|output| output.recall(kept, Instant::now()));
        Ok(())
    }

    /// The read ends of a worker's, as far as they are open, for who goes on with it.
    pub fn ends(&self, worker: WorkerId) -> impl Iterator<Item = (Stream, BorrowedFd<'_>)> {
        let output = self.capture.as_ref().and_then(|capture| capture.outputs.get(&worker));
        let pipes = output.into_iter().flat_map(|output| Stream::BOTH.into_iter().zip(&output.pipes));
        pipes.filter_map(|(stream, pipe)| Some((stream, pipe.as_ref()?.as_fd())))
    }

    /// Tells all that is held, be it half a line: somebody else goes on reading.
    pub fn tell_all(&mut self) {
        let outputs = self.capture.iter_mut().flat_map(|capture| capture.outputs.values_mut());
        outputs.for_each(|output| output.tell_held(Instant::now()));
    }

    /// A pipe is readable.
    pub fn stir(&mut self, token: Token) {
        let number = token.0 - TOKENS;
        let output = self.capture.as_mut().and_then(|capture| capture.outputs.get_mut(&((number / 2) as WorkerId)));
        if let Some(pipe) = output.and_then(|output| output.pipes[number % 2].as_mut()) {
            pipe.is_ready = true;
        }
    }

    /// Reads what is there, a bounded part of it, and tells what has been held for long enough. To be called in each round.
    pub fn read(&mut self, now: Instant) {
        if let Some(capture) = &mut self.capture {
            capture.read(now);
        }
    }

    /// When to call [`Outputs::read`] again, if nothing stirs.
    pub fn deadline(&self) -> Option<Instant> {
        self.capture.as_ref()?.again
    }

    /// Tells what a worker has printed up to now, for something is about to be said of it.
    pub fn catch_up(&mut self, worker: WorkerId) {
        let Some(capture) = &mut self.capture else { return };
        if let Some(output) = capture.outputs.get_mut(&worker) {
            output.catch_up(&capture.registry);
        }
    }

    /// A worker's process is gone: tells what it left in its pipes. Gives the last lines of what it wrote.
    pub fn end(&mut self, worker: WorkerId) -> String {
        let Some(capture) = &mut self.capture else { return String::new() };
        let Some(output) = capture.outputs.get_mut(&worker) else { return String::new() };
        output.catch_up(&capture.registry);
        output.is_over = true;
        let text = output.tail.text(Instant::now());
        capture.outputs.retain(|_, output| !output.is_done());
        text
    }
}

impl Capture {
    fn begin(&mut self, tags: &Tags, ends: [OwnedFd; 2]) -> io::Result<()> {
        for (index, end) in ends.iter().enumerate() {
            let token = Token(TOKENS + 2 * tags.worker as usize + index);
            self.registry.register(&mut SourceFd(&end.as_raw_fd()), token, Interest::READABLE)?;
        }
        let output = Output {
            log: self.log.new(o!("app" => tags.app.clone(), "worker" => tags.worker, "generation" => tags.generation)),
            pipes: ends.map(|end| Some(Pipe::new(end))),
            room: Room::in_queue(&self.queue),
            tail: Tail::default(),
            is_over: false,
        };
        self.outputs.insert(tags.worker, output);
        Ok(())
    }

    fn read(&mut self, now: Instant) {
        let again = self.outputs.values_mut().filter_map(|output| output.read(now, &self.registry));
        self.again = again.min();
        self.outputs.retain(|_, output| !output.is_done());
    }
}

impl Output {
    /// Nobody writes to it any more, and nobody will ask for it.
    fn is_done(&self) -> bool {
        self.is_over && self.pipes.iter().all(Option::is_none) && !self.room.has_lost()
    }

    /// A round. Gives when the next one is due, if nothing stirs.
    fn read(&mut self, now: Instant, registry: &Registry) -> Option<Instant> {
        let mut again = None;
        for stream in Stream::BOTH {
            let due = self.read_stream(stream, now, registry);
            again = [again, due].into_iter().flatten().min();
        }
        if let Some(lines) = self.room.take_lost() {
            warn!(self.log, "output was dropped: the log is read too slowly"; "records" => lines);
        }
        let loss = self.room.has_lost().then(|| now + LOSS_PAUSE);
        [again, loss].into_iter().flatten().min()
    }

    fn read_stream(&mut self, stream: Stream, now: Instant, registry: &Registry) -> Option<Instant> {
        for _ in 0..READINGS_MAX {
            if !self.pipes[stream as usize].as_ref()?.is_ready {
                break;
            }
            match self.room.advice(now) {
                Advice::Read | Advice::Drop => drop(self.read_once(stream, now, registry)),
                Advice::Wait => return Some(now + PAUSE),
            }
        }
        let mut ready = Vec::new();
        let pipe = self.pipes[stream as usize].as_mut()?;
        pipe.lines.tell_due(now, &mut ready);
        let again = if pipe.is_ready { Some(now) } else { pipe.lines.deadline() };
        self.tell(stream, now, ready);
        again
    }

    fn read_once(&mut self, stream: Stream, now: Instant, registry: &Registry) -> Reading {
        let Some(pipe) = &mut self.pipes[stream as usize] else { return Reading::End };
        let mut ready = Vec::new();
        let reading = pipe.read(now, &mut ready);
        pipe.is_ready = reading == Reading::Some;
        if reading == Reading::End {
            pipe.lines.finish(&mut ready);
            // It was registered when it came; and its end is no event that could be missed.
            let _ = registry.deregister(&mut SourceFd(&pipe.as_fd().as_raw_fd()));
            self.pipes[stream as usize] = None;
            // Where a process dies these are its last words, and what stands in the other pipe was said before them.
            let others = Stream::BOTH.into_iter().filter(|other| *other != stream);
            others.for_each(|other| self.read_up(other, now, registry));
        }
        self.tell(stream, now, ready);
        reading
    }

    /// Tells all that was printed up to now.
    fn catch_up(&mut self, registry: &Registry) {
        let now = Instant::now();
        Stream::BOTH.into_iter().for_each(|stream| self.read_up(stream, now, registry));
    }

    /// Tells all that was printed to one of them. Before the other is read: what a library wrote to standard output without a line
    /// end stands before the fatal error that followed it.
    fn read_up(&mut self, stream: Stream, now: Instant, registry: &Registry) {
        let mut left = LAST_READINGS_MAX;
        while left > 0 && self.read_once(stream, now, registry) == Reading::Some {
            left -= 1;
        }
        self.tell_held_of(stream, now);
    }

    /// What was kept for us.
    fn recall(&mut self, kept: &Kept, now: Instant) {
        stdio::tell_lost(&self.log, kept.lost);
        for (stream, bytes) in kept.pieces() {
            let mut ready = Vec::new();
            if let Some(pipe) = &mut self.pipes[stream as usize] {
                pipe.lines.add(bytes, now, &mut ready);
            }
            self.tell(stream, now, ready);
        }
    }

    fn tell_held(&mut self, now: Instant) {
        Stream::BOTH.into_iter().for_each(|stream| self.tell_held_of(stream, now));
    }

    fn tell_held_of(&mut self, stream: Stream, now: Instant) {
        let mut ready = Vec::new();
        self.pipes[stream as usize].iter_mut().for_each(|pipe| pipe.lines.finish(&mut ready));
        self.tell(stream, now, ready);
    }

    fn tell(&mut self, stream: Stream, now: Instant, records: Vec<String>) {
        for record in records {
            self.tail.push(now, &record);
            if let Some(text) = self.room.place(record) {
                stdio::write(&self.log, stream, text);
            }
        }
    }
}
