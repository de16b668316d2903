//! An application of tornado's own: coroutines and WebSockets, served by tornado's server on our listeners.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Client, Ending, Server, Site, eventually};

pub fn site() -> Site {
    Site::new("native:application").engine("tornado")
}

pub fn begin(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

/// A WebSocket (RFC 6455 4.1), its handshake done.
pub fn websocket(server: &Server) -> Client {
    let mut client = server.connect();
    client.send(
        "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    let head = client.take_until(b"\r\n\r\n").expect("an answer");
    let head = String::from_utf8_lossy(&head).into_owned();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    client
}

/// Says something short by it, masked (RFC 6455 5.3), and expects it back.
pub fn expect_echo(client: &mut Client, text: &str) {
    let mask = [1, 2, 3, 4];
    let masked = text.bytes().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
    let frame: Vec<u8> = [0x81, 0x80 | text.len() as u8].into_iter().chain(mask).chain(masked).collect();
    client.send(frame);
    let echo = client.take(2 + text.len()).expect("an echo");
    assert_eq!(echo, [&[0x81, text.len() as u8], text.as_bytes()].concat());
}

#[test]
fn handlers_that_wait_do_not_hold_each_other() {
    let server = site().serve();
    let since = Instant::now();
    let mut clients: Vec<Client> = (0..200).map(|_| begin(&server, "/nap?0.3")).collect();
    for client in &mut clients {
        assert_eq!(client.answer().expect_status(200).text(), "ok");
    }
    assert!(since.elapsed() < Duration::from_secs(6), "one after the other takes a minute");
    server.get("/raises?x").expect_status(500);
    assert_eq!(server.connect().post("/upload", &[b'b'; 300_000]).text(), "upload 300000");
    assert_eq!(begin(&server, "/stream").answer().body.len(), 80 * 65536);
    let ticks: usize = server.get("/ticks").text().parse().expect("a number");
    assert!(ticks > 5, "what was hung on the loop at import runs: {ticks}");
}

#[test]
fn its_counts_are_seen_from_outside() {
    let server = site().serve();
    let mut idle = server.connect();
    (0..5).for_each(|_| drop(idle.get("/pid").expect_status(200)));
    let socket = websocket(&server);
    let work = || server.status()["apps"][0]["workers"][0]["work"].clone();
    eventually("the counts", || {
        let work = work();
        (work["requests"] == 6 && work["connections"] == 2).then_some(()).ok_or(work)
    });
    drop((idle, socket));
    eventually("nobody to be there", || {
        let work = work();
        (work["connections"] == 0).then_some(()).ok_or(work)
    });
}

#[test]
fn a_websocket_echoes_through_a_reload_until_the_drain_ends() {
    let server = site().app("timeouts: {drain: 3s}").serve();
    let before = server.get("/pid").text().to_owned();
    let mut socket = websocket(&server);
    expect_echo(&mut socket, "before");
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    expect_echo(&mut socket, "during");
    eventually("new connections to be served by the new worker", || {
        (server.get("/pid").text() != before).then_some(())
    });
    expect_echo(&mut socket, "still");
    assert_eq!(socket.take(4).expect("a close frame"), [0x88, 2 + 15, 0x03, 0xe9], "1001, going away");
    assert_eq!(socket.take(15).expect("its reason"), b"the server ends");
    assert_eq!(socket.ending(), (Vec::new(), Ending::Eof));
    eventually("the old worker to be gone", || (server.workers().len() == 1).then_some(()));
    assert_eq!(server.count("worker killed"), 0);
}

#[test]
fn a_drain_finishes_requests_and_says_close_to_those_who_stay() {
    let server = site().app("timeouts: {drain: 20s}").serve();
    let mut held = begin(&server, "/hold");
    let mut napping = begin(&server, "/nap?1");
    let mut idle = server.connect();
    idle.get("/pid").expect_status(200);
    let mut quiet = server.connect();
    quiet.get("/pid").expect_status(200);
    eventually("one to be held", || server.get("/told").text().contains("held").then_some(()));
    server.signal(Signal::SIGTERM);
    eventually("new connections to be refused", || Client::try_connect(server.address()).is_err().then_some(()));
    let last = idle.get("/release").expect_status(200);
    assert!(last.says_close(), "{last}");
    idle.expect_close();
    for client in [&mut held, &mut napping] {
        let answer = client.answer().expect_status(200);
        assert!(answer.says_close(), "{answer}");
        client.expect_close();
    }
    quiet.expect_close();
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().session().is_empty(), "a process is left behind");
}

#[test]
fn no_request_fails_in_ten_reloads() {
    let server = site().app("workers: 2\ntimeouts: {drain: 5s}").serve();
    let address = server.address();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut answered = 0;
                while answered < 1500 {
                    let answer = client.get("/nap?0.002").expect_status(200);
                    answered += 1;
                    if answer.says_close() {
                        client = Client::connect(address);
                    }
                }
                answered
            })
        })
        .collect();
    for _ in 0..10 {
        let (status, said) = server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
    }
    for client in clients {
        assert_eq!(client.join().expect("no client is denied anything"), 1500);
    }
}

#[test]
fn a_loop_that_is_kept_is_seen_by_its_heart() {
    let server = site().app("timeouts: {heartbeat: 1s}").serve();
    let pid = server.get("/pid").text().to_owned();
    let mut spin = begin(&server, "/spin");
    server.logged("worker silent");
    assert!(server.logged("stacks of a silent worker").to_string().contains("in get"));
    eventually("another worker to serve", || (server.get("/pid").text() != pid).then_some(()));
    let _ = spin.try_answer("GET");
}

#[test]
fn it_is_asked_whether_it_is_ready() {
    let server = site().app("reload: {ready: /pid}").serve();
    server.get("/pid").expect_status(200);
    let site = site().app("reload: {ready: /raises?unready}");
    let process = site.supervisor(&["run", "-c", "server.yaml"]);
    let line = process.line("not ready");
    assert!(line.contains("GET /raises?unready answered 500"), "{line}");
}

#[test]
fn what_its_server_cannot_keep_is_refused() {
    for (more, key) in [("proxy_protocol: true", "proxy_protocol"), ("protocol: scgi", "protocol")] {
        let site = site().listen_with(more);
        let process = site.supervisor(&["check", "-c", "server.yaml"]);
        assert_eq!(process.exit_code(), 2);
        let output = process.whole_output();
        assert!(output.contains(&format!("cannot serve an application of tornado's own with `{key}`")), "{output}");
    }
}

#[test]
fn a_handler_that_exits_or_stops_the_loop_ends_nobody_else() {
    let server = site().serve();
    let pid = server.get("/pid").text().to_owned();
    let mut napping = begin(&server, "/nap?0.5");
    let exits = begin(&server, "/exit");
    server.logged("the application has ended the loop");
    drop(exits);
    server.get("/stop").expect_status(200);
    server.process().line("it was stopped");
    assert_eq!(napping.answer().expect_status(200).text(), "ok");
    assert_eq!(server.get("/pid").text(), pid, "the worker lives");
}

#[test]
fn another_engine_says_which_one_serves_it() {
    let environment = crate::harness::target_folder().join("venv");
    let site = Site::new("native:application").app(&format!("virtualenv: {}", environment.display()));
    let process = site.supervisor(&["check", "-c", "server.yaml"]);
    assert_eq!(process.exit_code(), 2);
    let output = process.whole_output();
    assert!(
        output.contains("native:application: it is an application of tornado's own, which `engine: tornado`"),
        "{output}"
    );
}
