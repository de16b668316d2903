//! What to tell the service manager, as a pure machine: shown how things are, it answers the datagrams (sd_notify(3)).
//!
//! ```text
//!               every application serves, or apologises            a reload begins
//!   Starting ------------------------------------------> Ready <--------------------> Reloading
//!       |              READY=1                             |      READY=1: it is over   |
//!       +------------------------ STOPPING=1 --------------+-----------------------------+--> Stopping
//!
//!   with any of them, and at each change:     STATUS=a line for people
//!   while Starting, Reloading or Stopping:    EXTEND_TIMEOUT_USEC, for as long as it is our own timeouts that bound it
//!   while a quorum of workers beats:          WATCHDOG=1
//! ```
//!
//! Rules
//! * Ready means that clients are answered. An application that cannot be loaded is answered for with 503, and the unit does not
//!   stay `activating` for ever because of it: STATUS says so. `on_broken_start: exit` is for who wants it to fail instead.
//! * A reload is told as one from its start to its end, when no old worker accepts any more or nothing has changed: `systemctl reload` waits for the READY=1 that follows
//!   a RELOADING=1 not older than its own wish, so no two reloads are told as one.
//! * RELOADING=1 and its MONOTONIC_USEC are in one datagram (`Type=notify-reload`).
//! * A quorum is half of the workers that serve: one that hangs is replaced by us, and is no reason to end the others. Where none
//!   serves, what is amiss is not mended by another start.

use std::fmt::Write as _;
use std::time::Duration;

use crate::core::status::{AppState, AppStatus, Outcome, ServerState, Status};

/// How often a longer time is asked for. More often only makes more datagrams.
const EXTEND_EVERY: Duration = Duration::from_secs(10);

/// For how long it is asked each time. Shorter than thrice the above, and a machine under load is killed for a late datagram;
/// longer, and a supervisor that hangs in its start or its end stays for as long.
const EXTENSION: Duration = Duration::from_secs(30);

/// Characters of STATUS. A terminal shows no more in a line of `systemctl status`.
const LINE_MAX: usize = 240;

/// How things are.
#[derive(Debug)]
pub struct View<'a> {
    /// By the core.
    pub status: &'a Status,
    /// By the scoreboards.
    pub beats: Beats,
}

/// How many workers serve, and how many of them show that they live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beats {
    /// Workers that serve.
    pub serving: usize,
    /// Those of them that beat.
    pub beating: usize,
}

impl Beats {
    fn is_quorum(self) -> bool {
        self.beating * 2 >= self.serving
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Starting,
    Ready,
    Reloading,
    Stopping,
}

/// The machine. Its time is that of `CLOCK_MONOTONIC`.
#[derive(Debug)]
pub struct Notify {
    said: Said,
    line: String,
    /// When the reload was over that was told of last.
    ended: Option<Duration>,
    /// When a longer time is asked for next; none while nothing is waited for.
    extend_at: Option<Duration>,
    /// How often the manager wants to hear that we live, and when it does next.
    watchdog: Option<(Duration, Duration)>,
}

impl Notify {
    /// One that has said nothing, for a manager that wants to hear of us at least once in `watchdog`.
    pub fn new(now: Duration, watchdog: Option<Duration>) -> Notify {
        Notify {
            said: Said::Starting,
            line: String::new(),
            ended: None,
            extend_at: Some(now),
            watchdog: watchdog.map(|period| (period, now)),
        }
    }

    /// What there is to say now, each a datagram.
    pub fn look(&mut self, now: Duration, view: &View<'_>) -> Vec<String> {
        let mut told = Vec::new();
        let line = line(view.status);
        self.change(now, view.status, &mut told);
        if self.line != line {
            // With the change that it goes with, if there was one.
            match told.last_mut() {
                Some(last) => *last += &format!("\nSTATUS={line}"),
                None => told.push(format!("STATUS={line}")),
            }
            self.line = line;
        }
        told.extend(self.extension(now, view.status));
        told.extend(self.pulse(now, view.beats));
        told
    }

    /// When [`Notify::look`] has something to say although nothing changed.
    pub fn deadline(&self) -> Option<Duration> {
        self.extend_at.into_iter().chain(self.watchdog.map(|(_, at)| at)).min()
    }

    fn change(&mut self, now: Duration, status: &Status, told: &mut Vec<String>) {
        match status.state {
            ServerState::Lingering | ServerState::Stopping => {
                if self.said != Said::Stopping {
                    self.say(now, Said::Stopping, told);
                }
                return;
            }
            ServerState::Up
            | ServerState::Parked
            | ServerState::Reading
            | ServerState::Binding
            | ServerState::Loading
            | ServerState::Relieving
            | ServerState::Draining => {}
        }
        if self.said == Said::Starting {
            self.ended = status.ended;
            if !status.apps.iter().all(is_up) {
                return;
            }
            self.say(now, Said::Ready, told);
        }
        if self.ended != status.ended {
            self.ended = status.ended;
            // One may have begun and ended since the last look.
            if self.said == Said::Ready {
                self.say(now, Said::Reloading, told);
            }
            self.say(now, Said::Ready, told);
        }
        if self.said == Said::Ready && is_reloading(status.state) {
            self.say(now, Said::Reloading, told);
        }
    }

    fn say(&mut self, now: Duration, what: Said, told: &mut Vec<String>) {
        self.said = what;
        self.extend_at = (what != Said::Ready).then_some(now + EXTEND_EVERY);
        told.push(match what {
            Said::Starting => String::new(),
            Said::Ready => "READY=1".to_owned(),
            // With the first word of it: the manager's time may be shorter than ours to the next.
            Said::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}\n{}", now.as_micros(), longer()),
            Said::Stopping => format!("STOPPING=1\n{}", longer()),
        });
    }

    fn extension(&mut self, now: Duration, status: &Status) -> Option<String> {
        if self.extend_at.is_none_or(|at| now < at) {
            return None;
        }
        self.extend_at = Some(now + EXTEND_EVERY);
        // Where not even an apology can be had (no process can be made), no timeout of ours ends it: the manager's may.
        let is_hopeless = |app: &AppStatus| app.state == AppState::Broken && !is_up(app);
        if self.said == Said::Starting && status.apps.iter().any(is_hopeless) {
            return None;
        }
        Some(longer())
    }

    fn pulse(&mut self, now: Duration, beats: Beats) -> Option<String> {
        let (period, at) = self.watchdog.as_mut()?;
        if now < *at {
            return None;
        }
        let lives = beats.is_quorum();
        // Who missed a beat is looked at sooner, so that a recovery is told before the manager's patience ends.
        *at = now + if lives { *period / 2 } else { *period / 8 };
        lives.then(|| "WATCHDOG=1".to_owned())
    }
}

/// Asks for more time.
fn longer() -> String {
    format!("EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros())
}

fn is_reloading(state: ServerState) -> bool {
    match state {
        ServerState::Reading | ServerState::Binding | ServerState::Loading | ServerState::Relieving => true,
        ServerState::Up
        | ServerState::Parked
        | ServerState::Draining
        | ServerState::Lingering
        | ServerState::Stopping => false,
    }
}

/// Whether clients of an application are answered, as well as can be had.
pub fn is_up(app: &AppStatus) -> bool {
    let is = |state: &str| app.workers.iter().any(|worker| worker.state == state);
    match app.state {
        AppState::Serving => true,
        // Some serve. The others may take their time once one has failed, or when none is on its way.
        AppState::Degraded => app.restarts.unasked() > 0 || !is("booting"),
        AppState::Broken => is("apologising"),
        AppState::Starting => false,
    }
}

/// `serving: 4 of 4 workers, generation 3`, and what is wrong.
fn line(status: &Status) -> String {
    let workers = status.apps.iter().flat_map(|app| &app.workers);
    let serving = workers.filter(|worker| worker.state == "serving").count();
    let all: usize = status.apps.iter().map(|app| app.workers.len()).sum();
    let wanted: usize = status.apps.iter().map(|app| app.wanted).sum();
    let generation = status.generation;
    let begins = status.apps.iter().any(|app| app.state == AppState::Starting);
    let mut line = match status.state {
        ServerState::Lingering => format!("stopping: {serving} workers serve on for timeouts.drain_delay"),
        ServerState::Stopping => format!("stopping: {all} workers finish what they have"),
        ServerState::Parked => "parked: nobody serves until a reload".to_owned(),
        ServerState::Reading | ServerState::Binding | ServerState::Loading => {
            format!("reloading: generation {generation} serves")
        }
        ServerState::Up | ServerState::Relieving | ServerState::Draining if begins => {
            format!("starting: {serving} of {wanted} workers serve")
        }
        ServerState::Up => format!("serving: {serving} of {wanted} workers, generation {generation}"),
        ServerState::Relieving | ServerState::Draining => {
            format!("serving: {serving} of {wanted} workers, generation {generation}, old ones drain")
        }
    };
    for app in status.apps.iter().filter(|app| app.state == AppState::Broken) {
        // Writing to a string cannot fail.
        let answer = if is_up(app) { " and answers 503" } else { "" };
        let _ = write!(line, "; {} cannot be loaded{answer}", app.name);
    }
    if let Some(last) = status.last_reload.as_ref().filter(|last| last.outcome == Outcome::Abandoned) {
        let _ = write!(line, "; the last reload was abandoned: {}", last.why);
    }
    one_line(&line)
}

/// A datagram is lines, so a line must be one.
fn one_line(text: &str) -> String {
    text.chars().take(LINE_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
