//! gevent and eventlet: a greenlet for each request.

use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::harness::{Client, Ending, Server, Site, eventually};

/// The engines that have greenlets.
pub const ENGINES: [&str; 2] = ["gevent", "eventlet"];
/// Bytes of `/stream`, and of `/write` but for its end.
const LARGE: usize = 80 * 65536;

fn site(engine: &str) -> Site {
    Site::new("greens:application").engine(engine)
}

fn begin(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

fn begin_all(server: &Server, targets: impl IntoIterator<Item = String>) -> Vec<Client> {
    targets.into_iter().map(|target| begin(server, &target)).collect()
}

/// Waits until the application has told all of this.
fn expect_told(server: &Server, parts: &[&str]) {
    eventually("the application to tell it", || {
        let told = server.get("/told").text().to_owned();
        parts.iter().all(|part| told.contains(part)).then_some(()).ok_or(told)
    });
}

#[test]
fn two_hundred_calls_that_wait_take_as_long_as_one() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let since = Instant::now();
        for mut client in begin_all(&server, (0..200).map(|_| "/nap?0.3".to_owned())) {
            assert_eq!(client.answer().expect_status(200).text(), "ok");
        }
        let took = since.elapsed();
        assert!(took >= Duration::from_millis(290), "it was no nap: {took:?}");
        assert!(took < Duration::from_secs(6), "one after the other takes a minute; this took {took:?}");
    }
}

#[test]
fn what_is_local_to_a_greenlet_is_local_to_its_request() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let clients = begin_all(&server, (0..50).map(|number| format!("/local?{number}")));
        for (number, mut client) in clients.into_iter().enumerate() {
            assert_eq!(client.answer().text(), format!("{number} {number}"));
        }
        let closing = begin_all(&server, (0..10).map(|number| format!("/closing?{number}")));
        for mut client in closing {
            assert_eq!(client.answer().text(), "ab");
        }
        let expected: Vec<String> = (0..10).map(|number| format!("'closed {number} as {number}'")).collect();
        expect_told(&server, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn two_thousand_requests_wait_and_one_more_lets_them_go() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a soft limit can be raised to the hard one");
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut clients = begin_all(&server, (0..2000).map(|_| "/hold".to_owned()));
        eventually("all to be held", || {
            let held = server.get("/held").text().to_owned();
            (held == "2000").then_some(()).ok_or(held)
        });
        let status = server.status();
        let work = &status["apps"][0]["workers"][0]["work"];
        assert_eq!(work["in_flight"].as_array().map(Vec::len), Some(2000), "they are seen from outside");
        server.get("/release").expect_status(200);
        for client in &mut clients {
            assert_eq!(client.answer().text(), "released");
        }
    }
}

#[test]
fn a_killed_worker_costs_what_it_held_and_the_log_tells_of_some() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut clients = begin_all(&server, (0..100).map(|_| "/hold".to_owned()));
        eventually("all to be held", || (server.get("/held").text() == "100").then_some(()));
        server.kill_worker(server.workers()[0]);
        clients.iter_mut().for_each(|client| assert_ne!(client.ending().1, Ending::Silence));
        eventually("another worker to serve", || (server.get("/held").text() == "0").then_some(()));
        let line = server.logged("worker exited").to_string();
        assert_eq!(line.matches("GET /hold").count(), 32, "{line}");
        // Whoever asked may be among them still.
        assert!(line.contains("and 68 more") || line.contains("and 69 more"), "{line}");
    }
}

#[test]
fn slow_readers_of_long_answers_hold_up_nobody() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut readers = begin_all(&server, (0..10).flat_map(|n| [format!("/stream?{n}"), format!("/write?{n}")]));
        // One that reads as fast as it is given, and never has enough.
        let mut greedy = begin(&server, "/endless");
        greedy.head();
        let greedy = thread::spawn(move || (0..200).all(|_| greedy.chunk().is_ok_and(|chunk| !chunk.is_empty())));
        let mut idle = begin(&server, "/empty");
        for _ in 0..50 {
            assert_eq!(server.get("/nap?0.001").text(), "ok");
        }
        assert!(!idle.has_something() || idle.head().status == 200);
        assert!(greedy.join().expect("no client panics"), "the greedy one was served too");
        for (number, client) in readers.iter_mut().enumerate() {
            let length = client.answer().expect_status(200).body.len();
            assert_eq!(length, LARGE + if number % 2 == 0 { 0 } else { b"end".len() });
        }
    }
}

#[test]
fn whoever_leaves_has_his_iterable_closed_in_its_own_greenlet() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut clients = begin_all(&server, ["/stream?seven".to_owned(), "/write?eight".to_owned()]);
        for client in &mut clients {
            client.head();
        }
        clients.into_iter().for_each(Client::reset);
        expect_told(&server, &["seven over as seven", "write raised BrokenPipeError as eight"]);
        eventually("their connections to be gone", || {
            let connections = server.status()["apps"][0]["workers"][0]["work"]["connections"].clone();
            (connections == 0).then_some(()).ok_or(connections)
        });
    }
}

#[test]
fn a_call_that_waits_too_long_is_answered_504_and_ended_alone() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {request: 500ms}").serve();
        let pid = server.get("/pid").text().to_owned();
        let mut late = begin_all(&server, (0..5).map(|_| "/waits?3600".to_owned()));
        assert_eq!(server.get("/nap?0.1").text(), "ok");
        for client in &mut late {
            client.answer().expect_status(504);
            client.expect_close();
        }
        let line = server.logged("request timed out");
        assert_eq!(line["request"], "GET /waits?3600");
        assert!(line["thread"].as_str().is_some_and(|thread| thread.starts_with("greenlet-")), "{line}");
        let stack = line["stack"].as_str().expect("a stack");
        assert!(stack.contains("in waits") && stack.contains("nap(seconds)"), "{stack}");
        eventually("all to be raised out of", || {
            let told = server.get("/told").text().to_owned();
            (told.matches("monoceros.RequestTimeout").count() == 5).then_some(()).ok_or(told)
        });
        eventually("all to return", || {
            let returned = server.count("a request that had timed out has returned");
            (returned == 5).then_some(()).ok_or(returned)
        });
        assert_eq!(server.get("/pid").text(), pid, "the worker lives");
        assert_eq!(server.count("request cannot be ended"), 0);
    }
}

#[test]
fn a_call_that_never_lets_go_of_the_thread_is_ended_alone_too() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {request: 500ms}").serve();
        let pid = server.get("/pid").text().to_owned();
        let mut spins = begin(&server, "/spins");
        spins.answer().expect_status(504);
        assert!(server.logged("request timed out")["stack"].as_str().is_some_and(|stack| stack.contains("in spins")));
        expect_told(&server, &["monoceros.RequestTimeout"]);
        assert_eq!(server.get("/pid").text(), pid, "the worker lives");
    }
}

#[test]
fn while_c_keeps_the_thread_others_are_answered_by_the_clock_and_the_worker_is_replaced() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {request: 1s, queue: 300ms, head: 300ms, keepalive: 300ms}").serve();
        let pid = server.get("/pid").text().to_owned();
        let mut idle = server.connect();
        idle.get("/pid").expect_status(200);
        let mut kept = begin(&server, "/c");
        let mut waits = begin(&server, "/pid");
        let mut half = server.connect();
        half.send("GET / HTTP/1.1\r\nHo");
        waits.answer().expect_status(503);
        half.answer().expect_status(408);
        idle.expect_close();
        kept.answer().expect_status(504);
        server.logged("request cannot be ended");
        eventually("another worker to serve", || (server.get("/pid").text() != pid).then_some(()));
    }
}

#[test]
fn a_thread_that_is_kept_for_too_long_is_seen_by_its_heart() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {heartbeat: 1s}").serve();
        let pid = server.get("/pid").text().to_owned();
        let kept = begin(&server, "/c");
        server.logged("worker silent");
        let stacks = server.logged("stacks of a silent worker").to_string();
        assert!(stacks.contains("in in_c"), "{stacks}");
        eventually("another worker to serve", || (server.get("/pid").text() != pid).then_some(()));
        drop(kept);
    }
}

#[test]
fn more_time_and_early_hints_are_for_the_request_that_asks() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {request: 500ms}").serve();
        let mut granted = begin(&server, "/extend?5");
        let mut late = begin(&server, "/waits?5");
        let hinted = begin_all(&server, (0..5).map(|number| format!("/hints?{number}")));
        for (number, mut client) in hinted.into_iter().enumerate() {
            let hint = client.try_head("GET").expect("a head");
            assert_eq!(hint.status, 103);
            assert_eq!(hint.field("link"), Some(&*format!("</{number}>; rel=preload")));
            client.answer().expect_status(200);
        }
        late.answer().expect_status(504);
        granted.answer().expect_status(200);
    }
}

#[test]
fn an_error_costs_its_own_request_and_stands_in_the_log() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let failing = begin_all(&server, (0..3).map(|number| format!("/raises?error{number}")));
        for mut client in failing {
            client.answer().expect_status(500);
            assert_eq!(client.get("/nap?0").text(), "ok", "its connection goes on");
        }
        let line = server.process().line("ValueError: error2");
        assert!(line.contains("in application"), "{line}");
    }
}

#[test]
fn bodies_children_and_flags_are_as_everywhere() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let body = vec![b'b'; 3_000_000];
        let uploads: Vec<_> = (0..4).map(|_| server.connect()).collect();
        for mut client in uploads {
            let answer = client.post("/upload", &body).expect_status(200);
            assert!(answer.text().starts_with("3000000 "), "{answer}");
        }
        assert_eq!(server.get("/child").text(), "42", "a child runs, and is waited for by the hub");
        assert_eq!(server.get("/environ?wsgi.multithread").text(), "True");
        let mut client = server.connect();
        client.send("GET /nap?0.05 HTTP/1.1\r\nHost: h\r\n\r\nGET /local?2 HTTP/1.1\r\nHost: h\r\n\r\n".repeat(20));
        for _ in 0..20 {
            assert_eq!(client.answer().text(), "ok");
            assert_eq!(client.answer().text(), "2 2", "pipelined answers come in order");
        }
    }
}

#[test]
fn stacks_show_what_each_greenlet_is_at() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut held = begin_all(&server, ["/hold?1".to_owned(), "/hold?2".to_owned()]);
        eventually("both to be held", || (server.get("/held").text() == "2").then_some(()));
        let (status, text) = server.command(&["stacks"]);
        assert_eq!(status, 0, "{text}");
        for number in [1, 2] {
            assert!(text.contains(&format!("GET /hold?{number}, for ")), "{text}");
        }
        assert_eq!(text.matches("in hold").count(), 2, "{text}");
        server.get("/release");
        held.iter_mut().for_each(|client| drop(client.answer().expect_status(200)));
    }
}

#[test]
fn a_stop_finishes_what_waits_and_its_end_tells_the_others() {
    for engine in ENGINES {
        let server = site(engine).app("timeouts: {drain: 2s}").serve();
        let mut soon = begin(&server, "/nap?1");
        let mut never = begin(&server, "/hold");
        let mut slow = begin(&server, "/stream");
        slow.head();
        eventually("it to be held", || (server.get("/held").text() == "1").then_some(()));
        server.signal(Signal::SIGTERM);
        soon.answer().expect_status(200);
        never.answer().expect_status(504);
        assert_ne!(slow.ending().1, Ending::Silence);
        assert_eq!(server.exit_code(), 0);
        assert!(server.process().session().is_empty(), "a process is left behind");
    }
}

#[test]
fn nobody_notices_a_reload_while_calls_wait() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let before = server.get("/pid").text().to_owned();
        let mut idle = server.connect();
        idle.get("/pid").expect_status(200);
        let mut waiting = begin_all(&server, (0..20).map(|_| "/nap?1".to_owned()));
        eventually("all to wait", || {
            let busy = server.status()["apps"][0]["workers"][0]["work"]["in_flight"].as_array().map(Vec::len);
            (busy == Some(20)).then_some(()).ok_or(busy)
        });
        let (status, said) = server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
        eventually("an idle connection to go over", || (idle.get("/pid").text() != before).then_some(()));
        for client in &mut waiting {
            assert_eq!(client.answer().expect_status(200).text(), "ok");
            assert_ne!(client.get("/pid").text(), before, "and goes over when its answer is out");
        }
    }
}

#[test]
fn bodies_that_are_read_while_they_come_hold_up_nobody() {
    for engine in ENGINES {
        let site = Site::new("uploads:application").engine(engine).app("body: stream\ntimeouts: {body: 500ms}");
        let server = site.serve();
        let post = |path: &str, framing: &str| format!("POST /{path} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n");
        let mut echoes: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for client in &mut echoes {
            client.send(post("echo", "Transfer-Encoding: chunked")).send("3\r\none\r\n");
        }
        for client in &mut echoes {
            client.head().expect_status(200);
            assert_eq!(client.chunk().expect("the first piece"), b"one");
        }
        let told = server.connect().post("/whole", &vec![b'x'; 5_000_000]).expect_status(200);
        assert!(told.text().starts_with("5000000 5000000 "), "{told}");
        for client in &mut echoes {
            client.send("3\r\ntwo\r\n0\r\n\r\n");
            assert_eq!(client.chunk().expect("the second piece"), b"two");
            assert_eq!(client.chunk().expect("the end"), b"");
            assert_eq!(client.get("/ignore").text(), "ignored");
        }
        let mut asked = server.connect();
        asked.send(post("whole", "Content-Length: 3\r\nExpect: 100-continue"));
        assert_eq!(asked.take(25).expect("a 100"), b"HTTP/1.1 100 Continue\r\n\r\n");
        asked.send("abc").answer().expect_status(200);
        let mut never = server.connect();
        never.send(post("strict", "Content-Length: 3")).send("a");
        never.answer().expect_status(408);
        let mut broken = server.connect();
        broken.send(post("strict", "Transfer-Encoding: chunked")).send("xyz\r\n");
        broken.answer().expect_status(400);
        let record = server.site().read("record");
        assert!(record.contains("TimeoutError") && record.contains("ConnectionAbortedError"), "{record}");
    }
}

#[test]
fn who_finds_no_place_for_a_greenlet_is_told_to_come_again() {
    for engine in ENGINES {
        let server = site(engine).app("limits: {connections_max: 2}\ntimeouts: {queue: 300ms}").serve();
        let mut held = begin_all(&server, ["/hold".to_owned(), "/hold".to_owned()]);
        // Some are taken beyond the limit, for the wake that was meant for them; they wait for a place.
        let mut beyond = begin(&server, "/nap?0");
        assert_eq!(beyond.answer().expect_status(503).field("retry-after"), Some("2"));
        assert!(!held.iter_mut().any(Client::has_something), "the others have theirs");
    }
}

#[test]
fn a_child_that_naps_is_not_ended_by_what_its_parent_is_at() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let mut napping = begin_all(&server, (0..10).map(|number| format!("/nap?0.{number}1")));
        let mut slow = begin_all(&server, ["/write?1".to_owned(), "/stream?2".to_owned()]);
        slow.iter_mut().for_each(|client| drop(client.head()));
        let mut forking = begin_all(&server, ["/fork?0.5".to_owned(), "/fork?0.3".to_owned()]);
        for client in &mut forking {
            assert_eq!(client.answer().expect_status(200).text(), "7", "what the child says at its end");
        }
        for client in &mut napping {
            assert_eq!(client.answer().expect_status(200).text(), "ok");
            assert_eq!(client.get("/local?1").text(), "1 1", "it was answered once");
        }
        for client in &mut slow {
            assert!(client.chunks().expect("the rest of the answer").len() >= LARGE);
        }
        assert!(!server.process().output().contains("Fatal Python error"), "no child aborts");
    }
}

#[test]
fn an_exit_costs_its_own_request_and_that_of_another_greenlet_none() {
    for engine in ENGINES {
        let server = site(engine).serve();
        let pid = server.get("/pid").text().to_owned();
        let mut napping = begin(&server, "/nap?0.5");
        begin(&server, "/exit").answer().expect_status(500);
        begin(&server, &format!("/exits?{engine}")).answer().expect_status(200);
        let line = server.logged("the application has ended the loop");
        assert!(line["traceback"].as_str().is_some_and(|traceback| traceback.contains("SystemExit")), "{line}");
        assert_eq!(napping.answer().expect_status(200).text(), "ok");
        assert_eq!(server.get("/pid").text(), pid, "the worker lives");
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit_code(), 0);
    }
}
