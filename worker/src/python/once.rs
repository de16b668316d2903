//! A request that no engine serves: called and pulled on this thread until its answer is out.

use std::time::Duration;

use monoceros_shared::link::{Assignment, Failure};
use pyo3::prelude::*;
use slog::Logger;

use super::{Application, error};
use crate::conn::Connection;
use crate::lease::{Heard, Lease};
use crate::wire::cgi;

/// As [`super::load`], for a process that answers one request, whose variables are in its environment. They are not left there: a client's
/// `Proxy` field would be taken for the proxy of whatever the application asks.
///
/// # Errors
/// As there.
pub fn load_once(assignment: &Assignment, log: &Logger) -> Result<Application, Failure> {
    let mut application = super::load_with(assignment, log, |py| {
        let environ = py.import("os")?.getattr("environ")?;
        let names: Vec<String> =
            environ.call_method0("keys")?.try_iter()?.map(|name| name?.extract()).collect::<PyResult<_>>()?;
        for name in names.iter().filter(|name| cgi::is_of_a_request(name.as_bytes())) {
            environ.del_item(name)?;
        }
        Ok(())
    })?;
    Python::attach(|py| application.environs.change(|template| template.serve_once(py))).map_err(|raised| {
        Python::attach(|py| Failure::new(format!("cannot prepare Python: {}", error::one_line(py, &raised)), ""))
    })?;
    Ok(application)
}

/// How long threads of the application's may go on behind the answer. Less cuts off what they are at, more keeps a process that nobody
/// waits for.
const PYTHON_PATIENCE: Duration = Duration::from_secs(5);

/// Ends Python in good order. Call it without the GIL.
pub fn finish(log: &Logger) {
    Python::attach(|py| super::finalize(py, PYTHON_PATIENCE, log));
}

impl Application {
    /// Calls the application for the request that has begun, and pulls its answer to the end. Call it without the GIL.
    pub fn answer_whole(&self, connection: Box<Connection>) -> Box<Connection> {
        Python::attach(|py| self.answer_all(py, connection))
    }

    /// The same within Python.
    pub(super) fn answer_all(&self, py: Python<'_>, connection: Box<Connection>) -> Box<Connection> {
        // Nobody keeps a deadline here, but an application may ask for more time all the same.
        let lease: &'static Lease = Box::leak(Box::new(Lease::new(u64::MAX)));
        lease.adopt(super::this_thread(py));
        lease.begin(None, Heard::Nothing, 0);
        let mut served = self.call(py, connection);
        loop {
            let connection = &mut served.connection;
            let sent = py.detach(|| connection.flush_waiting());
            match served.rest {
                Some(rest) if sent.is_ok() => served = self.pull(py, served.connection, rest),
                Some(rest) => {
                    self.abandon(py, rest);
                    break;
                }
                None => break,
            }
        }
        served.connection
    }
}
