//! What a worker answers to the question what its threads are at.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::Engine;
use super::late::PROBE_PATIENCE;
use crate::clock;
use crate::lease::Sight;
use crate::python::{probe, stacks};

/// How often a busy worker is given another [`PROBE_PATIENCE`]. Fewer give up on one that only has much to do, more keep a person waiting.
const TRIES: usize = 8;

impl Engine {
    /// The stacks of all of Python's threads, for people. Waits for the GIL for a while, so call it from a thread that has nothing better
    /// to do.
    pub fn stacks(&self) -> String {
        let (sender, told) = channel();
        let known = self.known();
        let is_asked = probe::ask(move |py| {
            // Whoever asked may have gone on without it.
            let _ = sender.send(stacks::every(py, known));
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
        let known: Vec<String> =
            self.known().into_iter().map(|(thread, what)| format!("0x{thread:016x} is {what}\n")).collect();
        format!(
            "the GIL is held, for {PROBE_PATIENCE} ms at least: stacks as they stand, looked at without it\n\n{}\n{text}",
            known.concat()
        )
    }

    fn sights(&self) -> Vec<Sight> {
        self.watch.leases().iter().map(|lease| lease.look()).collect()
    }

    /// What is known of our own threads.
    fn known(&self) -> Vec<stacks::Known> {
        let now = clock::now();
        let rows = self.scoreboard.threads().iter().zip(self.watch.leases()).enumerate();
        let told = rows.filter(|(_, (_, lease))| lease.thread() != 0).map(|(runner, (row, lease))| {
            let doing = match row.current() {
                Some((request, since)) => format!("{request}, for {:.1} s", now.saturating_sub(since) as f64 / 1000.0),
                None => "idle".to_owned(),
            };
            (lease.thread(), format!("runner-{runner}: {doing}"))
        });
        told.collect()
    }
}
