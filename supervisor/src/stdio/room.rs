//! Room in the log's queue for what an application prints.
//!
//! ```text
//!   room:      read -> record -> queue -> written: room again
//!   no room:   what is printed stays in the pipe for a moment, in which a reader of the log that keeps up makes room
//!   still no:  read and dropped, and counted: the log's reader is slow, and the application must not wait for it
//! ```
//!
//! Rule: a flood of prints never takes the place of the server's own lines, nor of another application's: of the queue's lines
//! some are kept for the server, and of the others each worker has a share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use monoceros_shared::log::LINES_MAX;
use slog::{Key, Record, Serializer, Value};

use super::pipe::READ_BYTES;

/// Lines of one worker's that may wait before it is read no further. Less drops lines of a burst; more lets the log lag behind.
const LINES: usize = 1024;

/// Bytes of the same: much more than the lines are in most logs.
const BYTES: usize = 1024 * 1024;

/// The share of one worker in what all may have waiting, in lines and bytes: 3072 and 3 MiB.
const SHARES: usize = 3;

/// Lines that one more reading can bring: of one character each, with their ends.
const READING_LINES: usize = READ_BYTES / 2;

/// How long what is printed stays in the pipe for want of room. Less drops lines though the log's reader keeps up; more makes an
/// application feel one that does not, once for each time that the queue has filled.
const PATIENCE: Duration = Duration::from_millis(100);

// The server's own lines find room whatever applications print.
const _: () = assert!(LINES * SHARES + 2 * READING_LINES < LINES_MAX);

/// What waits in the queue.
#[derive(Debug, Default)]
struct Waiting {
    lines: AtomicUsize,
    bytes: AtomicUsize,
}

impl Waiting {
    fn is_within(&self, lines: usize, bytes: usize) -> bool {
        self.lines.load(Relaxed) < lines && self.bytes.load(Relaxed) < bytes
    }
}

/// What waits in the queue of all workers'.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(Arc<Waiting>);

/// One worker's room.
#[derive(Debug)]
pub(super) struct Room {
    own: Arc<Waiting>,
    all: Arc<Waiting>,
    /// Since when there is none.
    full: Option<Instant>,
    /// Whether that is so long that what comes is dropped, so that what waits can become less.
    is_dropping: bool,
    /// Records that found none, and that nobody was told of.
    lost: u64,
}

/// What to do with what is in the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Read it: there is room.
    Read,
    /// Leave it there for now.
    Wait,
    /// Read it, though it will be dropped.
    Drop,
}

impl Room {
    pub(super) fn in_queue(queue: &Queue) -> Room {
        Room { own: Arc::default(), all: queue.0.clone(), full: None, is_dropping: false, lost: 0 }
    }

    /// What to do with what is in the pipe.
    pub(super) fn advice(&mut self, now: Instant) -> Advice {
        match self.full {
            None if self.has(1) => Advice::Read,
            None => {
                self.full = Some(now);
                Advice::Wait
            }
            Some(since) => {
                // Not at the first line that has left, or it would be full again at once; and a reader that has been slow is
                // to have caught up, or the application would be made to wait again and again.
                let (advice, part) = if now < since + PATIENCE { (Advice::Wait, 2) } else { (Advice::Drop, 8) };
                let is_caught_up = self.has(part);
                self.is_dropping = advice == Advice::Drop && !is_caught_up;
                if is_caught_up {
                    self.full = None;
                    return Advice::Read;
                }
                advice
            }
        }
    }

    /// Whether there is room, `part` times as much as is needed.
    fn has(&self, part: usize) -> bool {
        self.own.is_within(LINES / part, BYTES / part)
            && self.all.is_within(SHARES * LINES / part, SHARES * BYTES / part)
    }

    /// A text with a place in the queue, for as long as it lives; `None` where there was none: it is counted.
    pub(super) fn place(&mut self, text: String) -> Option<Text> {
        // What one reading brings goes beyond what was there before it.
        let is_within = self.own.is_within(LINES + 2 * READING_LINES, 2 * BYTES)
            && self.all.is_within(SHARES * LINES + 2 * READING_LINES, 2 * SHARES * BYTES);
        if !is_within || self.is_dropping {
            self.lost += 1;
            return None;
        }
        let waiting = [self.own.clone(), self.all.clone()];
        for waiting in &waiting {
            waiting.lines.fetch_add(1, Relaxed);
            waiting.bytes.fetch_add(text.len(), Relaxed);
        }
        Some(Text { text, waiting })
    }

    /// Whether something was dropped that nobody was told of.
    pub(super) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// How much was dropped that nobody was told of, once there is room to tell it.
    pub(super) fn take_lost(&mut self) -> Option<u64> {
        (self.has_lost() && self.has(2)).then(|| std::mem::take(&mut self.lost))
    }
}

/// A text that waits to be written.
pub(super) struct Text {
    text: String,
    waiting: [Arc<Waiting>; 2],
}

impl Value for Text {
    fn serialize(&self, _: &Record<'_>, key: Key, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_str(key, &self.text)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        for waiting in &self.waiting {
            waiting.lines.fetch_sub(1, Relaxed);
            waiting.bytes.fetch_sub(self.text.len(), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_filled_its_share_waits_a_moment_and_is_then_dropped() {
        let (queue, now) = (Queue::default(), Instant::now());
        let (mut loud, mut quiet) = (Room::in_queue(&queue), Room::in_queue(&queue));
        let mut texts: Vec<Text> = (0..LINES).map(|_| loud.place("x".into()).unwrap()).collect();
        assert_eq!(quiet.advice(now), Advice::Read, "another worker has its share");
        assert_eq!(loud.advice(now), Advice::Wait);
        assert_eq!(loud.advice(now + PATIENCE - Duration::from_millis(1)), Advice::Wait);
        assert_eq!(loud.advice(now + PATIENCE), Advice::Drop);
        assert!(loud.place("x".into()).is_none() && loud.has_lost() && loud.take_lost().is_none());
        texts.truncate(LINES / 2);
        assert_eq!(loud.advice(now + PATIENCE), Advice::Drop, "a little room is soon used up");
        texts.clear();
        assert_eq!(loud.advice(now + PATIENCE), Advice::Read);
        assert_eq!((loud.take_lost(), loud.take_lost()), (Some(1), None));
    }

    #[test]
    fn what_one_reading_brings_finds_a_place_but_not_what_never_ends() {
        let (queue, now) = (Queue::default(), Instant::now());
        let mut room = Room::in_queue(&queue);
        let mut texts: Vec<Text> = (0..LINES - 1).map(|_| room.place("x".into()).unwrap()).collect();
        assert_eq!(room.advice(now), Advice::Read);
        texts.extend((0..READING_LINES).map(|_| room.place("x".into()).unwrap()));
        while let Some(text) = room.place("x".into()) {
            texts.push(text);
        }
        assert!(texts.len() < LINES_MAX);
    }

    #[test]
    fn a_reader_that_keeps_up_is_waited_for_and_nothing_dropped() {
        let (queue, now) = (Queue::default(), Instant::now());
        let mut room = Room::in_queue(&queue);
        let mut texts: Vec<Text> = (0..LINES).map(|_| room.place("x".into()).unwrap()).collect();
        assert_eq!(room.advice(now), Advice::Wait);
        texts.truncate(LINES / 2 - 1);
        assert_eq!(room.advice(now + PATIENCE / 2), Advice::Read);
        assert!(room.place("x".into()).is_some() && !room.has_lost());
    }

    #[test]
    fn few_long_texts_fill_a_share_too_and_many_workers_the_queue() {
        let (queue, now) = (Queue::default(), Instant::now());
        let mut room = Room::in_queue(&queue);
        let _long = room.place("x".repeat(BYTES)).unwrap();
        assert_eq!(room.advice(now), Advice::Wait);
        let mut rooms: Vec<Room> = (0..SHARES - 1).map(|_| Room::in_queue(&queue)).collect();
        let _longs: Vec<_> = rooms.iter_mut().map(|room| room.place("x".repeat(BYTES)).unwrap()).collect();
        assert_eq!(Room::in_queue(&queue).advice(now), Advice::Wait);
    }
}
