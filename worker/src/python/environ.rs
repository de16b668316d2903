//! The environ of a request (PEP 3333, environ Variables; RFC 3875 4.1): a fresh dict for each, copied from a template.
//!
//! ```text
//!   per listener, once:  template = every key that is always there, with the commonest value
//!   per request:         copy, set what differs, add the header fields
//! ```
//!
//! The template has [`KEYS_MIN`] keys or more, each inserted plainly and none ever deleted: then the copy keeps the
//! template's table, which has room for some twenty fields before it must grow (measured on CPython 3.11 to 3.13).
//!
//! * PATH_INFO is decoded once, and stays as it is where an escape is bad. `OPTIONS *` and CONNECT name no path, so theirs is
//!   empty, as RFC 3875 4.1.5 wants; RAW_URI and REQUEST_URI have the target as it came.
//! * SERVER_NAME and SERVER_PORT are the listener's, as gunicorn's are; on a wildcard address or a Unix socket, where those say
//!   nothing, the Host's, its port the scheme's if it names none. An IPv6 literal stands in brackets (RFC 3875 4.1.14).
//! * CONTENT_LENGTH is there for every request with a body, for a chunked one too: the body is read before the application is
//!   called, so its length is known and its coding gone.
//! * The request can set no variable but `HTTP_*`, CONTENT_TYPE and CONTENT_LENGTH; names with `_` and `Proxy` set none.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use monoceros_shared::config::{Address, App, Listener};
use monoceros_shared::link::Assignment;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use slog::{Logger, warn};

use super::deadline;
use super::file::FileWrapper;
use super::journal::Journal;
use super::latin1;
use super::names::{Meaning, Names};
use crate::conn::Peer;
use crate::tls::Variables;
use crate::wire::{Framing, Head, Version};

/// With fewer keys than this the template's table would have no room for a request's fields.
const KEYS_MIN: usize = 22;

/// What environ tells of a request.
pub struct Request<'a> {
    /// Its head.
    pub head: &'a Head,
    /// What the head's spans are of.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: &'a Peer,
    /// Which of the assignment's listeners it came by.
    pub listener: usize,
    /// Bytes of its decoded body.
    pub body_length: u64,
    /// What is told of its TLS, if it came by that.
    pub tls: Option<&'a Variables>,
}

/// Makes environs.
pub struct Environs {
    templates: Vec<Template>,
    names: Names,
    /// The latest client's address, for one proxy sends most requests.
    client: Mutex<Option<(IpAddr, Py<PyString>)>>,
    has_warned: AtomicBool,
    log: Logger,
}

struct Template {
    dict: Py<PyDict>,
    /// SERVER_NAME and SERVER_PORT come from the Host field.
    is_named_by_host: bool,
    /// The port that a Host field without one means: the scheme's (RFC 9110 4.2).
    scheme_port: &'static [u8],
}

impl Environs {
    /// Prepares a template for each of the assignment's listeners.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn new(py: Python<'_>, assignment: &Assignment, log: &Logger) -> PyResult<Environs> {
        let journal = Py::new(py, Journal::new(log.clone()))?;
        let template = |name: &String| Template::new(py, assignment, (listener_of(&assignment.app, name), &journal));
        Ok(Environs {
            templates: assignment.listeners.iter().map(template).collect::<PyResult<_>>()?,
            names: Names::new(py),
            client: Mutex::new(None),
            has_warned: AtomicBool::new(false),
            log: log.clone(),
        })
    }

    /// Has every request from now on come by https.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn assume_https(&mut self, py: Python<'_>) -> PyResult<()> {
        for template in &mut self.templates {
            template.dict.bind(py).set_item(intern!(py, "wsgi.url_scheme"), intern!(py, "https"))?;
            template.scheme_port = b"443";
        }
        Ok(())
    }

    /// The environ of this request, with this `wsgi.input`.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn make<'py>(
        &self,
        py: Python<'py>,
        request: &Request<'_>,
        input: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let template = &self.templates[request.listener];
        let environ = template.dict.bind(py).copy()?;
        environ.set_item(intern!(py, "wsgi.input"), input)?;
        request.set_line(&environ)?;
        self.set_client(&environ, request.peer)?;
        self.set_fields(&environ, request)?;
        for (name, value) in request.tls.into_iter().flatten() {
            environ.set_item(PyString::intern(py, name), latin1::decode(py, value.as_bytes())?)?;
        }
        if template.is_named_by_host {
            request.set_server(&environ, template.scheme_port)?;
        }
        Ok(environ)
    }

    fn set_client(&self, environ: &Bound<'_, PyDict>, peer: &Peer) -> PyResult<()> {
        let py = environ.py();
        let Peer::Tcp(address) = peer else {
            return Ok(());
        };
        environ.set_item(intern!(py, "REMOTE_ADDR"), self.client_text(py, address.ip()))?;
        environ.set_item(
            intern!(py, "REMOTE_PORT"),
            latin1::decode(py, itoa::Buffer::new().format(address.port()).as_bytes())?,
        )
    }

    fn client_text<'py>(&self, py: Python<'py>, ip: IpAddr) -> Bound<'py, PyString> {
        // No code of Python's runs under this lock, so no thread waits for it with the GIL that its holder needs.
        let latest = || self.client.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, text)) = latest().as_ref().filter(|(known, _)| *known == ip) {
            return text.bind(py).clone();
        }
        let text = PyString::new(py, &ip.to_string());
        let former = latest().replace((ip, text.clone().unbind()));
        drop(former);
        text
    }

    fn set_fields(&self, environ: &Bound<'_, PyDict>, request: &Request<'_>) -> PyResult<()> {
        let py = environ.py();
        let mut repeated: Vec<&[u8]> = Vec::new();
        for field in &request.head.fields {
            let name = field.name.of(request.bytes);
            let (key, separator) = match self.names.meaning(py, name) {
                Meaning::Header(key) => (key, ", "),
                Meaning::Cookie(key) => (key, "; "),
                Meaning::Host(key) if request.head.authority.is_none() => (key, ", "),
                Meaning::Host(_) | Meaning::Framing | Meaning::Proxy => continue,
                Meaning::Underscore => {
                    self.warn_of_underscore(name);
                    continue;
                }
            };
            let value = latin1::decode(py, field.value.of(request.bytes))?;
            let is_first = environ.set_default(&key, value)?;
            if !is_first && !repeated.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                repeated.push(name);
                environ.set_item(key, latin1::decode(py, &request.joined(name, separator))?)?;
            }
        }
        Ok(())
    }

    fn warn_of_underscore(&self, name: &[u8]) {
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            warn!(self.log, "a header field with an underscore in its name was dropped, as all such are from now on";
                "name" => String::from_utf8_lossy(name).into_owned());
        }
    }
}

impl Request<'_> {
    fn set_line(&self, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = environ.py();
        let method = self.head.method.of(self.bytes);
        match method {
            b"GET" => {}
            b"POST" => environ.set_item(intern!(py, "REQUEST_METHOD"), intern!(py, "POST"))?,
            other => environ.set_item(intern!(py, "REQUEST_METHOD"), latin1::decode(py, other)?)?,
        }
        if self.head.version == Version::Http10 {
            environ.set_item(intern!(py, "SERVER_PROTOCOL"), intern!(py, "HTTP/1.0"))?;
        }
        if !self.head.query.is_empty() {
            environ.set_item(intern!(py, "QUERY_STRING"), latin1::decode(py, self.head.query.of(self.bytes))?)?;
        }
        if let Some(authority) = self.head.authority {
            environ.set_item(intern!(py, "HTTP_HOST"), latin1::decode(py, authority.of(self.bytes))?)?;
        }
        self.set_content_length(environ)?;
        self.set_target(environ, method)
    }

    fn set_target(&self, environ: &Bound<'_, PyDict>, method: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let (target, path) = (self.head.target.of(self.bytes), self.head.path.of(self.bytes));
        let whole = latin1::decode(py, target)?;
        let decoded = match path {
            b"*" => Cow::Borrowed(&b""[..]),
            b"" if method == b"CONNECT" => Cow::Borrowed(&b""[..]),
            b"" => Cow::Borrowed(&b"/"[..]),
            path => percent_decoded(path),
        };
        let info = if *decoded == *target { whole.clone() } else { latin1::decode(py, &decoded)? };
        environ.set_item(intern!(py, "PATH_INFO"), info)?;
        environ.set_item(intern!(py, "RAW_URI"), &whole)?;
        environ.set_item(intern!(py, "REQUEST_URI"), whole)
    }

    fn set_content_length(&self, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        let py = environ.py();
        let length = match self.head.framing {
            Framing::None => match self.field(b"content-length") {
                Some(_) => 0,
                None => return Ok(()),
            },
            Framing::Length(length) => length,
            Framing::Chunked => self.body_length,
        };
        environ
            .set_item(intern!(py, "CONTENT_LENGTH"), latin1::decode(py, itoa::Buffer::new().format(length).as_bytes())?)
    }

    fn set_server(&self, environ: &Bound<'_, PyDict>, scheme_port: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let host = match self.head.authority {
            Some(authority) => authority.of(self.bytes),
            None => self.field(b"host").unwrap_or_default(),
        };
        let (name, port) = host_and_port(host);
        if name.is_empty() {
            return Ok(());
        }
        environ.set_item(intern!(py, "SERVER_NAME"), latin1::decode(py, name)?)?;
        let port = if port.is_empty() { scheme_port } else { port };
        environ.set_item(intern!(py, "SERVER_PORT"), latin1::decode(py, port)?)
    }

    fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let mut fields = self.head.fields.iter();
        fields
            .find(|field| field.name.of(self.bytes).eq_ignore_ascii_case(name))
            .map(|field| field.value.of(self.bytes))
    }

    /// Every value of the name in order (RFC 9110 5.3).
    fn joined(&self, name: &[u8], separator: &str) -> Vec<u8> {
        let same = self.head.fields.iter().filter(|field| field.name.of(self.bytes).eq_ignore_ascii_case(name));
        same.map(|field| field.value.of(self.bytes)).collect::<Vec<_>>().join(separator.as_bytes())
    }
}

impl Template {
    fn new(py: Python<'_>, assignment: &Assignment, way: (Option<&Listener>, &Py<Journal>)) -> PyResult<Template> {
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
        text("SERVER_NAME", &name)?;
        text("SERVER_PORT", &port)?;
        text("SERVER_SOFTWARE", concat!("monoceros/", env!("CARGO_PKG_VERSION")))?;
        if !matches!(address, Some(Address::Unix(_) | Address::Abstract(_))) {
            text("REMOTE_PORT", "")?;
        }
        let set = |name: &str, value: Bound<'_, PyAny>| dict.set_item(PyString::intern(py, name), value);
        let flag = |name: &str, value: bool| dict.set_item(PyString::intern(py, name), value);
        set("wsgi.version", (1, 0).into_pyobject(py)?.into_any())?;
        flag("wsgi.multithread", assignment.app.threads > 1)?;
        flag("wsgi.multiprocess", assignment.siblings > 1)?;
        flag("wsgi.run_once", false)?;
        flag("wsgi.input_terminated", true)?;
        set("wsgi.input", py.None().into_bound(py))?;
        set("wsgi.errors", journal.bind(py).clone().into_any())?;
        set("wsgi.file_wrapper", py.get_type::<FileWrapper>().into_any())?;
        set("monoceros.worker", assignment.worker.into_pyobject(py)?.into_any())?;
        set("monoceros.generation", assignment.generation.into_pyobject(py)?.into_any())?;
        set("monoceros.extend_timeout", deadline::extend(py)?.into_any())?;
        set("monoceros.RequestTimeout", deadline::request_timeout(py))?;
        debug_assert!(dict.len() >= KEYS_MIN, "{} keys", dict.len());
        Ok(Template { dict: dict.unbind(), is_named_by_host, scheme_port: if is_sealed { b"443" } else { b"80" } })
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

fn listener_of<'a>(app: &'a App, name: &str) -> Option<&'a Listener> {
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

/// `example.com:8000`, `[::1]:8000`, `example.com` in two (RFC 9110 7.2); the port is empty if there is none.
fn host_and_port(host: &[u8]) -> (&[u8], &[u8]) {
    let after_literal = memchr::memchr(b']', host).map_or(0, |end| end + 1);
    match memchr::memrchr(b':', &host[after_literal..]) {
        Some(colon) => (&host[..after_literal + colon], &host[after_literal + colon + 1..]),
        None => (host, b""),
    }
}

/// The path with each `%XX` replaced by its byte, once (RFC 3875 4.1.5). What only looks like an escape stays.
fn percent_decoded(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        match (first, behind) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            (byte, after) => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(decoded)
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { (digit | 0x20) - b'a' + 10 }
}
