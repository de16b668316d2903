//! What happens to workers, one by one: each is told to whatever it belongs to.
//!
//! ```text
//!   place of a worker      when it has loaded              when it is gone, or fails before it served
//!   slot of a team         serves                          slot is filled again, later; the first of all: an apology
//!   spare of a team        serves in a worn one's slot     another is tried, later
//!   apology of a team      answers 503                     another is tried, later
//!   squad of the reload    all of them: adoption           the reload is abandoned
//!   elder of a team        (has)                           nothing: it was to go
//!   none: it goes          (never)                         nothing
//! ```

use monoceros_shared::config::BrokenStart;
use monoceros_shared::link::{Failure, Purpose};

use super::effect::{Effect, Recruit};
use super::event::Exit;
use super::line::{self, Level, Line, span};
use super::plan::{AppPlan, Manner};
use super::recycle::Wear;
use super::team::{Apology, Slot};
use super::worker::{Happening, Life, Order};
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

/// What a worker left behind.
pub(super) struct Traces {
    /// What its threads were running.
    pub running: Vec<String>,
    /// The last lines that it printed.
    pub output: String,
}

impl Core {
    /// Spawns a worker that is to serve.
    pub(super) fn spawn(&mut self, now: Now, app: &AppPlan, generation: u64, siblings: usize) -> WorkerId {
        self.spawn_to(now, Recruit { worker: 0, generation, app: app.clone(), purpose: Purpose::Serve, siblings })
    }

    /// Spawns a worker like those in a team's slots.
    pub(super) fn spawn_for(&mut self, now: Now, index: usize) -> WorkerId {
        let team = &self.teams[index];
        let (app, generation, siblings) = (team.plan.clone(), team.generation, team.wanted());
        self.spawn(now, &app, generation, siblings)
    }

    /// Spawns a worker with the next number.
    fn spawn_to(&mut self, now: Now, recruit: Recruit) -> WorkerId {
        self.last_worker += 1;
        let recruit = Recruit { worker: self.last_worker, ..recruit };
        let wear = Wear::new(&recruit.app.app.recycle, now, &mut self.jitter);
        let mut life = Life::new(now, recruit.app.clone(), recruit.generation, wear);
        life.purpose = recruit.purpose.clone();
        self.lives.insert(recruit.worker, life);
        self.effects.push(Effect::Spawn(recruit));
        self.last_worker
    }

    pub(super) fn spawned(&mut self, worker: WorkerId, pid: u32) {
        let Some(life) = self.lives.get_mut(&worker) else {
            return;
        };
        life.pid = Some(pid);
        let line = self.about(worker, Level::Debug, "worker booting");
        self.log(line);
    }

    pub(super) fn not_spawned(&mut self, now: Now, worker: WorkerId, why: String) {
        let line = self.about(worker, Level::Error, "worker not spawned").with("why", why.as_str());
        self.bury(now, worker, line, why);
    }

    pub(super) fn loaded(&mut self, now: Now, worker: WorkerId) {
        if !self.lives.get(&worker).is_some_and(Life::is_booting) {
            return;
        }
        self.step(now, worker, Happening::Loaded);
        match self.place_of(worker) {
            Place::Slot(index) => {
                self.serve(now, index, worker);
                self.relieve(now, index);
            }
            Place::Spare(index) => self.swap(now, index),
            Place::Apology(_) => {
                self.step(now, worker, Happening::Adopted);
                let line = self.about(worker, Level::Info, "apologising");
                self.log(line);
            }
            Place::Squad(_) => self.adopt_when_loaded(now),
            // It goes; it was told so before it had loaded.
            Place::Elder(_) | Place::Nowhere => {}
        }
    }

    pub(super) fn failed(&mut self, now: Now, worker: WorkerId, failure: Failure) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let booted = !life.is_booting();
        let line = self.about(worker, Level::Error, "worker failed to boot").with("why", failure.why.as_str());
        self.log(line.with_some("detail", failure.detail.clone()));
        self.step(now, worker, Happening::Failed);
        if !booted {
            self.boot_failed(now, self.place_of(worker), failure);
        }
    }

    pub(super) fn unreachable(&mut self, now: Now, worker: WorkerId, why: &str) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let unproven = life.is_unproven();
        let line = self.about(worker, Level::Error, "worker unreachable").with("why", why);
        self.log(line);
        self.step(now, worker, Happening::Unreachable);
        if unproven {
            self.boot_failed(
                now,
                self.place_of(worker),
                Failure::new(format!("worker {worker} cannot be reached: {why}"), ""),
            );
        }
    }

    pub(super) fn exited(&mut self, now: Now, worker: WorkerId, exit: Exit, traces: Traces) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let is_expected = life.is_expected(exit);
        let (level, output) = if is_expected { (Level::Info, String::new()) } else { (Level::Error, traces.output) };
        let line = self.about(worker, level, "worker exited").with("exit", exit);
        let line = line.with("age", life.age(now)).with_some("running", traces.running.join("\n"));
        let line = line.with_some("output", output);
        self.bury(now, worker, line, format!("worker {worker} exited before it was ready: {exit}"));
    }

    pub(super) fn overdue(&mut self, now: Now, worker: WorkerId) {
        let life = &self.lives[&worker];
        let (unproven, overdue, boot) = (life.is_unproven(), life.overdue(), life.app.timeouts().boot);
        let line = self.about(worker, Level::Error, overdue);
        self.log(line.with("next", "it is killed"));
        self.step(now, worker, Happening::TimeUp);
        if unproven {
            let why = format!("worker {worker} has not loaded within timeouts.boot, {}", span(boot));
            self.boot_failed(now, self.place_of(worker), Failure::new(why, ""));
        }
    }

    /// A worker is gone.
    fn bury(&mut self, now: Now, worker: WorkerId, line: Line, why: String) {
        let Some(life) = self.lives.remove(&worker) else {
            return;
        };
        let place = self.place_of(worker);
        let next = if self.phase.is_up() { self.vacate(now, worker, place, life.served(now)) } else { String::new() };
        self.disinherit(worker);
        self.log(line.with_some("next", next));
        if life.is_unproven() {
            self.boot_failed(now, place, Failure::new(why, ""));
        }
    }

    /// Clears the place of a worker that is gone and served this long, if it did. Answers what comes next, for the log.
    fn vacate(&mut self, now: Now, worker: WorkerId, place: Place, served: Option<Now>) -> String {
        let jitter = &mut self.jitter;
        match place {
            Place::Slot(index) => {
                let team = &mut self.teams[index];
                team.restarts += 1;
                let spare = team.spare.boots.take_if(|(_, worn)| *worn == worker);
                let Some(slot) = team.slot_of(worker) else { return String::new() };
                let wait = slot.vacate(now, served, jitter);
                match spare {
                    Some((spare, _)) => {
                        slot.occupy(spare);
                        "its spare takes its place".into()
                    }
                    None => line::next_try(wait),
                }
            }
            Place::Spare(index) => {
                let spare = &mut self.teams[index].spare;
                let wait = spare.backoff.next(None, jitter);
                (spare.boots, spare.not_before) = (None, now + wait);
                line::next_try(wait)
            }
            Place::Apology(index) => {
                let apology = self.teams[index].apology.as_mut();
                apology.map_or_else(String::new, |apology| line::next_try(apology.slot.vacate(now, served, jitter)))
            }
            Place::Elder(index) => {
                self.teams[index].elders.retain(|elder| *elder != worker);
                String::new()
            }
            Place::Squad(_) | Place::Nowhere => String::new(),
        }
    }

    /// A worker has failed before it served.
    fn boot_failed(&mut self, now: Now, place: Place, failure: Failure) {
        match place {
            Place::Squad(worker) => {
                let name = self.reload.as_ref().and_then(|reload| reload.app_of(worker));
                let apologises = |team: &super::Team| Some(team.name()) == name && team.apology.is_some();
                if let Some(index) = self.teams.iter().position(apologises) {
                    self.apologise(now, index, &failure);
                }
                self.abandon(now, failure);
            }
            Place::Slot(index) => {
                let name = self.teams[index].name().to_owned();
                self.fail_scalings(&name, &failure);
                let team = &self.teams[index];
                let gives_up = team.plan.app.on_broken_start == BrokenStart::Exit;
                if !team.has_served && gives_up && self.phase.is_up() {
                    self.give_up(now, &name);
                } else {
                    self.apologise(now, index, &failure);
                }
            }
            Place::Spare(_) | Place::Apology(_) | Place::Elder(_) | Place::Nowhere => {}
        }
    }

    /// Has 503 answered in the place of an application that never served, with the newest reason for whoever may see it.
    fn apologise(&mut self, now: Now, index: usize, failure: &Failure) {
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

    fn place_of(&self, worker: WorkerId) -> Place {
        if self.reload.as_ref().is_some_and(|reload| reload.workers().any(|one| one == worker)) {
            return Place::Squad(worker);
        }
        let in_team = |index: usize| {
            let team = &self.teams[index];
            if team.occupants().any(|one| one == worker) {
                Some(Place::Slot(index))
            } else if team.elders.contains(&worker) {
                Some(Place::Elder(index))
            } else if team.spare.boots.is_some_and(|(spare, _)| spare == worker) {
                Some(Place::Spare(index))
            } else {
                let apologist = team.apology.as_ref().and_then(|apology| apology.slot.worker());
                (apologist == Some(worker)).then_some(Place::Apology(index))
            }
        };
        (0..self.teams.len()).find_map(in_team).unwrap_or(Place::Nowhere)
    }

    /// The workers in a team's slots that serve.
    pub(super) fn serving(&self, index: usize) -> Vec<WorkerId> {
        self.teams[index].occupants().filter(|worker| self.is_serving(*worker)).collect()
    }

    pub(super) fn is_serving(&self, worker: WorkerId) -> bool {
        self.lives.get(&worker).is_some_and(Life::is_serving)
    }

    pub(super) fn step(&mut self, now: Now, worker: WorkerId, happening: Happening) {
        let Some(life) = self.lives.get_mut(&worker) else {
            return;
        };
        match life.step(now, happening) {
            Some(Order::Say(word)) => self.effects.push(Effect::Say { worker, word }),
            Some(Order::Terminate) => self.effects.push(Effect::Terminate { worker }),
            Some(Order::Kill) => self.effects.push(Effect::Kill { worker }),
            None => {}
        }
    }

    /// Says that a worker serves, or, when it was the last that its application waited for, that the application does.
    pub(super) fn announce(&mut self, now: Now, index: usize, worker: WorkerId) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let announced = self.teams[index].announced;
        let level = if announced { Level::Info } else { Level::Debug };
        let line = self.about(worker, level, "worker serving").with("boot", life.age(now));
        self.log(line);
        let serving = self.serving(index).len();
        let team = &mut self.teams[index];
        if !announced && serving == team.wanted() {
            team.announced = true;
            let line = Line::new(Level::Info, "serving").with("app", team.name()).with("listen", team.plan.listen());
            self.log(line.with("workers", serving));
        }
    }

    pub(super) fn about(&self, worker: WorkerId, level: Level, message: &'static str) -> Line {
        let line = Line::new(level, message);
        let Some(life) = self.lives.get(&worker) else { return line.with("worker", worker) };
        let line = line.with("app", life.app.name()).with("worker", worker).with("generation", life.generation);
        match life.pid {
            Some(pid) => line.with("pid", u64::from(pid)),
            None => line,
        }
    }
}
