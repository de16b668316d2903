//! How an answer is framed, and what stands in its head by itself (RFC 9112 6, RFC 9110 6.6.1, 8.6, 9.3.2).

use crate::conformance::case::Check::{
    Body, Closes, Cut, Dated, Field, NoField, Nothing, Rejected, Status, Unchunked, Values, WellFormed,
};
use crate::conformance::case::{Allowed, Case, get, head, must, should};

/// Nothing of the next answer may be taken for the rest of this one.
fn followed(path: &str) -> Vec<u8> {
    [get(path), get("/answer/plain")].concat()
}

/// Content and its end.
#[rustfmt::skip]
pub fn framing() -> Vec<Case> {
    vec![
        must("RFC 9110 9.3.2", "HEAD of an answer with a length", head("/answer/plain"), &[&[Status(200), Body(""), WellFormed]]),
        must("RFC 9110 9.3.2", "HEAD of an answer in pieces", head("/answer/pieces"), &[&[Status(200), WellFormed]]),
        must("RFC 9110 9.3.2", "HEAD of an answer by write()", head("/answer/written"), &[&[Status(200), WellFormed]]),
        must("RFC 9110 9.3.2", "HEAD of an error", head("/answer/raises_before"), &[&[Status(500), WellFormed]]),
        must("RFC 9110 9.3.2", "HEAD of a file", head("/answer/file_counted"), &[&[Status(200), WellFormed]]),
        should("RFC 9110 9.3.2", "HEAD tells the length that GET has", head("/answer/plain"), &[&[Field("Content-Length", "5")]]),
        must("RFC 9110 9.3.2", "HEAD in 1.0", b"HEAD /answer/pieces HTTP/1.0\r\n\r\n", &[&[Status(200), Unchunked, Closes]]),
        must("RFC 9112 6.3", "204 has no content", get("/answer/no_content"), &[&[Status(204), Body("")]]),
        must("RFC 9112 6.3", "204 has no content, though the application gives some", get("/answer/no_content_with_some"), &[&[Status(204)], &[Status(500)]]),
        must("RFC 9110 8.6", "204 has no Content-Length", get("/answer/no_content_with_some"), &[&[Status(204), NoField("Content-Length")], &[Status(500)]]),
        must("RFC 9112 6.1", "204 has no Transfer-Encoding", get("/answer/no_content"), &[&[Status(204), NoField("Transfer-Encoding")]]),
        must("RFC 9112 6.3", "304 has no content", get("/answer/not_modified"), &[&[Status(304), Body("")]]),
        must("RFC 9112 6.3", "304 has no content, though the application gives some", get("/answer/not_modified_with_some"), &[&[Status(304)], &[Status(500)]]),
        must("RFC 9110 8.6", "304 says no length that is not the one of GET", get("/answer/not_modified"), &[&[Status(304), NoField("Content-Length")]]),
        must("RFC 9112 6.3", "an answer of unknown length shows its end", get("/answer/pieces"), &[&[Body("one two three"), WellFormed]]),
        must("RFC 9112 6.3", "an answer of no bytes", get("/answer/nothing"), &[&[Body(""), WellFormed]]),
        must("PEP 3333, Content-Length", "less than was said does not look complete", followed("/answer/too_short"), &[&[Cut], &[Status(500)]]).over(),
        must("PEP 3333, Content-Length", "no more than was said is sent", get("/answer/too_long"), &[&[Body("long")], &[Status(500)]]),
        must("RFC 9110 8.6", "a length of the application's that is no number", get("/answer/bad_head?length_word"), UNGARBLED),
        must("RFC 9110 8.6", "two lengths of the application's", get("/answer/bad_head?length_twice"), UNGARBLED),
        must("PEP 3333, Content-Length", "empty items do not count", get("/answer/empty_items_counted"), &[&[Body("ab")]]),
        must("RFC 9112 7.1", "empty items do not end an answer", get("/answer/empty_items"), &[&[Body("ab")]]),
    ]
}

/// An error, or an answer that can be read.
const UNGARBLED: Allowed = &[&[Status(500)], &[Nothing], &[Body("12345"), WellFormed]];

/// Date, and the grammar of the head.
#[rustfmt::skip]
pub fn heads() -> Vec<Case> {
    vec![
        must("RFC 9110 6.6.1", "a Date in 200", get("/answer/plain"), &[&[Dated]]),
        must("RFC 9110 6.6.1", "a Date in 302", get("/answer/moved"), &[&[Status(302), Dated]]),
        must("RFC 9110 6.6.1", "a Date in 304", get("/answer/not_modified"), &[&[Status(304), Dated]]),
        must("RFC 9110 6.6.1", "a Date in a 400 of the server's own", "GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n", &[&[Rejected, Dated]]),
        must("RFC 9110 6.6.1", "a Date in a 4xx for a long head", format!("GET / HTTP/1.1\r\nHost: h\r\nX-A: {}\r\n\r\n", "b".repeat(200_000)), &[&[Rejected, Dated], &[Status(200), Dated], &[Nothing]]),
        must("RFC 9110 6.6.1", "one Date, when the application gives it", get("/answer/dated"), &[&[Dated]]),
        must("RFC 9112 4", "the head of a 200", get("/answer/plain"), &[&[WellFormed]]),
        must("RFC 9112 4", "the head of a 400 of the server's own", "GET / HTTP/1.1\r\nHost: h\r\nX-A : b\r\n\r\n", &[&[Rejected, WellFormed]]),
        must("RFC 9112 4", "the head of a 500 of the server's own", get("/answer/raises_before"), &[&[Status(500), WellFormed]]),
        must("RFC 9112 6.2", "Transfer-Encoding from the application never garbles", get("/answer/bad_head?hop"), UNGARBLED),
        should("PEP 3333, Other HTTP Features", "Upgrade from the application is not passed on", get("/answer/upgrade"), &[&[Status(500)], &[Nothing], &[NoField("Upgrade")]]),
        should("PEP 3333, Other HTTP Features", "Keep-Alive from the application is not passed on", get("/answer/keep_alive"), &[&[Status(500)], &[Nothing], &[NoField("Keep-Alive")]]),
        must("RFC 9110 5.3", "repeated fields stay apart and in order", get("/answer/repeated_fields"), &[&[Values("Set-Cookie", &["a=1", "b=2"])]]),
    ]
}
