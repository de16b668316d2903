//! What a supervisor that was started as root keeps of root's power.
//!
//! ```text
//!   CHOWN, FOWNER      Unix sockets and log files have the owner and the mode that the config says, also when they are somebody's already
//!   DAC_OVERRIDE       the config, certificates, log files, pid files and stale sockets lie in folders of other users'
//!   KILL               workers of another user are asked to go, and ended
//!   SETUID, SETGID     a worker, which is our child, becomes another user
//!   NET_BIND_SERVICE   ports below 1024
//! ```
//!
//! All else is dropped at the start, before there is a second thread, for each thread has capabilities of its own. A bug of
//! ours, or a library's, then loads no module, mounts nothing, traces no process and sets no clock.
//!
//! Rules
//! * Workers that have a `user` lose all of them with their uid.
//! * A worker without one runs as root, as whoever left `user` out means it: with all that root has. A process that root execs has what
//!   is in the bounding set, so that is cut down too only if every application has a `user`. Then the cut holds for all that
//!   comes: a reload that adds an application without `user` runs it as root with what is listed above.
//! * Where nothing may be dropped (a container without SETPCAP), that is a line in the log and no more.
//!
//! Known fault: the list is enough to become root again for whoever runs code of his own in the supervisor. It is a fence against
//! accidents; the wall is that the supervisor runs nobody's code and parses nobody's requests.

use std::io;

use monoceros_shared::config::{App, Config};
use nix::unistd::geteuid;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, remove_capability_from_bounding_set,
    set_capabilities,
};
use slog::{Logger, warn};

/// What is kept; the reasons stand above.
const NEEDED: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::NET_BIND_SERVICE);

/// Whether some worker stays root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// Every application has a `user`.
    AllBecomeSomebody,
    /// Some has none.
    SomeStayRoot,
}

impl Workers {
    /// What a config says of them.
    pub fn of(config: &Config) -> Workers {
        let becomes_somebody = |app: &App| app.run_as.as_ref().is_some_and(|run_as| run_as.uid != 0);
        if config.apps.iter().all(becomes_somebody) { Workers::AllBecomeSomebody } else { Workers::SomeStayRoot }
    }
}

/// Drops what is not needed, if we are root. To be called while there is one thread.
///
/// # Errors
/// When some could not be dropped. They are kept; nothing is missing.
pub fn drop_unneeded(workers: Workers) -> io::Result<()> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let bounded = match workers {
        Workers::AllBecomeSomebody => bound(),
        Workers::SomeStayRoot => Ok(()),
    };
    let had = capabilities(None)?;
    let kept = CapabilitySets {
        effective: had.permitted & NEEDED,
        permitted: had.permitted & NEEDED,
        inheritable: had.inheritable & NEEDED,
    };
    set_capabilities(None, kept)?;
    bounded
}

/// Writes down what became of it, once there is a log.
pub fn tell(dropped: &io::Result<()>, log: &Logger) {
    if let Err(error) = dropped {
        warn!(log, "capabilities are kept that are not needed"; "why" => error.to_string());
    }
}

/// Makes sure that no child has what we do not need.
fn bound() -> io::Result<()> {
    for bit in 0..u64::BITS {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        match capability_is_in_bounding_set(one) {
            Ok(true) if !NEEDED.contains(one) => remove_capability_from_bounding_set(one)?,
            Ok(_) => {}
            // The kernel knows no further ones.
            Err(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_dropped_is_gone_and_what_is_needed_stays() {
        // Capabilities are a thread's own, so this test's other thread keeps what it had.
        let (before, after) = thread::spawn(|| {
            let before = capabilities(None).unwrap();
            drop_unneeded(Workers::SomeStayRoot).unwrap();
            (before, capabilities(None).unwrap())
        })
        .join()
        .unwrap();
        if geteuid().is_root() {
            assert_eq!((after.permitted, after.effective), (before.permitted & NEEDED, before.permitted & NEEDED));
        } else {
            assert_eq!((after.permitted, after.effective), (before.permitted, before.effective));
        }
    }

    #[test]
    fn the_bounding_set_is_cut_only_when_no_worker_stays_root() {
        let admin = || capability_is_in_bounding_set(CapabilitySet::SYS_ADMIN).unwrap();
        let after = |workers| thread::spawn(move || (drop_unneeded(workers).is_ok(), admin())).join().unwrap();
        let before = admin();
        assert_eq!(after(Workers::SomeStayRoot).1, before);
        let (could, after) = after(Workers::AllBecomeSomebody);
        assert_eq!(after, before && !(could && geteuid().is_root()));
    }
}
