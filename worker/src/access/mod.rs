//! The access log: one line for each request, whatever became of it.
//!
//! ```text
//!   an end of a request -> its line, into the buffer of all threads -> one thread -> whole lines in one write -> the log
//! ```
//!
//! Rules
//! * A request costs the making of its line, no system call: the writer sleeps until there is a line, waits a moment for others, and
//!   then writes what there is. So a line is [`GATHER`] late, and a worker that is killed loses as much.
//! * A slow reader of the log blocks nobody: the buffer is bounded, and what does not fit is counted and said.
//! * Up to [`PIPE_BYTES`] bytes of whole lines are one write, for so many a pipe takes at once: lines of several processes do not mix.
//! * What comes from a stranger cannot forge a line, see [`line`].

pub mod line;
mod memo;
mod stamp;
mod text;

#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use monoceros_shared::log::Outlet;
use slog::Logger;

use line::{Form, Told};
pub use memo::{Fields, Memo};
use stamp::Stamp;

/// How long the writer waits for more lines. Less costs a wake for fewer lines, more makes each later to see.
const GATHER: Duration = Duration::from_millis(10);

/// Bytes of lines that wait. Less loses lines when the log's reader stands still for a moment; more is memory for news that
/// nobody reads.
const BUFFER_BYTES_MAX: usize = 1 << 20;

/// Bytes that a pipe takes whole or not at all (pipe(7), PIPE_BUF).
const PIPE_BYTES: usize = 4096;

/// How long the end of the worker waits for the last lines.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where lines are left.
pub struct Access {
    form: Form,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    changed: Condvar,
}

#[derive(Default)]
struct Buffer {
    lines: Vec<u8>,
    /// Lines that found no room.
    lost: u64,
    stamp: Stamp,
    writer: Writer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    /// It waits for a line.
    #[default]
    Asleep,
    /// It will look by itself.
    Awake,
    /// It is to write what there is, and to end.
    Ending,
}

impl Access {
    /// Lines of this form go where the log's go. What is lost of them is said there.
    ///
    /// # Errors
    /// When the writer's thread cannot be made.
    pub fn start(form: Form, outlet: &Outlet, log: &Logger) -> io::Result<Access> {
        let shared = Arc::new(Shared::default());
        let (watched, outlet, log) = (shared.clone(), outlet.clone(), log.clone());
        let writer = thread::Builder::new().name("access".into()).spawn(move || write(&watched, &outlet, &log))?;
        Ok(Access { form, shared, writer: Mutex::new(Some(writer)) })
    }

    /// Tells of a request.
    pub fn tell(&self, told: &Told<'_>) {
        let mut buffer = lock(&self.shared.buffer);
        if buffer.lines.len() >= BUFFER_BYTES_MAX {
            buffer.lost += 1;
            return;
        }
        let Buffer { lines, stamp, .. } = &mut *buffer;
        self.form.write(told, stamp.now(), lines);
        if buffer.writer == Writer::Asleep {
            buffer.writer = Writer::Awake;
            drop(buffer);
            self.shared.changed.notify_one();
        }
    }

    /// Writes what is left, for [`PATIENCE`] at most; nothing is told afterwards.
    pub fn finish(&self) {
        let Some(writer) = lock(&self.writer).take() else { return };
        lock(&self.shared.buffer).writer = Writer::Ending;
        self.shared.changed.notify_one();
        let until = Instant::now() + PATIENCE;
        while !writer.is_finished() && Instant::now() < until {
            thread::park_timeout(GATHER / 10);
        }
    }
}

/// The writer's life.
fn write(shared: &Shared, outlet: &Outlet, log: &Logger) {
    let mut lines = Vec::new();
    loop {
        let buffer = lock(&shared.buffer);
        let waits = |buffer: &mut Buffer| buffer.writer == Writer::Asleep;
        let buffer = shared.changed.wait_while(buffer, waits).unwrap_or_else(PoisonError::into_inner);
        let gathers = |buffer: &mut Buffer| buffer.writer == Writer::Awake;
        let gathered = shared.changed.wait_timeout_while(buffer, GATHER, gathers);
        let (mut buffer, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut lines, &mut buffer.lines);
        let lost = mem::take(&mut buffer.lost);
        let is_last = buffer.writer == Writer::Ending;
        if !is_last {
            buffer.writer = Writer::Asleep;
        }
        drop(buffer);
        pieces(&lines).for_each(|piece| outlet.write_lines(piece));
        lines.clear();
        if lost > 0 {
            slog::warn!(log, "lines of the access log were dropped: its reader is slow"; "count" => lost);
        }
        if is_last {
            return;
        }
    }
}

/// The lines in pieces of whole ones that a pipe takes at once; a longer line is a piece of its own.
fn pieces(mut lines: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if lines.is_empty() {
            return None;
        }
        let whole = |part: &[u8]| memchr::memrchr(b'\n', part).map(|end| end + 1);
        let end = match lines.get(..PIPE_BYTES) {
            None => lines.len(),
            Some(part) => {
                whole(part).or_else(|| memchr::memchr(b'\n', lines).map(|end| end + 1)).unwrap_or(lines.len())
            }
        };
        let (piece, rest) = lines.split_at(end);
        lines = rest;
        Some(piece)
    })
}

/// No thread panics while it holds one of these locks; and if one did, its worker is ending.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
