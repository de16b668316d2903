//! What happens when the application forks.
//!
//! The child has copies of the worker's descriptors and one thread, the one that forked. It may exec, or exit, as `subprocess`
//! and `multiprocessing` do. It must not go on as a second worker on the same clients, so its descriptors of ours are closed at
//! once, and a child that comes back from the application ends there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict};

static HAS_FORKED: AtomicBool = AtomicBool::new(false);
static CLOSE: OnceLock<fn()> = OnceLock::new();

/// Names what runs first in every child that the application forks: it is to let go of every descriptor of the worker's.
/// Only the forking thread lives on in the child, so it must wait for no lock. Better put `/dev/null` in a descriptor's place
/// than close it: what still names it then harms no file that the child opens later. Counts once, at the first call.
pub fn on_fork(close: fn()) {
    let _ = CLOSE.set(close);
}

/// Whether this process is a child that the application forked.
pub fn has_forked() -> bool {
    HAS_FORKED.load(Ordering::Relaxed)
}

/// Has Python call us in every child of `os.fork`. A fork by C code that tells Python nothing is not seen.
///
/// # Errors
/// When Python has no memory.
pub fn register(py: Python<'_>) -> PyResult<()> {
    let in_child = PyCFunction::new_closure(py, Some(c"monoceros_after_fork"), None, |_, _| {
        HAS_FORKED.store(true, Ordering::Relaxed);
        if let Some(close) = CLOSE.get() {
            close();
        }
    })?;
    let arguments = PyDict::new(py);
    arguments.set_item("after_in_child", in_child)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&arguments))?;
    Ok(())
}

/// Ends the process if it is a child that came back from the application: with the status of its SystemExit, with 1 and a
/// traceback on stderr for another exception, else with 0.
pub fn leave_if_child(py: Python<'_>, error: Option<&PyErr>) {
    if has_forked() {
        leave(py, error);
    }
}

#[expect(unsafe_code, reason = "no safe crate of ours has _exit")]
fn leave(py: Python<'_>, error: Option<&PyErr>) -> ! {
    let status = error.map_or(0, |error| status_of(py, error));
    super::shutdown::flush_stdio(py);
    // SAFETY: _exit has no precondition; that no atexit handler and no destructor runs is the point, for they are the parent's.
    unsafe { libc::_exit(status) }
}

fn status_of(py: Python<'_>, error: &PyErr) -> i32 {
    if !error.is_instance_of::<PySystemExit>(py) {
        error.display(py);
        return 1;
    }
    let code = error.value(py).getattr("code").ok();
    code.map_or(0, |code| if code.is_none() { 0 } else { code.extract().unwrap_or(1) })
}
