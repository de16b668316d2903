//! Where those connect who watch: the listener of `metrics:`, and its clients.
//!
//! ```text
//!   scraper --connect--> listener --> Client --Request--> (the loop makes a report) --> answer --> Client
//! ```
//!
//! Rules
//! * Nothing here waits. At most [`CLIENTS_MAX`] clients: a new one takes the place of one that asks nothing, else of the one that has been
//!   slow for longest, so that nobody keeps the next scrape out.
//! * A client is heard once in a round, whatever it has sent, and [`ROUND_MAX`] are let in.
//! * The listener stays over reloads and upgrades while its address does. Another one is bound before a reload begins, so that one that
//!   cannot be had is the reload's failure; it takes over when the reload is adopted.
//! * It is closed last, when the workers are gone: until then `/ready` says that it stops.
//!
//! Known fault: while no descriptor is free, a scrape waits until the next one connects.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use monoceros_shared::config::{Address, Listener};
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};
use socket2::Socket;

use super::client::{Client, Moved};
use super::request::Request;
use crate::control::Ready;
use crate::listen::{Bound, Earlier, cause, of_our_own};
use crate::succession::baggage::own;

/// Tokens from here on are these sockets'; below are the control socket's.
pub const TOKENS: usize = 3 << 61;

/// Clients at once: a pair of Prometheus servers, a balancer's or kubelet's probes, a person with curl. Fewer would have them push each
/// other out; each costs a descriptor and what its answer takes.
pub const CLIENTS_MAX: usize = 32;

/// Clients that are let in before something else gets its turn.
const ROUND_MAX: usize = 32;

/// As the sockets of applications are, unless their config says otherwise.
const MODE: u32 = 0o660;

/// Who asked.
pub type Watcher = usize;

/// The listener and its clients.
pub struct Endpoint {
    registry: Registry,
    log: Logger,
    door: Option<Door>,
    clients: BTreeMap<Watcher, Client>,
    /// Who was answered, and may have asked again meanwhile.
    answered: BTreeSet<Watcher>,
    last_token: usize,
}

struct Door {
    bound: Bound,
    listener: Socket,
    token: Token,
}

/// What of it goes through an upgrade.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Packed {
    address: Address,
    earlier: Earlier,
    /// The descriptor.
    pub raw: i32,
}

/// Binds the listener, beside the one before it if there is one, which it is to replace.
///
/// # Errors
/// As [`Bound::bind`].
pub fn bind(address: &Address, before: Option<&Bound>) -> Result<Bound, String> {
    match before {
        Some(before) => Bound::bind_in_place_of(before, &listener(address)),
        None => Bound::bind(&listener(address)),
    }
}

/// What is bound there.
pub fn listener(address: &Address) -> Listener {
    of_our_own(address.clone(), MODE)
}

/// The listener as another program left it.
///
/// # Errors
/// When its descriptor is not there.
pub fn unpack(packed: &Packed) -> io::Result<Bound> {
    Ok(Bound::adopt(&listener(&packed.address), own(packed.raw)?, packed.earlier))
}

impl Endpoint {
    /// One that nobody can connect to.
    pub fn closed(registry: Registry, log: &Logger) -> Endpoint {
        let log = log.clone();
        let (clients, answered) = (BTreeMap::new(), BTreeSet::new());
        Endpoint { registry, log, door: None, clients, answered, last_token: TOKENS }
    }

    /// Listens here from now on, and not where it did; who is connected stays.
    ///
    /// # Errors
    /// When the poll does not take it. Then nobody can connect.
    pub fn open(&mut self, bound: Bound) -> io::Result<()> {
        self.close();
        let listener = Socket::from(bound.as_fd().try_clone_to_owned()?);
        self.last_token += 1;
        let token = Token(self.last_token);
        self.registry.register(&mut SourceFd(&listener.as_raw_fd()), token, Interest::READABLE)?;
        self.door = Some(Door { bound, listener, token });
        Ok(())
    }

    /// Where one can connect, if one can.
    pub fn bound(&self) -> Option<&Bound> {
        self.door.as_ref().map(|door| &door.bound)
    }

    /// Nobody can connect any more.
    pub fn close(&mut self) {
        if let Some(door) = self.door.take() {
            // Fails only when it was not there.
            let _ = self.registry.deregister(&mut SourceFd(&door.listener.as_raw_fd()));
            drop(door.listener);
            door.bound.close();
        }
    }

    /// What of it is for the next program: the listener alone, for scrapers come again.
    pub fn pack(&self, address: Option<&Address>) -> Option<Packed> {
        let (door, address) = (self.door.as_ref()?, address?.clone());
        Some(Packed { address, earlier: door.bound.earlier(), raw: door.bound.as_fd().as_raw_fd() })
    }

    /// Takes up what is ready: what clients ask. Each is to be answered with [`Endpoint::answer`].
    pub fn hear(&mut self, ready: Ready, now: Instant) -> Vec<(Watcher, Request)> {
        let watcher = ready.token.0;
        if self.clients.contains_key(&watcher) {
            return self.pump(watcher, now).into_iter().collect();
        }
        // The events of a client that is gone come here too; then there is nobody to accept.
        self.let_in(now)
    }

    /// Sends answers on their way, and hears what those ask who have been answered.
    pub fn hear_more(&mut self, now: Instant) -> Vec<(Watcher, Request)> {
        let answered = std::mem::take(&mut self.answered);
        answered.into_iter().filter_map(|watcher| self.pump(watcher, now)).collect()
    }

    /// Whether [`Endpoint::hear_more`] has anything to do.
    pub fn has_more(&self) -> bool {
        !self.answered.is_empty()
    }

    /// Answers one who asked, if it is still there.
    pub fn answer(&mut self, watcher: Watcher, bytes: Vec<u8>, now: Instant) {
        if let Some(client) = self.clients.get_mut(&watcher) {
            client.answer(bytes, now);
            self.answered.insert(watcher);
        }
    }

    /// Ends those with whom there is no patience any more.
    pub fn tick(&mut self, now: Instant) {
        self.clients.retain(|_, client| client.deadline() > now);
    }

    /// When [`Endpoint::tick`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.clients.values().map(Client::deadline).min()
    }

    fn let_in(&mut self, now: Instant) -> Vec<(Watcher, Request)> {
        let mut asked = Vec::new();
        for _ in 0..ROUND_MAX {
            let Some(door) = &self.door else { return asked };
            match door.listener.accept() {
                Ok((socket, _)) => asked.extend(self.admit(socket, now)),
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return asked,
                Err(error) => {
                    warn!(self.log, "a scrape is not taken in"; "why" => cause(&error));
                    return asked;
                }
            }
        }
        // There may be more: registered anew, they are told of anew.
        if let Some(Door { listener, token, .. }) = &self.door
            && let Err(error) =
                self.registry.reregister(&mut SourceFd(&listener.as_raw_fd()), *token, Interest::READABLE)
        {
            warn!(self.log, "scrapes are not waited for"; "why" => cause(&error));
        }
        asked
    }

    fn admit(&mut self, socket: Socket, now: Instant) -> Option<(Watcher, Request)> {
        self.make_room();
        self.last_token += 1;
        let watcher = self.last_token;
        let both = Interest::READABLE | Interest::WRITABLE;
        let registered = socket
            .set_nonblocking(true)
            .and_then(|()| self.registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(watcher), both));
        if let Err(error) = registered {
            warn!(self.log, "a scrape is not taken in"; "why" => cause(&error));
            return None;
        }
        self.clients.insert(watcher, Client::new(socket, now));
        self.pump(watcher, now)
    }

    /// Makes sure that one more finds room.
    fn make_room(&mut self) {
        if self.clients.len() >= CLIENTS_MAX
            && let Some(least) =
                self.clients.iter().min_by_key(|(_, client)| client.rank()).map(|(watcher, _)| *watcher)
        {
            self.clients.remove(&least);
        }
    }

    fn pump(&mut self, watcher: Watcher, now: Instant) -> Option<(Watcher, Request)> {
        match self.clients.get_mut(&watcher)?.pump(now) {
            Moved::Waits => None,
            Moved::Asks(request) => Some((watcher, request)),
            Moved::Over => {
                self.clients.remove(&watcher);
                None
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close();
    }
}
