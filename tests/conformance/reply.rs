//! What a server said, read with patience: a fault is noted, and ends the reading only where nothing sensible can follow.
//!
//! The harness's own reader takes nothing that RFC 9112 forbids, which is right for ours. A peer is to fail by the rule that a
//! case is about, and not by another in every case.

use crate::harness::{Answer, Broken, Client, Framing, answer};

/// What was heard.
#[derive(Debug, Default)]
pub struct Reply {
    /// The statuses of the answers before the final one.
    pub interims: Vec<u16>,
    /// The final answer, as far as it came.
    pub answer: Option<Answer>,
    /// The version in its status line.
    pub version: String,
    /// The first rule of the grammar that its head breaks.
    pub fault: Option<&'static str>,
    /// What the strict reader says of it: Date and all.
    pub strict: Option<String>,
    /// Why it is not complete.
    pub broken: Option<Broken>,
}

/// Reads one final answer, with the interim ones before it.
pub fn hear(client: &mut Client, method: &str) -> Reply {
    let mut reply = Reply::default();
    loop {
        match read_head(client, method, &mut reply) {
            Err(broken) => {
                reply.broken = Some(broken);
                return reply;
            }
            Ok(head) if head.status < 200 && head.status != 101 => reply.interims.push(head.status),
            Ok(head) => {
                read_content(client, head, &mut reply);
                return reply;
            }
        }
    }
}

/// Reads one head of any status.
pub fn read_head(client: &mut Client, method: &str, reply: &mut Reply) -> Result<Answer, Broken> {
    let bytes = client.take_until(b"\r\n\r\n")?;
    if let Err(broken) = answer::head(&bytes, method) {
        reply.strict.get_or_insert(broken.to_string());
    }
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let (version, rest) = status_line.split_once(' ').unwrap_or((status_line, ""));
    let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let Ok(status) = code.parse() else {
        return Err(Broken::Rule("a status line has a status code (RFC 9112 4)", bytes));
    };
    version.clone_into(&mut reply.version);
    let mut fields = Vec::new();
    let mut fault =
        (code.len() != 3 || !rest.contains(' ')).then_some("a status line: three digits, a space (RFC 9112 4)");
    for line in lines {
        fault = fault.or(fault_of(line));
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    let mut head = Answer { status, reason: reason.to_owned(), fields, framing: Framing::None, body: Vec::new() };
    fault = fault.or(framing_fault(&head));
    head.framing = framing(&head, method);
    reply.fault = reply.fault.or(fault);
    Ok(head)
}

/// RFC 9112 5, RFC 9110 5.1 and 5.5.
fn fault_of(line: &str) -> Option<&'static str> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let Some((name, value)) = line.split_once(':') else {
        return Some("a field line has a colon (RFC 9112 5)");
    };
    if name.is_empty() || !name.chars().all(is_token) {
        return Some("a field name is a token (RFC 9110 5.1)");
    }
    let is_control = |c: char| (c < ' ' && c != '\t') || c == '\x7f';
    value.chars().any(is_control).then_some("a field value has no control characters (RFC 9110 5.5)")
}

/// RFC 9112 6.2, RFC 9110 8.6.
fn framing_fault(head: &Answer) -> Option<&'static str> {
    let (lengths, codings) = (head.values("content-length"), head.values("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return Some("there is one Content-Length or one Transfer-Encoding (RFC 9112 6.2)");
    }
    if (head.status < 200 || head.status == 204) && lengths.len() + codings.len() > 0 {
        return Some("a 1xx or 204 has no framing fields (RFC 9110 8.6, RFC 9112 6.1)");
    }
    let is_number = |length: &&str| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    (!lengths.iter().all(is_number)).then_some("a Content-Length is digits (RFC 9110 8.6)")
}

/// RFC 9112 6.3, as a client reads it.
fn framing(head: &Answer, method: &str) -> Framing {
    if head.status < 200 || matches!(head.status, 204 | 304) || method == "HEAD" {
        return Framing::None;
    }
    if head.values("transfer-encoding").iter().any(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Framing::Chunked;
    }
    let length = head.values("content-length").first().and_then(|length| length.parse().ok());
    length.map_or(Framing::Close, Framing::Length)
}

fn read_content(client: &mut Client, mut head: Answer, reply: &mut Reply) {
    let content = match head.framing {
        Framing::None => Ok(Vec::new()),
        Framing::Length(length) => client.take(length as usize),
        Framing::Chunked => client.chunks(),
        // An error that ends with its connection has come, whichever way that ends.
        Framing::Close if head.status >= 400 => Ok(client.ending().0),
        Framing::Close => client.rest(),
    };
    match content {
        Ok(body) => head.body = body,
        Err(broken) => reply.broken = Some(broken),
    }
    reply.answer = Some(head);
}
