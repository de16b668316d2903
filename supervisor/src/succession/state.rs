//! What a supervisor writes down while it lives, for whoever comes after its death.
//!
//! ```text
//!   runtime folder/NAME.state            the record, mode 0600; another one is moved into its place
//!   runtime folder/NAME.worker-7.sock    where worker 7 waits for its next supervisor
//! ```
//!
//! Rule: it is written before what it says is done, so that it names every worker that may serve.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use monoceros_shared::link::{Adoption, Token, adoption};
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};

use super::Record;
use crate::core::WorkerId;
use crate::listen::cause;

/// Bytes of a record that is read: a thousand workers fill a tenth of it.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The runtime folder.
    pub folder: PathBuf,
    /// The server's name in it.
    pub name: String,
}

impl Place {
    /// Where its record is.
    pub fn state(&self) -> PathBuf {
        self.folder.join(format!("{}.state", self.name))
    }

    /// Where a worker waits for its next supervisor.
    pub fn adoption(&self, worker: WorkerId, token: Token) -> Adoption {
        Adoption { file: self.folder.join(format!("{}.worker-{worker}.sock", self.name)), token }
    }

    /// The files of the workers' sockets that there are.
    pub fn workers(&self) -> Vec<(WorkerId, PathBuf)> {
        let prefix = format!("{}.worker-", self.name);
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let worker = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.strip_prefix(&prefix)?.strip_suffix(".sock")?.parse().ok()?;
            Some((number, entry.path()))
        };
        let mut workers: Vec<_> = entries.flatten().filter_map(worker).collect();
        workers.sort();
        workers
    }

    /// The record that lies there.
    ///
    /// # Errors
    /// Why there is none that can be read; an empty text if there is none at all.
    pub fn record(&self) -> Result<Record, String> {
        let cannot = |why: String| format!("cannot read {}: {why}", self.state().display());
        let file = match OpenOptions::new().read(true).custom_flags(nix::libc::O_NOFOLLOW).open(self.state()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(String::new()),
            Err(error) => return Err(cannot(cause(&error))),
        };
        let mut text = Vec::new();
        let read = io::Read::read_to_end(&mut io::Read::take(file, RECORD_BYTES_MAX), &mut text);
        read.map_err(|error| cannot(cause(&error)))?;
        Record::read(&text).map_err(cannot)
    }
}

/// Makes the sockets on which workers wait for the next supervisor.
pub struct Adoptions {
    /// Where.
    pub place: Place,
    /// What the supervisors of this server know of each other.
    pub token: Token,
    /// Where is written what goes wrong.
    pub log: Logger,
}

impl Adoptions {
    /// One for a worker. Without it, the worker drains when its supervisor is gone.
    pub fn open(&self, worker: WorkerId) -> Option<(Adoption, OwnedFd)> {
        let adoption = self.place.adoption(worker, self.token);
        match adoption::bind(&adoption.file) {
            Ok(socket) => Some((adoption, socket)),
            Err(error) => {
                let why = format!("cannot bind {}: {}", adoption.file.display(), cause(&error));
                warn!(self.log, "a worker will drain should its supervisor die"; "worker" => worker, "why" => why);
                None
            }
        }
    }
}

impl Adoptions {
    /// Removes that of a worker which could not be made after all.
    pub fn close(&self, worker: WorkerId) {
        self.place.adoption(worker, self.token).remove();
    }
}

/// Writes the record when it has changed.
pub struct State {
    path: PathBuf,
    written: Vec<u8>,
    complained: Option<String>,
    log: Logger,
}

impl State {
    /// One of which nothing is written yet.
    pub fn new(place: &Place, log: &Logger) -> State {
        State { path: place.state(), written: Vec::new(), complained: None, log: log.clone() }
    }

    /// Writes it, if it says something else than what was written last. What goes wrong is a warning, once.
    pub fn keep(&mut self, record: &Record) {
        let text = serde_json::to_vec(record).unwrap_or_default();
        if text == self.written {
            return;
        }
        match replace(&self.path, &text) {
            Ok(()) => (self.written, self.complained) = (text, None),
            Err(error) => {
                let why = format!("cannot write {}: {}", self.path.display(), cause(&error));
                if self.complained.as_ref() != Some(&why) {
                    warn!(self.log, "another supervisor will not know how things are"; "why" => &why);
                    self.complained = Some(why);
                }
            }
        }
    }

    /// Removes it: nothing is left to be known.
    pub fn end(&self) {
        // What stays is about workers that are gone, and the next supervisor sees that.
        let _ = fs::remove_file(&self.path);
    }
}

/// Puts a text in a file's place: whoever reads it finds the old or the new, whole.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("state.new");
    let _ = fs::remove_file(&fresh);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh);
    let moved = written.and_then(|mut file| file.write_all(text)).and_then(|()| fs::rename(&fresh, path));
    if moved.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    moved
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    use super::*;

    fn place() -> (tempfile::TempDir, Place) {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { folder: folder.path().to_owned(), name: "server.yaml-0".into() };
        (folder, place)
    }

    fn log() -> Logger {
        Logger::root(slog::Discard, slog::o!())
    }

    #[test]
    fn what_is_kept_is_read_again_and_is_for_its_owner_alone() {
        let (_folder, place) = place();
        assert_eq!(place.record(), Err(String::new()), "none at all is no fault");
        let mut state = State::new(&place, &log());
        let mut record = Record::new(Instant::now(), [3; 16]);
        state.keep(&record);
        assert_eq!(place.record(), Ok(record.clone()));
        assert_eq!(fs::metadata(place.state()).unwrap().permissions().mode() & 0o777, 0o600);
        record.legacy.generation = 9;
        state.keep(&record);
        assert_eq!(place.record().unwrap().legacy.generation, 9);
        state.end();
        assert_eq!(fs::read_dir(&place.folder).unwrap().count(), 0, "something is left behind");
    }

    #[test]
    fn what_cannot_be_written_leaves_what_was() {
        let (_folder, place) = place();
        let mut state = State::new(&place, &log());
        let mut record = Record::new(Instant::now(), [3; 16]);
        state.keep(&record);
        fs::create_dir(place.state().with_extension("state.new")).unwrap();
        record.legacy.generation = 9;
        state.keep(&record);
        assert_eq!(place.record().unwrap().legacy.generation, 0);
        fs::remove_dir(place.state().with_extension("state.new")).unwrap();
        state.keep(&record);
        assert_eq!(place.record().unwrap().legacy.generation, 9, "it is tried again");
    }

    #[test]
    fn a_record_that_is_broken_says_why() {
        let (_folder, place) = place();
        fs::write(place.state(), "{\"form\": 1, ").unwrap();
        let why = place.record().unwrap_err();
        assert!(why.starts_with(&format!("cannot read {}: ", place.state().display())), "{why}");
    }

    #[test]
    fn workers_are_found_by_their_files_and_others_are_not() {
        let (_folder, place) = place();
        for name in [
            "server.yaml-0.worker-12.sock",
            "server.yaml-0.worker-3.sock",
            "server.yaml-0.worker-x.sock",
            "server.yaml-0.sock",
            "server.yaml-01.worker-4.sock",
        ] {
            fs::write(place.folder.join(name), "").unwrap();
        }
        assert_eq!(place.workers().into_iter().map(|(worker, _)| worker).collect::<Vec<_>>(), [3, 12]);
        assert_eq!(place.adoption(3, [0; 16]).file, place.workers()[0].1);
    }
}
