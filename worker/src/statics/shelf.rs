//! A folder of files: opens what lies beneath it, and nothing else.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use monoceros_shared::config::StaticFiles;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;

use super::{encoding, kind};

/// A folder of files.
pub struct Shelf {
    /// What the paths of its files begin with.
    pub prefix: String,
    /// The value of Cache-Control.
    pub cache_control: Option<String>,
    folder: OwnedFd,
}

/// A file that is to be sent.
pub struct Found {
    /// Itself.
    pub file: File,
    /// What the kernel says of it.
    pub facts: Metadata,
    /// The value of Content-Type.
    pub kind: &'static str,
    /// The value of Content-Encoding.
    pub coding: Option<&'static str>,
}

impl Shelf {
    /// Opens the folder.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(files: &StaticFiles) -> io::Result<Shelf> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = open(&files.folder, flags, Mode::empty()).map_err(|why| {
            io::Error::other(format!("cannot open the folder {} of static files: {why}", files.folder.display()))
        })?;
        Ok(Shelf { prefix: files.prefix.clone(), cache_control: files.cache_control.clone(), folder })
    }

    /// The file of this name, or of its siblings the one that the client likes best. `names` has no `..` in it.
    pub fn find(&self, names: &[u8], accept_encoding: &[u8]) -> Option<Found> {
        let kind = kind::of(names);
        let plain = self.open_file(names)?;
        for coding in encoding::accepted(accept_encoding) {
            if let Some((file, facts)) = self.open_file(&[names, coding.ending.as_bytes()].concat()) {
                return Some(Found { file, facts, kind, coding: Some(coding.name) });
            }
        }
        let (file, facts) = plain;
        Some(Found { file, facts, kind, coding: None })
    }

    fn open_file(&self, names: &[u8]) -> Option<(File, Metadata)> {
        // Not blocking, for a pipe would wait for its writer.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let how = OpenHow::new().flags(flags).resolve(resolve);
        let file = File::from(openat2(&self.folder, OsStr::from_bytes(names), how).ok()?);
        let facts = file.metadata().ok()?;
        facts.is_file().then_some((file, facts))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_the_folder_is_opened_and_nothing_but_files() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("in/folder")).unwrap();
        fs::write(at("secret"), "s").unwrap();
        fs::write(at("in/a.css"), "a").unwrap();
        for (target, name) in [
            ("../secret", "up"),
            (at("secret").to_str().unwrap(), "absolute"),
            ("/proc/self/fd", "magic"),
            ("..", "folder/parent"),
            ("a.css", "inside"),
            ("loop", "loop"),
        ] {
            symlink(target, at("in").join(name)).unwrap();
        }
        nix::unistd::mkfifo(&at("in/pipe"), Mode::S_IRWXU).unwrap();
        let files = StaticFiles { prefix: "/static".into(), folder: at("in"), cache_control: None };
        let shelf = Shelf::open(&files).unwrap();
        let is_found = |name: &str| shelf.find(name.as_bytes(), b"").is_some();
        assert!(is_found("a.css") && is_found("inside") && is_found("folder/parent/a.css"));
        for name in [
            "up",
            "absolute",
            "magic/0",
            "folder",
            "folder/parent/parent/secret",
            "loop",
            "pipe",
            "../secret",
            "/etc/passwd",
            "no",
            "a.css/x",
        ] {
            assert!(!is_found(name), "{name}");
        }
        // A sibling that leads out is none.
        symlink("../secret", at("in/a.css.gz")).unwrap();
        assert_eq!(shelf.find(b"a.css", b"gzip").unwrap().coding, None);
        fs::write(at("in/a.css.br"), "b").unwrap();
        assert_eq!(shelf.find(b"a.css", b"gzip, br").unwrap().coding, Some("br"));
        fs::remove_file(at("in/a.css")).unwrap();
        assert!(shelf.find(b"a.css", b"gzip, br").is_none(), "what is removed is removed in every form");
    }
}
