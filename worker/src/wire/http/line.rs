//! The request line: method, target, version (RFC 9112 3).
//!
//! Rule: one SP between the parts, nothing around them (RFC 9112 3 would let us be lenient, and warns of it).

use memchr::{memchr, memchr2, memrchr};

use super::authority::{has_port, is_authority};
use super::grammar::is_token_byte;
use crate::wire::{Head, Refusal, Span, Version};

/// What a request line says, as spans of the buffer that it stands in.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    method: Span,
    target: Span,
    version: Version,
    parts: Parts,
}

/// What the target says.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    authority: Option<Span>,
    path: Span,
    query: Span,
}

impl Line {
    /// Reads the line that stands in `input` from `start` up to `end`, its line end not included.
    ///
    /// # Errors
    /// 505 for a version of another major number than 1, 400 for everything else.
    pub fn read(input: &[u8], start: usize, end: usize) -> Result<Line, Refusal> {
        let line = &input[start..end];
        let length = line.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(line.len());
        if length == 0 || line.get(length) != Some(&b' ') {
            return Err(bad("the method is no token followed by one space"));
        }
        let rest = &line[length + 1..];
        let Some(space) = memrchr(b' ', rest) else {
            return Err(bad("the request line has no version (HTTP/0.9 is not spoken here)"));
        };
        let version = version(&rest[space + 1..])?;
        let target = start + length + 1;
        check_bytes(&rest[..space])?;
        let parts = Target { input, start: target, end: target + space }.parts(&line[..length])?;
        Ok(Line { method: Span::new(start, start + length), target: Span::new(target, target + space), version, parts })
    }

    /// Puts what the line says into `head` and clears the rest of it.
    pub fn begin(self, head: &mut Head) {
        head.method = self.method;
        head.target = self.target;
        head.version = self.version;
        head.authority = self.parts.authority;
        head.path = self.parts.path;
        head.query = self.parts.query;
        head.fields.clear();
    }
}

/// `HTTP/` DIGIT `.` DIGIT, upper case (RFC 9112 2.3). A later minor version is spoken to as 1.1 (RFC 9110 2.5).
fn version(bytes: &[u8]) -> Result<Version, Refusal> {
    match bytes {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', b'0'..=b'9'] => match major {
            b'1' => Ok(Version::Http11),
            b'0' => Err(bad("HTTP/0.9 is not spoken here")),
            _ => Err(Refusal { status: 505, why: "only HTTP/1.0 and HTTP/1.1 are spoken here" }),
        },
        _ => Err(bad("the request line does not end with one space and a version such as HTTP/1.1")),
    }
}

/// No white space, no control character, no fragment (RFC 9112 3.2). What else RFC 3986 forbids passes as it is.
fn check_bytes(target: &[u8]) -> Result<(), Refusal> {
    let is_fine = |byte: u8| (byte > b' ') & (byte != 0x7f) & (byte != b'#');
    if target.iter().fold(true, |fine, &byte| fine & is_fine(byte)) {
        return Ok(());
    }
    match target.iter().copied().find(|&byte| !is_fine(byte)) {
        Some(b'#') => Err(bad("the target has a fragment")),
        Some(b' ' | b'\t') => Err(bad("white space within the request line is not one space between its parts")),
        Some(_) | None => Err(bad("the target has a control character")),
    }
}

/// Where the target stands, its bytes already checked.
struct Target<'a> {
    input: &'a [u8],
    start: usize,
    end: usize,
}

impl Target<'_> {
    /// Takes it apart in the one form that its method and first bytes leave (RFC 9112 3.2.1 to 3.2.4).
    fn parts(&self, method: &[u8]) -> Result<Parts, Refusal> {
        let bytes = &self.input[self.start..self.end];
        if method == b"CONNECT" {
            return self.authority_form(bytes);
        }
        match bytes {
            // `//x` too: two slashes begin a path here, no authority (RFC 9112 3.2.1).
            [b'/', ..] => Ok(self.path_and_query(self.start, None)),
            b"*" if method == b"OPTIONS" => Ok(self.path_and_query(self.start, None)),
            b"*" => Err(bad("the target * is for OPTIONS alone")),
            [] => Err(bad("the request line has no target")),
            _ => self.absolute_form(bytes),
        }
    }

    /// `example.com:443`, both parts needed (RFC 9112 3.2.3).
    fn authority_form(&self, bytes: &[u8]) -> Result<Parts, Refusal> {
        if !has_port(bytes) {
            return Err(bad("the target of CONNECT is no host and port"));
        }
        let nothing = Span::new(self.end, self.end);
        Ok(Parts { authority: Some(Span::new(self.start, self.end)), path: nothing, query: nothing })
    }

    /// `http://example.com/path?query` (RFC 9112 3.2.2); the scheme in any case (RFC 9110 4.2.3).
    fn absolute_form(&self, bytes: &[u8]) -> Result<Parts, Refusal> {
        let Some(scheme) = ["http://", "https://"].into_iter().find(|scheme| begins_with(bytes, scheme)) else {
            return Err(bad("the target is neither a path nor an http or https URI"));
        };
        let rest = &bytes[scheme.len()..];
        let length = memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        if !is_authority(&rest[..length]) {
            return Err(bad("the target has no valid host"));
        }
        let start = self.start + scheme.len();
        let authority = Span::new(start, start + length);
        Ok(self.path_and_query(start + length, Some(authority)))
    }

    /// Cuts what is left of the target at its first question mark.
    fn path_and_query(&self, start: usize, authority: Option<Span>) -> Parts {
        match memchr(b'?', &self.input[start..self.end]) {
            Some(mark) => {
                Parts { authority, path: Span::new(start, start + mark), query: Span::new(start + mark + 1, self.end) }
            }
            None => Parts { authority, path: Span::new(start, self.end), query: Span::new(self.end, self.end) },
        }
    }
}

/// Whether the bytes begin with the scheme, in any case.
fn begins_with(bytes: &[u8], scheme: &str) -> bool {
    bytes.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
}

fn bad(why: &'static str) -> Refusal {
    Refusal { status: 400, why }
}
