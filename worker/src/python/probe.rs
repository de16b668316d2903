//! A thread that does small errands in Python for threads that must not wait for it.
//!
//! It waits without the GIL and asks for it when there is an errand, as any thread of the application's does. An errand that
//! is not done for a while says that somebody keeps the GIL: C code, as a rule, for Python's own lets go of it every 5 ms.
//!
//! No errand runs code of the application's.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use pyo3::prelude::*;

type Errand = Box<dyn FnOnce(Python<'_>) + Send>;

static ERRANDS: OnceLock<Sender<Errand>> = OnceLock::new();

/// Starts the thread. Call it once, when Python has been started.
///
/// # Errors
/// When the thread cannot be made.
pub fn start() -> io::Result<()> {
    let (sender, receiver) = channel();
    if ERRANDS.set(sender).is_ok() {
        thread::Builder::new().name("probe".into()).spawn(move || run(receiver))?;
    }
    Ok(())
}

fn run(mut errands: Receiver<Errand>) {
    Python::attach(|py| {
        loop {
            let (errand, back) = py.detach(move || (errands.recv(), errands));
            let Ok(errand) = errand else { return };
            errand(py);
            errands = back;
        }
    });
}

/// Has this done as soon as the GIL is to be had. Says whether there is anybody to do it: not before Python has been started, and
/// never in a worker without an application.
pub fn ask(errand: impl FnOnce(Python<'_>) + Send + 'static) -> bool {
    ERRANDS.get().is_some_and(|errands| errands.send(Box::new(errand)).is_ok())
}
