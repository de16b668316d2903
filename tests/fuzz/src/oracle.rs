//! The one reading of a request that RFC 9112 leaves, by the plainest code: lines split at CRLF, nothing repaired, no limits, no speed.
//!
//! What the wire accepts, it must read as this does. The other way round nothing is said: the wire may refuse more.

use crate::connection::Request;

/// The request that stands at `start`, empty lines before it left out, if every byte of it is in the grammar. `Err`: it is not, or it
/// is not complete.
pub fn request(bytes: &[u8], start: usize) -> Result<Request, &'static str> {
    let mut at = start;
    while bytes[at..].starts_with(b"\r\n") {
        at += 2;
    }
    let line = take_line(bytes, &mut at)?;
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("a request line has three parts");
    };
    if !is_token(method)
        || target.is_empty()
        || !matches!(version, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'])
    {
        return Err("a request line is method, target, version");
    }
    let fields = fields(bytes, &mut at)?;
    let mut request = Request { method: method.to_vec(), target: target.to_vec(), fields, ..Request::default() };
    frame(&mut request, version == b"HTTP/1.0")?;
    if request.chunked {
        request.body = chunked(bytes, &mut at)?;
    } else if let Some(length) = request.length {
        let end = usize::try_from(length).ok().and_then(|length| at.checked_add(length)).ok_or("a length is absurd")?;
        request.body = bytes.get(at..end).ok_or("the body is cut short")?.to_vec();
        at = end;
    }
    (request.complete, request.end) = (true, at);
    Ok(request)
}

/// RFC 9112 6.3: one length or one coding, and that is chunked.
fn frame(request: &mut Request, is_old: bool) -> Result<(), &'static str> {
    let values = |name: &str| {
        let named = request.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()));
        named.map(|(_, value)| value.clone()).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    let listed = codings.join(&b',');
    let members: Vec<&[u8]> =
        listed.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|coding| !coding.is_empty()).collect();
    match (&lengths[..], &members[..]) {
        ([], []) => {}
        ([length], []) if length.iter().all(u8::is_ascii_digit) && !length.is_empty() => {
            let length =
                std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok()).ok_or("a length is absurd")?;
            request.length = (length > 0).then_some(length);
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !is_old => request.chunked = true,
        _ => return Err("the framing is ambiguous"),
    }
    Ok(())
}

/// RFC 9112 7.1, and what is complete of it.
pub fn chunked(bytes: &[u8], at: &mut usize) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    loop {
        let line = take_line(bytes, at)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let rest = line[digits..].trim_ascii_start();
        let is_extension = rest.first() == Some(&b';');
        if digits == 0 || !(line.len() == digits || is_extension) {
            return Err("a size is hexadecimal, and an extension may follow");
        }
        let size = std::str::from_utf8(&line[..digits]).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let size = size.and_then(|size| usize::try_from(size).ok()).ok_or("a size is absurd")?;
        if size == 0 {
            fields(bytes, at)?;
            return Ok(body);
        }
        let end = at.checked_add(size).ok_or("a size is absurd")?;
        body.extend_from_slice(bytes.get(*at..end).ok_or("a chunk is cut short")?);
        if bytes.get(end..end + 2) != Some(b"\r\n") {
            return Err("a chunk ends with CRLF");
        }
        *at = end + 2;
    }
}

/// Field lines up to the empty one (RFC 9112 5).
fn fields(bytes: &[u8], at: &mut usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>, &'static str> {
    let mut fields = Vec::new();
    loop {
        let line = take_line(bytes, at)?;
        if line.is_empty() {
            return Ok(fields);
        }
        let colon = line.iter().position(|&byte| byte == b':').ok_or("a field line has a colon")?;
        let (name, value) = (&line[..colon], &line[colon + 1..]);
        if !is_token(name) {
            return Err("a field name is a token");
        }
        let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
        let from = value.iter().position(|byte| !is_white(byte)).unwrap_or(value.len());
        let to = value.iter().rposition(|byte| !is_white(byte)).map_or(from, |last| last + 1);
        fields.push((name.to_vec(), value[from..to].to_vec()));
    }
}

/// A line without its CRLF, in which there is no control character but HTAB.
fn take_line<'a>(bytes: &'a [u8], at: &mut usize) -> Result<&'a [u8], &'static str> {
    let length = bytes[*at..].windows(2).position(|pair| pair == b"\r\n").ok_or("a line has no end")?;
    let line = &bytes[*at..*at + length];
    if line.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return Err("a line has a control character");
    }
    *at += length + 2;
    Ok(line)
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
