//! An upgrade: another program takes over in this one's process, with all that there is.
//!
//! ```text
//!   wish --> Waiting --no reload runs--> Preflight --it can--> Succeed: nothing more happens here
//!               |                           | it cannot, it takes too long, the server stops
//!               +---------------------------+--> abandoned: nothing has changed
//! ```
//!
//! Rules
//! * No reload begins meanwhile. One that was wanted meanwhile is refused at the end: the next supervisor reloads everything.
//! * What the next supervisor cannot know of is answered before it comes.
//! * If it cannot go on after all, it is this program that does, by its legacy: then too nobody is served by less than before.

use std::time::Duration;

use super::effect::{Answer, Effect};
use super::event::Asker;
use super::line::{Level, Line, span};
use super::park::PARKED;
use super::progress::Step;
use super::{Core, Now, Phase};

/// How long the next supervisor may take to say that it can take over: it reads a file and starts a worker that says its
/// version. Less fails on a busy machine, more keeps reloads waiting for one that hangs.
const PREFLIGHT: Duration = Duration::from_secs(10);

/// An upgrade that is under way.
#[derive(Debug)]
pub struct Upgrade {
    askers: Vec<Asker>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A reload is not over.
    Waiting,
    /// The next supervisor is asked.
    Preflight {
        /// For so long.
        until: Now,
    },
}

impl Upgrade {
    /// Whether somebody waits for it.
    pub fn is_for(&self, asker: Asker) -> bool {
        self.askers.contains(&asker)
    }

    /// What is done for it.
    pub fn step(&self) -> Step {
        match self.stage {
            Stage::Waiting => Step::Waiting,
            Stage::Preflight { .. } => Step::Preflight,
        }
    }
}

impl Core {
    pub(super) fn want_upgrade(&mut self, asker: Option<Asker>) {
        match self.phase {
            Phase::Up => {}
            Phase::Parked => return self.refuse(asker, PARKED),
            Phase::Lingering { .. } | Phase::Draining | Phase::Quitting | Phase::Gone => {
                return self.refuse(asker, "the server is stopping");
            }
        }
        let upgrade = self.upgrade.get_or_insert_with(|| Upgrade { askers: Vec::new(), stage: Stage::Waiting });
        upgrade.askers.extend(asker);
    }

    pub(super) fn begin_upgrade(&mut self, now: Now) {
        let reloads = self.reloads() || !self.reliefs.is_empty();
        if let Some(Upgrade { stage: stage @ Stage::Waiting, .. }) = &mut self.upgrade
            && !reloads
        {
            *stage = Stage::Preflight { until: now + PREFLIGHT };
            self.log(Line::new(Level::Info, "upgrading"));
            self.effects.push(Effect::Preflight);
        }
    }

    /// When the next supervisor must have answered.
    pub(super) fn upgrade_until(&self) -> Option<Now> {
        match self.upgrade.as_ref()?.stage {
            Stage::Waiting => None,
            Stage::Preflight { until } => Some(until),
        }
    }

    pub(super) fn upgrade_overdue(&mut self, now: Now) {
        if self.upgrade_until().is_some_and(|until| until <= now) {
            self.abandon_upgrade(&format!("the new supervisor has not answered within {}", span(PREFLIGHT)));
        }
    }

    pub(super) fn preflown(&mut self, said: Result<(), String>) {
        // It may have been given up meanwhile.
        let Some(Upgrade { stage: Stage::Preflight { .. }, .. }) = &self.upgrade else {
            return;
        };
        match said {
            Err(why) => self.abandon_upgrade(&why),
            Ok(()) => {
                let askers = self.upgrade.take().map(|upgrade| upgrade.askers).unwrap_or_default();
                let why = "the supervisor is being upgraded, which reloads every application";
                self.refuse_waiting(why);
                self.refuse_scalings(why);
                self.effects.push(Effect::Succeed { askers });
            }
        }
    }

    /// Ends an upgrade as if it had never been.
    pub(super) fn abandon_upgrade(&mut self, why: &str) {
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        if let Stage::Preflight { .. } = upgrade.stage {
            self.effects.push(Effect::EndPreflight);
        }
        let line = Line::new(Level::Error, "upgrade abandoned").with("why", why);
        self.log(line.with("next", "this supervisor goes on"));
        for asker in upgrade.askers {
            let answer = Answer::Failed { why: format!("upgrade abandoned: {why}"), detail: String::new() };
            self.effects.push(Effect::Answer { asker, answer });
        }
    }
}
