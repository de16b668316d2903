//! The engines with greenlets: gevent's and eventlet's. One thread, a loop of Python's that waits for our poll, a greenlet for each call.
//!
//! ```text
//!   the hub comes round:   leads -> requests into the queue -> a greenlet for each that there is a place for
//!                                -> answers that have left  -> wakes whose they are
//!   a greenlet:            take -> (Python) the application, its items, close() -> answer, give, end, leave
//!   a client's socket is full:   the connection goes back to the poll until all has left, and the greenlet waits
//! ```
//!
//! What may switch is called by Python (`python/greenlets/serve.py`); a method here returns before anything does, and holds no lock
//! while code of the application's could run. A call has a place: its lease and its row of the scoreboard. A request stays in the
//! queue until its greenlet begins, so that the watch can still answer it, or hand it over, while somebody keeps the thread.
//!
//! Known fault: a child that the application forks has copies of all greenlets; one that goes on there ends the child.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::guest::{Absent, Guest};
use super::runner::Runner;
use super::slots::lock;
use super::threads::{PIECES_MAX, PYTHON_PATIENCE};
use super::{Engine, Mode, Task, watch};
use crate::conn::{Connection, Flushed};
use crate::lease::{Ending, Heard};
use crate::python::respond::{self, Respond, Said, Waiting};
use crate::python::{self, Application, EMPTY_MAX, Next, Progress, Rest, Whole};
use crate::turn::Farewell;

/// Serves on this thread until the engine is done.
///
/// # Errors
/// When a thread cannot be made.
pub fn run(engine: &Arc<Engine>, application: &Arc<Application>) -> io::Result<()> {
    watch::start(engine)?;
    Python::attach(|py| {
        let ran = python::greenlets::run(py, application, |waiting| {
            let hands = Hands {
                runner: Runner::new(engine.clone(), 0),
                free: BinaryHeap::new(),
                fresh: 0,
                places: engine.scoreboard.threads().len(),
                tickets: 0,
            };
            let (engine, application) = (engine.clone(), application.clone());
            let thread = python::this_thread(py);
            let shop = Shop { engine, application, thread, waiting: Arc::new(waiting), hands: Mutex::new(hands) };
            Ok(Py::new(py, Crew(Arc::new(shop)))?.into_any())
        });
        if let Err(error) = ran {
            engine.end_with_loop(py, &error);
        }
        engine.stop_beating();
        python::finalize(py, PYTHON_PATIENCE, &engine.log);
    });
    Ok(())
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
    /// Places below `fresh` that no call has.
    free: BinaryHeap<Reverse<usize>>,
    /// Places from here on were never used.
    fresh: usize,
    places: usize,
    /// Greenlets that were made and have not begun.
    tickets: usize,
}

impl Hands {
    /// The lowest place that is free, so that few are ever used.
    fn place(&mut self) -> Option<usize> {
        if let Some(Reverse(place)) = self.free.pop() {
            return Some(place);
        }
        let fresh = (self.fresh < self.places).then_some(self.fresh)?;
        self.fresh += 1;
        Some(fresh)
    }

    /// Goes on with the call at this place, now.
    fn go_to(&mut self, place: usize) {
        self.runner.go_to(place);
        self.runner.moment = self.runner.clock.moment();
    }

    /// How many greenlets are to be made for what stands ready.
    fn wanted(&mut self) -> usize {
        let room = self.free.len() + self.places - self.fresh;
        let wanted = self.runner.engine.unbegun().min(room).saturating_sub(self.tickets);
        self.tickets += wanted;
        wanted
    }
}

impl Shop {
    fn hands(&self) -> MutexGuard<'_, Hands> {
        lock(&self.hands)
    }
}

/// The engine as `serve.py` sees it.
#[pyclass(name = "crew", module = "monoceros", frozen)]
struct Crew(Arc<Shop>);

#[pymethods]
impl Crew {
    #[getter(RequestTimeout)]
    fn request_timeout<'py>(&self, py: Python<'py>) -> Bound<'py, PyType> {
        python::request_timeout_class(py)
    }

    fn descriptors(&self) -> Vec<i32> {
        self.0.engine.waited_for()
    }

    /// Takes in what has come. Gives the places of those who waited for what is over.
    fn come_round(&self, py: Python<'_>) -> Vec<usize> {
        if python::has_forked() {
            return Vec::new();
        }
        let mut hands = self.0.hands();
        let runner = &mut hands.runner;
        py.detach(|| runner.come_round());
        let begun = self.0.engine.take_begun();
        let woken = begun.into_iter().filter_map(|task| take_back(py, task, &mut hands.runner)).collect();
        hands.runner.flush_batch();
        woken
    }

    /// How many greenlets are to be made.
    fn wanted(&self) -> usize {
        self.0.hands().wanted()
    }

    /// The places of calls that are to be ended.
    fn overdue(&self) -> Vec<usize> {
        let engine = &self.0.engine;
        let overdue = engine.foreign.take_overdue().into_iter();
        overdue.filter(|(place, call)| engine.watch.lease(*place).is_late(*call)).map(|(place, _)| place).collect()
    }

    fn is_done(&self) -> bool {
        self.0.engine.mode_is(Mode::Done)
    }

    /// Ends the worker for a bug of ours.
    fn break_off(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.0.engine.end_with_loop(py, &PyErr::from_value(error));
    }

    /// The next request, if there is one and a place for it: the call, its place, and what to call the application with.
    fn take(&self, py: Python<'_>) -> PyResult<Option<(Py<Call>, usize, Py<PyAny>, Py<PyAny>)>> {
        let shop = &self.0;
        let Some((place, connection, absent)) = shop.take_up() else { return Ok(None) };
        match shop.application.begin(py, connection, &shop.waiting) {
            Ok(begun) => {
                let call = Call {
                    shop: shop.clone(),
                    place,
                    stage: Stage::Lent(absent),
                    respond: begun.respond,
                    environ: shop.application.has_notes().then(|| begun.environ.clone_ref(py)),
                    items: (0, 0),
                    is_closing: false,
                    is_orphan: false,
                };
                Ok(Some((Py::new(py, call)?, place, begun.environ, begun.start_response)))
            }
            Err(connection) => {
                if let Sent::All(guest) | Sent::Full(guest) = shop.send(py, (place, connection, absent)) {
                    shop.hands().runner.leave(guest, Flushed::All);
                }
                shop.dismiss(place);
                Ok(None)
            }
        }
    }
}

/// Gives a connection back whose greenlet waits for it, or says that it is gone. Gives the place of the call.
fn take_back(py: Python<'_>, task: Task, runner: &mut Runner) -> Option<usize> {
    let (call, stage) = match task {
        Task::Serve(guest) => {
            let Some(Rest::Awaited(call)) = &guest.rest else { unreachable!("nothing else is left of a begun answer") };
            (call.clone_ref(py), Stage::Here(guest))
        }
        Task::Abandon(Rest::Awaited(call)) => (call, Stage::Over),
        Task::Abandon(Rest::Iterable(_)) => unreachable!("nothing else is left of a begun answer"),
    };
    let call = call.bind(py).cast::<Call>().expect("a call waits").clone();
    let mut call = call.borrow_mut();
    if !call.is_orphan {
        call.stage = stage;
        return Some(call.place);
    }
    if let Stage::Here(mut guest) = stage {
        guest.rest = None;
        if !guest.connection.turn.is_answered() {
            guest.connection.turn.fail();
        }
        runner.settle(guest);
    }
    None
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

impl Shop {
    /// A request from the queue that the application is to be called for, with a place for it.
    fn take_up(&self) -> Option<(usize, Box<Connection>, Absent)> {
        let mut hands = self.hands();
        hands.tickets = hands.tickets.saturating_sub(1);
        let place = hands.place()?;
        let guest = self.engine.pop_unbegun().and_then(|guest| hands.runner.still_there(guest));
        let Some(mut guest) = guest else {
            hands.free.push(Reverse(place));
            return None;
        };
        let runner = &mut hands.runner;
        runner.go_to(place);
        runner.lease().share(self.thread);
        self.engine.scoreboard.use_row(place);
        runner.begin(&mut guest);
        guest.connection.lease = Some(runner.lease());
        if let Some(apology) = self.engine.notice.instead_of(&guest) {
            runner.apologise(guest, &apology);
            runner.flush_batch();
            hands.free.push(Reverse(place));
            return None;
        }
        runner.begin_call(Some(guest.key.index), guest.connection.heard());
        let (connection, absent) = guest.part();
        Some((place, connection, absent))
    }

    /// A stretch of a call is over: sends what it has left, if it was in time.
    fn send(&self, py: Python<'_>, what: (usize, Box<Connection>, Absent)) -> Sent {
        let (place, connection, absent) = what;
        let mut hands = self.hands();
        let runner = &mut hands.runner;
        runner.go_to(place);
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
        hands.free.push(Reverse(place));
        hands.wanted()
    }
}

/// Where the connection of a call is.
enum Stage {
    /// The application has it.
    Lent(Absent),
    /// Here: all that was written has left.
    Here(Box<Guest>),
    /// In the poll, until all that was written has left.
    Leaving,
    /// It is not the call's any more.
    Over,
}

/// What the greenlet is to do next, by the numbers that `serve.py` has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    /// Ask for the next item.
    Go,
    /// Let others go first.
    Pause,
    /// Wait until what was given has left.
    Wait,
    /// Ask for no other.
    Stop,
}

/// One call, as `serve.py` sees it.
#[pyclass(name = "call", module = "monoceros")]
struct Call {
    shop: Arc<Shop>,
    place: usize,
    stage: Stage,
    /// What the connection is lent by.
    respond: Py<Respond>,
    /// What the access log tells of, if it tells of it.
    environ: Option<Py<PyAny>>,
    /// Items of the answer, and those that were empty.
    items: (usize, usize),
    is_closing: bool,
    /// Its greenlet has ended, though the connection is still in the poll.
    is_orphan: bool,
}

#[pymethods]
impl Call {
    /// The application has returned this. Says whether it could be sent as it is; else it is to be asked for its items.
    fn answer(slf: &Bound<'_, Self>, iterable: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = slf.py();
        python::leave_if_child(py, None);
        let mut call = slf.try_borrow_mut()?;
        let (mut connection, said, absent) = call.take(py)?;
        if let Some(environ) = &call.environ {
            connection.notes = call.shop.application.notes(environ.bind(py));
        }
        match call.shop.application.at_once(&mut connection.turn, said, iterable) {
            Ok(Whole::Done | Whole::Sent) => {
                call.send(slf, connection, absent);
                Ok(true)
            }
            Ok(Whole::Items) => {
                call.lend(py, connection, absent);
                Ok(false)
            }
            Err(error) => {
                call.lend(py, connection, absent);
                Err(error)
            }
        }
    }

    /// The next item. Says what is to be done before the next.
    fn give(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<u8> {
        let py = slf.py();
        python::leave_if_child(py, None);
        let item = python::piece(item)?;
        let mut call = slf.try_borrow_mut()?;
        let next = if item.as_bytes().is_empty() { Next::Empty } else { Next::Item(item) };
        if matches!(next, Next::Empty) {
            call.items.1 += 1;
            if !call.items.1.is_multiple_of(EMPTY_MAX) {
                return Ok(Step::Go as u8);
            }
        }
        let is_more = call.hand_over(slf, &next)?;
        call.items.0 += 1;
        let is_turn_over = call.items.0.is_multiple_of(PIECES_MAX) || matches!(next, Next::Empty);
        let step = match &call.stage {
            Stage::Here(_) if is_more && is_turn_over => Step::Pause,
            Stage::Here(_) if is_more => {
                call.go_on(py);
                Step::Go
            }
            Stage::Leaving if is_more => Step::Wait,
            Stage::Here(_) | Stage::Leaving | Stage::Over | Stage::Lent(_) => Step::Stop,
        };
        Ok(step as u8)
    }

    /// There is no other item.
    fn end(slf: &Bound<'_, Self>) -> PyResult<()> {
        python::leave_if_child(slf.py(), None);
        let mut call = slf.try_borrow_mut()?;
        call.hand_over(slf, &Next::End).map(drop)
    }

    /// Others went first, or what was given has left. Says whether the next item is wanted.
    fn resume(&mut self, py: Python<'_>) -> bool {
        self.go_on(py);
        matches!(self.stage, Stage::Lent(_))
    }

    /// The application has raised this, or its greenlet was ended by it.
    fn fail(slf: &Bound<'_, Self>, error: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let error = PyErr::from_value(error);
        python::leave_if_child(py, Some(&error));
        let mut call = slf.try_borrow_mut()?;
        match &mut call.stage {
            Stage::Lent(_) => {
                let (mut connection, said, absent) = call.take(py)?;
                call.shop.application.fail_turn(&mut connection.turn, (said, &error), py);
                call.send(slf, connection, absent);
            }
            // It is answered so when it leaves.
            Stage::Here(_) | Stage::Leaving => {}
            Stage::Over => {
                slog::debug!(call.shop.engine.log, "a call has failed whose client was gone";
                    "traceback" => python::traceback(py, &error));
            }
        }
        Ok(())
    }

    /// Whether what was written has still to leave.
    fn is_leaving(&self) -> bool {
        matches!(self.stage, Stage::Leaving)
    }

    /// What the application returned is to be closed. That may block as any call may, so the watch is to see it.
    fn begin_to_close(&mut self) {
        self.is_closing = true;
        let mut hands = self.shop.hands();
        hands.go_to(self.place);
        match &self.stage {
            Stage::Here(guest) => hands.runner.begin_call(Some(guest.key.index), guest.connection.heard()),
            Stage::Lent(_) | Stage::Leaving | Stage::Over => hands.runner.begin_call(None, Heard::All),
        }
    }

    /// It raised this.
    fn fail_to_close(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.shop.application.note_failed_close(py, &PyErr::from_value(error));
    }

    /// The greenlet ends. Says how many others are to be made.
    fn leave(&mut self, py: Python<'_>) -> usize {
        if self.is_closing {
            let mut hands = self.shop.hands();
            hands.go_to(self.place);
            let ending = hands.runner.lease().end();
            if ending != Ending::Kept {
                hands.runner.admit_late(py, ending);
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Here(mut guest) => {
                let mut hands = self.shop.hands();
                hands.go_to(self.place);
                guest.rest = None;
                if !guest.connection.turn.is_answered() {
                    guest.connection.turn.fail();
                }
                let flushed = guest.connection.flush();
                hands.runner.leave(guest, flushed);
            }
            Stage::Leaving => self.is_orphan = true,
            Stage::Lent(absent) => {
                // Nothing but a bug of ours comes here.
                self.stage = Stage::Lent(absent);
                if let Ok((mut connection, _, absent)) = self.take(py) {
                    connection.turn.fail();
                    if let Sent::All(guest) | Sent::Full(guest) = self.shop.send(py, (self.place, connection, absent)) {
                        self.shop.hands().runner.leave(guest, Flushed::Full);
                    }
                }
            }
            Stage::Over => {}
        }
        self.shop.dismiss(self.place)
    }
}

impl Call {
    /// Takes the connection back from the application.
    fn take(&mut self, py: Python<'_>) -> PyResult<(Box<Connection>, Said, Absent)> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Lent(absent) => {
                let (connection, said) = respond::take_back(py, &self.respond);
                Ok((connection, said, absent))
            }
            other => {
                self.stage = other;
                Err(PyRuntimeError::new_err("this request is over"))
            }
        }
    }

    fn lend(&mut self, py: Python<'_>, connection: Box<Connection>, absent: Absent) {
        respond::lend(py, &self.respond, connection);
        self.stage = Stage::Lent(absent);
    }

    /// Gives the turn what came next, and sends it. Says whether there may be more.
    fn hand_over(&mut self, me: &Bound<'_, Self>, next: &Next<'_>) -> PyResult<bool> {
        let py = me.py();
        let (mut connection, said, absent) = self.take(py)?;
        match self.shop.application.hand_over(&mut connection.turn, said, next) {
            Ok(progress) => {
                self.send(me, connection, absent);
                Ok(progress == Progress::More)
            }
            Err(error) => {
                self.lend(py, connection, absent);
                Err(error)
            }
        }
    }

    /// A stretch of the call is over.
    fn send(&mut self, me: &Bound<'_, Self>, connection: Box<Connection>, absent: Absent) {
        self.stage = match self.shop.send(me.py(), (self.place, connection, absent)) {
            Sent::All(guest) => Stage::Here(guest),
            Sent::Full(mut guest) => {
                guest.rest = Some(Rest::Awaited(me.clone().into_any().unbind()));
                let mut hands = self.shop.hands();
                hands.runner.end(&mut guest);
                hands.runner.settle(guest);
                hands.runner.flush_batch();
                // It may have left at once, or its client.
                if !self.shop.engine.is_queue_empty() {
                    self.shop.engine.foreign.ring();
                }
                Stage::Leaving
            }
            Sent::Over => Stage::Over,
        };
    }

    /// Another stretch of the call begins, if there is still somebody to answer.
    fn go_on(&mut self, py: Python<'_>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Here(mut guest) => {
                let mut hands = self.shop.hands();
                hands.go_to(self.place);
                if guest.rest.is_some() {
                    hands.runner.begin(&mut guest);
                    guest.rest = None;
                }
                hands.runner.begin_call(Some(guest.key.index), guest.connection.heard());
                drop(hands);
                let (connection, absent) = guest.part();
                self.lend(py, connection, absent);
            }
            other => self.stage = other,
        }
    }
}
