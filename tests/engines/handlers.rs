//! What is known of each handler of an application of tornado's own, as of the calls of other engines: its line in the access log, its
//! counts, its row; and what ends those that take too long, and nothing else.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::native::{begin, expect_echo, site, websocket};
use crate::harness::{Client, Ending, Server, eventually};

/// Bytes of `/stream`.
const LARGE: usize = 80 * 65536;

/// The requests that are under way, as `status` shows them.
fn in_flight(server: &Server) -> Vec<String> {
    let work = &server.status()["apps"][0]["workers"][0]["work"];
    let requests = work["in_flight"].as_array().cloned().unwrap_or_default();
    requests.iter().map(|request| request["line"].as_str().unwrap_or_default().to_owned()).collect()
}

fn expect_in_flight(server: &Server, expected: &[&str]) {
    eventually("these to be under way", || {
        let mut seen = in_flight(server);
        seen.sort();
        (seen == expected).then_some(()).ok_or(seen)
    });
}

/// Waits until so many requests were told of that took too long.
fn expect_late(server: &Server, expected: usize) {
    eventually("all to be told of", || {
        let count = server.count("request timed out");
        (count == expected).then_some(()).ok_or(count)
    });
}

#[test]
fn each_request_has_its_access_line() {
    let format = "log: {access: {format: '%(h)s \"%(r)s\" %(s)s %(b)s %(U)s %(q)s \"%(a)s\" %({x-own}o)s'}}";
    let server = site().top_instead(format).serve();
    let mut client = server.connect();
    client.get("/nap?0.01").expect_status(200);
    client.get("/raises?x").expect_status(500);
    client.send("GET /stream HTTP/1.1\r\nHost: h\r\nUser-Agent: a \"b\"\r\n\r\n");
    client.answer().expect_status(200);
    client.post("/upload", &[b'b'; 300_000]).expect_status(200);
    client.send("HEAD /pid HTTP/1.0\r\n\r\n");
    client.answer_to_head().expect_status(200);
    let mut socket = websocket(&server);
    expect_echo(&mut socket, "hello");
    begin(&server, "/hold").reset();
    let mut short = begin(&server, "/short");
    assert!(short.try_answer("GET").is_err(), "it had less than it was told");
    let of = |part: &str| server.process().line(part);
    let nap = of("\"GET /nap?");
    let (client, rest) = nap.split_once(' ').expect("the client and the rest");
    assert!(client.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()), "{nap}");
    assert_eq!(rest, "\"GET /nap?0.01 HTTP/1.1\" 200 2 /nap 0.01 \"-\" -");
    assert!(of("\"GET /raises?x").contains("HTTP/1.1\" 500 "));
    assert!(
        of("\"GET /stream").ends_with(&format!("200 {LARGE} /stream  \"a \\\"b\\\"\" an own one")),
        "{}",
        of("\"GET /stream")
    );
    assert!(of("\"POST /upload").contains("\"POST /upload HTTP/1.1\" 200 13 "));
    assert!(of("\"HEAD /pid").contains("\"HEAD /pid HTTP/1.0\" 200 0 "), "{}", of("\"HEAD /pid"));
    assert!(of("\"GET /echo").contains("\"GET /echo HTTP/1.1\" 101 0 "), "{}", of("\"GET /echo"));
    assert!(of("\"GET /hold").contains("\"GET /hold HTTP/1.1\" 499 0 "), "{}", of("\"GET /hold"));
    assert!(of("\"GET /short").contains(" 200 0 "));
    drop(socket);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert_eq!(server.count("\" 101 "), 1, "once each");
}

#[test]
fn a_line_tells_how_long_it_took_until_the_last_byte_had_left() {
    let server = site().top_instead("log: {format: json, access: true}").serve();
    let mut slow = begin(&server, "/stream?slow");
    slow.head();
    slow.turn_deaf(Duration::from_millis(700));
    assert_eq!(server.count("/stream"), 0, "its client has not taken it yet");
    slow.chunks().expect("the rest");
    let line: Value = serde_json::from_str(&server.process().line("/stream?slow")).expect("a line of JSON");
    let milliseconds = |key: &str| line[key].as_f64().expect("a number");
    assert!(milliseconds("ms") >= 700.0 && milliseconds("app_ms") <= milliseconds("ms"), "{line}");
    assert_eq!((&line["msg"], &line["app"], &line["bytes"]), (&"request".into(), &"main".into(), &LARGE.into()));
}

#[test]
fn requests_are_seen_from_outside_with_the_stack_of_each() {
    let server = site().serve();
    let mut held: Vec<Client> = ["/hold?1", "/hold?2"].map(|target| begin(&server, target)).into();
    let mut socket = websocket(&server);
    expect_echo(&mut socket, "hello");
    expect_in_flight(&server, &["GET /hold?1", "GET /hold?2"]);
    let (status, text) = server.command(&["stacks"]);
    assert_eq!(status, 0, "{text}");
    for number in [1, 2] {
        assert!(text.contains(&format!(": GET /hold?{number}, for ")), "{text}");
    }
    assert_eq!(text.matches("await released.wait()").count(), 2, "{text}");
    assert_eq!(text.matches("handler-").count(), 2, "{text}");
    let (status, text) = server.command(&["status"]);
    assert_eq!(status, 0, "{text}");
    begin(&server, "/hold?3").reset();
    server.get("/release");
    held.iter_mut().for_each(|client| drop(client.answer().expect_status(200)));
    expect_in_flight(&server, &[]);
}

#[test]
fn a_handler_that_takes_too_long_is_answered_504_and_ended_alone() {
    let server = site().app("timeouts: {request: 500ms}").serve();
    let mut late: Vec<Client> = (0..20).map(|_| begin(&server, "/waits?3600")).collect();
    let mut stubborn = begin(&server, "/stubborn");
    let mut head = server.connect();
    head.send("HEAD /waits?3600 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(server.get("/nap?0.1").text(), "ok");
    for client in late.iter_mut().chain([&mut stubborn]) {
        let answer = client.answer().expect_status(504);
        assert!(answer.text().contains("did not answer in time"), "{answer}");
        client.expect_close();
    }
    eventually("all to be ended", || {
        let told = server.get("/told").text().to_owned();
        (told.matches("CancelledError").count() == 21).then_some(()).ok_or(told)
    });
    let line = server.logged("request timed out");
    assert_eq!((&line["request"], &line["answer"]), (&"GET /waits?3600".into(), &"504".into()));
    assert_eq!((&line["status"], &line["limit"]), (&504.into(), &"timeouts.request".into()));
    let stack = line["stack"].as_str().expect("a stack");
    assert!(stack.contains("in get") && stack.contains("in waits") && stack.contains("await nap(seconds)"), "{stack}");
    head.answer_to_head().expect_status(504);
    expect_late(&server, 22);
    expect_in_flight(&server, &[]);
    assert_eq!(server.count("Exception in callback"), 0);
}

#[test]
fn an_answer_that_stops_half_way_is_cut_and_no_client_takes_it_for_whole() {
    let server = site().app("timeouts: {request: 500ms}").serve();
    for target in ["/stalls", "/stalls?framed"] {
        let mut client = begin(&server, target);
        client.head().expect_status(200);
        assert_ne!(client.ending().1, Ending::Silence);
    }
    let mut unframed = server.connect();
    unframed.send("GET /stalls HTTP/1.0\r\n\r\n");
    assert_eq!(unframed.head().expect_status(200).field("content-length"), None);
    assert_eq!(unframed.ending(), (b"begun".to_vec(), Ending::Reset), "an EOF would be its end");
    assert_eq!(server.logged("request timed out")["answer"], "cut");
    expect_late(&server, 3);
}

#[test]
fn whoever_goes_on_is_not_ended() {
    let server = site().app("timeouts: {request: 500ms}").serve();
    let since = Instant::now();
    let mut socket = websocket(&server);
    let mut pieces = begin(&server, "/pieces?6");
    let mut granted = begin(&server, "/extends?5");
    let mut slow = begin(&server, "/stream");
    slow.head();
    slow.turn_deaf(Duration::from_millis(1500));
    assert_eq!(slow.chunks().expect("all of it").len(), LARGE, "its client was waited for, not the handler");
    assert_eq!(pieces.answer().expect_status(200).text(), "piece".repeat(6));
    granted.answer().expect_status(200);
    assert!(since.elapsed() > Duration::from_millis(1400), "each took longer than timeouts.request");
    expect_echo(&mut socket, "still here");
    assert_eq!(server.count("request timed out"), 0);
}

#[test]
fn the_end_of_a_drain_tells_who_waits_still() {
    let server = site().app("timeouts: {drain: 2s}").serve();
    let mut never = begin(&server, "/hold");
    eventually("it to be held", || server.get("/told").text().contains("held").then_some(()));
    server.signal(Signal::SIGTERM);
    never.answer().expect_status(504);
    assert_eq!(server.exit_code(), 0);
    assert_eq!(server.logged("request timed out")["limit"], "timeouts.drain");
    assert!(server.process().session().is_empty(), "a process is left behind");
}
