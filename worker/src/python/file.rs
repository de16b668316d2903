//! `wsgi.file_wrapper` (PEP 3333, Optional Platform-Specific File Handling).
//!
//! An application that returns a wrapper unconsumed hands its file over: a plain file of the file system goes to the client
//! by sendfile, from its current logical position up to Content-Length. Everything else is iterated, as any iterable.
//!
//! Only Python's own binary file objects over a real descriptor count as plain. Others may have a `fileno()` too and yet read
//! something else than the file has: a `GzipFile` decompresses it, a text file decodes it, a pipe has no position.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::respond::type_name;

/// The wrapper, which is also the iterable of PEP 3333's example.
#[pyclass(frozen, name = "FileWrapper", module = "monoceros")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

/// A part of a plain file, in bytes.
pub struct Region {
    /// A descriptor of our own, whose position is shared with the application's and not to be used.
    pub file: File,
    /// Where the part begins.
    pub offset: u64,
    /// What is behind that; never 0.
    pub length: u64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize = 8192))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> FileWrapper {
        FileWrapper { filelike, blksize }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let block = self.filelike.bind(py).call_method1(pyo3::intern!(py, "read"), (self.blksize,))?;
        let block = block.cast_into::<PyBytes>().map_err(|error| {
            PyTypeError::new_err(format!(
                "the wrapped file's read() gave {}, not bytes",
                type_name(&error.into_inner())
            ))
        })?;
        Ok(if block.as_bytes().is_empty() { None } else { Some(block) })
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(close) = self.filelike.bind(py).getattr_opt("close")? {
            close.call0()?;
        }
        Ok(())
    }
}

impl FileWrapper {
    /// What is left of the wrapped file, if it is a plain one with something left; `None`: iterate it.
    ///
    /// # Errors
    /// When the file object fails, for one because it is closed.
    pub fn region(&self, py: Python<'_>) -> PyResult<Option<Region>> {
        let filelike = self.filelike.bind(py);
        if !is_plain(filelike)? || !filelike.call_method0("readable")?.extract::<bool>()? {
            return Ok(None);
        }
        let offset: u64 = match filelike.call_method0("tell") {
            Ok(position) => position.extract()?,
            Err(_) => return Ok(None),
        };
        let Ok(file) = duplicate(filelike.call_method0("fileno")?.extract()?) else {
            return Ok(None);
        };
        let Ok(metadata) = file.metadata() else {
            return Ok(None);
        };
        let length = metadata.len().saturating_sub(offset);
        Ok((metadata.is_file() && length > 0).then_some(Region { file, offset, length }))
    }
}

/// Whether the object is one of Python's own binary files whose `read` gives just what its descriptor has.
fn is_plain(filelike: &Bound<'_, PyAny>) -> PyResult<bool> {
    let io = filelike.py().import("io")?;
    let is = |object: &Bound<'_, PyAny>, name: &str| -> PyResult<bool> { Ok(object.get_type().is(io.getattr(name)?)) };
    if is(filelike, "FileIO")? {
        return Ok(true);
    }
    Ok((is(filelike, "BufferedReader")? || is(filelike, "BufferedRandom")?) && is(&filelike.getattr("raw")?, "FileIO")?)
}

#[expect(unsafe_code, reason = "Python gives a descriptor as a number")]
fn duplicate(descriptor: RawFd) -> std::io::Result<File> {
    // SAFETY: the number is what the file object's `fileno()` said a moment ago, and the GIL has been held since, so no Python
    // code can have closed it; the borrow ends with this line.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}
