//! The one file that passes descriptors.
//!
//! A [`Carrier`] is one end of a `SOCK_SEQPACKET` pair. The supervisor keeps one end; the other is the worker's
//! descriptor 0. A packet is either the greeting, which comes first and once, or a name with one descriptor.
//! Two workers pass packets of their own on one (`give` and `take`).
//!
//! ```text
//!   greeting    version (u16, little endian) | name of the channel (UTF-8)
//!   descriptor  name (UTF-8, 1 to 256 bytes) + SCM_RIGHTS with one descriptor
//! ```
//!
//! Rules: the first two bytes are the version in every version there will be, so that programs of different builds can
//! tell each other so. A name travels in the same packet as its descriptor, so the two cannot get out of step.
//! The supervisor's side never blocks; the worker's side does.
//!
//! Known fault: when a peer sends several descriptors at once and the process is at its `RLIMIT_NOFILE`, the kernel
//! installs some of them and nix hides which. Our own peer sends one at a time, of which none is then installed.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{
    self, AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, sockopt,
};
use nix::unistd::dup2_stdin;

use super::VERSION;

/// Bytes of a descriptor's name. Longer than any address of a listener (108 for a Unix path), far below what would
/// fill the socket's buffer with a few dozen listeners.
const NAME_BYTES_MAX: usize = 256;

/// Bytes of a greeting: the version and a path that fits into `sun_path`.
const GREETING_BYTES_MAX: usize = 2 + NAME_BYTES_MAX;

/// Descriptors that one message of Linux can hold (`SCM_MAX_FD`). Room for all of them means that nobody's surplus is
/// lost track of.
const DESCRIPTORS_MAX: usize = 253;

/// The first packet: who speaks, and where the words are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The version of the link that the supervisor speaks.
    pub version: u16,
    /// The one-shot name of the channel, for [`super::channel::connect`].
    pub channel: String,
}

impl Greeting {
    /// A greeting in this build's version.
    pub fn new(channel: impl Into<String>) -> Self {
        Greeting { version: VERSION, channel: channel.into() }
    }
}

/// One end of the socket on which descriptors travel.
#[derive(Debug)]
pub struct Carrier {
    socket: OwnedFd,
}

impl Carrier {
    /// Both ends of a new one, close-on-exec.
    pub fn pair() -> io::Result<(Carrier, Carrier)> {
        let (ours, theirs) =
            socket::socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Carrier { socket: ours }, Carrier { socket: theirs }))
    }

    /// Takes over a descriptor that another process made, and makes it close-on-exec.
    ///
    /// # Errors
    /// When it is no Unix `SOCK_SEQPACKET` socket: the program was not started by a supervisor.
    pub fn adopt(socket: OwnedFd) -> io::Result<Carrier> {
        let kind = socket::getsockopt(&socket, sockopt::SockType)
            .map_err(|errno| wrong(format!("cannot take descriptors: not a socket ({errno})")))?;
        if kind != SockType::SeqPacket || socket::getsockname::<UnixAddr>(socket.as_raw_fd()).is_err() {
            return Err(wrong("cannot take descriptors: not the socket of a supervisor".into()));
        }
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        Ok(Carrier { socket })
    }

    /// What a worker does first: takes the carrier from descriptor 0 and leaves `/dev/null` in its place, so that an
    /// application that reads its standard input meets the end of a file and not our packets.
    ///
    /// # Errors
    /// As [`Carrier::adopt`]; descriptor 0 is then untouched.
    pub fn adopt_stdin() -> io::Result<Carrier> {
        let carrier = Carrier::adopt(io::stdin().as_fd().try_clone_to_owned()?)?;
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(carrier)
    }

    /// Says the first packet. Never blocks.
    pub fn greet(&self, greeting: &Greeting) -> io::Result<()> {
        let version = greeting.version.to_le_bytes();
        let packet = [IoSlice::new(&version), IoSlice::new(greeting.channel.as_bytes())];
        if 2 + greeting.channel.len() > GREETING_BYTES_MAX {
            return Err(wrong(format!("cannot greet: the name of the channel is longer than {NAME_BYTES_MAX} bytes")));
        }
        self.send_packet(&packet, &[])
    }

    /// Waits for the first packet.
    ///
    /// # Errors
    /// When the supervisor is gone, when it speaks another version (the text names both), and when it is none.
    pub fn greeting(&self) -> io::Result<Greeting> {
        let mut packet = [0; GREETING_BYTES_MAX];
        let Received { bytes, descriptors } = self.receive_packet(&mut packet, MsgFlags::empty())?;
        if bytes == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "cannot read the greeting: the supervisor is gone",
            ));
        }
        let (Some((version, channel)), true) = (packet[..bytes].split_first_chunk::<2>(), descriptors.is_empty())
        else {
            return Err(wrong("cannot read the greeting: it is none".into()));
        };
        let version = u16::from_le_bytes(*version);
        if version != VERSION {
            return Err(wrong(format!(
                "cannot work with this supervisor: it speaks version {version} of the link, this worker version {VERSION}"
            )));
        }
        Ok(Greeting { version, channel: text(channel)? })
    }

    /// Passes a copy of `descriptor` under a name of 1 to 256 bytes. Never blocks.
    ///
    /// # Errors
    /// `BrokenPipe` when the other side is gone, `WouldBlock` when it has left some two hundred of them unread.
    pub fn send(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(wrong(format!("cannot pass descriptor {name:?}: its name has 1 to {NAME_BYTES_MAX} bytes")));
        }
        let raw = [descriptor.as_raw_fd()];
        self.send_packet(&[IoSlice::new(name.as_bytes())], &[ControlMessage::ScmRights(&raw)])
    }

    /// Waits for the next descriptor and its name; `None` when the other side is gone. It is close-on-exec.
    ///
    /// # Errors
    /// When a packet is not of this protocol, or the process may open no more files. What came with it is closed.
    pub fn receive(&self) -> io::Result<Option<(String, OwnedFd)>> {
        let mut packet = [0; NAME_BYTES_MAX];
        let Received { bytes, mut descriptors } = self.receive_packet(&mut packet, MsgFlags::empty())?;
        if bytes == 0 {
            return Ok(None);
        }
        let name = text(&packet[..bytes])?;
        match (descriptors.pop(), descriptors.is_empty()) {
            (Some(descriptor), true) => Ok(Some((name, descriptor))),
            (first, _) => {
                let count = descriptors.len() + usize::from(first.is_some());
                Err(wrong(format!("cannot take descriptor {name:?}: {count} came instead of one")))
            }
        }
    }

    /// Takes a name that is there, and the descriptor that it names, if one came with it. Never blocks.
    ///
    /// # Errors
    /// As [`Carrier::receive`].
    pub fn try_receive(&self) -> io::Result<Taken<(String, Option<OwnedFd>)>> {
        let mut packet = [0; NAME_BYTES_MAX];
        Ok(match self.take(&mut packet)? {
            Taken::Packet((bytes, descriptor)) => Taken::Packet((text(&packet[..bytes])?, descriptor)),
            Taken::Nothing => Taken::Nothing,
            Taken::End => Taken::End,
        })
    }

    /// Passes a packet of 1 byte or more, perhaps with a copy of a descriptor. Never blocks.
    ///
    /// # Errors
    /// As [`Carrier::send`].
    pub fn give(&self, packet: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        debug_assert!(!packet.is_empty(), "nothing looks like the end");
        let raw: Vec<RawFd> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
        let control = [ControlMessage::ScmRights(&raw)];
        self.send_packet(&[IoSlice::new(packet)], if raw.is_empty() { &[] } else { &control })
    }

    /// Takes a packet that is there: its length, and the descriptor that came with it, close-on-exec. Never blocks.
    ///
    /// # Errors
    /// When it does not fit, brought several descriptors, or the process may open no more files. What came with it is closed.
    pub fn take(&self, packet: &mut [u8]) -> io::Result<Taken<(usize, Option<OwnedFd>)>> {
        match self.receive_packet(packet, MsgFlags::MSG_DONTWAIT) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Taken::Nothing),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Taken::End),
            Err(error) => Err(error),
            Ok(Received { bytes: 0, .. }) => Ok(Taken::End),
            Ok(Received { descriptors, .. }) if descriptors.len() > 1 => {
                Err(wrong(format!("cannot take a packet: {} descriptors came with it", descriptors.len())))
            }
            Ok(Received { bytes, mut descriptors }) => Ok(Taken::Packet((bytes, descriptors.pop()))),
        }
    }

    fn send_packet(&self, packet: &[IoSlice<'_>], control: &[ControlMessage<'_>]) -> io::Result<()> {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        uninterrupted(|| socket::sendmsg::<()>(self.socket.as_raw_fd(), packet, control, flags, None))?;
        Ok(())
    }

    fn receive_packet(&self, packet: &mut [u8], flags: MsgFlags) -> io::Result<Received> {
        let mut control = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
        let (bytes, flags, descriptors) = uninterrupted(|| {
            let mut into = [IoSliceMut::new(packet)];
            let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
            let message = socket::recvmsg::<()>(self.socket.as_raw_fd(), &mut into, Some(&mut control), flags)?;
            Ok((message.bytes, message.flags, own(message.cmsgs()?)))
        })
        .map_err(|error| match error.raw_os_error() {
            // nix reports cut control data as ENOBUFS, which says nothing to a reader of a log.
            Some(code) if code == Errno::ENOBUFS as i32 => {
                io::Error::other("cannot take a descriptor: this process may open no more files")
            }
            Some(_) | None => error,
        })?;
        if flags.contains(MsgFlags::MSG_TRUNC) {
            return Err(wrong("cannot read a packet of the supervisor's: it is too long".into()));
        }
        Ok(Received { bytes, descriptors })
    }
}

impl AsFd for Carrier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Carrier {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl From<Carrier> for OwnedFd {
    fn from(carrier: Carrier) -> OwnedFd {
        carrier.socket
    }
}

/// Sends a datagram with a copy of a descriptor on a connected socket, as a service manager takes descriptors.
///
/// # Errors
/// As `send(2)`: `WouldBlock` when a non-blocking socket has no room.
pub fn attach(socket: &impl AsRawFd, datagram: &[u8], descriptor: &impl AsRawFd) -> io::Result<()> {
    let (packet, raw) = ([IoSlice::new(datagram)], [descriptor.as_raw_fd()]);
    let control = [ControlMessage::ScmRights(&raw)];
    uninterrupted(|| socket::sendmsg::<()>(socket.as_raw_fd(), &packet, &control, MsgFlags::MSG_NOSIGNAL, None))?;
    Ok(())
}

/// What a look for a packet came to.
#[derive(Debug)]
pub enum Taken<T> {
    /// One was there.
    Packet(T),
    /// None is there now.
    Nothing,
    /// The other side is gone, and none is left.
    End,
}

struct Received {
    bytes: usize,
    descriptors: Vec<OwnedFd>,
}

/// Takes every descriptor of a message, so that whatever is not wanted is closed.
fn own(messages: impl Iterator<Item = ControlMessageOwned>) -> Vec<OwnedFd> {
    let mut descriptors = Vec::new();
    for message in messages {
        if let ControlMessageOwned::ScmRights(raw) = message {
            descriptors.extend(raw.into_iter().map(own_one));
        }
    }
    descriptors
}

#[expect(unsafe_code, reason = "recvmsg gives descriptors as numbers")]
fn own_one(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just installed `raw` into this process for this message; `own`, the only caller, sees
    // each number of a message once, so nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<String> {
    String::from_utf8(bytes.to_vec())
        .map_err(|_| wrong("cannot read a packet of the supervisor's: it is no text".into()))
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::UdpSocket;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn packet(carrier: &Carrier, bytes: &[u8], descriptors: &[RawFd]) {
        let control = [ControlMessage::ScmRights(descriptors)];
        let control = if descriptors.is_empty() { &control[..0] } else { &control[..] };
        carrier.send_packet(&[IoSlice::new(bytes)], control).unwrap();
    }

    fn is_closed(stream: &mut UnixStream) -> bool {
        stream.read(&mut [0; 1]).unwrap() == 0
    }

    #[test]
    fn a_descriptor_arrives_with_its_name_and_works() {
        let (ours, theirs) = Carrier::pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        ours.send("127.0.0.1:8000", far.as_fd()).unwrap();
        drop(far);
        let (name, descriptor) = theirs.receive().unwrap().unwrap();
        assert_eq!(name, "127.0.0.1:8000");
        let flags = fcntl(&descriptor, FcntlArg::F_GETFD).unwrap();
        assert!(FdFlag::from_bits_retain(flags).contains(FdFlag::FD_CLOEXEC));
        UnixStream::from(descriptor).write_all(b"x").unwrap();
        let mut byte = [0];
        near.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn names_stay_in_order() {
        let (ours, theirs) = Carrier::pair().unwrap();
        for name in ["scoreboard", "a", "b"] {
            ours.send(name, io::stderr().as_fd()).unwrap();
        }
        drop(ours);
        for name in ["scoreboard", "a", "b"] {
            assert_eq!(theirs.receive().unwrap().unwrap().0, name);
        }
        assert!(theirs.receive().unwrap().is_none());
    }

    #[test]
    fn the_other_sides_end_is_no_error_for_who_receives_and_one_for_who_sends() {
        let (ours, theirs) = Carrier::pair().unwrap();
        drop(theirs);
        assert!(ours.receive().unwrap().is_none());
        let error = ours.send("a", io::stderr().as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn surplus_descriptors_are_refused_and_closed() {
        for surplus in [2, 3, 40] {
            let (ours, theirs) = Carrier::pair().unwrap();
            let (mut near, far) = UnixStream::pair().unwrap();
            packet(&ours, b"many", &vec![far.as_raw_fd(); surplus]);
            drop(far);
            let error = theirs.receive().unwrap_err().to_string();
            assert_eq!(error, format!("cannot take descriptor \"many\": {surplus} came instead of one"));
            assert!(is_closed(&mut near), "{surplus} descriptors leaked");
        }
    }

    #[test]
    fn a_name_without_a_descriptor_is_refused() {
        let (ours, theirs) = Carrier::pair().unwrap();
        packet(&ours, b"none", &[]);
        assert_eq!(theirs.receive().unwrap_err().to_string(), "cannot take descriptor \"none\": 0 came instead of one");
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_on_both_sides() {
        let (ours, theirs) = Carrier::pair().unwrap();
        assert!(ours.send(&"n".repeat(257), io::stderr().as_fd()).is_err());
        assert!(ours.send("", io::stderr().as_fd()).is_err());
        let (mut near, far) = UnixStream::pair().unwrap();
        packet(&ours, &[b'n'; 257], &[far.as_raw_fd()]);
        drop(far);
        assert!(theirs.receive().unwrap_err().to_string().ends_with("it is too long"));
        assert!(is_closed(&mut near), "the descriptor of a refused packet leaked");
        packet(&ours, b"\xff\xfe\xfd", &[]);
        assert!(theirs.receive().unwrap_err().to_string().ends_with("it is no text"));
    }

    #[test]
    fn a_greeting_names_the_channel() {
        let (ours, theirs) = Carrier::pair().unwrap();
        ours.greet(&Greeting::new("/tmp/a/socket")).unwrap();
        assert_eq!(theirs.greeting().unwrap(), Greeting { version: VERSION, channel: "/tmp/a/socket".into() });
    }

    #[test]
    fn a_greeting_in_another_version_names_both() {
        let (ours, theirs) = Carrier::pair().unwrap();
        ours.greet(&Greeting { version: 999, channel: String::new() }).unwrap();
        let error = theirs.greeting().unwrap_err().to_string();
        assert!(error.contains("version 999") && error.contains(&format!("version {VERSION}")), "{error}");
    }

    #[test]
    fn a_broken_greeting_is_told_from_a_dead_supervisor() {
        let (ours, theirs) = Carrier::pair().unwrap();
        packet(&ours, b"x", &[]);
        assert_eq!(theirs.greeting().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(ours);
        assert_eq!(theirs.greeting().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_the_socket_of_a_supervisor_is_adopted() {
        let stream = UnixStream::pair().unwrap().0;
        let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = File::open("/dev/null").unwrap();
        for descriptor in [OwnedFd::from(stream), OwnedFd::from(datagram), OwnedFd::from(file)] {
            assert!(Carrier::adopt(descriptor).is_err());
        }
        let (ours, theirs) = Carrier::pair().unwrap();
        let adopted = Carrier::adopt(theirs.into()).unwrap();
        ours.send("a", io::stderr().as_fd()).unwrap();
        assert_eq!(adopted.receive().unwrap().unwrap().0, "a");
    }
}
