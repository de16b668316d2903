//! The packages that engines need: their part in Python is a module of ours that imports them, or says that they are not there.

use std::ffi::CString;

use monoceros_shared::config::App;
use monoceros_shared::link::Failure;
use pyo3::exceptions::{PyModuleNotFoundError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use super::{error, greenlets, interpreter, tornado};

/// Has the package of the engine ready, before the application is imported.
///
/// # Errors
/// When there is no such package, or it raises.
pub fn prepare(py: Python<'_>, app: &App) -> Result<(), Failure> {
    greenlets::prepare(py, app)?;
    tornado::prepare(py, app)
}

/// A module of ours, which nobody can import.
///
/// # Errors
/// When what it imports is not there, or raises.
pub fn module<'py>(py: Python<'py>, source: &str, file: &str) -> PyResult<Bound<'py, PyModule>> {
    let (code, file_name) = (CString::new(source)?, CString::new(file)?);
    let name = CString::new(file.trim_end_matches(".py").replace('/', "_"))?;
    let module = PyModule::from_code(py, &code, &file_name, &name)?;
    py.import("sys")?.getattr("modules")?.call_method1("pop", (module.name()?, py.None()))?;
    Ok(module)
}

/// What was prepared.
///
/// # Errors
/// When nothing was, for another engine.
pub fn known<'a, T>(py: Python<'_>, what: &'a PyOnceLock<T>) -> PyResult<&'a T> {
    what.get(py).ok_or_else(|| PyRuntimeError::new_err("this engine needs no package"))
}

/// Why an engine cannot be used.
pub fn failure(py: Python<'_>, app: &App, raised: &PyErr) -> Failure {
    let package = app.engine.word();
    if !is_missing(py, raised, package) {
        let why = format!("cannot use engine {package}: {}", error::one_line(py, raised));
        return Failure::new(why, error::traceback(py, raised));
    }
    Failure::new(format!("cannot use engine {package}: {}", absence(app, package)), "")
}

/// Whether an import failed because this module, or the package that it is in, is not there.
pub fn is_missing(py: Python<'_>, raised: &PyErr, module: &str) -> bool {
    let missing = raised.value(py).getattr("name").and_then(|name| name.extract::<String>()).unwrap_or_default();
    let is_it = missing == module || missing.strip_prefix(module).is_some_and(|rest| rest.starts_with('.'));
    raised.is_instance_of::<PyModuleNotFoundError>(py) && is_it
}

/// That a package is not there, and what puts it there.
pub fn absence(app: &App, package: &str) -> String {
    let (place, python) = match &app.virtualenv {
        Some(root) => (format!("in the virtualenv {}", root.display()), root.join("bin/python").display().to_string()),
        None => (format!("among those of Python {}", interpreter::VERSION), "python3".to_owned()),
    };
    let remedy = if app.virtualenv.is_some() { "" } else { "; or name a `virtualenv` that has it" };
    format!("the package is not {place}: {python} -m pip install {package}{remedy}")
}
