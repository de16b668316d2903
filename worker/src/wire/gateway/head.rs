//! From a gateway's variables (RFC 3875 4.1) to the head that every other wire gives.
//!
//! * `HTTP_*`, CONTENT_TYPE and CONTENT_LENGTH become the fields that they were made of, so that whoever looks for a field finds it
//!   whatever the wire. `-` and `_` cannot be told apart any more; `-` it was.
//! * SCRIPT_NAME and PATH_INFO were decoded by the gateway and are not decoded again. Gateways differ in what they send: where PATH_INFO
//!   is absent it is what follows SCRIPT_NAME in REQUEST_URI, decoded once. nginx (by its `fastcgi_params`) and Apache's
//!   `mod_proxy_*` name the whole path as SCRIPT_NAME, for they know no script: see [`is_no_script`].
//! * What is absent is what it is for the simplest request: `GET / HTTP/1.1`.

use super::Limits;
use crate::wire::http::authority::is_authority;
use crate::wire::http::grammar::{NotANumber, decimal, is_token};
use crate::wire::{Field, Framing, Head, Refusal, Span, Version, percent, variables};

/// Variables besides the fields. Web servers send some thirty; fewer would refuse one whose administrator adds as many, more is memory
/// for each request.
pub const META_MAX: usize = 200;

/// What a gateway tells that no client could.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The variables that the environ has as they are.
    pub variables: Vec<Field>,
    /// SCRIPT_NAME, decoded; without a slash at its end.
    pub script: Span,
    /// PATH_INFO, decoded.
    pub info: Span,
    /// REMOTE_ADDR and REMOTE_PORT; empty where they are not told.
    pub client: (Span, Span),
    /// Whether the client spoke https.
    pub is_https: bool,
}

/// The variables that a head is made of, where they stand.
#[derive(Default)]
struct Known {
    method: Option<Span>,
    uri: Option<Span>,
    query: Option<Span>,
    script: Option<Span>,
    info: Option<Span>,
    protocol: Option<Span>,
    document: Option<Span>,
    file: Option<Span>,
    length: Option<Span>,
    /// The client's own Content-Length, which nginx passes on beside the other one.
    length_of_client: Option<Span>,
}

/// What a gateway gave.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Variables.
    pub variables: &'a [Field],
    /// Fields, of a wire that keeps them apart.
    pub fields: &'a [Field],
}

/// Fills `head` from what was given, spans of `text`, which grows by what has to be put together.
///
/// # Errors
/// When a variable cannot be what it says: 400, 413, 414 or 431.
pub fn fill(text: &mut Vec<u8>, given: Given<'_>, limits: Limits, head: &mut Head) -> Result<(), Refusal> {
    let mut meta = head.meta.take().unwrap_or_default();
    (meta.client, meta.is_https) = Default::default();
    meta.variables.clear();
    head.fields.clear();
    let mut known = Known::default();
    for field in given.variables {
        sort(text, *field, (&mut known, &mut meta), head)?;
    }
    head.fields.extend_from_slice(given.fields);
    expect_host(text, head)?;
    if head.fields.len() > limits.head.header_count_max {
        return Err(Refusal { status: 431, why: "there are more header fields than the limit" });
    }
    fill_line(text, &known, limits, head)?;
    fill_path(text, &known, &mut meta, head);
    head.framing = framing(text, &known)?;
    head.version = match known.protocol.map(|span| span.of(text)) {
        Some(b"HTTP/1.0") => Version::Http10,
        Some(_) | None => Version::Http11,
    };
    (head.authority, head.expects_continue, head.keep_alive) = (None, false, false);
    head.meta = Some(meta);
    Ok(())
}

/// Puts one variable where it belongs.
fn sort(text: &mut [u8], field: Field, (known, meta): (&mut Known, &mut Meta), head: &mut Head) -> Result<(), Refusal> {
    let Field { name, value } = field;
    match name.of(text) {
        b"REQUEST_METHOD" => known.method = Some(value),
        b"REQUEST_URI" => known.uri = Some(value),
        b"QUERY_STRING" => known.query = Some(value),
        b"SCRIPT_NAME" => known.script = Some(value),
        b"PATH_INFO" => known.info = Some(value),
        b"CONTENT_TYPE" if value.is_empty() => {}
        b"CONTENT_TYPE" => head.fields.push(as_field(text, field, 0)),
        b"CONTENT_LENGTH" => {
            if known.length.replace(value).is_some() {
                return Err(bad("there are two CONTENT_LENGTH"));
            }
            if !value.is_empty() {
                head.fields.push(as_field(text, field, 0));
            }
        }
        // nginx sends them beside the ones without HTTP_, which alone an environ has (RFC 3875 4.1.18).
        b"HTTP_CONTENT_TYPE" => {}
        b"HTTP_CONTENT_LENGTH" => known.length_of_client = Some(value),
        other if other.starts_with(b"HTTP_") => head.fields.push(as_field(text, field, 5)),
        // Keys with a dot are the server's own (PEP 3333).
        other if other.contains(&b'.') => {}
        other => {
            match other {
                b"SERVER_PROTOCOL" => known.protocol = Some(value),
                b"DOCUMENT_URI" => known.document = Some(value),
                b"SCRIPT_FILENAME" => known.file = Some(value),
                b"REMOTE_ADDR" => meta.client.0 = value,
                b"REMOTE_PORT" => meta.client.1 = value,
                b"HTTPS" => {
                    let value = value.of(text);
                    meta.is_https = value == b"1" || value.eq_ignore_ascii_case(b"on");
                }
                _ => {}
            }
            meta.variables.push(field);
        }
    }
    Ok(())
}

/// One, and a valid one; empty when the client has no name for us (RFC 9112 3.2).
fn expect_host(text: &[u8], head: &Head) -> Result<(), Refusal> {
    let mut hosts = head.fields.iter().filter(|field| field.name.of(text).eq_ignore_ascii_case(b"host"));
    match (hosts.next().map(|host| host.value.of(text)), hosts.next()) {
        (None, _) | (Some(b""), None) => Ok(()),
        (Some(host), None) if is_authority(host) => Ok(()),
        (Some(_), None) => Err(bad("the host is none with or without a port")),
        (Some(_), Some(_)) => Err(bad("there are two hosts")),
    }
}

/// The field that a variable was made of; its name begins so many bytes behind the variable's.
fn as_field(text: &mut [u8], variable: Field, behind: usize) -> Field {
    let name = variable.name.range();
    let name = name.start + behind..name.end;
    for byte in text[name.clone()].iter_mut().filter(|byte| **byte == b'_') {
        *byte = b'-';
    }
    Field { name: Span::new(name.start, name.end), value: variable.value }
}

/// Method and target, which the log wants beside each other.
fn fill_line(text: &mut Vec<u8>, known: &Known, limits: Limits, head: &mut Head) -> Result<(), Refusal> {
    let method = known.method.unwrap_or_default();
    if !method.is_empty() && !is_token(method.of(text)) {
        return Err(bad("REQUEST_METHOD is no token"));
    }
    let uri = known.uri.unwrap_or_default();
    if uri.of(text).iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
        return Err(bad("REQUEST_URI has a space or a control character"));
    }
    let start = text.len();
    match method.range() {
        range if range.is_empty() => text.extend_from_slice(b"GET"),
        range => text.extend_from_within(range),
    }
    head.method = Span::new(start, text.len());
    text.push(b' ');
    let start = text.len();
    match uri.range() {
        range if range.is_empty() => {
            let target = rebuilt(text, known);
            text.extend_from_slice(&target);
        }
        range => text.extend_from_within(range),
    }
    head.target = Span::new(start, text.len());
    if text.len() - start > limits.head.request_line_max {
        return Err(Refusal { status: 414, why: "the request line is longer than the limit" });
    }
    Ok(())
}

/// The target of a request whose gateway tells none.
fn rebuilt(text: &[u8], known: &Known) -> Vec<u8> {
    let part = |span: Option<Span>| span.unwrap_or_default().of(text);
    let mut target = Vec::new();
    for &byte in part(known.script).iter().chain(part(known.info)) {
        if byte.is_ascii_graphic() && !b"%?#".contains(&byte) {
            target.push(byte);
        } else {
            target.extend(format!("%{byte:02X}").bytes());
        }
    }
    if target.is_empty() {
        target.push(b'/');
    }
    // A space would end the target, and be two words in the log.
    let query = part(known.query);
    if !query.is_empty() {
        target.push(b'?');
        target.extend(query.iter().map(|byte| if *byte <= b' ' || *byte == 0x7f { b'+' } else { *byte }));
    }
    target
}

/// SCRIPT_NAME, PATH_INFO, and the path of both as a target has it.
fn fill_path(text: &mut Vec<u8>, known: &Known, meta: &mut Meta, head: &mut Head) {
    let (path, query) = parts(head.target, text);
    head.query = known.query.filter(|query| !query.is_empty() || known.uri.is_none()).unwrap_or(query);
    let script = known.script.unwrap_or_default();
    let script_end = script.of(text).strip_suffix(b"/").map_or(script.range().end, |_| script.range().end - 1);
    let script = Span::new(script.range().start, script_end);
    let is_told = known.info.is_some_and(|info| !info.is_empty() || !script.is_empty());
    (meta.script, meta.info) = match known.info.filter(|_| is_told) {
        Some(info) => (script, info),
        None => split(text, (script, path), known),
    };
    if meta.script.is_empty() && path.of(text) == meta.info.of(text) && !path.of(text).contains(&b'%') {
        head.path = path;
        return;
    }
    // Decoded once more it is what it is here.
    let mut whole = Vec::new();
    for &byte in meta.script.of(text).iter().chain(meta.info.of(text)) {
        if byte == b'%' { whole.extend_from_slice(b"%25") } else { whole.push(byte) }
    }
    head.path = append(text, &whole);
}

/// Path and query of a target: behind the authority, if it has one (RFC 9112 3.2.2).
fn parts(target: Span, text: &[u8]) -> (Span, Span) {
    let (range, bytes) = (target.range(), target.of(text));
    let end = memchr::memchr(b'?', bytes).unwrap_or(bytes.len());
    let authority = memchr::memmem::find(&bytes[..end], b"://").filter(|_| bytes[0] != b'/').map(|at| at + 3);
    let start = authority.map_or(0, |at| at + memchr::memchr(b'/', &bytes[at..end]).unwrap_or(end - at));
    let query = range.start + (end + 1).min(bytes.len());
    (Span::new(range.start + start, range.start + end), Span::new(query, range.end))
}

/// SCRIPT_NAME and PATH_INFO where the gateway tells no PATH_INFO: by the path of the target.
fn split(text: &mut Vec<u8>, (script, path): (Span, Span), known: &Known) -> (Span, Span) {
    if !script.is_empty() && is_no_script(text, known) {
        // It is the path as the gateway has it, perhaps rewritten.
        return (Span::default(), script);
    }
    if known.uri.is_none_or(Span::is_empty) {
        let info = if script.is_empty() { append(text, b"/") } else { Span::default() };
        return (script, info);
    }
    let decoded = match path.of(text) {
        b"*" => Vec::new(),
        b"" => b"/".to_vec(),
        path => percent::decoded(path).into_owned(),
    };
    let name = script.of(text);
    match decoded.strip_prefix(name).map(|rest| (rest, rest.first())) {
        Some((rest, None | Some(b'/'))) => (script, append(text, rest)),
        // It was rewritten on its way, so nothing follows the script.
        Some((_, Some(_))) | None => (script, Span::default()),
    }
}

/// Whether the gateway means no script by SCRIPT_NAME: nginx names the document so, and `mod_proxy_*` say by the file that they are proxies.
fn is_no_script(text: &[u8], known: &Known) -> bool {
    let is_document =
        known.document.is_some_and(|document| document.of(text) == known.script.unwrap_or_default().of(text));
    is_document || known.file.is_some_and(|file| file.of(text).starts_with(b"proxy:"))
}

/// RFC 3875 4.1.2; without a length there is no body, or its wire shows its end. One that is another than the client's would lose some of its
/// body: nginx's SCGI tells what it has read so far where it does not buffer.
fn framing(text: &[u8], known: &Known) -> Result<Framing, Refusal> {
    let Some(digits) = known.length.map(|length| length.of(text)).filter(|digits| !digits.is_empty()) else {
        return Ok(Framing::None);
    };
    let length = decimal(digits).map_err(|fault| match fault {
        NotANumber::Malformed => bad("CONTENT_LENGTH is no number"),
        NotANumber::TooLarge => Refusal { status: 413, why: "the CONTENT_LENGTH is beyond all limits" },
    })?;
    if known.length_of_client.is_some_and(|other| decimal(other.of(text)) != Ok(length)) {
        return Err(bad("CONTENT_LENGTH is another than the client's"));
    }
    Ok(if length == 0 { Framing::None } else { Framing::Length(length) })
}

fn append(text: &mut Vec<u8>, bytes: &[u8]) -> Span {
    let start = text.len();
    text.extend_from_slice(bytes);
    Span::new(start, text.len())
}

fn bad(why: &'static str) -> Refusal {
    variables::bad(why)
}
