//! The life of a connection: who closes it when, what is pipelined, who waits for 100 (RFC 9112 9, RFC 9110 10.1.1).

use crate::conformance::case::Check::{
    Body, Closes, Environ, Invited, Nothing, Received, Rejected, SaysKeepAlive, Status, StatusOf, Stays, Unchunked,
    Uninvited,
};
use crate::conformance::case::{Allowed, Case, Level, Step, get, must, should};

const PLAIN: Allowed = &[&[Body("plain")]];
const LAST: Allowed = &[&[Body("plain"), Closes]];

/// A request that wants the connection closed.
fn closing(lines: &str) -> String {
    format!("GET /answer/plain HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n")
}

fn old(lines: &str) -> String {
    format!("GET /answer/plain HTTP/1.0\r\n{lines}\r\n")
}

/// Keep-alive and close.
#[rustfmt::skip]
pub fn keep_alive() -> Vec<Case> {
    vec![
        should("RFC 9112 9.3", "1.1 goes on", get("/answer/plain"), &[&[Body("plain"), Stays]]),
        should("RFC 9112 9.3", "1.1 goes on behind a body", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", &[&[Received("12345"), Stays]]),
        must("RFC 9112 9.6", "close", closing("Connection: close"), LAST),
        must("RFC 9110 7.6.1", "close in another case", closing("Connection: Close"), LAST),
        must("RFC 9110 7.6.1", "close in a list", closing("Connection: x-a, close"), LAST),
        must("RFC 9110 7.6.1", "close before another option", closing("Connection: close, x-a"), LAST),
        must("RFC 9110 7.6.1", "close in a list with odd white space", closing("Connection: x-a ,\t CLOSE ,"), LAST),
        must("RFC 9110 7.6.1", "close in a second line", closing("Connection: x-a\r\nConnection: close"), LAST),
        must("RFC 9112 9.3", "close wins over keep-alive", closing("Connection: keep-alive, close"), LAST),
        must("RFC 9110 7.6.1", "closed is not close", closing("Connection: closed"), PLAIN),
        must("RFC 9112 9.3", "1.0 is closed", old(""), LAST),
        must("RFC 9112 9.3", "1.0 is closed when it says so", old("Connection: close\r\n"), LAST),
        must("RFC 9112 9.3", "1.0 is kept only when that is agreed", old("Connection: keep-alive\r\n"), KEPT_IF_SAID),
        must("RFC 9112 9.3", "in any case", old("Connection: Keep-Alive\r\n"), KEPT_IF_SAID),
        must("RFC 9112 9.3", "1.0 with both is closed", old("Connection: keep-alive, close\r\n"), LAST),
        must("RFC 9112 6.1", "1.0 gets no chunks", b"GET /answer/pieces HTTP/1.0\r\n\r\n", &[&[Body("one two three"), Unchunked, Closes]]),
        must("RFC 9112 6.1", "1.0 gets no chunks when kept alive", b"GET /answer/pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &[&[Body("one two three"), Unchunked]]),
        must("RFC 9110 7.8", "an upgrade may be ignored", "GET /answer/plain HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x-protocol\r\n\r\n", PLAIN),
        should("RFC 9293 3.6", "a half-closed connection is answered", get("/answer/plain"), PLAIN).half_closed(),
        should("RFC 9293 3.6", "a half-closed connection is answered, the body read", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", &[&[Received("12345")]]).half_closed(),
    ]
}

/// Kept when the answer says so, else closed (RFC 9112 9.3, C.2.2).
const KEPT_IF_SAID: Allowed = &[&[Body("plain"), SaysKeepAlive, Stays], &[Body("plain"), Closes]];

/// Requests that come before the answer to the one before is there.
#[rustfmt::skip]
pub fn pipelining() -> Vec<Case> {
    let mirrored = |path: &'static str| -> Vec<u8> { get(path) };
    let three = [mirrored("/1"), b"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc".to_vec(), mirrored("/3")].concat();
    let chunked = [b"POST /1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec(), mirrored("/2")].concat();
    let head = b"HEAD /answer/plain HTTP/1.1\r\nHost: h\r\n\r\n";
    vec![
        must("RFC 9112 9.3.2", "three are answered in order", three.clone(), &[&[Environ("PATH_INFO", "/1")]])
            .hear(&[&[Environ("PATH_INFO", "/2"), Received("abc")]]).hear(&[&[Environ("PATH_INFO", "/3")]]),
        must("RFC 9112 9.3.2", "as well when they come byte by byte", b"", &[&[Environ("PATH_INFO", "/1")]]).before_last(Step::Trickle(three))
            .hear(&[&[Environ("PATH_INFO", "/2"), Received("abc")]]).hear(&[&[Environ("PATH_INFO", "/3")]]),
        must("RFC 9112 9.3.2", "one behind a chunked body", chunked, &[&[Received("abc")]]).hear(&[&[Environ("PATH_INFO", "/2")]]),
        must("RFC 9112 9.3.2", "one behind a HEAD", head, &[&[Status(200)]]).send(get("/2")).hear(&[&[Environ("PATH_INFO", "/2")]]),
        must("RFC 9112 9.3.2", "answers before a bad request are not lost", [get("/1"), get("/2"), b"GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n".to_vec()].concat(), &[&[Environ("PATH_INFO", "/1")]])
            .hear(&[&[Environ("PATH_INFO", "/2")]]).hear(&[&[Status(400)]]),
        must("RFC 9112 9.6", "nothing behind a close is processed", [b"GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(), get("/2")].concat(), &[&[Environ("PATH_INFO", "/1"), Closes], &[Rejected, Closes]]),
        must("RFC 9112 6.3", "nothing behind an invalid length is processed", [b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n".to_vec(), get("/2")].concat(), &[&[Status(400), Closes]]),
        must("RFC 9112 6.3", "nothing behind an unknown coding is processed", [b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".to_vec(), get("/2")].concat(), &[&[StatusOf(&[400, 501]), Closes]]),
        must("RFC 9112 9.3", "a body that the application leaves is no request", unread("Content-Length: 49", 49), PLAIN),
        must("RFC 9112 9.3", "a chunked body that the application leaves is no request", unread_chunks(), PLAIN),
        must("RFC 9112 9.3", "a long body that the application leaves is no request", unread("Content-Length: 490000", 490_000), PLAIN),
        must("RFC 9112 9.3", "a body that an application leaves, which fails", [&b"POST /answer/raises_before HTTP/1.1\r\nHost: h\r\nContent-Length: 49\r\n\r\n"[..], &smuggled(49)].concat(), &[&[Status(500)]]),
    ]
}

/// A request that must not be taken for one: it is somebody's body.
fn smuggled(length: usize) -> Vec<u8> {
    const ONE: &[u8; 49] = b"GET /smuggled HTTP/1.1\r\nHost: smuggle.example\r\n\r\n";
    ONE.iter().copied().cycle().take(length).collect()
}

/// A request to an application that reads nothing.
fn unread(line: &str, length: usize) -> Vec<u8> {
    [format!("POST /answer/plain HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n").as_bytes(), &smuggled(length)].concat()
}

fn unread_chunks() -> Vec<u8> {
    let head = "POST /answer/plain HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n31\r\n";
    [head.as_bytes(), &smuggled(49), b"\r\n0\r\n\r\n"].concat()
}

fn expecting(version: &str, expectation: &str, body: &str) -> String {
    format!("POST / HTTP/{version}\r\nHost: h\r\nContent-Length: 5\r\nExpect: {expectation}\r\n\r\n{body}")
}

/// Who waits for 100.
#[rustfmt::skip]
pub fn expect() -> Vec<Case> {
    let invited = |name: &str, head: &str, body: &str| {
        Case::new("RFC 9110 10.1.1", name).send(head).then(Step::BeInvited).send(body).hear(&[&[Received("12345")]])
    };
    vec![
        invited("100 before the body, and the answer behind it", &expecting("1.1", "100-continue", ""), "12345"),
        invited("in any case", &expecting("1.1", "100-Continue", ""), "12345"),
        invited("before a chunked body", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", "5\r\n12345\r\n0\r\n\r\n"),
        must("RFC 9110 10.1.1", "a body sent without waiting", expecting("1.1", "100-continue", "12345"), &[&[Received("12345")]]),
        must("RFC 9110 15.2", "1.0 gets no 100", expecting("1.0", "100-continue", "12345"), &[&[Received("12345"), Uninvited]]),
        must("RFC 9110 10.1.1", "no body, nothing to wait for", "GET /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n", &[&[Environ("PATH_INFO", "/x")]]),
        must("RFC 9110 10.1.1", "an unknown expectation", expecting("1.1", "tea", "12345"), &[&[Status(417)], &[Received("12345")]]),
        must("RFC 9110 10.1.1", "the next request is in step", expecting("1.1", "100-continue", "12345"), &[&[Received("12345"), Invited], &[Received("12345"), Uninvited]])
            .send(get("/2")).hear(&[&[Environ("PATH_INFO", "/2"), Uninvited]]),
        must("RFC 9110 10.1.1", "a client that leaves instead", expecting("1.1", "100-continue", ""), &[&[Rejected, Closes], &[Nothing]]).before_last(Step::BeInvited).half_closed(),
    ]
}

/// Bytes that come as they may: TCP keeps no boundaries.
#[rustfmt::skip]
pub fn slow() -> Vec<Case> {
    let trickled = |name: &str, bytes: &[u8], allowed: Allowed| {
        Case::new("RFC 9112 2.1", name).then(Step::Trickle(bytes.to_vec())).hear(allowed)
    };
    vec![
        trickled("a head that comes byte by byte", &get("/x"), &[&[Environ("PATH_INFO", "/x")]]),
        trickled("a body that comes byte by byte", b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", &[&[Received("12345")]]),
        trickled("chunks that come byte by byte", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\n123\r\n2\r\n45\r\n0\r\nX-A: b\r\n\r\n", &[&[Received("12345")]]),
        trickled("two requests that come byte by byte", &[get("/1"), get("/2")].concat(), &[&[Environ("PATH_INFO", "/1")]]).hear(&[&[Environ("PATH_INFO", "/2")]]),
        Case::new("RFC 9112 9.5", "a client that leaves within a head").send("GET / HTTP/1.1\r\nHo").then(Step::Vanish).then(Step::Alive),
        Case::new("RFC 9112 9.5", "a client that leaves within a body").send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12").then(Step::Vanish).then(Step::Alive),
        Case::new("RFC 9112 9.5", "a client that leaves before its answer").send(get("/answer/endless_recorded")).then(Step::Vanish).then(Step::Alive),
        Case::new("RFC 9112 9.5", "a client that says nothing").then(Step::Finish).hear(&[&[Nothing], &[Rejected, Closes]]).demand(Level::Should),
    ]
}
