//! The engine on tornado's IOLoop: one thread, whose loop waits for our poll.
//!
//! ```text
//!   a WSGI application:            the loop comes round -> leads -> calls what stands ready, one call at a time, as one runner does
//!   an application of tornado's:   the loop comes round -> leads, for the supervisor's sake alone; tornado's own server has copies
//!                                  of the listeners, from the word to serve until the drain, tells of each request (exchange), and
//!                                  says when nobody is left
//! ```

mod exchange;

use std::io;
use std::os::fd::IntoRawFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::places::Places;
use super::runner::Runner;
use super::slots::lock;
use super::threads::PYTHON_PATIENCE;
use super::{Engine, Mode, watch};
use crate::clock;
use crate::python::tornado::StartLine;
use crate::python::{self, Application};
use exchange::{Desk, Exchange};

/// Calls in a row before the loop has its turn. More lets what the application has on the loop wait, fewer costs a call more.
const CALLS_MAX: usize = 16;

/// Serves on this thread until the engine is done.
///
/// # Errors
/// When a thread cannot be made.
pub fn run(engine: &Arc<Engine>, application: &Arc<Application>) -> io::Result<()> {
    watch::start(engine)?;
    Python::attach(|py| {
        let runner = Runner::new(engine.clone(), 0);
        runner.lease().adopt(python::this_thread(py));
        if application.is_native(py) {
            engine.is_native.store(true, Ordering::Release);
        } else {
            engine.scoreboard.counters().calls_max.store(1, Ordering::Relaxed);
        }
        let places = Mutex::new(Places::new(engine.scoreboard.threads().len()));
        let desk = Arc::new(Desk { engine: engine.clone(), places });
        let crew = Crew { desk, engine: engine.clone(), application: application.clone(), runner: Mutex::new(runner) };
        let ran = Py::new(py, crew).and_then(|crew| python::tornado::run(py, application, crew.into_any()));
        if let Err(error) = ran {
            engine.end_with_loop(py, &error);
        }
        engine.stop_beating();
        application.end(py, PYTHON_PATIENCE, &engine.log);
    });
    Ok(())
}

/// The engine as `loop.py` sees it.
#[pyclass(name = "crew", module = "monoceros", frozen)]
struct Crew {
    desk: Arc<Desk>,
    engine: Arc<Engine>,
    application: Arc<Application>,
    /// Only the loop's thread takes it.
    runner: Mutex<Runner>,
}

#[pymethods]
impl Crew {
    fn descriptors(&self) -> Vec<i32> {
        self.engine.waited_for()
    }

    /// Takes in what has come, and calls the application for it. Says whether there is more.
    fn come_round(&self, py: Python<'_>) -> bool {
        if python::has_forked() {
            return false;
        }
        // A call may run the loop again by itself.
        let Ok(mut runner) = self.runner.try_lock() else { return false };
        let runner = &mut *runner;
        runner.without_gil(py, Runner::come_round);
        let next = |runner: &Runner| runner.pop().or_else(|| self.engine.pop_later());
        for calls in 0..CALLS_MAX {
            let Some(task) = next(runner) else {
                if calls > 0 {
                    runner.leave_loop();
                }
                self.engine.relieve_deputy();
                return false;
            };
            runner.work(py, &self.application, task);
        }
        true
    }

    fn mode(&self) -> &'static str {
        self.engine.mode_word()
    }

    /// The application has raised this where the loop could not but end, or has stopped it.
    fn go_on(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) {
        self.engine.go_on(py, error);
    }

    /// Ends the worker for a bug of ours.
    fn break_off(&self, py: Python<'_>, error: Bound<'_, PyAny>) {
        self.engine.end_with_loop(py, &PyErr::from_value(error));
    }

    // For an application of tornado's own.

    /// Copies of the listeners, which are the caller's.
    fn listeners(&self) -> PyResult<Vec<i32>> {
        let leader = lock(&self.engine.lead);
        let copies = leader.listeners.iter().map(|listener| listener.copy().map(IntoRawFd::into_raw_fd));
        Ok(copies.collect::<io::Result<_>>()?)
    }

    /// What of the config tornado's server can keep, and we with it.
    fn options<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let settings = &self.engine.settings;
        let options = PyDict::new(py);
        options.set_item("connections_max", settings.connections_max)?;
        options.set_item("patience", settings.request as f64 / 1000.0)?;
        options.set_item("max_header_size", settings.limits.head.header_bytes_max)?;
        options.set_item("max_body_size", settings.limits.body.body_bytes_max)?;
        options.set_item("idle_connection_timeout", settings.patiences.keepalive_seconds())?;
        Ok(options)
    }

    /// The head of a request has come, from this client.
    fn begin(&self, line: StartLine, client: String, headers: &Bound<'_, PyAny>) -> PyResult<Exchange> {
        Exchange::begin(&self.desk, &line, client, headers)
    }

    /// So many connections are open now, one of them new or one fewer than before.
    fn count_open(&self, count: u64, is_new: bool) {
        let counters = self.engine.scoreboard.counters();
        counters.accepted.fetch_add(u64::from(is_new), Ordering::Relaxed);
        counters.open.store(count, Ordering::Relaxed);
    }

    /// How long the drain may still last.
    fn seconds_to_drain(&self) -> f64 {
        let ends = self.engine.drain_ends().unwrap_or_default();
        ends.saturating_sub(clock::now()) as f64 / 1000.0
    }

    /// Nobody is accepted any more.
    fn has_left(&self) {
        self.engine.say_left();
    }

    /// Nobody is left.
    fn is_empty(&self) {
        self.engine.drained.store(true, Ordering::SeqCst);
        self.engine.end_if_empty();
    }
}

impl Engine {
    /// Ends the worker because its loop has.
    pub(super) fn end_with_loop(&self, py: Python<'_>, error: &PyErr) {
        slog::crit!(self.log, "the loop has failed"; "traceback" => python::traceback(py, error));
        self.break_off(&io::Error::other("the loop has failed"));
    }

    /// The loop has ended by the application's doing, and begins again.
    pub(super) fn go_on(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) {
        if self.mode_is(Mode::Done) {
            return;
        }
        let traceback = error.map(|error| python::traceback(py, &PyErr::from_value(error)));
        slog::error!(self.log, "the application has ended the loop"; "next" => "it goes on",
            "traceback" => traceback.unwrap_or_else(|| "it was stopped".to_owned()));
    }

    fn mode_word(&self) -> &'static str {
        let words = [(Mode::Done, "done"), (Mode::Drain, "drain"), (Mode::Serve, "serve")];
        words.into_iter().find(|(mode, _)| self.mode_is(*mode)).map_or("loaded", |(_, word)| word)
    }
}
