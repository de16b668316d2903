//! Whether an address could be bound, found out without anybody's noticing.

use std::path::Path;

use monoceros_shared::config::{Address, Listener};
use nix::unistd::{AccessFlags, access};

use super::{Sharing, answers, cause, in_abstract, tcp};

/// Whether it could be bound now. What is bound for that does not listen, so nobody can connect to it, and is closed at once; where
/// it would leave a file, the place is only looked at.
///
/// # Errors
/// In words, as a bind would say it.
pub fn could_bind(listener: &Listener) -> Result<(), String> {
    match &listener.address {
        Address::Tcp(address) => tcp(*address, Sharing::None).map(drop),
        Address::Abstract(name) => in_abstract(name).map(drop),
        Address::Unix(path) => is_free(path),
    }
}

fn is_free(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileTypeExt;
    match path.symlink_metadata() {
        Ok(found) if !found.file_type().is_socket() => Err("a file that is no socket is in the way".into()),
        Ok(_) => match answers(path) {
            Ok(true) => Err("Address already in use (somebody answers on it)".into()),
            Ok(false) => Ok(()),
            Err(error) => Err(format!("a socket is in the way that cannot be asked: {}", cause(&error))),
        },
        Err(_) => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            access(folder, AccessFlags::W_OK | AccessFlags::X_OK)
                .map_err(|errno| format!("{}: {}", folder.display(), errno.desc()))
        }
    }
}
