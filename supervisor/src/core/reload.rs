//! A reload, from the wish to the adoption.
//!
//! ```text
//!   wish --> (waiting, folded) --> Reading --ConfigRead--> Binding --Bound--> Loading --all have loaded--> adopted
//!                                     |                       |                 |
//!                                     | cannot be read        | NotBound        | Failed, exit, time up, not spawned
//!                                     +-----------------------+-----------------+--> abandoned: nothing has changed
//!
//!   adopted (see `adopt`): the new workers serve, the old ones are introduced to them and drain. Who asked is answered when
//!   these accept nothing any more (see `relief`); the next reload may begin before.
//! ```
//!
//! Rules
//! * One at a time. Wishes that come while one runs fold into one that follows; it answers to all who asked.
//! * Open first, close last: what is new is bound before a worker is spawned; what is not needed any more is closed when
//!   the last worker is gone that served it (see `sockets`).
//! * All applications are adopted in one instant, when the first batch of each has loaded: `reload.surge` workers, or all.
//!   From then on the new generation is proven: what fails later is retried as any crash is, and there is no way back.
//! * A code change takes the config that the application has; it reads and binds nothing.
//! * The number of an abandoned generation is not used again.
//!
//! Known fault: an address that overlaps with one that is to be removed (`127.0.0.1:8000` for `0.0.0.0:8000`) cannot be
//! bound while that one is open, so such a reload is abandoned; it needs two, or a restart.

use std::collections::BTreeSet;

use monoceros_shared::config::Listener;
use monoceros_shared::link::Failure;

use super::effect::{Answer, Effect};
use super::event::{Asker, Cause};
use super::line::{Level, Line};
use super::plan::{AppPlan, Plan};
use super::status::{LastReload, Outcome};
use super::worker::{Happening, Life};
use super::{Core, Now, Phase, WorkerId};

/// Generations that may drain beside each other. More, and reloads in quick succession under long requests fill the memory
/// with old workers; fewer, and a person who saves a file waits for somebody's download.
const DRAINING_MAX: usize = 4;

/// What is wanted, by everybody who wants it.
#[derive(Debug)]
pub struct Request {
    scope: Scope,
    cause: Cause,
    askers: Vec<Asker>,
}

/// What is to be replaced.
#[derive(Debug, Default)]
struct Scope {
    /// What differs in the file.
    file: bool,
    /// Every application.
    all: bool,
    /// The applications of these names.
    code: BTreeSet<String>,
}

/// A reload that runs.
#[derive(Debug)]
pub struct Reload {
    request: Request,
    generation: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a reload is.
#[derive(Debug)]
pub enum Stage {
    /// The file is read.
    Reading,
    /// These are bound, for this plan.
    Binding(Plan, Vec<Listener>),
    /// The first workers of these load, for this plan.
    Loading(Plan, Vec<Squad>),
}

/// An application's first workers of a new generation.
#[derive(Debug)]
pub struct Squad {
    /// What they run.
    pub app: AppPlan,
    /// Themselves.
    pub workers: Vec<WorkerId>,
}

impl Request {
    /// Whether somebody waits for it.
    pub fn is_for(&self, asker: Asker) -> bool {
        self.askers.contains(&asker)
    }
}

impl Scope {
    fn of(cause: &Cause) -> Scope {
        match cause {
            Cause::Signal | Cause::Command | Cause::Upgraded => Scope { file: true, all: true, ..Scope::default() },
            Cause::FileChanged => Scope { file: true, ..Scope::default() },
            Cause::CodeChanged { app, path: _ } => Scope { code: BTreeSet::from([app.clone()]), ..Scope::default() },
        }
    }

    fn widen(&mut self, other: Scope) {
        self.file |= other.file;
        self.all |= other.all;
        self.code.extend(other.code);
    }
}

impl Reload {
    /// The workers that it has spawned.
    pub fn workers(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.squads().iter().flat_map(|squad| &squad.workers).copied()
    }

    /// Whether somebody waits for it.
    pub fn is_for(&self, asker: Asker) -> bool {
        self.request.is_for(asker)
    }

    /// The name of the application that one of its workers is to serve.
    pub fn app_of(&self, worker: WorkerId) -> Option<&str> {
        self.squads().iter().find(|squad| squad.workers.contains(&worker)).map(|squad| squad.app.name())
    }

    fn squads(&self) -> &[Squad] {
        match &self.stage {
            Stage::Loading(_, squads) => squads,
            Stage::Reading | Stage::Binding(..) => &[],
        }
    }
}

impl Core {
    pub(super) fn want_reload(&mut self, cause: Cause, asker: Option<Asker>) {
        if let Err(why) = self.may_reload(&cause) {
            return self.refuse(asker, why);
        }
        let scope = Scope::of(&cause);
        let request =
            self.waiting.get_or_insert_with(|| Request { scope: Scope::default(), cause, askers: Vec::new() });
        request.scope.widen(scope);
        request.askers.extend(asker);
    }

    /// Begins the reload that waits, if none runs and there is room for its workers.
    pub(super) fn begin_reload(&mut self, now: Now) {
        let draining = self.lives.values().filter(|life| life.is_draining()).map(|life| life.generation);
        let room = draining.collect::<BTreeSet<_>>().len() < DRAINING_MAX;
        if !matches!(self.phase, Phase::Up | Phase::Parked)
            || self.reload.is_some()
            || self.upgrade.is_some()
            || !room
            || !self.forsaken.is_empty()
        {
            return;
        }
        let Some(request) = self.waiting.take() else {
            return;
        };
        self.last_generation += 1;
        let line = Line::new(Level::Info, "reloading").with("generation", self.last_generation);
        self.log(line.with("cause", request.cause.to_string()));
        let reads = request.scope.file;
        self.reload = Some(Reload { request, generation: self.last_generation, stage: Stage::Reading });
        if reads {
            self.effects.push(Effect::ReadConfig);
        } else {
            let apps = self.teams.iter().map(|team| team.plan.clone()).collect();
            self.load(now, Plan { apps, manner: self.manner });
        }
    }

    pub(super) fn config_read(&mut self, now: Now, read: Result<Plan, String>) {
        let Some(Reload { stage: stage @ Stage::Reading, .. }) = &mut self.reload else {
            return;
        };
        let plan = match read {
            Ok(plan) => plan,
            Err(why) => return self.abandon(now, Failure::new(why, "")),
        };
        let fresh = plan.listeners().into_iter().filter(|(address, _)| !self.bound.contains_key(address));
        let fresh: Vec<Listener> = fresh.map(|(_, listener)| listener).collect();
        if fresh.is_empty() {
            self.load(now, plan);
        } else {
            *stage = Stage::Binding(plan, fresh.clone());
            self.effects.push(Effect::Bind { listeners: fresh });
        }
    }

    pub(super) fn fresh_bound(&mut self, now: Now) {
        // What was asked for by a reload that is over is closed again, for nobody needs it.
        let forsaken = std::mem::take(&mut self.forsaken);
        self.bound.extend(forsaken.into_iter().map(|listener| (listener.address.clone(), listener)));
        let Some(Reload { stage: Stage::Binding(plan, fresh), .. }) = &mut self.reload else {
            return;
        };
        let fresh = std::mem::take(fresh);
        self.bound.extend(fresh.into_iter().map(|listener| (listener.address.clone(), listener)));
        let plan = plan.clone();
        self.load(now, plan);
    }

    pub(super) fn not_bound(&mut self, now: Now, why: String) {
        if let Some(Reload { stage: Stage::Binding(..), .. }) = &self.reload {
            self.abandon(now, Failure::new(why, ""));
        }
        self.forsaken.clear();
    }

    /// Spawns the first workers of all that is to be replaced.
    fn load(&mut self, now: Now, plan: Plan) {
        let Some(Reload { request, generation, .. }) = &self.reload else {
            return;
        };
        let (generation, scope) = (*generation, &request.scope);
        let replaced = |app: &&AppPlan| {
            let team = self.teams.iter().find(|team| team.name() == app.name());
            scope.all || scope.code.contains(app.name()) || team.is_none_or(|team| !team.plan.is_alike(app))
        };
        let replaced: Vec<AppPlan> = plan.apps.iter().filter(replaced).cloned().collect();
        if replaced.is_empty() && !scope.file {
            let names: Vec<&str> = scope.code.iter().map(String::as_str).collect();
            let why = format!("cannot reload {}: no application has this name", names.join(", "));
            return self.abandon(now, Failure::new(why, ""));
        }
        let squads = replaced.into_iter().map(|app| {
            let wanted = self.wanted_of(&app);
            let batch = app.app.reload.surge.map_or(wanted, |surge| surge.clamp(1, wanted));
            let workers = (0..batch).map(|_| self.spawn(now, &app, generation, wanted)).collect();
            Squad { app, workers }
        });
        let squads = squads.collect();
        if let Some(reload) = &mut self.reload {
            reload.stage = Stage::Loading(plan, squads);
        }
        self.adopt_when_loaded(now);
    }

    /// How many workers of an application are wanted: as somebody has scaled it, until the file says another number.
    pub(super) fn wanted_of(&self, app: &AppPlan) -> usize {
        let team = self.teams.iter().find(|team| team.name() == app.name());
        let scaled = team.filter(|team| team.plan.app.workers == app.app.workers);
        scaled.map_or(app.app.workers, |team| team.wanted())
    }

    /// Adopts, if every worker has loaded.
    pub(super) fn adopt_when_loaded(&mut self, now: Now) {
        let Some(reload) = &self.reload else {
            return;
        };
        let loaded = |worker| self.lives.get(&worker).is_some_and(Life::is_loaded);
        if !reload.workers().all(loaded) {
            return;
        }
        match self.reload.take() {
            Some(Reload { request, generation, stage: Stage::Loading(plan, squads) }) => {
                self.unpark();
                self.adopt(now, generation, plan, squads);
                self.adopted(now, request);
            }
            other => self.reload = other,
        }
    }

    fn adopted(&mut self, now: Now, request: Request) {
        let line = Line::new(Level::Debug, "reload adopted").with("generation", self.generation);
        self.log(line.with("cause", request.cause.to_string()));
        self.reloads.adopted += 1;
        let outcome = Outcome::Adopted;
        let (why, detail) = (String::new(), String::new());
        self.last_reload = Some(LastReload { outcome, why, detail, cause: request.cause.clone(), at: now });
        self.await_relief(request.cause, request.askers);
    }

    /// Ends the reload that runs as if it had never been.
    pub(super) fn abandon(&mut self, now: Now, failure: Failure) {
        let Some(reload) = self.reload.take() else {
            return;
        };
        self.unpark();
        for worker in reload.workers() {
            self.step(now, worker, Happening::Quit);
        }
        let Reload { request, generation, stage } = reload;
        if let Stage::Binding(_, fresh) = stage {
            self.forsaken = fresh;
        }
        let line = Line::new(Level::Error, "reload abandoned").with("generation", generation);
        let line = line.with("cause", request.cause.to_string()).with("why", failure.why.as_str());
        self.log(line.with("next", format!("generation {} stays", self.generation)));
        for asker in request.askers {
            let answer = Answer::Failed { why: failure.why.clone(), detail: failure.detail.clone() };
            self.effects.push(Effect::Answer { asker, answer });
        }
        self.reloads.abandoned += 1;
        self.ended = Some(now);
        let (outcome, Failure { why, detail, part: _ }) = (Outcome::Abandoned, failure);
        self.last_reload = Some(LastReload { outcome, why, detail, cause: request.cause, at: now });
    }

    /// Whether a reload runs, or what one had bound is not closed yet.
    pub(super) fn reloads(&self) -> bool {
        self.reload.is_some() || !self.forsaken.is_empty()
    }

    /// Ends the reload that runs and the one that waits, because there will be no workers.
    pub(super) fn abandon_all(&mut self, now: Now, why: &str) {
        self.abandon(now, Failure::new(why, ""));
        self.refuse_waiting(why);
    }

    /// Ends the reload that waits.
    pub(super) fn refuse_waiting(&mut self, why: &str) {
        for asker in self.waiting.take().into_iter().flat_map(|request| request.askers) {
            self.refuse(Some(asker), why);
        }
    }
}
