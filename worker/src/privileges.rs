//! Who a worker is: decided before Python starts, and for good.
//!
//! ```text
//!   no_new_privs -> supplementary groups -> gid -> uid -> is there a way back? -> umask
//! ```
//!
//! Rules
//! * The channel is connected before, for its folder is the supervisor's alone; all else that a worker needs comes to it as a
//!   descriptor.
//! * Groups first: who is somebody else already may not change them any more.
//! * What cannot be dropped ends the worker. It never serves as more than it was told to be.
//! * A process that changed its user is hidden from that user by the kernel: no core is written, no debugger of the user's may
//!   look. That is for programs with secrets of root's, of which a worker has none, so it is taken back (as nginx does).
//! * A supervisor that is not root may name its own user, and nothing changes.

use std::ffi::CString;
use std::io;

use monoceros_shared::config::{App, RunAs};
use monoceros_shared::link::{Failure, Purpose};
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, geteuid, getresgid, getresuid, initgroups, setgid, setgroups, setuid};

/// Becomes who the application is to run as. Who only apologises for it, and has no power to lose, apologises as whoever it is.
///
/// # Errors
/// One line: `cannot become user shop: Operation not permitted`, and what may be done about it.
pub fn settle(app: &App, purpose: &Purpose) -> Result<(), Failure> {
    if app.no_new_privileges {
        prctl::set_no_new_privs()
            .map_err(|errno| Failure::new(format!("cannot give up new privileges: {}", errno.desc()), ""))?;
    }
    if let Some(run_as) = &app.run_as {
        match become_user(run_as) {
            Err(_) if is_apology(purpose) && !geteuid().is_root() => {}
            became => became.map_err(|error| failure(run_as, &error))?,
        }
    }
    if let Some(bits) = app.umask {
        umask(Mode::from_bits_truncate(bits));
    }
    Ok(())
}

fn is_apology(purpose: &Purpose) -> bool {
    match purpose {
        Purpose::Apologise(_) => true,
        Purpose::Serve | Purpose::Check => false,
    }
}

fn failure(run_as: &RunAs, error: &io::Error) -> Failure {
    let cause = error.raw_os_error().map_or_else(|| error.to_string(), |code| Errno::from_raw(code).desc().to_owned());
    let is_denied = error.raw_os_error() == Some(Errno::EPERM as i32);
    let hint = if is_denied {
        "only root may become another user: start the supervisor as root, or leave `user` out"
    } else {
        ""
    };
    Failure::new(format!("cannot become user {}: {cause}", run_as.user), hint)
}

fn become_user(run_as: &RunAs) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(run_as.uid), Gid::from_raw(run_as.gid));
    if is_already(uid, gid)? && run_as.groups.is_none() && !geteuid().is_root() {
        return Ok(());
    }
    match &run_as.groups {
        Some(groups) => setgroups(&groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?,
        None => initgroups(&CString::new(run_as.user.as_str())?, gid)?,
    }
    setgid(gid)?;
    setuid(uid)?;
    if !is_already(uid, gid)? {
        return Err(io::Error::other("the kernel kept some of who it was"));
    }
    if !uid.is_root() {
        if setuid(Uid::from_raw(0)).is_ok() {
            return Err(io::Error::other("it could become root again"));
        }
        prctl::set_dumpable(true)?;
    }
    Ok(())
}

/// Whether we are this user and group in every respect: real, effective and saved.
fn is_already(uid: Uid, gid: Gid) -> io::Result<bool> {
    let (users, groups) = (getresuid()?, getresgid()?);
    Ok([users.real, users.effective, users.saved] == [uid; 3]
        && [groups.real, groups.effective, groups.saved] == [gid; 3])
}
