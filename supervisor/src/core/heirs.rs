//! Which worker hands its connections to which, for as long as it drains.
//!
//! ```text
//!   introduce -> (the heir dies) -> introduced to another that serves, or to the next that begins to
//! ```
//!
//! Rule: a worker that drains, and whose heir dies while it does, gets another as soon as there is one. Until then it serves what
//! it has as ever; if none comes in a while it ends its connections by itself (see the worker's `engine::heir`).

use super::effect::Effect;
use super::{Core, WorkerId};

/// What is known of one that hands over.
#[derive(Debug)]
pub(super) struct Heritage {
    pub(super) app: String,
    pub(super) to: Option<WorkerId>,
}

impl Core {
    /// Names an heir to a worker that is about to leave, if its application has one that serves.
    pub(super) fn introduce(&mut self, index: usize, from: WorkerId) {
        let app = self.teams[index].name().to_owned();
        if let Some(to) = self.next_heir(index) {
            self.heirs.insert(from, Heritage { app, to: Some(to) });
            self.effects.push(Effect::Introduce { from, to });
        }
    }

    /// A worker is gone: it hands nothing over any more, and those who handed theirs to it need another heir.
    pub(super) fn disinherit(&mut self, gone: WorkerId) {
        self.heirs.remove(&gone);
        for heritage in self.heirs.values_mut().filter(|heritage| heritage.to == Some(gone)) {
            heritage.to = None;
        }
        (0..self.teams.len()).for_each(|index| self.introduce_orphans(index));
    }

    /// Names another heir to those of an application whose heir is gone, if there is one by now.
    pub(super) fn introduce_orphans(&mut self, index: usize) {
        if !self.phase.is_up() {
            return;
        }
        let name = self.teams[index].name().to_owned();
        let orphaned = |heritage: &Heritage| heritage.app == name && heritage.to.is_none();
        let orphans: Vec<WorkerId> =
            self.heirs.iter().filter(|(_, heritage)| orphaned(heritage)).map(|(from, _)| *from).collect();
        orphans.into_iter().for_each(|from| self.introduce(index, from));
    }

    fn next_heir(&mut self, index: usize) -> Option<WorkerId> {
        let serving = self.serving(index);
        self.teams[index].next_heir(&serving)
    }
}
