//! Sockets that were open when we started, because the service manager opened them for us (sd_listen_fds(3)).
//!
//! ```text
//!   descriptors 3, 4, ...   each with a name: FileDescriptorName= of the socket unit, or the one under which we had it stored
//! ```
//!
//! Rules
//! * They are ours only if LISTEN_PID says that we are meant: a parent's variables say nothing to its child.
//! * Only what is a socket is taken. If the variables are wrong, the numbers mean something else of ours, which stays untouched.

use std::env;
use std::fs;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use super::store;

/// The first of them (`SD_LISTEN_FDS_START`).
const FIRST: RawFd = 3;

/// As many as any unit has. More is a mistake, and would have us look at each number there is.
const COUNT_MAX: RawFd = 4096;

/// A socket that we were given.
#[derive(Debug)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

impl Given {
    /// Whether it is one that an earlier supervisor had bound.
    pub fn was_ours(&self) -> bool {
        store::is_of_ours(&self.name)
    }
}

/// What was taken.
#[derive(Debug, Default)]
pub struct Taken {
    /// The sockets.
    pub sockets: Vec<Given>,
    /// What is wrong with the others: one line each.
    pub wrong: Vec<String>,
}

impl Taken {
    /// The names of those that an earlier supervisor had bound.
    pub fn of_ours(&self) -> Vec<String> {
        self.sockets.iter().filter(|given| given.was_ours()).map(|given| given.name.clone()).collect()
    }
}

/// Takes them. To be called once, before anything is opened.
pub fn take() -> Taken {
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let (pid, count) = (variable("LISTEN_PID"), variable("LISTEN_FDS"));
    if pid != std::process::id().to_string() {
        return Taken::default();
    }
    let Some(count) = count.parse::<RawFd>().ok().filter(|count| (0..=COUNT_MAX).contains(count)) else {
        let why = format!("cannot take the sockets of the service manager: LISTEN_FDS is {count:?}");
        return Taken { sockets: Vec::new(), wrong: vec![why] };
    };
    take_these(count, &variable("LISTEN_FDNAMES"))
}

fn take_these(count: RawFd, names: &str) -> Taken {
    let mut names = names.split(':').filter(|names| !names.is_empty());
    let mut taken = Taken::default();
    for number in FIRST..FIRST + count {
        let name = names.next().unwrap_or("unknown").to_owned();
        if is_socket(number) {
            taken.sockets.push(Given { name, socket: own(number) });
        } else {
            taken.wrong.push(format!(
                "descriptor {number} of the service manager's, {name:?}, is no socket: it is left alone"
            ));
        }
    }
    taken
}

fn is_socket(number: RawFd) -> bool {
    let target = fs::read_link(format!("/proc/self/fd/{number}"));
    target.is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
}

#[expect(unsafe_code, reason = "the service manager gives descriptors by their numbers")]
fn own(number: RawFd) -> OwnedFd {
    // SAFETY: it is open (`is_socket`), and nobody else's: the manager opened it for this process alone, and the caller has opened
    // no socket yet.
    unsafe { OwnedFd::from_raw_fd(number) }
}
