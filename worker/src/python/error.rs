//! A Python exception as text for a person, whatever state the exception is in.
//!
//! Formatting runs code of the application (`__str__`, `__repr__`), so it can fail itself; then less is said, never nothing.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The exception with its traceback, its causes and its context, as the `traceback` module prints it, without a line end.
pub fn traceback(py: Python<'_>, error: &PyErr) -> String {
    let format = || -> PyResult<String> {
        let lines = py
            .import("traceback")?
            .call_method1("format_exception", (error.get_type(py), error.value(py), error.traceback(py)))?;
        let text = PyString::new(py, "").call_method1("join", (lines,))?;
        Ok(text.cast::<PyString>()?.to_string_lossy().trim_end().to_owned())
    };
    format().unwrap_or_else(|_| one_line(py, error))
}

/// `ModuleNotFoundError: No module named 'hello'`: the exception alone, its first line.
pub fn one_line(py: Python<'_>, error: &PyErr) -> String {
    let name = error
        .get_type(py)
        .name()
        .map_or_else(|_| "an exception".to_owned(), |name| name.to_string_lossy().into_owned());
    let Ok(text) = error.value(py).str() else {
        return format!("{name}, which cannot be printed");
    };
    match text.to_string_lossy().lines().next() {
        Some(line) => format!("{name}: {line}"),
        None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raised(py: Python<'_>, code: &std::ffi::CStr) -> PyErr {
        py.run(code, None, None).unwrap_err()
    }

    #[test]
    fn a_traceback_names_the_lines_and_the_cause() {
        Python::initialize();
        Python::attach(|py| {
            let error = raised(py, c"try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e");
            let text = traceback(py, &error);
            assert!(text.contains("ZeroDivisionError: division by zero"), "{text}");
            assert!(text.contains("direct cause"), "{text}");
            assert!(text.ends_with("KeyError: 'k'"), "{text}");
        });
    }

    #[test]
    fn an_exception_that_cannot_be_printed_is_still_named() {
        Python::initialize();
        Python::attach(|py| {
            let error = raised(py, c"class Bad(Exception):\n    def __str__(self): raise RuntimeError\nraise Bad()");
            assert!(traceback(py, &error).contains("Bad"));
            assert_eq!(one_line(py, &error), "Bad, which cannot be printed");
            let exit = raised(py, c"raise SystemExit");
            assert_eq!(one_line(py, &exit), "SystemExit");
        });
    }
}
