//! Where a request comes from, as far as others are believed: one layer behind all protocols.
//!
//! ```text
//!   peer, or the client that its PROXY header or its gateway's variables tell --> is it a trusted proxy?
//!     no:   its word does not count, and the application does not see it
//!     yes:  client, host, prefix, scheme by the fields that the config names
//!   path --> is it under the mount?
//! ```
//!
//! Rules
//! * Each fact has one field, which the config names, for a proxy passes on every field that it does not set itself as its client sent
//!   it: who believed `Forwarded` and X-Forwarded-For alike would believe any client of a proxy that knows only one of them.
//! * A list is read from its end, for only its end is sure: the proxy before us wrote it. Who is no trusted proxy is the client. Of
//!   hosts and schemes a list has only its last counted, for nothing says which proxy wrote the others; a `Forwarded` has all facts of
//!   one hop together, so there those of the client's own hop count.
//! * A proxy that does not know its client (`unknown`, `_hidden`) is the last that is known, and so stands for it.
//! * A PROXY header is of the connection below the request: its client's word counts only if that is a trusted proxy too.
//! * What a trusted proxy says and what cannot be, is refused: it is what its client made it say.

use std::net::IpAddr;
use std::sync::Arc;

use monoceros_shared::config::{Access, App, Origin as Config, REQUEST_ID, RequestId, Underscores};

use crate::wire::forwarded::{self, Element};
use crate::wire::gateway::head::Meta;
use crate::wire::http::authority::is_authority;
use crate::wire::http::grammar::trim;
use crate::wire::{Head, Refusal, Span, percent};

/// A client's address, and its port where it is known.
pub type Client = (IpAddr, Option<u16>);

/// What is believed of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Whether a trusted proxy sent it.
    pub is_trusted: bool,
    /// Whether there may be more than that here.
    is_told: bool,
    /// The client, where it is another than the peer.
    pub client: Option<Client>,
    /// Whether the client spoke https, where somebody says so.
    pub https: Option<bool>,
    /// The host that the client asked for, where it is another than the request's.
    pub host: Option<Vec<u8>>,
    /// What was taken off the front of the path, decoded; without a slash at its end.
    pub prefix: Option<Vec<u8>>,
    /// The identifier that a trusted proxy gave it.
    pub id: Option<Span>,
}

/// Whom to believe, and what.
#[derive(Debug)]
pub struct Policy {
    config: Config,
    /// The field that tells a request's identifier; `None` when requests have none.
    id: Option<Arc<str>>,
    /// Where static files are, which no mount hides.
    statics: Vec<String>,
    glance: Glance,
}

/// How the requests of one connection come.
#[derive(Clone, Debug)]
pub struct Way {
    policy: Arc<Policy>,
    is_trusted: bool,
    is_tls: bool,
}

impl Policy {
    /// What the config says, of a server that has this access log.
    pub fn new(app: &App, access: &Access) -> Policy {
        let config = &app.origin;
        let id = match (&config.request_id, access) {
            (RequestId::Field(name), _) => Some(name.as_str().into()),
            (RequestId::None, _) | (RequestId::WithAccessLog, Access::Off) => None,
            (RequestId::WithAccessLog, Access::Lines | Access::Json | Access::Format(_)) => Some(REQUEST_ID.into()),
        };
        let words = [&config.client, &config.host, &config.prefix].into_iter().filter_map(Option::as_deref);
        let named = words.chain(id.as_deref());
        let glance = Glance::over(named.chain(config.https.iter().map(|(name, _)| name.as_str())).map(str::as_bytes));
        let statics = app.statics.iter().map(|files| files.prefix.clone()).collect();
        Policy { config: config.clone(), id, glance, statics }
    }

    /// The way of whoever has this address; `None` is a client of a Unix socket.
    pub fn way(self: &Arc<Policy>, peer: Option<IpAddr>) -> Way {
        let proxies = &self.config.proxies;
        let is_trusted = peer.map_or(proxies.unix, |address| proxies.contain(address));
        Way { policy: self.clone(), is_trusted, is_tls: false }
    }

    /// The field that tells a request's identifier, if requests have one.
    pub fn id_field(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The path that the application stands under, without a slash at its end.
    pub fn mount(&self) -> &str {
        &self.config.mount
    }

    /// What becomes of fields with an underscore.
    pub fn underscores(&self) -> Underscores {
        self.config.underscores
    }

    /// Whether a field of this name is a proxy's word on its client, so that nobody else may send it.
    pub fn is_word(&self, name: &[u8]) -> bool {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        let config = &self.config;
        let words = [&config.client, &config.host, &config.prefix].into_iter().filter_map(Option::as_deref);
        let named = words.chain(self.id.as_deref());
        is(b"forwarded")
            || is(b"x-real-ip")
            || name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"))
            || named.chain(config.https.iter().map(|(name, _)| name.as_str())).any(|known| is(known.as_bytes()))
    }

    /// What follows of a decoded path behind the mount; `None` when it is another's.
    pub fn below_mount<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        below(path, &self.config.mount)
    }

    fn expect_below_mount(&self, head: &Head, bytes: &[u8]) -> Result<(), Refusal> {
        const ELSEWHERE: Refusal = Refusal { status: 404, why: "nothing is served under this path" };
        let path = head.path.of(bytes);
        // `OPTIONS *` is for whoever is there, and CONNECT has no path.
        if self.config.mount.is_empty() || path == b"*" || head.method.of(bytes) == b"CONNECT" {
            return Ok(());
        }
        let path = percent::decoded(path);
        let is_static = self.statics.iter().any(|prefix| below(&path, prefix).is_some());
        if is_static || self.below_mount(&path).is_some() { Ok(()) } else { Err(ELSEWHERE) }
    }
}

impl Way {
    /// Whether whoever is at the other end is a trusted proxy.
    pub fn is_trusted(&self) -> bool {
        self.is_trusted
    }

    /// The field that tells a request's identifier, if requests have one.
    pub fn id_field(&self) -> Option<Arc<str>> {
        self.policy.id.clone()
    }

    /// Another client is at the other end, and perhaps by TLS, as a PROXY header says.
    #[must_use]
    pub fn relayed(&self, client: Option<IpAddr>, scheme: Scheme) -> Way {
        Way { is_tls: scheme == Scheme::Https, ..self.policy.way(client) }
    }

    /// Believes what can be believed of this request.
    ///
    /// # Errors
    /// When it must not be served: 400 or 404.
    pub fn judge(&self, head: &Head, bytes: &[u8], origin: &mut Origin) -> Result<(), Refusal> {
        let fields = Fields { head, bytes };
        // Most requests bring no word, and then there is nothing to forget of the one before.
        if origin.is_told {
            *origin = Origin::default();
        }
        (origin.is_trusted, origin.https) = (self.is_trusted, self.is_tls.then_some(true));
        if let Some(meta) = &head.meta {
            self.hear(meta, bytes, origin);
        }
        let policy = &*self.policy;
        if policy.config.underscores == Underscores::Refuse && fields.names().any(|name| name.contains(&b'_')) {
            return Err(bad("a field has an underscore in its name"));
        }
        if origin.is_trusted && fields.names().any(|name| policy.glance.may_be(name)) {
            origin.is_told = true;
            policy.believe(&fields, origin)?;
        }
        policy.expect_below_mount(head, bytes)
    }
}

impl Way {
    /// A gateway tells its own client and scheme, whoever the gateway is: who can connect can be asked by `allow` alone. What that
    /// client tells of others counts only if it is a trusted proxy, as behind a PROXY header.
    fn hear(&self, meta: &Meta, bytes: &[u8], origin: &mut Origin) {
        origin.is_told = true;
        let (address, port) = (meta.client.0.of(bytes), meta.client.1.of(bytes));
        let text = |bytes| std::str::from_utf8(bytes).ok();
        origin.client = text(address).and_then(|address| address.parse().ok()).map(|address: IpAddr| {
            let port = text(port).and_then(|port| port.parse().ok());
            (address, port)
        });
        let proxies = &self.policy.config.proxies;
        let is_trusted = match origin.client {
            Some((address, _)) => proxies.contain(address),
            // nginx says `unix:` of its clients on Unix sockets.
            None => address.is_empty() || proxies.unix,
        };
        origin.is_trusted = self.is_trusted && is_trusted;
        origin.https = meta.is_https.then_some(true).or(origin.https);
    }
}

/// How a client came to its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In the clear, as far as is known.
    Http,
    /// By TLS.
    Https,
}

impl Policy {
    /// Takes a trusted proxy's word.
    fn believe(&self, fields: &Fields<'_>, origin: &mut Origin) -> Result<(), Refusal> {
        let mut elements = Vec::new();
        if self.wants_forwarded() {
            for value in fields.values("forwarded") {
                forwarded::elements(value, &mut elements).map_err(|_| bad("a Forwarded field is malformed"))?;
            }
        }
        let (client, hop) = self.walk(elements.into_iter().rev());
        let told = match self.config.client.as_deref() {
            None => None,
            Some("forwarded") => client,
            Some(name) => self.walk(fields.members_from_the_last(name).map(forwarded::member)).0,
        };
        origin.client = told.or(origin.client);
        origin.https = self.scheme(fields, &hop)?.or(origin.https);
        origin.host = self.host(fields, &hop)?;
        origin.prefix = self.prefix(fields)?;
        origin.id = self.id.as_ref().and_then(|name| fields.identifier(name));
        Ok(())
    }

    fn wants_forwarded(&self) -> bool {
        let is = |name: &Option<String>| name.as_deref() == Some("forwarded");
        is(&self.config.client)
            || is(&self.config.host)
            || self.config.https.iter().any(|(name, _)| name == "forwarded")
    }

    /// From the last proxy's word to that of the first that is not trusted: the client, and what is said of its hop. Where a proxy does not say all of
    /// a hop, the one behind it is the best that is known.
    fn walk<'a>(&self, elements: impl Iterator<Item = Element<'a>>) -> (Option<Client>, Element<'a>) {
        let mut client = None;
        let mut hop = Element::default();
        for element in elements {
            hop.scheme = element.scheme.or(hop.scheme);
            hop.host = element.host.or(hop.host);
            client = element.client.or(client);
            if element.client.is_none_or(|(address, _)| !self.config.proxies.contain(address)) {
                break;
            }
        }
        (client, hop)
    }

    /// As gunicorn reads `secure_scheme_headers`: every field that is there must say the same.
    fn scheme(&self, fields: &Fields<'_>, hop: &Element<'_>) -> Result<Option<bool>, Refusal> {
        let mut said = None;
        let mut say = |is_https: bool| match said.replace(is_https) {
            Some(other) if other != is_https => Err(bad("the proxy's fields disagree on the scheme")),
            Some(_) | None => Ok(()),
        };
        for (name, https) in &self.config.https {
            let means_https = |value: &[u8]| value.eq_ignore_ascii_case(https.as_bytes());
            if name == "forwarded" {
                hop.scheme.iter().try_for_each(|scheme| say(means_https(scheme)))?;
            } else {
                fields.values(name).filter_map(forwarded::last).try_for_each(|last| say(means_https(last)))?;
            }
        }
        Ok(said)
    }

    fn host(&self, fields: &Fields<'_>, hop: &Element<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let host = match self.config.host.as_deref() {
            None => None,
            Some("forwarded") => hop.host.as_ref().map(|host| host.to_vec()),
            Some(name) => fields.members_from_the_last(name).next().map(<[u8]>::to_vec),
        };
        match host {
            Some(host) if !is_authority(&host) => Err(bad("the proxy's host is no host with or without a port")),
            host => Ok(host),
        }
    }

    fn prefix(&self, fields: &Fields<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let value = self.config.prefix.as_deref().and_then(|name| fields.values(name).last());
        let Some(value) = value.map(trim).filter(|value| !value.is_empty()) else { return Ok(None) };
        let path = percent::decoded(value.strip_suffix(b"/").unwrap_or(value));
        let is_path = value.starts_with(b"/") && path.split(|&byte| byte == b'/').skip(1).all(|part| !part.is_empty());
        let is_path = is_path && !path.iter().any(u8::is_ascii_control);
        if is_path { Ok(Some(path.into_owned())) } else { Err(bad("the proxy's prefix is no path")) }
    }
}

/// What follows in a path behind a prefix that ends at a slash of it, or with it.
fn below<'a>(path: &'a [u8], prefix: &str) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(prefix.strip_suffix('/').unwrap_or(prefix).as_bytes())?;
    (rest.is_empty() || rest[0] == b'/').then_some(rest)
}

/// The fields of a request by name.
struct Fields<'a> {
    head: &'a Head,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn names(&self) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.head.fields.iter().map(move |field| field.name.of(bytes))
    }

    fn spans(&self, name: &str) -> impl Iterator<Item = Span> {
        let (bytes, name) = (self.bytes, name.as_bytes());
        let named = self.head.fields.iter().filter(move |field| field.name.of(bytes).eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let bytes = self.bytes;
        self.spans(name).map(move |span| span.of(bytes))
    }

    /// The members of the one list that all fields of the name are (RFC 9110 5.3), the empty ones left out.
    fn members_from_the_last(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let values: Vec<&[u8]> = self.values(name).collect();
        let members = values.into_iter().rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
        members.map(trim).filter(|member| !member.is_empty())
    }

    /// The one field of the name, if it can be an identifier: then it means nothing in a log line, an answer's field or a shell.
    fn identifier(&self, name: &str) -> Option<Span> {
        /// Above it is no identifier but cargo, which every log line would carry.
        const BYTES_MAX: usize = 128;
        let mut spans = self.spans(name);
        let (Some(span), None) = (spans.next(), spans.next()) else { return None };
        let text = span.of(self.bytes);
        let may_stand = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:+/=@".contains(&byte);
        ((1..=BYTES_MAX).contains(&text.len()) && text.iter().all(may_stand)).then_some(span)
    }
}

/// Tells at a glance that most fields are none of those that are looked for.
#[derive(Debug)]
struct Glance {
    /// A bit for each length that a name has, and each first letter.
    lengths: u64,
    letters: u32,
}

impl Glance {
    fn over<'a>(names: impl Iterator<Item = &'a [u8]>) -> Glance {
        names.fold(Glance { lengths: 0, letters: 0 }, |glance, name| Glance {
            lengths: glance.lengths | length(name),
            letters: glance.letters | letter(name),
        })
    }

    fn may_be(&self, name: &[u8]) -> bool {
        self.lengths & length(name) != 0 && self.letters & letter(name) != 0
    }
}

/// The names that are looked for are shorter than 64 bytes; a longer one has the bit of none of them.
fn length(name: &[u8]) -> u64 {
    if name.len() < 64 { 1 << name.len() } else { 0 }
}

fn letter(name: &[u8]) -> u32 {
    1 << (name.first().copied().unwrap_or_default() & 31)
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}

#[cfg(test)]
pub mod tests;
