//! Workers that replace others which still serve: the replacement first.
//!
//! ```text
//!   worn, stuck or silent --> a spare boots --Loaded--> it serves in the slot; the other hands over and drains
//!                                | fails: another spare, later; the other serves on
//!                                | the other dies meanwhile: the spare gets its slot
//! ```
//!
//! Rules
//! * Who is worn waits: one at a time, and not while a reload runs or rolls, which replaces them all.
//! * Who ails does not: all at once, up to `reload.surge`, for each of them is capacity that is missing.
//! * Nobody is sent off for an ailment before another serves in his place: some of his threads may be well.

use super::ailing::Ailment;
use super::backoff::Backoff;
use super::line::Level;
use super::losses::Loss;
use super::worker::Life;
use super::{Core, Now, WorkerId};

/// An application's spares.
#[derive(Debug, Default)]
pub struct Spares {
    boots: Vec<Spare>,
    /// When the next may be tried.
    not_before: Now,
    /// How the last ones fared.
    backoff: Backoff,
}

/// A worker that boots to replace another.
#[derive(Clone, Copy, Debug)]
pub struct Spare {
    /// Itself.
    pub worker: WorkerId,
    /// Whom it replaces.
    pub instead_of: WorkerId,
    /// Why.
    pub loss: Loss,
}

impl Spares {
    /// Themselves.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.boots.iter().map(|spare| spare.worker)
    }

    /// Who is to replace this worker leaves the spares.
    pub fn take_for(&mut self, instead_of: WorkerId) -> Option<WorkerId> {
        let at = self.boots.iter().position(|spare| spare.instead_of == instead_of)?;
        Some(self.boots.remove(at).worker)
    }

    fn take(&mut self, worker: WorkerId) -> Option<Spare> {
        let at = self.boots.iter().position(|spare| spare.worker == worker)?;
        Some(self.boots.remove(at))
    }

    /// All of them leave.
    pub fn clear(&mut self) -> Vec<WorkerId> {
        std::mem::take(&mut self.boots).into_iter().map(|spare| spare.worker).collect()
    }

    fn replaces(&self, worker: WorkerId) -> bool {
        self.boots.iter().any(|spare| spare.instead_of == worker)
    }
}

impl Core {
    /// When a spare of an application is to be spawned, for whom and why.
    pub(super) fn next_spare(&self, index: usize) -> Option<(Now, WorkerId, Loss)> {
        let team = &self.teams[index];
        let not_before = |at: Now| at.max(team.spares.not_before);
        let lives = team.occupants().filter(|worker| self.is_serving(*worker) && !team.spares.replaces(*worker));
        let lives: Vec<(WorkerId, &Life)> = lives.map(|worker| (worker, &self.lives[&worker])).collect();
        let ailing = lives.iter().filter(|(_, life)| life.health.ailment().is_some());
        let ailing = ailing.min_by_key(|(_, life)| life.health.stays_until);
        let surge = team.plan.app.reload.surge.unwrap_or(usize::MAX).max(1);
        if let Some((worker, life)) = ailing.filter(|_| team.spares.boots.len() < surge) {
            let loss = life.health.ailment().map_or(Loss::Stuck, Ailment::loss);
            return Some((not_before(life.health.stays_until), *worker, loss));
        }
        if self.reload.is_some() || !team.elders.is_empty() || !team.spares.boots.is_empty() {
            return None;
        }
        let (at, worn) = lives.iter().filter_map(|(worker, life)| Some((life.wear.at()?, *worker))).min()?;
        Some((not_before(at), worn, Loss::Recycled))
    }

    /// Spawns what is due to replace somebody.
    pub(super) fn spawn_spares(&mut self, now: Now) {
        for index in 0..self.teams.len() {
            while let Some((_, instead_of, loss)) = self.next_spare(index).filter(|(at, ..)| *at <= now) {
                if loss == Loss::Recycled {
                    let line = self.about(instead_of, Level::Info, "worker is to be recycled");
                    self.log(line.with("age", self.lives[&instead_of].age(now)));
                }
                let worker = self.spawn_for(now, index);
                self.teams[index].spares.boots.push(Spare { worker, instead_of, loss });
            }
        }
    }

    /// A spare has loaded: it takes the slot of the one that it replaces.
    pub(super) fn swap(&mut self, now: Now, index: usize, worker: WorkerId) {
        let spares = &mut self.teams[index].spares;
        let Some(Spare { instead_of, loss, .. }) = spares.take(worker) else {
            return;
        };
        spares.backoff = Backoff::default();
        self.lose(now, index, loss, || format!("worker {instead_of} was {}", loss.word()));
        let team = &mut self.teams[index];
        team.spares.not_before = now;
        // While too many are lost, who ails is replaced as slowly as who dies.
        if let Some(life) = self.lives.get_mut(&worker) {
            life.health.stays_until = now + team.losses.pace(Now::ZERO, &mut self.jitter);
        }
        if let Some(slot) = team.slot_of(instead_of) {
            slot.occupy(worker);
        }
        self.serve(now, index, worker);
        self.send_off(now, Some(index), instead_of);
    }

    /// A spare is gone. Answers how long the next one waits.
    pub(super) fn spare_is_gone(&mut self, now: Now, index: usize, worker: WorkerId) -> Now {
        let team = &mut self.teams[index];
        team.spares.take(worker);
        let wait = team.spares.backoff.next(None, &mut self.jitter);
        let wait = team.losses.pace(wait, &mut self.jitter);
        team.spares.not_before = now + wait;
        wait
    }
}
