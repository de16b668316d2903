//! The Host field (RFC 9112 3.2, RFC 9110 7.2).

use crate::conformance::case::Check::{Environ, Status};
use crate::conformance::case::{BAD_REQUEST, Case, must};

fn with(host: &str) -> String {
    format!("GET / HTTP/1.1\r\n{host}\r\n\r\n")
}

/// What is no host, though it stands in a Host field.
const INVALID: &[(&str, &str)] = &[
    ("a space", "a b"),
    ("a path", "a/b"),
    ("a query", "a?b"),
    ("a fragment", "a#b"),
    ("user information", "u@a"),
    ("a list", "a,b c"),
    ("a word for a port", "a:b"),
    ("two ports", "a:80:80"),
    ("half an IPv6 address", "[::1"),
    ("an IPv6 address that is none", "[zz]"),
    ("a backslash", "a\\b"),
    ("angle brackets", "<a>"),
    ("a quote", "\"a\""),
    ("a TAB", "a\tb"),
];

/// Host, missing, doubled, invalid and odd.
#[rustfmt::skip]
pub fn host() -> Vec<Case> {
    let mut cases = vec![
        must("RFC 9112 3.2", "no Host", "GET / HTTP/1.1\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 3.2", "no Host, but others", "GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 3.2", "no Host beside an absolute target", "GET http://a/ HTTP/1.1\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 3.2", "two Hosts", with("Host: a\r\nHost: b"), BAD_REQUEST),
        must("RFC 9112 3.2", "two equal Hosts", with("Host: a\r\nHost: a"), BAD_REQUEST),
        must("RFC 9112 3.2", "two Hosts, one empty", with("Host: a\r\nHost:"), BAD_REQUEST),
        must("RFC 9112 3.2", "two Hosts apart and in two cases", with("Host: a\r\nX-A: b\r\nhOST: b"), BAD_REQUEST),
        must("RFC 9112 3.2", "two Hosts beside an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 3.2", "an invalid Host beside an absolute target", "GET http://a/ HTTP/1.1\r\nHost: a b\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 3.2", "no Host in 1.0", "GET / HTTP/1.0\r\n\r\n", &[&[Environ("PATH_INFO", "/")]]),
        must("RFC 9112 3.2", "an empty Host", with("Host:"), &[&[Status(200)]]),
        must("RFC 9110 7.2", "a name and a port", with("Host: example.com:8080"), &[&[Environ("HTTP_HOST", "example.com:8080")]]),
        must("RFC 9110 7.2", "an empty port", with("Host: example.com:"), &[&[Environ("HTTP_HOST", "example.com:")], &[Environ("HTTP_HOST", "example.com")]]),
        must("RFC 9110 7.2", "an IPv6 address", with("Host: [::1]"), &[&[Environ("HTTP_HOST", "[::1]")]]),
        must("RFC 9110 7.2", "an IPv6 address and a port", with("Host: [::1]:8000"), &[&[Environ("HTTP_HOST", "[::1]:8000")]]),
        must("RFC 3986 3.2.2", "a name of marks and escapes", with("Host: a-b.c_d~%41!$&'()*+;="), &[&[Environ("HTTP_HOST", "a-b.c_d~%41!$&'()*+;=")]]),
    ];
    cases.extend(INVALID.iter().map(|(name, value)| {
        must("RFC 9112 3.2", format!("an invalid Host: {name}"), with(&format!("Host: {value}")), BAD_REQUEST)
    }));
    cases.push(must("RFC 9112 3.2", "an invalid Host: 8-bit bytes", b"GET / HTTP/1.1\r\nHost: a\xc3\xa9\r\n\r\n", BAD_REQUEST));
    cases
}
