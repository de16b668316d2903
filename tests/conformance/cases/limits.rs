//! More than a server wants: it says so with the right status (RFC 9112 3, RFC 9110 5.4, RFC 6585 5), or takes it.
//!
//! A server that closes at once may destroy its own answer by a reset, and then nobody can tell whether it was right:
//! nothing at all is allowed here.

use crate::conformance::case::Check::{Body, Nothing, Rejected, Status, StatusOf};
use crate::conformance::case::{Allowed, Case, Step, must, should};

fn with_fields(fields: &str) -> String {
    format!("GET /answer/plain HTTP/1.1\r\nHost: h\r\n{fields}\r\n")
}

const LARGE: Allowed = &[&[Rejected], &[Body("plain")], &[Nothing]];

/// Lines, fields and numbers beyond what anybody wants.
#[rustfmt::skip]
pub fn limits() -> Vec<Case> {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(length));
    vec![
        should("RFC 9112 3", "a request line of 8000 bytes is taken", target(8000 - "GET / HTTP/1.1".len()), &[&[Status(200)]]),
        must("RFC 9112 3", "a target of 70 KB is taken or gets 414", target(70_000), &[&[StatusOf(&[200, 414])], &[Nothing]]),
        must("RFC 9112 3", "a target of 300 KB is taken or gets 414", target(300_000), &[&[StatusOf(&[200, 414])], &[Nothing]]),
        must("RFC 9112 3", "a query of 70 KB is taken or gets 414", target(70_000).replacen("a", "?", 1), &[&[StatusOf(&[200, 414])], &[Nothing]]),
        should("RFC 9112 3", "a method of 70 KB", format!("{} / HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(70_000)), &[&[Rejected], &[Status(200)], &[Nothing]]),
        must("RFC 9110 5.4", "a field of 70 KB", with_fields(&format!("X-A: {}\r\n", "b".repeat(70_000))), LARGE),
        must("RFC 9110 5.4", "a field of 1 MB", with_fields(&format!("X-A: {}\r\n", "b".repeat(1_000_000))), LARGE),
        must("RFC 9110 5.4", "a name of 70 KB", with_fields(&format!("X{}: b\r\n", "a".repeat(70_000))), LARGE),
        must("RFC 9110 5.4", "2000 fields", with_fields(&"X-A: b\r\n".repeat(2000)), LARGE),
        must("RFC 9110 5.4", "50000 fields", with_fields(&"X-A: b\r\n".repeat(50_000)), LARGE),
        must("RFC 9112 3", "the server serves on", "", &[&[Body("plain")]]).before_last(Step::Alive).before_last(Step::Send(with_fields("").into_bytes())),
    ]
}
