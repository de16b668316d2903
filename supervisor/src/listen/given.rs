//! Listeners that are bound when we start: by a socket unit of the service manager's, or by a supervisor before us, and kept in the
//! manager's store meanwhile.
//!
//! ```text
//!   given --(a stream socket?)--> offers --claim: by address, else by name--> claimed --take--> Bound
//! ```
//!
//! Rules
//! * The address decides. Where the config says another than the socket has (`0.0.0.0:80` for a unit's `[::]:80`), the socket's
//!   name does: FileDescriptorName= is the application's. Sockets of one name are given in the order of both files.
//! * A socket unit's stays the unit's: its file, its mode and its owner are not ours, a copy is kept for a reload that wants it back,
//!   and it is not removed.
//! * What came from the store is as if we had bound it.
//! * A socket that nobody wants is said aloud: clients of it wait for ever.
//!
//! Known fault: copies of a socket unit's sockets that no application wants just now are not carried through an upgrade in place.

use std::collections::BTreeMap;

use monoceros_shared::config::{Address, App, Listener};
use socket2::{Socket, Type};

use super::{Bound, Origin, SocketFile, cause};
use crate::systemd::given::Given;

/// A socket that listens, or can.
#[derive(Debug)]
struct Offer {
    name: String,
    socket: Socket,
    /// Where it is, if that is a place that a config can name.
    address: Option<Address>,
    origin: Origin,
}

/// What was given.
#[derive(Debug, Default)]
pub(super) struct Offers {
    open: Vec<Offer>,
    /// By what the config says.
    claimed: BTreeMap<Address, Offer>,
}

impl Offers {
    /// Takes in what can be listened on; what cannot, a line each.
    pub fn add(&mut self, given: Vec<Given>) -> Vec<String> {
        let mut wrong = Vec::new();
        for given in given {
            let origin = if given.was_ours() { Origin::Ours } else { Origin::Managers };
            let Given { name, socket } = given;
            let socket = Socket::from(socket);
            match fault_of(&socket) {
                Some(fault) => wrong.push(format!("cannot use the service manager's socket {name:?}: {fault}")),
                None => self.open.push(Offer { address: address_of(&socket), name, socket, origin }),
            }
        }
        wrong
    }

    /// Matches what is open with what these applications listen on.
    pub fn claim(&mut self, apps: &[App]) {
        let listeners = || apps.iter().flat_map(|app| app.listen.iter().map(move |listener| (app, &listener.address)));
        for (_, address) in listeners() {
            self.claim_if(address, |offer| offer.address.as_ref() == Some(address));
        }
        for (app, address) in listeners() {
            self.claim_if(address, |offer| offer.origin == Origin::Managers && offer.name == app.name);
        }
    }

    fn claim_if(&mut self, address: &Address, is_meant: impl Fn(&Offer) -> bool) {
        if !self.claimed.contains_key(address)
            && let Some(index) = self.open.iter().position(is_meant)
        {
            self.claimed.insert(address.clone(), self.open.remove(index));
        }
    }

    /// What nobody wants: ours is closed; a socket unit's may be wanted by a later config, and is told of.
    pub fn unclaimed(&mut self) -> Vec<String> {
        self.open.retain(|offer| offer.origin == Origin::Managers);
        let told = |offer: &Offer| {
            let place = offer.address.as_ref().map_or_else(String::new, |address| format!(" ({address})"));
            format!(
                "nobody listens on the service manager's socket {:?}{place}: add its address to an application's `listen`, or give it \
                the application's name (FileDescriptorName=), or take it out of the socket unit",
                offer.name
            )
        };
        self.open.iter().map(told).collect()
    }

    /// Forgets what came from the store and was not taken: a worker has brought the same socket, and a copy would keep it open.
    pub fn forget_ours(&mut self) {
        self.claimed.retain(|_, offer| offer.origin == Origin::Managers);
    }

    /// The socket for a listener, made as the config says; none if it is ours to bind.
    pub fn take(&mut self, listener: &Listener) -> Option<Result<Bound, String>> {
        let taken = match self.claimed.get(&listener.address)?.origin {
            Origin::Ours => self.claimed.remove(&listener.address).map(|offer| offer.into_bound(listener)),
            Origin::Managers => self.claimed.get(&listener.address).map(|offer| offer.to_bound(listener)),
        };
        taken.map(|taken| {
            taken.map_err(|error| {
                format!("cannot use the socket that was kept for {}: {}", listener.address, cause(&error))
            })
        })
    }
}

impl Offer {
    fn into_bound(self, listener: &Listener) -> std::io::Result<Bound> {
        let file = match &listener.address {
            Address::Unix(path) => SocketFile::at(path),
            Address::Tcp(_) | Address::Abstract(_) => None,
        };
        let bound = Bound { name: listener.address.to_string(), socket: self.socket, file, origin: self.origin };
        bound.make_right(listener)?;
        bound.adjust(listener).map_err(std::io::Error::other)?;
        Ok(bound)
    }

    fn to_bound(&self, listener: &Listener) -> std::io::Result<Bound> {
        let socket = self.socket.try_clone()?;
        let bound = Bound { name: listener.address.to_string(), socket, file: None, origin: self.origin };
        bound.make_right(listener)?;
        Ok(bound)
    }
}

impl Bound {
    /// Gives a socket that another program made what ours have.
    fn make_right(&self, listener: &Listener) -> std::io::Result<()> {
        self.socket.set_nonblocking(true)?;
        self.socket.set_cloexec(true)?;
        if matches!(address_of(&self.socket), Some(Address::Tcp(_))) {
            self.socket.set_tcp_nodelay(true)?;
        }
        self.socket.listen(i32::try_from(listener.backlog).unwrap_or(i32::MAX))
    }
}

/// What keeps a socket from being a listener, and what to do about it.
fn fault_of(socket: &Socket) -> Option<&'static str> {
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return Some("it is no stream socket: write ListenStream= in the socket unit"),
        Err(_) => return Some("it is no socket"),
    }
    let is_connection = socket.peer_addr().is_ok();
    is_connection.then_some("it is a connection and no listener: write Accept=no in the socket unit")
}

/// Where a socket is bound.
pub fn address_of(socket: &Socket) -> Option<Address> {
    let address = socket.local_addr().ok()?;
    if let Some(address) = address.as_socket() {
        return Some(Address::Tcp(address));
    }
    if let Some(path) = address.as_pathname() {
        return Some(Address::Unix(path.to_owned()));
    }
    let name = address.as_abstract_namespace()?;
    Some(Address::Abstract(String::from_utf8_lossy(name).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::{UnixListener, UnixStream};

    use monoceros_shared::config::{CommandLine, from_command_line};
    use tempfile::TempDir;

    use super::super::Sockets;
    use super::*;

    fn given(name: &str, socket: impl Into<OwnedFd>) -> Given {
        Given { name: name.to_owned(), socket: socket.into() }
    }

    /// An application that listens there.
    fn app(name: &str, listen: &[String]) -> App {
        let line = CommandLine { wsgi: "shop:app".into(), listen: listen.to_vec(), ..CommandLine::default() };
        let mut app = from_command_line(line).unwrap().config.apps.remove(0);
        app.name = name.to_owned();
        app
    }

    #[test]
    fn a_socket_is_taken_by_its_address_whatever_its_name() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let shop = app("shop", &[address.to_string()]);
        let mut sockets = Sockets::default();
        assert!(sockets.offer(vec![given("unknown", socket)], std::slice::from_ref(&shop)).is_empty());
        sockets.bind(&shop.listen).unwrap();
        let bound = sockets.of(&shop)[0];
        let _client = TcpStream::connect(address).unwrap();
        let (accepted, _) = bound.socket.accept().unwrap();
        assert!(accepted.tcp_nodelay().unwrap(), "accepted sockets do not inherit TCP_NODELAY");
        assert_eq!(bound.socket.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
        let flags = nix::fcntl::fcntl(bound, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert!(nix::fcntl::FdFlag::from_bits_retain(flags).contains(nix::fcntl::FdFlag::FD_CLOEXEC));
        assert_eq!(sockets.ours().count(), 0, "a socket unit's is not stored");
    }

    #[test]
    fn a_socket_that_is_bound_and_does_not_listen_begins_to() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("s");
        let socket = Socket::new(socket2::Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        let shop = app("shop", &[format!("unix:{}", path.display())]);
        let mut sockets = Sockets::default();
        sockets.offer(vec![given("unknown", socket)], std::slice::from_ref(&shop));
        sockets.bind(&shop.listen).unwrap();
        UnixStream::connect(&path).unwrap();
        sockets.close_all();
        assert!(path.exists(), "a socket unit's file was removed");
    }

    #[test]
    fn where_the_address_is_another_the_name_is_the_applications() {
        let (one, two) = (TcpListener::bind("[::1]:0").unwrap(), TcpListener::bind("[::1]:0").unwrap());
        let ports = [one.local_addr().unwrap().port(), two.local_addr().unwrap().port()];
        let apps = [app("blog", &["127.0.0.1:1".into()]), app("shop", &["127.0.0.1:2".into(), "127.0.0.1:3".into()])];
        let mut sockets = Sockets::default();
        assert!(sockets.offer(vec![given("shop", one), given("shop", two)], &apps).is_empty());
        sockets.bind(&apps[1].listen).unwrap();
        let taken = sockets.of(&apps[1]);
        let port = |bound: &Bound| bound.socket.local_addr().unwrap().as_socket().unwrap().port();
        assert_eq!([port(taken[0]), port(taken[1])], ports, "in the order of both files");
        assert_eq!(taken[0].name, "127.0.0.1:2");
    }

    #[test]
    fn what_cannot_be_listened_on_is_told_with_its_remedy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let odd = Sockets::default().offer(vec![given("shop", client), given("dns", datagrams)], &[]);
        assert_eq!(odd.len(), 2, "{odd:?}");
        assert!(odd[0].contains("\"shop\"") && odd[0].contains("Accept=no"), "{odd:?}");
        assert!(odd[1].contains("\"dns\"") && odd[1].contains("ListenStream="), "{odd:?}");
    }

    #[test]
    fn a_socket_that_nobody_wants_is_told_of_and_is_there_for_a_reload_that_does() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let mut sockets = Sockets::default();
        let odd = sockets.offer(vec![given("shop", socket)], &[app("blog", &["127.0.0.1:1".into()])]);
        assert!(odd.len() == 1 && odd[0].contains(&address), "{odd:?}");
        let shop = app("shop", std::slice::from_ref(&address));
        for _ in 0..2 {
            sockets.claim(std::slice::from_ref(&shop));
            sockets.bind(&shop.listen).unwrap();
            TcpStream::connect(&address).unwrap();
            sockets.close(&[shop.listen[0].address.clone()]);
        }
    }

    #[test]
    fn what_comes_from_the_store_is_as_if_it_had_just_been_bound() {
        let folder = TempDir::new().unwrap();
        let (path, other) = (folder.path().join("s"), folder.path().join("other"));
        let shop = app("shop", &[format!("unix:{}", path.display())]);
        let mut sockets = Sockets::default();
        let kept = UnixListener::bind(&path).unwrap();
        let unwanted = UnixListener::bind(&other).unwrap();
        let offered = vec![given("@monoceros-x", kept), given("@monoceros-y", unwanted)];
        assert!(sockets.offer(offered, std::slice::from_ref(&shop)).is_empty(), "nobody needs to know");
        UnixStream::connect(&other).unwrap_err();
        sockets.bind(&shop.listen).unwrap();
        UnixStream::connect(&path).unwrap();
        assert_eq!(sockets.ours().count(), 1);
        sockets.leave_all();
        assert!(path.exists(), "the file of a socket that somebody keeps");
        let kept = UnixListener::bind(folder.path().join("again")).unwrap();
        let again = app("shop", &[format!("unix:{}", folder.path().join("again").display())]);
        sockets.offer(vec![given("@monoceros-x", kept)], std::slice::from_ref(&again));
        sockets.bind(&again.listen).unwrap();
        sockets.close_all();
        assert!(!folder.path().join("again").exists(), "our own file is left behind");
    }
}
