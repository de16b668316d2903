//! The end of a reload: its new workers serve, and its old ones leave the listeners.
//!
//! ```text
//!   adopted --> Relief --every old worker has left, or is gone or killed--> "reloaded"; who asked is told
//!                  | a worker fails to boot that is to take the place of an old one
//!                  +--> "reload unfinished": who asked is told why; it is tried again, and old workers serve until then
//! ```
//!
//! Rules
//! * Who is told that a generation serves can connect and meets no other: no old worker accepts any more.
//! * It ends, whatever workers do: one that drains is killed at the end of `timeouts.drain`, and one that is killed accepts nothing.
//! * It holds up no other reload: what mends a bad one may have to come while an old worker hangs.

use std::collections::BTreeSet;

use monoceros_shared::link::Failure;

use super::effect::{Answer, Effect};
use super::event::{Asker, Cause};
use super::line::{Level, Line};
use super::worker::Life;
use super::{Core, Now, WorkerId};

/// A reload that was adopted, and is not over.
#[derive(Debug)]
pub struct Relief {
    generation: u64,
    cause: Cause,
    askers: Vec<Asker>,
    /// The old workers that may still accept.
    awaited: BTreeSet<WorkerId>,
}

impl Relief {
    /// Whether somebody waits for it.
    pub fn is_for(&self, asker: Asker) -> bool {
        self.askers.contains(&asker)
    }

    /// How many old workers may still accept.
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }
}

impl Core {
    /// A reload has just been adopted: it is over when the old workers have left.
    pub(super) fn await_relief(&mut self, cause: Cause, askers: Vec<Asker>) {
        let is_old = |worker: &WorkerId, life: &Life| {
            life.accepts() && (!life.is_serving() || self.teams.iter().any(|team| team.elders.contains(worker)))
        };
        let old = self.lives.iter().filter(|(worker, life)| is_old(worker, life)).map(|(worker, _)| *worker);
        let awaited = old.collect();
        self.reliefs.push(Relief { generation: self.generation, cause, askers, awaited });
    }

    /// A worker has left the listeners.
    pub(super) fn left(&mut self, worker: WorkerId) {
        if let Some(life) = self.lives.get_mut(&worker) {
            life.leave();
        }
    }

    /// Ends the reloads whose old workers have left.
    pub(super) fn end_reliefs(&mut self, now: Now) {
        let lives = &self.lives;
        for relief in &mut self.reliefs {
            relief.awaited.retain(|worker| lives.get(worker).is_some_and(Life::accepts));
        }
        for Relief { generation, cause, askers, .. } in self.reliefs.extract_if(.., |one| one.awaited.is_empty()) {
            let line = Line::new(Level::Info, "reloaded").with("generation", generation);
            self.effects.push(Effect::Log(line.with("cause", cause.to_string())));
            for asker in askers {
                let answer = Answer::Done(format!("generation {generation} serves"));
                self.effects.push(Effect::Answer { asker, answer });
            }
            self.ended = Some(now);
        }
    }

    /// A worker has failed to boot that is to serve in a slot of this team: old ones serve on in its place for who knows how long.
    pub(super) fn fail_reliefs(&mut self, now: Now, index: usize, failure: &Failure) {
        let elders = &self.teams[index].elders;
        for relief in self.reliefs.extract_if(.., |one| elders.iter().any(|elder| one.awaited.contains(elder))) {
            let line = Line::new(Level::Error, "reload unfinished").with("generation", relief.generation);
            let line = line.with("cause", relief.cause.to_string()).with("why", failure.why.as_str());
            self.effects
                .push(Effect::Log(line.with("next", "old workers serve beside new ones while it is tried again")));
            for asker in relief.askers {
                let why = format!("generation {} serves beside old workers: {}", relief.generation, failure.why);
                let answer = Answer::Failed { why, detail: failure.detail.clone() };
                self.effects.push(Effect::Answer { asker, answer });
            }
            self.ended = Some(now);
        }
    }
}
