//! The Python side of a worker: the only folder, beside the engines, that knows Python.
//!
//! ```text
//!   load:   interpreter -> import  -> Application -> ready? -> modules
//!   call:   environ + input -> the application, with respond as its start_response -> iterate -> the turn
//!   pull:                                                      the next item of the iterable -> the turn
//! ```
//!
//! Everything here but [`load`] runs attached to the interpreter, on whichever thread the engine has at hand.
//! A connection is lent to Python for the length of a call and comes back with it, whatever the application does.

mod deadline;
mod environ;
mod error;
mod file;
mod foreign;
mod fork;
pub mod greenlets;
mod hints;
pub mod hooks;
mod import;
mod input;
mod interpreter;
mod iterate;
mod journal;
mod latin1;
mod meta;
mod modules;
mod names;
mod once;
mod paste;
pub mod probe;
mod ready;
pub mod respond;
mod shutdown;
pub mod stacks;
mod template;
#[cfg(test)]
mod tests;
pub mod tornado;

use std::sync::Arc;
use std::time::Duration;

use hooks::Hooks;
use monoceros_shared::about;
use monoceros_shared::config::{Access, App, Atom, Piece};
use monoceros_shared::link::{Assignment, Failure, Purpose};
use pyo3::intern;
use pyo3::prelude::*;
use respond::{Respond, Said};
use slog::Logger;

use crate::conn::Connection;
pub use deadline::{raise_in, request_timeout_class, take_back};
pub use error::traceback;
pub use fork::{has_forked, leave_if_child, on_fork};
pub use interpreter::VERSION as BUILT_FOR;
pub use iterate::{EMPTY_MAX, Next, Progress, Rest, Whole, piece};
pub use modules::files;
pub use once::{finish, load_once};
pub use ready::check;
pub use shutdown::finalize;
pub use stacks::this_thread;

/// A WSGI application and all that its calls have in common. Shared by every thread that runs Python.
pub struct Application {
    callable: Py<PyAny>,
    environs: environ::Environs,
    inputs: input::Inputs,
    /// The variables of environ that the access log tells.
    noted: Arc<[String]>,
    log: Logger,
    /// Who is told of a failure in the log's place.
    witness: Option<ready::Witness>,
    hooks: Option<Hooks>,
}

/// What an application's call or a pull came to.
pub struct Served {
    /// The connection, back again.
    pub connection: Box<Connection>,
    /// What of the answer is still to be had. The engine pulls it when all that was written has left, also once the turn
    /// is finished (then only `close()` is left, which may be slow and must not hold back the answer's last bytes), and begins no
    /// other request of this connection before. `None`: the turn is finished or failed, and `close()` was called.
    pub rest: Option<Rest>,
}

/// Starts the interpreter on this thread, which becomes Python's main thread, and imports the application. The GIL is released
/// when it returns. The working directory becomes the application's.
///
/// The worker's own signal handlers must stand before this, see `interpreter`.
///
/// # Errors
/// What a person needs to see why the application cannot be had: see [`Failure`].
pub fn load(assignment: &Assignment, log: &Logger) -> Result<Application, Failure> {
    load_with(assignment, log, |_| Ok(()))
}

/// The same, with something done before the application is imported.
fn load_with(
    assignment: &Assignment,
    log: &Logger,
    prepare: impl FnOnce(Python<'_>) -> PyResult<()>,
) -> Result<Application, Failure> {
    let app = &assignment.app;
    if let Some(root) = &app.virtualenv {
        interpreter::check_virtualenv(root)?;
    }
    std::env::set_current_dir(&app.directory)
        .map_err(|error| Failure::new(format!("cannot enter directory {}: {error}", app.directory.display()), ""))?;
    interpreter::start(app)?;
    watch_over()?;
    Python::attach(|py| {
        foreign::prepare(py, app)?;
        interpreter::set_switch_interval(py, app)?;
        if let Err(error) = interpreter::write_line_by_line(py) {
            slog::warn!(log, "what is printed may come late"; "why" => error::one_line(py, &error));
        }
        let unprepared = |error: PyErr| {
            Failure::new(format!("cannot prepare Python: {}", error::one_line(py, &error)), traceback(py, &error))
        };
        prepare(py).map_err(unprepared)?;
        import::prepare(py, app).map_err(unprepared)?;
        let hooks = Hooks::load(py, assignment, log)?;
        hooks.as_ref().map_or(Ok(()), |hooks| hooks.start(py))?;
        let mut callable = import::application(py, app)?;
        tornado::expect_servable(callable.bind(py), app)?;
        if let Some(hooks) = &hooks {
            callable = hooks.around(py, callable, app).map_err(unprepared)?;
            // A check is not going to serve.
            if assignment.purpose == Purpose::Serve {
                hooks.ready(py)?;
            }
        }
        let application = Application::new(py, callable, assignment, log.clone()).map_err(unprepared)?;
        Ok(Application { hooks, ..application })
    })
}

/// Starts the interpreter as for this application, imports nothing, and gives what Python says of itself.
///
/// # Errors
/// Why it does not start.
pub fn introduce(app: &App) -> Result<about::Python, Failure> {
    interpreter::start(app)?;
    let odd = |py: Python<'_>, raised: PyErr| {
        Failure::new(format!("cannot ask Python: {}", error::one_line(py, &raised)), traceback(py, &raised))
    };
    Python::attach(|py| interpreter::describe(py).map_err(|raised| odd(py, raised)))
}

/// From here on the threads of Python can be seen from outside, those of an import that hangs too.
fn watch_over() -> Result<(), Failure> {
    let failure = |cause: String| Failure::new(format!("cannot watch over Python: {cause}"), "");
    Python::attach(|py| stacks::prepare(py).map_err(|error| failure(error::one_line(py, &error))))?;
    probe::start().map_err(|error| failure(error.to_string()))
}

impl Application {
    fn new(py: Python<'_>, callable: Py<PyAny>, assignment: &Assignment, log: Logger) -> PyResult<Application> {
        fork::register(py)?;
        Ok(Application {
            callable,
            environs: environ::Environs::new(py, assignment, &log)?,
            inputs: input::Inputs::new(py)?,
            noted: noted(&assignment.log.access),
            log,
            witness: None,
            hooks: None,
        })
    }

    /// Ends Python: see [`finalize`], and before that what the application's hooks have to do.
    pub fn end(&self, py: Python<'_>, patience: Duration, log: &Logger) {
        if let Some(hooks) = &self.hooks {
            hooks.exit(py);
        }
        finalize(py, patience, log);
    }

    /// Calls the application for the complete request of this connection's turn.
    pub fn call(&self, py: Python<'_>, mut connection: Box<Connection>) -> Served {
        let prepared = Py::new(py, Respond::default())
            .and_then(|respond| Ok((self.environ(&mut connection, respond.bind(py))?, respond)));
        let (environ, respond) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.fail(connection, (Said::default(), &error), py),
        };
        respond::lend(py, &respond, connection);
        let start_response = respond.bind(py).getattr(intern!(py, "start_response"));
        let kept = (!self.noted.is_empty()).then(|| environ.clone());
        let result = start_response.and_then(|start_response| self.callable.bind(py).call1((environ, start_response)));
        leave_if_child(py, result.as_ref().err());
        let (mut connection, said) = respond::take_back(py, &respond);
        if let Some(environ) = kept {
            connection.notes = self.noted.iter().map(|name| note(&environ, name)).collect();
        }
        match result {
            Ok(iterable) => self.answer(connection, (respond, said), iterable),
            Err(error) => self.fail(connection, (said, &error), py),
        }
    }

    fn environ<'py>(&self, connection: &mut Connection, respond: &Bound<'py, Respond>) -> PyResult<Bound<'py, PyAny>> {
        let py = respond.py();
        let body = connection.turn.take_body();
        let is_open = connection.turn.is_body_open();
        let length = (!is_open).then(|| body.length());
        let input = if is_open { self.inputs.stream(respond) } else { self.inputs.open(py, body) }?;
        let request = environ::Request {
            head: connection.turn.head(),
            bytes: connection.turn.bytes(),
            peer: &connection.peer,
            origin: connection.turn.origin(),
            relay: connection.relay.as_deref(),
            id: connection.turn.id(),
            listener: connection.listener,
            body_length: length,
            tls: connection.variables(),
        };
        Ok(self.environs.make(py, &request, input)?.into_any())
    }
}

/// The variables that an access log tells, in their order.
fn noted(access: &Access) -> Arc<[String]> {
    let variable = |piece: &Piece| match piece {
        Piece::Atom(Atom::Variable(name)) => Some(name.clone()),
        Piece::Atom(_) | Piece::Text(_) => None,
    };
    match access {
        Access::Off | Access::Lines | Access::Json => Arc::default(),
        Access::Format(pieces) => pieces.iter().filter_map(variable).collect(),
    }
}

/// A variable as text, a dash if it is not there; its name in upper case counts too, as under gunicorn.
fn note(environ: &Bound<'_, PyAny>, name: &str) -> String {
    let value = environ.get_item(name).or_else(|_| environ.get_item(name.to_ascii_uppercase()));
    value.and_then(|value| value.str()).map_or_else(|_| "-".to_owned(), |text| text.to_string_lossy().into_owned())
}
