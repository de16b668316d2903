//! The engines with greenlets: gevent's and eventlet's. One thread, a loop of Python's that waits for our poll, a greenlet for each call.
//!
//! ```text
//!   the hub comes round:   leads -> requests into the queue -> a greenlet for each that there is a place for
//!                                -> answers that have left  -> wakes whose they are
//!   a greenlet:            take -> (Python) the application, its items, close() -> answer, give, end, leave
//!   small items that come at once:   are held, and leave together when the greenlet switches, ends, or has kept others waiting (held)
//!   a client's socket is full:   the connection goes back to the poll until all has left, and the greenlet waits
//! ```
//!
//! What may switch is called by Python (`python/greenlets/serve.py`); a method here returns before anything does, and holds no lock
//! while code of the application's could run. A call has a place: its lease and its row of the scoreboard. A request stays in the
//! queue until its greenlet begins, so that the watch can still answer it, or hand it over, while somebody keeps the thread.

mod call;
mod crew;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crew::Crew;
use pyo3::prelude::*;

use super::guest::{Absent, Guest};
use super::places::Places;
use super::runner::Runner;
use super::slots::lock;
use super::threads::PYTHON_PATIENCE;
use super::{Engine, watch};
use crate::clock;
use crate::conn::{Connection, Flushed};
use crate::lease::Ending;
use crate::python::respond::Waiting;
use crate::python::{self, Application};
use crate::turn::Farewell;

/// Serves on this thread until the engine is done.
///
/// # Errors
/// When a thread cannot be made.
pub fn run(engine: &Arc<Engine>, application: &Arc<Application>) -> io::Result<()> {
    watch::start(engine)?;
    Python::attach(|py| {
        let ran = python::greenlets::run(py, application, |waiting| {
            let (runner, places) = (Runner::new(engine.clone(), 0), Places::new(engine.scoreboard.threads().len()));
            let hands = Hands { runner, places, tickets: 0 };
            let (engine, application) = (engine.clone(), application.clone());
            let thread = python::this_thread(py);
            let shop = Shop { engine, application, thread, waiting: Arc::new(waiting), hands: Mutex::new(hands) };
            Ok(Py::new(py, Crew(Arc::new(shop)))?.into_any())
        });
        if let Err(error) = ran {
            engine.end_with_loop(py, &error);
        }
        engine.stop_beating();
        application.end(py, PYTHON_PATIENCE, &engine.log);
    });
    Ok(())
}

/// What became of what was ready to leave.
enum Sent {
    /// All of it is out.
    All(Box<Guest>),
    /// The socket is full.
    Full(Box<Guest>),
    /// The connection is not the call's any more: its client is gone, or was told without it.
    Over,
}

/// What all greenlets share.
struct Shop {
    engine: Arc<Engine>,
    application: Arc<Application>,
    /// The number that Python has for the thread.
    thread: u64,
    /// How clients are waited for within calls.
    waiting: Arc<Waiting>,
    hands: Mutex<Hands>,
}

/// What does the work of one, for all of them. Only their thread takes it, and never while Python runs.
struct Hands {
    runner: Runner,
    places: Places,
    /// Greenlets that were made and have not begun.
    tickets: usize,
}

impl Hands {
    /// Goes on with the call at this place, now.
    fn go_to(&mut self, place: usize) {
        self.runner.go_to(place);
        self.runner.moment = self.runner.clock.moment();
        self.runner.stamp = clock::exactly();
    }

    /// How many greenlets are to be made for what stands ready.
    fn wanted(&mut self) -> usize {
        let wanted = self.runner.engine.unbegun().min(self.places.room()).saturating_sub(self.tickets);
        self.tickets += wanted;
        wanted
    }
}

impl Shop {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        lock(&self.hands)
    }

    /// The hands, at the call of this place.
    fn at(&self, place: usize) -> MutexGuard<'_, Hands> {
        let mut hands = self.hands();
        hands.go_to(place);
        hands
    }

    /// A request from the queue that the application is to be called for, with a place for it.
    fn take_up(&self) -> Option<(usize, Box<Connection>, Absent)> {
        let mut hands = self.hands();
        hands.tickets = hands.tickets.saturating_sub(1);
        let place = hands.places.take()?;
        let guest = self.engine.pop_unbegun(|_| true).and_then(|guest| hands.runner.still_there(guest));
        let Some(mut guest) = guest else {
            hands.places.give_back(place);
            return None;
        };
        hands.go_to(place);
        let runner = &mut hands.runner;
        runner.lease().share(self.thread);
        self.engine.scoreboard.use_row(place);
        runner.begin(&mut guest);
        guest.connection.lease = Some(runner.lease());
        guest.connection.begin_to_hold();
        if let Some(apology) = self.engine.notice.instead_of(&guest) {
            runner.apologise(guest, &apology);
            runner.flush_batch();
            hands.places.give_back(place);
            return None;
        }
        runner.begin_call(Some(guest.key.index), guest.connection.heard());
        let (connection, absent) = guest.part();
        Some((place, connection, absent))
    }

    /// A stretch of a call is over: sends what it has left, if it was in time.
    fn send(&self, py: Python<'_>, what: (usize, Box<Connection>, Absent)) -> Sent {
        let (place, mut connection, absent) = what;
        connection.take_up();
        let mut hands = self.at(place);
        let runner = &mut hands.runner;
        let ending = runner.lease().end();
        let mut guest = absent.join(connection);
        if ending != Ending::Kept {
            runner.admit_late(py, ending);
            runner.part_late(guest);
            runner.flush_batch();
            return Sent::Over;
        }
        match guest.connection.flush() {
            Flushed::All => Sent::All(guest),
            Flushed::Full => Sent::Full(guest),
            Flushed::Gone => {
                runner.end(&mut guest);
                runner.close(guest, Farewell::Reset);
                runner.flush_batch();
                Sent::Over
            }
        }
    }

    /// The place is free again.
    fn dismiss(&self, place: usize) -> usize {
        let mut hands = self.hands();
        hands.runner.leave_loop();
        hands.places.give_back(place);
        hands.wanted()
    }
}
