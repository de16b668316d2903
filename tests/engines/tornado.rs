//! A WSGI application on tornado's IOLoop: one call at a time, and everything that an engine promises.

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, Site, eventually};

fn site() -> Site {
    Site::new("greens:application").engine("tornado")
}

fn begin(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

#[test]
fn calls_run_on_the_loop_and_what_they_leave_there_runs_too() {
    let code = "from tornado.ioloop import IOLoop\nran = []\n\n\ndef application(environ, start_response):\n    \
        IOLoop.current().add_callback(ran.append, environ['PATH_INFO'])\n    start_response('200 OK', [])\n    \
        return [repr((ran, environ['wsgi.multithread'])).encode()]\n";
    let site = Site::new("looped:application").file("looped.py", code).engine("tornado");
    let server = site.serve();
    server.get("/1").expect_status(200);
    eventually("the callback to have run", || {
        let text = server.get("/2").text().to_owned();
        text.starts_with("(['/1'").then_some(()).ok_or(text)
    });
    assert!(server.get("/3").text().ends_with("False)"), "one call at a time");
}

#[test]
fn slow_readers_and_large_bodies_hold_up_nobody() {
    let server = site().serve();
    let mut readers: Vec<Client> = (0..5).map(|number| begin(&server, &format!("/stream?{number}"))).collect();
    let mut greedy = begin(&server, "/endless");
    greedy.head();
    for _ in 0..20 {
        assert_eq!(server.get("/nap?0").text(), "ok");
    }
    let body = vec![b'b'; 3_000_000];
    assert!(server.connect().post("/upload", &body).text().starts_with("3000000 "));
    for client in &mut readers {
        assert_eq!(client.answer().body.len(), 80 * 65536);
    }
}

#[test]
fn a_call_that_takes_too_long_is_ended_and_others_wait_for_it_by_the_clock() {
    let server = site().app("timeouts: {request: 1s, queue: 300ms, head: 300ms}").serve();
    let pid = server.get("/pid").text().to_owned();
    let mut spins = begin(&server, "/spins");
    let mut waits = begin(&server, "/pid");
    let mut half = server.connect();
    half.send("GET / HTTP/1.1\r\nHo");
    waits.answer().expect_status(503);
    half.answer().expect_status(408);
    spins.answer().expect_status(504);
    eventually("the call to be raised out of", || {
        let told = server.get("/told").text().to_owned();
        told.contains("monoceros.RequestTimeout").then_some(()).ok_or(told)
    });
    assert_eq!(server.get("/pid").text(), pid, "the worker lives");
    let mut kept = begin(&server, "/c");
    kept.answer().expect_status(504);
    server.logged("request cannot be ended");
    eventually("another worker to serve", || (server.get("/pid").text() != pid).then_some(()));
}

#[test]
fn a_long_call_within_its_time_is_no_sign_of_death() {
    let server = site().app("timeouts: {heartbeat: 1s}").serve();
    let pid = server.get("/pid").text().to_owned();
    assert_eq!(server.get("/nap?2.5").text(), "ok");
    assert_eq!(server.get("/pid").text(), pid, "the worker lives");
    assert_eq!(server.count("worker silent"), 0);
}

#[test]
fn a_loop_that_a_callback_keeps_is_seen_by_its_heart() {
    let code = "import os\nfrom tornado.ioloop import IOLoop\n\n\ndef keep():\n    while True:\n        pass\n\n\n\
        def application(environ, start_response):\n    if environ['PATH_INFO'] == '/keep':\n        \
        IOLoop.current().add_callback(keep)\n    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n";
    let site = Site::new("kept:application").file("kept.py", code).engine("tornado");
    let server = site.app("timeouts: {heartbeat: 1s}").serve();
    let pid = server.get("/keep").text().to_owned();
    server.logged("worker silent");
    assert!(server.logged("stacks of a silent worker").to_string().contains("in keep"));
    eventually("another worker to serve", || (server.get("/pid").text() != pid).then_some(()));
}

#[test]
fn a_reload_hands_connections_over_and_a_stop_finishes() {
    let server = site().serve();
    let before = server.get("/pid").text().to_owned();
    let mut idle = server.connect();
    idle.get("/pid").expect_status(200);
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    eventually("the connection to go over", || (idle.get("/pid").text() != before).then_some(()));
    let mut soon = begin(&server, "/nap?0.5");
    eventually("it to be called", || {
        let busy = server.status()["apps"][0]["workers"][0]["work"]["in_flight"].as_array().map(Vec::len);
        (busy == Some(1)).then_some(()).ok_or(busy)
    });
    server.signal(Signal::SIGTERM);
    soon.answer().expect_status(200);
    assert_eq!(server.exit_code(), 0);
}
