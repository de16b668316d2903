//! `wsgi.errors` (PEP 3333, Input and Error Streams): text of the application's into the log.
//!
//! What one `write` brings up to its last line end is one record, so a traceback stays in one piece; an unfinished line
//! waits for its end, for `flush()`, or until it is [`LINE_BYTES_MAX`] long. Records have the level `error`, for a stream of
//! that name must not fall silent at `level: error`.
//!
//! A FastCGI web server gets it besides, for its own log: STDERR of the request that the thread is in (FastCGI 1.0, 5.3).
//!
//! Known fault: with greenlets a FastCGI web server gets nothing of it, for the stream cannot tell whose it is. And all requests share one stream, as under other servers, so unfinished lines of two threads can run together.

use std::mem;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use slog::{Logger, error};

use super::hints;
use super::respond::type_name;

/// Bytes of a line that is held for its end. Less would tear long lines apart; more would let a program that never ends a
/// line fill memory.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The key of the text in a record.
pub const TEXT: &str = "text";

/// The stream.
#[pyclass(frozen, name = "errors", module = "monoceros")]
pub struct Journal {
    log: Logger,
    unfinished: Mutex<String>,
}

impl Journal {
    /// A stream into this log.
    pub fn new(log: Logger) -> Journal {
        Journal { log, unfinished: Mutex::default() }
    }

    /// Adds text, and gives what of it is ready to be logged.
    fn add(&self, text: &str) -> Option<String> {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.push_str(text);
        match unfinished.rfind('\n') {
            Some(end) => {
                let rest = unfinished.split_off(end + 1);
                Some(mem::replace(&mut unfinished, rest))
            }
            None if unfinished.len() >= LINE_BYTES_MAX => Some(mem::take(&mut unfinished)),
            None => None,
        }
    }

    fn log(&self, text: &str) {
        let text = text.trim_end_matches(['\n', '\r']);
        if !text.is_empty() {
            error!(self.log, "the application wrote to wsgi.errors"; TEXT => text);
        }
    }
}

#[pymethods]
impl Journal {
    fn write(&self, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<usize> {
        let text = text
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err(format!("write() takes str, not {}", type_name(text))))?;
        let owned = text.to_string_lossy();
        hints::complain(py, &owned);
        if let Some(ready) = self.add(&owned) {
            py.detach(|| self.log(&ready));
        }
        text.len()
    }

    fn writelines(&self, py: Python<'_>, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.write(py, &line?)?;
        }
        Ok(())
    }

    fn flush(&self, py: Python<'_>) {
        let ready = mem::take(&mut *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner));
        py.detach(|| self.log(&ready));
    }
}
