//! How far a wish is, for whoever waits for it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Asker;
use super::reload::Stage;
use super::upgrade::Upgrade;
use super::worker::Life;
use super::{Core, Phase};

/// How far a wish is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is done just now.
    pub step: Step,
    /// How many it is done with; of those that leave, how many are still there.
    pub count: usize,
    /// How many there are in all, where that is known.
    pub of: Option<usize>,
}

/// What is done for a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Another reload runs.
    Waiting,
    /// Too many old generations drain for another one to begin.
    Crowded,
    /// The file is read.
    Reading,
    /// New listeners are bound.
    Binding,
    /// New workers load.
    Loading,
    /// New workers serve, and old ones have not left the listeners.
    Relieving,
    /// Another program is asked whether it can take over.
    Preflight,
    /// More workers are to serve, or fewer.
    Scaling,
    /// Workers serve on for `timeouts.drain_delay`.
    Lingering,
    /// Workers drain.
    Draining,
    /// Workers end.
    Quitting,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        match (self.step, self.of) {
            (Step::Waiting, _) => f.write_str("waiting for the reload that runs"),
            (Step::Crowded, _) => write!(f, "waiting: {count} old generations drain"),
            (Step::Reading, _) => f.write_str("reading the file"),
            (Step::Binding, _) => f.write_str("binding new listeners"),
            (Step::Loading, of) => write!(f, "loading: {}", part(count, of)),
            (Step::Relieving, _) => {
                write!(f, "relieving: {count} old {} left", if count == 1 { "worker" } else { "workers" })
            }
            (Step::Preflight, _) => f.write_str("asking the new program whether it can take over"),
            (Step::Scaling, of) => write!(f, "scaling: {} serve", part(count, of)),
            (Step::Lingering, _) => write!(f, "serving on for timeouts.drain_delay: {}", part(count, None)),
            (Step::Draining, _) => write!(f, "draining: {} left", part(count, None)),
            (Step::Quitting, _) => write!(f, "quitting: {} left", part(count, None)),
        }
    }
}

fn part(count: usize, of: Option<usize>) -> String {
    let workers = if of.unwrap_or(count) == 1 { "worker" } else { "workers" };
    match of {
        Some(of) => format!("{count} of {of} {workers}"),
        None => format!("{count} {workers}"),
    }
}

impl Core {
    /// How far the wish is that somebody waits for; `None` when it is over.
    pub fn progress(&self, asker: Asker) -> Option<Progress> {
        let bare = |step| Some(Progress { step, count: 0, of: None });
        if let Some(reload) = self.reload.as_ref().filter(|reload| reload.is_for(asker)) {
            return match &reload.stage {
                Stage::Reading => bare(Step::Reading),
                Stage::Binding(..) => bare(Step::Binding),
                Stage::Loading(..) => {
                    let loaded = |worker: &u64| self.lives.get(worker).is_some_and(Life::is_loaded);
                    let count = reload.workers().filter(loaded).count();
                    Some(Progress { step: Step::Loading, count, of: Some(reload.workers().count()) })
                }
            };
        }
        if let Some(relief) = self.reliefs.iter().find(|relief| relief.is_for(asker)) {
            return Some(Progress { step: Step::Relieving, count: relief.awaited(), of: None });
        }
        if self.waiting.as_ref().is_some_and(|waiting| waiting.is_for(asker)) {
            let generations = self.lives.values().filter(|life| life.is_draining()).map(|life| life.generation);
            let count = generations.collect::<BTreeSet<_>>().len();
            let step = if self.reload.is_some() { Step::Waiting } else { Step::Crowded };
            return Some(Progress { step, count, of: None });
        }
        if let Some(step) = self.upgrade.as_ref().filter(|upgrade| upgrade.is_for(asker)).map(Upgrade::step) {
            return bare(step);
        }
        if let Some(scaling) = self.scalings.iter().find(|scaling| scaling.asker == asker) {
            let teams =
                (0..self.teams.len()).filter(|index| scaling.apps.iter().any(|app| app == self.teams[*index].name()));
            let each = teams.map(|index| (self.serving(index).len(), self.teams[index].wanted()));
            let (count, of) = each.fold((0, 0), |(count, of), (serving, wanted)| (count + serving, of + wanted));
            return Some(Progress { step: Step::Scaling, count, of: Some(of) });
        }
        self.stop_askers.contains(&asker).then(|| self.leaving()).flatten()
    }

    fn leaving(&self) -> Option<Progress> {
        let step = match self.phase {
            Phase::Up | Phase::Parked | Phase::Gone => return None,
            Phase::Lingering { .. } => Step::Lingering,
            Phase::Draining => Step::Draining,
            Phase::Quitting => Step::Quitting,
        };
        Some(Progress { step, count: self.lives.len(), of: None })
    }
}
