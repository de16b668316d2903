//! `start_response` and the `write()` that it returns (PEP 3333, The start_response() Callable).
//!
//! A [`Respond`] is made for each request. While Python runs it holds the connection, and the worker takes it back when Python
//! returns; a call that comes later, or from a second thread while `write()` waits for the client, finds none and raises.
//! Its method `start_response` is what the application gets; the object itself is the `write()` that this returns. It keeps no
//! reference to anything of Python's, so no cycle can form through `exc_info`.
//!
//! Faults of status and headers are raised inside the application's own call, where its traceback says who gave them.

use std::io;
use std::thread;

use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::deadline::RequestTimeout;
use super::{hints, latin1};
use crate::clock;
use crate::conn::{self, Connection};
use crate::lease::Lease;
use crate::wire::http::answer::Fault;
use crate::wire::http::hints::Hints;

/// One request's answer while Python makes it.
#[pyclass(freelist = 64, name = "start_response", module = "monoceros")]
#[derive(Default)]
pub struct Respond {
    connection: Option<Box<Connection>>,
    said: Said,
}

/// What the application's calls came to so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    /// The last `start_response` was refused halfway, so what the turn has of a head must not go out.
    pub is_refused: bool,
    /// The client was found gone by `write()`.
    pub is_client_gone: bool,
    /// The status allows no content: 204, 304 (RFC 9110 6.4.1).
    pub is_bare: bool,
}

impl Respond {
    fn connection(&mut self) -> PyResult<&mut Connection> {
        self.connection.as_deref_mut().ok_or_else(|| PyRuntimeError::new_err("this request is over"))
    }

    /// Gives a FastCGI web server this for its log, with what goes to it next.
    pub fn complain(&mut self, text: &str) {
        if let Some(connection) = &mut self.connection {
            connection.turn.complain(text.as_bytes());
        }
    }

    /// Gives the client these fields of the answer to come, if it can use them.
    pub fn hint(&mut self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut hints = Hints::default();
        for header in headers.try_iter()? {
            add(&header?, |name, value| hints.field(name, value))?;
        }
        let connection = self.connection()?;
        let lease = connection.lease;
        if !lease.is_none_or(Lease::pause) {
            return Err(RequestTimeout::new_err("early hints are too late: the client has been told"));
        }
        connection.turn.hint(&hints);
        // What the socket does not take now goes with the answer; a client that is gone is noticed then.
        let _ = connection.flush();
        if let Some(lease) = lease {
            lease.resume(connection.heard(), clock::now());
        }
        Ok(())
    }

    fn begin(&mut self, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let status = text(status, || "status".to_owned())?;
        let headers = headers
            .cast::<PyList>()
            .map_err(|_| PyTypeError::new_err(format!("headers must be a list, not {}", type_name(headers))))?;
        let status =
            latin1::encode(status).ok_or_else(|| PyValueError::new_err("cannot use status: it is not latin-1"))?;
        self.said.is_refused = true;
        let turn = &mut self.connection()?.turn;
        turn.begin(&status).map_err(|fault| {
            PyValueError::new_err(format!("cannot use status {:?}: {}", String::from_utf8_lossy(&status), fault.0))
        })?;
        for header in headers.iter() {
            add(&header, |name, value| turn.field(name, value))?;
        }
        self.said.is_bare = status.starts_with(b"204") || status.starts_with(b"304");
        self.said.is_refused = false;
        Ok(())
    }
}

#[pymethods]
impl Respond {
    #[pyo3(signature = (status, headers, exc_info = None, /))]
    fn start_response<'py>(
        mut slf: PyRefMut<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<PyRefMut<'py, Self>> {
        let turn = &slf.connection()?.turn;
        let (has_begun, is_head_out) = (turn.has_begun(), turn.is_head_out());
        match exc_info {
            Some(given) if is_head_out => return Err(raise_again(given)),
            None if has_begun => {
                return Err(PyAssertionError::new_err("start_response() was called a second time without exc_info"));
            }
            Some(_) | None => {}
        }
        slf.begin(status, headers)?;
        Ok(slf)
    }

    /// PEP 3333's `write()`: gives the bytes to the client before it returns.
    fn __call__(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = data
            .cast::<PyBytes>()
            .map_err(|_| PyTypeError::new_err(format!("write() takes bytes, not {}", type_name(data))))?;
        if self.said.is_refused {
            return Err(PyAssertionError::new_err(
                "write() was called although start_response() had refused its arguments",
            ));
        }
        let connection = self.connection()?;
        let lease = connection.lease;
        if !lease.is_none_or(Lease::pause) {
            return Err(RequestTimeout::new_err("write() is too late: the client has been told"));
        }
        connection.turn.write(data.as_bytes());
        let sent: io::Result<()> = py.detach(|| connection.flush_waiting());
        if let Some(lease) = lease {
            lease.resume(connection.heard(), clock::now());
        }
        self.said.is_client_gone = sent.is_err();
        Ok(sent?)
    }

    /// Up to `max` bytes of the body, once some have come; none at its end.
    #[pyo3(signature = (max, /))]
    fn receive<'py>(&mut self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyBytes>> {
        let connection = self.connection()?;
        let lease = connection.lease;
        if !lease.is_none_or(Lease::pause) {
            return Err(RequestTimeout::new_err("the body is read too late: the client has been told"));
        }
        let mut bytes = Vec::new();
        let read = py.detach(|| connection.read_body(max, &mut bytes));
        if let Some(lease) = lease {
            lease.resume(connection.heard(), clock::now());
        }
        read.map_err(conn::as_error)?;
        Ok(PyBytes::new(py, &bytes))
    }
}

/// Lends the connection to Python.
pub fn lend(py: Python<'_>, respond: &Py<Respond>, connection: Box<Connection>) {
    wait_for(py, respond).connection = Some(connection);
    hints::enter(py, respond);
}

/// Takes the connection back from Python, with what happened meanwhile.
///
/// # Panics
/// When none was lent.
pub fn take_back(py: Python<'_>, respond: &Py<Respond>) -> (Box<Connection>, Said) {
    hints::leave();
    let mut respond = wait_for(py, respond);
    let connection = respond.connection.take().expect("the connection was lent before the call");
    (connection, respond.said)
}

/// The object, once no other thread of the application's is within its `write()`, which `timeouts.write` ends.
fn wait_for<'py>(py: Python<'py>, respond: &Py<Respond>) -> PyRefMut<'py, Respond> {
    loop {
        match respond.bind(py).try_borrow_mut() {
            Ok(free) => return free,
            Err(_) => py.detach(thread::yield_now),
        }
    }
}

/// The exception of an `exc_info` triple, with its own traceback.
fn raise_again(exc_info: &Bound<'_, PyAny>) -> PyErr {
    let again = || -> PyResult<PyErr> {
        let triple = exc_info.cast::<PyTuple>()?;
        let value = triple.get_item(1)?.call_method1("with_traceback", (triple.get_item(2)?,))?;
        Ok(PyErr::from_value(value))
    };
    again().unwrap_or_else(|_| PyTypeError::new_err("exc_info must be the triple of sys.exc_info()"))
}

fn add(header: &Bound<'_, PyAny>, take: impl FnOnce(&[u8], &[u8]) -> Result<(), Fault>) -> PyResult<()> {
    let pair = header.cast::<PyTuple>().ok().filter(|tuple| tuple.len() == 2);
    let pair = pair
        .ok_or_else(|| PyTypeError::new_err(format!("a header must be a tuple of two str, not {}", shown(header))))?;
    let (name, value) = (pair.get_borrowed_item(0)?, pair.get_borrowed_item(1)?);
    let name = text(&name, || "a header's name".to_owned())?;
    let value = text(&value, || format!("the value of header {}", shown(name)))?;
    let refused = |why: &str| PyValueError::new_err(format!("cannot set header {}: {why}", shown(name)));
    let field = latin1::encode(name).zip(latin1::encode(value)).ok_or_else(|| refused("it is not latin-1"))?;
    take(&field.0, &field.1).map_err(|fault| refused(fault.0))
}

fn text<'a, 'py>(object: &'a Bound<'py, PyAny>, what: impl FnOnce() -> String) -> PyResult<&'a Bound<'py, PyString>> {
    object
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("{} must be a str, not {}", what(), type_name(object))))
}

/// The name of an object's type, for messages.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "an object".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The object as `repr` shows it, cut to a line's length.
fn shown(object: &Bound<'_, PyAny>) -> String {
    object.repr().map_or_else(|_| type_name(object), |text| text.to_string_lossy().chars().take(80).collect())
}
