//! How an answer ends, and whether the connection does: RFC 9112 6.3 and 9.

use crate::harness::{Framing, Site};

fn site() -> Site {
    Site::new("answers:application")
}

#[test]
fn an_answer_of_unknown_length_is_chunked_for_11_and_closed_for_10() {
    let server = site().serve();
    let mut client = server.connect();
    let answer = client.get("/pieces");
    assert_eq!((answer.framing, answer.text()), (Framing::Chunked, "one two three"));
    assert_eq!(client.get("/plain").text(), "plain", "the connection goes on");
    for request in ["GET /pieces HTTP/1.0\r\n\r\n", "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"] {
        let answer = server.connect().send(request).answer();
        assert_eq!((answer.framing, answer.text()), (Framing::Close, "one two three"));
    }
}

#[test]
fn an_item_that_is_the_whole_answer_tells_its_length() {
    let server = site().serve();
    let answer = server.get("/single");
    assert_eq!(answer.framing, Framing::Length(answer.body.len() as u64), "{answer}");
    let empty = server.get("/nothing");
    assert_eq!(empty.framing, Framing::Length(0), "{empty}");
}

#[test]
fn no_content_is_sent_where_there_must_be_none() {
    let server = site().serve();
    let mut client = server.connect();
    // The client fails when there is framing on a 204; content behind any of these would garble the answer after it.
    client.get("/no_content").expect_status(204);
    client.get("/no_content_with_some").expect_status(204);
    client.get("/not_modified").expect_status(304);
    for (path, length) in [("/plain", Some("5")), ("/pieces", None)] {
        let answer = client.send(format!("HEAD {path} HTTP/1.1\r\nHost: h\r\n\r\n")).answer_to_head();
        assert_eq!((answer.status, answer.field("content-length")), (200, length), "{answer}");
    }
    client.send("HEAD /raises_before HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer_to_head().expect_status(500);
    assert_eq!(client.get("/plain").text(), "plain", "the connection is still in step");
}

#[test]
fn close_is_understood_however_it_is_written() {
    let server = site().serve();
    for line in ["close", "Close", "keep-alive, close", "x ,\tCLOSE", "x\r\nConnection: close"] {
        let mut client = server.connect();
        client.send(format!("GET /plain HTTP/1.1\r\nHost: h\r\nConnection: {line}\r\n\r\n"));
        client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.answer().says_close(), "{line:?}");
        client.expect_close();
    }
}

#[test]
fn http_10_is_closed_unless_keeping_is_agreed() {
    let server = site().serve();
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.0\r\n\r\n").answer();
    client.expect_close();
    let mut kept = server.connect();
    for _ in 0..2 {
        let answer = kept.send("GET /plain HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").answer();
        let agreed = answer.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
        assert!(agreed, "{answer}");
    }
}

#[test]
fn a_higher_minor_version_is_answered_as_11() {
    let server = site().serve();
    let mut client = server.connect();
    assert_eq!(client.send("GET /plain HTTP/1.2\r\nHost: h\r\n\r\n").answer().text(), "plain");
    assert_eq!(client.get("/plain").text(), "plain");
}

#[test]
fn an_upgrade_is_not_taken() {
    let server = site().serve();
    let request = "GET /plain HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n\r\n";
    assert_eq!(server.connect().send(request).answer().expect_status(200).text(), "plain");
}

#[test]
fn connect_is_the_last_request_of_a_connection() {
    let server = Site::new("mirror:counted").serve();
    let mut client = server.connect();
    client.send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = client.answer();
    assert!(answer.status >= 200 && answer.says_close(), "{answer}");
    client.expect_close();
}
