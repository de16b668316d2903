//! What a service manager, systemd or one that does as it does, says to us at the start, and what we say to it while we live.
//!
//! ```text
//!   LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES  -> given: sockets, from a socket unit or from the store
//!   NOTIFY_SOCKET, WATCHDOG_USEC            -> notify: pure; what to tell       \
//!   FDSTORE                                 -> store:  which listeners it keeps  } -> post: the datagrams
//! ```
//!
//! Without these variables nothing is said and nothing costs. No library of systemd's is in it: the protocol is a datagram of
//! lines (sd_notify(3), sd_listen_fds(3)).
//!
//! Rules
//! * All is told from the core's view of how things are, after each round of the loop. Nothing is told in passing.
//! * A manager that does not listen holds nobody up: what cannot be sent now is sent later.
//! * Workers do not see these variables (`environment`).

pub mod given;
pub mod notify;
mod post;
mod store;

use std::env;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use slog::{Logger, warn};

use notify::{Notify, View};
use post::{Letter, Post};
use store::Store;

/// The service manager, if there is one.
pub struct Manager {
    link: Option<Link>,
    log: Logger,
}

struct Link {
    post: Post,
    notify: Notify,
    store: Option<Store>,
    is_warned: Option<String>,
}

impl Manager {
    /// The one that the environment names.
    pub fn from_environment(log: &Logger) -> Manager {
        let link = Post::from_environment().map(|post| Link {
            post,
            notify: Notify::new(now(), watchdog()),
            store: has_store().then(Store::default),
            is_warned: None,
        });
        Manager { link, log: log.clone() }
    }

    /// Whether anybody listens.
    pub fn is_there(&self) -> bool {
        self.link.is_some()
    }

    /// Whether it keeps listeners for the next supervisor.
    pub fn keeps_listeners(&self) -> bool {
        self.link.as_ref().is_some_and(|link| link.store.is_some())
    }

    /// Tells it what there is to tell.
    pub fn tell(&mut self, view: &View<'_>) {
        let Some(link) = &mut self.link else { return };
        let told = link.notify.look(now(), view).into_iter().map(Letter::of);
        link.post.send(told);
        link.warn(&self.log);
    }

    /// Has it keep these listeners, each under its address, and no others.
    pub fn keep<'a>(&mut self, listeners: impl Iterator<Item = (String, BorrowedFd<'a>)>) {
        let Some(link) = &mut self.link else { return };
        let Some(store) = &mut link.store else { return };
        let letters = store.keep(listeners);
        link.post.send(letters.into_iter());
        link.warn(&self.log);
    }

    /// These names are in its store already.
    pub fn keeps_already(&mut self, names: Vec<String>) {
        if let Some(store) = self.link.as_mut().and_then(|link| link.store.as_mut()) {
            store.has_already(names);
        }
    }

    /// When there is something to tell although nothing has happened.
    pub fn deadline(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        let due = link.notify.deadline().map(|at| Instant::now() + at.saturating_sub(now()));
        due.into_iter().chain(link.post.deadline()).min()
    }
}

impl Link {
    /// Says once that it cannot be reached, and again when the cause is another.
    fn warn(&mut self, log: &Logger) {
        let Some(why) = self.post.failure() else { return };
        if self.is_warned.as_ref() != Some(&why) {
            warn!(log, "the service manager cannot be told how things are"; "why" => why.as_str());
            self.is_warned = Some(why);
        }
    }
}

/// How often the manager wants to hear of us, if at all.
fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|period| is_meant && *period > 0).map(Duration::from_micros)
}

/// Whether the manager keeps descriptors for us. It says so from version 254 on; in a unit for an older one,
/// `Environment=FDSTORE=1` beside `FileDescriptorStoreMax=` does.
fn has_store() -> bool {
    env::var("FDSTORE").is_ok_and(|most| most.parse::<u64>().is_ok_and(|most| most > 0))
}

/// The clock of RELOADING=1.
fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}
