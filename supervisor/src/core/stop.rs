//! The end of the server.
//!
//! ```text
//!   Up --Graceful--> Lingering --Graceful, drain_delay is over--> Draining --any--> Quitting --the last worker exits--> Gone
//!    |                   | Quick                                                       ^
//!    +--Quick------------+-------------------------------------------------------------+
//! ```
//!
//! While it lingers it serves as ever, for a load balancer that has not heard yet, and replaces what dies; but it takes no
//! wishes any more.

use std::time::Duration;

use monoceros_shared::exit;

use super::effect::{Answer, Effect};
use super::event::{Asker, Stop};
use super::line::{Level, Line};
use super::worker::Happening;
use super::{Core, Now, Phase};

impl Core {
    pub(super) fn want_stop(&mut self, now: Now, stop: Stop, asker: Option<Asker>) {
        self.stop_askers.extend(asker);
        match (self.phase, stop) {
            (Phase::Up, Stop::Graceful) => self.linger(now),
            (Phase::Parked | Phase::Lingering { .. }, Stop::Graceful) => self.leave(now, Phase::Draining),
            (Phase::Up | Phase::Parked | Phase::Lingering { .. }, Stop::Quick)
            | (Phase::Draining, Stop::Graceful | Stop::Quick) => {
                self.leave(now, Phase::Quitting);
            }
            (Phase::Quitting | Phase::Gone, Stop::Graceful | Stop::Quick) => {}
        }
    }

    /// Serves on for as long as the application that asks for the longest delay.
    fn linger(&mut self, now: Now) {
        self.end_wishes(now);
        let delay = self.teams.iter().map(|team| team.plan.app.timeouts.drain_delay).max().unwrap_or_default();
        if delay == Duration::ZERO {
            return self.leave(now, Phase::Draining);
        }
        self.phase = Phase::Lingering { until: now + delay };
        self.log(Line::new(Level::Info, "stopping: workers serve on for timeouts.drain_delay").with("delay", delay));
    }

    /// Time has passed: is the delay over?
    pub(super) fn linger_on(&mut self, now: Now) {
        if let Phase::Lingering { until } = self.phase
            && until <= now
        {
            self.leave(now, Phase::Draining);
        }
    }

    /// Closes the listeners and lets all workers go.
    fn leave(&mut self, now: Now, phase: Phase) {
        self.end_wishes(now);
        self.phase = phase;
        let (message, happening) = match phase {
            Phase::Draining => ("stopping: workers drain", Happening::Drain),
            Phase::Up | Phase::Parked | Phase::Lingering { .. } | Phase::Quitting | Phase::Gone => {
                ("stopping: workers quit", Happening::Quit)
            }
        };
        self.log(Line::new(Level::Info, message).with("workers", self.lives.len()));
        self.bound.clear();
        self.effects.push(Effect::CloseListeners);
        for worker in self.lives.keys().copied().collect::<Vec<_>>() {
            self.step(now, worker, happening);
        }
    }

    /// An application that must not fail at the start has failed.
    pub(super) fn give_up(&mut self, now: Now, app: &str) {
        let line = Line::new(Level::Error, "stopping: an application cannot be loaded").with("app", app);
        self.log(line.with("why", "on_broken_start is exit"));
        self.exit_status = exit::FAILED;
        self.leave(now, Phase::Quitting);
    }

    fn end_wishes(&mut self, now: Now) {
        self.abandon_all(now, "the server is stopping");
        self.refuse_scalings("the server is stopping");
        self.abandon_upgrade("the server is stopping");
    }

    pub(super) fn exit_when_gone(&mut self) {
        if !self.lives.is_empty() || !matches!(self.phase, Phase::Draining | Phase::Quitting) {
            return;
        }
        self.phase = Phase::Gone;
        self.log(Line::new(Level::Info, "stopped"));
        for asker in std::mem::take(&mut self.stop_askers) {
            self.effects.push(Effect::Answer { asker, answer: Answer::Done("stopped".into()) });
        }
        self.effects.push(Effect::Exit(self.exit_status));
    }
}
