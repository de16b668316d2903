//! Sentry's middleware: contexts of threads, a thread in the background, iterables that are wrapped, a flush at exit.

use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Client, Ending, Process, Server, python};

use super::tour::site;

/// A server that reports, and whom it reports to.
fn served() -> (Process, Server) {
    let site = site("reported:application");
    let sentry = Process::start::<&str>(&python(), &["sentry.py"], &site.path(""), &[]);
    let port = sentry.line("port ").split(' ').nth(1).expect("a number").to_owned();
    let server = site.variable("SENTRY_DSN", &format!("http://key@127.0.0.1:{port}/1")).app("threads: 4").serve();
    (sentry, server)
}

/// The event that says this.
fn event(sentry: &Process, part: &str) -> Value {
    serde_json::from_str(&sentry.line(part)).expect("an event is JSON")
}

#[test]
fn an_error_is_reported_with_its_request_and_answered_as_ever() {
    let (sentry, server) = served();
    server.get("/boom?a=1").expect_status(500);
    let event = event(&sentry, "early");
    assert_eq!(event["exception"]["values"][0]["type"], "RuntimeError");
    let url = event["request"]["url"].as_str().expect("it has the request");
    assert!(url.ends_with("/boom") && event["request"]["query_string"] == "a=1", "{event}");
    server.get("/").expect_status(200);
}

#[test]
fn an_error_behind_the_first_bytes_is_reported_and_the_answer_is_cut() {
    let (sentry, server) = served();
    let mut client = server.connect();
    client.send("GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
    let (_, ending): (Vec<u8>, Ending) = client.ending();
    assert!(matches!(ending, Ending::Eof | Ending::Reset), "{ending:?}");
    assert_eq!(event(&sentry, "late")["exception"]["values"][0]["value"], "late");
}

#[test]
fn what_two_threads_say_at_once_is_not_mixed() {
    let (sentry, server) = served();
    let address = server.address();
    let clients: Vec<_> = ["/tagged/one", "/tagged/two"]
        .map(|path| thread::spawn(move || Client::connect(address).get(path).expect_status(200)))
        .into();
    clients.into_iter().for_each(|client| drop(client.join().expect("a client is answered")));
    for path in ["/tagged/one", "/tagged/two"] {
        let event = event(&sentry, &format!("\"message\": \"{path}\""));
        assert_eq!(event["tags"]["who"], path, "{event}");
    }
}

#[test]
fn what_is_said_last_is_sent_before_a_worker_exits() {
    let (sentry, server) = served();
    server.get("/parting").expect_status(200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    event(&sentry, "a parting word");
}
