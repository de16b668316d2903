//! What of an answer waits a moment for more of it, and can be sent by others meanwhile.
//!
//! ```text
//!   a piece, small ----> held ----> the next piece is asked for ----> comes soon ----> both leave together
//!                                                                \--> does not   ----> the watch sends what is held
//!                                                                            or, at once, the loop that its greenlet has switched to
//! ```
//!
//! PEP 3333 (Buffering and Streaming) wants each block sent before the next is asked for, or that it will be sent while the application makes
//! the next: this is the latter. An answer that has kept its client waiting so is held no more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::Socket;

use super::send::Behind;
use super::{Connection, Flushed, sealed, send};
use crate::output::Output;
use crate::tls::Session;

/// Bytes that are held at most. Less sends more often, more is memory for each answer under way and a longer wait for its client.
const HELD_MAX: usize = 64 * 1024;

/// Where the output of a call's connection waits while the call goes on.
#[derive(Debug, Default)]
pub struct Holder {
    /// So that nobody takes the lock for nothing.
    is_holding: AtomicBool,
    held: Mutex<Option<Held>>,
}

struct Held {
    output: Output,
    socket: Arc<Socket>,
    session: Option<Arc<Mutex<Session>>>,
    /// Somebody else has begun to send it.
    is_sent: bool,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("is_sent", &self.is_sent).finish_non_exhaustive()
    }
}

impl Holder {
    /// One that holds nothing.
    pub const fn new() -> Holder {
        Holder { is_holding: AtomicBool::new(false), held: Mutex::new(None) }
    }

    /// Whether it holds anything.
    pub fn is_holding(&self) -> bool {
        self.is_holding.load(Ordering::Acquire)
    }

    /// Sends what it holds, as far as the socket takes it: for others than the thread of the call.
    pub fn send(&self) {
        if self.is_holding()
            && let Some(held) = &mut *self.lock()
        {
            held.is_sent = true;
            // A client that is gone is noticed by whoever sends next.
            let _ = match &held.session {
                None => send::send(&held.socket, &mut held.output, Behind::Anything),
                Some(session) => sealed::send(&held.socket, session, &mut held.output),
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.held.lock().expect("no thread panics while it holds a lock")
    }
}

impl Connection {
    /// Whether what is ready to leave may wait for more.
    pub fn may_hold(&mut self) -> bool {
        let count = self.turn.output().bytes_alone().unwrap_or(0);
        self.place.is_none() && !self.is_hurried && self.lease.is_some() && (1..HELD_MAX).contains(&count)
    }

    /// Has it wait until it is taken up again. The connection must have a lease.
    pub fn hold(&mut self) {
        let Some(lease) = self.lease else { return };
        let (socket, session) = (self.socket.clone(), self.session.clone());
        let output = std::mem::take(self.turn.output());
        *lease.holder.lock() = Some(Held { output, socket, session, is_sent: false });
        lease.holder.is_holding.store(true, Ordering::Release);
    }

    /// Puts what was held back to be sent with what has come since: nothing, as others must take it up before they write.
    pub fn take_up(&mut self) {
        let Some(lease) = self.lease.filter(|lease| lease.holder.is_holding()) else { return };
        lease.holder.is_holding.store(false, Ordering::Relaxed);
        if let Some(held) = lease.holder.lock().take() {
            let mut output = held.output;
            output.tail().append(self.turn.output().tail());
            *self.turn.output() = output;
            self.is_hurried |= held.is_sent;
            self.moved |= held.is_sent;
        }
    }

    /// The application is about to do something else with its client than to give the next piece.
    pub fn send_held(&mut self) {
        if self.lease.is_some_and(|lease| lease.holder.is_holding()) {
            self.take_up();
            // What the socket does not take now goes with the rest; a client that is gone is noticed then.
            let _: Flushed = self.flush();
        }
    }

    /// Another answer begins, of which nothing is known.
    pub fn begin_to_hold(&mut self) {
        self.is_hurried = false;
    }
}
