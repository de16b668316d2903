//! The threads engine: each runner calls Python itself. The main thread is one of them, and with one thread all of them.
//!
//! The alternative was measured: one thread that only reads and sends, and a queue that the others take from. In one run, rounds
//! alternating, 16 threads: hello 5.9 and 7.4 µs of CPU here, 6.4 and 6.4 there; calls that sleep 10 ms 29.0 and 25.8 here, 29.1 and 25.6
//! there, both at 97 % of what is possible; p99 of hello 1.7 to 1.8 ms there, 0.5 to 1.6 here. So it is no better, and with one thread it
//! would be a thread more.
//!
//! Known fault: it counts on the GIL, so a free-threaded CPython (PEP 703) runs it no faster than another. What that would need: a batch
//! that is spread over the runners at once, for no lock keeps them from running it side by side; a lease that is claimed and ended without
//! the lock that both sides hold now when RequestTimeout is raised and taken back; and classes of ours that say they can do without it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use pyo3::Python;

use super::guest::Guest;
use super::runner::Runner;
use super::{Engine, Task, watch};
use crate::clock;
use crate::conn::Flushed;
use crate::lease::{Ending, Heard};
use crate::python::{self, Application, Rest, Served};
use crate::turn::Farewell;

/// How long threads of the application's may hold up the exit of a worker that has no request left. Less cuts off what they
/// are at, more holds up a reload; `timeouts.drain` ends it in any case.
pub(super) const PYTHON_PATIENCE: Duration = Duration::from_secs(5);

/// Pieces of one answer that are pulled in a row while nobody is known to wait. Less costs a look at the poll more often, more makes
/// others wait behind a client that reads as fast as the application writes.
pub(super) const PIECES_MAX: usize = 16;

/// The same for pieces that are held to leave together, within a tick of the kernel's. They cost a fraction of those that are sent, but
/// others may wait.
pub(super) const HELD_PIECES_MAX: usize = 256;

/// Serves on this thread and as many more as the config says, until the engine is done and this thread's last call is over.
///
/// # Errors
/// When a thread cannot be made.
pub fn run(engine: &Arc<Engine>, application: &Arc<Application>) -> io::Result<()> {
    watch::start(engine)?;
    let parts = (engine.clone(), application.clone());
    engine.growth.begin(Box::new(move |index| {
        let (engine, application) = parts.clone();
        engine.scoreboard.use_row(index);
        let mut runner = Runner::new(engine, index);
        thread::Builder::new().name(format!("runner-{index}")).spawn(move || runner.run(&application))
    }));
    for _ in 1..engine.settings.threads_min {
        engine.growth.hire()?;
    }
    Runner::new(engine.clone(), 0).run(application);
    engine.growth.join();
    engine.stop_beating();
    Python::attach(|py| application.end(py, PYTHON_PATIENCE, &engine.log));
    Ok(())
}

impl Runner {
    fn run(&mut self, application: &Application) {
        // One that begins while another keeps the GIL leads as little as one that waits for it later.
        self.tally().gil_asked_ns.set(clock::exactly());
        Python::attach(|py| {
            self.tally().gil_asked_ns.set(0);
            self.lease().adopt(python::this_thread(py));
            loop {
                let task = match self.pop() {
                    Some(task) => task,
                    // Left there when other work waited, which another runner took.
                    None if self.empty_outbox() => {
                        self.flush_batch();
                        continue;
                    }
                    None => match self.await_task_and_gil(py) {
                        Some(task) => task,
                        None => return,
                    },
                };
                self.work(py, application, task);
            }
        });
    }

    /// Does one piece of work.
    pub(super) fn work(&mut self, py: Python<'_>, application: &Application, task: Task) {
        match task {
            Task::Serve(guest) => self.serve(py, application, guest),
            Task::Abandon(rest) => self.abandon(py, application, rest),
        }
        let outbox = &self.engine.outbox;
        if !outbox.is_empty() && (outbox.is_sent() || self.engine.is_queue_empty()) {
            self.empty_outbox();
        }
        self.flush_batch();
    }

    /// Calls the application, or pulls at its answer, for as long as its client takes what comes of it.
    fn serve(&mut self, py: Python<'_>, application: &Application, guest: Box<Guest>) {
        let Some(mut guest) = self.still_there(guest) else { return };
        self.begin(&mut guest);
        if guest.rest.is_none() {
            guest.connection.begin_to_hold();
        }
        guest.connection.lease = Some(self.lease());
        if let Some(apology) = self.engine.notice.instead_of(&guest) {
            return self.apologise(guest, &apology);
        }
        let began = self.moment.now;
        for piece in 1.. {
            if piece > 1 {
                self.moment = self.clock.moment();
            }
            self.begin_call(Some(guest.key.index), guest.connection.heard());
            let Served { connection, rest } = match guest.rest.take() {
                None => application.call(py, guest.connection),
                Some(rest) => application.pull(py, guest.connection, rest),
            };
            (guest.connection, guest.rest) = (connection, rest);
            guest.connection.take_up();
            let ending = self.lease().end();
            if ending != Ending::Kept {
                return self.come_late(py, application, (guest, ending));
            }
            if piece < HELD_PIECES_MAX && self.moment.now == began && self.hold(&mut guest) {
                continue;
            }
            if self.engine.may_wait(&mut guest, began) {
                return self.defer(guest);
            }
            let flushed = guest.flush();
            if flushed != Flushed::All || !self.goes_on(&guest, piece) {
                return self.leave(guest, flushed);
            }
        }
    }

    /// Has what the application has given wait for its next piece. Says whether that is to be asked for now.
    fn hold(&self, guest: &mut Guest) -> bool {
        let may_hold = guest.rest.as_ref().is_some_and(Rest::has_items) && guest.connection.may_hold();
        if may_hold {
            guest.connection.hold();
            self.engine.watch.note_hold();
        }
        may_hold
    }

    /// Whether the application is asked on at once, all that it gave having left.
    fn goes_on(&self, guest: &Guest, piece: usize) -> bool {
        let Some(rest) = &guest.rest else { return false };
        if guest.connection.is_aborted() {
            return false;
        }
        // To be closed is all that is left, and what that sets free may be wanted.
        !rest.has_items() || piece < PIECES_MAX && self.engine.is_queue_empty()
    }

    /// Python has the thread now, for the connection in this slot or for none.
    pub(super) fn begin_call(&self, place: Option<u32>, heard: Heard) {
        self.engine.scoreboard.counters().python_beat.store(self.moment.now, Ordering::Relaxed);
        self.lease().begin(place, heard, self.moment.now);
        self.engine.watch.note_call();
    }

    /// Has the application close an answer that nobody waits for. It may block as any call may, so the watch is to see it.
    fn abandon(&mut self, py: Python<'_>, application: &Application, rest: Rest) {
        self.moment = self.clock.moment();
        self.begin_call(None, Heard::All);
        application.abandon(py, rest);
        if self.lease().end() != Ending::Kept {
            python::take_back(py, self.lease().thread());
        }
        self.stamp = clock::exactly();
    }

    /// A call has returned whose client was told without it. What it wrote is thrown away.
    fn come_late(&mut self, py: Python<'_>, application: &Application, call: (Box<Guest>, Ending)) {
        let (mut guest, ending) = call;
        self.admit_late(py, ending);
        if guest.rest.is_none() && self.lease().client().1 == Heard::All {
            return self.leave(guest, Flushed::All);
        }
        if let Some(rest) = guest.rest.take() {
            self.abandon(py, application, rest);
        }
        self.part_late(guest);
    }

    /// A late call is back.
    pub(super) fn admit_late(&self, py: Python<'_>, ending: Ending) {
        python::take_back(py, self.lease().thread());
        if ending == Ending::Stuck {
            self.engine.stuck.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Ends a connection whose client was told without its call.
    pub(super) fn part_late(&mut self, mut guest: Box<Guest>) {
        let line = self.engine.scoreboard.threads()[self.index].current();
        // It was counted and told of when its client was.
        (guest.arrived, guest.times) = (0, None);
        self.engine.scoreboard.threads()[self.index].end();
        self.moment = self.clock.moment();
        self.stamp = clock::exactly();
        let (request, since) = line.unwrap_or_default();
        slog::info!(self.engine.log, "a request that had timed out has returned";
            "request" => request, "ms" => self.moment.now.saturating_sub(since));
        if guest.connection.is_shared() {
            guest.connection.turn.fall_silent();
        } else {
            self.linger(&mut guest);
        }
        self.settle(guest);
    }

    /// The application has done for now what it had to do for this connection.
    pub(super) fn leave(&mut self, mut guest: Box<Guest>, flushed: Flushed) {
        self.end(&mut guest);
        self.go_on(guest, flushed);
    }

    /// What it has done is out, as far as its client takes it.
    pub(super) fn go_on(&mut self, mut guest: Box<Guest>, flushed: Flushed) {
        if flushed == Flushed::All {
            self.tell_answer(&mut guest);
        }
        match flushed {
            Flushed::Gone => self.close(guest, Farewell::Reset),
            Flushed::All if guest.rest.is_some() => self.engine.queue_later(Task::Serve(guest)),
            Flushed::All | Flushed::Full => self.settle(guest),
        }
    }
}
