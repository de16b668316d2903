//! `wsgi.input`: the body, which is complete before Python is involved unless the config says that the application reads it.
//!
//! It is Python's own: an `io.BytesIO` over memory, an `io.BufferedReader` over the unlinked file of a long body or over the connection. So every
//! reading method behaves as PEP 3333 and the applications expect, the end of the file after the body's last byte included.
//! They differ in one thing, which a small subclass evens out: how `readlines(hint)` takes its hint.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::respond::Respond;
use crate::body::Body;

/// Bytes that a long body is read from its file at once: a `readline()` loop should not be a system call a line, and a
/// worker with many uploads should not hold megabytes of them.
const BUFFER_BYTES: usize = 64 * 1024;

/// Opens bodies.
pub struct Inputs {
    bytes_io: Py<PyAny>,
    file_io: Py<PyAny>,
    buffered: Py<PyAny>,
    stream: Py<PyAny>,
}

/// `BytesIO.readlines` stops once it has `hint` bytes, other files once they have more.
const CLASSES: &CStr = c"
import io

class Stream(io.RawIOBase):
    def __init__(self, receive):
        self._receive = receive

    def readable(self):
        return True

    def readinto(self, buffer):
        data = self._receive(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def readall(self):
        return b''.join(iter(lambda: self._receive(65536), b''))

class Buffered(io.BufferedReader):
    def readlines(self, hint=-1, /):
        if hint is None or hint <= 0:
            return super().readlines()
        lines, size = [], 0
        for line in self:
            lines.append(line)
            size += len(line)
            if size >= hint:
                break
        return lines
";

impl Inputs {
    /// Looks the types up.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn new(py: Python<'_>) -> PyResult<Inputs> {
        let io = py.import("io")?;
        let get = |name: &str| io.getattr(name).map(Bound::unbind);
        let classes = PyModule::from_code(py, CLASSES, c"monoceros_input.py", c"monoceros_input")?;
        Ok(Inputs {
            bytes_io: get("BytesIO")?,
            file_io: get("FileIO")?,
            buffered: classes.getattr("Buffered")?.unbind(),
            stream: classes.getattr("Stream")?.unbind(),
        })
    }

    /// The body as a file object at its start.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn open<'py>(&self, py: Python<'py>, body: Body) -> PyResult<Bound<'py, PyAny>> {
        match body {
            Body::Empty => self.bytes_io.bind(py).call0(),
            Body::Memory(bytes) => self.bytes_io.bind(py).call1((PyBytes::new(py, &bytes),)),
            Body::File(file, _) => self.open_file(py, file),
        }
    }

    /// The body as a file object that has the connection give it what it reads.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn stream<'py>(&self, respond: &Bound<'py, Respond>) -> PyResult<Bound<'py, PyAny>> {
        let py = respond.py();
        let raw = self.stream.bind(py).call1((Respond::receiver(respond)?,))?;
        self.buffered.bind(py).call1((raw, BUFFER_BYTES))
    }

    fn open_file<'py>(&self, py: Python<'py>, file: File) -> PyResult<Bound<'py, PyAny>> {
        let raw = self.file_io.bind(py).call1((file.as_raw_fd(), "rb"))?;
        // Python's object closes the descriptor from here on.
        let _ = file.into_raw_fd();
        self.buffered.bind(py).call1((raw, BUFFER_BYTES))
    }
}
