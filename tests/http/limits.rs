//! Limits of the config, and what a client gets that is over one: the right status, in time, and not lost.

use crate::harness::Site;

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

#[test]
fn a_line_end_without_cr_is_decided_at_once() {
    // RFC 9112 2.2 allows both; waiting for more is what it does not.
    let server = Site::new("mirror:application").serve();
    server.connect().send("GET / HTTP/1.1\n").answer().expect_status(400);
}
