//! Which listeners the manager keeps for the next supervisor (FDSTORE=1, sd_notify(3)), so that a restart of the unit refuses nobody.
//!
//! Rules
//! * A name in the store is legal there (no colon, no control character, 255 bytes at most), says which address it is of, and begins
//!   as no application's does, so that at the next start our own sockets are told from those of a socket unit.
//! * What a socket unit holds is not stored: it is kept already.
//! * FDPOLL=0: the manager is not to guess from a socket whether it is dead.

use std::collections::BTreeSet;
use std::os::fd::{AsFd as _, BorrowedFd};

use super::post::Letter;

/// What a name of ours begins with. No application's name has a `:`, which is not allowed here, or an `@`.
const PREFIX: &str = "@monoceros-";

/// Characters of an address in a name. With the rest of it, it is shorter than what is allowed.
const ADDRESS_MAX: usize = 128;

/// What the manager keeps.
#[derive(Debug, Default)]
pub struct Store {
    names: BTreeSet<String>,
}

impl Store {
    /// These came from it, and are still in it.
    pub fn has_already(&mut self, names: Vec<String>) {
        self.names.extend(names);
    }

    /// What to tell it, so that it keeps these, each under its address, and no others.
    pub fn keep<'a>(&mut self, listeners: impl Iterator<Item = (String, BorrowedFd<'a>)>) -> Vec<Letter> {
        let mut letters = Vec::new();
        let mut wanted = BTreeSet::new();
        for (address, socket) in listeners {
            let name = name_of(&address);
            if !self.names.contains(&name) {
                // A process at its limit of descriptors tries again with the next change.
                let Ok(copy) = socket.as_fd().try_clone_to_owned() else { continue };
                letters.push(Letter::with(format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), copy));
            }
            wanted.insert(name);
        }
        let unwanted = self.names.difference(&wanted);
        letters.extend(unwanted.map(|name| Letter::of(format!("FDSTOREREMOVE=1\nFDNAME={name}"))));
        self.names = wanted;
        letters
    }
}

/// Whether a descriptor of this name is one that we had stored.
pub fn is_of_ours(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The name under which a listener is stored.
fn name_of(address: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || "-._/[]@".contains(c) { c } else { '_' };
    let readable: String = address.chars().take(ADDRESS_MAX).map(legal).collect();
    format!("{PREFIX}{readable}-{:016x}", crate::core::fingerprint::fnv(address.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_name_is_legal_and_one_addresss_alone() {
        let addresses =
            ["127.0.0.1:8000", "[::1]:8000", "unix:/run/shop.sock", "unix:/run/\u{fc}.sock", "unix:/run/a\nb"];
        let long = format!("unix:/{}", "x".repeat(300));
        let longer = format!("{long}y");
        let names: BTreeSet<String> = addresses.iter().chain([&&*long, &&*longer]).map(|one| name_of(one)).collect();
        assert_eq!(names.len(), addresses.len() + 2);
        for name in &names {
            assert!(name.len() < 256 && name.is_ascii(), "{name}");
            assert!(!name.contains(':') && !name.chars().any(char::is_control), "{name}");
            assert!(is_of_ours(name));
        }
        assert!(!is_of_ours("shop") && !is_of_ours("unknown"));
        assert!(name_of(addresses[0]).starts_with("@monoceros-127.0.0.1_8000-"));
    }

    #[test]
    fn only_what_changes_is_told() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut store = Store::default();
        let mut told = |addresses: &[&str]| {
            let listeners = addresses.iter().map(|address| ((*address).to_owned(), socket.as_fd()));
            let letters = store.keep(listeners);
            letters.iter().map(|letter| letter.text().to_owned()).collect::<Vec<_>>()
        };
        let (one, two) = (name_of("one"), name_of("two"));
        let added = |name: &str| format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0");
        assert_eq!(told(&["one"]), [added(&one)]);
        assert!(told(&["one"]).is_empty());
        assert_eq!(told(&["two"]), [added(&two), format!("FDSTOREREMOVE=1\nFDNAME={one}")]);
        assert_eq!(told(&[]), [format!("FDSTOREREMOVE=1\nFDNAME={two}")]);
    }

    #[test]
    fn what_came_from_the_store_is_not_stored_again_and_is_removed_when_nobody_wants_it() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut store = Store::default();
        store.has_already(vec![name_of("one"), name_of("gone")]);
        let letters = store.keep([("one".to_owned(), socket.as_fd())].into_iter());
        let texts: Vec<&str> = letters.iter().map(Letter::text).collect();
        assert_eq!(texts, [format!("FDSTOREREMOVE=1\nFDNAME={}", name_of("gone"))]);
    }
}
