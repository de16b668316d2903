//! Supervisors come and go: killed at any moment, with what they wrote down or without; or upgraded, with all that there is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monoceros_shared::config::Listener;
use monoceros_shared::link::adoption::{self, Kinship};

use super::super::event::{Asker, Cause, Event, Exit, LastSeen, Wish};
use super::super::legacy::{Found, Legacy, Remains};
use super::super::plan::Plan;
use super::super::{Answer, Core, WorkerId};
use super::{Doing, Turn, World};

/// How long nobody attends to the workers, at the longest.
const VACANCY: Duration = Duration::from_secs(5);

/// What is left of what a supervisor wrote down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    Kept,
    Lost,
}

impl World {
    /// The supervisor is killed.
    pub fn kill_supervisor(&mut self, writing: Writing) {
        if self.vacant || self.exited.is_some() {
            return;
        }
        let legacy = if writing == Writing::Kept { self.written() } else { Legacy::default() };
        self.vacant = true;
        self.end_unserved();
        self.forget_what_was_to_be_told();
        for answer in self.answers.values_mut().filter(|answer| answer.is_none()) {
            *answer = Some(Answer::Failed { why: "the supervisor is gone".into(), detail: String::new() });
        }
        let vacancy = self.dice.until(VACANCY);
        self.after(vacancy, Turn::Succeed(Box::new(legacy)));
    }

    /// Another supervisor is started.
    pub fn succeed(&mut self, legacy: Legacy) {
        let Ok(plan) = self.file.clone() else {
            // It says what is wrong with the file, and exits.
            return self.after(Duration::from_secs(1), Turn::Succeed(Box::new(legacy)));
        };
        let is_lost = legacy.apps.is_empty();
        let found =
            self.found(|doing| if is_lost || *doing == Doing::Hanging { Kinship::Stranger } else { Kinship::Kin });
        let mut bound: BTreeMap<_, Listener> =
            legacy.bound.iter().map(|one| (one.address.clone(), one.clone())).collect();
        let needed = if is_lost { plan.listeners().into_values().collect() } else { legacy.needs() };
        bound.extend(needed.into_iter().map(|one| (one.address.clone(), one)));
        let differs = !is_lost && !legacy.is_of(&plan);
        self.stopped = None;
        self.told.forget(is_lost);
        self.processes.values_mut().for_each(|process| process.unknown |= is_lost);
        let remains = Remains { legacy, found, bound: bound.into_values().collect() };
        self.resume(&plan, &remains);
        if differs {
            self.tell(Event::Wanted { wish: Wish::Reload { cause: Cause::FileChanged }, asker: None });
        }
    }

    /// The supervisor is upgraded, or comes back.
    pub fn upgrade(&mut self, askers: Vec<Asker>) {
        let legacy = self.written();
        let plan =
            Plan { apps: self.core.teams.iter().map(|team| team.plan.clone()).collect(), manner: self.core.manner };
        self.end_unserved();
        for (worker, process) in &mut self.processes {
            if !legacy.workers.contains_key(worker) {
                process.doing = Doing::Dead;
            }
        }
        self.forget_what_was_to_be_told();
        let mut found = self.found(|_| Kinship::Kin);
        for (worker, found) in &mut found {
            let leaves = matches!(legacy.workers[worker].place, super::super::legacy::Seat::Leaving { .. });
            if leaves {
                found.doing = adoption::Doing::Draining;
            }
        }
        let bound = legacy.bound.clone();
        self.resume(&plan, &Remains { legacy, found, bound });
        if self.mischief() {
            for asker in askers {
                let failed = Answer::Failed { why: "upgrade abandoned".into(), detail: String::new() };
                assert!(self.answers.insert(asker, Some(failed)).is_some_and(|answer| answer.is_none()));
            }
            return;
        }
        let askers = if askers.is_empty() { vec![None] } else { askers.into_iter().map(Some).collect() };
        for asker in askers {
            asker.map(|asker| self.answers.remove(&asker));
            self.tell(Event::Wanted { wish: Wish::Reload { cause: Cause::Upgraded }, asker });
        }
    }

    fn resume(&mut self, plan: &Plan, remains: &Remains) {
        for (worker, found) in &remains.found {
            let process = self.processes.get_mut(worker).unwrap();
            process.killed = false;
            process.appointed = found.doing != adoption::Doing::Draining;
        }
        self.bound = remains.bound.iter().map(|listener| listener.address.clone()).collect();
        self.core = Core::resume(plan, remains, self.now, self.story.seed);
        self.vacant = false;
        self.bury_the_unknown();
        self.tell(Event::Start);
        // Each says again what may not have been heard.
        let left = remains.found.keys().copied().filter(|worker| self.processes[worker].left);
        for worker in left.collect::<Vec<_>>() {
            self.tell(Event::Left { worker });
        }
    }

    fn written(&self) -> Legacy {
        serde_json::from_slice(&serde_json::to_vec(&self.core.legacy()).unwrap()).unwrap()
    }

    fn found(&self, kinship: impl Fn(&Doing) -> Kinship) -> BTreeMap<WorkerId, Found> {
        let living = self.processes.iter().filter(|(_, process)| process.served && process.doing != Doing::Dead);
        let found = living.map(|(worker, process)| {
            let doing = match process.doing {
                Doing::Leaving => adoption::Doing::Draining,
                _ if process.apologises() => adoption::Doing::Apologising,
                _ => adoption::Doing::Serving,
            };
            let (app, generation) = (process.app().to_owned(), process.recruit.generation);
            let kinship = kinship(&process.doing);
            (*worker, Found { pid: *worker as u32, app, generation, doing, kinship })
        });
        found.collect()
    }

    /// A worker that was never told to serve ends with its supervisor.
    fn end_unserved(&mut self) {
        for process in self.processes.values_mut() {
            if !process.served || process.doing == Doing::Loaded {
                process.doing = Doing::Dead;
            }
        }
    }

    /// What was on its way to a supervisor is lost with it; what people want is not.
    fn forget_what_was_to_be_told(&mut self) {
        for turn in self.turns.values_mut() {
            let stays = match turn {
                Turn::Tell(event) => matches!(event, Event::Wanted { .. }),
                Turn::Read | Turn::Bind(_) => false,
                Turn::Load(_)
                | Turn::Fail(_)
                | Turn::Die(..)
                | Turn::Leave(_)
                | Turn::Do(_)
                | Turn::Observe
                | Turn::Ail
                | Turn::Succeed(_)
                | Turn::Nothing => true,
            };
            if !stays {
                *turn = Turn::Nothing;
            }
        }
    }

    /// A supervisor that knows nothing uses numbers again.
    fn bury_the_unknown(&mut self) {
        let last = self.core.last_worker;
        let unknown: BTreeSet<WorkerId> = self.processes.keys().copied().filter(|worker| *worker > last).collect();
        self.processes.retain(|worker, _| !unknown.contains(worker));
        for turn in self.turns.values_mut() {
            if matches!(turn, Turn::Load(worker) | Turn::Fail(worker) | Turn::Die(worker, _) | Turn::Leave(worker) if unknown.contains(worker))
            {
                *turn = Turn::Nothing;
            }
        }
    }

    /// The preflight of an upgrade, which may say anything or nothing.
    pub fn preflight(&mut self) {
        let wait = self.dice.until(Duration::from_secs(3));
        let said = match self.mischief().then(|| self.dice.below(3)) {
            None => Ok(()),
            Some(0) => return,
            Some(_) => Err("cannot take over".to_owned()),
        };
        self.after(wait, Turn::Tell(Event::Preflown(said)));
    }

    pub fn end_preflight(&mut self) {
        for turn in self.turns.values_mut() {
            if matches!(turn, Turn::Tell(Event::Preflown(_))) {
                *turn = Turn::Nothing;
            }
        }
    }

    /// A worker dies that nobody attends to, or somebody does.
    pub fn die(&mut self, worker: WorkerId, exit: Exit) {
        if self.processes[&worker].doing != Doing::Dead {
            self.become_(worker, Doing::Dead);
            self.tell(Event::Exited { worker, exit, last: LastSeen::default() });
        }
    }
}
