//! More requests than threads: who waits, who is sent away, who is not served any more; and bodies that hardly come.

use std::time::Duration;

use crate::fairness::queued;
use crate::harness::{Client, Server, Site, eventually};

const REQUEST: &str = "GET /later HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One thread, which waits in a call until it is opened.
fn held(more: &str) -> (Server, Client) {
    let server = Site::new("turnstile:application").app(&format!("threads: 1\n{more}")).serve();
    let mut holder = server.connect();
    holder.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    eventually("the call", || (server.site().read("calls") == "/wait\n").then_some(()));
    (server, holder)
}

fn open(server: &Server) {
    server.site().put("open", "");
}

#[test]
fn more_requests_than_may_wait_are_sent_away_at_once_and_the_others_served() {
    let (server, mut holder) = held("limits: {queue_max: 2}");
    let mut all: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    let mut waiting = Vec::new();
    for client in &mut all {
        client.send(REQUEST);
        // They come in order, so that it is known who waits.
        if waiting.len() < 2 {
            let before = client.pause(Duration::from_millis(50));
            assert!(before.is_ok(), "nobody is free: {before:?}");
            waiting.push(());
            continue;
        }
        let answer = client.answer().expect_status(503);
        assert_eq!((answer.field("retry-after"), answer.says_close()), (Some("2"), true), "{answer}");
        client.expect_close();
    }
    open(&server);
    holder.answer().expect_status(200);
    all.iter_mut().take(2).for_each(|client| assert_eq!(client.answer().text(), "/later"));
    assert_eq!(server.get("/again").text(), "/again");
}

#[test]
fn a_request_that_waits_too_long_is_told_to_come_again_and_never_run() {
    let (server, mut holder) = held("timeouts: {queue: 300ms}");
    let mut client = server.connect();
    let answer = client.send(REQUEST).answer().expect_status(503);
    assert_eq!(answer.field("retry-after"), Some("2"));
    open(&server);
    holder.answer().expect_status(200);
    server.get("/again");
    assert_eq!(server.site().read("calls"), "/wait\n/again\n");
}

#[test]
fn who_has_his_answer_is_heard_again_though_others_wait_for_the_thread() {
    let (server, mut holder) = held("");
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    let wait = "GET /wait/second HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (number, (client, request)) in (1..).zip(clients.iter_mut().zip([REQUEST, wait, REQUEST])) {
        client.send(request);
        eventually("it to wait", || (queued(&server) == number).then_some(()));
    }
    open(&server);
    holder.answer().expect_status(200);
    assert_eq!(clients[0].answer().text(), "/later");
    // The thread is in a call again, and somebody waits for it.
    clients[0].send(REQUEST);
    eventually("its next request to wait too", || (queued(&server) == 2).then_some(()).ok_or(queued(&server)));
    server.site().put("second", "");
    clients.iter_mut().for_each(|client| drop(client.answer().expect_status(200)));
}

#[test]
fn a_request_whose_client_has_left_is_not_run() {
    let (server, mut holder) = held("");
    let (mut left, mut stays) = (server.connect(), server.connect());
    left.send("GET /left HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stays.send(REQUEST);
    // Longer than it takes until the server looks whether somebody is there.
    stays.pause(Duration::from_millis(400)).expect("nobody is free");
    left.reset();
    open(&server);
    holder.answer().expect_status(200);
    assert_eq!(stays.answer().text(), "/later");
    assert_eq!(server.site().read("calls"), "/wait\n/later\n");
}

/// Sends a body in so many pieces of ten bytes, with a little time between them.
fn trickle(client: &mut Client, pieces: usize) {
    client.send(format!("POST /body HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", pieces * 10));
    for _ in 0..pieces {
        if client.pause(Duration::from_millis(100)).is_err() || client.try_send("0123456789").is_err() {
            return;
        }
    }
}

#[test]
fn a_body_that_comes_too_slowly_is_refused_though_it_never_stops() {
    let times = "timeouts: {body: 500ms}";
    let serve = |rate: &str| {
        Site::new("turnstile:application").app(&format!("{times}\nlimits: {{body_rate_min: {rate}}}")).serve()
    };
    let strict = serve("1KiB");
    let mut client = strict.connect();
    trickle(&mut client, 60);
    client.answer().expect_status(408);
    assert_eq!(strict.site().read("calls"), "");
    let lenient = serve("20B");
    let mut client = lenient.connect();
    trickle(&mut client, 12);
    assert_eq!(client.answer().expect_status(200).body.len(), "/body".len() + 120);
}

#[test]
fn there_are_as_many_threads_as_calls_that_wait_and_no_more_than_the_config_says() {
    let server = Site::new("turnstile:application").app("threads: {min: 1, max: 3}").serve();
    (0..100).for_each(|_| drop(server.get("/quick").expect_status(200)));
    assert_eq!(server.count("one thread more"), 0, "one was enough");
    let before = server.site().read("calls").lines().count();
    let mut clients: Vec<Client> = (0..4).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    eventually("three calls at once", || {
        let calls = server.site().read("calls").lines().count() - before;
        (calls == 3).then_some(()).ok_or(calls)
    });
    eventually("a line for each of two threads", || {
        let count = server.count("one thread more");
        (count == 2).then_some(()).ok_or(count)
    });
    open(&server);
    for client in &mut clients {
        client.answer().expect_status(200);
    }
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0, "those that were hired end too");
}

#[test]
fn threads_take_their_turns_as_often_as_the_config_says() {
    let code = "import sys\n\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    \
        return [str(sys.getswitchinterval()).encode()]\n";
    for (line, expected) in [("switch_interval: 20ms", "0.02"), ("threads: 2", "0.005")] {
        let server = Site::new("turns:application").file("turns.py", code).app(line).serve();
        assert_eq!(server.get("/").text(), expected);
    }
}
