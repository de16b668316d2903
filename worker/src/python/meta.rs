//! What a gateway's variables are in environ: themselves, once, as latin-1; but for SCRIPT_NAME and PATH_INFO, which `mount` may divide
//! another way, and for SERVER_NAME and SERVER_PORT, which are never empty (PEP 3333): nginx sends a name that is where its server has none. Nor
//! has a SERVER_NAME a port (RFC 3875 4.1.14): HAProxy sends what the Host field has.
//!
//! A web server sends the same names in the same order with each request, and mostly the same values. So keys and values are remembered
//! by their place, and a variable that is as it was costs a comparison.

use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::latin1;
use crate::origin::Policy;
use crate::wire::gateway::head::Meta;

/// Places that are remembered. A web server sends some twenty; more are strangers'.
const PLACES_MAX: usize = 64;

/// A longer value is not worth remembering.
const VALUE_BYTES_MAX: usize = 128;

/// The variables of the request before.
#[derive(Default)]
pub struct Variables {
    met: Mutex<Vec<Met>>,
}

/// A variable as it was last time at its place.
struct Met {
    name: Box<[u8]>,
    key: Py<PyString>,
    value: Box<[u8]>,
    text: Py<PyString>,
}

impl Variables {
    /// Sets them in environ; `bytes` are those that they are spans of.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn set(&self, environ: &Bound<'_, PyDict>, meta: &Meta, bytes: &[u8]) -> PyResult<()> {
        let py = environ.py();
        let variables = meta.variables.iter().map(|variable| (variable.name.of(bytes), variable.value.of(bytes)));
        let told =
            variables.filter(|(name, value)| !value.is_empty() || !matches!(*name, b"SERVER_NAME" | b"SERVER_PORT"));
        for (place, (name, value)) in told.enumerate() {
            let (key, text) = match self.known(py, place, (name, value)) {
                (Some(key), Some(text)) => (key, text),
                (key, _) => {
                    let key = key.map_or_else(|| latin1::decode(py, name), Ok)?;
                    let text = latin1::decode(py, if name == b"SERVER_NAME" { without_port(value) } else { value })?;
                    self.remember(place, (name, &key), (value, &text));
                    (key, text)
                }
            };
            environ.set_item(key, text)?;
        }
        Ok(())
    }

    /// Key and value, if they are what they were. No code of Python's runs under the lock.
    fn known<'py>(
        &self,
        py: Python<'py>,
        place: usize,
        (name, value): (&[u8], &[u8]),
    ) -> (Option<Bound<'py, PyString>>, Option<Bound<'py, PyString>>) {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(met) = met.get(place).filter(|met| *met.name == *name) else { return (None, None) };
        let text = (*met.value == *value).then(|| met.text.bind(py).clone());
        (Some(met.key.bind(py).clone()), text)
    }

    fn remember(
        &self,
        place: usize,
        (name, key): (&[u8], &Bound<'_, PyString>),
        (value, text): (&[u8], &Bound<'_, PyString>),
    ) {
        if place >= PLACES_MAX || value.len() > VALUE_BYTES_MAX || name.len() > VALUE_BYTES_MAX {
            return;
        }
        let new =
            Met { name: name.into(), key: key.clone().unbind(), value: value.into(), text: text.clone().unbind() };
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if place == met.len() {
            met.push(new);
        } else if let Some(old) = met.get_mut(place) {
            *old = new;
        }
    }
}

/// A name without the port behind it, if there is one. The colons of an IPv6 literal are within it.
fn without_port(name: &[u8]) -> &[u8] {
    let end = match name.first() {
        Some(b'[') => memchr::memchr(b']', name).map(|end| end + 1),
        Some(_) | None => memchr::memchr(b':', name).filter(|at| memchr::memrchr(b':', name) == Some(*at)),
    };
    end.filter(|end| *end > 0).map_or(name, |end| &name[..end])
}

/// Sets SCRIPT_NAME and PATH_INFO: as the gateway divides the path, if the mount allows it, and else as the mount does.
///
/// # Errors
/// When Python has no memory.
pub fn set_path(environ: &Bound<'_, PyDict>, meta: &Meta, (bytes, policy): (&[u8], &Policy)) -> PyResult<()> {
    let py = environ.py();
    let (script, info) = (meta.script.of(bytes), meta.info.of(bytes));
    let whole;
    let info = match policy.below_mount(script) {
        Some(_) => {
            environ.set_item(intern!(py, "SCRIPT_NAME"), latin1::decode(py, script)?)?;
            info
        }
        None => {
            whole = [script, info].concat();
            policy.below_mount(&whole).unwrap_or(&whole)
        }
    };
    environ.set_item(intern!(py, "PATH_INFO"), latin1::decode(py, info)?)
}
