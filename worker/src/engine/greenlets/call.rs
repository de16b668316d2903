//! One call as `serve.py` sees it: where its connection is, and each step of its answer.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Sent, Shop};
use crate::clock;
use crate::conn::{Connection, Flushed};
use crate::engine::guest::{Absent, Guest};
use crate::engine::runner::Runner;
use crate::engine::threads::{HELD_PIECES_MAX, PIECES_MAX};
use crate::lease::{Ending, Heard};
use crate::python::respond::{self, Respond, Said};
use crate::python::{self, EMPTY_MAX, Next, Progress, Rest, Whole};

/// Where the connection of a call is.
pub(super) enum Stage {
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
    /// Ask for the next item, and have what was given leave when the greenlet switches.
    Hold,
}

/// One call, as `serve.py` sees it.
#[pyclass(name = "call", module = "monoceros")]
pub(super) struct Call {
    shop: Arc<Shop>,
    place: usize,
    stage: Stage,
    /// What the connection is lent by.
    respond: Py<Respond>,
    /// What the access log tells of, if it tells of it, until the application has returned.
    environ: Option<Py<PyAny>>,
    /// Items of the answer, and those that were empty.
    items: (usize, usize),
    /// Items that are held, to leave together.
    held: usize,
    /// Since when, as far as the kernel's tick tells.
    began: u64,
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
        let held = call.held;
        let is_more = call.hand_over(slf, &next)?;
        call.items.0 += 1;
        let is_turn_over = held > 0 || call.items.0.is_multiple_of(PIECES_MAX) || matches!(next, Next::Empty);
        let step = match &mut call.stage {
            Stage::Here(guest) if is_more && guest.connection.is_aborted() => {
                guest.connection.turn.abort();
                Step::Stop
            }
            Stage::Here(_) if is_more && is_turn_over => Step::Pause,
            Stage::Here(_) if is_more => {
                call.go_on(py);
                Step::Go
            }
            Stage::Leaving if is_more => Step::Wait,
            Stage::Lent(_) if is_more => Step::Hold,
            Stage::Here(_) | Stage::Leaving | Stage::Over | Stage::Lent(_) => Step::Stop,
        };
        Ok(step as u8)
    }

    /// Its greenlet has switched: what is held leaves, as far as the client takes it.
    fn send_held(&self) {
        if python::has_forked() {
            return;
        }
        self.shop.engine.watch.lease(self.place).holder.send();
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
        let hands = self.shop.at(self.place);
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
            let hands = self.shop.at(self.place);
            let ending = hands.runner.lease().end();
            if ending != Ending::Kept {
                hands.runner.admit_late(py, ending);
            }
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Here(mut guest) => {
                let mut hands = self.shop.at(self.place);
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
    /// A call whose connection was just lent, by this; the access log tells of the environ, if there is one.
    pub fn new(shop: Arc<Shop>, place: usize, lent: (Absent, Py<Respond>, Option<Py<PyAny>>)) -> Call {
        let (absent, respond, environ) = lent;
        let stage = Stage::Lent(absent);
        let began = shop.hands().runner.moment.now;
        Call {
            shop,
            place,
            stage,
            respond,
            environ,
            items: (0, 0),
            held: 0,
            began,
            is_closing: false,
            is_orphan: false,
        }
    }

    /// What was waited for is over. Gives the place, if somebody waits there still.
    pub fn come_back(&mut self, stage: Stage, runner: &mut Runner) -> Option<usize> {
        if !self.is_orphan {
            self.stage = stage;
            return Some(self.place);
        }
        if let Stage::Here(mut guest) = stage {
            guest.rest = None;
            if !guest.connection.turn.is_answered() {
                guest.connection.turn.fail();
            }
            runner.count_answer(&mut guest);
            runner.settle(guest);
        }
        None
    }

    /// Takes the connection back from the application.
    fn take(&mut self, py: Python<'_>) -> PyResult<(Box<Connection>, Said, Absent)> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Lent(absent) => {
                let (mut connection, said) = respond::take_back(py, &self.respond);
                if let Some(environ) = self.environ.take() {
                    connection.notes = self.shop.application.notes(environ.bind(py));
                }
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
            Ok(Progress::More) if self.may_hold(&mut connection) => {
                self.hold(me, connection, absent);
                Ok(true)
            }
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

    /// Whether what was given may wait for more of it, which comes soon.
    fn may_hold(&self, connection: &mut Connection) -> bool {
        connection.take_up();
        self.held + 1 < HELD_PIECES_MAX && clock::now() == self.began && connection.may_hold()
    }

    /// Has it wait, if it is in time.
    fn hold(&mut self, me: &Bound<'_, Self>, mut connection: Box<Connection>, absent: Absent) {
        let lease = self.shop.engine.watch.lease(self.place);
        if !lease.pause() {
            return self.send(me, connection, absent);
        }
        connection.hold();
        lease.resume(connection.heard(), self.began);
        self.held += 1;
        self.shop.engine.watch.note_hold();
        self.lend(me.py(), connection, absent);
    }

    /// A stretch of the call is over.
    fn send(&mut self, me: &Bound<'_, Self>, connection: Box<Connection>, absent: Absent) {
        self.held = 0;
        self.stage = match self.shop.send(me.py(), (self.place, connection, absent)) {
            // Nobody wants the rest of an answer whose request was aborted: whoever has the connection next sees to that.
            Sent::All(guest) if guest.connection.turn.is_answered() || !guest.connection.is_aborted() => {
                Stage::Here(guest)
            }
            Sent::All(mut guest) | Sent::Full(mut guest) => {
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
                let mut hands = self.shop.at(self.place);
                if guest.rest.is_some() {
                    hands.runner.begin(&mut guest);
                    guest.rest = None;
                }
                hands.runner.begin_call(Some(guest.key.index), guest.connection.heard());
                self.began = hands.runner.moment.now;
                drop(hands);
                let (connection, absent) = guest.part();
                self.lend(py, connection, absent);
            }
            other => self.stage = other,
        }
    }
}
