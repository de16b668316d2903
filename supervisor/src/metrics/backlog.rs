//! How many clients wait in a listener's backlog, by the kernel's own word (sock_diag(7)).
//!
//! ```text
//!   TCP    one dump of what listens, IPv4 and IPv6; ours are those with our inodes
//!   Unix   asked for by its inode
//!   request: nlmsghdr, inet_diag_req_v2 | unix_diag_req
//!   answer:  nlmsghdr, inet_diag_msg (rqueue: waiting, wqueue: limit) | unix_diag_msg with UNIX_DIAG_RQLEN (the same two)
//! ```
//!
//! Netlink answers while it is asked, so nothing here waits. Where it is not there (a sandbox, a kernel without it) nobody knows.
//!
//! Known fault: of a Unix socket the kernel lets one more wait than its limit says.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use nix::sys::stat::fstat;
use serde::{Deserialize, Serialize};

/// Who waits on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Clients that are connected and not accepted.
    pub waiting: u32,
    /// How many can.
    pub limit: u32,
}

/// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h, linux/unix_diag.h.
const NLMSG_HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_LISTEN: u8 = 10;
const LISTENING: u32 = 1 << TCP_LISTEN;
const UDIAG_SHOW_RQLEN: u32 = 0x10;
const UNIX_DIAG_RQLEN: u16 = 4;
const NO_COOKIE: u32 = u32::MAX;
/// Bytes of an `inet_diag_sockid`, and where behind it the two queues and the inode stand in an `inet_diag_msg`.
const SOCKET_ID: usize = 48;
const INET_QUEUES: usize = 4 + SOCKET_ID + 4;
const INET_INODE: usize = INET_QUEUES + 12;
/// Bytes of a `unix_diag_msg`, and where its state and its inode stand.
const UNIX_MESSAGE: usize = 16;
const UNIX_STATE: usize = 2;
const UNIX_INODE: usize = 4;

/// Bytes taken at once: what the kernel puts into one answer at most.
const ANSWER_BYTES: usize = 32 * 1024;

/// How often is read for one question. A thousand listeners fill some ten answers; without a bound a kernel that never says that it is
/// done would hold up the loop.
const ANSWERS_MAX: usize = 1024;

/// Backlogs of these listeners, by the numbers of their descriptors; those that nobody knows are left out.
pub fn of<'a>(listeners: impl Iterator<Item = BorrowedFd<'a>>) -> BTreeMap<i32, Backlog> {
    let inode = |socket: BorrowedFd<'_>| Some((fstat(socket).ok()?.st_ino as u32, socket.as_raw_fd()));
    let inodes: BTreeMap<u32, i32> = listeners.filter_map(inode).collect();
    let known = if inodes.is_empty() { Ok(BTreeMap::new()) } else { ask(inodes.keys().copied().collect()) };
    let known = known.unwrap_or_default();
    inodes.into_iter().filter_map(|(inode, descriptor)| Some((descriptor, *known.get(&inode)?))).collect()
}

/// By inode.
fn ask(mut wanted: Vec<u32>) -> io::Result<BTreeMap<u32, Backlog>> {
    let kind = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let netlink = socket(AddressFamily::Netlink, SockType::Raw, kind, SockProtocol::NetlinkSockDiag)?;
    let mut known = BTreeMap::new();
    for family in [AF_INET, AF_INET6] {
        known.extend(question(&netlink, &dump_of_tcp(family)).unwrap_or_default());
    }
    wanted.retain(|inode| !known.contains_key(inode));
    for inode in wanted {
        // One that is not there is answered by an error.
        known.extend(question(&netlink, &question_of_unix(inode)).unwrap_or_default());
    }
    Ok(known)
}

fn question(netlink: &OwnedFd, request: &[u8]) -> io::Result<Vec<(u32, Backlog)>> {
    sendto(netlink.as_raw_fd(), request, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut bytes = vec![0; ANSWER_BYTES];
    let mut found = Vec::new();
    for _ in 0..ANSWERS_MAX {
        let count = recv(netlink.as_fd().as_raw_fd(), &mut bytes, MsgFlags::empty())?;
        if read(&bytes[..count], &mut found) == Rest::None {
            break;
        }
    }
    Ok(found)
}

fn header(length: usize, flags: u16) -> Vec<u8> {
    let mut bytes = ((NLMSG_HEADER + length) as u32).to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes
}

/// All that listens on TCP.
fn dump_of_tcp(family: u8) -> Vec<u8> {
    let mut bytes = header(8 + SOCKET_ID, NLM_F_DUMP);
    bytes.extend([family, IPPROTO_TCP, 0, 0]);
    bytes.extend(LISTENING.to_ne_bytes());
    bytes.extend([0; SOCKET_ID]);
    bytes
}

/// The one Unix socket with this inode.
fn question_of_unix(inode: u32) -> Vec<u8> {
    let mut bytes = header(24, 0);
    bytes.extend([AF_UNIX, 0, 0, 0]);
    for word in [LISTENING, inode, UDIAG_SHOW_RQLEN, NO_COOKIE, NO_COOKIE] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Whether more answers follow to the same question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    Follows,
}

/// Takes one datagram apart: inodes, with what waits there.
fn read(mut bytes: &[u8], found: &mut Vec<(u32, Backlog)>) -> Rest {
    const NLM_F_MULTI: u16 = 2;
    let mut rest = Rest::None;
    while let (Some(length), Some(kind), Some(flags)) = (word(bytes, 0), half(bytes, 4), half(bytes, 6)) {
        let length = length as usize;
        if kind == NLMSG_ERROR || kind == NLMSG_DONE || length < NLMSG_HEADER || length > bytes.len() {
            return Rest::None;
        }
        rest = if flags & NLM_F_MULTI == 0 { Rest::None } else { Rest::Follows };
        let message = &bytes[NLMSG_HEADER..length];
        found.extend(match message.first() {
            Some(&AF_UNIX) => unix(message),
            Some(_) => inet(message),
            None => None,
        });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    rest
}

fn inet(message: &[u8]) -> Option<(u32, Backlog)> {
    let (waiting, limit) = (word(message, INET_QUEUES)?, word(message, INET_QUEUES + 4)?);
    Some((word(message, INET_INODE)?, Backlog { waiting, limit }))
}

fn unix(message: &[u8]) -> Option<(u32, Backlog)> {
    let (state, inode) = (*message.get(UNIX_STATE)?, word(message, UNIX_INODE)?);
    if state != TCP_LISTEN {
        return None;
    }
    let mut attributes = message.get(UNIX_MESSAGE..)?;
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
        if kind == UNIX_DIAG_RQLEN {
            return Some((inode, Backlog { waiting: word(attributes, 4)?, limit: word(attributes, 8)? }));
        }
        attributes = attributes.get(usize::from(length.max(4)).next_multiple_of(4)..)?;
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpStream};
    use std::os::unix::net::UnixStream;

    use socket2::{Domain, SockAddr, Socket, Type};

    use super::*;

    fn listening(domain: Domain, address: &SockAddr, backlog: i32) -> Socket {
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        socket.bind(address).unwrap();
        socket.listen(backlog).unwrap();
        socket
    }

    #[test]
    fn clients_that_wait_are_counted_whatever_they_come_by() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let loopback = |text: &str| text.parse::<SocketAddr>().unwrap().into();
        let four = listening(Domain::IPV4, &loopback("127.0.0.1:0"), 7);
        let six = listening(Domain::IPV6, &loopback("[::1]:0"), 8);
        let file = listening(Domain::UNIX, &SockAddr::unix(&path).unwrap(), 9);
        let connect = |socket: &Socket| TcpStream::connect(socket.local_addr().unwrap().as_socket().unwrap()).unwrap();
        let clients = (connect(&four), connect(&four), connect(&six));
        let more: Vec<UnixStream> = (0..3).map(|_| UnixStream::connect(&path).unwrap()).collect();
        let sockets = [&four, &six, &file];
        let seen = of(sockets.iter().map(|socket| socket.as_fd()));
        let seen: Vec<Backlog> = sockets.iter().map(|socket| seen[&socket.as_raw_fd()]).collect();
        let expected = [(2, 7), (1, 8), (3, 9)].map(|(waiting, limit)| Backlog { waiting, limit });
        assert_eq!(seen, expected);
        drop((clients, more));
    }

    #[test]
    fn what_is_no_listener_has_none() {
        let (one, _other) = UnixStream::pair().unwrap();
        assert_eq!(of([one.as_fd()].into_iter()), BTreeMap::new());
        assert_eq!(of(std::iter::empty()), BTreeMap::new());
    }

    #[test]
    fn nonsense_is_read_without_harm() {
        let mut found = Vec::new();
        for length in 0..80 {
            for byte in [0, 1, 2, 10, 20, 255] {
                read(&vec![byte; length], &mut found);
            }
        }
        let mut short = header(2, 0);
        short.extend([AF_UNIX, 0]);
        assert_eq!(read(&short, &mut found), Rest::None);
        assert_eq!(found, []);
    }
}
