//! The engine as `serve.py` sees it: what comes, and for whom a greenlet is to be made.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyType;

use super::call::{Call, Stage};
use super::{Sent, Shop};
use crate::conn::Flushed;
use crate::engine::runner::Runner;
use crate::engine::{Mode, Task};
use crate::python::{self, Rest};

/// A call, its place, and what the application is called with.
type Taken = (Py<Call>, usize, Py<PyAny>, Py<PyAny>);

/// The engine as `serve.py` sees it.
#[pyclass(name = "crew", module = "monoceros", frozen)]
pub(super) struct Crew(pub Arc<Shop>);

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
        runner.without_gil(py, Runner::come_round);
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

    /// The application has raised this where the loop could not but end.
    fn go_on(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) {
        self.0.engine.go_on(py, error);
    }

    /// Ends the worker for a bug of ours.
    fn break_off(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.0.engine.end_with_loop(py, &PyErr::from_value(error));
    }

    /// The next request, if there is one and a place for it: the call, its place, and what to call the application with.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Taken>> {
        let shop = &self.0;
        let Some((place, connection, absent)) = shop.take_up() else { return Ok(None) };
        match shop.application.begin(py, connection, &shop.waiting) {
            Ok(begun) => {
                let environ = shop.application.has_notes().then(|| begun.environ.clone_ref(py));
                let call = Call::new(shop.clone(), place, (absent, begun.respond, environ));
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
    call.borrow_mut().come_back(stage, runner)
}
