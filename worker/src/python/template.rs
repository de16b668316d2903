//! What the environ of every request by one listener has, as a dict to be copied.
//!
//! It has [`KEYS_MIN`] keys or more, each inserted plainly and none ever deleted: then the copy keeps its table, which has room for
//! some fifteen fields before it must grow (measured on CPython 3.11 to 3.13).

use monoceros_shared::config::{Address, App, Listener};
use monoceros_shared::link::Assignment;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::deadline;
use super::file::FileWrapper;
use super::hints::early_hints;
use super::journal::Journal;
use super::latin1;

/// With fewer keys than this the template's table would have no room for a request's fields.
const KEYS_MIN: usize = 22;

/// A template.
pub struct Template {
    /// Every key that is always there, with the commonest value.
    pub dict: Py<PyDict>,
    /// SERVER_NAME and SERVER_PORT come from the Host field.
    pub is_named_by_host: bool,
    /// The port that a Host field without one means: the scheme's (RFC 9110 4.2).
    pub scheme_port: &'static [u8],
}

impl Template {
    /// That of a listener, if it is one.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn new(py: Python<'_>, assignment: &Assignment, way: (Option<&Listener>, &Py<Journal>)) -> PyResult<Template> {
        let (listener, journal) = way;
        let address = listener.map(|listener| &listener.address);
        let is_sealed = listener.is_some_and(|listener| listener.tls.is_some());
        let is_named_by_host =
            !matches!(address, Some(Address::Tcp(own)) if !own.ip().is_unspecified() && own.port() != 0);
        let dict = PyDict::new(py);
        let text = |name: &str, value: &str| dict.set_item(PyString::intern(py, name), PyString::intern(py, value));
        let (name, port) = server(address);
        for (key, value) in REQUEST_DEFAULTS {
            text(key, value)?;
        }
        if is_sealed {
            text("wsgi.url_scheme", "https")?;
            text("HTTPS", "on")?;
        }
        // As the bytes of its UTF-8, as every WSGI string is (PEP 3333, Unicode Issues).
        dict.set_item(intern!(py, "SCRIPT_NAME"), latin1::decode(py, assignment.app.origin.mount.as_bytes())?)?;
        text("SERVER_NAME", &name)?;
        text("SERVER_PORT", &port)?;
        text("SERVER_SOFTWARE", concat!("monoceros/", env!("CARGO_PKG_VERSION")))?;
        if !matches!(address, Some(Address::Unix(_) | Address::Abstract(_))) {
            text("REMOTE_PORT", "")?;
        }
        let set = |name: &str, value: Bound<'_, PyAny>| dict.set_item(PyString::intern(py, name), value);
        let flag = |name: &str, value: bool| dict.set_item(PyString::intern(py, name), value);
        set("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
        flag("wsgi.multithread", assignment.app.threads > 1 || assignment.app.engine.has_greenlets())?;
        flag("wsgi.multiprocess", assignment.siblings > 1)?;
        flag("wsgi.run_once", false)?;
        flag("wsgi.input_terminated", true)?;
        set("wsgi.input", py.None().into_bound(py))?;
        set("wsgi.errors", journal.bind(py).clone().into_any())?;
        set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
        set("monoceros.extend_timeout", deadline::extender(py)?.into_any())?;
        set("monoceros.RequestTimeout", deadline::request_timeout(py))?;
        set("wsgi.early_hints", wrap_pyfunction!(early_hints, py)?.into_any())?;
        set("monoceros.worker", assignment.worker.into_pyobject(py)?.into_any())?;
        set("monoceros.generation", assignment.generation.into_pyobject(py)?.into_any())?;
        debug_assert!(dict.len() >= KEYS_MIN, "{} keys", dict.len());
        Ok(Template { dict: dict.unbind(), is_named_by_host, scheme_port: if is_sealed { b"443" } else { b"80" } })
    }

    /// Has every request from now on come by https.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn assume_https(&mut self, py: Python<'_>) -> PyResult<()> {
        self.scheme_port = b"443";
        self.dict.bind(py).set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))
    }

    /// Has the process end behind its first request, whose complaints are for standard error.
    ///
    /// # Errors
    /// When Python has no memory, or no standard error.
    pub fn serve_once(&mut self, py: Python<'_>) -> PyResult<()> {
        let dict = self.dict.bind(py);
        dict.set_item(intern!(py, "wsgi.run_once"), true)?;
        dict.set_item(intern!(py, "wsgi.errors"), py.import("sys")?.getattr("stderr")?)
    }
}

/// What the commonest request has, so that it need not be set again.
const REQUEST_DEFAULTS: &[(&str, &str)] = &[
    ("REQUEST_METHOD", "GET"),
    ("SCRIPT_NAME", ""),
    ("PATH_INFO", "/"),
    ("QUERY_STRING", ""),
    ("RAW_URI", "/"),
    ("REQUEST_URI", "/"),
    ("SERVER_PROTOCOL", "HTTP/1.1"),
    ("REMOTE_ADDR", ""),
    ("wsgi.url_scheme", "http"),
];

/// A listener by its name.
pub fn listener_of<'a>(app: &'a App, name: &str) -> Option<&'a Listener> {
    app.listen.iter().find(|listener| listener.address.to_string() == name)
}

/// SERVER_NAME and SERVER_PORT where no Host says better; PEP 3333 wants them never empty.
fn server(address: Option<&Address>) -> (String, String) {
    match address {
        Some(Address::Tcp(own)) => {
            let name = if own.is_ipv6() { format!("[{}]", own.ip()) } else { own.ip().to_string() };
            (name, own.port().to_string())
        }
        Some(Address::Unix(_) | Address::Abstract(_)) | None => ("localhost".to_owned(), "80".to_owned()),
    }
}
