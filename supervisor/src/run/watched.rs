//! The loop's part for those who watch: what is seen, shown on `metrics:` and sent to `statsd:`.

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Instant, SystemTime};

use monoceros_shared::config::{App, Config};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use slog::{Logger, warn};

use super::Server;
use super::passage::Origin;
use crate::core::WorkerId;
use crate::effects::now_ms;
use crate::listen::{Bound, cause};
use crate::memory;
use crate::metrics::counts::Counts;
use crate::metrics::endpoint::{self, Endpoint, Watcher};
use crate::metrics::request::Request;
use crate::metrics::{answer, backlog};
use crate::sources::Sources;
use crate::status::{Listening, Report, Seen, Usage, Work};

/// Where those who watch are to connect, as the config says, or as the program before had it.
///
/// # Errors
/// When it cannot be bound and nobody serves yet; else that is a warning.
pub(super) fn door(origin: &mut Origin, config: &Config, log: &Logger) -> Result<Option<Bound>, String> {
    let packed = origin.rest.as_mut().and_then(|rest| rest.endpoint.take());
    let door = match (&packed, &config.metrics) {
        (Some(packed), _) => endpoint::unpack(packed).map(Some).map_err(|error| cause(&error)),
        (None, address) => address.as_ref().map(|address| endpoint::bind(address, None)).transpose(),
    };
    if origin.heritage.is_none() {
        return door;
    }
    Ok(door.unwrap_or_else(|why| {
        warn!(log, "nobody can watch this server"; "why" => why);
        None
    }))
}

/// An endpoint there.
///
/// # Errors
/// One line.
pub(super) fn endpoint(sources: &Sources, door: Option<Bound>, log: &Logger) -> Result<Endpoint, String> {
    let cannot = |error: std::io::Error| format!("cannot watch the listener of `metrics`: {}", cause(&error));
    let mut endpoint = Endpoint::closed(sources.registry().map_err(cannot)?, log);
    door.map_or(Ok(()), |door| endpoint.open(door)).map_err(cannot)?;
    Ok(endpoint)
}

impl Server<'_> {
    /// Answers those who watch.
    pub(super) fn show(&mut self, asked: Vec<(Watcher, Request)>) {
        if asked.is_empty() {
            return;
        }
        let report = self.report();
        for (watcher, request) in asked {
            self.endpoint.answer(watcher, answer::to(&request, &report, SystemTime::now()), Instant::now());
        }
    }

    /// Goes on with those who watch, and sends what is to be sent now.
    pub(super) fn tell_watchers(&mut self, now: Instant) {
        self.endpoint.tick(now);
        let asked = self.endpoint.hear_more(now);
        self.show(asked);
        if self.statsd.is_due(now) {
            let report = self.report();
            self.statsd.send(now, &report);
        }
    }

    /// Is watched from now on as a new config says.
    pub(super) fn follow_watchers(&mut self, config: &Config, door: Option<Bound>) {
        self.statsd.follow(config.statsd.as_ref());
        let opened = match door {
            Some(door) => self.endpoint.open(door),
            None if config.metrics.is_none() => {
                self.endpoint.close();
                Ok(())
            }
            None => Ok(()),
        };
        if let Err(error) = opened {
            warn!(self.log, "nobody can watch this server"; "why" => cause(&error));
        }
    }

    /// How things are.
    pub(super) fn report(&self) -> Report {
        let config = self.source.file.as_ref().map(|file| file.display().to_string());
        Report::new(self.core.status(self.began.elapsed()), config, self)
    }

    fn running(&self, app: &str) -> Option<&App> {
        self.source.config.apps.iter().find(|known| known.name == app)
    }
}

impl Seen for Server<'_> {
    fn work(&self, worker: WorkerId) -> Option<Work> {
        let memory = self.workers.memory(worker)?;
        Some(Work::of(self.workers.scoreboard(worker)?, memory, now_ms()))
    }

    fn counts(&self, app: &str) -> Counts {
        self.workers.counts(app)
    }

    fn listeners(&self, app: &str) -> Vec<Listening> {
        let bound = self.running(app).map(|app| self.listeners.of(app)).unwrap_or_default();
        let backlogs = backlog::of(bound.iter().map(|bound| bound.as_fd()));
        let listening = |bound: &&Bound| Listening {
            address: bound.name.clone(),
            backlog: backlogs.get(&bound.as_fd().as_raw_fd()).copied(),
        };
        bound.iter().map(listening).collect()
    }

    fn usage(&self) -> Usage {
        let times = getrusage(UsageWho::RUSAGE_SELF);
        let cpu = times.map_or(0, |times| (times.user_time() + times.system_time()).num_microseconds());
        Usage {
            started: self.started,
            cpu: cpu as f64 / 1e6,
            memory: memory::resident(std::process::id()),
            logged: self.logs.outlet().logged(),
            descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count().saturating_sub(1) as u64),
        }
    }
}
