//! Where the control socket of a config file is, and who holds it: found from the file's path alone, never from what is
//! in the file.
//!
//! ```text
//!   /run/monoceros                 as root
//!   $XDG_RUNTIME_DIR/monoceros     else, where there is one
//!   /tmp/monoceros-UID             else; ours alone
//!     server.yaml-0123456789abcdef.sock    the socket: named after the real path of the file's folder, and the file's name
//!     server.yaml-fedcba9876543210.sock    a link to it, if the file is a link: named after the file's real path
//!     server.yaml-0123456789abcdef.lock    held for as long as the server lives; holds its PID
//! ```
//!
//! Two names, for a file that is deployed by turning a link changes its real path under a running server, and another
//! link to the same file has nothing else in common with it.
//!
//! Rules
//! * Whoever holds the locks of all names owns what lies under them, so what a killed server left is replaced.
//! * A lock is asked of the kernel, never concluded from a PID, which may mean another process by now.
//!
//! Known fault: on a runtime folder that is shared by two machines (NFS without locks) two servers can hold one lock.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf, absolute};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{AccessFlags, access, geteuid};

use crate::core::fingerprint::fnv;
use crate::listen::cause;

/// Where root's servers are.
const ROOTS_FOLDER: &str = "/run/monoceros";

/// Bytes of a file's name that are kept in the socket's, for people. A socket's path may have 107 in all.
const STEM_BYTES_MAX: usize = 32;

/// Makes sure of the folder for a server of ours.
///
/// # Errors
/// Why there is none that only we can write to.
pub fn prepare_folder() -> Result<PathBuf, String> {
    let folder = own_folder();
    let cannot = |why: String| format!("cannot use {}: {why}", folder.display());
    match DirBuilder::new().mode(0o700).create(&folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(cause(&error))),
    }
    if is_ours(&folder) { Ok(folder) } else { Err(cannot("it is not a folder that only we can write to".into())) }
}

/// The folders in which a command looks: first that of our own servers, then root's.
pub fn folders() -> Vec<PathBuf> {
    let mut folders = vec![own_folder()];
    // What somebody else has put into the temporary folder is not listened to.
    folders.retain(|folder| !folder.starts_with(std::env::temp_dir()) || is_ours(folder));
    folders.push(ROOTS_FOLDER.into());
    folders.dedup();
    folders
}

/// Whether [`prepare_folder`] would find or make it; nothing is made.
///
/// # Errors
/// In words, why not.
pub fn usable() -> Result<(), String> {
    let folder = own_folder();
    if folder.symlink_metadata().is_ok() {
        return if is_ours(&folder) { Ok(()) } else { Err("it is not a folder that only we can write to".into()) };
    }
    let above = folder.parent().unwrap_or(Path::new("/"));
    access(above, AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| format!("it cannot be made in {}: {}", above.display(), errno.desc()))
}

/// The folder of our own servers.
pub fn own_folder() -> PathBuf {
    if geteuid().is_root() {
        return ROOTS_FOLDER.into();
    }
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|given| given.is_absolute());
    match given {
        Some(given) => given.join("monoceros"),
        None => std::env::temp_dir().join(format!("monoceros-{}", geteuid())),
    }
}

/// A folder, not a link to one, that belongs to us and that others cannot write to.
fn is_ours(folder: &Path) -> bool {
    fs::symlink_metadata(folder)
        .is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0)
}

/// The names under which a config file's server is found, without an ending; the first is the socket's own.
///
/// # Errors
/// When the file's folder cannot be resolved.
pub fn names(file: &Path) -> io::Result<Vec<String>> {
    let file = absolute(file)?;
    let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder"));
    };
    let mut names = vec![name_of(&folder.canonicalize()?.join(name))];
    // A file that is not there now may have been when its server started.
    names.extend(file.canonicalize().ok().map(|real| name_of(&real)));
    names.dedup();
    Ok(names)
}

fn name_of(path: &Path) -> String {
    let stem = path.file_name().unwrap_or(OsStr::new("")).as_bytes().iter().take(STEM_BYTES_MAX);
    let stem: String = stem
        .map(|byte| if byte.is_ascii_alphanumeric() || b".-_".contains(byte) { char::from(*byte) } else { '_' })
        .collect();
    format!("{stem}-{:016x}", fnv(path.as_os_str().as_bytes()))
}

/// Held for as long as the server lives, and by the kernel's word no longer.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    file: Flock<File>,
}

/// Why a lock could not be taken.
#[derive(Debug, PartialEq, Eq)]
pub enum NoLock {
    /// Another server holds it: its PID, if it could be read.
    Taken(Option<u32>),
    /// There can be none.
    Unavailable(String),
}

impl Lock {
    /// Takes it and writes our PID into it.
    pub fn take(path: &Path) -> Result<Lock, NoLock> {
        let unavailable =
            |error: io::Error| NoLock::Unavailable(format!("cannot lock {}: {}", path.display(), cause(&error)));
        loop {
            let mut options = OpenOptions::new();
            let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.custom_flags(nix::libc::O_NOFOLLOW).open(path).map_err(unavailable)?;
            let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) => file,
                Err((mut file, Errno::EWOULDBLOCK)) => return Err(NoLock::Taken(pid_in(&mut file))),
                Err((_, errno)) => return Err(unavailable(errno.into())),
            };
            let lock = Lock { path: path.to_owned(), file };
            // A server that just ended may have removed the file between our open and our lock.
            if lock.is_at_its_path() {
                return lock.sign().map_err(unavailable);
            }
        }
    }

    /// Goes on with one that the program before has taken: the file is open still, and locked by that.
    pub fn resume(path: PathBuf, file: File) -> io::Result<Lock> {
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))?;
        Ok(Lock { path, file })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn sign(mut self) -> io::Result<Lock> {
        self.file.set_len(0)?;
        writeln!(self.file, "{}", std::process::id())?;
        Ok(self)
    }

    fn is_at_its_path(&self) -> bool {
        let identity = |found: fs::Metadata| (found.dev(), found.ino());
        let at_path = fs::symlink_metadata(&self.path).map(identity);
        self.file.metadata().map(identity).is_ok_and(|ours| at_path.is_ok_and(|found| found == ours))
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Lock {
    /// Removes the file while it is still locked, so that nobody's new one is meant.
    fn drop(&mut self) {
        if self.is_at_its_path() {
            // A file that stays is taken up by the next server.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_has_one_name_however_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        fs::write(real.join("server.yaml"), "").unwrap();
        fs::create_dir(real.join("deep")).unwrap();
        symlink(&real, real.join("deep/up")).unwrap();
        let expected = names(&real.join("server.yaml")).unwrap();
        assert_eq!(expected.len(), 1, "{expected:?}");
        assert!(expected[0].starts_with("server.yaml-"), "{expected:?}");
        for other in ["deep/up/server.yaml", "./server.yaml", "deep/../server.yaml"] {
            assert_eq!(names(&real.join(other)).unwrap(), expected, "{other}");
        }
        assert_ne!(names(&real.join("other.yaml")).unwrap(), expected);
    }

    #[test]
    fn a_name_is_the_same_in_every_build() {
        assert_eq!(name_of(Path::new("/etc/monoceros/ser ver.yaml")), "ser_ver.yaml-c43bc80a2d017b5b");
    }

    #[test]
    fn a_link_shares_a_name_with_its_file_and_keeps_one_when_it_is_turned() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("one.yaml"), "").unwrap();
        fs::write(at("two.yaml"), "").unwrap();
        symlink("one.yaml", at("server.yaml")).unwrap();
        let before = names(&at("server.yaml")).unwrap();
        assert_eq!(before.len(), 2);
        assert_eq!(before[1], names(&at("one.yaml")).unwrap()[0]);
        fs::remove_file(at("server.yaml")).unwrap();
        assert_eq!(names(&at("server.yaml")).unwrap(), before[..1], "a file that is away for a moment");
        symlink("two.yaml", at("server.yaml")).unwrap();
        assert_eq!(names(&at("server.yaml")).unwrap()[0], before[0]);
    }

    #[test]
    fn a_second_server_learns_the_pid_of_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        let first = Lock::take(&path).unwrap();
        assert_eq!(Lock::take(&path).unwrap_err(), NoLock::Taken(Some(std::process::id())));
        drop(first);
        assert!(!path.exists(), "a lock is left behind");
        Lock::take(&path).unwrap();
    }

    #[test]
    fn the_lock_of_a_killed_server_is_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        // Somebody lives who has this number, and it is not a supervisor.
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        let lock = Lock::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644, "only a new file gets a mode");
        drop(lock);
    }

    #[test]
    fn a_lock_does_not_follow_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.lock");
        fs::write(folder.path().join("precious"), "as it was").unwrap();
        symlink("precious", &path).unwrap();
        assert!(matches!(Lock::take(&path), Err(NoLock::Unavailable(_))));
        assert_eq!(fs::read_to_string(folder.path().join("precious")).unwrap(), "as it was");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_ours() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_ours(folder.path()));
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_ours(folder.path()));
        let link = folder.path().join("link");
        symlink("/", &link).unwrap();
        assert!(!is_ours(&link));
    }
}
