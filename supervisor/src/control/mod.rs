//! The control socket: how commands reach a server.
//!
//! ```text
//!   command --connect--> listener --SO_PEERCRED--> Client --line--> Request --> (Asker, Request)
//!           <----------------------- line --------- Client <-- Reply <-- answer(Asker)
//! ```
//!
//! Rules
//! * Only the server's own user and root are served; the files have the mode 0600 before anybody can connect.
//! * Nothing here waits and nothing here decides. An idle client costs a descriptor, never a thread or a timer.
//! * Nobody has the loop for long: a client is asked once in a round, however much it has sent, and [`ROUND_MAX`] are let in.
//! * At most [`CLIENTS_MAX`] clients: a new one takes the place of the one that has been idle longest, so that idle
//!   clients keep nobody out. One that waits for an answer keeps its place.
//! * A server without the socket serves on: what goes wrong here is a warning. The one exception is a file that
//!   another server serves already.
//! * A server without a file has the socket only where `--control` asks for it: there is no name to find it by.
//!
//! Known fault: while no descriptor is free, a command waits until the next one connects.

pub mod ask;
mod client;
mod frame;
mod heir;
pub mod place;
pub mod screen;
mod terminal;
pub mod top;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use monoceros_shared::config::Address;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;
use slog::{Logger, debug, info, warn};

use crate::core::Asker;
use crate::core::progress::Progress;
use crate::listen::{Bound, cause, of_our_own};
use crate::succession::state::Place;
use client::{Client, Moved, Peer};
use place::{Lock, NoLock};
use words::{Reply, Request};

/// Tokens from here on are the control socket's; below are workers' numbers.
pub const TOKENS: usize = 1 << 62;

/// Clients at once. Fewer would let a few slow commands keep out the next; each costs a descriptor and some hundred bytes.
pub const CLIENTS_MAX: usize = 16;

/// Nobody but the server's own user and root can connect.
const MODE: u32 = 0o600;

/// Clients that are let in before something else gets its turn. More, and who connects again and again has the loop to himself; few,
/// and each costs a round of its own.
const ROUND_MAX: usize = 32;

/// Readiness of something whose token is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Whose.
    pub token: Token,
    /// Whether the other end is gone altogether.
    pub is_over: bool,
}

/// The sockets and who is connected.
pub struct Control {
    registry: Registry,
    log: Logger,
    doors: Vec<Door>,
    links: Vec<PathBuf>,
    /// Where the server is found.
    place: Option<Place>,
    /// Held until the sockets' files are removed.
    locks: Vec<Lock>,
    clients: BTreeMap<usize, Client>,
    /// Who was answered, and may have asked again meanwhile.
    answered: BTreeSet<usize>,
    last_token: usize,
    last_asker: Asker,
}

/// A listening socket: the file and what accepts on it.
struct Door {
    bound: Bound,
    listener: UnixListener,
    token: Token,
}

impl Door {
    /// Its file.
    fn path(&self) -> Option<PathBuf> {
        self.bound.name.strip_prefix("unix:").map(PathBuf::from)
    }
}

/// What a server is found by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
    /// Its config file, as the user named it.
    pub file: Option<&'a Path>,
    /// A path for the socket beside the one in the runtime folder.
    pub control: Option<&'a Path>,
}

impl Control {
    /// Opens the control socket of a server.
    ///
    /// # Errors
    /// Only when another server serves the same file: `cannot serve FILE: supervisor 123 does already`.
    pub fn open(found: Found<'_>, registry: Registry, log: &Logger) -> Result<Control, String> {
        let mut control = Control::none(registry, log);
        if let Some(file) = found.file {
            match place::prepare_folder() {
                Ok(folder) => control.open_in(&folder, file)?,
                Err(why) => control.warn(&why),
            }
        }
        if let Some(path) = found.control {
            control.open_at(path);
        }
        Ok(control)
    }

    fn none(registry: Registry, log: &Logger) -> Control {
        Control {
            registry,
            log: log.clone(),
            doors: Vec::new(),
            links: Vec::new(),
            place: None,
            locks: Vec::new(),
            clients: BTreeMap::new(),
            answered: BTreeSet::new(),
            last_token: TOKENS,
            last_asker: 0,
        }
    }

    /// Takes the file's names in a runtime folder.
    fn open_in(&mut self, folder: &Path, file: &Path) -> Result<(), String> {
        let names = match place::names(file) {
            Ok(names) => names,
            Err(error) => {
                self.warn(&format!("cannot find the folder of {}: {}", file.display(), cause(&error)));
                return Ok(());
            }
        };
        for name in &names {
            match Lock::take(&folder.join(format!("{name}.lock"))) {
                Ok(lock) => self.locks.push(lock),
                Err(NoLock::Taken(pid)) => {
                    let whose = pid.map_or_else(|| "another supervisor".to_owned(), |pid| format!("supervisor {pid}"));
                    return Err(format!("cannot serve {}: {whose} does already", file.display()));
                }
                Err(NoLock::Unavailable(why)) => {
                    self.warn(&why);
                    return Ok(());
                }
            }
        }
        self.place = Some(Place { folder: folder.to_owned(), name: names[0].clone() });
        let target = format!("{}.sock", names[0]);
        self.open_at(&folder.join(&target));
        for name in &names[1..] {
            self.link(&target, folder.join(format!("{name}.sock")));
        }
        Ok(())
    }

    fn open_at(&mut self, path: &Path) {
        match self.try_open_at(path) {
            Ok(door) => self.doors.push(door),
            Err(why) => self.warn(&why),
        }
    }

    fn try_open_at(&mut self, path: &Path) -> Result<Door, String> {
        let bound = Bound::bind(&of_our_own(Address::Unix(path.to_owned()), MODE))?;
        // If it fails the file stays, and is found stale by the next start.
        self.reopen(bound).map_err(|error| format!("cannot listen on {}: {}", path.display(), cause(&error)))
    }

    /// Leads another name to the socket. What lies there is a killed server's, for we hold the name's lock.
    fn link(&mut self, target: &str, path: PathBuf) {
        // Fails when nothing lies there; all else the next line says.
        let _ = fs::remove_file(&path);
        match symlink(target, &path) {
            Ok(()) => self.links.push(path),
            Err(error) => self.warn(&format!("cannot link {}: {}", path.display(), cause(&error))),
        }
    }

    fn warn(&self, why: &str) {
        warn!(self.log, "commands may not reach this server"; "why" => why);
    }

    /// Takes up what is ready: what clients ask. Each is to be answered with [`Control::answer`].
    pub fn hear(&mut self, ready: Ready) -> Vec<(Asker, Request)> {
        let mut asked = Vec::new();
        if self.clients.contains_key(&ready.token.0) {
            // It may have asked before it went.
            asked.extend(self.pump(ready.token.0));
            if ready.is_over {
                self.clients.remove(&ready.token.0);
            }
        } else {
            // The events of a client that is gone come here too; then there is nobody to accept.
            for door in 0..self.doors.len() {
                asked.extend(self.open_up(door));
            }
        }
        asked
    }

    /// Lets those in who have connected, and hears them.
    fn open_up(&mut self, door: usize) -> Vec<(Asker, Request)> {
        let mut asked = Vec::new();
        for _ in 0..ROUND_MAX {
            match self.doors[door].listener.accept() {
                Ok((stream, _)) => asked.extend(self.admit(stream)),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return asked,
                Err(error) => {
                    self.warn(&format!("cannot accept a command: {}", cause(&error)));
                    return asked;
                }
            }
        }
        // There may be more: registered anew, they are told of anew.
        let Door { listener, token, .. } = &mut self.doors[door];
        if let Err(error) = self.registry.reregister(listener, *token, Interest::READABLE) {
            self.warn(&format!("cannot wait for commands: {}", cause(&error)));
        }
        asked
    }

    fn admit(&mut self, mut stream: UnixStream) -> Option<(Asker, Request)> {
        let peer = peer_of(&stream)?;
        self.last_token += 1;
        let token = self.last_token;
        let both = Interest::READABLE.add(Interest::WRITABLE);
        if let Err(error) = self.registry.register(&mut stream, Token(token), both) {
            self.warn(&format!("cannot take in a command: {}", cause(&error)));
            return None;
        }
        let mut client = Client::new(stream, peer);
        if !is_welcome(peer) {
            warn!(self.log, "a command was refused"; "pid" => peer.pid, "uid" => peer.uid);
            client.refuse("permission denied: this server answers to its own user and to root");
        } else if !self.make_room() {
            client.refuse("too many commands wait for an answer");
        }
        self.clients.insert(token, client);
        self.pump(token)
    }

    /// Makes sure that one more finds room; false when all wait for an answer.
    fn make_room(&mut self) -> bool {
        if self.clients.len() < CLIENTS_MAX {
            return true;
        }
        // Tokens grow, so the first is the oldest.
        let idle = self.clients.iter().find(|(_, client)| !client.is_asking()).map(|(token, _)| *token);
        idle.and_then(|token| self.clients.remove(&token)).is_some()
    }

    fn pump(&mut self, token: usize) -> Option<(Asker, Request)> {
        let number = self.last_asker + 1;
        let client = self.clients.get_mut(&token)?;
        match client.pump(number) {
            Moved::Waits => None,
            Moved::Over => {
                self.clients.remove(&token);
                None
            }
            Moved::Asks(asker, request) => {
                self.last_asker = asker;
                let peer = client.peer;
                if request.only_looks() {
                    debug!(self.log, "command"; "command" => request.name(), "pid" => peer.pid, "uid" => peer.uid);
                } else {
                    client.accept();
                    info!(self.log, "command"; "command" => request.name(), "pid" => peer.pid, "uid" => peer.uid);
                    self.pump(token);
                }
                Some((asker, request))
            }
        }
    }

    /// Answers one who asked, if it is still there.
    pub fn answer(&mut self, asker: Asker, reply: &Reply) {
        if let Some((token, client)) = self.clients.iter_mut().find(|(_, client)| client.is(asker)) {
            client.reply(reply);
            self.answered.insert(*token);
        }
    }

    /// Whether [`Control::hear_more`] has anything to do.
    pub fn has_more(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Sends answers on their way, and hears what those ask who have been answered.
    pub fn hear_more(&mut self) -> Vec<(Asker, Request)> {
        let answered = std::mem::take(&mut self.answered);
        answered.into_iter().filter_map(|token| self.pump(token)).collect()
    }

    /// Tells those who want to know how far their wishes are.
    pub fn tell(&mut self, of: impl Fn(Asker) -> Option<Progress>) {
        self.clients.values_mut().for_each(|client| client.tell(&of));
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        for link in self.links.drain(..) {
            // What stays is replaced by the next server.
            let _ = fs::remove_file(link);
        }
        for door in self.doors.drain(..) {
            door.bound.close();
        }
    }
}

fn peer_of(stream: &UnixStream) -> Option<Peer> {
    let credentials = getsockopt(stream, sockopt::PeerCredentials).ok()?;
    Some(Peer { pid: credentials.pid(), uid: credentials.uid() })
}

fn is_welcome(peer: Peer) -> bool {
    peer.uid == 0 || peer.uid == geteuid().as_raw()
}

#[cfg(test)]
mod tests;
