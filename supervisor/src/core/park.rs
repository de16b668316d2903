//! A server without workers, whose listeners stay.
//!
//! ```text
//!   Up --WINCH--> Parked --a reload is adopted, or abandoned--> Up
//!                   | TERM, INT
//!                   v
//!                Draining, Quitting
//! ```
//!
//! Every worker drains and none is replaced. Whoever connects waits in the backlog. The next reload brings workers back: new ones if
//! it succeeds, and else those of the config that there is. Only a person's wish (HUP, `supervisor reload`) does, not a file that changes.
//!
//! Known fault: what waits in the backlog when a parked server is stopped is refused.

use super::effect::{Answer, Effect};
use super::event::{Asker, Cause};
use super::line::{Level, Line};
use super::worker::Happening;
use super::{Core, Now, Phase};

/// What is answered to wishes that need workers.
pub(super) const PARKED: &str = "the workers were drained by WINCH: reload first";

impl Core {
    /// Lets all workers go.
    pub(super) fn park(&mut self, now: Now, asker: Option<Asker>) {
        let is_stopping = !matches!(self.phase, Phase::Up | Phase::Parked);
        if is_stopping {
            return self.refuse(asker, "the server is stopping");
        }
        if let Some(asker) = asker {
            self.effects.push(Effect::Answer { asker, answer: Answer::Done("parked".into()) });
        }
        if self.phase == Phase::Parked {
            return;
        }
        self.abandon_all(now, PARKED);
        self.refuse_scalings(PARKED);
        self.abandon_upgrade(PARKED);
        self.phase = Phase::Parked;
        let line =
            Line::new(Level::Info, "parked: workers drain and the listeners stay").with("workers", self.lives.len());
        self.log(line.with("next", "a reload brings workers back"));
        for team in &mut self.teams {
            team.clear();
        }
        for worker in self.lives.keys().copied().collect::<Vec<_>>() {
            self.step(now, worker, Happening::Drain);
        }
    }

    /// A reload is over: there are workers again.
    pub(super) fn unpark(&mut self) {
        if self.phase == Phase::Parked {
            self.phase = Phase::Up;
            self.log(Line::new(Level::Info, "not parked any more"));
        }
    }

    /// Whether a reload for this cause may begin.
    pub(super) fn may_reload(&self, cause: &Cause) -> Result<(), &'static str> {
        match (self.phase, cause) {
            (Phase::Up, _) | (Phase::Parked, Cause::Signal | Cause::Command | Cause::Upgraded) => Ok(()),
            (Phase::Parked, Cause::FileChanged | Cause::CodeChanged { .. }) => Err(PARKED),
            (Phase::Lingering { .. } | Phase::Draining | Phase::Quitting | Phase::Gone, _) => {
                Err("the server is stopping")
            }
        }
    }

    /// A terminal sends WINCH at every resize, to a server that is being tried out.
    pub(super) fn resized(&mut self) {
        if !std::mem::replace(&mut self.was_resized, true) {
            let line = Line::new(Level::Info, "signal ignored: a terminal sends it at every resize");
            self.log(line.with("signal", "WINCH"));
        }
    }
}
