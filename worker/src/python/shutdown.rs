//! The end of Python in a worker that leaves in good order.
//!
//! What a program expects at its exit is done, in CPython's order: its threads are waited for, its `atexit` handlers run, its
//! stdio is flushed. The interpreter itself is not taken apart (`Py_FinalizeEx`): the process ends a moment later anyway, and
//! runner threads and the application's daemon threads would be running code in it meanwhile.

use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use slog::{Logger, warn};

use super::error;

/// Ends Python: waits up to `patience` for the application's threads, then goes on without them. An `atexit` handler is
/// not bounded; the supervisor's `timeouts.drain` is. Call it on Python's main thread, once, with no request left; then end
/// the process.
pub fn finalize(py: Python<'_>, patience: Duration, log: &Logger) {
    let report = |step: &str, done: PyResult<()>| {
        if let Err(error) = done {
            let traceback = error::traceback(py, &error);
            warn!(log, "the application did not end cleanly"; "step" => step, "traceback" => traceback);
        }
    };
    report("threads", wait_for_threads(py, patience));
    report("atexit", run_atexit(py));
    flush_stdio(py);
}

/// `threading._shutdown` waits without bound for every thread that is no daemon, and tells executors to stop first. So a thread
/// runs it that is a daemon, and this one waits for that.
fn wait_for_threads(py: Python<'_>, patience: Duration) -> PyResult<()> {
    let threading = py.import("threading")?;
    let arguments = PyDict::new(py);
    arguments.set_item("target", threading.getattr("_shutdown")?)?;
    arguments.set_item("daemon", true)?;
    let waiter = threading.call_method("Thread", (), Some(&arguments))?;
    waiter.call_method0("start")?;
    waiter.call_method1("join", (patience.as_secs_f64(),))?;
    Ok(())
}

fn run_atexit(py: Python<'_>) -> PyResult<()> {
    py.import("atexit")?.call_method0("_run_exitfuncs")?;
    Ok(())
}

/// Flushes `sys.stdout` and `sys.stderr`; what cannot be flushed has nowhere to be reported.
pub fn flush_stdio(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        let flushed = py
            .import("sys")
            .and_then(|sys| sys.getattr(name))
            .and_then(|stream| stream.call_method0("flush"));
        drop(flushed);
    }
}
