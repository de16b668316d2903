//! Binds listening sockets.
//!
//! ```text
//!   TCP        socket, SO_REUSEADDR, IPV6_V6ONLY, TCP_NODELAY (accepted sockets inherit it), TCP_DEFER_ACCEPT, bind, listen
//!   Unix       is what lies there stale? then remove it; socket, bind, chmod, chown, listen
//!   abstract   socket, bind, listen
//! ```
//!
//! Rules
//! * Nobody can connect to a socket that is bound and does not listen yet; so a Unix socket has its mode and owner
//!   before the first connection.
//! * What lies at a Unix socket's path is removed only if it is a socket and nobody answers on it.
//! * All sockets are close-on-exec and non-blocking.
//! * A Unix socket's file is removed at the end only if it is still the one that we made.
//! * What the service manager opened is taken as it is bound (`given`); its file is the manager's to remove.
//!
//! Known fault: two supervisors that start at the same moment on one Unix path can each take the other's socket, bound
//! and not listening yet, for a stale one.

mod deferral;
mod given;
pub use given::address_of;
mod holder;
mod rehearsal;
pub use rehearsal::could_bind;
mod sockets;

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use monoceros_shared::config::{Address, Listener, Protocol};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};
use socket2::{Domain, SockAddr, Socket, Type};

pub use sockets::Sockets;

/// Connections that wait to be taken in, where the supervisor itself listens.
pub const OWN_BACKLOG: u32 = 64;

/// A listener of the supervisor's own, which no application has.
pub fn of_our_own(address: Address, mode: u32) -> Listener {
    Listener {
        address,
        protocol: Protocol::Http,
        backlog: OWN_BACKLOG,
        mode,
        owner: (None, None),
        proxy_protocol: None,
        allow: None,
        secret: None,
        tls: None,
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Bound {
    /// Its name, everywhere: the text of its address.
    pub name: String,
    socket: Socket,
    file: Option<SocketFile>,
    origin: Origin,
}

/// Whether another socket may be bound to its port meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sharing {
    None,
    Port,
}

/// Whose socket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// We bound it.
    Ours,
    /// A socket unit of the service manager's, which goes on holding it.
    Managers,
}

/// What is known of a listener that another supervisor had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Earlier {
    /// It bound it; device and inode of its file, if it has one and they are known.
    Ours(Option<(u64, u64)>),
    /// It was the service manager's.
    Managers,
}

/// A Unix socket's file, as we made it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Bound {
    /// Binds one and listens.
    ///
    /// # Errors
    /// One line: `cannot bind 127.0.0.1:8000: Address already in use (by process 123, nginx)`.
    pub fn bind(listener: &Listener) -> Result<Bound, String> {
        Bound::bind_with(listener, Sharing::None)
    }

    /// The same for one that takes the place of another of ours at once: on the same port, both are open for a moment
    /// (`127.0.0.1:9100` and `0.0.0.0:9100`).
    ///
    /// # Errors
    /// As [`Bound::bind`].
    pub fn bind_in_place_of(before: &Bound, listener: &Listener) -> Result<Bound, String> {
        let port =
            before.socket.local_addr().ok().and_then(|address| address.as_socket()).map(|address| address.port());
        if !matches!(&listener.address, Address::Tcp(address) if Some(address.port()) == port) {
            return Bound::bind(listener);
        }
        // Both must allow it while the second is bound, and neither afterwards, or a third could come. What cannot be is told by the bind.
        let _ = before.socket.set_reuse_port(true);
        let bound = Bound::bind_with(listener, Sharing::Port);
        for socket in bound.iter().map(|bound| &bound.socket).chain([&before.socket]) {
            let _ = socket.set_reuse_port(false);
        }
        bound
    }

    fn bind_with(listener: &Listener, sharing: Sharing) -> Result<Bound, String> {
        let name = listener.address.to_string();
        let bound = match &listener.address {
            Address::Tcp(address) => tcp(*address, sharing).map(|socket| (socket, None)),
            Address::Unix(path) => unix(path, listener).map(|(socket, file)| (socket, Some(file))),
            Address::Abstract(address) => in_abstract(address).map(|socket| (socket, None)),
        };
        let (socket, file) = bound.map_err(|why| format!("cannot bind {name}: {why}"))?;
        let bound = Bound { name, socket, file, origin: Origin::Ours };
        let backlog = i32::try_from(listener.backlog).unwrap_or(i32::MAX);
        match bound.socket.listen(backlog) {
            Ok(()) => Ok(bound),
            Err(error) => {
                let why = format!("cannot bind {}: {}", bound.name, cause_of_tcp(&listener.address, &error));
                bound.close();
                Err(why)
            }
        }
    }

    /// One that another supervisor bound. What lies at a Unix socket's path is ours if it is what that one made; if that is not
    /// known, the socket that lies there.
    pub fn adopt(listener: &Listener, socket: OwnedFd, of: Earlier) -> Bound {
        let (file, origin) = match (of, &listener.address) {
            (Earlier::Managers, _) => (None, Origin::Managers),
            (Earlier::Ours(Some(identity)), Address::Unix(path)) => {
                (Some(SocketFile { path: path.clone(), identity }), Origin::Ours)
            }
            (Earlier::Ours(None), Address::Unix(path)) => (SocketFile::at(path), Origin::Ours),
            (Earlier::Ours(_), Address::Tcp(_) | Address::Abstract(_)) => (None, Origin::Ours),
        };
        Bound { name: listener.address.to_string(), socket: socket.into(), file, origin }
    }

    /// Device and inode of its file, if it has one.
    pub fn identity(&self) -> Option<(u64, u64)> {
        self.file.as_ref().map(|file| file.identity)
    }

    /// What the next supervisor is to know of it.
    pub fn earlier(&self) -> Earlier {
        match self.origin {
            Origin::Managers => Earlier::Managers,
            Origin::Ours => Earlier::Ours(self.identity()),
        }
    }

    /// Gives it the backlog, the mode and the owner that a listener says now.
    ///
    /// # Errors
    /// One line: `cannot adjust unix:/run/shop.sock: Operation not permitted`.
    pub fn adjust(&self, listener: &Listener) -> Result<(), String> {
        let adjust = || {
            // Linux takes another backlog from a socket that listens already.
            self.socket.listen(i32::try_from(listener.backlog).unwrap_or(i32::MAX))?;
            match &self.file {
                Some(file) if file.is_still_there() => own(&file.path, listener),
                Some(_) | None => Ok(()),
            }
        };
        adjust().map_err(|error: io::Error| format!("cannot adjust {}: {}", self.name, cause(&error)))
    }

    /// Closes it, and removes its file if it has one and it is still ours.
    pub fn close(self) {
        if let Some(file) = self.file.filter(SocketFile::is_still_there) {
            // A file that cannot be removed is found stale by the next start.
            let _ = fs::remove_file(&file.path);
        }
    }
}

impl SocketFile {
    /// The one at a path, if it is a socket.
    fn at(path: &Path) -> Option<SocketFile> {
        let found = fs::symlink_metadata(path).ok().filter(|found| found.file_type().is_socket())?;
        Some(SocketFile { path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }

    /// Whether what lies at its path is what we put there.
    fn is_still_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn tcp(address: SocketAddr, sharing: Sharing) -> Result<Socket, String> {
    let make = || {
        let socket = new_socket(Domain::for_address(address))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(sharing == Sharing::Port)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_tcp_nodelay(true)?;
        deferral::wait_for_bytes(&socket)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    make().map_err(|error| cause_of_tcp(&Address::Tcp(address), &error))
}

fn in_abstract(name: &str) -> Result<Socket, String> {
    let bind = || {
        let address = SockAddr::unix(format!("\0{name}"))?;
        let socket = new_socket(Domain::UNIX)?;
        socket.bind(&address)?;
        Ok(socket)
    };
    bind().map_err(|error| cause(&error))
}

fn unix(path: &Path, listener: &Listener) -> Result<(Socket, SocketFile), String> {
    clear(path)?;
    let bind = || {
        let socket = new_socket(Domain::UNIX)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let made = fs::symlink_metadata(path)?;
        Ok((socket, SocketFile { path: path.to_owned(), identity: (made.dev(), made.ino()) }))
    };
    let (socket, file) = bind().map_err(|error: io::Error| cause(&error))?;
    match own(path, listener) {
        Ok(()) => Ok((socket, file)),
        Err(error) => {
            Bound { name: String::new(), socket, file: Some(file), origin: Origin::Ours }.close();
            Err(format!("its mode and owner cannot be set: {}", cause(&error)))
        }
    }
}

/// Gives a Unix socket's file its mode and its owner.
fn own(path: &Path, listener: &Listener) -> io::Result<()> {
    let (uid, gid) = listener.owner;
    fs::set_permissions(path, Permissions::from_mode(listener.mode))?;
    if uid.is_some() || gid.is_some() { lchown(path, uid, gid) } else { Ok(()) }
}

/// Makes sure that nothing lies at the path, if it is ours to remove.
fn clear(path: &Path) -> Result<(), String> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cause(&error)),
    };
    if !found.file_type().is_socket() {
        return Err("a file that is no socket is in the way".into());
    }
    match answers(path) {
        Ok(true) => Err("Address already in use (somebody answers on it)".into()),
        Ok(false) => fs::remove_file(path).map_err(|error| format!("a stale socket is in the way: {}", cause(&error))),
        Err(error) => Err(format!("a socket is in the way that cannot be asked: {}", cause(&error))),
    }
}

/// Whether somebody listens on a socket's file, be it with a full backlog.
fn answers(path: &Path) -> io::Result<bool> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EAGAIN | Errno::EPROTOTYPE) => Ok(true),
            Some(Errno::ECONNREFUSED) => Ok(false),
            Some(_) | None => Err(error),
        },
    }
}

fn new_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::STREAM.nonblocking().cloexec(), None)
}

fn cause_of_tcp(address: &Address, error: &io::Error) -> String {
    let holder = match (address, error.kind()) {
        (Address::Tcp(address), io::ErrorKind::AddrInUse) => holder::of(*address),
        _ => None,
    };
    holder.map_or_else(|| cause(error), |holder| format!("{} (by {holder})", cause(error)))
}

/// The system's words for an error, without its number.
pub fn cause(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream};

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use tempfile::TempDir;

    use super::*;

    fn listener(address: Address) -> Listener {
        Listener {
            address,
            protocol: Protocol::Http,
            backlog: 16,
            mode: 0o640,
            owner: (None, None),
            proxy_protocol: None,
            allow: None,
            secret: None,
            tls: None,
        }
    }

    fn at(folder: &TempDir, name: &str) -> (PathBuf, Listener) {
        let path = folder.path().join(name);
        (path.clone(), listener(Address::Unix(path)))
    }

    fn folder() -> TempDir {
        TempDir::new().unwrap()
    }

    #[test]
    fn a_tcp_socket_listens_without_delay_and_without_blocking() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let bound = Bound::bind(&listener(Address::Tcp(host.parse().unwrap()))).unwrap();
            let address = bound.socket.local_addr().unwrap().as_socket().unwrap();
            let mut client = TcpStream::connect(address).unwrap();
            assert_eq!(bound.socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "it has said nothing");
            client.write_all(b"G").unwrap();
            let (accepted, _) = bound.socket.accept().unwrap();
            assert!(accepted.tcp_nodelay().unwrap(), "accepted sockets do not inherit TCP_NODELAY");
            assert_eq!(bound.socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
            let flags = fcntl(&bound, FcntlArg::F_GETFD).unwrap();
            assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        }
    }

    #[test]
    fn v4_and_v6_on_one_port_do_not_get_in_each_others_way() {
        let six = Bound::bind(&listener(Address::Tcp("[::]:0".parse().unwrap()))).unwrap();
        let port = six.socket.local_addr().unwrap().as_socket().unwrap().port();
        let four = Address::Tcp(SocketAddr::new([0, 0, 0, 0].into(), port));
        Bound::bind(&listener(four)).unwrap();
    }

    #[test]
    fn an_address_in_use_names_who_has_it() {
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = other.local_addr().unwrap();
        let why = Bound::bind(&listener(Address::Tcp(address))).unwrap_err();
        let expected = format!("cannot bind {address}: Address already in use (by process {},", std::process::id());
        assert!(why.starts_with(&expected), "{why}");
    }

    #[test]
    fn a_unix_socket_has_the_mode_asked_for() {
        let folder = folder();
        let (path, wanted) = at(&folder, "s");
        let bound = Bound::bind(&wanted).unwrap();
        assert_eq!(bound.name, format!("unix:{}", path.display()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_unix_socket_that_cannot_be_given_away_leaves_nothing_behind() {
        let folder = folder();
        let (path, mut wanted) = at(&folder, "s");
        // Nobody may give a file to the uid that means "no change"; root may give it to any other.
        wanted.owner = (Some(0), Some(0));
        let result = Bound::bind(&wanted);
        if nix::unistd::geteuid().is_root() {
            assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
        } else {
            assert!(result.unwrap_err().contains("its mode and owner cannot be set"));
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_stale_socket_file_is_removed() {
        let folder = folder();
        let (path, wanted) = at(&folder, "s");
        drop(UnixListener::bind(&path).unwrap());
        Bound::bind(&wanted).unwrap();
        UnixStream::connect(&path).unwrap_err();
    }

    #[test]
    fn a_socket_on_which_somebody_answers_stays() {
        let folder = folder();
        let (path, wanted) = at(&folder, "s");
        let _other = UnixListener::bind(&path).unwrap();
        let why = Bound::bind(&wanted).unwrap_err();
        assert!(why.contains("Address already in use"), "{why}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_removed() {
        let folder = folder();
        let (path, wanted) = at(&folder, "s");
        fs::write(&path, "precious").unwrap();
        let why = Bound::bind(&wanted).unwrap_err();
        assert!(why.ends_with("a file that is no socket is in the way"), "{why}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        let (link, wanted) = at(&folder, "link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Bound::bind(&wanted).is_err() && link.exists());
    }

    #[test]
    fn closing_removes_only_a_file_of_ours() {
        let folder = folder();
        let (path, wanted) = at(&folder, "s");
        Bound::bind(&wanted).unwrap().close();
        assert!(!path.exists());
        let bound = Bound::bind(&wanted).unwrap();
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        bound.close();
        assert!(path.exists(), "another server's socket was removed");
        drop(other);
    }

    #[test]
    fn a_socket_that_is_bound_takes_another_mode_unless_its_file_is_not_ours_any_more() {
        let folder = folder();
        let (path, mut wanted) = at(&folder, "s");
        let bound = Bound::bind(&wanted).unwrap();
        wanted.mode = 0o600;
        bound.adjust(&wanted).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        bound.adjust(&wanted).unwrap();
        assert_eq!(mode(), 0o644, "somebody else's file was changed");
    }

    #[test]
    fn an_abstract_socket_listens_and_leaves_no_file() {
        let name = format!("monoceros-test-{}", std::process::id());
        let wanted = listener(Address::Abstract(name.clone()));
        let bound = Bound::bind(&wanted).unwrap();
        UnixStream::connect_addr(&UnixAddress::from_abstract_name(&name).unwrap()).unwrap();
        assert!(Bound::bind(&wanted).unwrap_err().ends_with("Address already in use"));
        bound.close();
    }
}
