//! The server's log: standard error, or a file that can be opened anew while it is written to.
//!
//! Rules
//! * Workers write to the same descriptor as the supervisor, so nothing that they log goes through it.
//! * A file is appended to, for several processes write to it, and so does whoever turns it over by copying and truncating.
//! * It is made with the mode 0640, less what the supervisor's umask takes away: a log names clients and what they asked for.
//! * What cannot be opened anew stays as it was.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use monoceros_shared::config::Log;
use monoceros_shared::log::{self, Guard, Outlet};
use nix::fcntl::OFlag;
use signal_hook::consts::SIGXFSZ;
use slog::Logger;

use crate::listen::cause;

/// The mode of a file that is made.
const MODE: u32 = 0o640;

/// Where the server logs.
pub struct Logs {
    /// To log with.
    pub logger: Logger,
    outlet: Outlet,
    file: RefCell<Option<PathBuf>>,
}

impl Logs {
    /// Begins to log as the config says. Keep the guard to the end.
    ///
    /// # Errors
    /// One line: the file cannot be opened, or standard error is closed.
    pub fn start(log: &Log) -> Result<(Logs, Guard), String> {
        let outlet = match &log.file {
            Some(file) => Outlet::new(open(file)?.into()),
            None => Outlet::stderr().map_err(|error| format!("cannot log to standard error: {}", cause(&error)))?,
        };
        // A file that may not grow any more costs lines, as a full disk does, and not the server.
        signal_hook::flag::register(SIGXFSZ, Arc::default())
            .map_err(|error| format!("cannot take over signals: {}", cause(&error)))?;
        let (logger, guard) = log::start(log, &outlet);
        Ok((Logs { logger, outlet, file: RefCell::new(log.file.clone()) }, guard))
    }

    /// What lines are written to now.
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Opens the file anew by its path, which may lead elsewhere by now. Gives the path; `None` when the log is standard error,
    /// which stays what it is.
    ///
    /// # Errors
    /// One line. Then lines go on to where they went.
    pub fn reopen(&self) -> Result<Option<PathBuf>, String> {
        let file = self.file.borrow().clone();
        if let Some(file) = &file {
            self.outlet.switch(open(file)?.into());
        }
        Ok(file)
    }

    /// Logs as another config says. True when lines go elsewhere from now on.
    ///
    /// # Errors
    /// One line: the file cannot be opened. Then lines go on to where they went, and look as the config says.
    pub fn follow(&self, log: &Log) -> Result<bool, String> {
        self.outlet.follow(log);
        if *self.file.borrow() == log.file {
            return Ok(false);
        }
        let descriptor = match &log.file {
            Some(file) => open(file)?.into(),
            None => io::stderr().as_fd().try_clone_to_owned().map_err(|error| cause(&error))?,
        };
        self.outlet.switch(descriptor);
        *self.file.borrow_mut() = log.file.clone();
        Ok(true)
    }
}

/// Opens a file to append to. It never waits: a named pipe that nobody reads is an error.
fn open(path: &Path) -> Result<File, String> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let opened = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags.bits()).open(path);
    opened.map_err(|error| format!("cannot open the log {}: {}", path.display(), cause(&error)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use monoceros_shared::config::{LogFormat, LogLevel};
    use slog::info;

    use super::*;

    fn config(file: &Path) -> Log {
        Log { format: LogFormat::Text, level: LogLevel::Info, access: false, file: Some(file.to_owned()) }
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_group_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.log");
        for _ in 0..2 {
            let (logs, guard) = Logs::start(&config(&file)).unwrap();
            info!(logs.logger, "line");
            drop(guard);
        }
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 2);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777 & !MODE, 0);
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_anew_when_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (file, moved) = (folder.path().join("server.log"), folder.path().join("server.log.1"));
        let (logs, guard) = Logs::start(&config(&file)).unwrap();
        fs::rename(&file, &moved).unwrap();
        info!(logs.logger, "moved along");
        while !fs::read_to_string(&moved).unwrap().contains("moved along") {
            std::thread::yield_now();
        }
        assert_eq!(logs.reopen(), Ok(Some(file.clone())));
        info!(logs.logger, "anew");
        drop(guard);
        assert!(fs::read_to_string(&file).unwrap().contains("anew"));
        assert!(!fs::read_to_string(&moved).unwrap().contains("anew"));
    }

    #[test]
    fn what_cannot_be_opened_anew_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("inner"), folder.path().join("inner/server.log"));
        fs::create_dir(&inner).unwrap();
        let (logs, guard) = Logs::start(&config(&file)).unwrap();
        fs::rename(&inner, folder.path().join("away")).unwrap();
        let why = logs.reopen().unwrap_err();
        assert!(why.starts_with("cannot open the log ") && why.contains("No such file"), "{why}");
        assert!(logs.follow(&config(&folder.path().join("nowhere/log"))).is_err());
        info!(logs.logger, "still here");
        drop(guard);
        assert!(fs::read_to_string(folder.path().join("away/server.log")).unwrap().contains("still here"));
    }

    #[test]
    fn a_pipe_that_nobody_reads_and_a_folder_are_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&pipe, folder.path()] {
            assert!(Logs::start(&config(path)).is_err());
        }
    }
}
