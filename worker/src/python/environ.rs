//! The environ of a request (PEP 3333, environ Variables; RFC 3875 4.1): a fresh dict for each, copied from a template.
//!
//! ```text
//!   per listener, once:  template = every key that is always there, with the commonest value
//!   per request:         copy, set what differs, add the header fields
//! ```
//!
//! * PATH_INFO is decoded once, and stays as it is where an escape is bad. `OPTIONS *` and CONNECT name no path, so theirs is
//!   empty, as RFC 3875 4.1.5 wants; RAW_URI and REQUEST_URI have the target as it came.
//! * SERVER_NAME and SERVER_PORT are the listener's, as gunicorn's are; on a wildcard address or a Unix socket, where those say
//!   nothing, the Host's, its port the scheme's if it names none. An IPv6 literal stands in brackets (RFC 3875 4.1.14).
//! * CONTENT_LENGTH is there for every request with a body, for a chunked one too: the body is read before the application is
//!   called, so its length is known and its coding gone. Only where the application reads the body itself a chunked one has none.
//! * The request can set no variable but `HTTP_*`, CONTENT_TYPE and CONTENT_LENGTH; `Proxy` sets none, and names with `_` only where
//!   the config keeps them, and they hide no other.
//! * What proxies say of their clients (X-Forwarded-For and its like) is there only if a trusted one said it; what of it is
//!   believed stands in REMOTE_ADDR, HTTP_HOST, SCRIPT_NAME and wsgi.url_scheme, see `origin`.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use monoceros_shared::config::Underscores;
use monoceros_shared::link::Assignment;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use slog::{Logger, warn};

use super::journal::Journal;
use super::latin1;
use super::meta;
use super::names::{Meaning, Names, key_of};
use super::template::{Template, listener_of};
use crate::conn::Peer;
use crate::origin::{Origin, Policy};
use crate::relay::Relay;
use crate::tls::Variables;
use crate::wire::{Framing, Head, Version, percent};

/// What environ tells of a request.
pub struct Request<'a> {
    /// Its head.
    pub head: &'a Head,
    /// What the head's spans are of.
    pub bytes: &'a [u8],
    /// Who sent it.
    pub peer: &'a Peer,
    /// Where it comes from besides.
    pub origin: &'a Origin,
    /// What a PROXY header said.
    pub relay: Option<&'a Relay>,
    /// Which of the assignment's listeners it came by.
    pub listener: usize,
    /// Its identifier, if it has one.
    pub id: Option<&'a [u8]>,
    /// Bytes of its decoded body, if it is in.
    pub body_length: Option<u64>,
    /// What is told of its TLS, if it came by that.
    pub tls: Option<&'a Variables>,
}

/// Makes environs.
pub struct Environs {
    templates: Vec<Template>,
    names: Names,
    meta: meta::Variables,
    /// The latest client's address, for one proxy sends most requests.
    client: Mutex<Option<(IpAddr, Py<PyString>)>>,
    policy: Arc<Policy>,
    has_warned_of_underscores: AtomicBool,
    has_warned_of_words: AtomicBool,
    log: Logger,
}

impl Environs {
    /// Prepares a template for each of the assignment's listeners.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn new(py: Python<'_>, assignment: &Assignment, log: &Logger) -> PyResult<Environs> {
        let journal = Py::new(py, Journal::new(log.clone()))?;
        let policy = Arc::new(Policy::new(&assignment.app, &assignment.log.access));
        let template = |name: &String| Template::new(py, assignment, (listener_of(&assignment.app, name), &journal));
        Ok(Environs {
            templates: assignment.listeners.iter().map(template).collect::<PyResult<_>>()?,
            names: Names::new(py, policy.clone()),
            meta: meta::Variables::default(),
            policy,
            client: Mutex::new(None),
            has_warned_of_underscores: AtomicBool::new(false),
            has_warned_of_words: AtomicBool::new(false),
            log: log.clone(),
        })
    }

    /// Changes each template.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn change(&mut self, change: impl Fn(&mut Template) -> PyResult<()>) -> PyResult<()> {
        self.templates.iter_mut().try_for_each(change)
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
        request.set_line(&environ, &self.policy)?;
        if template.is_named_by_host {
            request.set_server(&environ, template.scheme_port)?;
        }
        if let Some(meta) = &request.head.meta {
            self.meta.set(&environ, meta, request.bytes)?;
        }
        self.set_client(&environ, request)?;
        self.set_fields(&environ, request)?;
        for (name, value) in request.tls.into_iter().flatten() {
            environ.set_item(PyString::intern(py, name), latin1::decode(py, value.as_bytes())?)?;
        }
        if request.origin.https.is_some() || request.origin.prefix.is_some() || request.relay.is_some() {
            request.set_way(&environ, &self.policy)?;
        }
        if let Some(id) = request.id {
            environ.set_item(intern!(py, "monoceros.request_id"), latin1::decode(py, id)?)?;
        }
        Ok(environ)
    }

    fn set_client(&self, environ: &Bound<'_, PyDict>, request: &Request<'_>) -> PyResult<()> {
        let py = environ.py();
        let (ip, port) = match (request.origin.client, request.peer) {
            (Some(client), _) => client,
            // A gateway is not the client.
            (None, _) if request.head.meta.is_some() => return Ok(()),
            (None, Peer::Tcp(address)) => (address.ip(), Some(address.port())),
            (None, Peer::Unix) => return Ok(()),
        };
        environ.set_item(intern!(py, "REMOTE_ADDR"), self.client_text(py, ip))?;
        port.map_or(Ok(()), |port| environ.set_item(intern!(py, "REMOTE_PORT"), port_text(py, port)?))
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
        let mut has_underscore = false;
        for field in &request.head.fields {
            let name = field.name.of(request.bytes);
            let (key, separator) = match self.names.meaning(py, name) {
                Meaning::Header(key) => (key, ", "),
                Meaning::Cookie(key) => (key, "; "),
                Meaning::Host(key) if request.head.authority.is_none() && request.origin.host.is_none() => (key, ", "),
                Meaning::Word(key) if request.origin.is_trusted => (key, ", "),
                Meaning::Word(_) => {
                    self.warn_of_word(name, request);
                    continue;
                }
                Meaning::Host(_) | Meaning::Framing | Meaning::Proxy => continue,
                Meaning::Underscore => {
                    has_underscore = true;
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
        if has_underscore { self.set_underscores(environ, request) } else { Ok(()) }
    }

    /// Last, so that none of them takes another field's place.
    fn set_underscores(&self, environ: &Bound<'_, PyDict>, request: &Request<'_>) -> PyResult<()> {
        let py = environ.py();
        for field in &request.head.fields {
            let name = field.name.of(request.bytes);
            if !name.contains(&b'_') {
                continue;
            }
            if self.policy.underscores() != Underscores::Keep {
                self.warn_of_underscore(name);
                continue;
            }
            let hyphened: Vec<u8> = name.iter().map(|&byte| if byte == b'_' { b'-' } else { byte }).collect();
            let framing: [&[u8]; 3] = [b"content-length", b"content-type", b"transfer-encoding"];
            let is_framing = framing.iter().any(|known| hyphened.eq_ignore_ascii_case(known));
            let hides = is_framing || self.policy.is_word(&hyphened);
            if !hides {
                let value = latin1::decode(py, &request.joined(name, ", "))?;
                environ.set_default(PyString::new(py, &key_of(name)), value)?;
            }
        }
        Ok(())
    }

    fn warn_of_word(&self, name: &[u8], request: &Request<'_>) {
        // Any client may send an identifier, in good faith.
        let is_id = self.policy.id_field().is_some_and(|id| name.eq_ignore_ascii_case(id.as_bytes()));
        if !is_id && !self.has_warned_of_words.swap(true, Ordering::Relaxed) {
            warn!(self.log, "a field that only trusted_proxies may send was dropped, as all such are from now on";
                "name" => String::from_utf8_lossy(name).into_owned(), "client" => %request.peer);
        }
    }

    fn warn_of_underscore(&self, name: &[u8]) {
        if !self.has_warned_of_underscores.swap(true, Ordering::Relaxed) {
            warn!(self.log, "a header field with an underscore in its name was dropped, as all such are from now on";
                "name" => String::from_utf8_lossy(name).into_owned());
        }
    }
}

impl Request<'_> {
    fn set_line(&self, environ: &Bound<'_, PyDict>, policy: &Policy) -> PyResult<()> {
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
        if self.head.authority.is_some() || self.origin.host.is_some() {
            environ.set_item(intern!(py, "HTTP_HOST"), latin1::decode(py, self.host())?)?;
        }
        self.set_content_length(environ)?;
        self.set_target(environ, method, policy)
    }

    fn set_target(&self, environ: &Bound<'_, PyDict>, method: &[u8], policy: &Policy) -> PyResult<()> {
        let py = environ.py();
        let (target, path) = (self.head.target.of(self.bytes), self.head.path.of(self.bytes));
        let whole = latin1::decode(py, target)?;
        if let Some(meta) = &self.head.meta {
            meta::set_path(environ, meta, (self.bytes, policy))?;
            environ.set_item(intern!(py, "RAW_URI"), &whole)?;
            return environ.set_item(intern!(py, "REQUEST_URI"), whole);
        }
        let decoded = match path {
            b"*" => Cow::Borrowed(&b""[..]),
            b"" if method == b"CONNECT" => Cow::Borrowed(&b""[..]),
            b"" => Cow::Borrowed(&b"/"[..]),
            path => percent::decoded(path),
        };
        let below = policy.below_mount(&decoded).unwrap_or(&decoded);
        let info = if *below == *target { whole.clone() } else { latin1::decode(py, below)? };
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
            // A gateway's stream without a length, of which nothing came, is no body.
            Framing::Chunked if self.body_length == Some(0) && self.head.meta.is_some() => {
                match self.field(b"content-length") {
                    Some(_) => 0,
                    None => return Ok(()),
                }
            }
            Framing::Chunked => match (self.body_length, self.told_length()) {
                (Some(length), _) | (None, Some(length)) => length,
                (None, None) => return Ok(()),
            },
        };
        environ
            .set_item(intern!(py, "CONTENT_LENGTH"), latin1::decode(py, itoa::Buffer::new().format(length).as_bytes())?)
    }

    /// The length of a body that is still to come, where its gateway tells it.
    fn told_length(&self) -> Option<u64> {
        self.head.meta.as_ref()?;
        std::str::from_utf8(self.field(b"content-length")?).ok()?.parse().ok()
    }

    fn set_server(&self, environ: &Bound<'_, PyDict>, scheme_port: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let (name, port) = host_and_port(self.host());
        if name.is_empty() {
            return Ok(());
        }
        environ.set_item(intern!(py, "SERVER_NAME"), latin1::decode(py, name)?)?;
        let scheme_port = match self.origin.https {
            Some(true) => &b"443"[..],
            Some(false) => b"80",
            None => scheme_port,
        };
        let port = if port.is_empty() { scheme_port } else { port };
        environ.set_item(intern!(py, "SERVER_PORT"), latin1::decode(py, port)?)
    }

    /// What was told of the way that the request took here.
    fn set_way(&self, environ: &Bound<'_, PyDict>, policy: &Policy) -> PyResult<()> {
        let py = environ.py();
        if let Some(is_https) = self.origin.https {
            let scheme = if is_https { intern!(py, "https") } else { intern!(py, "http") };
            environ.set_item(intern!(py, "wsgi.url_scheme"), scheme)?;
            let https = intern!(py, "HTTPS");
            if is_https {
                environ.set_item(https, intern!(py, "on"))?;
            } else if environ.contains(https)? {
                environ.del_item(https)?;
            }
        }
        if let Some(prefix) = &self.origin.prefix {
            let own = self.head.meta.as_ref().map(|meta| meta.script.of(self.bytes)).filter(|own| !own.is_empty());
            let name = [prefix, own.unwrap_or(policy.mount().as_bytes())].concat();
            environ.set_item(intern!(py, "SCRIPT_NAME"), latin1::decode(py, &name)?)?;
        }
        if let Some(Relay::Said { server: Some(server), .. }) = self.relay {
            // gunicorn's names: what the proxy speaks, and where the client had connected to.
            let family = if server.is_ipv4() { intern!(py, "TCP4") } else { intern!(py, "TCP6") };
            environ.set_item(intern!(py, "PROXY_PROTOCOL"), family)?;
            environ.set_item(intern!(py, "PROXY_ADDR"), server.ip().to_string())?;
            environ.set_item(intern!(py, "PROXY_PORT"), port_text(py, server.port())?)?;
        }
        Ok(())
    }

    /// The host that the client asked for: as its proxy says, as the target says, as the Host field does (RFC 9112 3.2.2).
    fn host(&self) -> &[u8] {
        match (&self.origin.host, self.head.authority) {
            (Some(host), _) => host,
            (None, Some(authority)) => authority.of(self.bytes),
            (None, None) => self.field(b"host").unwrap_or_default(),
        }
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

fn port_text(py: Python<'_>, port: u16) -> PyResult<Bound<'_, PyString>> {
    latin1::decode(py, itoa::Buffer::new().format(port).as_bytes())
}

/// `example.com:8000`, `[::1]:8000`, `example.com` in two (RFC 9110 7.2); the port is empty if there is none.
fn host_and_port(host: &[u8]) -> (&[u8], &[u8]) {
    let after_literal = memchr::memchr(b']', host).map_or(0, |end| end + 1);
    match memchr::memrchr(b':', &host[after_literal..]) {
        Some(colon) => (&host[..after_literal + colon], &host[after_literal + colon + 1..]),
        None => (host, b""),
    }
}
