//! All that a server listens on, by address. It is the supervisor's to open and to close; workers hold copies.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use monoceros_shared::config::{Address, App, Listener};

use super::given::Offers;
use super::{Bound, Origin};
use crate::systemd::given::Given;

/// The listeners that are bound.
#[derive(Debug, Default)]
pub struct Sockets {
    bound: BTreeMap<Address, Bound>,
    offers: Offers,
}

impl Sockets {
    /// Sockets that somebody has bound already, for those of these applications that listen there. What is odd about them, a line
    /// each.
    pub fn offer(&mut self, given: Vec<Given>, apps: &[App]) -> Vec<String> {
        let mut odd = self.offers.add(given);
        self.offers.claim(apps);
        odd.extend(self.offers.unclaimed());
        odd
    }

    /// These applications are to listen now: for those that were not there when sockets were offered.
    pub fn claim(&mut self, apps: &[App]) {
        self.offers.claim(apps);
    }

    /// All that is to be listened on is.
    pub fn settled(&mut self) {
        self.offers.forget_ours();
    }

    /// Binds all of these, or none.
    ///
    /// # Errors
    /// As [`Bound::bind`].
    pub fn bind(&mut self, listeners: &[Listener]) -> Result<(), String> {
        let mut all = Vec::new();
        for listener in listeners {
            let one = match self.offers.take(listener) {
                Some(taken) => taken,
                None => Bound::bind(listener),
            };
            match one {
                Ok(one) => all.push((listener.address.clone(), one)),
                Err(why) => {
                    all.into_iter().for_each(|(_, bound)| bound.close());
                    return Err(why);
                }
            }
        }
        self.bound.extend(all);
        Ok(())
    }

    /// Takes one over that another supervisor bound.
    pub fn adopt(&mut self, listener: &Listener, bound: Bound) {
        self.bound.insert(listener.address.clone(), bound);
    }

    /// The descriptors of all, by name.
    pub fn descriptors(&self) -> BTreeMap<String, RawFd> {
        self.bound.values().map(|bound| (bound.name.clone(), bound.as_fd().as_raw_fd())).collect()
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Bound> {
        self.bound.values()
    }

    /// Gives those that are bound what these listeners say now; what cannot be.
    pub fn adjust(&self, listeners: &[Listener]) -> Vec<String> {
        let known = listeners.iter().filter_map(|listener| Some((self.bound.get(&listener.address)?, listener)));
        known.filter_map(|(bound, listener)| bound.adjust(listener).err()).collect()
    }

    /// Closes these.
    pub fn close(&mut self, addresses: &[Address]) {
        addresses.iter().filter_map(|address| self.bound.remove(address)).for_each(Bound::close);
    }

    /// Closes all.
    pub fn close_all(&mut self) {
        std::mem::take(&mut self.bound).into_values().for_each(Bound::close);
    }

    /// Closes all, and leaves their files: somebody keeps the sockets for the next supervisor.
    pub fn leave_all(&mut self) {
        self.bound.clear();
    }

    /// Those that we bound, each under its name.
    pub fn ours(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        let ours = self.bound.values().filter(|bound| bound.origin == Origin::Ours);
        ours.map(|bound| (bound.name.clone(), bound.as_fd()))
    }

    /// Those of an application, in the order of its config.
    pub fn of(&self, app: &App) -> Vec<&Bound> {
        app.listen.iter().filter_map(|listener| self.bound.get(&listener.address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use monoceros_shared::config::Protocol;
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_is_bound_later_joins_what_is_bound_and_goes_alone() {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| Listener {
            address: Address::Unix(folder.path().join(name)),
            protocol: Protocol::Http,
            backlog: 16,
            mode: 0o600,
            owner: (None, None),
            proxy_protocol: None,
            allow: None,
            secret: None,
            tls: None,
        };
        let mut sockets = Sockets::default();
        sockets.bind(&[at("one")]).unwrap();
        sockets.bind(&[at("two")]).unwrap();
        assert!(sockets.bind(&[at("three"), at("two")]).is_err());
        assert!(!folder.path().join("three").exists(), "all or none");
        sockets.close(&[at("one").address]);
        UnixStream::connect(folder.path().join("one")).unwrap_err();
        UnixStream::connect(folder.path().join("two")).unwrap();
        sockets.close_all();
        UnixStream::connect(folder.path().join("two")).unwrap_err();
    }
}
