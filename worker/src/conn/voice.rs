//! The end of a connection that others may hold: enough to tell its client a last word, and to end it.

use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use socket2::Socket;

use super::Place;
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
    /// Its place among the requests of one FastCGI connection, if it is one.
    pub place: Option<Place>,
    /// How answers are put there.
    pub(super) manner: Manner,
}

impl Voice {
    /// How its client wants answers to be put.
    pub fn manner(&self) -> Manner {
        match &self.place {
            None => self.manner,
            Some(place) => Manner::FastCgi(place.branch.map_or_else(|| place.trunk.home(), |number| number.id)),
        }
    }

    /// Sends a short answer without waiting: whether all of it is out.
    pub fn tell(&self, answer: &[u8]) -> bool {
        if let Some(place) = &self.place {
            return place.trunk.tell(&self.socket, place.branch, answer);
        }
        match &self.session {
            None => self.socket.send_with_flags(answer, libc::MSG_NOSIGNAL).is_ok_and(|count| count == answer.len()),
            Some(session) => {
                let mut session = lock(session);
                session.say(answer) && session.send(&mut Outlet(&self.socket)).is_ok() && !session.owes()
            }
        }
    }

    /// Ends a request of whose answer there is no more, so that it does not look complete; where others share the connection, by its own end alone.
    pub fn cut(&self, farewell: Farewell) {
        match &self.place {
            Some(place) if self.is_shared() => {
                place.trunk.end_cut(&self.socket, place.branch);
            }
            Some(_) | None => self.say(farewell),
        }
    }

    /// Whether requests beside this one go on.
    pub fn is_shared(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.branch.is_some() || place.trunk.has_branches())
    }

    /// Ends our side, or all, as the farewell says: by close_notify too, if TLS is spoken and there is room for it.
    pub fn say(&self, farewell: Farewell) {
        // The connection goes on for others; what was told them of this request is all.
        if self.is_shared() {
            return;
        }
        if let (Some(session), Farewell::Linger | Farewell::Close) = (&self.session, farewell) {
            let mut session = lock(session);
            session.finish();
            let _ = session.send(&mut Outlet(&self.socket));
        }
        say(&self.socket, farewell);
    }
}

/// Ends our side of a socket, or all of it, as the farewell says; a reset only when the socket is closed.
pub fn say(socket: &Socket, farewell: Farewell) {
    // It fails only when the client has ended it before us, which is as good.
    let _ = match farewell {
        Farewell::Linger => socket.shutdown(Shutdown::Write),
        Farewell::Close => socket.shutdown(Shutdown::Both),
        Farewell::Reset => socket.set_linger(Some(Duration::ZERO)),
    };
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
