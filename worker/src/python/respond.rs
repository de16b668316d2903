//! `start_response` and the `write()` that it returns (PEP 3333, The start_response() Callable).
//!
//! A [`Respond`] is made for each request. While Python runs it holds the connection, and the worker takes it back when Python
//! returns; a call that comes later, or from a second thread while `write()` waits for the client, finds none and raises.
//! Its method `start_response` is what the application gets; the object itself is the `write()` that this returns. It keeps no
//! reference to anything of Python's, so no cycle can form through `exc_info`.
//!
//! Faults of status and headers are raised inside the application's own call, where its traceback says who gave them.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

use super::deadline::{RequestTimeout, extend};
use super::{hints, latin1};
use crate::clock;
use crate::conn::{self, Connection, Flushed};
use crate::lease::Lease;
use crate::wire::http::answer::Fault;
use crate::wire::http::hints::Hints;

/// One request's answer while Python makes it.
#[pyclass(freelist = 64, name = "start_response", module = "monoceros")]
#[derive(Default)]
pub struct Respond {
    connection: Option<Box<Connection>>,
    said: Said,
    /// What waits for the client where no thread may: see `greenlets`.
    waiting: Option<Arc<Waiting>>,
}

/// Functions that wait for a client in their own way, and become methods of what answers its request.
pub struct Waiting {
    /// In the place of `write()`.
    pub write: Py<PyAny>,
    /// In the place of what a streamed body is read by.
    pub receive: Py<PyAny>,
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
    /// One whose client is waited for in this way.
    pub fn waiting(waiting: Arc<Waiting>) -> Respond {
        Respond { waiting: Some(waiting), ..Respond::default() }
    }

    /// What a streamed body is read by: a function of how much, that waits for some of it.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn receiver<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let receive = slf.try_borrow()?.waiting.as_ref().map(|waiting| waiting.receive.clone_ref(py));
        match receive {
            None => slf.getattr(intern!(py, "receive")),
            Some(receive) => receive.bind(py).call_method1(intern!(py, "__get__"), (slf,)),
        }
    }

    pub(super) fn connection(&mut self) -> PyResult<&mut Connection> {
        let connection = self.connection.as_deref_mut();
        let connection = connection.ok_or_else(|| PyRuntimeError::new_err("this request is over"))?;
        connection.send_held();
        Ok(connection)
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

    /// The application writes: from here on its client is waited for, not it.
    fn begin_to_write(&mut self, data: &Bound<'_, PyAny>) -> PyResult<&mut Connection> {
        let data = data
            .cast::<PyBytes>()
            .map_err(|_| PyTypeError::new_err(format!("write() takes bytes, not {}", type_name(data))))?;
        if self.said.is_refused {
            return Err(PyAssertionError::new_err(
                "write() was called although start_response() had refused its arguments",
            ));
        }
        let connection = self.connection()?;
        if !connection.lease.is_none_or(Lease::pause) {
            return Err(RequestTimeout::new_err("write() is too late: the client has been told"));
        }
        connection.turn.write(data.as_bytes());
        Ok(connection)
    }

    /// It has what it can have, and the application goes on.
    fn end_to_write(&mut self, is_client_gone: bool) {
        self.said.is_client_gone = is_client_gone;
        if let Some(connection) = &self.connection
            && let Some(lease) = connection.lease
        {
            lease.resume(connection.heard(), clock::now());
        }
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
        slf: Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut this = slf.try_borrow_mut()?;
        let turn = &this.connection()?.turn;
        let (has_begun, is_head_out) = (turn.has_begun(), turn.is_head_out());
        match exc_info {
            Some(given) if is_head_out => return Err(raise_again(given)),
            None if has_begun => {
                return Err(PyAssertionError::new_err("start_response() was called a second time without exc_info"));
            }
            Some(_) | None => {}
        }
        this.begin(status, headers)?;
        let writer = this.waiting.as_ref().map(|waiting| waiting.write.clone_ref(slf.py()));
        drop(this);
        match writer {
            None => Ok(slf.into_any()),
            Some(writer) => writer.bind(slf.py()).call_method1(intern!(slf.py(), "__get__"), (slf,)),
        }
    }

    /// PEP 3333's `write()`: gives the bytes to the client before it returns.
    fn __call__(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let connection = self.begin_to_write(data)?;
        let sent: io::Result<()> = py.detach(|| connection.flush_waiting());
        self.end_to_write(sent.is_err());
        Ok(sent?)
    }

    /// `write()` in steps, none of which waits. Call `push` until all has left, and `written` when it has, or when nobody waits for
    /// that any more.
    fn begin_to_put(&mut self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        self.begin_to_write(data).map(drop)
    }

    /// Sends what the socket takes now. Says whether all has left.
    fn push(&mut self) -> PyResult<bool> {
        match self.connection()?.flush() {
            Flushed::All => Ok(true),
            Flushed::Full => Ok(false),
            Flushed::Gone => {
                self.said.is_client_gone = true;
                Err(io::Error::from(io::ErrorKind::BrokenPipe).into())
            }
        }
    }

    /// The client took nothing for `timeouts.write`.
    fn lose(&mut self) -> PyResult<()> {
        self.said.is_client_gone = true;
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// The application goes on.
    fn written(&mut self) {
        self.end_to_write(self.said.is_client_gone);
    }

    /// The descriptor that has room when `push` is to be called, and for how many seconds that is waited for.
    fn room(&mut self) -> PyResult<(i32, f64)> {
        let connection = self.connection()?;
        Ok((connection.raw_fd(), connection.waits().write.as_secs_f64()))
    }

    /// A streamed body is read in steps, none of which waits. Call `receive_now` until there is some, and `received` when there is,
    /// or when nobody waits for that any more.
    fn begin_to_receive(&mut self) -> PyResult<()> {
        if self.connection()?.lease.is_none_or(Lease::pause) {
            return Ok(());
        }
        Err(RequestTimeout::new_err("the body is read too late: the client has been told"))
    }

    /// Up to `max` bytes of the body, if some have come; none at its end.
    fn receive_now<'py>(&mut self, py: Python<'py>, max: usize) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let mut bytes = Vec::new();
        let has_come = self.connection()?.read_body_now(max, &mut bytes).map_err(conn::as_error)?;
        Ok(has_come.then(|| PyBytes::new(py, &bytes)))
    }

    /// The descriptor that is readable when `receive_now` is to be called again, and for how many seconds that is waited for.
    fn source(&mut self) -> PyResult<(i32, f64)> {
        let connection = self.connection()?;
        let due = connection.body_is_due().saturating_duration_since(Instant::now());
        Ok((connection.raw_fd(), due.as_secs_f64()))
    }

    /// It does not come.
    fn miss(&mut self) -> PyResult<()> {
        let fault = self.connection()?.miss_body();
        Err(conn::as_error(fault).into())
    }

    /// The application goes on.
    fn received(&mut self) {
        self.end_to_write(self.said.is_client_gone);
    }

    /// `environ["monoceros.extend_timeout"]` where a thread has many requests.
    #[pyo3(signature = (seconds, /))]
    fn extend_timeout(&mut self, seconds: f64) -> PyResult<()> {
        extend(self.connection()?.lease, seconds)
    }

    /// `environ["wsgi.early_hints"]` there.
    #[pyo3(signature = (headers, /))]
    fn early_hints(&mut self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        self.hint(headers)
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
    let mut lent = wait_for(py, respond);
    lent.connection = Some(connection);
    let is_the_threads = lent.waiting.is_none();
    drop(lent);
    // Where a thread has many requests, it is in none of them more than in the others.
    if is_the_threads {
        hints::enter(py, respond);
    }
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
