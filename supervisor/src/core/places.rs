//! Where workers belong, who sits where, and what a place does when it is empty.

use std::time::Duration;

use monoceros_shared::link::{Failure, Purpose};

use super::effect::Recruit;
use super::line;
use super::losses::Loss;
use super::plan::Manner;
use super::team::{Apology, Slot};
use super::worker::Life;
use super::{Core, Now, WorkerId};

/// Where a worker belongs; the number is its team's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Slot(usize),
    Spare(usize),
    Apology(usize),
    /// Of the reload; the number is the worker's.
    Squad(WorkerId),
    Elder(usize),
    Nowhere,
}

/// A worker that is gone.
#[derive(Debug)]
pub struct Gone {
    /// Which.
    pub worker: WorkerId,
    /// How long it had served, if it did.
    pub served: Option<Duration>,
    /// What its end is counted as.
    pub loss: Loss,
    /// How it ended, for people.
    pub how: String,
}

impl Core {
    pub(super) fn place_of(&self, worker: WorkerId) -> Place {
        if self.reload.as_ref().is_some_and(|reload| reload.workers().any(|one| one == worker)) {
            return Place::Squad(worker);
        }
        let in_team = |index: usize| {
            let team = &self.teams[index];
            if team.occupants().any(|one| one == worker) {
                Some(Place::Slot(index))
            } else if team.elders.contains(&worker) {
                Some(Place::Elder(index))
            } else if team.spares.workers().any(|one| one == worker) {
                Some(Place::Spare(index))
            } else {
                let apologist = team.apology.as_ref().and_then(|apology| apology.slot.worker());
                (apologist == Some(worker)).then_some(Place::Apology(index))
            }
        };
        (0..self.teams.len()).find_map(in_team).unwrap_or(Place::Nowhere)
    }

    /// Clears the place of a worker that is gone. Answers what comes next, for the log.
    pub(super) fn vacate(&mut self, now: Now, place: Place, gone: Gone) -> String {
        match place {
            Place::Slot(index) => self.vacate_slot(now, index, gone),
            Place::Spare(index) => {
                self.lose(now, index, gone.loss, || gone.how);
                line::next_try(self.spare_is_gone(now, index, gone.worker))
            }
            Place::Apology(index) => {
                let Some(apology) = &mut self.teams[index].apology else { return String::new() };
                let wait = apology.slot.next_pause(gone.served, &mut self.jitter);
                apology.slot.vacate(now + wait);
                line::next_try(wait)
            }
            Place::Elder(index) => {
                self.teams[index].elders.retain(|elder| *elder != gone.worker);
                String::new()
            }
            Place::Squad(_) | Place::Nowhere => String::new(),
        }
    }

    fn vacate_slot(&mut self, now: Now, index: usize, gone: Gone) -> String {
        self.lose(now, index, gone.loss, || gone.how);
        let team = &mut self.teams[index];
        let spare = team.spares.take_for(gone.worker);
        let Some(slot) = team.slot_of(gone.worker) else { return String::new() };
        let wait = slot.next_pause(gone.served, &mut self.jitter);
        if let Some(spare) = spare {
            slot.occupy(spare);
            return "its spare takes its place".into();
        }
        let wait = team.losses.pace(wait, &mut self.jitter);
        if let Some(slot) = team.slot_of(gone.worker) {
            slot.vacate(now + wait);
        }
        line::next_try(wait)
    }

    /// Has 503 answered in the place of an application that never served, with the newest reason for whoever may see it.
    pub(super) fn apologise(&mut self, now: Now, index: usize, failure: &Failure) {
        if self.teams[index].has_served || !self.phase.is_up() {
            return;
        }
        let text = match self.manner {
            Manner::Production => String::new(),
            Manner::Development => format!("{}\n\n{}", failure.why, failure.detail),
        };
        let fresh = || Apology { slot: Slot::default(), text: text.clone() };
        let apology = self.teams[index].apology.get_or_insert_with(fresh);
        // A failure without a traceback tells less than what is shown already.
        if apology.text == text || failure.detail.is_empty() {
            return;
        }
        apology.text = text;
        if let Some(apologist) = apology.slot.clear() {
            self.send_off(now, None, apologist);
        }
    }

    /// Spawns for every place that is empty and due.
    pub(super) fn fill_places(&mut self, now: Now) {
        for index in 0..self.teams.len() {
            while self.has_room(index)
                && let Some(slot) = self.teams[index].due_slot(now)
            {
                // The number that the next worker will have.
                slot.occupy(self.last_worker + 1);
                self.spawn_for(now, index);
            }
            let team = &mut self.teams[index];
            let Some(apology) = &mut team.apology else { continue };
            if apology.slot.retry_at().is_some_and(|at| at <= now) {
                apology.slot.occupy(self.last_worker + 1);
                let purpose = Purpose::Apologise(apology.text.clone());
                let (app, generation) = (team.plan.clone(), team.generation);
                self.spawn_to(now, Recruit { worker: 0, generation, app, purpose, siblings: 1 });
            }
        }
    }

    /// Whether another of a team's workers may boot.
    pub(super) fn has_room(&self, index: usize) -> bool {
        let team = &self.teams[index];
        let booting = team.occupants().filter(|worker| self.lives.get(worker).is_some_and(Life::is_booting));
        team.plan.app.reload.surge.is_none_or(|surge| booting.count() < surge.max(1))
    }
}
