//! A file that holds our process number, for programs that ask for one: locked for as long as we live.
//!
//! ```text
//!   a file of ours, complete and locked, beside it
//!     nothing lies at the path   -> linked there, if still nothing does
//!     somebody's file, unlocked  -> moved over it, while we hold its lock too
//!     somebody's file, locked    -> refused: that server lives
//! ```
//!
//! Rules
//! * Who reads it never finds half a number: the file is complete before it has its name.
//! * Whether a server lives is asked of the kernel, which ends its lock with it, and never concluded from the number, which may be
//!   another process's by now.
//! * What is no pid file is never overwritten: a wrong `pid_file` in a config costs nobody a file.
//! * It is removed at the end only if it is still ours.
//!
//! Known fault: who may read the file may lock it too, and so keep the next server from starting; as with every such file, its
//! folder is to be one that only the server's user writes to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::listen::cause;

/// Bytes that a pid file can have: a number and white space. What is longer is something else.
const BYTES_MAX: u64 = 32;

/// Other programs read it.
const MODE: u32 = 0o644;

/// A pid file of ours.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
    file: Flock<File>,
}

impl PidFile {
    /// Writes one.
    ///
    /// # Errors
    /// One line: `cannot write /run/shop.pid: supervisor 123 holds it`.
    pub fn write(path: &Path) -> Result<PidFile, String> {
        let cannot = |why: String| format!("cannot write {}: {why}", path.display());
        let draft = Draft::write(path).map_err(|error| cannot(cause(&error)))?;
        match draft.publish_at_last(path) {
            Ok(()) => Ok(PidFile { path: path.to_owned(), file: draft.file }),
            Err(why) => {
                let _ = fs::remove_file(&draft.path);
                Err(cannot(why))
            }
        }
    }

    /// Takes over one that this process wrote before it exec'd itself: the lock is the descriptor's, not the program's.
    ///
    /// # Errors
    /// When it is not locked by it.
    pub fn adopt(path: PathBuf, descriptor: OwnedFd) -> Result<PidFile, String> {
        match Flock::lock(File::from(descriptor), FlockArg::LockExclusiveNonblock) {
            Ok(file) => Ok(PidFile { path, file }),
            Err((_, errno)) => Err(format!("cannot take over {}: {}", path.display(), errno.desc())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for PidFile {
    /// What holds the lock.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_at(&self.file, &self.path) {
            // One that stays is taken over by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A complete file without its name.
struct Draft {
    path: PathBuf,
    file: Flock<File>,
}

impl Draft {
    fn write(path: &Path) -> io::Result<Draft> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let path = path.with_file_name(name);
        // One of a process that had our number, and died between two lines of this file.
        let _ = fs::remove_file(&path);
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(MODE).open(&path)?;
        let written = writeln!(file, "{}", std::process::id());
        let locked = written.and_then(|()| {
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))
        });
        match locked {
            Ok(file) => Ok(Draft { path, file }),
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn publish_at_last(&self, path: &Path) -> Result<(), String> {
        while !self.publish(path)? {}
        Ok(())
    }

    /// Gives it the name; false when another server was quicker and things are to be looked at anew.
    fn publish(&self, path: &Path) -> Result<bool, String> {
        let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
            Ok(old) => self.replace(old, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::hard_link(&self.path, path) {
                Ok(()) => {
                    let _ = fs::remove_file(&self.path);
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(cause(&error)),
            },
            Err(error) => Err(cause(&error)),
        }
    }

    /// Takes the place of a file that a server left.
    fn replace(&self, old: File, path: &Path) -> Result<bool, String> {
        let found = content(&old).map_err(|error| cause(&error))?;
        let old = match Flock::lock(old, FlockArg::LockExclusiveNonblock) {
            Ok(old) => old,
            Err((_, Errno::EWOULDBLOCK)) => {
                let holder = found.map_or_else(|| "another server".to_owned(), |pid| format!("supervisor {pid}"));
                return Err(format!("{holder} holds it"));
            }
            Err((_, errno)) => return Err(errno.desc().to_owned()),
        };
        // Another server may have put its own there between our open and our lock.
        if !is_at(&old, path) {
            return Ok(false);
        }
        fs::rename(&self.path, path).map_err(|error| cause(&error))?;
        Ok(true)
    }
}

/// The number in a file; `None` when it is empty.
///
/// # Errors
/// When it is no pid file.
fn content(file: &File) -> io::Result<Option<u32>> {
    let other = || io::Error::other("what lies there is no pid file");
    if !file.metadata()?.is_file() {
        return Err(other());
    }
    let mut text = String::new();
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(|_| other())?;
    match text.trim() {
        "" => Ok(None),
        _ if text.len() as u64 > BYTES_MAX => Err(other()),
        number => number.parse().map(Some).map_err(|_| other()),
    }
}

/// Whether what lies at a path is this file.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |found: fs::Metadata| (found.dev(), found.ino());
    let at_path = fs::symlink_metadata(path).map(identity);
    file.metadata().map(identity).is_ok_and(|ours| at_path.is_ok_and(|found| found == ours))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("server.pid");
        (folder, path)
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn ours() -> String {
        format!("{}\n", std::process::id())
    }

    #[test]
    fn it_holds_the_number_while_the_server_lives() {
        let (folder, path) = folder();
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), ours());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        assert_eq!(names(&folder), ["server.pid"], "a draft is left behind");
        drop(file);
        assert_eq!(names(&folder), [""; 0]);
    }

    #[test]
    fn a_second_server_is_told_who_holds_it() {
        let (folder, path) = folder();
        let first = PidFile::write(&path).unwrap();
        let why = PidFile::write(&path).unwrap_err();
        assert_eq!(why, format!("cannot write {}: supervisor {} holds it", path.display(), std::process::id()));
        assert_eq!(names(&folder), ["server.pid"], "a draft is left behind");
        drop(first);
        PidFile::write(&path).unwrap();
    }

    #[test]
    fn one_that_a_killed_server_left_is_taken_over_whoever_has_its_number_now() {
        let (_folder, path) = folder();
        for left in ["1\n", "", "4294967295\n"] {
            fs::write(&path, left).unwrap();
            let file = PidFile::write(&path).unwrap();
            assert_eq!(fs::read_to_string(file.path()).unwrap(), ours());
        }
    }

    #[test]
    fn what_is_no_pid_file_stays_as_it_is() {
        let (folder, path) = folder();
        for precious in ["root:x:0:0:root:/root:/bin/bash\n", "1 2", &"9".repeat(100)] {
            fs::write(&path, precious).unwrap();
            let why = PidFile::write(&path).unwrap_err();
            assert!(why.ends_with("what lies there is no pid file"), "{why}");
            assert_eq!(fs::read_to_string(&path).unwrap(), precious);
        }
        let link = folder.path().join("link.pid");
        symlink(&path, &link).unwrap();
        assert!(PidFile::write(&link).is_err());
        nix::unistd::mkfifo(&folder.path().join("fifo.pid"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(PidFile::write(&folder.path().join("fifo.pid")).is_err(), "and a pipe holds nobody up");
        assert_eq!(names(&folder).len(), 3, "a draft is left behind");
    }

    #[test]
    fn another_servers_file_is_not_removed() {
        let (_folder, path) = folder();
        let file = PidFile::write(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
    }

    #[test]
    fn the_lock_goes_with_the_descriptor() {
        let (_folder, path) = folder();
        let file = PidFile::write(&path).unwrap();
        let carried = file.as_fd().try_clone_to_owned().unwrap();
        let adopted = PidFile::adopt(path.clone(), carried).unwrap();
        // As at an exec: the program that wrote it does nothing more.
        std::mem::forget(file);
        assert!(PidFile::write(&path).is_err());
        drop(adopted);
        assert!(!path.exists());
    }

    #[test]
    fn of_many_that_begin_at_once_one_has_it() {
        let (folder, path) = folder();
        // Drafts are named after the process, so these are made as if each was one.
        let drafts: Vec<Draft> = (0..8)
            .map(|index| {
                let written = Draft::write(&folder.path().join(format!("{index}"))).unwrap();
                assert!(written.path.exists());
                written
            })
            .collect();
        let published = std::thread::scope(|scope| {
            let tries: Vec<_> =
                drafts.iter().map(|draft| scope.spawn(|| draft.publish_at_last(&path).is_ok())).collect();
            tries.into_iter().filter_map(|one| one.join().ok()).filter(|has_it| *has_it).count()
        });
        assert_eq!(published, 1);
    }
}
