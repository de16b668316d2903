//! An application's workers, as slots that are filled, vacated, and filled again.
//!
//! A slot is a place for one worker. It remembers how its workers fared, so that one that cannot start is tried ever
//! more rarely while its neighbours serve.

use std::time::Duration;

use super::backoff::{Backoff, Jitter};
use super::plan::AppPlan;
use super::{Now, WorkerId};

/// An application's slots.
#[derive(Debug)]
pub struct Team {
    /// What is to run.
    pub plan: AppPlan,
    /// Whether it was said that the application serves.
    pub announced: bool,
    slots: Vec<Slot>,
}

/// A place for one worker.
#[derive(Debug)]
pub struct Slot {
    occupant: Occupant,
    backoff: Backoff,
}

#[derive(Debug, PartialEq, Eq)]
enum Occupant {
    Worker(WorkerId),
    NoneUntil(Now),
}

impl Team {
    /// Slots that are all due at once.
    pub fn new(plan: AppPlan) -> Team {
        let slot = || Slot { occupant: Occupant::NoneUntil(Duration::ZERO), backoff: Backoff::default() };
        let slots = (0..plan.app.workers).map(|_| slot()).collect();
        Team { plan, announced: false, slots }
    }

    /// A slot that is to be filled now.
    pub fn due_slot(&mut self, now: Now) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.retry_at().is_some_and(|at| at <= now))
    }

    /// When a slot is to be filled next.
    pub fn next_retry(&self) -> Option<Now> {
        self.slots.iter().filter_map(Slot::retry_at).min()
    }

    /// A worker is gone that served this long, if it did. Answers how long its slot stays empty.
    pub fn vacate(&mut self, worker: WorkerId, now: Now, served: Option<Duration>, jitter: &mut Jitter) -> Duration {
        let slot = self.slots.iter_mut().find(|slot| slot.occupant == Occupant::Worker(worker));
        slot.map_or(Duration::ZERO, |slot| {
            let wait = slot.backoff.next(served, jitter);
            slot.occupant = Occupant::NoneUntil(now + wait);
            wait
        })
    }
}

impl Slot {
    /// The worker that is spawned for it.
    pub fn occupy(&mut self, worker: WorkerId) {
        self.occupant = Occupant::Worker(worker);
    }

    fn retry_at(&self) -> Option<Now> {
        match self.occupant {
            Occupant::NoneUntil(at) => Some(at),
            Occupant::Worker(_) => None,
        }
    }
}
