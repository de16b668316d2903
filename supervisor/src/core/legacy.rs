//! What one supervisor leaves to the next, and how the next one begins with it.
//!
//! ```text
//!   Core::legacy() -> Legacy (written, read) --+
//!                      Found (who lives) ------+--> Core::resume --> as it was, but for who died; then an ordinary reload
//!                      Plan (the file, now) ---+                     brings what differs in the file
//! ```
//!
//! Rules
//! * It says how things are, never what is to be done: a supervisor may be killed at any moment, and what it was about to do is
//!   decided anew. It names workers before they are told to serve, so it names all that could.
//! * No config is in it. Of what workers run only that is known which decides about their end; the file says the rest.
//! * What is unknown in it is ignored and what is missing has a default: builds of different age read each other's.
//! * Who was found and is not in it, or in another state, serves on until others do: it is treated as an elder.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monoceros_shared::config::{App, Listener};
use monoceros_shared::link::Purpose;
use monoceros_shared::link::adoption::{Doing, Kinship};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::heirs::Heritage;
use super::line::{Level, Line};
use super::losses::Restarts;
use super::plan::{AppPlan, Plan};
use super::recycle::Wear;
use super::status::{LastReload, Reloads};
use super::team::{Apology, Slot, Team};
use super::worker::{Happening, Life};
use super::{Core, Now, WorkerId};

/// What a supervisor leaves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Legacy {
    /// The newest generation that was adopted.
    pub generation: u64,
    /// The newest that was tried.
    pub last_generation: u64,
    /// The last number that a worker had.
    pub last_worker: WorkerId,
    /// What the applications and the workers run, each once.
    pub outlines: Vec<Outline>,
    /// The applications, in their order.
    pub apps: Vec<AppLegacy>,
    /// The workers that serve or did.
    pub workers: BTreeMap<WorkerId, WorkerLegacy>,
    /// Who hands connections over, and to whom, if there is somebody.
    pub heirs: BTreeMap<WorkerId, Option<WorkerId>>,
    /// All that is bound.
    pub bound: Vec<Listener>,
    /// What came of the last reload.
    #[serde(deserialize_with = "if_understood")]
    pub last_reload: Option<LastReload>,
    /// What came of all of them.
    pub reloads: Reloads,
}

/// What is known of an application as some workers run it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// Tells it from others.
    pub fingerprint: u64,
    /// The application's name.
    pub app: String,
    /// How many workers the file asked for.
    pub workers: usize,
    /// Where it listens.
    pub listen: Vec<Listener>,
    /// How long a drain may take.
    pub drain: Duration,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppLegacy {
    /// Its name.
    pub name: String,
    /// What its slots' workers run.
    pub fingerprint: u64,
    /// Their generation.
    pub generation: u64,
    /// How many are wanted.
    pub wanted: usize,
    /// How many were replaced.
    #[serde(default, deserialize_with = "if_understood")]
    pub restarts: Restarts,
    /// Whether any ever served.
    #[serde(default)]
    pub has_served: bool,
    /// Whether it was said that it serves.
    #[serde(default)]
    pub announced: bool,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerLegacy {
    /// Its process.
    pub pid: u32,
    /// What it runs.
    pub fingerprint: u64,
    /// Its generation.
    pub generation: u64,
    /// Where it belongs.
    pub place: Seat,
    /// When it was spawned, since the server began.
    pub spawned: Now,
    /// When it began to serve.
    pub adopted: Now,
}

/// Where a worker belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seat {
    /// In a slot.
    Slot,
    /// Among the elders.
    Elder,
    /// In the place of an application.
    Apology,
    /// Nowhere: it drains.
    Leaving {
        /// Until then.
        until: Now,
    },
}

/// A worker that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its process.
    pub pid: u32,
    /// Its application's name.
    pub app: String,
    /// Its generation.
    pub generation: u64,
    /// What it is at.
    pub doing: Doing,
    /// Whether the legacy is of the supervisor that it had.
    pub kinship: Kinship,
}

/// All that there is when a supervisor begins where another has ended.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// What the other left; nothing if that is lost.
    pub legacy: Legacy,
    /// The workers that live.
    pub found: BTreeMap<WorkerId, Found>,
    /// The listeners that there are.
    pub bound: Vec<Listener>,
}

/// A value that a build of another age may not understand, and that can be missed.
fn if_understood<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(from: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

impl Outline {
    fn of(plan: &AppPlan) -> Outline {
        Outline {
            fingerprint: plan.fingerprint(),
            app: plan.name().to_owned(),
            workers: plan.app.workers,
            listen: plan.app.listen.clone(),
            drain: plan.app.timeouts.drain,
        }
    }

    /// As a plan: that of now if it is the same, or what is known of it.
    fn as_plan(&self, now: &Plan) -> Option<AppPlan> {
        let like = now.app(&self.app).or(now.apps.first())?;
        if like.name() == self.app && like.fingerprint() == self.fingerprint {
            return Some(like.clone());
        }
        let (name, workers, listen) = (self.app.clone(), self.workers, self.listen.clone());
        let mut app = App { name, workers, listen, ..App::clone(&like.app) };
        app.timeouts.drain = self.drain;
        Some(AppPlan::of_legacy(app, like, self.fingerprint))
    }
}

impl Legacy {
    /// Whether what is to run is what this ran.
    pub fn is_of(&self, plan: &Plan) -> bool {
        let now = plan.apps.iter().map(|app| (app.name(), app.fingerprint(), Some(app.app.workers)));
        let workers = |app: &AppLegacy| self.outline(app.fingerprint).map(|outline| outline.workers);
        let then = self.apps.iter().map(|app| (app.name.as_str(), app.fingerprint, workers(app)));
        now.eq(then)
    }

    /// What its applications need to be bound.
    pub fn needs(&self) -> Vec<Listener> {
        let outlines = self.apps.iter().filter_map(|app| self.outline(app.fingerprint));
        let listeners: BTreeMap<_, _> =
            outlines.flat_map(|outline| &outline.listen).map(|listener| (&listener.address, listener)).collect();
        listeners.into_values().cloned().collect()
    }

    fn outline(&self, fingerprint: u64) -> Option<&Outline> {
        self.outlines.iter().find(|outline| outline.fingerprint == fingerprint)
    }

    /// The name of the application that a worker serves.
    pub fn app_of(&self, worker: &WorkerLegacy) -> &str {
        self.outline(worker.fingerprint).map_or("", |outline| outline.app.as_str())
    }

    /// How long the longest of its drains may take.
    pub fn longest_drain(&self) -> Option<Duration> {
        self.outlines.iter().map(|outline| outline.drain).max()
    }

    fn plan_of(&self, fingerprint: u64, now: &Plan) -> Option<AppPlan> {
        self.outline(fingerprint)?.as_plan(now)
    }
}

impl Core {
    /// What the next supervisor needs to know, as things are now.
    pub fn legacy(&self) -> Legacy {
        let app = |team: &Team| AppLegacy {
            name: team.name().to_owned(),
            fingerprint: team.plan.fingerprint(),
            generation: team.generation,
            wanted: team.wanted(),
            restarts: team.losses.restarts,
            has_served: team.has_served,
            announced: team.announced,
        };
        let workers: BTreeMap<_, _> =
            self.lives.iter().filter_map(|(worker, life)| Some((*worker, self.left_of(*worker, life)?))).collect();
        let plans = self.teams.iter().map(|team| &team.plan).chain(self.lives.values().map(|life| &life.app));
        let outlines: BTreeMap<u64, Outline> = plans.map(|plan| (plan.fingerprint(), Outline::of(plan))).collect();
        Legacy {
            generation: self.generation,
            last_generation: self.last_generation,
            last_worker: self.last_worker,
            outlines: outlines.into_values().collect(),
            apps: self.teams.iter().map(app).collect(),
            workers,
            heirs: self.heirs.iter().map(|(from, heritage)| (*from, heritage.to)).collect(),
            bound: self.bound.values().cloned().collect(),
            last_reload: self.last_reload.clone(),
            reloads: self.reloads,
        }
    }

    /// What is left of a worker; nothing of one that has not served, or was told to exit at once.
    fn left_of(&self, worker: WorkerId, life: &Life) -> Option<WorkerLegacy> {
        let place = if life.is_draining() {
            Seat::Leaving { until: life.until()? }
        } else if !life.is_serving() {
            return None;
        } else if matches!(life.purpose, Purpose::Apologise(_)) {
            Seat::Apology
        } else if self.teams.iter().any(|team| team.elders.contains(&worker)) {
            Seat::Elder
        } else {
            Seat::Slot
        };
        let (spawned, adopted) = life.times();
        let (fingerprint, generation) = (life.app.fingerprint(), life.generation);
        Some(WorkerLegacy { pid: life.pid?, fingerprint, generation, place, spawned, adopted: adopted? })
    }

    /// A server that goes on where another supervisor has ended.
    pub fn resume(plan: &Plan, remains: &Remains, now: Now, seed: u64) -> Core {
        let mut core = Core::new(plan.clone(), seed);
        let Remains { legacy, found, bound } = remains;
        core.bound = bound.iter().map(|listener| (listener.address.clone(), listener.clone())).collect();
        let generations = found.values().map(|found| found.generation);
        core.generation = generations.clone().chain([legacy.generation, 1]).max().unwrap_or(1);
        core.last_generation = legacy.last_generation.max(core.generation);
        core.last_worker = found.keys().copied().chain([legacy.last_worker]).max().unwrap_or_default();
        (core.last_reload, core.reloads) = (legacy.last_reload.clone(), legacy.reloads);
        if legacy.apps.is_empty() {
            core.teams.iter_mut().for_each(|team| team.generation = core.generation);
        } else {
            let teams = legacy.apps.iter().filter_map(|app| Some(resumed(app, legacy.plan_of(app.fingerprint, plan)?)));
            core.teams = teams.collect();
        }
        for (worker, found) in found {
            core.welcome(now, (*worker, found), plan, legacy);
        }
        core.bequeath_heirs(legacy);
        core.mourn(legacy, found);
        (0..core.teams.len()).for_each(|index| core.relieve(now, index));
        core
    }

    /// Gives a worker that lives its place.
    fn welcome(&mut self, now: Now, (worker, found): (WorkerId, &Found), plan: &Plan, legacy: &Legacy) {
        let written = legacy.workers.get(&worker);
        let written = written.filter(|known| legacy.app_of(known) == found.app && known.generation == found.generation);
        let known = written.filter(|_| found.kinship == Kinship::Kin);
        let team = self.teams.iter().position(|team| team.name() == found.app);
        let app = written.and_then(|written| legacy.plan_of(written.fingerprint, plan));
        let app =
            app.or_else(|| team.map(|index| self.teams[index].plan.clone())).or_else(|| plan.apps.first().cloned());
        let Some(app) = app else { return };
        let (spawned, adopted) = known.map_or((now, now), |known| (known.spawned, known.adopted));
        let wear = Wear::new(&app.app.recycle, spawned, &mut self.jitter);
        let mut life = Life::found(app, found, (spawned, adopted), wear);
        let strange = if found.doing == Doing::Apologising { Seat::Apology } else { Seat::Elder };
        let seat = known.map_or(strange, |known| known.place);
        if seat == Seat::Apology || found.doing == Doing::Apologising {
            life.purpose = Purpose::Apologise(String::new());
        }
        if found.doing == Doing::Draining {
            life.drains_until(match seat {
                Seat::Leaving { until } => until,
                Seat::Slot | Seat::Elder | Seat::Apology => now + life.app.timeouts().drain,
            });
        }
        self.lives.insert(worker, life);
        match (team, seat) {
            _ if found.doing == Doing::Draining => {}
            (None, _) => self.step(now, worker, Happening::Drain),
            // It has not heard that it is to go, and is nobody's elder.
            (Some(_), Seat::Leaving { .. }) if found.doing == Doing::Apologising => {
                self.step(now, worker, Happening::Drain);
            }
            (Some(index), Seat::Apology) => {
                let mut slot = Slot::default();
                slot.occupy(worker);
                self.teams[index].apology = Some(Apology { slot, text: String::new() });
            }
            (Some(index), Seat::Slot) if self.teams[index].sit(worker) => self.teams[index].has_served = true,
            // It was about to be told to drain, or is not known.
            (Some(index), Seat::Slot | Seat::Elder | Seat::Leaving { .. }) => {
                self.teams[index].has_served = true;
                self.teams[index].elders.push(worker);
            }
        }
    }

    /// Who hands its connections over goes on, to whoever lives.
    fn bequeath_heirs(&mut self, legacy: &Legacy) {
        for (from, to) in &legacy.heirs {
            let Some(life) = self.lives.get(from).filter(|life| life.is_draining()) else { continue };
            let heritage =
                Heritage { app: life.app.name().to_owned(), to: to.filter(|to| self.lives.contains_key(to)) };
            self.heirs.insert(*from, heritage);
        }
        (0..self.teams.len()).for_each(|index| self.introduce_orphans(index));
    }

    /// Says who has died while nobody attended.
    fn mourn(&mut self, legacy: &Legacy, found: &BTreeMap<WorkerId, Found>) {
        let gone: BTreeSet<WorkerId> =
            legacy.workers.keys().copied().filter(|worker| !found.contains_key(worker)).collect();
        for worker in gone {
            let known = &legacy.workers[&worker];
            let app = legacy.app_of(known);
            if known.place == Seat::Slot
                && let Some(team) = self.teams.iter_mut().find(|team| team.name() == app)
            {
                team.losses.restarts.crash += 1;
            }
            let line = Line::new(Level::Error, "worker exited while nobody attended to it").with("app", app);
            let line = line.with("worker", worker).with("generation", known.generation);
            self.log(line.with("pid", u64::from(known.pid)).with("exit", super::Exit::Unknown));
        }
    }
}

fn resumed(app: &AppLegacy, plan: AppPlan) -> Team {
    let mut team = Team::new(plan, app.generation, app.wanted);
    (team.losses.restarts, team.has_served, team.announced) = (app.restarts, app.has_served, app.announced);
    team
}
