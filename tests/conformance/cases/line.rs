//! The request line: method, target, version (RFC 9112 2.2, 3).

use crate::conformance::case::Check::{Body, Closes, Environ, Nothing, Rejected, Speaks11, Status, StatusOf};
use crate::conformance::case::{Allowed, Case, REFUSED, REJECTED, get, line, must, should};

/// Methods, white space, versions. No text says what becomes of a higher major version: 505 is a server's choice.
#[rustfmt::skip]
pub fn request_line() -> Vec<Case> {
    vec![
        should("RFC 9110 5.6.2", "a method with a colon", line("GE:T / HTTP/1.1"), REFUSED),
        should("RFC 9110 5.6.2", "a method with a quote", line("GE\"T / HTTP/1.1"), REFUSED),
        should("RFC 9110 5.6.2", "a method with a parenthesis", line("GE(T / HTTP/1.1"), REFUSED),
        should("RFC 9110 5.6.2", "a method with NUL", line("GE\0T / HTTP/1.1"), REFUSED),
        should("RFC 9110 5.6.2", "a method with a control character", line("GE\x01T / HTTP/1.1"), REFUSED),
        should("RFC 9110 5.6.2", "an 8-bit method", line(b"G\xc3\x89T / HTTP/1.1"), REFUSED),
        must("RFC 9110 9.1", "a method in lower case is another one", line("get / HTTP/1.1"), &[&[Environ("REQUEST_METHOD", "get")], &[Rejected]]),
        should("RFC 9110 9.1", "an unknown method", line("BREW / HTTP/1.1"), &[&[Environ("REQUEST_METHOD", "BREW")], &[StatusOf(&[405, 501])]]),
        should("RFC 9112 3", "no method", line(" / HTTP/1.1"), REFUSED),
        should("RFC 9112 3", "a target alone", line("/ HTTP/1.1"), REFUSED),
        should("RFC 9112 3", "no target", line("GET HTTP/1.1"), REFUSED),
        should("RFC 9112 3", "an empty target", line("GET  HTTP/1.1"), REFUSED),
        should("RFC 9112 3", "the method alone", line("GET"), REFUSED),
        should("RFC 9112 2.2", "HTTP/0.9", b"GET /\r\n\r\n", REFUSED),
        should("RFC 9112 2.2", "something that is no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", REFUSED),
        should("RFC 9112 3", "two spaces before the target", line("GET  /x HTTP/1.1"), EITHER),
        should("RFC 9112 3", "two spaces behind the target", line("GET /x  HTTP/1.1"), EITHER),
        should("RFC 9112 3", "a TAB before the target", line("GET\t/x HTTP/1.1"), EITHER),
        should("RFC 9112 3", "a TAB behind the target", line("GET /x\tHTTP/1.1"), EITHER),
        should("RFC 9112 3", "a space behind the version", line("GET /x HTTP/1.1 "), EITHER),
        should("RFC 9112 3", "a space before the method", line(" GET /x HTTP/1.1"), EITHER),
        should("RFC 9112 3.2", "a version before the version", line("GET / HTTP/1.1 HTTP/1.1"), REFUSED),
        should("RFC 9112 2.3", "a version in lower case", line("GET / http/1.1"), REFUSED),
        should("RFC 9112 2.3", "a version in mixed case", line("GET / HTTp/1.1"), REFUSED),
        should("RFC 9112 2.3", "version 11", line("GET / HTTP/11"), REFUSED),
        should("RFC 9112 2.3", "version 1", line("GET / HTTP/1"), REFUSED),
        should("RFC 9112 2.3", "version 1.", line("GET / HTTP/1."), REFUSED),
        should("RFC 9112 2.3", "version 1.10", line("GET / HTTP/1.10"), REFUSED),
        should("RFC 9112 2.3", "version 01.1", line("GET / HTTP/01.1"), REFUSED),
        should("RFC 9112 2.3", "version 257.1, which is 1.1 in 8 bits", line("GET / HTTP/257.1"), REFUSED),
        should("RFC 9112 2.3", "version +1.1", line("GET / HTTP/+1.1"), REFUSED),
        should("RFC 9112 2.3", "version 1,1", line("GET / HTTP/1,1"), REFUSED),
        should("RFC 9112 2.3", "another protocol", line("GET / RTSP/1.1"), REFUSED),
        should("RFC 9110 2.5", "version 1.2 is processed and answered as 1.1", line("GET /x HTTP/1.2"), &[&[Environ("PATH_INFO", "/x"), Speaks11]]),
        should("RFC 9110 2.5", "version 1.9 as well", line("GET /x HTTP/1.9"), &[&[Environ("PATH_INFO", "/x"), Speaks11]]),
        must("RFC 9110 2.5", "version 1.0 gets nothing that it cannot read", b"GET /answer/plain HTTP/1.0\r\n\r\n", &[&[Body("plain"), Closes]]),
        should("RFC 9112 2.2", "an empty line before the request line", [b"\r\n", &get("/x")[..]].concat(), &[&[Environ("PATH_INFO", "/x")]]),
        must("RFC 9112 2.2", "a bare CR behind the version", b"GET / HTTP/1.1\rHost: h\r\n\r\n", REFUSED),
        must("RFC 9112 2.2", "CR CR LF behind the version", b"GET / HTTP/1.1\r\r\nHost: h\r\n\r\n", &[&[Rejected, Closes], &[Nothing], &[Status(200)]]),
        should("RFC 9112 2.2", "a bare CR before the request line", b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", REFUSED),
    ]
}

/// Lenient parsing is allowed, when it parses right (RFC 9112 3).
const EITHER: Allowed = &[&[Rejected], &[Nothing], &[Environ("PATH_INFO", "/x")]];

/// What of the target is refused, and what is made of it.
#[rustfmt::skip]
pub fn target() -> Vec<Case> {
    let other = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
    vec![
        should("RFC 9112 3.2", "a space in the target", line("GET /a b HTTP/1.1"), REFUSED),
        should("RFC 9112 3.2", "NUL in the target", line("GET /a\0b HTTP/1.1"), REFUSED),
        should("RFC 9112 3.2", "a control character in the target", line("GET /a\x01b HTTP/1.1"), REFUSED),
        should("RFC 9112 3.2", "DEL in the target", line("GET /a\x7fb HTTP/1.1"), REFUSED),
        must("RFC 9112 2.2", "a bare CR in the target", line("GET /a\rb HTTP/1.1"), REFUSED),
        should("RFC 9112 2.2", "a bare LF in the target", line("GET /a\nb HTTP/1.1"), REFUSED),
        should("RFC 9112 3.2", "a fragment", line("GET /a#b HTTP/1.1"), &[&[Rejected], &[Nothing], &[Environ("PATH_INFO", "/a")]]),
        must("RFC 9112 3.2", "8-bit bytes are refused or kept", line(b"GET /caf\xc3\xa9 HTTP/1.1"), &[&[Rejected], &[Nothing], &[Environ("PATH_INFO", "/caf\u{c3}\u{a9}")]]),
        must("RFC 9112 3.2", "what URIs lack is refused or kept", line("GET /\"<>^`{|}\\ HTTP/1.1"), &[&[Rejected], &[Nothing], &[Environ("PATH_INFO", "/\"<>^`{|}\\")]]),
        must("RFC 9112 3.2.1", "two slashes begin a path", get("//x/y"), &[&[Environ("PATH_INFO", "//x/y"), Environ("HTTP_HOST", "h")]]),
        must("RFC 9112 3.2.1", "a URI as a path", get("/http://b/"), &[&[Environ("PATH_INFO", "/http://b/")]]),
        must("RFC 9112 3.2.1", "two question marks", get("/a?b?c"), &[&[Environ("PATH_INFO", "/a"), Environ("QUERY_STRING", "b?c")]]),
        must("RFC 9112 3.2.2", "absolute form", other("http://h/p?q"), &[&[Environ("PATH_INFO", "/p"), Environ("QUERY_STRING", "q")]]),
        must("RFC 9112 3.2.2", "absolute form without a path", other("http://h"), &[&[Environ("PATH_INFO", "/")]]),
        must("RFC 9112 3.2.2", "absolute form with a query and no path", other("http://h?q"), &[&[Environ("PATH_INFO", "/"), Environ("QUERY_STRING", "q")]]),
        must("RFC 9110 4.2.3", "absolute form, the scheme in upper case", other("HTTP://h/p"), &[&[Environ("PATH_INFO", "/p")]]),
        must("RFC 9112 3.2.2", "absolute form: Host is ignored", other("http://other/p"), &[&[Environ("HTTP_HOST", "other")], &[Status(400)]]),
        must("RFC 9112 3.2.2", "absolute form: Host is ignored, with a port", other("http://other:81/p"), &[&[Environ("HTTP_HOST", "other:81")], &[Status(400)]]),
        should("RFC 9112 3.2.2", "absolute form without a host", other("http:///p"), REJECTED),
        should("RFC 9110 4.2.4", "absolute form with user information", other("http://u@h/p"), &[&[Rejected], &[Nothing], &[Environ("PATH_INFO", "/p"), Environ("HTTP_HOST", "h")]]),
        should("RFC 9112 3.2", "a relative target", line("GET a/b HTTP/1.1"), REJECTED),
        should("RFC 9112 3.2", "a query as target", line("GET ?a HTTP/1.1"), REJECTED),
        must("RFC 9112 3.2.4", "OPTIONS *", line("OPTIONS * HTTP/1.1"), &[&[StatusOf(&[200, 204, 404, 405, 501])]]),
        should("RFC 9112 3.2.4", "an asterisk without OPTIONS", line("GET * HTTP/1.1"), REJECTED),
        should("RFC 9112 3.2.3", "an authority without CONNECT", line("GET h:80 HTTP/1.1"), REJECTED),
        should("RFC 9110 9.3.6", "CONNECT without a port", b"CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", REJECTED),
        must("RFC 9110 9.3.6", "CONNECT with an empty port", b"CONNECT h: HTTP/1.1\r\nHost: h\r\n\r\n", REJECTED),
        should("RFC 9112 3.2.3", "CONNECT with a path", b"CONNECT /x HTTP/1.1\r\nHost: h\r\n\r\n", REJECTED),
        must("RFC 9110 9.3.6", "nothing behind CONNECT is a request", b"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            &[&[StatusOf(&[200, 400, 403, 404, 405, 501]), Closes], &[Nothing]]),
    ]
}
