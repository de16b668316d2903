//! What each thread of Python's is at: its stack, taken from outside, while it runs.
//!
//! ```text
//!   told:    a thread of ours gets the GIL and walks the frames: names, requests, source lines
//!   looked:  somebody keeps the GIL; then the frames stand still, and a signal handler of `faulthandler`, in a thread of
//!            ours, writes them down without it
//! ```
//!
//! Neither runs code of the application's, and neither stops a thread. Python's own text of a fatal signal goes to standard error.
//!
//! Known fault: frames that are looked at while Python code runs after all may be gone under the look. So it is only done when
//! the GIL was asked for in vain, for long and with no call beginning or ending meanwhile.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, OnceLock, PoisonError};

use nix::sys::memfd::{MFdFlags, memfd_create};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule};

use crate::descriptors;

/// Frames of one stack that are told, the innermost. More of a runaway recursion tells nothing more.
const FRAMES_MAX: usize = 60;

/// A thread that the caller has something to say of: the number that Python has for it, and what it is and does.
pub type Known = (u64, String);

/// Where `faulthandler` writes without the GIL.
static SIGHT: OnceLock<Mutex<File>> = OnceLock::new();
static TELLER: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Walks frames with nothing but Python's own code: source lines are read from their files, never asked of a loader.
const TELLER_SOURCE: &std::ffi::CStr = c"
import linecache
import sys
import threading

def stack(frame, limit):
    lines = []
    while frame is not None and len(lines) < limit:
        code, number = frame.f_code, frame.f_lineno
        text = linecache.getline(code.co_filename, number or 0).strip()
        line = f'  File \"{code.co_filename}\", line {number}, in {code.co_name}\\n'
        lines.append(line + (f'    {text}\\n' if text else ''))
        frame = frame.f_back
    if frame is not None:
        lines.append('  ...\\n')
    return ''.join(reversed(lines))

def one(thread, limit):
    return stack(sys._current_frames().get(thread), limit)

def every(known, limit):
    linecache.checkcache()
    names = {number: thread._name for number, thread in list(threading._active.items())}
    parts = []
    for number, frame in sys._current_frames().items():
        about = known.get(number) or names.get(number, 'a thread without a name')
        parts.append(f'Thread {number:#x}, {about} (most recent call last):\\n{stack(frame, limit)}')
    return '\\n'.join(parts)
";

/// The signal that has `faulthandler` write. A real-time signal that neither the C library nor Python uses.
fn signal() -> i32 {
    libc::SIGRTMIN() + 9
}

/// Has `faulthandler` ready, for fatal signals and for us.
///
/// # Errors
/// When there is no descriptor, or no memory.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    let faulthandler = py.import("faulthandler")?;
    let arguments = PyDict::new(py);
    arguments.set_item("file", 2)?;
    faulthandler.call_method("enable", (), Some(&arguments))?;
    let memory: OwnedFd = memfd_create(c"monoceros-stacks", MFdFlags::MFD_CLOEXEC).map_err(std::io::Error::from)?;
    descriptors::note(&memory);
    arguments.set_item("file", memory.as_raw_fd())?;
    arguments.set_item("all_threads", true)?;
    arguments.set_item("chain", false)?;
    if SIGHT.set(Mutex::new(memory.into())).is_ok() {
        faulthandler.call_method("register", (signal(),), Some(&arguments))?;
    }
    teller(py).map(drop)
}

fn teller(py: Python<'_>) -> PyResult<&Py<PyModule>> {
    TELLER.get_or_try_init(py, || {
        let module = PyModule::from_code(py, TELLER_SOURCE, c"monoceros/stacks.py", c"monoceros_stacks")?;
        // It is nobody's module but ours.
        py.import("sys")?.getattr("modules")?.call_method1("pop", ("monoceros_stacks", py.None()))?;
        Ok(module.unbind())
    })
}

/// The stacks of all threads.
pub fn every(py: Python<'_>, known: Vec<Known>) -> String {
    let told = || -> PyResult<String> {
        let about = PyDict::new(py);
        for (thread, what) in known {
            about.set_item(thread, what)?;
        }
        teller(py)?.bind(py).call_method1("every", (about, FRAMES_MAX))?.extract()
    };
    told().unwrap_or_else(|error| format!("cannot take the stacks: {error}\n"))
}

/// The stack of the thread that Python knows by this number.
pub fn one(py: Python<'_>, thread: u64) -> String {
    let told = || teller(py)?.bind(py).call_method1("one", (thread, FRAMES_MAX))?.extract();
    told().unwrap_or_else(|error: PyErr| format!("cannot take the stack: {error}"))
}

/// The stacks of all threads as they stand, without the GIL; `None` when Python has not been started.
pub fn without_gil() -> Option<String> {
    let mut file = SIGHT.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    let look = || -> std::io::Result<Vec<u8>> {
        file.set_len(0)?;
        file.rewind()?;
        // To this thread, which runs the handler before it goes on.
        signal_hook::low_level::raise(signal())?;
        file.flush()?;
        let mut text = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut text, 0)?;
        Ok(text)
    };
    let mut look = look;
    Some(look().map_or_else(
        |why| format!("cannot look at the stacks: {why}\n"),
        |text| String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// The part of such a text that is about one thread.
pub fn part_of(text: &str, thread: u64) -> Option<&str> {
    let name = format!("0x{thread:016x}");
    text.split("\n\n").find(|part| part.lines().next().is_some_and(|line| line.contains(&name)))
}
