//! What a worker answers to the question what its threads are at.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use monoceros_shared::scoreboard::ThreadRow;
use pyo3::Python;

use super::Engine;
use super::late::PROBE_PATIENCE;
use crate::clock;
use crate::lease::Sight;
use crate::python::{greenlets, probe, stacks, tornado};

/// How often a busy worker is given another [`PROBE_PATIENCE`]. Fewer give up on one that only has much to do, more keep a person waiting.
const TRIES: usize = 8;

/// What runs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A thread of ours.
    Runner,
    /// A greenlet.
    Greenlet,
    /// A coroutine of a handler of tornado's.
    Handler,
}

impl Engine {
    /// The stacks of all of Python's threads, for people. Waits for the GIL for a while, so call it from a thread that has nothing better
    /// to do.
    pub fn stacks(&self) -> String {
        let (sender, told) = channel();
        let runs = self.kind();
        let (known, calls) = match runs {
            Kind::Runner => (self.known(), Vec::new()),
            Kind::Greenlet | Kind::Handler => (Vec::new(), self.calls()),
        };
        let is_asked = probe::ask(move |py| {
            let every = if runs == Kind::Handler { tornado::every } else { greenlets::every };
            // Whoever asked may have gone on without it.
            let _ = sender.send(stacks::every(py, known) + &every(py, calls));
        });
        if !is_asked {
            return "this worker runs no Python\n".to_owned();
        }
        for _ in 0..TRIES {
            let before = self.sights();
            match told.recv_timeout(Duration::from_millis(PROBE_PATIENCE)) {
                Ok(text) => {
                    return format!(
                        "stacks of {} threads, told by Python\n\n{text}",
                        text.matches("Thread 0x").count()
                    );
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) if self.sights() == before => return self.stacks_without_gil(),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        "this worker is too busy to tell its stacks\n".to_owned()
    }

    fn stacks_without_gil(&self) -> String {
        let text = stacks::without_gil().unwrap_or_default();
        let known: Vec<String> = match self.kind() {
            Kind::Runner => {
                self.known().into_iter().map(|(thread, what)| format!("0x{thread:016x} is {what}\n")).collect()
            }
            Kind::Greenlet | Kind::Handler => self.calls().into_iter().map(|(_, what)| format!("{what}\n")).collect(),
        };
        format!(
            "the GIL is held, for {PROBE_PATIENCE} ms at least: stacks as they stand, looked at without it\n\n{}\n{text}",
            known.concat()
        )
    }

    fn sights(&self) -> Vec<Sight> {
        self.watch.leases().map(|lease| lease.look()).collect()
    }

    /// What is known of our own threads.
    fn known(&self) -> Vec<stacks::Known> {
        let rows = self.scoreboard.threads().iter().zip(self.watch.leases()).enumerate();
        let told = rows.filter(|(_, (_, lease))| lease.thread() != 0).map(|(runner, (row, lease))| {
            let doing = doing(row).unwrap_or_else(|| "idle".to_owned());
            (lease.thread(), format!("{}: {doing}", self.who(runner)))
        });
        told.collect()
    }

    /// The places of calls that are under way, each with what is known of it.
    fn calls(&self) -> Vec<(usize, String)> {
        let rows = self.scoreboard.used().iter().enumerate();
        rows.filter_map(|(place, row)| Some((place, format!("{}: {}", self.who(place), doing(row)?)))).collect()
    }

    /// What runs the calls at this place, by name.
    pub(super) fn who(&self, place: usize) -> String {
        let kind = match self.kind() {
            Kind::Runner => "runner",
            Kind::Greenlet => "greenlet",
            Kind::Handler => "handler",
        };
        format!("{kind}-{place}")
    }

    fn kind(&self) -> Kind {
        match () {
            () if self.settings.engine.has_greenlets() => Kind::Greenlet,
            () if self.is_native.load(Ordering::Acquire) => Kind::Handler,
            () => Kind::Runner,
        }
    }

    /// The stack of the call at this place.
    pub(super) fn stack_of(&self, py: Python<'_>, place: usize) -> String {
        let thread = self.watch.lease(place).thread();
        if self.settings.engine.has_greenlets() { greenlets::stack(py, place, thread) } else { stacks::one(py, thread) }
    }
}

/// The request of a row, and for how long.
fn doing(row: &ThreadRow) -> Option<String> {
    let (request, since) = row.current()?;
    Some(format!("{request}, for {:.1} s", clock::now().saturating_sub(since) as f64 / 1000.0))
}
