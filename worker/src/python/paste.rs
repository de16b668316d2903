//! Applications that PasteDeploy makes of an ini file, as `pserve` and `gunicorn --paste` load them.
//!
//! ```text
//!   [loggers], [handlers] and [formatters] in it -> logging.config.fileConfig, then  loadapp("config:FILE", name=NAME)
//! ```
//!
//! Rule: its `[server:...]` means nothing here; the config's check has said so.

use monoceros_shared::config::{App, Paste};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// The sections without which an ini file configures no logging.
const OF_LOGGING: [&str; 3] = ["loggers", "handlers", "formatters"];

/// PasteDeploy's `loadapp`.
///
/// # Errors
/// When the package is not there, or raises.
pub fn loader(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("paste.deploy")?.getattr("loadapp")
}

/// Has it make the application.
///
/// # Errors
/// What PasteDeploy, the application's factory or `logging` raises.
pub fn load<'py>(loadapp: &Bound<'py, PyAny>, app: &App, paste: &Paste) -> PyResult<Bound<'py, PyAny>> {
    let py = loadapp.py();
    configure_logging(py, paste)?;
    let named = PyDict::new(py);
    named.set_item("name", &paste.name)?;
    named.set_item("relative_to", app.directory.as_os_str())?;
    let uri = PyString::new(py, "config:").call_method1("__add__", (paste.file.as_os_str(),))?;
    loadapp.call((uri,), Some(&named))
}

/// As `pserve` does it: with `%(here)s` and `%(__file__)s`, and without silencing loggers that are there already.
fn configure_logging(py: Python<'_>, paste: &Paste) -> PyResult<()> {
    let parser = py.import("configparser")?.getattr("RawConfigParser")?.call0()?;
    parser.call_method1("read", (paste.file.as_os_str(),))?;
    for section in OF_LOGGING {
        if !parser.call_method1("has_section", (section,))?.is_truthy()? {
            return Ok(());
        }
    }
    let defaults = PyDict::new(py);
    let folder = paste.file.parent().unwrap_or(&paste.file);
    defaults.set_item("here", folder.as_os_str())?;
    defaults.set_item("__file__", paste.file.as_os_str())?;
    let named = PyDict::new(py);
    named.set_item("defaults", defaults)?;
    named.set_item("disable_existing_loggers", false)?;
    py.import("logging.config")?.call_method("fileConfig", (paste.file.as_os_str(),), Some(&named)).map(drop)
}
