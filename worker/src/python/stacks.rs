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
use std::io::Seek;
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

/// Walks frames with nothing but Python's own code: source lines are read from their files, never asked of a loader. `linecache` is
/// imported when it is needed, for it brings `re` and a megabyte with it.
const TELLER_SOURCE: &std::ffi::CStr = c"
import sys
import threading
from _thread import get_ident

def stack(frame, limit):
    import linecache

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
    return stack(sys._current_frames().get(thread), limit) or 'no Python code: it is in C'

def every(known, limit):
    import linecache

    linecache.checkcache()
    names = {number: thread._name for number, thread in list(threading._active.items())}
    parts = []
    frames = sys._current_frames()
    frames.pop(get_ident(), None)
    for number, frame in frames.items():
        about = known.get(number) or names.get(number, 'a thread without a name')
        parts.append(f'Thread {number:#x}, {about} (most recent call last):\\n{stack(frame, limit)}')
    for number, about in known.items():
        if number not in frames:
            parts.append(f'Thread {number:#x}, {about}\\n')
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

/// The number that Python has for this thread, also where `threading` was patched to number greenlets.
pub fn this_thread(py: Python<'_>) -> u64 {
    let number = || teller(py)?.bind(py).call_method0("get_ident")?.extract();
    number().unwrap_or_default()
}

/// What a frame and those that led to it are at.
///
/// # Errors
/// When Python has no memory.
pub fn of_frame(py: Python<'_>, frame: Bound<'_, PyAny>) -> PyResult<String> {
    teller(py)?.bind(py).call_method1("stack", (frame, FRAMES_MAX))?.extract()
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
    let mut look = || -> std::io::Result<Vec<u8>> {
        file.set_len(0)?;
        file.rewind()?;
        // To this thread, which runs the handler before it goes on.
        signal_hook::low_level::raise(signal())?;
        let mut text = vec![0; file.metadata()?.len() as usize];
        file.read_exact_at(&mut text, 0)?;
        Ok(text)
    };
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Runs `code` in a thread of its own, which calls `ready()` first, and gives what `look` sees meanwhile.
    fn meanwhile<T>(code: &'static std::ffi::CStr, look: impl FnOnce(u64) -> T) -> T {
        Python::initialize();
        Python::attach(|py| prepare(py).unwrap());
        let (sender, begun) = channel();
        thread::scope(|scope| {
            let running = scope.spawn(move || {
                Python::attach(|py| {
                    let number = this_thread(py);
                    let ready =
                        pyo3::types::PyCFunction::new_closure(py, None, None, move |_, _| sender.send(number).unwrap());
                    let globals = PyDict::new(py);
                    globals.set_item("ready", ready.unwrap()).unwrap();
                    py.run(code, Some(&globals), None).unwrap();
                });
            });
            let seen = look(begun.recv().unwrap());
            running.join().unwrap();
            seen
        })
    }

    #[test]
    fn python_tells_the_stack_of_each_thread_by_its_name() {
        let code = c"import threading, time
class Bad(threading.Thread):
    @property
    def name(self): raise SystemError('code of the application')
def inner():
    ready()
    threading.Event().wait(0.3)
thread = Bad(target=inner)
thread.start()
thread.join()";
        let text = meanwhile(code, |outer| Python::attach(|py| every(py, vec![(outer, "runner-7: GET /".to_owned())])));
        assert!(text.contains("runner-7: GET / (most recent call last):"), "{text}");
        assert!(text.contains("Thread-") && text.contains("in inner"), "{text}");
    }

    #[test]
    fn a_deep_stack_is_told_by_its_innermost_frames() {
        let code = c"import threading
def deeper(left):
    if left: return deeper(left - 1)
    def innermost():
        ready()
        threading.Event().wait(0.3)
    innermost()
deeper(200)";
        let text = meanwhile(code, |thread| Python::attach(|py| one(py, thread)));
        assert!(text.starts_with("  ...\n") && text.contains("in innermost"), "{text}");
        assert_eq!(text.matches("File").count(), FRAMES_MAX);
    }

    /// Whether somebody keeps it for longer than Python's own code does.
    fn is_gil_held() -> bool {
        let (sender, got) = channel();
        thread::spawn(move || Python::attach(|_| sender.send(())));
        got.recv_timeout(std::time::Duration::from_millis(200)).is_err()
    }

    #[test]
    fn a_thread_that_keeps_the_gil_is_seen_without_it() {
        let code = c"import ctypes
def holder():
    poll = ctypes.PyDLL(None).poll
    ready()
    poll(None, 0, 1000)
holder()";
        for _ in 0..2 {
            let (text, number) = meanwhile(code, |thread| {
                while !is_gil_held() {}
                (without_gil().unwrap(), thread)
            });
            let part = part_of(&text, number).expect("its part");
            assert!(part.contains("in holder") && part.contains("line 5"), "{part}");
            assert_eq!(text.matches("in holder").count(), 1, "only what is so now: {text}");
        }
    }
}
