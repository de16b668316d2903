//! Greenlets of gevent or eventlet: their package, and what of an answer's way Python is to run itself, because it may switch.
//!
//! ```text
//!   a greenlet (serve.py):   take -> the application -> answer -> each item: give -> end -> close() -> leave
//!                            Rust    Python             Rust      Python     Rust    Rust    Python     Rust
//! ```
//!
//! No frame of ours is to lie under a switch, so whatever may run code of the application's is called by Python, and what is called
//! in Rust returns before anything switches. Standard modules are patched before the application is imported.
//!
//! Known fault: what the application says of an exception (`__str__`), and what Python collects as garbage, runs within a method of ours
//! all the same; a switch in there keeps only its own request.

use std::sync::Arc;

use monoceros_shared::config::{App, Engine};
use monoceros_shared::link::Failure;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use super::foreign::{self, known, module};
use super::respond::{self, Respond, Said, Waiting};
use super::{Application, note, stacks};
use crate::conn::Connection;

/// What serves requests, and what it needs of the package.
static SERVE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
static HUB: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A call that the application is to be made.
pub struct Begun {
    /// What its answer goes by.
    pub respond: Py<Respond>,
    /// Its first argument.
    pub environ: Py<PyAny>,
    /// Its second.
    pub start_response: Py<PyAny>,
}

/// Has the engine's package ready, and the standard modules patched, if it is one that has greenlets. Call it before the application
/// is imported, on Python's main thread.
///
/// # Errors
/// When there is no such package, or it raises.
pub fn prepare(py: Python<'_>, app: &App) -> Result<(), Failure> {
    let source = match app.engine {
        Engine::Threads | Engine::Tornado => return Ok(()),
        Engine::Gevent => include_str!("gevent.py"),
        Engine::Eventlet => include_str!("eventlet.py"),
    };
    let word = app.engine.word();
    let load = || -> PyResult<()> {
        // Python's own thread is the main one, whoever imports `threading` first.
        py.import("threading")?;
        let hub = module(py, source, &format!("monoceros/{word}.py"))?;
        let serve = module(py, include_str!("serve.py"), "monoceros/serve.py")?;
        let _ = HUB.set(py, hub.getattr("Hub")?.unbind());
        let _ = SERVE.set(py, serve.unbind());
        Ok(())
    };
    load().map_err(|raised| foreign::failure(py, app, &raised))
}

/// Serves on this thread until the crew says that it is done.
///
/// # Errors
/// When the package raises, which is no fault of a request's.
pub fn run(
    py: Python<'_>,
    application: &Application,
    make: impl FnOnce(Waiting) -> PyResult<Py<PyAny>>,
) -> PyResult<()> {
    let (serve, hub) = (known(py, &SERVE)?, known(py, &HUB)?.call0(py)?);
    let (write, receive) = serve.call_method1(py, intern!(py, "waiting"), (&hub,))?.extract(py)?;
    let crew = make(Waiting { write, receive })?;
    serve.call_method1(py, intern!(py, "run"), (crew, &application.callable, hub)).map(drop)
}

/// Whether the call at this place has the thread now.
pub fn runs(py: Python<'_>, place: usize) -> bool {
    let asked = || known(py, &SERVE)?.call_method1(py, intern!(py, "runs"), (place,))?.extract(py);
    asked().unwrap_or(false)
}

/// The stack of the call at this place, on this thread.
pub fn stack(py: Python<'_>, place: usize, thread: u64) -> String {
    let told = || -> PyResult<Option<String>> {
        let running = py.import("sys")?.call_method0("_current_frames")?.call_method1("get", (thread,))?;
        let frame = known(py, &SERVE)?.bind(py).call_method1(intern!(py, "frame"), (place, running))?;
        if frame.is_none() { Ok(None) } else { stacks::of_frame(py, frame).map(Some) }
    };
    match told() {
        Ok(stack) => stack.unwrap_or_else(|| "it has not begun, or has ended".to_owned()),
        Err(error) => format!("cannot take the stack: {error}"),
    }
}

/// The stacks of the calls at these places that wait, each under what is known of it.
pub fn every(py: Python<'_>, calls: Vec<(usize, String)>) -> String {
    let of = |(place, about): (usize, String)| {
        let at = if runs(py, place) { "  it has the thread\n".to_owned() } else { stack(py, place, 0) };
        format!("\n{about} (most recent call last):\n{at}")
    };
    calls.into_iter().map(of).collect()
}

impl Application {
    /// Prepares a call: the connection is lent to it. Back it comes if that fails, which is then its answer.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn begin(
        &self,
        py: Python<'_>,
        mut connection: Box<Connection>,
        waiting: &Arc<Waiting>,
    ) -> Result<Begun, Box<Connection>> {
        let prepared = Py::new(py, Respond::waiting(waiting.clone())).and_then(|respond| {
            let bound = respond.bind(py);
            let environ = self.environ(&mut connection, bound)?;
            environ.set_item(intern!(py, "monoceros.extend_timeout"), bound.getattr(intern!(py, "extend_timeout"))?)?;
            environ.set_item(intern!(py, "wsgi.early_hints"), bound.getattr(intern!(py, "early_hints"))?)?;
            let start_response = bound.getattr(intern!(py, "start_response"))?.unbind();
            Ok(Begun { environ: environ.unbind(), start_response, respond })
        });
        match prepared {
            Ok(begun) => {
                respond::lend(py, &begun.respond, connection);
                Ok(begun)
            }
            Err(error) => Err(self.fail(connection, (Said::default(), &error), py).connection),
        }
    }

    /// What the access log is to tell of this environ.
    pub fn notes(&self, environ: &Bound<'_, PyAny>) -> Vec<String> {
        self.noted.iter().map(|name| note(environ, name)).collect()
    }

    /// Whether it tells anything of it.
    pub fn has_notes(&self) -> bool {
        !self.noted.is_empty()
    }
}
