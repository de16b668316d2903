//! The lives of workers and of the server: told what happened, answers what to do.
//!
//! ```text
//!   sources -> Event -> Core::handle -> Effect -> effects
//!                         ^
//!                         deadline() -> Event::Tick
//!
//!   server:   Up --Stop(Graceful)--> Draining --Stop--> Quitting --the last worker exits--> Exit
//!             Up --Stop(Quick)-------------------------^
//!   worker:   see `worker`; one per slot of an application, see `plan`
//! ```
//!
//! Rules
//! * Time is an argument. Nothing here knows a file, a socket, a process, the clock or the log: lines are effects too.
//! * [`Event`] is all that can happen, [`Effect`] all that can be done.
//! * What concerns a worker that is gone is ignored: news of it may still be on its way.
//! * The server never stops because a worker did, and never spawns in a tight loop.
//!
//! Known fault: a worker that the kernel cannot kill (an uninterruptible sleep) keeps a stopping server waiting.

mod backoff;
mod effect;
mod event;
pub mod line;
pub mod plan;
pub mod status;
mod team;
mod worker;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use monoceros_shared::exit;
use monoceros_shared::link::{Failure, Purpose};

use backoff::Jitter;
pub use effect::{Answer, Effect, Recruit};
pub use event::{Asker, Cause, Event, Exit, Scale, Stop, Wish};
use line::{Level, Line};
use plan::Plan;
use status::{ServerState, Status};
use team::Team;
pub use worker::Word;
use worker::{Happening, Life, Order};

/// Time since the server started.
pub type Now = Duration;

/// A worker's number in the server's life, from 1; never used twice.
pub type WorkerId = u64;

/// How long a worker that was told to exit now has for it. Shorter cuts a worker that is just about to; longer makes
/// a quick stop slow.
pub const QUIT_GRACE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Up,
    Draining,
    Quitting,
    Gone,
}

/// The machine.
pub struct Core {
    phase: Phase,
    teams: Vec<Team>,
    lives: BTreeMap<WorkerId, Life>,
    last_worker: WorkerId,
    generation: u64,
    jitter: Jitter,
    effects: Vec<Effect>,
}

impl Core {
    /// A server that has not begun. The seed is for the jitter of back-off delays.
    pub fn new(plan: Plan, seed: u64) -> Core {
        Core {
            phase: Phase::Up,
            teams: plan.apps.into_iter().map(Team::new).collect(),
            lives: BTreeMap::new(),
            last_worker: 0,
            generation: 1,
            jitter: Jitter::new(seed),
            effects: Vec::new(),
        }
    }

    /// Takes in what happened; the answer is to be done in its order.
    #[must_use]
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Start => self.fill_slots(now),
            Event::Spawned { worker, pid } => self.spawned(worker, pid),
            Event::NotSpawned { worker, why } => self.not_spawned(now, worker, &why),
            Event::Loaded { worker } => self.loaded(now, worker),
            Event::Failed { worker, failure } => self.failed(now, worker, failure),
            Event::Unreachable { worker, why } => self.unreachable(now, worker, &why),
            Event::Exited { worker, exit, running } => self.exited(now, worker, exit, running),
            Event::Wanted { wish: Wish::Stop(stop), asker: _ } => self.stop(now, stop),
            Event::Wanted { .. }
            | Event::ConfigRead(_)
            | Event::Bound
            | Event::NotBound { .. }
            | Event::Observed { .. } => {}
            Event::NotYet { signal, what } => self.not_yet(signal, what),
            Event::Tick => self.tick(now),
        }
        std::mem::take(&mut self.effects)
    }

    /// When [`Event::Tick`] is due next.
    pub fn deadline(&self) -> Option<Now> {
        let lives = self.lives.values().filter_map(Life::until).min();
        match self.phase {
            Phase::Up => self.teams.iter().filter_map(Team::next_retry).chain(lives).min(),
            Phase::Draining | Phase::Quitting | Phase::Gone => lives,
        }
    }

    /// Everything, as it is now.
    pub fn status(&self, now: Now) -> Status {
        let state = if self.phase == Phase::Up { ServerState::Up } else { ServerState::Stopping };
        Status { state, generation: self.generation, age: now, apps: Vec::new(), last_reload: None }
    }

    fn spawned(&mut self, worker: WorkerId, pid: u32) {
        let Some(life) = self.lives.get_mut(&worker) else {
            return;
        };
        life.pid = Some(pid);
        let line = self.about(worker, Level::Debug, "worker booting");
        self.log(line);
    }

    fn not_spawned(&mut self, now: Now, worker: WorkerId, why: &str) {
        let line = self.about(worker, Level::Error, "worker not spawned").with("why", why);
        self.bury(now, worker, line);
    }

    fn loaded(&mut self, now: Now, worker: WorkerId) {
        self.step(now, worker, Happening::Loaded);
        // With one generation there is nothing to wait for between the two steps of an adoption.
        self.step(now, worker, Happening::Adopted);
        self.announce(now, worker);
    }

    fn failed(&mut self, now: Now, worker: WorkerId, failure: Failure) {
        if !self.lives.contains_key(&worker) {
            return;
        }
        let line = self.about(worker, Level::Error, "worker failed to boot").with("why", failure.why);
        self.log(line.with_some("detail", failure.detail));
        self.step(now, worker, Happening::Failed);
    }

    fn unreachable(&mut self, now: Now, worker: WorkerId, why: &str) {
        if !self.lives.contains_key(&worker) {
            return;
        }
        let line = self.about(worker, Level::Error, "worker unreachable").with("why", why);
        self.log(line);
        self.step(now, worker, Happening::Unreachable);
    }

    fn exited(&mut self, now: Now, worker: WorkerId, exit: Exit, running: Vec<String>) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let level = if life.is_expected(exit) { Level::Info } else { Level::Error };
        let line = self.about(worker, level, "worker exited").with("exit", exit);
        let line = line.with("age", life.age(now)).with_some("running", running.join("\n"));
        self.bury(now, worker, line);
    }

    /// A worker is gone: its slot is filled again, now or later, unless the server stops.
    fn bury(&mut self, now: Now, worker: WorkerId, mut line: Line) {
        let Some(life) = self.lives.remove(&worker) else {
            return;
        };
        if self.phase == Phase::Up {
            let served = life.served(now);
            let wait = self.teams[life.app].vacate(worker, now, served, &mut self.jitter);
            line = line.with("next", line::next_try(wait));
        }
        self.log(line);
        self.fill_slots(now);
        self.exit_when_gone();
    }

    fn stop(&mut self, now: Now, stop: Stop) {
        let phase = match (self.phase, stop) {
            (Phase::Up, Stop::Graceful) => Phase::Draining,
            (Phase::Up, Stop::Quick) | (Phase::Draining, Stop::Graceful | Stop::Quick) => Phase::Quitting,
            (Phase::Quitting | Phase::Gone, Stop::Graceful | Stop::Quick) => return,
        };
        self.phase = phase;
        let message = if phase == Phase::Draining { "stopping: workers drain" } else { "stopping: workers quit" };
        self.log(Line::new(Level::Info, message).with("workers", self.lives.len()));
        self.effects.push(Effect::CloseListeners);
        for worker in self.lives.keys().copied().collect::<Vec<_>>() {
            self.step(now, worker, if phase == Phase::Draining { Happening::Drain } else { Happening::Quit });
        }
        self.exit_when_gone();
    }

    fn tick(&mut self, now: Now) {
        let due = self.lives.iter().filter(|(_, life)| life.until().is_some_and(|until| until <= now));
        for worker in due.map(|(worker, _)| *worker).collect::<Vec<_>>() {
            let line = self.about(worker, Level::Error, self.lives[&worker].overdue());
            self.log(line.with("next", "it is killed"));
            self.step(now, worker, Happening::TimeUp);
        }
        self.fill_slots(now);
    }

    /// Spawns for every slot that is empty and due.
    fn fill_slots(&mut self, now: Now) {
        if self.phase != Phase::Up {
            return;
        }
        for app in 0..self.teams.len() {
            while let Some(slot) = self.teams[app].due_slot(now) {
                self.last_worker += 1;
                let (worker, generation) = (self.last_worker, self.generation);
                slot.occupy(worker);
                let timeouts = self.teams[app].plan.timeouts();
                self.lives.insert(worker, Life::new(now, app, generation, timeouts));
                let plan = self.teams[app].plan.clone();
                let siblings = plan.app.workers;
                self.effects.push(Effect::Spawn(Recruit {
                    worker,
                    generation,
                    app: plan,
                    purpose: Purpose::Serve,
                    siblings,
                }));
            }
        }
    }

    fn step(&mut self, now: Now, worker: WorkerId, happening: Happening) {
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
    fn announce(&mut self, now: Now, worker: WorkerId) {
        let Some(life) = self.lives.get(&worker) else {
            return;
        };
        let (app, boot) = (life.app, life.age(now));
        let serving = self.lives.values().filter(|life| life.app == app && life.is_serving()).count();
        let announced = self.teams[app].announced;
        let level = if announced { Level::Info } else { Level::Debug };
        let line = self.about(worker, level, "worker serving").with("boot", boot);
        self.log(line);
        if !announced && serving == self.teams[app].plan.app.workers {
            self.teams[app].announced = true;
            let plan = &self.teams[app].plan;
            let line = Line::new(Level::Info, "serving").with("app", plan.name()).with("listen", plan.listen());
            self.log(line.with("workers", serving));
        }
    }

    fn not_yet(&mut self, signal: &'static str, what: &'static str) {
        // A terminal sends WINCH at every resize, to a server that is being tried out.
        let level = if signal == "WINCH" { Level::Debug } else { Level::Warning };
        let line = Line::new(level, "signal ignored: this version cannot do that yet");
        self.log(line.with("signal", signal).with("wanted", what));
    }

    fn exit_when_gone(&mut self) {
        if self.lives.is_empty() && matches!(self.phase, Phase::Draining | Phase::Quitting) {
            self.phase = Phase::Gone;
            self.log(Line::new(Level::Info, "stopped"));
            self.effects.push(Effect::Exit(exit::DONE));
        }
    }

    fn about(&self, worker: WorkerId, level: Level, message: &'static str) -> Line {
        let line = Line::new(level, message);
        let Some(life) = self.lives.get(&worker) else { return line.with("worker", worker) };
        let line = line.with("app", self.teams[life.app].plan.name()).with("worker", worker);
        let line = line.with("generation", life.generation);
        match life.pid {
            Some(pid) => line.with("pid", u64::from(pid)),
            None => line,
        }
    }

    fn log(&mut self, line: Line) {
        self.effects.push(Effect::Log(line));
    }
}
