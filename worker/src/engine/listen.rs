//! The listeners' side of the poll: shared descriptors, taken in turns with the other workers.
//!
//! A listener is added level-triggered with EPOLLEXCLUSIVE, so that a waiting connection wakes one worker and not all; mio
//! has no such interest, so it is added to mio's own descriptor by hand, and only ever with ADD and DEL, as MOD is refused
//! with that flag (epoll_ctl(2)). Whoever leaves a listener accepts until there is nothing, because the wake that it has
//! consumed reaches no other worker.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Weak};

use mio::Registry;
use mio::net::{TcpListener, UnixListener};
use nix::sys::epoll::{Epoll, EpollEvent, EpollFlags};
use nix::sys::socket::{AddressFamily, SockaddrLike, SockaddrStorage, getsockname};
use socket2::Socket;

use crate::conn::Peer;
use crate::descriptors;
use crate::tls::Terms;

/// A listening socket.
pub struct Listener {
    kind: Arc<Kind>,
    state: State,
    /// How its connections are encrypted, if they are.
    pub terms: Option<Terms>,
}

/// A listening socket as whoever keeps an inventory sees it: it is gone when the leader has left it.
pub struct Inventoried {
    /// The listener's name.
    pub name: String,
    socket: Weak<Kind>,
}

impl Inventoried {
    /// Does something with it, if it is not left yet.
    pub fn with<T>(&self, act: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        self.socket.upgrade().map(|socket| act(descriptor(&socket)))
    }
}

enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not in the poll.
    Out,
    /// In the poll.
    In,
}

/// What an accept came to.
pub enum Accepted {
    /// A connection.
    Client(Socket, Peer),
    /// Nobody waits.
    Nobody,
    /// It failed for want of something, so that trying again at once would only spin.
    Exhausted(io::Error),
}

impl Listener {
    /// A socket that listens and does not block.
    ///
    /// # Errors
    /// When it cannot be asked of which family it is.
    pub fn new((socket, terms): (OwnedFd, Option<Terms>)) -> io::Result<Listener> {
        let address: SockaddrStorage = getsockname(socket.as_raw_fd())?;
        let kind = match address.family() {
            Some(AddressFamily::Unix) => Kind::Unix(UnixListener::from_std(socket.into())),
            _ => Kind::Tcp(TcpListener::from_std(socket.into())),
        };
        Ok(Listener { kind: Arc::new(kind), state: State::Out, terms })
    }

    /// Its entry in the inventory.
    pub fn inventoried(&self, name: &str) -> Inventoried {
        Inventoried { name: name.to_owned(), socket: Arc::downgrade(&self.kind) }
    }

    /// Another descriptor of the same socket.
    ///
    /// # Errors
    /// When there is none left.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        self.descriptor().try_clone_to_owned()
    }

    /// Begins to wait for connections, under this token.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn join(&mut self, epoll: &Epoll, token: usize) -> io::Result<()> {
        if self.state == State::Out {
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
            epoll.add(self.descriptor(), EpollEvent::new(flags, token as u64))?;
            self.state = State::In;
        }
        Ok(())
    }

    /// Stops to wait. Accept until nobody waits after it.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn part(&mut self, epoll: &Epoll) -> io::Result<()> {
        if self.state == State::In {
            epoll.delete(self.descriptor())?;
            self.state = State::Out;
        }
        Ok(())
    }

    /// Takes one waiting connection.
    pub fn accept(&self) -> Accepted {
        loop {
            let accepted = match &*self.kind {
                Kind::Tcp(listener) => {
                    listener.accept().map(|(stream, address)| (Socket::from(OwnedFd::from(stream)), Peer::Tcp(address)))
                }
                Kind::Unix(listener) => {
                    listener.accept().map(|(stream, _)| (Socket::from(OwnedFd::from(stream)), Peer::Unix))
                }
            };
            match accepted {
                Ok((socket, peer)) => return Accepted::Client(socket, peer),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Accepted::Nobody,
                Err(error) if is_about_one_client(&error) => {}
                Err(error) => return Accepted::Exhausted(error),
            }
        }
    }

    /// Closes it. Part from it first.
    pub fn close(self) {
        descriptors::forget(&self.descriptor().as_raw_fd());
    }

    fn descriptor(&self) -> BorrowedFd<'_> {
        descriptor(&self.kind)
    }
}

fn descriptor(kind: &Kind) -> BorrowedFd<'_> {
    match kind {
        Kind::Tcp(listener) => listener.as_fd(),
        Kind::Unix(listener) => listener.as_fd(),
    }
}

/// Errors of the connection that was to be accepted, which accept(2) passes on and says to treat like no connection.
fn is_about_one_client(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINTR
                | libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH
                | libc::EPERM
        )
    )
}

/// mio's poll under nix's name: a second descriptor of the same epoll instance. Made once, at the start: a worker that has run
/// out of descriptors must be able to leave its listeners.
///
/// # Errors
/// When there is no descriptor for it.
pub fn epoll(registry: &Registry) -> io::Result<Epoll> {
    Ok(Epoll(registry.as_fd().try_clone_to_owned()?))
}
