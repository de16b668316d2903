//! Requests that break a rule of RFC 9110 or 9112: an error is answered, the connection closed, the application not called.

use crate::harness::{Broken, Client, Ending, Site};

/// A request that must be refused: what is wrong with it, its bytes, and the statuses that say so.
pub struct Wrong {
    /// The rule, for the failure.
    pub what: &'static str,
    /// Its bytes, all of them.
    pub bytes: &'static [u8],
    /// Any of these is right.
    statuses: &'static [u16],
}

const fn wrong(what: &'static str, bytes: &'static [u8], statuses: &'static [u16]) -> Wrong {
    Wrong { what, bytes, statuses }
}

/// Where the rule says no more than "an error".
const BAD: &[u16] = &[400];
const UNKNOWN: &[u16] = &[400, 501];

/// The head that most of them share, up to the field that is wrong.
macro_rules! field {
    ($line:literal) => {
        concat!("POST /wrong HTTP/1.1\r\nHost: localhost\r\n", $line, "\r\n\r\n").as_bytes()
    };
    ($line:literal, $body:literal) => {
        concat!("POST /wrong HTTP/1.1\r\nHost: localhost\r\n", $line, "\r\n\r\n", $body).as_bytes()
    };
}

macro_rules! target {
    ($line:literal) => {
        concat!($line, "\r\nHost: localhost\r\n\r\n").as_bytes()
    };
}

macro_rules! chunked {
    ($body:literal) => {
        concat!("POST /wrong HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", $body).as_bytes()
    };
}

/// All of them.
#[rustfmt::skip]
pub const WRONG: &[Wrong] = &[
    // The request line (RFC 9112 3).
    wrong("a method with a colon", target!("GE:T / HTTP/1.1"), UNKNOWN),
    wrong("a method with a quote", target!("GE\"T / HTTP/1.1"), UNKNOWN),
    wrong("a method with NUL", target!("GE\0T / HTTP/1.1"), UNKNOWN),
    wrong("no method", target!(" / HTTP/1.1"), BAD),
    wrong("no target", target!("GET HTTP/1.1"), BAD),
    wrong("no version (HTTP/0.9)", b"GET /\r\n\r\n", &[400, 505]),
    wrong("a lower-case version", target!("GET / http/1.1"), &[400, 505]),
    wrong("version 2.0", target!("GET / HTTP/2.0"), &[400, 505]),
    wrong("version 11", target!("GET / HTTP/11"), &[400, 505]),
    wrong("a version with two digits", target!("GET / HTTP/1.10"), &[400, 505]),
    wrong("a space within the target", target!("GET /a b HTTP/1.1"), BAD),
    wrong("NUL in the target", target!("GET /a\0b HTTP/1.1"), BAD),
    wrong("a bare CR in the target", target!("GET /a\rb HTTP/1.1"), BAD),
    wrong("a relative target", target!("GET a/b HTTP/1.1"), BAD),
    wrong("an asterisk without OPTIONS", target!("GET * HTTP/1.1"), BAD),
    wrong("an authority without CONNECT", target!("GET localhost:80 HTTP/1.1"), BAD),
    wrong("something that is no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", &[400, 501]),
    // Host (RFC 9112 3.2).
    wrong("no Host", b"GET / HTTP/1.1\r\n\r\n", BAD),
    wrong("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD),
    wrong("two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BAD),
    wrong("a Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BAD),
    wrong("a Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD),
    wrong("a Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD),
    wrong("a Host that is a list", b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", BAD),
    wrong("a Host with a word for a port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", BAD),
    wrong("a Host with half an IPv6 address", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BAD),
    // Fields (RFC 9112 5).
    wrong("a space before the colon", field!("X-A : b"), BAD),
    wrong("a space before the first field", b"GET / HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n", BAD),
    wrong("a folded field", field!("X-A: b\r\n c"), BAD),
    wrong("a line without a colon", field!("X-A"), BAD),
    wrong("an empty name", field!(": b"), BAD),
    wrong("a name with a parenthesis", field!("X(A: b"), BAD),
    wrong("NUL in a value", field!("X-A: b\0c"), BAD),
    wrong("a bare CR in a value", field!("X-A: b\rc"), BAD),
    wrong("a vertical tab behind a name", field!("X-A\x0b: b"), BAD),
    // Content-Length (RFC 9110 8.6, RFC 9112 6.3).
    wrong("a signed length", field!("Content-Length: +5", "12345"), BAD),
    wrong("a negative length", field!("Content-Length: -5", "12345"), BAD),
    wrong("a hexadecimal length", field!("Content-Length: 0x5", "12345"), BAD),
    wrong("a length with an underscore", field!("Content-Length: 1_0", "1234567890"), BAD),
    wrong("an empty length", field!("Content-Length: ", "12345"), BAD),
    wrong("a quoted length", field!("Content-Length: \"5\"", "12345"), BAD),
    wrong("a length with a space", field!("Content-Length: 1 0", "1234567890"), BAD),
    wrong("two lengths", field!("Content-Length: 5\r\nContent-Length: 6", "123456"), BAD),
    wrong("a list of two lengths", field!("Content-Length: 5, 6", "123456"), BAD),
    wrong("a length of 2^64 + 5", field!("Content-Length: 18446744073709551621", "12345"), &[400, 413]),
    // Transfer-Encoding (RFC 9112 6.1, 6.3).
    wrong("chunked and a length", field!("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"), BAD),
    wrong("a coding behind chunked", field!("Transfer-Encoding: chunked, gzip", "0\r\n\r\n"), UNKNOWN),
    wrong("an unknown coding", field!("Transfer-Encoding: gzip", "0\r\n\r\n"), UNKNOWN),
    wrong("identity", field!("Transfer-Encoding: identity", "0\r\n\r\n"), UNKNOWN),
    wrong("chunked with a vertical tab", field!("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"), UNKNOWN),
    wrong("chunked in quotes", field!("Transfer-Encoding: \"chunked\"", "0\r\n\r\n"), UNKNOWN),
    wrong("chunked with a parameter", field!("Transfer-Encoding: chunked;a=b", "0\r\n\r\n"), UNKNOWN),
    wrong("chunked twice", field!("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"), UNKNOWN),
    // Chunks (RFC 9112 7.1).
    wrong("a size with 0x", chunked!("0x5\r\n12345\r\n0\r\n\r\n"), BAD),
    wrong("a signed size", chunked!("+5\r\n12345\r\n0\r\n\r\n"), BAD),
    wrong("a size with a space before it", chunked!(" 5\r\n12345\r\n0\r\n\r\n"), BAD),
    wrong("an empty size", chunked!("\r\n12345\r\n0\r\n\r\n"), BAD),
    wrong("a size beyond 64 bits", chunked!("10000000000000005\r\n12345\r\n0\r\n\r\n"), &[400, 413]),
    wrong("a size line that ends with LF", chunked!("5\n12345\r\n0\r\n\r\n"), BAD),
    wrong("data that ends with LF", chunked!("5\r\n12345\n0\r\n\r\n"), BAD),
    wrong("data longer than its size", chunked!("5\r\n123456\r\n0\r\n\r\n"), BAD),
    wrong("a bare CR in an extension", chunked!("5;a=\rb\r\n12345\r\n0\r\n\r\n"), BAD),
    wrong("a trailer without a colon", chunked!("0\r\nX-A\r\n\r\n"), BAD),
];

#[test]
fn wrong_requests_are_refused_and_the_connection_closed() {
    let send = |client: &mut Client, bytes: &[u8]| {
        client.send(bytes);
    };
    let server = Site::new("mirror:application").serve();
    let mut broken = Vec::new();
    for wrong in WRONG {
        if let Err(why) = refused(server.connect(), wrong, send) {
            broken.push(format!("{}: {why}", wrong.what));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn wrong_requests_that_come_byte_by_byte_are_refused_as_well() {
    let server = Site::new("mirror:application").serve();
    let mut broken = Vec::new();
    for wrong in WRONG {
        let bytewise = |client: &mut Client, bytes: &[u8]| {
            // The answer may come, and the connection go, before the last byte is sent.
            let _ = bytes.iter().try_for_each(|byte| client.try_send([*byte]));
        };
        if let Err(why) = refused(server.connect(), wrong, bytewise) {
            broken.push(format!("{}: {why}", wrong.what));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether the answer is an error of the right status and the connection ends behind it.
fn refused(mut client: Client, wrong: &Wrong, send: impl FnOnce(&mut Client, &[u8])) -> Result<(), String> {
    send(&mut client, wrong.bytes);
    let answer = client.try_answer("POST").map_err(|broken| broken.to_string())?;
    if !wrong.statuses.contains(&answer.status) {
        return Err(format!("answered with {answer}"));
    }
    if !answer.says_close() {
        return Err(format!("does not say that it closes: {answer}"));
    }
    match client.ending() {
        (rest, Ending::Eof) if rest.is_empty() => Ok(()),
        (rest, ending) => Err(Broken::Ended(ending, rest).to_string()),
    }
}

#[test]
fn a_line_end_without_cr_is_decided_at_once() {
    // RFC 9112 2.2 allows both; waiting for more is what it does not.
    let server = Site::new("mirror:application").serve();
    let status = server.connect().send("GET / HTTP/1.1\nHost: localhost\n\n").answer().status;
    assert!(status == 200 || status == 400, "{status}");
}

#[test]
fn what_follows_a_refused_request_is_no_request() {
    let server = Site::new("answers:application").serve();
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\nGET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client.answer().expect_status(400);
    client.expect_close();
}

#[test]
fn a_body_cut_short_never_reaches_the_application() {
    let server = Site::new("mirror:application").serve();
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
    ] {
        let mut client = server.connect();
        client.send(request).finish_sending();
        match client.try_answer("POST") {
            Ok(answer) => assert_eq!(answer.expect_status(400).field("connection"), Some("close")),
            Err(broken) => assert_eq!(broken, Broken::Ended(Ending::Eof, Vec::new()), "{request}"),
        }
    }
}

#[test]
fn heads_over_the_limits_get_414_and_431() {
    let limits = "limits: {request_line_max: 1KiB, header_count_max: 20, header_bytes_max: 4KiB}";
    let server = Site::new("answers:application").app(limits).serve();
    let long_line = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "a".repeat(1100));
    let many = format!("GET /plain HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(20));
    let long = format!("GET /plain HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n", "b".repeat(4096));
    for (request, status) in [(long_line, 414), (many, 431), (long, 431)] {
        let mut client = server.connect();
        assert!(client.send(&request).answer().expect_status(status).says_close());
        client.expect_close();
    }
    let within = format!("GET /plain HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X-A: b\r\n".repeat(19));
    server.connect().send(within).answer().expect_status(200);
}

#[test]
fn a_request_line_without_end_gets_414_before_it_ends() {
    let server = Site::new("answers:application").serve();
    let mut client = server.connect();
    let _ = client.try_send(format!("GET /{}", "a".repeat(100_000)));
    client.answer().expect_status(414);
}

#[test]
fn a_body_over_the_limit_gets_413_before_it_is_read() {
    let server = Site::new("mirror:counted").app("limits: {body_bytes_max: 1KiB}").serve();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n");
    assert!(client.answer().expect_status(413).says_close());
    client.expect_close();

    let mut waiting = server.connect();
    waiting.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\nExpect: 100-continue\r\n\r\n");
    waiting.answer().expect_status(413);

    let mut chunked = server.connect();
    chunked.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.send("401\r\n");
    chunked.answer().expect_status(413);

    assert_eq!(server.connect().post("/", &[b'x'; 1024]).expect_status(200).text(), "1024");
}

#[test]
fn an_early_answer_arrives_although_the_client_goes_on_sending() {
    // Closed at once, the socket would answer the rest of the body with a reset, which may destroy the 413 (RFC 9112 9.6).
    let server = Site::new("mirror:counted").app("limits: {body_bytes_max: 1KiB}").serve();
    for _ in 0..20 {
        let mut client = server.connect();
        client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400000\r\n\r\n");
        for _ in 0..100 {
            let _ = client.try_send([b'x'; 4000]);
        }
        client.answer().expect_status(413);
    }
}
