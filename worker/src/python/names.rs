//! Which key of environ a header field's name becomes, remembered.
//!
//! The names that clients commonly send are known from the start; up to [`MET_MAX`] others are remembered as they are met, so
//! that an application's own `X-…` fields cost no new string either. Fewer would forget those; more would let strangers
//! fill memory with names that they make up. A name that is not remembered works the same and costs a string.
//!
//! Names are compared without regard to case (RFC 9110 5.1). Keys are interned, as the application's own constants are.

use std::sync::{Arc, Mutex};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::origin::Policy;

/// Names remembered beside the known ones.
const MET_MAX: usize = 512;
/// A longer name is not worth remembering.
const NAME_BYTES_MAX: usize = 64;
/// Chains of the table; a full chain takes no more, so that made-up names cannot make a look-up long.
const CHAINS: usize = 256;
const CHAIN_MAX: usize = 8;

/// What a field is to environ.
pub enum Meaning<'py> {
    /// Goes under this key; repeated fields are one list (RFC 9110 5.3).
    Header(Bound<'py, PyString>),
    /// Goes under this key; repeated fields are joined as cookies are (RFC 6265 5.4).
    Cookie(Bound<'py, PyString>),
    /// Goes under this key unless the request-target names the authority.
    Host(Bound<'py, PyString>),
    /// Says how the message was framed, which environ tells otherwise.
    Framing,
    /// Would pass for another field's key: RFC 3875 4.1.18 turns `-` into `_` too.
    Underscore,
    /// `Proxy` would be HTTP_PROXY, which CGI programs take for the variable that names their proxy ("httpoxy").
    Proxy,
    /// A proxy's word on its client, for its key if it is trusted.
    Word(Bound<'py, PyString>),
}

enum Kind {
    Header,
    Cookie,
    Host,
    Framing,
    Underscore,
    Proxy,
    Word,
}

struct Entry {
    name: Box<[u8]>,
    kind: Kind,
    key: Py<PyString>,
}

impl Entry {
    fn new(py: Python<'_>, name: &[u8], policy: &Policy) -> Entry {
        let name = name.to_ascii_lowercase();
        let (kind, key) = match &name[..] {
            b"cookie" => (Kind::Cookie, "HTTP_COOKIE".to_owned()),
            b"host" => (Kind::Host, "HTTP_HOST".to_owned()),
            b"proxy" => (Kind::Proxy, String::new()),
            b"content-length" | b"transfer-encoding" => (Kind::Framing, String::new()),
            b"content-type" => (Kind::Header, "CONTENT_TYPE".to_owned()),
            name if name.contains(&b'_') => (Kind::Underscore, String::new()),
            name if policy.is_word(name) => (Kind::Word, key_of(name)),
            name => (Kind::Header, key_of(name)),
        };
        Entry { name: name.into(), kind, key: PyString::intern(py, &key).unbind() }
    }

    fn meaning<'py>(&self, py: Python<'py>) -> Meaning<'py> {
        let key = || self.key.bind(py).clone();
        match self.kind {
            Kind::Header => Meaning::Header(key()),
            Kind::Cookie => Meaning::Cookie(key()),
            Kind::Host => Meaning::Host(key()),
            Kind::Framing => Meaning::Framing,
            Kind::Underscore => Meaning::Underscore,
            Kind::Proxy => Meaning::Proxy,
            Kind::Word => Meaning::Word(key()),
        }
    }
}

/// The key of a field by RFC 3875 4.1.18.
pub fn key_of(name: &[u8]) -> String {
    format!("HTTP_{}", String::from_utf8_lossy(name).to_ascii_uppercase().replace('-', "_"))
}

#[derive(Default)]
struct Table {
    chains: Vec<Vec<Entry>>,
    count: usize,
}

impl Table {
    fn find(&self, name: &[u8]) -> Option<&Entry> {
        self.chains.get(chain_of(name))?.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
    }

    fn has_room(&self, name: &[u8], max: usize) -> bool {
        let chain = self.chains.get(chain_of(name)).map_or(0, Vec::len);
        self.count < max && chain < CHAIN_MAX
    }

    fn insert(&mut self, entry: Entry) {
        self.chains.resize_with(CHAINS, Vec::new);
        self.count += 1;
        self.chains[chain_of(&entry.name)].push(entry);
    }
}

/// FNV-1a over the letters without their case bit.
fn chain_of(name: &[u8]) -> usize {
    let hash =
        name.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte | 0x20)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) as usize % CHAINS
}

/// The remembered names.
pub struct Names {
    known: Table,
    met: Mutex<Table>,
    policy: Arc<Policy>,
}

impl Names {
    /// Remembers the names that clients commonly send.
    pub fn new(py: Python<'_>, policy: Arc<Policy>) -> Names {
        let mut known = Table::default();
        for name in KNOWN {
            known.insert(Entry::new(py, name.as_bytes(), &policy));
        }
        Names { known, met: Mutex::default(), policy }
    }

    /// What a field of this name is.
    #[inline]
    pub fn meaning<'py>(&self, py: Python<'py>, name: &[u8]) -> Meaning<'py> {
        if let Some(entry) = self.known.find(name) {
            return entry.meaning(py);
        }
        if let Some(entry) = self.met().find(name) {
            return entry.meaning(py);
        }
        let entry = Entry::new(py, name, &self.policy);
        let meaning = entry.meaning(py);
        if name.len() <= NAME_BYTES_MAX {
            self.remember(entry);
        }
        meaning
    }

    fn remember(&self, entry: Entry) {
        let mut met = self.met();
        if met.has_room(&entry.name, MET_MAX) && met.find(&entry.name).is_none() {
            met.insert(entry);
        }
    }

    /// No code of Python's runs under this lock, so no thread waits for it with the GIL that its holder needs.
    fn met(&self) -> std::sync::MutexGuard<'_, Table> {
        self.met.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Fields that browsers, proxies and load balancers send, and those that mean something of their own here.
const KNOWN: &[&str] = &[
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Method",
    "Authorization",
    "Cache-Control",
    "CDN-Loop",
    "CF-Connecting-IP",
    "CF-IPCountry",
    "CF-Ray",
    "CF-Visitor",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "DNT",
    "Expect",
    "Forwarded",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Keep-Alive",
    "Max-Forwards",
    "Origin",
    "Pragma",
    "Priority",
    "Proxy",
    "Range",
    "Referer",
    "Sec-CH-UA",
    "Sec-CH-UA-Mobile",
    "Sec-CH-UA-Platform",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "Sec-Fetch-User",
    "Sec-GPC",
    "TE",
    "Traceparent",
    "Tracestate",
    "Transfer-Encoding",
    "Upgrade",
    "Upgrade-Insecure-Requests",
    "User-Agent",
    "Via",
    "X-Amzn-Trace-Id",
    "X-Correlation-ID",
    "X-CSRF-Token",
    "X-CSRFToken",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Real-IP",
    "X-Request-ID",
    "X-Requested-With",
    "X-Scheme",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Arc<Policy> {
        Arc::new(Policy::new(&crate::origin::tests::config(""), &monoceros_shared::config::Access::Off))
    }

    fn key(py: Python<'_>, names: &Names, name: &[u8]) -> String {
        match names.meaning(py, name) {
            Meaning::Header(key) | Meaning::Cookie(key) | Meaning::Host(key) => key.to_string(),
            Meaning::Word(key) => format!("word {key}"),
            Meaning::Framing => "framing".to_owned(),
            Meaning::Underscore => "underscore".to_owned(),
            Meaning::Proxy => "proxy".to_owned(),
        }
    }

    #[test]
    fn names_become_the_keys_of_rfc_3875() {
        Python::initialize();
        Python::attach(|py| {
            let names = Names::new(py, policy());
            let cases: &[(&[u8], &str)] = &[
                (b"User-Agent", "HTTP_USER_AGENT"),
                (b"uSER-aGENT", "HTTP_USER_AGENT"),
                (b"x-my.own!", "HTTP_X_MY.OWN!"),
                (b"content-type", "CONTENT_TYPE"),
                (b"Content-Length", "framing"),
                (b"TRANSFER-ENCODING", "framing"),
                (b"X_Forwarded_For", "underscore"),
                (b"x-forwarded-for", "word HTTP_X_FORWARDED_FOR"),
                (b"Forwarded", "word HTTP_FORWARDED"),
                (b"X-Forwarded-Whatever", "word HTTP_X_FORWARDED_WHATEVER"),
                (b"pRoXy", "proxy"),
            ];
            for _ in 0..2 {
                for (name, expected) in cases {
                    assert_eq!(key(py, &names, name), *expected);
                }
            }
        });
    }

    #[test]
    fn a_name_met_before_gives_the_same_object() {
        Python::initialize();
        Python::attach(|py| {
            let names = Names::new(py, policy());
            let object = |name: &[u8]| match names.meaning(py, name) {
                Meaning::Header(key) => key,
                Meaning::Cookie(_)
                | Meaning::Host(_)
                | Meaning::Framing
                | Meaning::Underscore
                | Meaning::Proxy
                | Meaning::Word(_) => panic!("a plain header"),
            };
            assert!(object(b"X-Mine").is(object(b"x-mine")));
            assert!(object(b"X-Mine").is(PyString::intern(py, "HTTP_X_MINE")));
        });
    }

    #[test]
    fn strangers_cannot_make_it_remember_without_end() {
        Python::initialize();
        Python::attach(|py| {
            let names = Names::new(py, policy());
            for number in 0..10_000 {
                let name = format!("X-{number}");
                assert_eq!(key(py, &names, name.as_bytes()), format!("HTTP_X_{number}"));
            }
            let met = names.met();
            assert_eq!(met.count, MET_MAX);
            assert!(met.chains.iter().all(|chain| chain.len() <= CHAIN_MAX));
        });
    }
}
