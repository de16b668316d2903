//! The engines that need a package: what every engine promises holds in each, and what each is chosen for.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::harness::{Ending, Site, eventually};

mod database;
mod greenlets;
mod handlers;
mod missing;
mod native;
mod tornado;

/// Each engine that needs a package.
const ENGINES: [&str; 3] = ["gevent", "eventlet", "tornado"];
/// Much less than what a worker whose loop waits for nothing would sleep.
const SOON: Duration = Duration::from_secs(4);

#[test]
fn head_body_keepalive_and_write_mean_the_same_on_every_loop() {
    for engine in ENGINES {
        let site = Site::new("greens:application").engine(engine);
        let server = site.app("timeouts: {head: 300ms, body: 300ms, keepalive: 300ms, write: 300ms}").serve();
        let since = Instant::now();
        let mut head = server.connect();
        head.send("GET / HTTP/1.1\r\nHo");
        head.answer().expect_status(408);
        let mut body = server.connect();
        body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n1");
        body.answer().expect_status(408);
        let mut idle = server.connect();
        idle.get("/pid").expect_status(200);
        idle.expect_close();
        let mut deaf = ["/stream?deaf", "/write?deaf"].map(|target| {
            let mut client = server.connect();
            client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
            client
        });
        eventually("both answers to be cut", || {
            let told = server.get("/told").text().to_owned();
            let cut = told.contains("deaf over") && told.contains("write raised TimeoutError");
            cut.then_some(()).ok_or(told)
        });
        deaf.iter_mut().for_each(|client| assert_ne!(client.ending().1, Ending::Silence));
        assert!(since.elapsed() < SOON + SOON, "{engine}: it took {:?}", since.elapsed());
    }
}

#[test]
fn a_stop_waits_for_an_idle_client_no_longer_than_elsewhere() {
    for engine in ENGINES {
        let server = Site::new("greens:application").engine(engine).serve();
        let mut idle = server.connect();
        idle.get("/pid").expect_status(200);
        let mut soon = server.connect();
        soon.send("GET /nap?0.3 HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("it to be called", || {
            let busy = server.status()["apps"][0]["workers"][0]["work"]["in_flight"].as_array().map(Vec::len);
            (busy == Some(1)).then_some(()).ok_or(busy)
        });
        let since = Instant::now();
        server.signal(Signal::SIGTERM);
        soon.answer().expect_status(200);
        idle.expect_close();
        soon.expect_close();
        drop((idle, soon));
        assert_eq!(server.exit_code(), 0);
        assert!(since.elapsed() < SOON, "{engine}: it took {:?}", since.elapsed());
    }
}

#[test]
fn a_worker_whose_supervisor_was_killed_serves_on_and_gets_another() {
    for engine in ENGINES {
        let server = Site::new("greens:application").engine(engine).serve();
        let pid = server.get("/pid").text().to_owned();
        let mut idle = server.connect();
        idle.get("/pid").expect_status(200);
        let mut napping = server.connect();
        napping.send("GET /nap?1 HTTP/1.1\r\nHost: h\r\n\r\n");
        server.signal(Signal::SIGKILL);
        server.process().wait("the supervisor to be gone", |_, status| status.map(drop));
        let next = server.site().supervisor(&["run", "-c", "server.yaml"]);
        next.line("taken over");
        assert_eq!(napping.answer().expect_status(200).text(), "ok");
        assert_eq!(idle.get("/pid").text(), pid, "the same worker, by the same connection");
        let (status, said) = server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
        eventually("the connection to go over", || (idle.get("/pid").text() != pid).then_some(()));
        let (status, said) = server.command(&["stop"]);
        assert_eq!(status, 0, "{said}");
        assert_eq!(next.exit_code(), 0);
    }
}

#[test]
fn each_request_has_its_access_line_with_what_environ_says() {
    for engine in ENGINES {
        let site = Site::new("greens:application").engine(engine);
        let server = site.top_instead("log: {access: {format: '%(r)s %(s)s [%({wsgi.multithread}e)s]'}}").serve();
        let flag = if engine == "tornado" { "False" } else { "True" };
        for (target, status) in [("/nap?0.01", 200), ("/raises?x", 500), ("/closing?1", 200)] {
            server.get(target).expect_status(status);
            let line = server.process().line(&format!("GET {target} HTTP/1.1 {status}"));
            assert!(line.ends_with(&format!("[{flag}]")), "{line}");
        }
    }
}
