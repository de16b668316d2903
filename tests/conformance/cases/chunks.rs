//! The chunked coding (RFC 9112 7.1, 8).

use crate::conformance::case::Check::{Environ, NoEnviron, Nothing, Received, Rejected};
use crate::conformance::case::{Allowed, Case, REFUSED, Step, chunks, must, should};
use crate::conformance::cases::length::INCOMPLETE;

const HELLO: Allowed = &[&[Received("hello")]];

/// Bodies that are right, all of which say `hello`.
#[rustfmt::skip]
const RIGHT: &[(&str, &str)] = &[
    ("one chunk", "5\r\nhello\r\n0\r\n\r\n"),
    ("five chunks", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n"),
    ("leading zeros", "0005\r\nhello\r\n000\r\n\r\n"),
    ("more zeros than 64 bits have digits", "00000000000000000000000005\r\nhello\r\n0\r\n\r\n"),
    ("an extension", "5;a=b\r\nhello\r\n0\r\n\r\n"),
    ("an extension without a value", "5;a\r\nhello\r\n0;b\r\n\r\n"),
    ("a quoted extension", "5;a=\"b;c \\\" d\"\r\nhello\r\n0\r\n\r\n"),
    ("two extensions", "5;a=b;c=d\r\nhello\r\n0\r\n\r\n"),
    ("bad white space before an extension", "5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    ("bad white space in an extension", "5;\ta = b\r\nhello\r\n0\r\n\r\n"),
    ("a trailer", "5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"),
    ("three trailers", "5\r\nhello\r\n0\r\nX-A: b\r\nX-B:\r\nX-C: d\r\n\r\n"),
];

/// What is decoded.
#[rustfmt::skip]
pub fn decoded() -> Vec<Case> {
    let mut cases: Vec<Case> = RIGHT.iter().map(|(name, body)| must("RFC 9112 7.1", *name, chunks(body), HELLO)).collect();
    let large = format!("10000\r\n{}\r\n0\r\n\r\n", "x".repeat(0x10000));
    let many = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(5000));
    cases.extend([
        must("RFC 9112 7.1", "nothing", chunks("0\r\n\r\n"), &[&[Received("")]]),
        must("RFC 9112 7.1", "a size in lower case", chunks("a\r\n0123456789\r\n0\r\n\r\n"), &[&[Received("0123456789")]]),
        must("RFC 9112 7.1", "a size in upper case", chunks("A\r\n0123456789\r\n0\r\n\r\n"), &[&[Received("0123456789")]]),
        must("RFC 9112 7.1", "a size is hexadecimal", chunks("10\r\n0123456789abcdef\r\n0\r\n\r\n"), &[&[Received("0123456789abcdef")]]),
        must("RFC 9112 7.1", "data that looks like chunks", chunks("5\r\n0\r\n\r\n\r\n0\r\n\r\n"), &[&[Received("0\r\n\r\n")]]),
        must("RFC 9112 7.1", "64 KiB in one chunk", chunks(large), &[&[Environ("REQUEST_METHOD", "POST")]]),
        must("RFC 9112 7.1", "5000 chunks", chunks(many), &[&[Environ("REQUEST_METHOD", "POST")]]),
        must("RFC 9112 7.1", "a chunk that comes in two parts", chunks("5\r\nhe"), HELLO).before_last(Step::Send(b"llo\r\n0\r\n\r\n".to_vec())),
        must("RFC 9112 7.1", "a chunk that comes byte by byte", chunks(""), HELLO).before_last(Step::Trickle(b"5\r\nhello\r\n0\r\n\r\n".to_vec())),
        must("RFC 9110 6.5.1", "a trailer is no header", chunks("5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"), &[&[Received("hello"), NoEnviron("HTTP_X_A")]]),
        must("RFC 9110 6.5.1", "a trailer cannot say who is asked", chunks("5\r\nhello\r\n0\r\nHost: evil\r\nAuthorization: evil\r\n\r\n"),
            &[&[Rejected], &[Received("hello"), Environ("HTTP_HOST", "h"), NoEnviron("HTTP_AUTHORIZATION")]]),
        must("RFC 9110 6.5.1", "a trailer cannot frame", chunks("5\r\nhello\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: gzip\r\n\r\n"), &[&[Rejected], &[Received("hello")]]),
        must("RFC 9112 7.1", "a request follows the body at once", [&chunks("5\r\nhello\r\n0\r\n\r\n")[..], b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"].concat(), HELLO)
            .hear(&[&[Environ("PATH_INFO", "/next")]]),
        must("RFC 9112 7.1", "a request follows the trailers at once", [&chunks("5\r\nhello\r\n0\r\nX-A: b\r\n\r\n")[..], b"GET /next HTTP/1.1\r\nHost: h\r\n\r\n"].concat(), HELLO)
            .hear(&[&[Environ("PATH_INFO", "/next")]]),
    ]);
    cases
}

/// Sizes that no grammar reads as 5, in front of `hello`.
const SIZES: &[&str] = &[
    "0x5", "0X5", "+5", "-5", "5_0", " 5", "\t5", "", "\\x5", "5 5", "5,", "5:", "5.0", "\"5\"", "5h", "5g", "\0",
    "5\0", "\x005", ";a", "\u{ff15}", "5\u{b}",
];

/// Bodies that are broken behind a right size.
#[rustfmt::skip]
const BROKEN: &[(&str, &str)] = &[
    ("a size line that ends with LF", "5\nhello\r\n0\r\n\r\n"),
    ("a size line that ends with CR", "5\rhello\r\n0\r\n\r\n"),
    ("a size line that ends with CR CR LF", "5\r\r\nhello\r\n0\r\n\r\n"),
    ("a size line that ends with CR and a byte", "5\rxhello\r\n0\r\n\r\n"),
    ("data that ends with LF", "5\r\nhello\n0\r\n\r\n"),
    ("data that ends with CR", "5\r\nhello\r0\r\n\r\n"),
    ("data that ends with nothing", "5\r\nhello0\r\n\r\n"),
    ("data that ends with two other bytes", "5\r\nhelloxx0\r\n\r\n"),
    ("data that ends with CR and another byte", "5\r\nhello\rx0\r\n\r\n"),
    ("data that ends with another byte and LF", "5\r\nhellox\n0\r\n\r\n"),
    ("data longer than its size", "5\r\nhello!\r\n0\r\n\r\n"),
    ("data shorter than its size", "5\r\nhell\r\n0\r\n\r\n"),
    ("an extension that ends with LF", "5;a\nhello\r\n0\r\n\r\n"),
    ("an extension with CR", "5;a=\rb\r\nhello\r\n0\r\n\r\n"),
    ("an extension with LF", "5;a=\nb\r\nhello\r\n0\r\n\r\n"),
    ("an extension with NUL", "5;a=\0b\r\nhello\r\n0\r\n\r\n"),
    ("a quoted extension with CR LF", "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n"),
    ("a last chunk that ends with LF", "5\r\nhello\r\n0\n\r\n"),
    ("a size line that ends with another byte and LF", "5x\nhello\r\n0\r\n\r\n"),
    ("trailers that end with CR and another byte", "5\r\nhello\r\n0\r\n\rx"),
    ("trailers that end with other bytes", "5\r\nhello\r\n0\r\nxx"),
    ("a trailer without a colon", "5\r\nhello\r\n0\r\nX-A\r\n\r\n"),
    ("a trailer with a space before the colon", "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n"),
    ("a request in the place of trailers", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n"),
];

/// What is refused, or cut: never a complete body.
#[rustfmt::skip]
pub fn broken() -> Vec<Case> {
    let mut cases: Vec<Case> = SIZES
        .iter()
        .map(|size| should("RFC 9112 7.1", format!("a size: {}", size.escape_debug()), chunks(format!("{size}\r\nhello\r\n0\r\n\r\n")), REFUSED).half_closed())
        .collect();
    cases.extend(BROKEN.iter().map(|(name, body)| should("RFC 9112 7.1", *name, chunks(body), REFUSED).half_closed()));
    for size in ["100000005", "10000000000000005", "100000000000000000000000000000005", "fffffffffffffffffffffffb"] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
        cases.push(must("RFC 9112 7.1", format!("a size of {size}"), chunks(body), INCOMPLETE).half_closed());
    }
    cases.extend([
        must("RFC 9112 8", "an end within the data", chunks("5\r\nhel"), INCOMPLETE).half_closed(),
        must("RFC 9112 8", "an end behind the data", chunks("5\r\nhello\r\n"), INCOMPLETE).half_closed(),
        must("RFC 9112 8", "an end within the last size", chunks("5\r\nhello\r\n0"), INCOMPLETE).half_closed(),
        must("RFC 9112 8", "an end before the first size", chunks(""), INCOMPLETE).half_closed(),
        should("RFC 9112 7.1.1", "an extension of 4 MB", chunks(format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(4_000_000))), &[&[Rejected], &[Nothing]]),
        should("RFC 9112 7.1.1", "4 MB of extensions in small chunks", chunks(format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(4000))), &[&[Rejected], &[Nothing]]),
        should("RFC 9110 5.4", "trailers of 4 MB", chunks(format!("5\r\nhello\r\n0\r\n{}\r\n", "X-A: bcdef\r\n".repeat(333_333))), &[&[Rejected], &[Nothing]]),
    ]);
    cases
}
