//! The end of this program in an upgrade: packs what there is, and execs the next one.
//!
//! ```text
//!   Departure::prepare (in the loop) -> the log is flushed -> Departure::go: exec the next program
//!                                                                 \-> it cannot be: exec ourselves, which go on, and say so
//! ```
//!
//! Rules: signals are blocked from the last wait on (see `sources`), so that none is lost. Only what the baggage names goes
//! through the exec.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use monoceros_shared::exit;

use super::baggage::{Baggage, let_through};
use crate::listen::cause;
use crate::spawn::{self, keep_strangers_from_workers};

/// Names the memory and the program that was before.
pub const SUCCESSION: &str = "MONOCEROS_SUCCESSION";

/// Says why the program before has to go on.
pub const FAILED: &str = "MONOCEROS_SUCCESSION_FAILED";

/// What the service manager says of the descriptors that it gave.
const GIVEN: [&str; 4] = ["LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/// What an upgrade starts, and what it goes back to.
#[derive(Debug)]
pub struct Programs {
    /// Where the next program is looked for: the path that the first one was started from.
    pub next: PathBuf,
    /// This one.
    pub own: OwnedFd,
    /// Descriptors that whoever started us left open.
    pub left_open: Vec<RawFd>,
}

impl Programs {
    /// Finds them. To be called before anything is opened.
    ///
    /// # Errors
    /// When `/proc` does not say.
    pub fn find() -> Result<Programs, String> {
        let left_open = left_open();
        let cannot = |error: std::io::Error| format!("cannot find our own program: {}", cause(&error));
        let own = spawn::open_program(Path::new("/proc/self/exe")).map_err(cannot)?;
        let real = std::env::current_exe().map_err(cannot)?;
        let next = started_from().filter(|path| is_same(path, &own)).unwrap_or(real);
        Ok(Programs { next, own, left_open })
    }
}

/// The path that we were started from, with the links in it that were named: a deploy may turn them.
fn started_from() -> Option<PathBuf> {
    let name = PathBuf::from(std::env::args_os().next()?);
    if name.components().count() > 1 {
        return std::path::absolute(name).ok();
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(&name)).find(|path| path.is_file())
}

fn is_same(path: &Path, program: &OwnedFd) -> bool {
    let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
    let own = program.try_clone().and_then(|own| File::from(own).metadata()).map(identity).ok();
    std::fs::metadata(path).map(identity).ok().is_some_and(|found| Some(found) == own)
}

/// What is open above the standard three.
fn left_open() -> Vec<RawFd> {
    let entries = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let open: Vec<RawFd> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // The folder's own descriptor was in the list, and is closed by now.
    let is_open = |fd: &RawFd| *fd > 2 && std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    open.into_iter().filter(is_open).collect()
}

/// All that is needed for the exec.
#[derive(Debug)]
pub struct Departure {
    memory: OwnedFd,
    own: OwnedFd,
    next: PathBuf,
}

impl Departure {
    /// Packs, and lets through what goes with us.
    ///
    /// # Errors
    /// One line; then nothing goes through.
    pub fn prepare(baggage: &Baggage, programs: &Programs) -> Result<Departure, String> {
        let cannot = |error: std::io::Error| format!("cannot leave to the next supervisor: {}", cause(&error));
        let own = programs.own.try_clone().map_err(cannot)?;
        let memory = baggage.pack().map_err(cannot)?;
        keep_strangers_from_workers().map_err(cannot)?;
        let ours = [memory.as_raw_fd(), own.as_raw_fd()];
        let_through(baggage.descriptors().into_iter().chain(ours)).map_err(cannot)?;
        Ok(Departure { memory, own, next: programs.next.clone() })
    }

    /// Becomes the next program. It returns only when not even this one can be had again: the exit status.
    pub fn go(self) -> i32 {
        let mark = format!("{},{}", self.memory.as_raw_fd(), self.own.as_raw_fd());
        let mut changes = vec![(SUCCESSION, Some(mark.as_str())), (FAILED, None)];
        // They name descriptors of which we have taken what there was.
        changes.extend(GIVEN.map(|name| (name, None)));
        let why = become_path(&self.next, &changes);
        let why = format!("cannot execute {}: {why}", self.next.display());
        back(self.own.as_fd(), &mark, &why)
    }
}

/// Becomes the program before. It returns only if that cannot be: the exit status.
pub fn back(program: BorrowedFd<'_>, mark: &str, why: &str) -> i32 {
    let mut changes = vec![(SUCCESSION, Some(mark)), (FAILED, Some(why))];
    changes.extend(GIVEN.map(|name| (name, None)));
    let environment = environment(&changes);
    let error = spawn::become_program(program, &arguments(), &environment);
    eprintln!("supervisor: {why}; cannot go back either: {error}. Workers serve on");
    exit::FAILED
}

fn become_path(path: &Path, changes: &[(&str, Option<&str>)]) -> String {
    match CString::new(path.as_os_str().to_owned().into_vec()) {
        Ok(path) => spawn::become_path(&path, &arguments(), &environment(changes)),
        Err(_) => "its path has a zero in it".into(),
    }
}

fn arguments() -> Vec<CString> {
    std::env::args_os().filter_map(|argument| CString::new(argument.into_vec()).ok()).collect()
}

/// Ours, with changes.
fn environment(changes: &[(&str, Option<&str>)]) -> Vec<CString> {
    let is_changed = |name: &OsString| changes.iter().any(|(changed, _)| *changed == name);
    let kept = std::env::vars_os().filter(|(name, _)| !is_changed(name));
    let set = changes.iter().filter_map(|(name, value)| Some((OsString::from(name), OsString::from((*value)?))));
    let line = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        CString::new(name.into_vec()).ok()
    };
    kept.chain(set).filter_map(line).collect()
}
