//! `wsgi.early_hints`: 103 before the answer (RFC 8297), as gunicorn offers it.
//!
//! One callable for all requests, so that it costs a request nothing but a place in the template: it finds the request by the thread
//! that calls it, whose current [`Respond`] `lend` notes. Another thread of the application's has none.
//!
//! It sends at once what the client can use: nothing to HTTP/1.0 (RFC 9110 15.2), nothing once the head of the answer is out. Fields are
//! checked as those of an answer are; the ones that frame a message or are hop-by-hop are left out.
//!
//! Known fault: an application that keeps the callable and calls it within another request gives its hints to that one.

use std::cell::RefCell;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::respond::Respond;

thread_local! {
    /// The request that this thread is in.
    static CURRENT: RefCell<Option<Py<Respond>>> = const { RefCell::new(None) };
}

/// This thread is in this request from now on.
pub fn enter(py: Python<'_>, respond: &Py<Respond>) {
    CURRENT.with_borrow_mut(|current| *current = Some(respond.clone_ref(py)));
}

/// This thread is in no request any more.
pub fn leave() {
    let left = CURRENT.with_borrow_mut(Option::take);
    drop(left);
}

/// Gives the web server of the request that this thread is in a complaint of its application's, if it wants such.
pub fn complain(py: Python<'_>, text: &str) {
    let current = CURRENT.with_borrow(|current| current.as_ref().map(|respond| respond.clone_ref(py)));
    // In `write()` its connection is with another thread of the application's; then our log alone has it.
    if let Some(mut respond) = current.as_ref().and_then(|respond| respond.bind(py).try_borrow_mut().ok()) {
        respond.complain(text);
    }
}

/// Sends a 103 with these header fields, a list of pairs as for `start_response`, before the answer. It may be called several times.
#[pyfunction]
#[pyo3(signature = (headers, /))]
pub fn early_hints(headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = headers.py();
    let current = CURRENT.with_borrow(|current| current.as_ref().map(|respond| respond.clone_ref(py)));
    let respond = current.ok_or_else(|| PyRuntimeError::new_err("this thread is in no request"))?;
    let mut respond = respond.bind(py).try_borrow_mut()?;
    respond.hint(headers)
}
