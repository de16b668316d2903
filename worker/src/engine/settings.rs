//! What the config says to the engine.

use std::sync::Arc;
use std::time::Duration;

use monoceros_shared::config::{self, App};

use super::crowd;
use super::doors::Doors;
use super::guest::Patiences;
use crate::conn::Waits;
use crate::origin::Policy;
use crate::turn::Limits;
use crate::wire::{Refusal, http};

/// Bytes of each buffer that are kept for the next request. Less costs clients with many cookies allocations for each request, more is memory for
/// each turn that waits for one, and each idle connection of a gateway.
const KEPT_BUFFER_MAX: usize = 8192;

/// What the config says to the engine.
pub(super) struct Settings {
    /// The names of the listeners, by which connections travel.
    pub listeners: Vec<String>,
    /// How connections come in by them.
    pub doors: Doors,
    /// Those that are encrypted, for terms to come.
    pub tls: Vec<config::Listener>,
    /// What a turn may take.
    pub limits: Arc<Limits>,
    /// How long clients are waited for.
    pub patiences: Patiences,
    /// How long clients are waited for within calls.
    pub waits: Waits,
    /// `timeouts.request`, in milliseconds.
    pub request: u64,
    /// How long a request waits for a thread, and what it is told then.
    pub wait: (u64, Refusal),
    /// Connections that there may be.
    pub connections_max: usize,
    /// Requests that may wait for a thread.
    pub queue_max: usize,
    /// `timeouts.heartbeat`.
    pub heartbeat: Duration,
    /// `timeouts.drain`.
    pub drain: Duration,
    /// Connections taken from a listener at one wake. More would take from the other workers what they could begin with now.
    pub accept_max: usize,
    /// Threads that run Python, at most.
    pub threads: usize,
    /// Those that are there from the start.
    pub threads_min: usize,
    /// How calls are run.
    pub engine: config::Engine,
    /// The field that tells a request's identifier, if requests have one.
    pub id_field: Option<Arc<str>>,
}

impl Settings {
    /// Those of an application with so many workers, for listeners of these names.
    pub fn new(app: &App, siblings: usize, way: (Vec<String>, Arc<Policy>)) -> Settings {
        let (listeners, policy) = way;
        Settings {
            id_field: policy.id_field().map(Into::into),
            doors: Doors::new(app, policy, &listeners),
            listeners,
            tls: app.listen.iter().filter(|listener| listener.tls.is_some()).cloned().collect(),
            limits: Arc::new(limits(app)),
            patiences: Patiences::new(&app.timeouts, app.limits.body_rate_min),
            waits: Waits { write: app.timeouts.write, body: app.timeouts.body, body_rate: app.limits.body_rate_min },
            request: app.timeouts.request.as_millis() as u64,
            wait: crowd::patience(&app.timeouts),
            connections_max: app.limits.connections_max,
            queue_max: app.limits.queue_max,
            heartbeat: app.timeouts.heartbeat,
            drain: app.timeouts.drain,
            accept_max: if siblings > 1 { app.threads } else { 64 },
            threads: app.threads,
            threads_min: app.threads_min,
            engine: app.engine,
        }
    }
}

fn limits(app: &App) -> Limits {
    let limits = &app.limits;
    Limits {
        head: http::head::Limits {
            request_line_max: limits.request_line_max,
            header_count_max: limits.header_count_max,
            header_bytes_max: limits.header_bytes_max,
        },
        body: http::body::Limits { body_bytes_max: limits.body_bytes_max, trailer_bytes_max: limits.header_bytes_max },
        bodies: app.body,
        body_memory_max: limits.body_memory_max,
        kept_buffer_max: KEPT_BUFFER_MAX,
        ending: Arc::default(),
    }
}
