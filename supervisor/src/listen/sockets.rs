//! All that a server listens on, by address. It is the supervisor's to open and to close; workers hold copies.

use std::collections::BTreeMap;

use monoceros_shared::config::{Address, App, Listener};

use super::{Bound, bind_all};

/// The listeners that are bound.
#[derive(Debug, Default)]
pub struct Sockets {
    bound: BTreeMap<Address, Bound>,
}

impl Sockets {
    /// Binds all of these, or none.
    ///
    /// # Errors
    /// As [`Bound::bind`].
    pub fn bind(&mut self, listeners: &[Listener]) -> Result<(), String> {
        let bound = bind_all(listeners)?;
        self.bound.extend(listeners.iter().map(|listener| listener.address.clone()).zip(bound));
        Ok(())
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
