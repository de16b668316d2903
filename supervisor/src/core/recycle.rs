//! Replaces workers for their age, their requests or their memory: the replacement first, one at a time.
//!
//! ```text
//!   worn --> a spare boots --Loaded--> the spare serves in its slot; the worn one hands over and drains
//!               | fails: another spare, later; the worn one serves on
//!               | the worn one dies meanwhile: the spare gets its slot
//! ```
//!
//! Rule: while a reload runs or rolls, nobody is recycled: it replaces them all.

use std::time::Duration;

use monoceros_shared::config::Recycle;

use super::backoff::Jitter;
use super::line::Level;
use super::{Core, Now, WorkerId};

/// How much of each limit is left to chance. Less, and workers that were spawned together are replaced together; more, and
/// a limit says little.
const JITTER: f64 = 0.1;

/// When one worker is to be replaced.
#[derive(Debug, Default)]
pub struct Wear {
    at: Option<Now>,
    requests: Option<u64>,
    memory: Option<u64>,
}

impl Wear {
    /// The limits of one worker, each a little off what is set.
    pub fn new(recycle: &Recycle, now: Now, jitter: &mut Jitter) -> Wear {
        let mut off = || 1.0 + JITTER * (2.0 * jitter.fraction() - 1.0);
        Wear {
            at: recycle.age.map(|age| now + age.mul_f64(off())),
            requests: recycle.requests.map(|requests| (requests as f64 * off()).ceil() as u64),
            memory: recycle.memory.map(|memory| (memory as f64 * off()) as u64),
        }
    }

    /// Takes in what the worker has used up.
    pub fn observe(&mut self, requests: u64, memory: u64) {
        let worn = |limit: Option<u64>, used| limit.is_some_and(|limit| used >= limit);
        if worn(self.requests, requests) || worn(self.memory, memory) {
            self.at = Some(Duration::ZERO);
        }
    }

    /// When the worker is worn, as far as that is known.
    pub fn at(&self) -> Option<Now> {
        self.at
    }
}

impl Core {
    pub(super) fn observed(&mut self, worker: WorkerId, requests: u64, memory: u64) {
        if let Some(life) = self.lives.get_mut(&worker) {
            life.wear.observe(requests, memory);
        }
    }

    /// When a spare of an application is to be spawned, and for whom.
    pub(super) fn next_spare(&self, team: usize) -> Option<(Now, WorkerId)> {
        let team = &self.teams[team];
        if self.reload.is_some() || !team.elders.is_empty() || team.spare.boots.is_some() {
            return None;
        }
        let serving = team.occupants().filter(|worker| self.is_serving(*worker));
        let (at, worn) = serving.filter_map(|worker| Some((self.lives[&worker].wear.at()?, worker))).min()?;
        Some((at.max(team.spare.not_before), worn))
    }

    /// Spawns what is due to replace somebody.
    pub(super) fn spawn_spares(&mut self, now: Now) {
        for index in 0..self.teams.len() {
            let Some((_, worn)) = self.next_spare(index).filter(|(at, _)| *at <= now) else {
                continue;
            };
            let line = self.about(worn, Level::Info, "worker is to be recycled");
            self.log(line.with("age", self.lives[&worn].age(now)));
            let spare = self.spawn_for(now, index);
            self.teams[index].spare.boots = Some((spare, worn));
        }
    }

    /// A spare has loaded: it takes the slot of the one that it replaces.
    pub(super) fn swap(&mut self, now: Now, index: usize) {
        let Some((spare, worn)) = self.teams[index].spare.boots.take() else {
            return;
        };
        self.teams[index].spare = Default::default();
        if let Some(slot) = self.teams[index].slot_of(worn) {
            slot.occupy(spare);
        }
        self.serve(now, index, spare);
        self.send_off(now, Some(index), worn);
    }
}
