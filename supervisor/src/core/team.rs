//! An application's workers, as slots that are filled, vacated, and filled again.
//!
//! ```text
//!   slots     one for each worker that is wanted: of the newest generation that was adopted
//!   elders    workers of older generations that serve until enough slots do
//!   apology   one worker that answers 503 while the application has never served
//!   spares    workers that boot to replace those that are worn or ail, see `spares`
//! ```
//!
//! A slot remembers how its workers fared, so that one that cannot start is tried ever more rarely while its neighbours
//! serve.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use super::losses::Losses;
use super::plan::AppPlan;
use super::spares::Spares;
use super::{Now, WorkerId};

/// An application's workers.
#[derive(Debug)]
pub struct Team {
    /// What the slots' workers run.
    pub plan: AppPlan,
    /// Their generation.
    pub generation: u64,
    /// Whether it was said that the application serves.
    pub announced: bool,
    /// Whether any worker of the application ever served.
    pub has_served: bool,
    /// Workers that had to be replaced.
    pub losses: Losses,
    /// Workers of older generations that still serve, the oldest first.
    pub elders: Vec<WorkerId>,
    /// Who answers 503 while there is nobody else.
    pub apology: Option<Apology>,
    /// Who is to replace workers that serve.
    pub spares: Spares,
    slots: Vec<Slot>,
    introductions: usize,
}

/// A place for one worker.
#[derive(Debug, Default)]
pub struct Slot {
    occupant: Occupant,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq)]
enum Occupant {
    Worker(WorkerId),
    NoneUntil(Now),
}

impl Default for Occupant {
    fn default() -> Occupant {
        Occupant::NoneUntil(Duration::ZERO)
    }
}

/// The place of the worker that apologises.
#[derive(Debug)]
pub struct Apology {
    /// Its place.
    pub slot: Slot,
    /// What it answers with.
    pub text: String,
}

impl Team {
    /// Slots that are all due at once.
    pub fn new(plan: AppPlan, generation: u64, wanted: usize) -> Team {
        Team {
            plan,
            generation,
            announced: false,
            has_served: false,
            losses: Losses::default(),
            elders: Vec::new(),
            apology: None,
            spares: Spares::default(),
            slots: (0..wanted).map(|_| Slot::default()).collect(),
            introductions: 0,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.plan.name()
    }

    /// How many workers are to serve.
    pub fn wanted(&self) -> usize {
        self.slots.len()
    }

    /// The workers in its slots.
    pub fn occupants(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.slots.iter().filter_map(Slot::worker)
    }

    /// All its workers lose their places, and its slots are due at once.
    pub fn clear(&mut self) {
        self.elders.clear();
        self.apology = None;
        self.spares = Spares::default();
        self.slots.iter_mut().for_each(|slot| *slot = Slot::default());
    }

    /// A slot that is to be filled now.
    pub fn due_slot(&mut self, now: Now) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.retry_at().is_some_and(|at| at <= now))
    }

    /// When a slot is to be filled next.
    pub fn next_retry(&self) -> Option<Now> {
        self.slots.iter().filter_map(Slot::retry_at).min()
    }

    /// The slot of a worker.
    pub fn slot_of(&mut self, worker: WorkerId) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.worker() == Some(worker))
    }

    /// Puts workers into its empty slots; those that find none are given back.
    pub fn seat(&mut self, mut workers: Vec<WorkerId>) -> Vec<WorkerId> {
        let surplus = workers.split_off(workers.len().min(self.slots.len()));
        for (slot, worker) in self.slots.iter_mut().zip(workers) {
            slot.occupy(worker);
        }
        surplus
    }

    /// Puts a worker into an empty slot, if there is one.
    pub fn sit(&mut self, worker: WorkerId) -> bool {
        let slot = self.slots.iter_mut().find(|slot| slot.worker().is_none());
        slot.map(|slot| slot.occupy(worker)).is_some()
    }

    /// Adds slots that are due at once.
    pub fn grow(&mut self, wanted: usize) {
        while self.slots.len() < wanted {
            self.slots.push(Slot::default());
        }
    }

    /// Takes slots away: empty ones first, then those of the workers that `rank` puts first. Their workers are given back.
    pub fn shrink(&mut self, wanted: usize, rank: impl Fn(WorkerId) -> (u8, u64)) -> Vec<WorkerId> {
        self.slots.sort_by_key(|slot| std::cmp::Reverse(slot.worker().map_or((0, 0), &rank)));
        let surplus = self.slots.split_off(wanted.min(self.slots.len()));
        surplus.iter().filter_map(Slot::worker).collect()
    }

    /// Which of some workers is the next to be introduced to one that leaves: each in its turn.
    pub fn next_heir(&mut self, of: &[WorkerId]) -> Option<WorkerId> {
        self.introductions = self.introductions.wrapping_add(1);
        of.get(self.introductions.checked_rem(of.len())?).copied()
    }
}

impl Slot {
    /// The worker that is spawned for it.
    pub fn occupy(&mut self, worker: WorkerId) {
        self.occupant = Occupant::Worker(worker);
    }

    /// How long it is to stay empty, after a worker that served this long, if it did.
    pub fn next_pause(&mut self, served: Option<Duration>, jitter: &mut Jitter) -> Duration {
        self.backoff.next(served, jitter)
    }

    /// Its worker is gone, and the next is due then.
    pub fn vacate(&mut self, until: Now) {
        self.occupant = Occupant::NoneUntil(until);
    }

    /// Its worker goes elsewhere, and the slot is due; one that is empty stays as it is.
    pub fn clear(&mut self) -> Option<WorkerId> {
        let worker = self.worker()?;
        self.occupant = Occupant::default();
        Some(worker)
    }

    /// Who is in it.
    pub fn worker(&self) -> Option<WorkerId> {
        match self.occupant {
            Occupant::Worker(worker) => Some(worker),
            Occupant::NoneUntil(_) => None,
        }
    }

    /// When it is to be filled, if it is empty.
    pub fn retry_at(&self) -> Option<Now> {
        match self.occupant {
            Occupant::NoneUntil(at) => Some(at),
            Occupant::Worker(_) => None,
        }
    }
}
