//! An HTTP/1.1 answer, read by the letter: what RFC 9112 does not allow a server to send is an error here.
//!
//! Bytes in, an answer or a broken rule out; no socket. It shares no code with the server that it judges.

use std::fmt;

/// What came where bytes were expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end of stream.
    Eof,
    /// A reset, so that bytes may be lost.
    Reset,
    /// Nothing at all for as long as the client waits.
    Silence,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection ended; the bytes are what came of the answer before.
    Ended(Ending, Vec<u8>),
    /// A rule was broken; the bytes are what broke it.
    Rule(&'static str, Vec<u8>),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::Ended(ending, seen) => {
                write!(f, "{ending:?} after {:?}", seen.escape_ascii().to_string())
            }
            Broken::Rule(rule, bytes) => {
                write!(f, "{rule}: {:?}", bytes.escape_ascii().to_string())
            }
        }
    }
}

/// How an answer's content is delimited (RFC 9112 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none by the method or the status.
    None,
    /// So many bytes.
    Length(u64),
    /// Up to the last chunk.
    Chunked,
    /// Up to the end of the connection.
    Close,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// What follows it.
    pub reason: String,
    /// Names as sent, values without the white space around them; latin-1.
    pub fields: Vec<(String, String)>,
    /// How the content was delimited.
    pub framing: Framing,
    /// The content, decoded.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the one field of this name; fails when there are two.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.values(name);
        assert!(values.len() < 2, "{name} stands there {} times in {self}", values.len());
        values.first().copied()
    }

    /// The values of every field of this name, in order.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether the server said that it closes the connection.
    pub fn says_close(&self) -> bool {
        self.values("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The content as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_else(|why| panic!("the content is not UTF-8 ({why}): {self}"))
    }

    /// Fails, printing the answer, unless it has this status.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "another status was expected of {self}");
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.status, self.reason)?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.body[..self.body.len().min(2000)].escape_ascii())
    }
}

/// Reads a whole head, `bytes` ending with its empty line. `method` is the request's, for HEAD has no content.
pub fn head(bytes: &[u8], method: &str) -> Result<Answer, Broken> {
    let answer = head_for_gateway(bytes, method)?;
    let final_status = answer.status >= 200;
    if final_status && answer.status < 500 && answer.values("date").len() != 1 {
        return Err(Broken::Rule("an answer has one Date (RFC 9110 6.6.1)", bytes.to_vec()));
    }
    Ok(answer)
}

/// The same where a gateway dates the answer.
pub fn head_for_gateway(bytes: &[u8], method: &str) -> Result<Answer, Broken> {
    let broken = |rule| Broken::Rule(rule, bytes.to_vec());
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let text = text.strip_suffix("\r\n\r\n").ok_or_else(|| broken("a head ends with an empty line"))?;
    let mut lines = text.split("\r\n");
    let (status, reason) = status_line(lines.next().unwrap_or_default()).map_err(broken)?;
    let fields = lines.map(field_line).collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let mut answer = Answer { status, reason, fields, framing: Framing::None, body: Vec::new() };
    answer.framing = framing(&answer, method).map_err(broken)?;
    Ok(answer)
}

/// `HTTP/1.1 SP 3DIGIT SP [reason]` (RFC 9112 4).
fn status_line(line: &str) -> Result<(u16, String), &'static str> {
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or("a status line begins with HTTP/1.1 and one space")?;
    let (code, reason) = rest.split_once(' ').ok_or("a space follows the status code")?;
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a status code has three digits");
    }
    if reason.chars().any(|c| c.is_control() && c != '\t') {
        return Err("a reason has no control characters");
    }
    Ok((code.parse().map_err(|_| "a status code is a number")?, reason.to_owned()))
}

/// `token ":" OWS value OWS` (RFC 9112 5).
fn field_line(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("a field line has a colon")?;
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err("a field name is a token");
    }
    if value.chars().any(|c| (c < ' ' && c != '\t') || c == '\x7f') {
        return Err("a field value has no control characters");
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn framing(answer: &Answer, method: &str) -> Result<Framing, &'static str> {
    let (lengths, codings) = (answer.values("content-length"), answer.values("transfer-encoding"));
    if lengths.len() + codings.len() > 1 {
        return Err("one Content-Length or one Transfer-Encoding (RFC 9112 6.2)");
    }
    let without_content = answer.status < 200 || answer.status == 204;
    if without_content && lengths.len() + codings.len() > 0 {
        return Err("1xx and 204 have no framing fields (RFC 9110 8.6, RFC 9112 6.1)");
    }
    if without_content || answer.status == 304 || method == "HEAD" {
        return Ok(Framing::None);
    }
    match (lengths.first(), codings.first()) {
        (Some(length), _) if length.bytes().all(|byte| byte.is_ascii_digit()) && !length.is_empty() => {
            length.parse().map(Framing::Length).map_err(|_| "a Content-Length fits 64 bits")
        }
        (Some(_), _) => Err("a Content-Length is digits"),
        (None, Some(&"chunked")) => Ok(Framing::Chunked),
        (None, Some(_)) => Err("the only transfer coding here is chunked"),
        (None, None) => Ok(Framing::Close),
    }
}

/// The size in a chunk's first line, without its line end: hexadecimal digits alone, for our server sends no extensions.
pub fn chunk_size(line: &[u8]) -> Result<usize, Broken> {
    let broken = || Broken::Rule("a chunk's size is hexadecimal digits", line.to_vec());
    let text = std::str::from_utf8(line).map_err(|_| broken())?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(broken());
    }
    usize::from_str_radix(text, 16).map_err(|_| broken())
}
