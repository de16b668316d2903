//! The end of a connection that others may hold: enough to tell its client a last word, and to end it.

use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex, MutexGuard};

use socket2::Socket;

use super::say;
use crate::tls::Session;
use crate::turn::Farewell;
use crate::wire::gateway::answer::Manner;

/// What of a connection can speak to its client while the rest of it is with Python. Whoever has its lease may.
#[derive(Clone)]
pub struct Voice {
    /// Its socket. It is closed when all have let go.
    pub socket: Arc<Socket>,
    /// Its TLS, if it speaks it.
    pub(super) session: Option<Arc<Mutex<Session>>>,
    /// How answers are put there.
    pub(super) manner: Manner,
}

impl Voice {
    /// How its client wants answers to be put.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// Sends a short answer without waiting: whether all of it is out.
    pub fn tell(&self, answer: &[u8]) -> bool {
        match &self.session {
            None => self.socket.send_with_flags(answer, libc::MSG_NOSIGNAL).is_ok_and(|count| count == answer.len()),
            Some(session) => {
                let mut session = lock(session);
                session.say(answer) && session.send(&mut Outlet(&self.socket)).is_ok() && !session.owes()
            }
        }
    }

    /// Ends our side, or all, as the farewell says: by close_notify too, if TLS is spoken and there is room for it.
    pub fn say(&self, farewell: Farewell) {
        if let (Some(session), Farewell::Linger | Farewell::Close) = (&self.session, farewell) {
            let mut session = lock(session);
            session.finish();
            let _ = session.send(&mut Outlet(&self.socket));
        }
        say(&self.socket, farewell);
    }
}

/// A thread that panicked is a bug that has ended the process, so no lock is ever poisoned.
pub(super) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().expect("no thread panics while it holds a lock")
}

/// A socket to write to, whose peer may be gone without a signal to us.
pub(super) struct Outlet<'a>(pub &'a Socket);

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send_with_flags(bytes, libc::MSG_NOSIGNAL)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored_with_flags(bytes, libc::MSG_NOSIGNAL)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
