//! The rules of HTTP, one after the other, each with the section that it stands in and what it costs to break it.

use super::check;

/// Section, what is tried, the bytes, what is understood.
type Case = (&'static str, &'static str, &'static [u8], &'static str);

fn run(cases: &[Case]) {
    for (section, name, bytes, wanted) in cases {
        check(&format!("RFC {section}, {name}"), bytes, wanted);
    }
}

#[rustfmt::skip]
const REQUEST_LINES: &[Case] = &[
    ("9112 3", "the least", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 9.1", "case is kept", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / 1.1 keep; wait"),
    ("9110 16.1", "an unknown method", b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /pot 1.1 keep; wait"),
    ("9110 9.1", "a method of marks", b"!#$%&'*+-.^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n", "!#$%&\\'*+-.^_`|~ / 1.1 keep; wait"),
    ("9110 5.6.2", "a colon in the method", b"GE:T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9110 5.6.2", "a quote in the method", b"GE\"T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9110 5.6.2", "an 8-bit method", b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "a space before the method", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "two spaces before the target", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "two spaces behind the target", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "a TAB before the target", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "a TAB behind the target", b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "a space behind the version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "a space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "a smuggled version", b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "an empty target", b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "the method alone", b"GET\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "HTTP/0.9, refused before more comes", b"GET /\r\n", "400"),
    ("9112 2.2", "an empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9112 2.2", "three empty lines before", b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9112 2.2", "empty lines alone are no request", b"\r\n\r\n\r", "wait"),
    ("9112 2.2", "empty lines for ever", b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n", "400"),
    ("9112 2.2", "an empty line of LF", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.2", "a CR alone before", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.2", "LF at the end, decided at once", b"GET / HTTP/1.1\n", "400"),
    ("9112 2.2", "CR at the end", b"GET / HTTP/1.1\rHost: a\r\n\r\n", "400"),
    ("9112 2.2", "CR in the target", b"GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.2", "CR CR LF", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "400"),
    ("9112 3", "a request begun", b"G", "wait head"),
    ("9112 3", "a head without its end", b"GET / HTTP/1.1\r\nHost: a\r\n", "wait head"),
];

#[test]
fn request_lines_are_read_to_the_letter() {
    run(REQUEST_LINES);
}

#[rustfmt::skip]
const VERSIONS: &[Case] = &[
    ("9112 2.3", "1.0", b"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close; wait"),
    ("9110 2.5", "1.2 is 1.1", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 2.5", "1.9 is 1.1", b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 2.5", "1.9 needs a Host", b"GET / HTTP/1.9\r\n\r\n", "400"),
    ("9110 15.6.6", "2.0", b"GET / HTTP/2.0\r\n", "505"),
    ("9113 3.4", "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
    ("9110 15.6.6", "9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", "505"),
    ("9112 2.3", "0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "lower case", b"GET / http/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "mixed case", b"GET / HTTp/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "two digits of minor", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "two digits of major", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "a version that wraps at 8 bits", b"GET / HTTP/257.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "no minor", b"GET / HTTP/1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "no minor but the dot", b"GET / HTTP/1.\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "a comma", b"GET / HTTP/1,1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "a sign", b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "another protocol", b"GET / RTSP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 2.3", "another digit", b"GET / HTTP/1.\xb2\r\nHost: a\r\n\r\n", "400"),
];

#[test]
fn versions_are_one_point_something() {
    run(VERSIONS);
}

#[rustfmt::skip]
const TARGETS: &[Case] = &[
    ("9112 3.2.1", "origin", b"GET /a/b?c=d&e HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a/b?c=d&e 1.1 keep; wait"),
    ("9112 3.2.1", "two question marks", b"GET /a?b?c HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b?c 1.1 keep; wait"),
    ("9112 3.2.1", "an empty query", b"GET /a? HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a 1.1 keep; wait"),
    ("9112 3.2.1", "two slashes are a path", b"GET //x/y HTTP/1.1\r\nHost: a\r\n\r\n", "GET //x/y 1.1 keep; wait"),
    ("9112 3.2.1", "a URI in the path", b"GET /http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /http://b/ 1.1 keep; wait"),
    ("3986 2.1", "escapes are left alone", b"GET /%2F%zz% HTTP/1.1\r\nHost: a\r\n\r\n", "GET /%2F%zz% 1.1 keep; wait"),
    ("9112 3.2", "8-bit bytes pass", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\\xc3\\xa9 1.1 keep; wait"),
    ("9112 3.2", "what URIs lack passes", b"GET /\"<>^`{|}\\ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /\\\"<>^`{|}\\\\ 1.1 keep; wait"),
    ("9112 3.2", "a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "a fragment in the query", b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("3986 2", "NUL", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("3986 2", "DEL", b"GET /a\x7fb HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "relative", b"GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "a query alone", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2", "a dot", b"GET . HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "absolute", b"GET http://b.c/d?e HTTP/1.1\r\nHost: a\r\n\r\n", "GET /d?e 1.1 keep @b.c; wait"),
    ("9112 3.2.2", "absolute, empty path", b"GET http://b.c HTTP/1.1\r\nHost: a\r\n\r\n", "GET  1.1 keep @b.c; wait"),
    ("9112 3.2.2", "absolute, query without path", b"GET http://b.c?d/e HTTP/1.1\r\nHost: a\r\n\r\n", "GET ?d/e 1.1 keep @b.c; wait"),
    ("9110 4.2.3", "the scheme in any case", b"GET HtTpS://b.c:8/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 keep @b.c:8; wait"),
    ("9112 3.2.2", "absolute with IPv6", b"GET http://[::1]:8/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x 1.1 keep @[::1]:8; wait"),
    ("9112 3.2.2", "absolute in 1.0", b"GET http://b/x HTTP/1.0\r\n\r\n", "GET /x 1.0 close @b; wait"),
    ("9112 3.2", "absolute without Host", b"GET http://b.c/ HTTP/1.1\r\n\r\n", "400"),
    ("9112 3.2", "absolute with a bad Host", b"GET http://b.c/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
    ("9110 4.2.1", "absolute, empty host", b"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9110 4.2.1", "absolute, a port alone", b"GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9110 4.2.4", "absolute, user information", b"GET http://u:p@b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "absolute, a bad port", b"GET http://b:8x/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "absolute, a backslash", b"GET http://b\\c/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "another scheme", b"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "one slash", b"GET http:/b/ HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.2", "a scheme alone", b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.4", "asterisk", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 keep; wait"),
    ("9112 3.2.4", "asterisk with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.4", "asterisk with options", b"options * HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.4", "asterisk and more", b"OPTIONS *a HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "authority with GET", b"GET b.c:443 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "authority with CONNECT", b"CONNECT b.c:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT  1.1 close @b.c:443; wait"),
    ("9110 9.3.6", "CONNECT never keeps alive", b"CONNECT b:1 HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", "CONNECT  1.1 close @b:1; wait"),
    ("9112 3.2.3", "CONNECT to IPv6", b"CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT  1.1 close @[::1]:443; wait"),
    ("9112 3.2.3", "CONNECT to IPv6 without a port", b"CONNECT [::1] HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "CONNECT without a port", b"CONNECT b.c HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "CONNECT with an empty port", b"CONNECT b1: HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "CONNECT with a path", b"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9112 3.2.3", "CONNECT with a URI", b"CONNECT http://b:1 HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
];

#[test]
fn targets_are_read_in_their_four_forms() {
    run(TARGETS);
}

#[rustfmt::skip]
const GOOD_HOSTS: &[&[u8]] = &[
    b"example.com", b"example.com:80", b"example.com:", b"EXAMPLE", b"127.0.0.1:8000", b"[::1]",
    b"[::1]:8000", b"[2001:db8::1]", b"[::ffff:1.2.3.4]:1", b"a_b.c", b"a%20b", b"a:65535", b"a:0",
    b"xn--nxasmq6b", b"~a", b"a!$&'()*+;=", b"", b"1", b"a.",
];

#[rustfmt::skip]
const BAD_HOSTS: &[&[u8]] = &[
    b"a b", b"a\tb", b"a/b", b"a/", b"a, b", b"a,b", b"u@a", b"u:p@a", b"a:b", b"a:8x", b"a:-1", b"a:65536",
    b"a:99999999999999999999", b"a:80:80", b"[::1", b"::1", b"::1]", b"[::1]8", b"[::1]:x", b"[]",
    b"[1.2.3.4]", b"[::g]", b"[::1%25eth0]", b"[::1]]", b":80", b":", b"a?b", b"a#b", b"a%2", b"a%zz", b"a%",
    b"\xc3\xa9", b"a\\b", b"<a>", b"\"a\"", b"a|b", b"http://a", b"[v1.a]", b"a:8 0", b"a :80", b"{a}",
];

#[rustfmt::skip]
const HOSTS: &[Case] = &[
    ("9112 3.2", "missing", b"GET / HTTP/1.1\r\n\r\n", "400"),
    ("9112 3.2", "missing among others", b"GET / HTTP/1.1\r\nX-Host: a\r\nHosts: b\r\n\r\n", "400"),
    ("9112 3.2", "two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
    ("9112 3.2", "two equal", b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "400"),
    ("9112 3.2", "two empty", b"GET / HTTP/1.1\r\nHost:\r\nHost:\r\n\r\n", "400"),
    ("9112 3.2", "two in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
    ("9110 5.1", "any case", b"GET / HTTP/1.1\r\nhOST: a\r\n\r\n", "GET / 1.1 keep; wait"),
];

#[test]
fn one_valid_host_is_there() {
    for value in GOOD_HOSTS {
        let bytes = [b"GET / HTTP/1.1\r\nHost: ", *value, b"\r\n\r\n"].concat();
        check("RFC 9112 3.2", &bytes, "GET / 1.1 keep; wait");
    }
    for value in BAD_HOSTS {
        for version in ["1.0", "1.1"] {
            let line = format!("GET / HTTP/{version}\r\nHost: ");
            check("RFC 9112 3.2", &[line.as_bytes(), value, b"\r\n\r\n"].concat(), "400");
        }
    }
    run(HOSTS);
}

#[rustfmt::skip]
const FIELD_LINES: &[Case] = &[
    ("9110 5.5", "white space around the value", b"GET / HTTP/1.1\r\nHost: \t a \t\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 5.5", "no white space", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 5.5", "an empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY: \t\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 5.5", "8-bit", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\xfe\x80\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9112 5.1", "a space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "400"),
    ("9112 5.1", "a TAB before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\t: a\r\n\r\n", "400"),
    ("9112 5.1", "a space before the colon of a framing field", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n", "400"),
    ("9112 2.2", "white space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", "400"),
    ("9112 2.2", "a TAB before the first field", b"GET / HTTP/1.1\r\n\tX: a\r\nHost: a\r\n\r\n", "400"),
    ("9112 5.2", "folding", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", "400"),
    ("9112 5.2", "folding by TAB", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb\r\n\r\n", "400"),
    ("9112 5.2", "folding behind the name", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n b\r\n\r\n", "400"),
    ("9112 5.2", "a folded coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "400"),
    ("9112 5.2", "a folded length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello", "400"),
    ("9112 5.2", "a line of white space", b"GET / HTTP/1.1\r\nHost: a\r\n \r\n\r\n", "400"),
    ("9112 5", "no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", "400"),
    ("9112 5", "a name over two lines", b"GET / HTTP/1.1\r\nHost: a\r\nX-\r\nY: a\r\n\r\n", "400"),
    ("9112 5", "an empty name", b"GET / HTTP/1.1\r\nHost: a\r\n: a\r\n\r\n", "400"),
    ("9112 5", "a colon alone", b"GET / HTTP/1.1\r\nHost: a\r\n:\r\n\r\n", "400"),
    ("9112 5", "another request line", b"GET / HTTP/1.1\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
    ("9110 5.1", "a name in brackets", b"GET / HTTP/1.1\r\nHost: a\r\n[X]: a\r\n\r\n", "400"),
    ("9110 5.1", "a name that ends in 0x85", b"GET / HTTP/1.1\r\nHost: a\r\nX\x85: a\r\n\r\n", "400"),
    ("9110 5.1", "a name that ends in NUL", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n", "400"),
    ("9110 5.5", "NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", "400"),
    ("9110 5.5", "CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", "400"),
    ("9110 5.5", "CR, then a field", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 5\r\n\r\n", "400"),
    ("9110 5.5", "CR before the line end", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", "400"),
    ("9110 5.5", "ESC in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\r\n\r\n", "400"),
    ("9112 2.2", "LF behind a field, at once", b"GET / HTTP/1.1\r\nHost: a\n", "400"),
    ("9112 2.2", "LF as the last line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", "400"),
    ("9112 2.2", "LF CR", b"GET / HTTP/1.1\r\nHost: a\n\r\r\n", "400"),
    ("9112 2.2", "the last CR without LF", b"GET / HTTP/1.1\r\nHost: a\r\n\rX", "400"),
    ("9110 7.8", "Upgrade is ignored", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET / 1.1 keep; wait"),
    ("3875 4.1.18", "underscores do not frame", b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n", "POST / 1.1 keep; wait"),
];

#[test]
fn field_lines_are_read_to_the_letter() {
    run(FIELD_LINES);
}

#[rustfmt::skip]
const CONNECTIONS: &[Case] = &[
    ("9112 9.3", "close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / 1.1 close; wait"),
    ("9110 7.6.1", "any case", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: CLOSE\r\n\r\n", "GET / 1.1 close; wait"),
    ("9110 7.6.1", "in a list", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te ,\t close , x\r\n\r\n", "GET / 1.1 close; wait"),
    ("9110 7.6.1", "in a second line", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te\r\nX: y\r\nconnection: close\r\n\r\n", "GET / 1.1 close; wait"),
    ("9112 9.3", "close wins", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n", "GET / 1.1 close; wait"),
    ("9112 9.3", "close wins the other way", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", "GET / 1.1 close; wait"),
    ("9110 7.6.1", "closed is not close", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, enclose\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 7.6.1", "empty members", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,,close,\r\n\r\n", "GET / 1.1 close; wait"),
    ("9112 9.3", "1.0", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / 1.0 close; wait"),
    ("9112 C.2.2", "1.0 with keep-alive", b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 keep; wait"),
    ("9112 C.2.2", "1.0 with keep-alive among others", b"GET / HTTP/1.0\r\nConnection: keep-alive, te\r\n\r\n", "GET / 1.0 keep; wait"),
    ("9112 C.2.2", "1.0 with both", b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", "GET / 1.0 close; wait"),
    ("9112 9.3.2", "pipelining", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n", "GET /1 1.1 keep; GET /2 1.1 keep; wait head"),
];

#[test]
fn connections_are_kept_as_both_sides_say() {
    run(CONNECTIONS);
}

#[rustfmt::skip]
const EXPECTATIONS: &[Case] = &[
    ("9110 10.1.1", "with a length", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok", "PUT / 1.1 keep expects length=2 [ok]; wait"),
    ("9110 10.1.1", "any case, chunked", b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n", "PUT / 1.1 keep expects chunked; wait body"),
    ("9110 10.1.1", "twice", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "PUT / 1.1 keep expects length=2; wait body"),
    ("9110 10.1.1", "without a body", b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "GET / 1.1 keep; wait"),
    ("9110 10.1.1", "with an empty body", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", "PUT / 1.1 keep; wait"),
    ("9110 10.1.1", "1.0", b"PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", "PUT / 1.0 close length=2; wait body"),
    ("9110 10.1.1", "unknown in 1.0", b"GET / HTTP/1.0\r\nExpect: wonders\r\n\r\n", "GET / 1.0 close; wait"),
    ("9110 10.1.1", "unknown", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 2\r\n\r\n", "417"),
    ("9110 10.1.1", "unknown beside a known one", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nExpect: 100-continue\r\n\r\n", "417"),
    ("9110 10.1.1", "a list", b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, wonders\r\n\r\n", "417"),
];

#[test]
fn expectations_are_met_or_refused() {
    run(EXPECTATIONS);
}
