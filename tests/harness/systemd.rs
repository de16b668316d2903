//! A service manager in small: a socket that is notified, a store of descriptors, sockets that are open at the start.

use std::io::IoSliceMut;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use tempfile::TempDir;

use super::process::{eventually, program, within};
use super::server::Server;
use super::site::Site;

/// A datagram, and the descriptor that came with it.
#[derive(Debug)]
pub struct Told {
    /// Its lines.
    pub text: String,
    /// What is to be stored.
    pub descriptor: Option<OwnedFd>,
}

impl Told {
    /// Whether one of its lines is this.
    pub fn has(&self, line: &str) -> bool {
        self.text.lines().any(|one| one == line)
    }

    /// What stands behind `KEY=`.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

/// The end of `NOTIFY_SOCKET` that a manager has.
pub struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    /// One that listens.
    pub fn new() -> Manager {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket can be bound there");
        socket.set_nonblocking(true).expect("a socket can be made so");
        Manager { socket, folder }
    }

    /// The value of `NOTIFY_SOCKET`.
    pub fn address(&self) -> String {
        self.path().to_str().expect("a path in UTF-8").to_owned()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// The next datagram, if one is there.
    pub fn take(&self) -> Option<Told> {
        let mut text = [0; 8192];
        let mut control = nix::cmsg_space!([RawFd; 4]);
        let mut into = [IoSliceMut::new(&mut text)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<()>(self.socket.as_raw_fd(), &mut into, Some(&mut control), flags).ok()?;
        let mut descriptors: Vec<OwnedFd> = Vec::new();
        for control in message.cmsgs().expect("room for all of it") {
            if let ControlMessageOwned::ScmRights(raw) = control {
                descriptors.extend(raw.into_iter().map(own));
            }
        }
        let length = message.bytes;
        let text = String::from_utf8(text[..length].to_vec()).expect("datagrams are UTF-8");
        assert!(descriptors.len() < 2, "several descriptors under one name: {text}");
        Some(Told { text, descriptor: descriptors.pop() })
    }

    /// Waits for a datagram with this line; what comes before it is forgotten.
    pub fn expect(&self, line: &str) -> Told {
        let mut seen = Vec::new();
        eventually(&format!("the manager to be told {line}"), || match self.take() {
            Some(told) if told.has(line) => Ok(told),
            Some(told) => {
                seen.push(told.text);
                Err(seen.clone())
            }
            None => Err(seen.clone()),
        })
    }

    /// All that is told until a datagram with this line, that one included.
    pub fn until(&self, line: &str) -> Vec<Told> {
        let mut all = Vec::new();
        eventually(&format!("the manager to be told {line}"), || {
            all.extend(std::iter::from_fn(|| self.take()));
            let is_told = all.iter().any(|told| told.has(line));
            is_told.then_some(()).ok_or_else(|| all.iter().map(|told| told.text.clone()).collect::<Vec<_>>())
        });
        all
    }

    /// Whether nothing with this line is told for that long.
    pub fn hears_nothing_of(&self, line: &str, time: Duration) -> bool {
        within(time, || self.take().filter(|told| told.has(line))).is_err()
    }

    /// Forgets what was told so far.
    pub fn forget(&self) {
        while self.take().is_some() {}
    }
}

#[expect(unsafe_code, reason = "the kernel gives received descriptors as numbers")]
fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: it came with a message just now, so it is open and nobody else's.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

/// The command that runs the supervisor on a site with these sockets open, each under its name.
pub fn with_sockets(sockets: &[(&str, BorrowedFd<'_>)]) -> Vec<String> {
    let mut script = String::new();
    for (number, (_, socket)) in (3..).zip(sockets) {
        // Inherited by this one child alone: each test is a process of its own, and starts nothing meanwhile.
        fcntl(socket, FcntlArg::F_SETFD(FdFlag::empty())).expect("a descriptor has flags");
        // Far from the numbers that they are to have.
        script += &format!("exec {}<&{} {}<&-; ", 100 + number, socket.as_raw_fd(), socket.as_raw_fd());
    }
    for number in 3..3 + sockets.len() {
        script += &format!("exec {number}<&{0} {0}<&-; ", 100 + number);
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let supervisor = program("supervisor");
    script += &format!(
        "export LISTEN_PID=$$ LISTEN_FDS={} LISTEN_FDNAMES={}; exec {} run -c server.yaml",
        sockets.len(),
        names.join(":"),
        supervisor.display()
    );
    ["bash", "-c", &script].map(str::to_owned).into()
}

/// Starts a server with these sockets open.
pub fn launch_with(site: Site, sockets: &[(&str, BorrowedFd<'_>)]) -> Server {
    let command = with_sockets(sockets);
    let server = site.launch_as(&command);
    for (_, socket) in sockets {
        fcntl(socket.as_fd(), FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("a descriptor has flags");
    }
    server
}
