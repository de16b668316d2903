//! What an application sees of its deadline: `RequestTimeout`, and how to ask for more time.
//!
//! `RequestTimeout` is raised in the thread of one call, between two of its instructions (`PyThreadState_SetAsyncExc`). It is a
//! BaseException, like KeyboardInterrupt and SystemExit: an application's `except Exception:`, which means its own failures, is not
//! to swallow it. Nobody gets it who was not late: whoever raises it and the thread that returns from the call hold the GIL when they
//! look at the lease, and the thread takes it back before its next call.
//!
//! Known fault: C code that never comes back to Python, a lock or a `recv` without a timeout, is not interrupted by it.

use std::time::Duration;

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyType};
use pyo3::{create_exception, ffi, wrap_pyfunction};

use crate::clock;
use crate::lease::{self, Lease};

create_exception!(
    monoceros,
    RequestTimeout,
    PyBaseException,
    "The request has outlived `timeouts.request`; its client has been told."
);

/// The class, for the environ and for `isinstance`.
pub fn request_timeout(py: Python<'_>) -> Bound<'_, PyAny> {
    request_timeout_class(py).into_any()
}

/// The class, to be raised.
pub fn request_timeout_class(py: Python<'_>) -> Bound<'_, PyType> {
    py.get_type::<RequestTimeout>()
}

/// Whether it is this that ended a call. The log has told of the call already, when its client was told.
pub fn is_request_timeout(error: &PyErr, py: Python<'_>) -> bool {
    error.is_instance_of::<RequestTimeout>(py)
}

/// `environ["monoceros.extend_timeout"]`.
///
/// # Errors
/// When Python has no memory.
pub fn extender<'py>(py: Python<'py>) -> PyResult<Bound<'py, PyCFunction>> {
    wrap_pyfunction!(extend_timeout, py)
}

/// Grants the request that this thread runs so many seconds from now, if it has not more already.
#[pyfunction]
#[pyo3(signature = (seconds, /))]
fn extend_timeout(seconds: f64) -> PyResult<()> {
    extend(lease::mine(), seconds)
}

/// Grants the request of this lease so many seconds from now.
///
/// # Errors
/// When it is no request, or too late, or the seconds are none.
pub fn extend(lease: Option<&Lease>, seconds: f64) -> PyResult<()> {
    let grant = Duration::try_from_secs_f64(seconds)
        .map_err(|_| PyValueError::new_err(format!("cannot extend the timeout by {seconds} seconds")))?;
    let lease = lease.ok_or_else(|| PyRuntimeError::new_err("this thread runs no request"))?;
    if lease.extend(clock::now().saturating_add(u64::try_from(grant.as_millis()).unwrap_or(u64::MAX))) {
        return Ok(());
    }
    Err(RequestTimeout::new_err("it is too late to extend the timeout"))
}

/// Raises it in the thread that Python knows by this number, at that thread's next instruction. Compare the lease under the same GIL.
pub fn raise_in(py: Python<'_>, thread: u64) {
    set(thread, py.get_type::<RequestTimeout>().as_ptr());
}

/// Takes it back from this thread, if it was raised and has not arrived.
pub fn take_back(_py: Python<'_>, thread: u64) {
    set(thread, std::ptr::null_mut());
}

#[expect(unsafe_code, reason = "pyo3 has no other way to raise an exception in another thread")]
fn set(thread: u64, exception: *mut ffi::PyObject) {
    // SAFETY: both callers hold the GIL, as their `Python` shows. A number that no thread has is looked for in vain. The
    // exception is NULL or a class that lives as long as the interpreter; Python takes a reference of its own.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as libc::c_long, exception) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::Heard;

    fn with_lease(run: impl FnOnce(Python<'_>, &'static Lease)) {
        Python::initialize();
        Python::attach(|py| {
            let lease: &'static Lease = Box::leak(Box::new(Lease::new(1_000)));
            let thread = py.import("_thread").unwrap().call_method0("get_ident").unwrap().extract().unwrap();
            lease.adopt(thread);
            run(py, lease);
        });
    }

    fn extended(py: Python<'_>, seconds: &str) -> String {
        let globals = pyo3::types::PyDict::new(py);
        globals.set_item("extend", extender(py).unwrap()).unwrap();
        let code = std::ffi::CString::new(format!("extend({seconds})")).unwrap();
        py.eval(&code, Some(&globals), None).map_or_else(|error| error.to_string(), |_| "granted".to_owned())
    }

    #[test]
    fn seconds_are_granted_to_a_call_that_runs_and_to_no_other() {
        with_lease(|py, lease| {
            assert_eq!(extended(py, "5"), "RequestTimeout: it is too late to extend the timeout");
            lease.begin(None, Heard::Nothing, 0);
            let now = clock::now();
            assert_eq!(extended(py, "5.5"), "granted");
            assert!(lease.deadline().unwrap() >= now + 5_500);
            assert_eq!(extended(py, "0"), "granted");
            assert_eq!(extended(py, "1e15"), "granted");
            for wrong in ["-0.001", "float('nan')", "float('inf')", "1e300"] {
                assert!(extended(py, wrong).starts_with("ValueError: cannot extend"), "{wrong}");
            }
            assert!(extended(py, "'5'").starts_with("TypeError"), "a number is wanted");
            assert!(extended(py, "").starts_with("TypeError"), "a number is wanted");
        });
    }

    #[test]
    fn a_thread_without_a_request_is_told_so() {
        Python::initialize();
        std::thread::spawn(|| {
            Python::attach(|py| assert_eq!(extended(py, "1"), "RuntimeError: this thread runs no request"));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn what_was_raised_arrives_and_what_was_taken_back_does_not() {
        with_lease(|py, lease| {
            let spin = c"for i in range(1000000): pass";
            raise_in(py, lease.thread());
            let raised = py.run(spin, None, None).unwrap_err();
            assert!(
                raised.is_instance_of::<RequestTimeout>(py)
                    && !raised.is_instance_of::<pyo3::exceptions::PyException>(py)
            );
            raise_in(py, lease.thread());
            take_back(py, lease.thread());
            py.run(spin, None, None).unwrap();
        });
    }
}
