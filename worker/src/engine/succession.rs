//! The engine's part in a succession: the leader parts from a supervisor that is gone and meets the next one.
//!
//! Whoever waits for the next supervisor is a thread of its own (see the worker's `succession`), for the leader may be in a call.
//! It leaves the new descriptor socket here and wakes the leader.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex, mpsc};

use mio::Interest;
use mio::unix::SourceFd;
use monoceros_shared::link::CHANNEL;
use monoceros_shared::link::fd::Carrier;

use super::leader::{CARRIER, Leader};
use super::listen::Inventoried;
use super::runner::Runner;
use super::slots::lock;
use super::{Engine, Mode};
use crate::descriptors;

/// What comes from one supervisor to the next.
pub struct Succession {
    /// The listeners, as long as they are not left.
    listeners: Vec<Inventoried>,
    /// The next supervisor's descriptor socket, until the leader takes it.
    next: Mutex<Option<Arc<Carrier>>>,
    channels: mpsc::Sender<String>,
}

impl Succession {
    /// None yet.
    pub fn new(listeners: Vec<Inventoried>, channels: mpsc::Sender<String>) -> Succession {
        Succession { listeners, next: Mutex::new(None), channels }
    }

    /// A name came without a descriptor.
    pub fn hear(&self, name: &str) {
        if let Some(channel) = name.strip_prefix(CHANNEL) {
            // Fails only when the bridge is gone, and the worker is about to be.
            let _ = self.channels.send(channel.to_owned());
        }
    }
}

impl Runner {
    /// The supervisor is gone: an end of it would be reported for ever.
    pub(super) fn part_from_supervisor(&mut self, leader: &mut Leader) {
        if let Some(carrier) = leader.carrier.take() {
            // It was registered when it came.
            let _ = self.engine.registry.deregister(&mut SourceFd(&carrier.as_raw_fd()));
        }
    }

    /// Listens to the next supervisor, if one has come.
    pub(super) fn meet_successor(&mut self, leader: &mut Leader) -> io::Result<()> {
        let Some(next) = lock(&self.engine.succession.next).take() else { return Ok(()) };
        self.part_from_supervisor(leader);
        self.engine.registry.register(&mut SourceFd(&next.as_raw_fd()), CARRIER, Interest::READABLE)?;
        leader.carrier = Some(next);
        self.take_delivery(leader)
    }
}

impl Engine {
    /// The next supervisor's descriptor socket.
    pub fn succeed(&self, carrier: Arc<Carrier>) {
        descriptors::note(&*carrier);
        *lock(&self.succession.next) = Some(carrier);
        self.wake_leader();
    }

    /// Whether it finishes what it has, or has done so.
    pub fn is_draining(&self) -> bool {
        self.mode.load(std::sync::atomic::Ordering::Acquire) >= Mode::Drain as u8
    }

    /// Passes on what the next supervisor needs, by name: the scoreboard, and each listener that is not left.
    ///
    /// # Errors
    /// When `pass` fails; then the rest is not passed on.
    pub fn bequeath(&self, pass: impl Fn(&str, BorrowedFd<'_>) -> io::Result<()>) -> io::Result<()> {
        pass(monoceros_shared::link::SCOREBOARD, self.scoreboard.memory())?;
        for listener in &self.succession.listeners {
            listener.with(|socket| pass(&listener.name, socket)).transpose()?;
        }
        Ok(())
    }
}
