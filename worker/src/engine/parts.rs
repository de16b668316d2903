//! What an engine is made of.

use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

use monoceros_shared::link::FromWorker;
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::log::Outlet;
use monoceros_shared::scoreboard::Scoreboard;
use slog::Logger;

use super::offers::Offers;
use super::siblings::Siblings;
use crate::access::Access;
use crate::keeper::Keeper;
use crate::origin::Policy;
use crate::tls::Terms;

/// Says a word to the supervisor.
pub type Say = Box<dyn Fn(FromWorker) + Send + Sync>;

/// Ends the process with this status, its log written.
pub type Leave = Box<dyn Fn(i32) + Send + Sync>;

/// A listener as the engine gets it.
pub struct Entrance {
    /// Its name.
    pub name: String,
    /// Its socket.
    pub socket: OwnedFd,
    /// How its connections are encrypted, if they are.
    pub terms: Option<Terms>,
}

/// What an engine is made of.
pub struct Parts {
    /// The listeners, in the assignment's order.
    pub listeners: Vec<Entrance>,
    /// What descriptors still come by.
    pub carrier: Arc<Carrier>,
    /// Told the name of each channel that takes the place of the one before.
    pub channels: mpsc::Sender<String>,
    /// Where it keeps its counts.
    pub scoreboard: Arc<Scoreboard>,
    /// Who else serves the application.
    pub siblings: Siblings,
    /// Where requests pass between them, if this one is to serve it.
    pub offers: Option<Offers>,
    /// Where it logs.
    pub log: Logger,
    /// Where each request is told of, if anywhere.
    pub access: Option<Access>,
    /// Whom to believe where requests come from.
    pub policy: Arc<Policy>,
    /// Where those lines go.
    pub outlet: Outlet,
    /// Who keeps what is printed while there is no supervisor.
    pub keeper: Keeper,
    /// Readable when a signal says that it is time to drain.
    pub alarm: OwnedFd,
    /// How to speak to the supervisor.
    pub say: Say,
    /// How to leave while a thread cannot.
    pub leave: Leave,
}
