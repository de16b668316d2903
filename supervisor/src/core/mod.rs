//! The lives of workers, of reloads and of the server: told what happened, answers what to do.
//!
//! ```text
//!   sources -> Event -> Core::handle -> Effect -> effects
//!                         ^
//!                         deadline() -> Event::Tick
//!
//!   event, effect   all that can happen, all that can be done
//!   plan, team      what is to run; an application's workers
//!   worker, lives   one worker's life; what each happening to it means to what it belongs to
//!   reload, adopt   from a wish to a new generation; how it takes over
//!   relief          until the old one accepts nothing any more
//!   places, losses  where workers belong; what an application has lost of them
//!   spares          workers that replace others which serve: worn (recycle) or ailing ones
//!   scale           more or fewer workers
//!   sockets         which listeners are needed
//!   certify         renewed certificates, for workers that stay
//!   park, stop      no workers for a while; the end
//!   legacy          what the next supervisor needs to know; its beginning, from that
//!   upgrade         the end of this supervisor and the beginning of the next, in one process
//!   progress        how far a wish is
//!   status          all of it, to be shown
//! ```
//!
//! Rules
//! * Time is an argument. Nothing here knows a file, a socket, a process, the clock or the log: lines are effects too.
//! * What concerns a worker that is gone is ignored: news of it may still be on its way.
//! * The server never stops because a worker did, and never spawns in a tight loop.
//! * Everyone who asks is answered once.
//!
//! Known fault: a worker that the kernel cannot kill (an uninterruptible sleep) keeps a stopping server waiting.

mod adopt;
mod ailing;
mod backoff;
mod certify;
mod effect;
mod event;
pub mod fingerprint;
mod heirs;
pub mod legacy;
pub mod line;
mod lives;
mod losses;
mod park;
mod places;
pub mod plan;
pub mod progress;
mod recycle;
mod relief;
mod reload;
mod scale;
mod sockets;
mod spares;
pub mod status;
mod stop;
mod team;
mod upgrade;
mod worker;
#[cfg(test)]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use monoceros_shared::config::{Address, Listener};
use monoceros_shared::exit;

pub use ailing::{Organ, Silence};
use backoff::Jitter;
pub use effect::{Answer, Effect, Recruit};
pub use event::{Asker, Cause, Event, Exit, LastSeen, Scale, Stop, Wish};
use heirs::Heritage;
use line::Line;
pub use losses::Restarts;
use plan::{Manner, Plan};
use relief::Relief;
use reload::{Reload, Request};
use scale::Scaling;
use status::{LastReload, Reloads};
use team::Team;
use upgrade::Upgrade;
use worker::Life;
pub use worker::Word;

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
    Parked,
    Lingering { until: Now },
    Draining,
    Quitting,
    Gone,
}

impl Phase {
    /// Whether workers are kept serving.
    fn is_up(self) -> bool {
        matches!(self, Phase::Up | Phase::Lingering { .. })
    }
}

/// The machine.
pub struct Core {
    phase: Phase,
    manner: Manner,
    teams: Vec<Team>,
    lives: BTreeMap<WorkerId, Life>,
    heirs: BTreeMap<WorkerId, Heritage>,
    bound: BTreeMap<Address, Listener>,
    /// Listeners that are being bound for a reload that is over.
    forsaken: Vec<Listener>,
    /// The newest generation that was adopted.
    generation: u64,
    /// The newest that was tried.
    last_generation: u64,
    last_worker: WorkerId,
    reload: Option<Reload>,
    waiting: Option<Request>,
    last_reload: Option<LastReload>,
    reloads: Reloads,
    /// Reloads that were adopted, and whose old workers have not all left.
    reliefs: Vec<Relief>,
    /// When a reload was over last, be it good or bad.
    ended: Option<Now>,
    scalings: Vec<Scaling>,
    stop_askers: Vec<Asker>,
    upgrade: Option<Upgrade>,
    /// Whether our terminal has changed its size.
    was_resized: bool,
    exit_status: i32,
    jitter: Jitter,
    effects: Vec<Effect>,
}

impl Core {
    /// A server that has not begun, and whose listeners are bound. The seed is for the jitter of back-off delays.
    pub fn new(plan: Plan, seed: u64) -> Core {
        let bound = plan.listeners();
        let team = |app: plan::AppPlan| {
            let workers = app.app.workers;
            Team::new(app, 1, workers)
        };
        Core {
            phase: Phase::Up,
            manner: plan.manner,
            teams: plan.apps.into_iter().map(team).collect(),
            lives: BTreeMap::new(),
            heirs: BTreeMap::new(),
            bound,
            forsaken: Vec::new(),
            generation: 1,
            last_generation: 1,
            last_worker: 0,
            reload: None,
            waiting: None,
            last_reload: None,
            reloads: Reloads::default(),
            reliefs: Vec::new(),
            ended: None,
            scalings: Vec::new(),
            stop_askers: Vec::new(),
            upgrade: None,
            was_resized: false,
            exit_status: exit::DONE,
            jitter: Jitter::new(seed),
            effects: Vec::new(),
        }
    }

    /// Takes in what happened; the answer is to be done in its order.
    #[must_use]
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Start => {}
            Event::Spawned { worker, pid } => self.spawned(worker, pid),
            Event::NotSpawned { worker, why } => self.not_spawned(now, worker, why),
            Event::Loaded { worker } => self.loaded(now, worker),
            Event::Left { worker } => self.left(worker),
            Event::Failed { worker, failure } => self.failed(now, worker, failure),
            Event::Unreachable { worker, why } => self.unreachable(now, worker, &why),
            Event::Exited { worker, exit, last } => self.exited(now, worker, exit, last),
            Event::Stuck { worker, why } => self.stuck(worker, &why),
            Event::Silent { worker, silence } => self.silent(now, worker, &silence),
            Event::Beats { worker } => self.beats(worker),
            Event::Stacks { worker, stacks } => self.stacks(worker, stacks),
            Event::Observed { worker, requests, memory } => self.observed(worker, requests, memory),
            Event::ConfigRead(read) => self.config_read(now, read),
            Event::Bound => self.fresh_bound(now),
            Event::NotBound { why } => self.not_bound(now, why),
            Event::Wanted { wish, asker } => self.wanted(now, wish, asker),
            Event::Preflown(said) => self.preflown(said),
            Event::Resized => self.resized(),
            Event::Tick => self.tick(now),
        }
        self.settle(now);
        std::mem::take(&mut self.effects)
    }

    /// What a worker runs.
    pub fn plan_of(&self, worker: WorkerId) -> Option<&plan::AppPlan> {
        self.lives.get(&worker).map(|life| &life.app)
    }

    /// When [`Event::Tick`] is due next.
    pub fn deadline(&self) -> Option<Now> {
        let lives = self.lives.values().filter_map(Life::until).chain(self.upgrade_until()).min();
        let lingering = match self.phase {
            Phase::Parked | Phase::Draining | Phase::Quitting | Phase::Gone => return lives,
            Phase::Lingering { until } => Some(until),
            Phase::Up => None,
        };
        let teams = (0..self.teams.len()).flat_map(|index| {
            let team = &self.teams[index];
            let retry = team.next_retry().filter(|_| self.has_room(index));
            let apology = team.apology.as_ref().and_then(|apology| apology.slot.retry_at());
            let spare = self.next_spare(index).map(|(at, ..)| at);
            [retry, apology, spare, self.well_at(index)].into_iter().flatten()
        });
        teams.chain(lives).chain(lingering).min()
    }

    /// Whether the listeners are closed and workers go.
    pub fn is_stopping(&self) -> bool {
        !self.phase.is_up()
    }

    fn wanted(&mut self, now: Now, wish: Wish, asker: Option<Asker>) {
        match wish {
            Wish::Reload { cause } => self.want_reload(cause, asker),
            Wish::Scale { app, to } => self.want_scale(now, Some(app), to, asker),
            Wish::ScaleAll { to } => self.want_scale(now, None, to, asker),
            Wish::Upgrade => self.want_upgrade(asker),
            Wish::Park => self.park(now, asker),
            Wish::Stop(stop) => self.want_stop(now, stop, asker),
        }
    }

    fn tick(&mut self, now: Now) {
        let due = self.lives.iter().filter(|(_, life)| life.until().is_some_and(|until| until <= now));
        for worker in due.map(|(worker, _)| *worker).collect::<Vec<_>>() {
            self.overdue(now, worker);
        }
        self.linger_on(now);
        self.upgrade_overdue(now);
    }

    /// What follows from how things are, whatever has happened.
    fn settle(&mut self, now: Now) {
        self.end_reliefs(now);
        self.begin_reload(now);
        self.begin_upgrade(now);
        if self.phase.is_up() {
            self.recover(now);
            self.fill_places(now);
            self.spawn_spares(now);
            self.answer_scalings();
        }
        if self.phase.is_up() || self.phase == Phase::Parked {
            self.close_unneeded();
        }
        self.exit_when_gone();
    }

    fn log(&mut self, line: Line) {
        self.effects.push(Effect::Log(line));
    }
}
