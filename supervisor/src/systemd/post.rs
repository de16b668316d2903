//! Brings datagrams to the manager's socket.
//!
//! Rules
//! * Never waits. What the socket has no room for stays in order, and is tried again.
//! * Each letter has a socket of its own, as sd_notify(3) does it: a manager that was exec'd anew has another end.
//!
//! Known fault: a manager at another end of a vsock (a virtual machine's host) is not told anything.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

use monoceros_shared::link::fd;

use crate::listen::cause;

/// How long a full socket is left alone.
const RETRY: Duration = Duration::from_millis(100);

/// Letters that wait. A manager that hangs for so many of them has been told nothing of use for minutes; the oldest are dropped, for
/// the newest say how things are.
const WAITING_MAX: usize = 256;

/// A datagram.
pub struct Letter {
    text: String,
    descriptor: Option<OwnedFd>,
}

impl Letter {
    /// One without a descriptor.
    pub fn of(text: String) -> Letter {
        Letter { text, descriptor: None }
    }

    /// What it says.
    #[cfg(test)]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One with.
    pub fn with(text: String, descriptor: OwnedFd) -> Letter {
        Letter { text, descriptor: Some(descriptor) }
    }
}

/// The way to the manager.
pub struct Post {
    to: SocketAddr,
    waiting: VecDeque<Letter>,
    retry_at: Option<Instant>,
    failure: Option<String>,
}

impl Post {
    /// To the socket that the environment names.
    pub fn from_environment() -> Option<Post> {
        Post::to(&std::env::var_os("NOTIFY_SOCKET")?)
    }

    /// To a socket: a path, or a name in the abstract namespace behind an `@`.
    pub fn to(name: &OsStr) -> Option<Post> {
        let to = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => return None,
        };
        Some(Post { to: to.ok()?, waiting: VecDeque::new(), retry_at: None, failure: None })
    }

    /// Sends these, behind those that wait.
    pub fn send(&mut self, letters: impl Iterator<Item = Letter>) {
        self.waiting.extend(letters);
        self.retry_at = None;
        while let Some(letter) = self.waiting.front() {
            match self.deliver(letter) {
                Ok(()) => self.failure = None,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(Instant::now() + RETRY);
                    break;
                }
                // Nobody will take it later either.
                Err(error) => self.failure = Some(cause(&error)),
            }
            self.waiting.pop_front();
        }
        let surplus = self.waiting.len().saturating_sub(WAITING_MAX);
        self.waiting.drain(..surplus);
    }

    fn deliver(&self, letter: &Letter) -> io::Result<()> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect_addr(&self.to)?;
        match &letter.descriptor {
            Some(descriptor) => fd::attach(&socket, letter.text.as_bytes(), descriptor),
            None => socket.send(letter.text.as_bytes()).map(drop),
        }
    }

    /// When what waits is tried again.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Why the last letter was lost, until one arrives.
    pub fn failure(&self) -> Option<String> {
        self.failure.clone()
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn letters<const N: usize>(texts: [&str; N]) -> impl Iterator<Item = Letter> {
        texts.map(|text| Letter::of(text.to_owned())).into_iter()
    }

    fn receive(socket: &UnixDatagram) -> String {
        let mut text = [0; 4096];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8(text[..length].to_vec()).unwrap()
    }

    #[test]
    fn letters_arrive_whole_and_in_order_by_either_kind_of_name() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let name = format!("monoceros-post-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, to) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (UnixDatagram::bind_addr(&abstract_name).unwrap(), format!("@{name}").into()),
        ] {
            let mut post = Post::to(&to).unwrap();
            post.send(letters(["READY=1\nSTATUS=up", "WATCHDOG=1"]));
            assert_eq!((receive(&socket), receive(&socket)), ("READY=1\nSTATUS=up".into(), "WATCHDOG=1".into()));
            assert!(post.failure().is_none() && post.deadline().is_none());
        }
    }

    #[test]
    fn a_manager_that_does_not_read_is_told_later() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut post = Post::to(path.as_os_str()).unwrap();
        let mut sent = 0;
        while post.deadline().is_none() {
            post.send(letters([&*format!("{sent}")]));
            sent += 1;
        }
        for number in 0..sent {
            assert_eq!(receive(&socket), number.to_string());
            post.send(letters([]));
        }
        assert!(post.deadline().is_none());
    }

    #[test]
    fn a_manager_that_hangs_for_ever_costs_a_bounded_memory() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("notify");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let mut post = Post::to(path.as_os_str()).unwrap();
        for _ in 0..WAITING_MAX * 10 {
            post.send(letters(["WATCHDOG=1"]));
        }
        assert_eq!(post.waiting.len(), WAITING_MAX);
    }

    #[test]
    fn a_manager_that_is_gone_is_no_reason_to_wait() {
        let mut post = Post::to(OsStr::new("/nowhere/notify")).unwrap();
        post.send(letters(["READY=1"]));
        assert_eq!(post.failure().as_deref(), Some("No such file or directory"));
        assert!(post.waiting.is_empty() && post.deadline().is_none());
        assert!(Post::to(OsStr::new("vsock:2:1234")).is_none() && Post::to(OsStr::new("")).is_none());
    }
}
