//! Content-Length and Transfer-Encoding: where a body ends, and that there is one reading of it (RFC 9112 6, RFC 9110 8.6).

use crate::conformance::case::Check::{Closes, Nothing, Received, Rejected, Status, StatusOf};
use crate::conformance::case::{Allowed, BAD, BAD_CODING, Case, Step, must, post, should};

/// Values that are no length (RFC 9112 6.3 demands 400 and the close).
const INVALID: &[&str] = &[
    "+5", "-5", "-0", "0x5", "5x", "1_0", "", "\"5\"", "'5'", "1 0", "5,", ",5", "5;", "5.0", "5e0", "\u{665}",
    "\u{ff15}", "five", "5\u{b}", "0b101", "5L", "5,6", "5, 6", "5 5",
];

/// Content-Length.
#[rustfmt::skip]
pub fn length() -> Vec<Case> {
    let five = |lines: &str| post(lines, "12345");
    let mut cases = vec![
        must("RFC 9112 6.3", "two different lengths", five("Content-Length: 5\r\nContent-Length: 6"), BAD),
        must("RFC 9112 6.3", "two different lengths, the longer first", five("Content-Length: 6\r\nContent-Length: 5"), BAD),
        must("RFC 9112 6.3", "two lengths, one invalid", five("Content-Length: 5\r\nContent-Length: x"), BAD),
        must("RFC 9112 6.3", "two lengths, one empty", five("Content-Length: 5\r\nContent-Length:"), BAD),
        must("RFC 9110 8.6", "two equal lengths", five("Content-Length: 5\r\nContent-Length: 5"), SAME),
        must("RFC 9110 8.6", "a list of two equal lengths", five("Content-Length: 5, 5"), SAME),
        must("RFC 9110 8.6", "a length of 0", post("Content-Length: 0", ""), &[&[Received("")]]),
        must("RFC 9110 8.6", "leading zeros", five("Content-Length: 0005"), &[&[Received("12345")]]),
        must("RFC 9110 8.6", "more digits than 64 bits have", five("Content-Length: 0000000000000000000000005"), &[&[Received("12345")], &[Rejected, Closes]]),
        must("RFC 9110 8.6", "a length is decimal", post("Content-Length: 010", "1234567890"), &[&[Received("1234567890")]]),
        must("RFC 9110 5.5", "white space around a length", five("Content-Length: \t5 \t"), &[&[Received("12345")]]),
        must("RFC 9110 8.6", "a length of 2^32 + 5", five("Content-Length: 4294967301"), INCOMPLETE).half_closed(),
        must("RFC 9110 8.6", "a length of 2^63", five("Content-Length: 9223372036854775808"), INCOMPLETE).half_closed(),
        must("RFC 9110 8.6", "a length of 2^64 + 5", five("Content-Length: 18446744073709551621"), INCOMPLETE).half_closed(),
        must("RFC 9110 8.6", "a length of 400 digits", five(&format!("Content-Length: {}", "9".repeat(400))), INCOMPLETE).half_closed(),
        must("RFC 9112 6.3", "neither length nor coding: no body", post("X-A: b", ""), &[&[Received("")]]),
        must("RFC 9112 6.3", "the body of a GET belongs to it", b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", BELONGS),
        must("RFC 9112 6.3", "the body of a HEAD belongs to it", b"HEAD /answer/no_content HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", &[&[Status(204)], &[Rejected, Closes]]),
        must("RFC 9112 6.3", "the body of a DELETE belongs to it", b"DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", BELONGS),
        must("RFC 9112 6.3", "the body of an unknown method belongs to it", b"BREW / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", BELONGS),
        must("RFC 9112 6.3", "a body that comes in two parts", post("Content-Length: 10", "12345"), &[&[Received("1234567890")]]).before_last(Step::Send(b"67890".to_vec())),
        must("RFC 9112 6.3", "a body cut short", post("Content-Length: 10", "12345"), INCOMPLETE).half_closed(),
        must("RFC 9112 6.3", "a body of which nothing comes", post("Content-Length: 10", ""), INCOMPLETE).half_closed(),
    ];
    cases.extend(INVALID.iter().map(|value| {
        must("RFC 9112 6.3", format!("an invalid length: {}", value.escape_debug()), five(&format!("Content-Length: {value}")), BAD)
    }));
    cases
}

/// One value is meant (RFC 9110 8.6: reject or replace).
const SAME: Allowed = &[&[Rejected, Closes], &[Received("12345")]];
/// It is read, or not given to the application, or refused; it is no next request.
const BELONGS: Allowed = &[&[Received("12345")], &[Received("")], &[Rejected, Closes]];
/// The message is incomplete, and the connection ends (RFC 9112 6.3, 8).
pub const INCOMPLETE: Allowed = &[&[Rejected, Closes], &[Nothing]];

/// Codings that are not chunked, or not last (RFC 9112 6.3 demands an error and the close).
const NOT_CHUNKED: &[&str] = &[
    "gzip",
    "identity",
    "chunked, gzip",
    "chunked, identity",
    "chunked\r\nTransfer-Encoding: gzip",
    "xchunked",
    "chunkedx",
    "chunk",
    "chunked-",
    "\"chunked\"",
    "'chunked'",
    "\u{b}chunked",
    "chunked\u{b}",
    "\u{c}chunked",
    "chunked\u{c}",
    "chunked\0",
    "\0chunked",
    "chun ked",
    "chunked chunked",
    "chunked;",
    "[chunked]",
    "chunked, , gzip",
];

/// Lists that end with chunked, one way or the other.
const CHUNKED_AT_LAST: &[&str] = &[
    ",chunked",
    "chunked,",
    "chunked, chunked",
    "chunked\r\nTransfer-Encoding: chunked",
    "identity, chunked",
    "gzip, chunked",
    "identity\r\nTransfer-Encoding: chunked",
    "\r\nTransfer-Encoding: chunked",
];

/// Transfer-Encoding.
#[rustfmt::skip]
pub fn coding() -> Vec<Case> {
    const BODY: &str = "5\r\n12345\r\n0\r\n\r\n";
    let coded = |value: &str| post(format!("Transfer-Encoding: {value}"), BODY);
    let mut cases = vec![
        must("RFC 9112 6.1", "beside a length", post("Transfer-Encoding: chunked\r\nContent-Length: 5", BODY), CHUNKED_WINS),
        must("RFC 9112 6.1", "behind a length", post("Content-Length: 5\r\nTransfer-Encoding: chunked", BODY), CHUNKED_WINS),
        must("RFC 9112 6.1", "beside a length of 0", post("Content-Length: 0\r\nTransfer-Encoding: chunked", BODY), CHUNKED_WINS),
        must("RFC 9112 6.1", "beside the right length", post("Content-Length: 15\r\nTransfer-Encoding: chunked", BODY), CHUNKED_WINS),
        must("RFC 9112 6.3", "beside an invalid length", post("Content-Length: x\r\nTransfer-Encoding: chunked", BODY), CHUNKED_WINS),
        must("RFC 9112 6.3", "gzip beside a length", post("Transfer-Encoding: gzip\r\nContent-Length: 5", "12345"), BAD_CODING),
        must("RFC 9112 6.3", "identity beside a length", post("Transfer-Encoding: identity\r\nContent-Length: 5", "12345"), BAD_CODING),
        must("RFC 9112 7", "names are case-insensitive", coded("Chunked"), &[&[Received("12345")]]),
        must("RFC 9112 7", "in upper case", coded("CHUNKED"), &[&[Received("12345")]]),
        must("RFC 9110 5.5", "white space around it", coded(" \tchunked\t "), &[&[Received("12345")]]),
        should("RFC 9112 7", "chunked with a parameter", coded("chunked;a=b"), BAD_CODING),
        should("RFC 9112 7", "chunked with a quality", coded("chunked;q=0.5"), BAD_CODING),
        must("RFC 9112 6.1", "in HTTP/1.0", format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"), &[&[Rejected, Closes], &[Nothing], &[Status(200), Closes]]),
        must("RFC 9112 6.1", "in HTTP/1.0 that would be kept alive", format!("POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"), &[&[Rejected, Closes], &[Nothing], &[Status(200), Closes]]),
        must("RFC 9112 6.1", "in HTTP/1.0 beside a length", format!("POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 15\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"), &[&[Rejected, Closes], &[Nothing], &[Status(200), Closes]]),
        must("RFC 9112 6.3", "of a GET", format!("GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{BODY}"), &[&[Received("12345")], &[Received("")], &[Rejected, Closes]]),
    ];
    cases.extend(NOT_CHUNKED.iter().map(|value| must("RFC 9112 6.3", format!("not chunked: {}", value.escape_debug()), coded(value), BAD_CODING)));
    cases.extend([b"\x85", b"\xa0", b"\xff"].into_iter().flat_map(|byte| {
        let with = |value: &[u8]| post([b"Transfer-Encoding: ", value].concat(), BODY);
        [
            must("RFC 9112 6.3", format!("not chunked: {} before it", byte.escape_ascii()), with(&[byte, &b"chunked"[..]].concat()), BAD_CODING),
            must("RFC 9112 6.3", format!("not chunked: {} behind it", byte.escape_ascii()), with(&[&b"chunked"[..], byte].concat()), BAD_CODING),
        ]
    }));
    cases.extend(CHUNKED_AT_LAST.iter().map(|value| {
        must("RFC 9112 6.1", format!("an odd list: {}", value.escape_debug()), coded(value), &[&[StatusOf(&[400, 501]), Closes], &[Received("12345")]])
    }));
    cases
}

/// Refused, or chunked wins; and the connection ends either way (RFC 9112 6.1).
const CHUNKED_WINS: Allowed = &[&[StatusOf(&[400]), Closes], &[Received("12345"), Closes]];
