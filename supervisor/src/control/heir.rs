//! The control socket's part in an upgrade: its descriptors go through the exec, and so does who waits for it.
//!
//! Rule: whoever else is connected has been answered, or has asked nothing; its connection ends.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use monoceros_shared::config::Address;
use slog::Logger;

use super::client::Client;
use super::place::Lock;
use super::words::Reply;
use super::{Control, Door, MODE, peer_of};
use crate::core::Asker;
use crate::listen::{Bound, Earlier, of_our_own};
use crate::succession::baggage::{ControlBaggage, own};
use crate::succession::state::Place;

impl Control {
    /// Where the server is found, if it has a name that nobody else has.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Packs it, with those who wait for the upgrade.
    pub fn pack(&mut self, askers: &[Asker]) -> ControlBaggage {
        let too_late =
            Reply::Failed { why: "the supervisor is being upgraded: ask again".into(), detail: String::new() };
        // What was answered just now is sent; who asks more with its last breath is told to ask the next one.
        for (asker, _) in self.hear_more() {
            self.answer(asker, &too_late);
        }
        self.hear_more();
        let client = |asker: &Asker| {
            let (_, client) = self.clients.iter().find(|(_, client)| client.is(*asker))?;
            Some((*asker, client.stream.as_raw_fd()))
        };
        let door = |door: &Door| Some((door.path()?, door.bound.identity()?, door.bound.as_fd().as_raw_fd()));
        ControlBaggage {
            doors: self.doors.iter().filter_map(door).collect(),
            place: self.place.clone(),
            links: self.links.clone(),
            locks: self.locks.iter().map(|lock| (lock.path().to_owned(), lock.as_fd().as_raw_fd())).collect(),
            clients: askers.iter().filter_map(client).collect(),
            last_asker: self.last_asker,
        }
    }

    /// Goes on where the program before has ended. What cannot be taken up is a warning, but for a lock: without it another
    /// server could come.
    ///
    /// # Errors
    /// When a lock is lost.
    pub fn resume(packed: ControlBaggage, registry: Registry, log: &Logger) -> Result<Control, String> {
        let mut control = Control::none(registry, log);
        for (path, raw) in packed.locks {
            let lock = own(raw).and_then(|file| Lock::resume(path.clone(), file.into()));
            control.locks.push(lock.map_err(|error| format!("cannot keep {}: {error}", path.display()))?);
        }
        (control.place, control.links, control.last_asker) = (packed.place, packed.links, packed.last_asker);
        for (path, identity, raw) in packed.doors {
            let listener = of_our_own(Address::Unix(path), MODE);
            let door = own(raw)
                .and_then(|socket| control.reopen(Bound::adopt(&listener, socket, Earlier::Ours(Some(identity)))));
            match door {
                Ok(door) => control.doors.push(door),
                Err(error) => control.warn(&format!("cannot listen on {}: {error}", listener.address)),
            }
        }
        for (asker, raw) in packed.clients {
            if let Err(error) = own(raw).and_then(|socket| control.readmit(asker, socket)) {
                control.warn(&format!("whoever waits for the upgrade is not answered: {error}"));
            }
        }
        Ok(control)
    }

    /// Accepts on a socket that is bound.
    pub(super) fn reopen(&mut self, bound: Bound) -> io::Result<Door> {
        let mut listener = UnixListener::from_std(bound.as_fd().try_clone_to_owned()?.into());
        self.last_token += 1;
        self.registry.register(&mut listener, Token(self.last_token), Interest::READABLE)?;
        Ok(Door { bound, listener, token: Token(self.last_token) })
    }

    /// Takes in one who has asked already.
    fn readmit(&mut self, asker: Asker, socket: OwnedFd) -> io::Result<()> {
        let mut stream = UnixStream::from_std(socket.into());
        let peer = peer_of(&stream).ok_or_else(|| io::Error::other("nobody knows who it is"))?;
        self.last_token += 1;
        let both = Interest::READABLE.add(Interest::WRITABLE);
        self.registry.register(&mut stream, Token(self.last_token), both)?;
        self.clients.insert(self.last_token, Client::waiting(stream, peer, asker));
        Ok(())
    }
}
