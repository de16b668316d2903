//! What happens to workers, one by one: each is told to whatever it belongs to.
//!
//! ```text
//!   place of a worker      when it has loaded              when it is gone, or fails before it served
//!   slot of a team         serves                          slot is filled again, later; the first of all: an apology
//!   spare of a team        serves in another's slot        another is tried, later
//!   apology of a team      answers 503                     another is tried, later
//!   squad of the reload    all of them: adoption           the reload is abandoned
//!   elder of a team        (has)                           nothing: it was to go
//!   none: it goes          (never)                         nothing
//! ```

use monoceros_shared::config::BrokenStart;
use monoceros_shared::link::{Failure, Purpose};

use super::effect::{Effect, Recruit};
use super::event::{Exit, LastSeen};
use super::line::{Level, Line, span};
use super::places::{Gone, Place};
use super::plan::AppPlan;
use super::recycle::Wear;
use super::worker::{Happening, Life, Order};
use super::{Core, Now, WorkerId};

/// How a worker ended.
struct End {
    exit: Exit,
    line: Line,
    /// What to say of it if it has neither served nor failed before.
    why: String,
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
    pub(super) fn spawn_to(&mut self, now: Now, recruit: Recruit) -> WorkerId {
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
        self.bury(now, worker, End { exit: Exit::Unknown, line, why });
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
            Place::Spare(index) => self.swap(now, index, worker),
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
        // A place that is filled again and again fails as it did, for as long as nobody mends the code.
        let told = match self.place_of(worker) {
            Place::Slot(index) | Place::Spare(index) => self.teams[index].losses.told_of(worker, &failure),
            Place::Squad(_) | Place::Apology(_) | Place::Elder(_) | Place::Nowhere => None,
        };
        self.log(match told {
            Some(first) => line.with("same_as_worker", first),
            None => line.with_some("detail", failure.detail.clone()),
        });
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

    pub(super) fn exited(&mut self, now: Now, worker: WorkerId, exit: Exit, last: LastSeen) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let is_expected = life.is_expected(exit);
        let (level, output) = if is_expected { (Level::Info, String::new()) } else { (Level::Error, last.output) };
        let message = if life.has_served() { "worker exited" } else { "worker exited before it served" };
        let line = self.about(worker, level, message).with("exit", exit).with("age", life.age(now));
        let line = line.with("requests", last.requests).with_some("running", last.running.join("\n"));
        let line = line.with_some("output", output);
        let why = format!("worker {worker} exited before it was ready: {exit}");
        self.bury(now, worker, End { exit, line, why });
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
    fn bury(&mut self, now: Now, worker: WorkerId, end: End) {
        let Some(life) = self.lives.remove(&worker) else {
            return;
        };
        let End { exit, line, why } = end;
        let place = self.place_of(worker);
        let how = match place {
            Place::Slot(index) if !life.has_served() && !life.is_unproven() => self.teams[index].losses.last.clone(),
            _ if life.has_served() => format!("worker {worker} ended: {exit}, after {}", span(life.age(now))),
            _ => why.clone(),
        };
        let gone = Gone { worker, served: life.served(now), loss: life.loss(exit), how };
        let next = if self.phase.is_up() { self.vacate(now, place, gone) } else { String::new() };
        self.disinherit(worker);
        self.log(line.with_some("next", next));
        if life.is_unproven() {
            self.boot_failed(now, place, Failure::new(why, ""));
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
                self.fail_reliefs(now, index, &failure);
                self.teams[index].losses.last = failure.why.clone();
                let team = &self.teams[index];
                let gives_up = team.plan.app.on_broken_start == BrokenStart::Exit;
                if !team.has_served && gives_up && self.phase.is_up() {
                    self.give_up(now, &name);
                } else {
                    self.apologise(now, index, &failure);
                }
            }
            Place::Spare(index) => self.teams[index].losses.last = failure.why,
            Place::Apology(_) | Place::Elder(_) | Place::Nowhere => {}
        }
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
