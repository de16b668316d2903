//! What `status` shows: everything, as it is at one moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::event::Cause;
use super::losses::Restarts;
use super::reload::Stage;
use super::{Core, Now, Phase, WorkerId};

/// A server, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What it is at.
    pub state: ServerState,
    /// The newest generation that was adopted.
    pub generation: u64,
    /// How long it has been up.
    pub age: Duration,
    /// Its applications, in the order of the file.
    pub apps: Vec<AppStatus>,
    /// What came of the last reload, if there was one.
    pub last_reload: Option<LastReload>,
    /// What came of all of them.
    pub reloads: Reloads,
    /// When a reload was over last, be it good or bad: since the server started.
    pub ended: Option<Duration>,
}

/// How many reloads there were, by what came of them, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reloads {
    /// Their new workers serve.
    pub adopted: u64,
    /// Nothing has changed.
    pub abandoned: u64,
}

/// What a server is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerState {
    /// It serves as its config says, or is about to.
    Up,
    /// A reload reads the file.
    Reading,
    /// A reload binds what is new.
    Binding,
    /// A reload waits for new workers to load.
    Loading,
    /// New workers serve; old ones may still accept.
    Relieving,
    /// New workers serve; old ones finish what they have.
    Draining,
    /// Its workers were drained by WINCH, and its listeners stay.
    Parked,
    /// It was told to stop, and serves on for `timeouts.drain_delay`.
    Lingering,
    /// It stops.
    Stopping,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppStatus {
    /// Its name.
    pub name: String,
    /// What it is at.
    pub state: AppState,
    /// The generation that serves, or tries to.
    pub generation: u64,
    /// Where it listens, for people.
    pub listen: String,
    /// How many workers are to serve.
    pub wanted: usize,
    /// All processes that belong to it, by number; old and coming ones too.
    pub workers: Vec<WorkerStatus>,
    /// Workers that had to be replaced, since the server started.
    pub restarts: Restarts,
    /// Why it does not just serve; else empty.
    pub why: String,
    /// How long it has been losing too many workers, if it does.
    pub degraded_for: Option<Duration>,
}

/// What an application is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppState {
    /// As many workers serve as are wanted.
    Serving,
    /// Fewer serve than are wanted, or too many are lost.
    Degraded,
    /// None serves yet, and none has failed.
    Starting,
    /// It cannot be loaded: 503 is answered in its place, while it is tried again.
    Broken,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number.
    pub id: WorkerId,
    /// Its process, once there is one.
    pub pid: Option<u32>,
    /// Its generation.
    pub generation: u64,
    /// `booting`, `loaded`, `serving`, `apologising`, `draining`, `quitting` or `killed`.
    pub state: String,
    /// Since its spawn.
    pub age: Duration,
}

/// What came of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastReload {
    /// Whether its new workers serve.
    pub outcome: Outcome,
    /// Why they do not, in a line or a few; else empty.
    pub why: String,
    /// What helps to see it, a traceback; else empty.
    pub detail: String,
    /// What asked for it first.
    pub cause: Cause,
    /// When it was decided: since the server started.
    pub at: Duration,
}

/// Whether a reload's new workers serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// They do.
    Adopted,
    /// Nothing has changed.
    Abandoned,
}

impl Core {
    /// What came of the last reload, if there was one.
    pub fn last_reload(&self) -> Option<&LastReload> {
        self.last_reload.as_ref()
    }

    /// Everything, as it is now.
    pub fn status(&self, now: Now) -> Status {
        Status {
            state: self.server_state(),
            generation: self.generation,
            age: now,
            apps: (0..self.teams.len()).map(|index| self.app_status(now, index)).collect(),
            last_reload: self.last_reload.clone(),
            reloads: self.reloads,
            ended: self.ended,
        }
    }

    fn server_state(&self) -> ServerState {
        let old_ones = self.lives.values().any(|life| life.is_draining());
        match (self.phase, self.reload.as_ref().map(|reload| &reload.stage)) {
            (Phase::Draining | Phase::Quitting | Phase::Gone, _) => ServerState::Stopping,
            (Phase::Lingering { .. }, _) => ServerState::Lingering,
            (Phase::Parked, None) => ServerState::Parked,
            (Phase::Up | Phase::Parked, Some(Stage::Reading)) => ServerState::Reading,
            (Phase::Up | Phase::Parked, Some(Stage::Binding(..))) => ServerState::Binding,
            (Phase::Up | Phase::Parked, Some(Stage::Loading(..))) => ServerState::Loading,
            (Phase::Up, None) if !self.reliefs.is_empty() => ServerState::Relieving,
            (Phase::Up, None) if old_ones || self.teams.iter().any(|team| !team.elders.is_empty()) => {
                ServerState::Draining
            }
            (Phase::Up, None) => ServerState::Up,
        }
    }

    fn app_status(&self, now: Now, index: usize) -> AppStatus {
        let team = &self.teams[index];
        let degraded = team.losses.degraded();
        let state = self.app_state(index);
        let ours = self.lives.iter().filter(|(_, life)| life.app.name() == team.name());
        let worker = |(id, life): (&WorkerId, &super::Life)| WorkerStatus {
            id: *id,
            pid: life.pid,
            generation: life.generation,
            state: life.state().to_owned(),
            age: life.age(now),
        };
        AppStatus {
            name: team.name().to_owned(),
            state,
            generation: team.generation,
            listen: team.plan.listen(),
            wanted: team.wanted(),
            workers: ours.map(worker).collect(),
            restarts: team.losses.restarts,
            why: self.why(index, state),
            degraded_for: degraded.map(|degraded| now.saturating_sub(degraded.since)),
        }
    }

    fn app_state(&self, index: usize) -> AppState {
        let team = &self.teams[index];
        let serving = self.serving(index).len() + team.elders.len();
        if team.apology.is_some() && serving < team.wanted() {
            AppState::Broken
        } else if team.losses.degraded().is_some() {
            AppState::Degraded
        } else if serving >= team.wanted() {
            AppState::Serving
        } else if team.has_served {
            AppState::Degraded
        } else {
            AppState::Starting
        }
    }

    /// Why an application does not just serve.
    fn why(&self, index: usize, state: AppState) -> String {
        let team = &self.teams[index];
        match (state, team.losses.degraded()) {
            (AppState::Serving | AppState::Starting, _) => String::new(),
            (AppState::Broken, _) => team.losses.last.clone(),
            (AppState::Degraded, Some(degraded)) => degraded.why.clone(),
            (AppState::Degraded, None) if self.phase == Phase::Parked => "the workers were drained by WINCH".into(),
            (AppState::Degraded, None) => team.losses.last.clone(),
        }
    }
}
