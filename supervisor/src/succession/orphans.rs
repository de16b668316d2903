//! Workers that serve though no supervisor lives, as commands see them.

use std::path::Path;
use std::time::{Duration, Instant};

use monoceros_shared::link::adoption;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

use super::state::Place;
use crate::control::place::{self, Lock};
use crate::spawn::Process;

/// How long the slowest drain may take where nobody has written it down: the default of `timeouts.drain`.
const DRAIN: Duration = Duration::from_secs(30);

/// How long workers that end by their own clock may take beyond it.
const GRACE: Duration = Duration::from_secs(2);

/// How often is looked whether all have ended.
const GLANCE: Duration = Duration::from_millis(500);

/// The workers of one server.
pub struct Orphans {
    place: Place,
    workers: Vec<Process>,
}

impl Orphans {
    /// Those of a config file's server; `None` when there are none.
    pub fn of(file: &Path) -> Option<Orphans> {
        let name = place::names(file).ok()?.into_iter().next()?;
        let found = place::folders().into_iter().find_map(|folder| {
            let place = Place { folder, name: name.clone() };
            let worker = |path: &Path| {
                let carrier = adoption::connect(path).ok()?;
                Process::of(adoption::peer(&carrier).ok()?.pid).ok()
            };
            let workers: Vec<Process> = place.workers().iter().filter_map(|(_, path)| worker(path)).collect();
            (!workers.is_empty()).then_some(Orphans { place, workers })
        })?;
        Some(found)
    }

    /// Their processes, for people.
    pub fn pids(&self) -> String {
        let pids: Vec<String> = self.workers.iter().map(|worker| worker.pid().to_string()).collect();
        pids.join(", ")
    }

    /// Has them drain, and waits until they are gone; kills those that take longer than they may.
    ///
    /// # Errors
    /// When a supervisor has come meanwhile.
    pub fn stop(self) -> Result<(), String> {
        let lock = self.place.folder.join(format!("{}.lock", self.place.name));
        let _lock =
            Lock::take(&lock).map_err(|_| "cannot stop the workers: a supervisor has come meanwhile".to_owned())?;
        let drain = self.place.record().ok().and_then(|record| record.legacy.longest_drain()).unwrap_or(DRAIN);
        self.workers.iter().for_each(Process::terminate);
        if !self.wait(drain + GRACE) {
            self.workers.iter().for_each(Process::kill);
            self.wait(GRACE);
        }
        for (_, file) in self.place.workers() {
            // What stays is found stale by the next supervisor.
            let _ = std::fs::remove_file(file);
        }
        let _ = std::fs::remove_file(self.place.state());
        Ok(())
    }

    /// Whether all have ended within this time.
    fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let living: Vec<&Process> = self.workers.iter().filter(|worker| worker.lives()).collect();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(first) = living.first() else { return true };
            if left.is_zero() {
                return false;
            }
            let timeout = PollTimeout::try_from(left.min(GLANCE)).unwrap_or(PollTimeout::MAX);
            // Whatever it says, the processes are looked at again.
            let _ = poll(&mut [PollFd::new(first.as_fd(), PollFlags::POLLIN)], timeout);
        }
    }
}
