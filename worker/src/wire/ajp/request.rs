//! FORWARD_REQUEST: a request, in codes and strings (AJP Protocol Reference: Request Packet Structure).
//!
//! ```text
//!   method | protocol | req_uri | remote_addr | remote_host | server_name | server_port | is_ssl | count, fields … | attributes … | 0xFF
//! ```
//!
//! It becomes what the other gateways' wires give: variables (RFC 3875 4.1), and beside them the fields as the client wrote their names, which
//! others have lost. Content-Type and Content-Length are variables.
//!
//! Rules: a string is followed by its NUL and has no other; the packet ends with its last attribute. An attribute of a name that is
//! the request's own (REQUEST_METHOD, HTTP_*, …) is dropped, for whatever sets it could be led by a client.

use super::codes::{self, Name};
use super::variables::{self, Limits, bad};
use crate::wire::http::grammar::{NotANumber, decimal, is_text, is_token};
use crate::wire::{Field, Framing, Refusal, Span};

/// A request, reused from one to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What all spans here are of.
    pub text: Vec<u8>,
    /// All that are no fields.
    pub variables: Vec<Field>,
    /// In order, their names as the client or the protocol writes them.
    pub fields: Vec<Field>,
    /// Where the body ends. By length: its first packet comes unasked.
    pub framing: Framing,
    secret: Option<Span>,
    /// How many variables and fields may still come.
    room: usize,
}

/// What the packet says at one place and what is needed at another.
#[derive(Default)]
struct Facts {
    uri: Option<Span>,
    query: Option<Span>,
    method: Option<&'static str>,
    stored_method: Option<Span>,
    length: Option<u64>,
    is_chunked: bool,
}

impl Request {
    /// Reads the packet, which begins behind its code.
    pub(super) fn read(&mut self, packet: &[u8], limits: Limits) -> Result<(), Refusal> {
        self.text.clear();
        self.variables.clear();
        self.fields.clear();
        (self.framing, self.secret, self.room) = (Framing::None, None, limits.count_max);
        let mut rest = Rest(packet);
        let mut facts = Facts::default();
        self.read_line(&mut rest, &mut facts)?;
        for _ in 0..rest.number()? {
            self.read_field(&mut rest, &mut facts)?;
        }
        while self.read_attribute(&mut rest, &mut facts)? {}
        if !rest.0.is_empty() {
            return Err(bad("something follows the last attribute"));
        }
        self.conclude(&facts)
    }

    /// Whether the web server has shown that it knows the secret (attribute 0x0C). In a time that tells nothing of it but its length.
    pub fn knows(&self, secret: &[u8]) -> bool {
        let Some(shown) = self.secret.map(|span| span.of(&self.text)) else { return false };
        let differences = shown.iter().zip(secret).fold(0, |all, (one, other)| all | (one ^ other));
        shown.len() == secret.len() && std::hint::black_box(differences) == 0
    }

    /// What stands before the fields.
    fn read_line(&mut self, rest: &mut Rest<'_>, facts: &mut Facts) -> Result<(), Refusal> {
        let code = rest.byte()?;
        facts.method = codes::method(code);
        if facts.method.is_none() && code != codes::STORED_METHOD {
            return Err(bad("the method has a code that is unknown"));
        }
        let protocol = rest.text()?;
        facts.uri = rest.text()?.map(|uri| self.keep(uri));
        let (address, host, server) = (rest.text()?, rest.text()?, rest.text()?);
        let port = rest.number()?;
        for (name, value) in [
            ("SERVER_PROTOCOL", protocol),
            ("REMOTE_ADDR", address),
            ("REMOTE_HOST", host),
            ("SERVER_NAME", server),
            ("SERVER_PORT", Some(itoa::Buffer::new().format(port).as_bytes())),
        ] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                self.add(name.as_bytes(), value)?;
            }
        }
        match rest.byte()? {
            0 => Ok(()),
            1 => self.add(b"HTTPS", b"on"),
            _ => Err(bad("is_ssl is neither 0 nor 1")),
        }
    }

    fn read_field(&mut self, rest: &mut Rest<'_>, facts: &mut Facts) -> Result<(), Refusal> {
        let name = match codes::field(rest.peek()?) {
            Name::Unknown => return Err(bad("a field has a code that is unknown")),
            Name::Coded(name) => {
                rest.number()?;
                name.as_bytes()
            }
            Name::Written => rest.text()?.unwrap_or_default(),
        };
        let value = rest.text()?.ok_or(bad("a field has no value"))?;
        if !is_token(name) {
            return Err(bad("a field name is no token"));
        }
        if !is_text(value) {
            return Err(bad("a field value has a control character"));
        }
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            12 if is("content-type") => return self.add(b"CONTENT_TYPE", value),
            14 if is("content-length") => {
                if facts.length.replace(length(value)?).is_some() {
                    return Err(bad("there are two Content-Length fields"));
                }
                return self.add(b"CONTENT_LENGTH", value);
            }
            17 if is("transfer-encoding") => {
                if facts.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(bad("the Transfer-Encoding is another than chunked"));
                }
                facts.is_chunked = true;
            }
            _ => {}
        }
        self.take_room()?;
        let field = Field { name: self.keep(name), value: self.keep(value) };
        self.fields.push(field);
        Ok(())
    }

    /// One attribute; says whether another may follow.
    fn read_attribute(&mut self, rest: &mut Rest<'_>, facts: &mut Facts) -> Result<bool, Refusal> {
        const CODES: [Option<&str>; 9] = [
            // Reserved for a context and a servlet's path, which no web server sends.
            None,
            None,
            Some("REMOTE_USER"),
            Some("AUTH_TYPE"),
            Some("QUERY_STRING"),
            Some("JVM_ROUTE"),
            Some("SSL_CLIENT_CERT"),
            Some("SSL_CIPHER"),
            Some("SSL_SESSION_ID"),
        ];
        match rest.byte()? {
            0xFF => return Ok(false),
            code @ 1..=9 => {
                let value = rest.text()?;
                if let (Some(name), Some(value)) = (CODES[usize::from(code) - 1], value) {
                    self.add(name.as_bytes(), value)?;
                    facts.query = if code == 5 { self.variables.last().map(|field| field.value) } else { facts.query };
                }
            }
            0x0A => {
                let (name, value) = (rest.text()?.unwrap_or_default(), rest.text()?.unwrap_or_default());
                self.add_attribute(name, value)?;
            }
            0x0B => self.add(b"SSL_CIPHER_USEKEYSIZE", itoa::Buffer::new().format(rest.number()?).as_bytes())?,
            0x0C => {
                let secret = rest.text()?.unwrap_or_default();
                if self.secret.replace(Span::default()).is_some() {
                    return Err(bad("there are two secrets"));
                }
                self.secret = Some(self.keep(secret));
            }
            0x0D => facts.stored_method = rest.text()?.map(|method| self.keep(method)),
            _ => return Err(bad("an attribute has a code that is unknown")),
        }
        Ok(true)
    }

    /// An attribute by name: what `mod_proxy_ajp` tells so that AJP13 has no code for, and what an administrator adds (`AJP_*` there).
    fn add_attribute(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name {
            b"AJP_REMOTE_PORT" => self.add(b"REMOTE_PORT", value),
            b"AJP_LOCAL_ADDR" => self.add(b"SERVER_ADDR", value),
            b"AJP_SSL_PROTOCOL" => self.add(b"SSL_PROTOCOL", value),
            _ if is_own(name) || variables::check(name, value).is_err() => Ok(()),
            _ => self.add(name, value),
        }
    }

    /// What follows from all of it.
    fn conclude(&mut self, facts: &Facts) -> Result<(), Refusal> {
        let method = match (facts.method, facts.stored_method) {
            (Some(method), None) => self.keep(method.as_bytes()),
            (None, Some(stored)) => stored,
            (Some(_), Some(_)) => return Err(bad("there are two methods")),
            (None, None) => return Err(bad("there is no method")),
        };
        self.push(b"REQUEST_METHOD", method)?;
        let uri = facts.uri.ok_or(bad("there is no req_uri"))?;
        let start = self.text.len();
        self.text.extend_from_within(uri.range());
        if let Some(query) = facts.query {
            self.text.push(b'?');
            self.text.extend_from_within(query.range());
        }
        self.push(b"REQUEST_URI", Span::new(start, self.text.len()))?;
        self.framing = match (facts.is_chunked, facts.length) {
            (true, Some(_)) => return Err(bad("there are both Transfer-Encoding and Content-Length")),
            (true, None) => Framing::Chunked,
            (false, None | Some(0)) => Framing::None,
            (false, Some(length)) => Framing::Length(length),
        };
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span::new(start, self.text.len())
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refusal> {
        let value = self.keep(value);
        self.push(name, value)
    }

    fn push(&mut self, name: &[u8], value: Span) -> Result<(), Refusal> {
        self.take_room()?;
        let name = self.keep(name);
        self.variables.push(Field { name, value });
        Ok(())
    }

    fn take_room(&mut self) -> Result<(), Refusal> {
        self.room = self.room.checked_sub(1).ok_or(variables::TOO_MANY)?;
        Ok(())
    }
}

/// Whether a variable of this name is made of the request itself.
fn is_own(name: &[u8]) -> bool {
    const OWN: [&[u8]; 15] = [
        b"AUTH_TYPE",
        b"CONTENT_LENGTH",
        b"CONTENT_TYPE",
        b"HTTPS",
        b"PATH_INFO",
        b"QUERY_STRING",
        b"REMOTE_ADDR",
        b"REMOTE_HOST",
        b"REMOTE_USER",
        b"REQUEST_METHOD",
        b"REQUEST_URI",
        b"SCRIPT_NAME",
        b"SERVER_NAME",
        b"SERVER_PORT",
        b"SERVER_PROTOCOL",
    ];
    name.starts_with(b"HTTP_") || OWN.contains(&name)
}

fn length(value: &[u8]) -> Result<u64, Refusal> {
    decimal(value).map_err(|fault| match fault {
        NotANumber::Malformed => bad("the Content-Length is no number"),
        NotANumber::TooLarge => Refusal { status: 413, why: "the Content-Length is beyond all limits" },
    })
}

/// What of the packet is not yet read.
struct Rest<'a>(&'a [u8]);

const CUT: Refusal = Refusal { status: 400, why: "the request is longer than its packet" };

impl<'a> Rest<'a> {
    fn byte(&mut self) -> Result<u8, Refusal> {
        let (&byte, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(byte)
    }

    fn peek(&self) -> Result<[u8; 2], Refusal> {
        self.0.first_chunk().copied().ok_or(CUT)
    }

    fn number(&mut self) -> Result<u16, Refusal> {
        let (&bytes, rest) = self.0.split_first_chunk().ok_or(CUT)?;
        self.0 = rest;
        Ok(u16::from_be_bytes(bytes))
    }

    /// A string; `None` for the one that is not there, which has no NUL either.
    fn text(&mut self) -> Result<Option<&'a [u8]>, Refusal> {
        let length = self.number()?;
        if length == u16::MAX {
            return Ok(None);
        }
        let (text, rest) = self.0.split_at_checked(usize::from(length)).ok_or(CUT)?;
        let Some((0, rest)) = rest.split_first() else { return Err(bad("a string does not end with its NUL")) };
        if text.contains(&0) {
            return Err(bad("a string has a NUL within"));
        }
        self.0 = rest;
        Ok(Some(text))
    }
}
