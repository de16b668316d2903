//! The one file that names ipc-channel: typed words between the supervisor and a worker.
//!
//! ```text
//!   supervisor                                        worker
//!   Door::open() -- name, by the greeting ----------> connect(name)
//!   Door::accept() <---- two fresh channels --------- (made by the worker, sent through the door)
//!   Sender<ToWorker>   =============================> Receiver<ToWorker>
//!   Receiver<FromWorker> <=========================== Sender<FromWorker>
//! ```
//!
//! Rules
//! * `accept` and `receive` block, so each worker has a thread of its own in the supervisor that does nothing else.
//!   Whoever learns that a worker died before it connected calls [`release`], which frees that thread.
//! * A message has at most 64 KiB, checked before it is sent; so it is one packet, and a send does not block while the
//!   few words that there are stay below the socket's buffer.
//! * The door is a socket in a folder that we make 0700; the worker connects before it becomes another user. Whoever
//!   can connect is the supervisor's own user, and the first to do so is believed. A channel that takes the place of another
//!   is for a worker that is another user already, and belongs to that one.
//! * ipc-channel accepts a connection without close-on-exec. That connection carries one message, the two channels
//!   (which are close-on-exec), and is closed at once; whoever spawns shields what is open just before it does.
//!
//! Known faults: ipc-channel makes the folder by the umask, so with umask 0 a stranger has the instant before our
//! `chmod`. A supervisor killed between `open` and `accept` leaves its folder in the temporary directory. A child
//! that the application forked, and that kept the channel open, holds the supervisor's thread for as long as it lives.

use std::fs::{self, Permissions};
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ipc_channel::IpcError;
use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FromWorker, ToWorker};

/// Bytes of one message. Below one packet of a socket with the smallest usual buffer, which keeps sends from blocking;
/// above any assignment and any traceback worth reading.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a Unix socket's path (`sun_path` without its final zero).
const PATH_BYTES_MAX: usize = 107;

/// What a worker sends through the door: its ends' counterparts.
#[derive(Serialize, Deserialize)]
struct Hello {
    to_worker: IpcBytesSender,
    from_worker: IpcBytesReceiver,
}

/// Where one worker can connect, once.
pub struct Door {
    server: IpcOneShotServer<Hello>,
    name: String,
}

impl Door {
    /// Makes a new one, in a folder of its own in the temporary directory.
    pub fn open() -> io::Result<Door> {
        // ipc-channel cuts a path that is too long, and then binds and connects to somewhere else.
        let folder = std::env::temp_dir();
        if folder.as_os_str().len() + "/.tmpXXXXXX/socket".len() > PATH_BYTES_MAX {
            let why = format!("cannot open a channel in {}: the path is too long for a socket", folder.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let (server, name) = IpcOneShotServer::new()?;
        if let Some(folder) = Path::new(&name).parent() {
            fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        }
        Ok(Door { server, name })
    }

    /// Makes a new one for a worker that has become this user already.
    pub fn open_for(uid: u32) -> io::Result<Door> {
        let door = Door::open()?;
        if uid != nix::unistd::geteuid().as_raw() {
            let socket = Path::new(&door.name);
            for path in socket.parent().into_iter().chain([socket]) {
                std::os::unix::fs::chown(path, Some(uid), None)?;
            }
        }
        Ok(door)
    }

    /// What the worker is to be told.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for the worker. Blocks.
    ///
    /// # Errors
    /// When whoever connected left without a word, as [`release`] does.
    pub fn accept(self) -> io::Result<(Sender<ToWorker>, Receiver<FromWorker>)> {
        let (_, hello) = self.server.accept().map_err(failed)?;
        Ok((Sender::new(hello.to_worker), Receiver::new(hello.from_worker)))
    }
}

/// Connects in the place of a worker that died before it did, which ends a blocked [`Door::accept`] with an error.
/// Does nothing when the door is already shut. Does not block.
pub fn release(name: &str) {
    if Path::new(name).exists() {
        // A failure means that the door was shut in this moment: there is nothing left to free.
        drop(IpcSender::<Hello>::connect(name.to_owned()));
    }
}

/// Connects to the supervisor's door.
pub fn connect(name: &str) -> io::Result<(Sender<FromWorker>, Receiver<ToWorker>)> {
    let door = IpcSender::connect(name.to_owned())?;
    let (to_worker, words) = ipc::bytes_channel()?;
    let (answers, from_worker) = ipc::bytes_channel()?;
    door.send(Hello { to_worker, from_worker }).map_err(failed)?;
    Ok((Sender::new(answers), Receiver::new(words)))
}

/// The end that says words of type `T`.
#[derive(Debug)]
pub struct Sender<T> {
    bytes: IpcBytesSender,
    words: PhantomData<fn(T)>,
}

impl<T: Serialize> Sender<T> {
    fn new(bytes: IpcBytesSender) -> Self {
        Sender { bytes, words: PhantomData }
    }

    /// Says one.
    ///
    /// # Errors
    /// When it has more than 64 KiB (nothing is sent), and when the other side is gone.
    pub fn send(&self, word: &T) -> io::Result<()> {
        let bytes = postcard::to_stdvec(word).map_err(unreadable)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            let why = format!("cannot send a message of {} bytes: at most {MESSAGE_BYTES_MAX} fit", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        self.bytes.send(&bytes)
    }
}

/// The end that hears words of type `T`.
#[derive(Debug)]
pub struct Receiver<T> {
    bytes: IpcBytesReceiver,
    words: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Receiver<T> {
    fn new(bytes: IpcBytesReceiver) -> Self {
        Receiver { bytes, words: PhantomData }
    }

    /// Waits for the next. Blocks.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other side is gone, `InvalidData` when what came is no such word.
    pub fn receive(&self) -> io::Result<T> {
        let bytes = self.bytes.recv().map_err(failed)?;
        postcard::from_bytes(&bytes).map_err(unreadable)
    }
}

fn failed(error: IpcError) -> io::Error {
    match error {
        IpcError::Disconnected => io::Error::new(io::ErrorKind::UnexpectedEof, "the other side of the channel is gone"),
        IpcError::Io(error) => error,
        IpcError::SerializationError(error) => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

fn unreadable(error: postcard::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::link::Failure;

    const DEADLINE: Duration = Duration::from_secs(10);

    type Ends<S, R> = (Sender<S>, Receiver<R>);

    /// Both sides of a channel, the supervisor's made in a thread as its bridge does.
    fn both() -> (Ends<ToWorker, FromWorker>, Ends<FromWorker, ToWorker>) {
        let door = Door::open().unwrap();
        let name = door.name().to_owned();
        let bridge = thread::spawn(move || door.accept().unwrap());
        let theirs = connect(&name).unwrap();
        (bridge.join().unwrap(), theirs)
    }

    #[test]
    fn words_arrive_both_ways_in_order() {
        let ((to_worker, from_worker), (to_supervisor, from_supervisor)) = both();
        to_worker.send(&ToWorker::Serve).unwrap();
        to_worker.send(&ToWorker::Drain).unwrap();
        assert!(matches!(from_supervisor.receive().unwrap(), ToWorker::Serve));
        assert!(matches!(from_supervisor.receive().unwrap(), ToWorker::Drain));
        to_supervisor.send(&FromWorker::Failed(Failure::new("w", "d"))).unwrap();
        let FromWorker::Failed(failure) = from_worker.receive().unwrap() else { panic!("another word arrived") };
        assert_eq!(failure, Failure::new("w", "d"));
    }

    #[test]
    fn a_word_said_before_the_end_still_arrives() {
        let ((_to_worker, from_worker), (to_supervisor, from_supervisor)) = both();
        to_supervisor.send(&FromWorker::Loaded { files: Vec::new() }).unwrap();
        drop((to_supervisor, from_supervisor));
        assert!(matches!(from_worker.receive().unwrap(), FromWorker::Loaded { .. }));
        assert_eq!(from_worker.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn saying_something_to_a_peer_that_is_gone_is_an_error() {
        let ((to_worker, _from_worker), theirs) = both();
        drop(theirs);
        assert!(to_worker.send(&ToWorker::Serve).is_err());
    }

    #[test]
    fn a_message_that_would_not_fit_is_refused_and_the_channel_goes_on() {
        let ((_to_worker, from_worker), (to_supervisor, _from_supervisor)) = both();
        let long = Failure { detail: "x".repeat(MESSAGE_BYTES_MAX), ..Failure::new("", "") };
        let error = to_supervisor.send(&FromWorker::Failed(long)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        to_supervisor.send(&FromWorker::Loaded { files: Vec::new() }).unwrap();
        assert!(matches!(from_worker.receive().unwrap(), FromWorker::Loaded { .. }));
    }

    #[test]
    fn the_longest_failure_fits() {
        let ((_to_worker, from_worker), (to_supervisor, _from_supervisor)) = both();
        let failure = Failure::new("w".repeat(1 << 20), "d".repeat(1 << 20));
        to_supervisor.send(&FromWorker::Failed(failure.clone())).unwrap();
        let FromWorker::Failed(arrived) = from_worker.receive().unwrap() else { panic!("another word arrived") };
        assert_eq!(arrived, failure);
    }

    #[test]
    fn a_worker_that_never_connects_is_stood_in_for() {
        let door = Door::open().unwrap();
        let name = door.name().to_owned();
        let (done, ended) = mpsc::channel();
        let bridge = thread::spawn(move || done.send(door.accept().is_err()));
        release(&name);
        assert!(ended.recv_timeout(DEADLINE).expect("accept still blocks"));
        bridge.join().unwrap().unwrap();
        release(&name);
        assert!(!Path::new(&name).exists(), "the door's socket is left behind");
    }

    #[test]
    fn only_its_owner_can_reach_a_door() {
        let door = Door::open().unwrap();
        let folder = Path::new(door.name()).parent().unwrap().metadata().unwrap();
        assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    }
}
