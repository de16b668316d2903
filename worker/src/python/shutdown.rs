//! The end of Python in a worker that leaves in good order.
//!
//! What a program expects at its exit is done, in CPython's order: its threads are waited for, its `atexit` handlers run, its
//! stdio is flushed. The interpreter itself is not taken apart (`Py_FinalizeEx`): the process ends a moment later anyway, and
//! runner threads and the application's daemon threads would be running code in it meanwhile.

use std::ffi::CStr;
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

/// What `threading._shutdown` does, but for the bound: that function also waits for the main thread to end, so it can run on
/// no other, and on the main thread nothing could end it.
const WAIT_FOR_THREADS: &CStr = c"
import threading

def wait():
    for stop_executors in reversed(getattr(threading, '_threading_atexits', ())):
        stop_executors()
    for thread in threading.enumerate():
        # There may be two of the main thread where `threading` was patched.
        if type(thread).__name__ != '_MainThread' and not thread.daemon:
            thread.join()

waiter = threading.Thread(target=wait, name='monoceros-end', daemon=True)
waiter.start()
waiter.join(patience)
";

fn wait_for_threads(py: Python<'_>, patience: Duration) -> PyResult<()> {
    let globals = PyDict::new(py);
    globals.set_item("patience", patience.as_secs_f64())?;
    py.run(WAIT_FOR_THREADS, Some(&globals), None)
}

fn run_atexit(py: Python<'_>) -> PyResult<()> {
    py.import("atexit")?.call_method0("_run_exitfuncs")?;
    Ok(())
}

/// Flushes `sys.stdout` and `sys.stderr`; what cannot be flushed has nowhere to be reported.
pub fn flush_stdio(py: Python<'_>) {
    for name in ["stdout", "stderr"] {
        let flushed =
            py.import("sys").and_then(|sys| sys.getattr(name)).and_then(|stream| stream.call_method0("flush"));
        drop(flushed);
    }
}
