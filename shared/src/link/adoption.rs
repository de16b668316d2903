//! How a worker whose supervisor is gone gets another.
//!
//! ```text
//!   next supervisor                                  worker (listens on a socket that the last supervisor bound for it)
//!   connects; claims: version | token -------------> checks the user by the kernel's word, and that nobody has it
//!                        <-------------------------- reply: version | worker | generation | doing | kinship | application
//!                        <-------------------------- "scoreboard", each listener's name, ... with their descriptors
//!                        <-------------------------- the end of the estate
//!   the connection is the descriptor socket from now on
//! ```
//!
//! Rules
//! * The first two bytes of a claim and of a reply are the version of the link, and what follows them is laid out alike in every
//!   version there will be: builds that share no words can still hand the listeners on.
//! * Who may claim is decided by the user that the kernel names. The token says whether the claimant knows what the last
//!   supervisor knew of this worker.
//! * A worker listens once more on the socket that it was given, so that the kernel names *its* process to whoever connects, and
//!   not that of the supervisor that bound it (unix(7), `SO_PEERCRED`).

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, UnixAddr, getsockopt, sockopt};

use super::fd::{Carrier, Taken};
use super::{Token, VERSION};

/// Claims that may wait. One comes in a supervisor's life; strangers cannot reach the socket.
const BACKLOG: i32 = 8;

/// Bytes of a reply: an application's name is far shorter.
const REPLY_BYTES_MAX: usize = 512;

/// Bytes before the text of a reply.
const REPLY_HEAD: usize = 2 + 8 + 8 + 1 + 1;

/// Says that the estate has ended: sent without a descriptor.
pub const END: &str = "end";

/// Who is at the other end, by the kernel's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its process; 0 where it is in a namespace that we do not see.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
}

/// What a worker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It serves, and will.
    Serving,
    /// It finishes what it has.
    Draining,
    /// It answers in the place of an application that cannot be loaded.
    Apologising,
}

/// Whether a claimant brought the worker's own token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// It did.
    Kin,
    /// It did not: it has not what the last supervisor left.
    Stranger,
}

/// What a worker says to who claims it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is the claimant's now.
    Taken {
        /// The version of the link that it speaks.
        version: u16,
        /// Its number.
        worker: u64,
        /// Its generation.
        generation: u64,
        /// What it is at.
        doing: Doing,
        /// Whether the claimant is the successor.
        kinship: Kinship,
        /// Its application's name.
        app: String,
    },
    /// It is not: one line.
    Refused(String),
}

/// Binds the socket on which a worker waits for its next supervisor; only its owner and root can connect.
///
/// # Errors
/// When there can be none at this path.
pub fn bind(file: &Path) -> io::Result<OwnedFd> {
    // What lies there is of a worker of this number in an earlier life of the server, for whose names we hold the locks.
    let _ = std::fs::remove_file(file);
    let bound = new_socket()?;
    socket::bind(bound.as_raw_fd(), &UnixAddr::new(file)?)?;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))?;
    listen(bound.as_fd())?;
    Ok(bound)
}

/// Listens, be it once more in another process.
///
/// # Errors
/// When it is no such socket.
pub fn listen(bound: BorrowedFd<'_>) -> io::Result<()> {
    Ok(socket::listen(&bound, Backlog::new(BACKLOG)?)?)
}

/// Connects to a worker. Never blocks.
///
/// # Errors
/// `ConnectionRefused` when nobody listens there any more.
pub fn connect(file: &Path) -> io::Result<Carrier> {
    let connected = new_socket()?;
    socket::connect(connected.as_raw_fd(), &UnixAddr::new(file)?)?;
    Carrier::adopt(connected)
}

/// Takes one who has connected; `None` when nobody has. Never blocks.
///
/// # Errors
/// When the process may open no more files.
#[expect(unsafe_code, reason = "accept gives a descriptor as a number")]
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<Option<Carrier>> {
    match socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else has seen its number.
        Ok(raw) => Carrier::adopt(unsafe { OwnedFd::from_raw_fd(raw) }).map(Some),
        Err(errno) => match io::Error::from(errno) {
            error if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionAborted) => Ok(None),
            error => Err(error),
        },
    }
}

/// Who is at the other end.
///
/// # Errors
/// When the kernel does not say.
pub fn peer(carrier: &Carrier) -> io::Result<Peer> {
    let credentials = getsockopt(carrier, sockopt::PeerCredentials)?;
    Ok(Peer { pid: credentials.pid(), uid: credentials.uid() })
}

/// Claims a worker. Without a token it is claimed as by a stranger.
///
/// # Errors
/// When it is gone.
pub fn claim(carrier: &Carrier, token: Option<&Token>) -> io::Result<()> {
    let mut packet = VERSION.to_le_bytes().to_vec();
    packet.extend(token.into_iter().flatten());
    carrier.give(&packet, None)
}

/// What token a claimant brought; waits for it no longer than `patience`.
///
/// # Errors
/// When it does not come, or is none; `UnexpectedEof` when whoever came only looked whether somebody is here.
pub fn claimed(carrier: &Carrier, patience: Duration) -> io::Result<Option<Token>> {
    let mut packet = [0; 64];
    wait(carrier.as_fd(), patience)?;
    let bytes = match carrier.take(&mut packet)? {
        Taken::Packet((bytes, None)) => bytes,
        Taken::End => return Err(io::Error::new(ErrorKind::UnexpectedEof, "whoever came has gone without a claim")),
        Taken::Packet(_) | Taken::Nothing => {
            return Err(io::Error::new(ErrorKind::InvalidData, "cannot read a claim: it is none"));
        }
    };
    match packet[..bytes].split_first_chunk::<2>() {
        Some((_version, token)) => Ok(token.try_into().ok()),
        None => Err(io::Error::new(ErrorKind::InvalidData, "cannot read a claim: it is none")),
    }
}

/// Waits until there is something to read, no longer than `patience`; says nothing of what it is.
///
/// # Errors
/// `TimedOut`.
pub fn wait(socket: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket, PollFlags::POLLIN)], timeout) {
        Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "it does not answer")),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

impl Reply {
    /// As a packet.
    pub fn packed(&self) -> Vec<u8> {
        let mut packet = Vec::new();
        let (version, worker, generation, marks, text) = match self {
            Reply::Taken { version, worker, generation, doing, kinship, app } => {
                let doing = match doing {
                    Doing::Serving => 1,
                    Doing::Draining => 2,
                    Doing::Apologising => 3,
                };
                (*version, *worker, *generation, [doing, u8::from(*kinship == Kinship::Kin)], app)
            }
            Reply::Refused(why) => (VERSION, 0, 0, [0, 0], why),
        };
        packet.extend(version.to_le_bytes());
        packet.extend(worker.to_le_bytes());
        packet.extend(generation.to_le_bytes());
        packet.extend(marks);
        packet.extend(text.as_bytes().iter().take(REPLY_BYTES_MAX - REPLY_HEAD));
        packet
    }

    /// From a packet; `None` when it is none.
    pub fn unpacked(packet: &[u8]) -> Option<Reply> {
        let (version, rest) = packet.split_first_chunk::<2>()?;
        let (worker, rest) = rest.split_first_chunk::<8>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let ([doing, kin], text) = rest.split_first_chunk::<2>()?;
        let text = String::from_utf8_lossy(text).into_owned();
        let doing = match doing {
            0 => return Some(Reply::Refused(text)),
            1 => Doing::Serving,
            3 => Doing::Apologising,
            _ => Doing::Draining,
        };
        Some(Reply::Taken {
            version: u16::from_le_bytes(*version),
            worker: u64::from_le_bytes(*worker),
            generation: u64::from_le_bytes(*generation),
            doing,
            kinship: if *kin == 1 { Kinship::Kin } else { Kinship::Stranger },
            app: text,
        })
    }

    /// The reply that is there, if it has come. Never blocks.
    ///
    /// # Errors
    /// When the worker is gone, or what came is none.
    pub fn take(carrier: &Carrier) -> io::Result<Option<Reply>> {
        let mut packet = [0; REPLY_BYTES_MAX];
        match carrier.take(&mut packet)? {
            Taken::Nothing => Ok(None),
            Taken::End => Err(io::Error::new(ErrorKind::UnexpectedEof, "it is gone")),
            Taken::Packet((bytes, _)) => Reply::unpacked(&packet[..bytes])
                .map(Some)
                .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "its reply is none")),
        }
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = [7; 16];

    fn both() -> (tempfile::TempDir, Carrier, Carrier) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker");
        let listener = bind(&file).unwrap();
        let theirs = connect(&file).unwrap();
        (folder, theirs, accept(listener.as_fd()).unwrap().unwrap())
    }

    #[test]
    fn a_claim_brings_its_token_or_none() {
        let (_folder, supervisor, worker) = both();
        claim(&supervisor, Some(&TOKEN)).unwrap();
        assert_eq!(claimed(&worker, Duration::from_secs(5)).unwrap(), Some(TOKEN));
        claim(&supervisor, None).unwrap();
        assert_eq!(claimed(&worker, Duration::from_secs(5)).unwrap(), None);
        worker.give(b"x", None).unwrap();
        assert!(claimed(&supervisor, Duration::from_secs(5)).is_err());
        assert_eq!(claimed(&worker, Duration::ZERO).unwrap_err().kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn a_reply_is_laid_out_as_it_will_ever_be() {
        let app = "shop".to_owned();
        let reply =
            Reply::Taken { version: 4, worker: 7, generation: 258, doing: Doing::Draining, kinship: Kinship::Kin, app };
        assert_eq!(reply.packed(), b"\x04\x00\x07\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\x02\x01shop");
        assert_eq!(Reply::unpacked(&reply.packed()), Some(reply));
        let refused = Reply::Refused("no".into());
        assert_eq!(Reply::unpacked(&refused.packed()), Some(refused));
        assert_eq!(Reply::unpacked(b"\x04\0short"), None);
    }

    #[test]
    fn the_kernel_names_who_listened_last_and_who_connects() {
        let (_folder, supervisor, worker) = both();
        let us = Peer { pid: std::process::id() as i32, uid: nix::unistd::geteuid().as_raw() };
        assert_eq!((peer(&supervisor).unwrap(), peer(&worker).unwrap()), (us, us));
    }

    #[test]
    fn only_its_owner_can_connect_and_a_stale_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("worker");
        drop(bind(&file).unwrap());
        assert_eq!(connect(&file).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let _listener = bind(&file).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        connect(&file).unwrap();
    }
}
