//! Whole answers that wait a moment to leave one behind the other, while other requests wait for the thread.
//!
//! To send wakes the client, if it is on this machine and sleeps: an interrupt of another processor, which costs several microseconds, more
//! than the rest of sending does. Clients whose answers come together are woken once. So an answer waits while there is more to be called, until
//! some have come together, and no longer than a tick of the watch, which sends them when a call takes its time.
//!
//! Rule: whoever has his answer may ask again, and is to be heard. So what the watch has sent is gone on with before the next call, or by the
//! watch itself where it leads, however much waits for the thread.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::guest::Guest;
use super::runner::Runner;
use super::slots::lock;
use super::{Engine, Task};
use crate::clock;
use crate::conn::Flushed;

/// Answers that wait at most. Less wakes clients more often, more makes the first of them wait for the calls of the others.
const WAITING_MAX: usize = 8;

/// Bytes of an answer that may wait. To send more costs so much that a wake counts for little, and they would be in nobody's cache any more.
const BYTES_MAX: usize = 16 * 1024;

/// The answers that wait.
#[derive(Default)]
pub(super) struct Outbox {
    /// So that nobody takes the lock for nothing.
    count: AtomicUsize,
    /// The watch has sent what was there.
    is_sent: AtomicBool,
    guests: Mutex<VecDeque<Box<Guest>>>,
}

impl Outbox {
    /// Sends what waits, as far as the sockets take it, and leaves the rest to a runner: for the watch.
    pub fn send(&self) {
        if !self.is_empty() {
            for guest in &mut *lock(&self.guests) {
                // A client that is gone is noticed by the runner.
                let _: Flushed = guest.connection.flush();
                self.is_sent.store(true, Ordering::Release);
            }
        }
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether some of it is to be gone on with, whatever else there is to be done.
    pub fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    fn put(&self, guest: Box<Guest>) -> usize {
        let mut guests = lock(&self.guests);
        guests.push_back(guest);
        self.count.store(guests.len(), Ordering::Release);
        guests.len()
    }

    fn take(&self) -> VecDeque<Box<Guest>> {
        if self.is_empty() {
            return VecDeque::new();
        }
        let mut guests = lock(&self.guests);
        self.count.store(0, Ordering::Release);
        self.is_sent.store(false, Ordering::Release);
        std::mem::take(&mut guests)
    }
}

impl Engine {
    /// Whether an answer that took since then may wait for others.
    pub(super) fn may_wait(&self, guest: &mut Guest, began: u64) -> bool {
        let output = guest.connection.turn.output().bytes_alone().unwrap_or(0);
        let is_small = (1..=BYTES_MAX).contains(&output);
        let is_whole = is_small && guest.connection.turn.is_answered() && guest.connection.place().is_none();
        is_whole && !self.watch.is_eager() && !self.is_queue_empty() && clock::now() == began
    }
}

impl Runner {
    /// Has a whole answer wait for others.
    pub(super) fn defer(&mut self, mut guest: Box<Guest>) {
        self.end(&mut guest);
        self.engine.watch.note_hold();
        if self.engine.outbox.put(guest) >= WAITING_MAX {
            self.empty_outbox();
        }
    }

    /// Sends what waits, and goes on with those connections. Says whether there were any.
    pub(super) fn empty_outbox(&mut self) -> bool {
        let guests = self.engine.outbox.take();
        let is_any = !guests.is_empty();
        for mut guest in guests {
            match guest.flush() {
                // It is to be closed, and that is not to wait for all other work.
                Flushed::All if guest.rest.is_some() => self.engine.queue_first(Task::Serve(guest)),
                flushed => self.go_on(guest, flushed),
            }
        }
        is_any
    }
}
