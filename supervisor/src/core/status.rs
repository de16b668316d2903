//! What `status` shows: everything, as it is at one moment.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::WorkerId;
use super::event::Cause;

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
    /// New workers serve; old ones finish what they have.
    Draining,
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
    /// Workers that ended and were not asked to, since the server started.
    pub restarts: u64,
}

/// What an application is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppState {
    /// As many workers serve as are wanted.
    Serving,
    /// Some serve, but fewer than are wanted.
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
