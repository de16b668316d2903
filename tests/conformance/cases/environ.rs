//! What an application is told: environ and input (PEP 3333, environ Variables, Input and Error Streams; RFC 3875 4.1).

use crate::conformance::case::Check::{Body, Environ, HasEnviron, Other, Rejected, Status};
use crate::conformance::case::{Case, get, head, must, post};

const VARIABLES: &str = "PEP 3333, environ Variables";

/// Variables.
#[rustfmt::skip]
pub fn environ() -> Vec<Case> {
    vec![
        must(VARIABLES, "REQUEST_METHOD", "DELETE /x HTTP/1.1\r\nHost: h\r\n\r\n", &[&[Environ("REQUEST_METHOD", "DELETE")]]),
        must(VARIABLES, "SCRIPT_NAME is empty at the root", get("/x"), &[&[Environ("SCRIPT_NAME", "")]]),
        must(VARIABLES, "SERVER_NAME is never empty", get("/"), &[&[HasEnviron("SERVER_NAME")]]),
        must(VARIABLES, "SERVER_PORT is never empty", get("/"), &[&[HasEnviron("SERVER_PORT")]]),
        must(VARIABLES, "SERVER_PROTOCOL of 1.1", get("/"), &[&[Environ("SERVER_PROTOCOL", "HTTP/1.1")]]),
        must(VARIABLES, "SERVER_PROTOCOL of 1.0", b"GET / HTTP/1.0\r\n\r\n", &[&[Environ("SERVER_PROTOCOL", "HTTP/1.0")]]),
        must("RFC 3875 4.1.8", "REMOTE_ADDR", get("/"), &[&[HasEnviron("REMOTE_ADDR")]]),
        must(VARIABLES, "wsgi.version", get("/"), &[&[Other("wsgi.version", "(1, 0)")]]),
        must(VARIABLES, "wsgi.url_scheme", get("/"), &[&[Environ("wsgi.url_scheme", "http")]]),
        must(VARIABLES, "wsgi.run_once", get("/"), &[&[Other("wsgi.run_once", "False")]]),
        must(VARIABLES, "a path is decoded", get("/a%20b+c%3f"), &[&[Environ("PATH_INFO", "/a b+c?")]]),
        must("RFC 3875 4.1.5", "an escaped slash is decoded or refused", get("/a%2Fb"), &[&[Environ("PATH_INFO", "/a/b")], &[Rejected]]),
        must("PEP 3333, Unicode Issues", "a path is latin-1", get("/caf%C3%A9"), &[&[Environ("PATH_INFO", "/caf\u{c3}\u{a9}")]]),
        must(VARIABLES, "a path is decoded once", get("/%2541"), &[&[Environ("PATH_INFO", "/%41")]]),
        must(VARIABLES, "an escape that is none is kept or refused", get("/%zz%4"), &[&[Environ("PATH_INFO", "/%zz%4")], &[Rejected]]),
        must(VARIABLES, "a query is not decoded", get("/?x=%20y+z%26"), &[&[Environ("QUERY_STRING", "x=%20y+z%26")]]),
        must(VARIABLES, "an empty query", get("/"), &[&[Environ("QUERY_STRING", "")]]),
        must(VARIABLES, "CONTENT_LENGTH", post("Content-Length: 5", "12345"), &[&[Environ("CONTENT_LENGTH", "5")]]),
        must(VARIABLES, "environ is new for each request", get("/answer/marked"), &[&[Body("nothing")]]).send(get("/answer/marked")).hear(&[&[Body("nothing")]]),
        must(VARIABLES, "environ may be emptied", get("/answer/emptied"), &[&[Body("plain")]]),
        must("wsgiref.validate", "GET", get("/answer/validated?a=b"), &[&[Status(200)]]),
        must("wsgiref.validate", "POST", b"POST /answer/validated HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", &[&[Body("12345")]]),
        must("wsgiref.validate", "POST in chunks", b"POST /answer/validated HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n", &[&[Body("12345")]]),
        must("wsgiref.validate", "HEAD", head("/answer/validated"), &[&[Status(200)]]),
        must("wsgiref.validate", "an iterator", get("/answer/validated_pieces"), &[&[Body("one two")]]),
        must("wsgiref.validate", "repeated fields", b"GET /answer/validated HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n", &[&[Status(200)]]),
    ]
}

/// Ways of reading, each compared with an `io.BytesIO` (`apps/readers.py`).
const CALLS: &[(&str, &str)] = &[
    ("read() to the end, and again", r#"[["read"], ["read"]]"#),
    ("read(n) never gives more", r#"[["read", 1], ["read", 10], ["read", 0]]"#),
    ("read(n) beyond the end", r#"[["read", 100000000], ["read", 5]]"#),
    ("readline()", r#"[["readline"], ["readline"], ["readline"]]"#),
    ("readlines()", r#"[["readlines"], ["readlines"]]"#),
    ("iteration", r#"[["iterate", 3], ["iterate", 100000]]"#),
    ("mixed", r#"[["readline"], ["read", 7], ["iterate", 2], ["read", 3], ["readline"]]"#),
];

/// `wsgi.input`.
pub fn input() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 1000, 70_000] {
        cases.extend(CALLS.iter().map(|(name, calls)| {
            let body = [calls.as_bytes(), b"\n", &lines(length)].concat();
            let head = format!(
                "POST /answer/read HTTP/1.1\r\nHost: h\r\nX-Length: {length}\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            let name = format!("{name}, of {length} bytes");
            must(
                "PEP 3333, Input and Error Streams",
                name,
                [head.as_bytes(), &body].concat(),
                &[&[Status(200), Body("")]],
            )
        }));
    }
    cases
}

/// The same lines that `apps/readers.py` compares with.
fn lines(length: usize) -> Vec<u8> {
    let lines = (0..).flat_map(|number: usize| [format!("{number} ").repeat(number % 50), "\n".to_owned()]);
    lines.flat_map(String::into_bytes).take(length).collect()
}
