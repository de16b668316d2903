//! Header fields: names, values, line ends, repetition (RFC 9110 5, RFC 9112 2.2 and 5, RFC 3875 4.1.18).

use crate::conformance::case::Check::{Environ, NoEnviron, Nothing, Received, Rejected, Status};
use crate::conformance::case::{Allowed, BAD_REQUEST, Case, REFUSED, field, must, post, should};

/// A value whose odd byte stays, or the request is refused.
macro_rules! kept {
    ($value:literal) => {
        &[&[Rejected], &[Nothing], &[Environ("HTTP_X_A", $value)]]
    };
}

/// A fold may become one space or as many as it was long (RFC 9112 5.2).
const UNFOLDED: Allowed = &[
    &[Status(400)],
    &[Environ("HTTP_X_A", "b c")],
    &[Environ("HTTP_X_A", "b  c")],
    &[Environ("HTTP_X_A", "b   c")],
    &[Environ("HTTP_X_A", "b    c")],
    &[Environ("HTTP_X_A", "b\tc")],
];

/// How field lines are read.
#[rustfmt::skip]
pub fn syntax() -> Vec<Case> {
    let mut cases = vec![
        must("RFC 9112 5.1", "a space before the colon", field("X-A : b"), BAD_REQUEST),
        must("RFC 9112 5.1", "a TAB before the colon", field("X-A\t: b"), BAD_REQUEST),
        must("RFC 9112 5.1", "a space before the colon of Content-Length", post("Content-Length : 5", "12345"), BAD_REQUEST),
        must("RFC 9112 5.1", "a space before the colon of Transfer-Encoding", post("Transfer-Encoding : chunked", "0\r\n\r\n"), BAD_REQUEST),
        must("RFC 9112 5.1", "a space before the colon of Host", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", BAD_REQUEST),
        must("RFC 9112 2.2", "a space before the first field", "GET / HTTP/1.1\r\n X-A: b\r\nHost: h\r\n\r\n", &[&[Rejected], &[Nothing], &[NoEnviron("HTTP_X_A")]]),
        must("RFC 9112 2.2", "a TAB before the first field", "GET / HTTP/1.1\r\n\tX-A: b\r\nHost: h\r\n\r\n", &[&[Rejected], &[Nothing], &[NoEnviron("HTTP_X_A")]]),
        must("RFC 9112 5.2", "a folded value", field("X-A: b\r\n c"), UNFOLDED),
        must("RFC 9112 5.2", "a value folded by a TAB", field("X-A: b\r\n\tc"), UNFOLDED),
        must("RFC 9112 5.2", "a folded Content-Length", post("Content-Length: 1\r\n 0", "1234567890"), BAD_REQUEST),
        must("RFC 9112 5.2", "a folded Transfer-Encoding", post("Transfer-Encoding:\r\n chunked", "5\r\n12345\r\n0\r\n\r\n"), &[&[Status(400)], &[Received("12345")]]),
        must("RFC 9112 5.2", "a fold before the empty line", field("X-A: b\r\n "), &[&[Status(400)], &[Environ("HTTP_X_A", "b")], &[Environ("HTTP_X_A", "b ")]]),
        should("RFC 9112 5", "a line without a colon", field("X-A"), REFUSED),
        should("RFC 9112 5", "an empty name", field(": b"), REFUSED),
        should("RFC 9112 5", "a colon alone", field(":"), REFUSED),
        should("RFC 9112 2.2", "a name over two lines", field("X-\r\nA: b"), REFUSED),
        must("RFC 9110 5.5", "NUL in a value", field("X-A: b\0c"), NO_LINE_END),
        must("RFC 9110 5.5", "a bare CR in a value", field("X-A: b\rc"), NO_LINE_END),
        must("RFC 9112 2.2", "a bare CR is no line end", field("X-A: b\rX-B: c"), &[&[Rejected], &[Nothing], &[Environ("HTTP_X_A", "b X-B: c"), NoEnviron("HTTP_X_B")]]),
        must("RFC 9110 5.5", "a bare LF is a line end or an error", field("X-A: b\nX-B: c"), &[
            &[Rejected], &[Nothing], &[Environ("HTTP_X_A", "b"), Environ("HTTP_X_B", "c")], &[Environ("HTTP_X_A", "b X-B: c"), NoEnviron("HTTP_X_B")],
        ]),
        must("RFC 9110 5.1", "names are case-insensitive", field("x-A: b"), &[&[Environ("HTTP_X_A", "b")]]),
        must("RFC 9110 5.5", "the white space around a value is none of it", field("X-A: \t b c \t"), &[&[Environ("HTTP_X_A", "b c")]]),
        must("RFC 9110 5.5", "no white space before a value", field("X-A:b"), &[&[Environ("HTTP_X_A", "b")]]),
        must("RFC 9110 5.5", "an empty value", field("X-A:"), &[&[Environ("HTTP_X_A", "")], &[NoEnviron("HTTP_X_A"), Status(200)]]),
        must("RFC 9110 5.5", "VT and FF are no white space", field("X-A: \x0bb\x0c"), kept!("\u{b}b\u{c}")),
        must("RFC 9110 5.5", "0x85 and 0xA0 are no white space", field(b"X-A: \x85b\xa0"), kept!("\u{85}b\u{a0}")),
        should("RFC 9110 5.5", "8-bit bytes are opaque", field(b"X-A: caf\xc3\xa9 \xff"), kept!("caf\u{c3}\u{a9} \u{ff}")),
        must("RFC 9110 5.5", "a control character is kept or refused", field("X-A: b\x01c"), kept!("b\u{1}c")),
        must("RFC 9110 5.5", "DEL is kept or refused", field("X-A: b\x7fc"), kept!("b\u{7f}c")),
        must("RFC 9110 5.5", "a quoted comma and a colon", field("X-A: \"a, b\": c"), kept!("\"a, b\": c")),
    ];
    for byte in *b"\"(),/;<=>?@[\\]{}\0\x01\x0b\x0c\x7f\x80\x85\xa0\xff" {
        let name = format!("a name with {}", byte.escape_ascii());
        cases.push(should("RFC 9110 5.1", name, field([b"X", &[byte][..], b"A: b"].concat()), REFUSED));
        let name = format!("a name that ends with {}", byte.escape_ascii());
        cases.push(should("RFC 9110 5.1", name, post([b"Content-Length", &[byte][..], b": 5"].concat(), "12345"), REFUSED));
    }
    cases
}

/// It may be refused, or become a space; it stays in no value (RFC 9110 5.5).
const NO_LINE_END: Allowed = &[&[Rejected], &[Nothing], &[Environ("HTTP_X_A", "b c")]];

/// What becomes of fields in the environ.
#[rustfmt::skip]
pub fn meaning() -> Vec<Case> {
    vec![
        must("RFC 3875 4.1.18", "repeated fields are one value, in order", field("X-A: 1\r\nX-B: x\r\nX-A: 2"), &[&[Environ("HTTP_X_A", "1, 2")], &[Environ("HTTP_X_A", "1,2")]]),
        must("RFC 3875 4.1.18", "in any case", field("X-A: 1\r\nx-a: 2\r\nX-a: 3"), &[&[Environ("HTTP_X_A", "1, 2, 3")], &[Environ("HTTP_X_A", "1,2,3")]]),
        should("RFC 6265 5.4", "cookies are joined as cookies", field("Cookie: a=1\r\nCookie: b=2"), &[&[Environ("HTTP_COOKIE", "a=1; b=2")]]),
        should("RFC 3875 4.1.18", "an underscore does not win", field("X-Under: good\r\nX_Under: evil"), GOOD),
        should("RFC 3875 4.1.18", "an underscore does not come first", field("X_Under: evil\r\nX-Under: good"), GOOD),
        should("RFC 3875 4.1.18", "an underscore is no Content-Length", post("Content_Length: 3\r\nContent-Length: 5", "12345"), &[&[Rejected], &[Received("12345"), Environ("CONTENT_LENGTH", "5")]]),
        must("RFC 3875 4.1.18", "no field is a variable of CGI", field("Script-Name: /evil\r\nRemote-User: evil\r\nHTTP-HOST: evil\r\nRequest-Method: EVIL"), &[
            &[Rejected], &[NoEnviron("REMOTE_USER"), Environ("SCRIPT_NAME", ""), Environ("HTTP_HOST", "h"), Environ("REQUEST_METHOD", "GET")],
        ]),
        must("RFC 3875 4.1.3", "Content-Type has a variable of its own", post("Content-Type: a/b\r\nContent-Length: 5", "12345"), &[
            &[Environ("CONTENT_TYPE", "a/b"), Environ("CONTENT_LENGTH", "5"), NoEnviron("HTTP_CONTENT_TYPE"), NoEnviron("HTTP_CONTENT_LENGTH")],
        ]),
    ]
}

/// The field with the hyphen is what counts.
const GOOD: Allowed = &[&[Rejected], &[Environ("HTTP_X_UNDER", "good")]];
