//! What AJP13 has codes for in the place of words.

/// Methods, the first of which has code 1 (The Apache Tomcat Connector, AJP Protocol Reference: Request Packet Structure, Method).
const METHODS: [&str; 27] = [
    "OPTIONS",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "TRACE",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "ACL",
    "REPORT",
    "VERSION-CONTROL",
    "CHECKIN",
    "CHECKOUT",
    "UNCHECKOUT",
    "SEARCH",
    "MKWORKSPACE",
    "UPDATE",
    "LABEL",
    "MERGE",
    "BASELINE-CONTROL",
    "MKACTIVITY",
];

/// Names of a request's fields, the first of which has code 0xA001 (same chapter, Headers).
const REQUEST_FIELDS: [&str; 14] = [
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Connection",
    "Content-Type",
    "Content-Length",
    "Cookie",
    "Cookie2",
    "Host",
    "Pragma",
    "Referer",
    "User-Agent",
];

/// Names of an answer's fields, the first of which has code 0xA001 (Response Packet Structure, SEND_HEADERS).
const ANSWER_FIELDS: [&str; 11] = [
    "Content-Type",
    "Content-Language",
    "Content-Length",
    "Date",
    "Last-Modified",
    "Location",
    "Set-Cookie",
    "Set-Cookie2",
    "Servlet-Engine",
    "Status",
    "WWW-Authenticate",
];

/// What codes of names begin with, where a length stands that no name has.
const CODED: u8 = 0xA0;

/// The code of a method that is sent as an attribute.
pub const STORED_METHOD: u8 = 0xFF;

/// The method that a code stands for.
pub fn method(code: u8) -> Option<&'static str> {
    METHODS.get(usize::from(code).checked_sub(1)?).copied()
}

/// What the two bytes before a name of a request's field stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// A name.
    Coded(&'static str),
    /// The length of the name that follows.
    Written,
    /// Nothing.
    Unknown,
}

/// What these two bytes stand for.
pub fn field([high, low]: [u8; 2]) -> Name {
    match high {
        CODED => {
            let known = usize::from(low).checked_sub(1).and_then(|code| REQUEST_FIELDS.get(code));
            known.map_or(Name::Unknown, |name| Name::Coded(name))
        }
        0..CODED => Name::Written,
        _ => Name::Unknown,
    }
}

/// The code of a name of an answer's field.
pub fn of_answer(name: &[u8]) -> Option<[u8; 2]> {
    let code = ANSWER_FIELDS.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
    Some([CODED, code as u8 + 1])
}
