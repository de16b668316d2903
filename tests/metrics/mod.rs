//! What is told of a server to those who watch it: numbers that are right, that go on over every death, and that no worker is needed for.

pub mod page;
mod prometheus;
mod statsd;

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Client, Process, Server, Site, eventually};
use page::Page;

/// A server that is watched.
struct Watched {
    server: Server,
    address: SocketAddr,
}

impl Watched {
    /// Serves the site, watched at an address of its own.
    fn serve(site: Site) -> Watched {
        let watched = Watched::launch(site);
        watched.server.wait_until_serving();
        watched
    }

    /// Starts it and waits for nothing.
    fn launch(site: Site) -> Watched {
        let address = site.another_address();
        let server = site.top(&format!("metrics: {address}")).launch();
        Watched { server, address }
    }

    fn page(&self) -> Page {
        Page::ask(self.address)
    }

    /// What `/ready` is answered with, once somebody answers.
    fn ready(&self) -> (u16, String) {
        eventually("the endpoint", || Client::try_connect(self.address));
        let answer = Client::connect(self.address).get("/ready");
        (answer.status, answer.text().to_owned())
    }

    /// The page, once this holds.
    fn until(&self, what: &str, holds: impl Fn(&Page) -> bool) -> Page {
        eventually(what, || {
            let page = self.page();
            if holds(&page) { Ok(page) } else { Err(page.text) }
        })
    }
}

#[test]
fn exceptions_that_the_application_lets_through_are_counted_in_every_engine() {
    for engine in ["threads", "gevent", "eventlet", "tornado"] {
        let watched = Watched::serve(Site::new("answers:application").engine(engine));
        watched.server.get("/raises_before").expect_status(500);
        watched.server.get("/raises_before").expect_status(500);
        let page = watched.until("both", |page| page.of("exceptions_total", "") == 2.0);
        assert_eq!(page.of("log_lines_total", "level=\"error\""), 2.0, "{engine}: an exception is an error too");
    }
}

#[test]
fn requests_are_counted_by_what_they_were_answered_and_how_long_they_took() {
    let watched = Watched::serve(Site::new("calls:application").app("threads: 2\ntimeouts: {request: 400ms}"));
    let server = &watched.server;
    for _ in 0..7 {
        server.get("/pid").expect_status(200);
    }
    server.get("/busy?300").expect_status(200);
    server.connect().send("GET / HTTP/1.1\r\n\r\n").answer().expect_status(400);
    server.get("/raised").expect_status(504);
    let page = watched.until("the last to be counted, and told of", |page| {
        page.of("requests_total", "class=\"5xx\"") == 1.0 && page.of("log_lines_total", "level=\"warning\"") >= 1.0
    });
    assert_eq!(page.of("requests_total", "class=\"2xx\""), 8.0);
    assert_eq!(page.of("requests_total", "class=\"4xx\""), 1.0);
    assert_eq!((page.of("requests_refused_total", ""), page.of("requests_timed_out_total", "")), (1.0, 1.0));
    assert_eq!(
        page.of("request_duration_seconds_count", ""),
        9.0,
        "what was refused took no time of the application's"
    );
    assert_eq!(page.of("request_duration_seconds_bucket", "le=\"0.25\""), 7.0);
    assert_eq!(page.of("request_duration_seconds_bucket", "le=\"+Inf\""), 9.0);
    let seconds = page.of("request_duration_seconds_sum", "");
    assert!((0.7..5.0).contains(&seconds), "{seconds}");
    assert_eq!(page.of("request_queue_seconds_count", ""), 9.0);
    assert!(page.of("gil_wait_seconds_count", "") >= 7.0, "{}", page.text);
    assert_eq!(page.of("connections_accepted_total", ""), 10.0);
}

#[test]
fn every_engine_counts_each_request_once_however_slowly_its_answer_is_taken() {
    for engine in ["threads", "gevent", "eventlet", "tornado"] {
        let watched = Watched::serve(Site::new("calls:application").engine(engine).app("timeouts: {request: 5s}"));
        let server = &watched.server;
        let mut slow: Vec<Client> = (0..3).map(|_| server.connect()).collect();
        for client in &mut slow {
            client.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for _ in 0..5 {
            server.get("/pid").expect_status(200);
        }
        for client in &mut slow {
            assert_eq!(client.answer().expect_status(200).body.len(), 64 << 18, "{engine}");
        }
        drop(slow);
        let mut leaves = server.connect();
        leaves.send("GET /large HTTP/1.1\r\nHost: h\r\n\r\n").head();
        leaves.reset();
        let page = watched.until("all to be counted", |page| page.of("requests_total", "class=\"2xx\"") >= 9.0);
        assert_eq!(page.of("requests_total", "class=\"2xx\""), 9.0, "{engine}: who left in the middle had a 200");
        assert_eq!(page.of("request_duration_seconds_count", ""), 9.0, "{engine}");
        assert_eq!(page.of("request_queue_seconds_count", ""), 9.0, "{engine}");
        assert_eq!(page.of("log_lines_total", "level=\"error\""), 0.0, "{engine}");
        watched.until("nobody to be left", |page| page.of("connections", "") == 0.0);
    }
}

#[test]
fn an_application_of_tornados_own_is_counted_as_any_other() {
    let site = Site::new("native:application").engine("tornado").app("timeouts: {request: 500ms}");
    let watched = Watched::serve(site);
    let server = &watched.server;
    (0..3).for_each(|_| drop(server.get("/nap?0.3").expect_status(200)));
    server.get("/raises?x").expect_status(500);
    server.get("/waits?3600").expect_status(504);
    let mut held = server.connect();
    held.send("GET /extends?30 HTTP/1.1\r\nHost: h\r\n\r\n");
    watched.until("one to be under way", |page| {
        page.of("requests_in_flight", "") == 1.0 && page.of("threads_busy", "") == 1.0
    });
    held.reset();
    let page = watched.until("all to be counted", |page| page.of("requests_total", "class=\"4xx\"") == 1.0);
    assert_eq!((page.of("requests_total", "class=\"2xx\""), page.of("requests_total", "class=\"5xx\"")), (3.0, 2.0));
    assert_eq!((page.of("requests_timed_out_total", ""), page.of("requests_in_flight", "")), (1.0, 0.0));
    assert_eq!(page.of("request_duration_seconds_count", ""), 6.0);
    let seconds = page.of("request_duration_seconds_sum", "");
    assert!((1.4..10.0).contains(&seconds), "{seconds}");
}

#[test]
fn a_worker_whose_python_stands_still_is_told_of_all_the_same() {
    let watched =
        Watched::serve(Site::new("calls:application").app("threads: 2\ntimeouts: {request: 1m, heartbeat: 1m}"));
    let server = &watched.server;
    let mut held = server.connect();
    held.send("GET /gil?4000 HTTP/1.1\r\nHost: h\r\n\r\n");
    watched.until("the call to begin", |page| page.of("threads_busy", "") == 1.0);
    let mut others: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut others {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    // The numbers of one page are seen one after the other.
    let page = watched.until("the others to wait", |page| {
        let waiting = page.of("threads_awaiting_gil", "") == 1.0 && page.of("requests_queued", "") >= 2.0;
        waiting && page.of("connections", "") == 4.0 && page.of("requests_in_flight", "") >= 4.0
    });
    assert_eq!(page.of("threads", ""), 2.0);
    let oldest = watched.until("it to grow old", |page| page.of("oldest_request_seconds", "") > 0.5);
    assert_eq!(oldest.of("ready", ""), 1.0, "it serves, as far as anybody can see");
    held.answer().expect_status(200);
    for client in &mut others {
        client.answer().expect_status(200);
    }
    let page = watched.until("all to be answered", |page| page.of("requests_total", "class=\"2xx\"") == 4.0);
    let waited = page.of("request_queue_seconds_sum", "") + page.of("gil_wait_seconds_sum", "");
    assert!(waited > 0.5, "somebody has waited, for a thread or for the GIL: {}", page.text);
    assert_eq!((page.of("requests_in_flight", ""), page.of("requests_queued", "")), (0.0, 0.0));
}

#[test]
fn a_static_file_is_served_and_counted_while_every_thread_is_in_a_call() {
    let site = Site::new("calls:application").app("static: {/static: ./files}\ntimeouts: {request: 1m}");
    std::fs::create_dir(site.path("files")).expect("a folder can be made");
    let watched = Watched::serve(site.file("files/a.css", "body {}\n"));
    let mut stuck = watched.server.connect();
    stuck.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    watched.until("the call to begin", |page| page.of("threads_busy", "") == 1.0);
    watched.server.get("/static/a.css").expect_status(200);
    assert_eq!(watched.page().of("requests_total", "class=\"2xx\""), 1.0);
    watched.server.site().put("open", "");
    stuck.answer().expect_status(200);
    watched.until("both", |page| page.of("requests_total", "class=\"2xx\"") == 2.0);
    assert_eq!(watched.page().of("worker_restarts_total", "cause=\"crash\""), 0.0);
}

/// Kills a worker that serves.
fn kill_one(server: &Server) {
    let workers = server.status()["apps"][0]["workers"].as_array().cloned().unwrap_or_default();
    let serving = workers.iter().find(|worker| worker["state"] == "serving").expect("some worker serves");
    server.kill_worker(serving["pid"].as_i64().expect("it is a process") as i32);
}

/// Fails unless nothing that only grows has gone back.
fn expect_no_way_back(before: &Page, after: &Page) {
    for (series, value) in before.samples.iter().filter(|(series, _)| Page::only_grows(series)) {
        let now = after.samples.get(series).copied().unwrap_or(-1.0);
        assert!(now >= *value, "{series} went from {value} to {now}");
    }
}

#[test]
fn what_was_counted_outlives_workers_reloads_and_supervisors() {
    let site = Site::new("deployed:application").file("deploy.py", "VERSION = 1\n").app("workers: 2\nthreads: 2");
    let watched = Watched::serve(site);
    let server = &watched.server;
    let mut asked = 0.0;
    let mut last = watched.page();
    let mut ask = |last: &mut Page| {
        for _ in 0..9 {
            server.get("/").expect_status(200);
        }
        asked += 9.0;
        let now = watched.until("all to be counted", |page| page.of("requests_total", "class=\"2xx\"") == asked);
        assert_eq!(now.of("request_duration_seconds_count", ""), asked);
        assert_eq!(now.of("connections_accepted_total", ""), asked);
        expect_no_way_back(last, &now);
        *last = now;
    };
    ask(&mut last);
    kill_one(server);
    ask(&mut last);
    assert_eq!(watched.page().of("worker_restarts_total", "cause=\"crash\""), 1.0);
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    ask(&mut last);
    server.site().put("deploy.py", "VERSION = \n");
    assert_eq!(server.command(&["reload", "--wait"]).0, 1);
    ask(&mut last);
    assert_eq!(last.of("reloads_total", "outcome=\"adopted\""), 1.0);
    assert_eq!((last.of("reloads_total", "outcome=\"abandoned\""), last.of("last_reload_success", "")), (1.0, 0.0));
    server.site().put("deploy.py", "VERSION = 2\n");
    let mut scraper = Client::connect(watched.address);
    scraper.get("/live").expect_status(200);
    assert_eq!(server.command(&["upgrade"]).0, 0);
    ask(&mut last);
    // What a worker has counted that ends while there is no supervisor is lost, and nothing else.
    eventually("the old workers to be gone", || (server.workers().len() == 2).then_some(()));
    server.signal(Signal::SIGKILL);
    server.process().wait("the supervisor to be gone", |_, status| status.map(|_| ()));
    let next: Process = server.site().supervisor(&["run", "-c", "server.yaml"]);
    next.line("workers of an earlier supervisor are taken over");
    eventually("the endpoint", || Client::try_connect(watched.address));
    ask(&mut last);
    next.signal(Signal::SIGTERM);
    assert_eq!(next.exit_code(), 0);
}

#[test]
fn a_server_is_ready_from_its_first_worker_on_until_it_is_told_to_stop() {
    let site = Site::new("deployed:application")
        .file("deploy.py", "import os, time\nwhile not os.path.exists('go'): pass\nVERSION = 1\n");
    let watched = Watched::launch(site.app("timeouts: {drain_delay: 1m}"));
    assert_eq!(watched.ready(), (503, "main: starting\n".to_owned()));
    assert_eq!(Client::connect(watched.address).get("/live").expect_status(200).text(), "live\n");
    watched.server.site().put("go", "");
    watched.server.wait_until_serving();
    assert_eq!(watched.ready(), (200, "ready\n".to_owned()));
    watched.server.signal(Signal::SIGTERM);
    eventually("it to stop", || (watched.ready() == (503, "the server stops\n".to_owned())).then_some(()));
    watched.server.get("/").expect_status(200);
    assert_eq!(Client::connect(watched.address).get("/live").status, 200);
    assert_eq!(watched.page().of("state", "state=\"stopping\""), 1.0);
    watched.server.signal(Signal::SIGTERM);
    assert_eq!(watched.server.exit_code(), 0);
}

#[test]
fn an_application_that_cannot_be_loaded_is_not_ready_and_says_why() {
    let watched = Watched::launch(Site::new("nosuch:application"));
    let (status, why) = eventually("the apology", || {
        let (status, text) = watched.ready();
        text.contains("broken").then_some((status, text.clone())).ok_or(text)
    });
    assert!(status == 503 && why.starts_with("main: broken: ") && why.contains("No module named 'nosuch'"), "{why}");
    watched.server.get("/").expect_status(503);
    let page = watched.until("the 503", |page| page.of("requests_total", "class=\"5xx\"") == 1.0);
    assert_eq!((page.of("ready", ""), page.of("workers", "state=\"apologising\"")), (0.0, 1.0));
}

#[test]
fn an_address_that_is_taken_fails_the_start_and_the_reload_that_wants_it() {
    let site = Site::new("deployed:application").file("deploy.py", "VERSION = 1\n");
    let taken = std::net::TcpListener::bind(site.another_address()).expect("it is ours");
    let taken_at = taken.local_addr().expect("it has one");
    let server = site.serve();
    let yaml = server.site().read("server.yaml");
    server.site().put("server.yaml", &format!("metrics: {taken_at}\n{yaml}"));
    let (code, told) = server.command(&["reload", "--wait"]);
    assert!(code == 1 && told.contains(&format!("cannot bind {taken_at}: Address already in use")), "{told}");
    assert_eq!(server.status()["generation"], 1);
    // Another file's server, which cannot have the address either.
    server.site().put("other.yaml", &server.site().read("server.yaml").replace("listen: 127", "listen: unix:s # 127"));
    let other = server.site().supervisor(&["run", "-c", "other.yaml"]);
    assert_eq!(other.exit_code(), 1);
    other.line(&format!("cannot bind {taken_at}: Address already in use"));
    assert!(!server.site().path("s").exists(), "the listener is closed again");
    drop(taken);
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    Client::connect(taken_at).get("/ready").expect_status(200);
    // On the same port, wider and narrower again: nobody else can have it meanwhile or afterwards.
    for host in ["0.0.0.0".to_owned(), taken_at.ip().to_string()] {
        server.site().put("server.yaml", &format!("metrics: {host}:{}\n{yaml}", taken_at.port()));
        let (code, told) = server.command(&["reload", "--wait"]);
        assert_eq!(code, 0, "{host}: {told}");
        Client::connect(taken_at).get("/ready").expect_status(200);
        std::net::TcpListener::bind(taken_at).expect_err("it is taken");
    }
    server.site().put("server.yaml", &yaml);
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    eventually("nobody to listen there", || Client::try_connect(taken_at).is_err().then_some(()));
    // At a check the file alone is looked at.
    server.site().put("server.yaml", &format!("metrics: {}\n{yaml}", server.address()));
    let (code, told) = server.command(&["check"]);
    assert!(code == 2 && told.contains("duplicate address"), "{told}");
}

#[test]
fn a_unix_socket_can_be_asked_and_is_gone_with_its_server() {
    let site = Site::new("gate:application").top("metrics: unix:metrics.sock");
    let server = site.serve();
    let path = server.site().path("metrics.sock");
    let ask = |target: &str| Client::connect_unix(&path).get(target);
    ask("/ready").expect_status(200);
    assert!(ask("/metrics").text().contains("\nmonoceros_ready 1\n"));
    ask("/nosuch").expect_status(404);
    assert_eq!(server.command(&["upgrade"]).0, 0);
    ask("/ready").expect_status(200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(!path.exists());
}

#[test]
fn clients_that_wait_to_be_accepted_are_seen() {
    let watched =
        Watched::serve(Site::new("calls:application").app("limits: {connections_max: 1}\ntimeouts: {request: 1m}"));
    let mut stuck = watched.server.connect();
    stuck.send("GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    watched.until("the call to begin", |page| page.of("threads_busy", "") == 1.0);
    let mut waiting: Vec<Client> = (0..3).map(|_| watched.server.connect()).collect();
    let page = watched.until("them to wait", |page| page.of("listener_backlog", "") >= 2.0);
    assert!(page.of("listener_backlog_limit", "") >= 128.0, "{}", page.text);
    watched.server.site().put("open", "");
    stuck.get("/pid").expect_status(200);
    drop(stuck);
    for client in &mut waiting {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").answer().expect_status(200);
    }
    watched.until("none to wait", |page| page.of("listener_backlog", "") == 0.0);
}

#[test]
fn strangers_at_the_endpoint_hold_up_nobody() {
    let watched = Watched::serve(Site::new("gate:application"));
    let address = watched.address;
    let mut idle: Vec<Client> = (0..50).filter_map(|_| Client::try_connect(address).ok()).collect();
    for (index, client) in idle.iter_mut().enumerate() {
        let bytes: &[u8] = if index % 2 == 0 { b"GET /metr" } else { b"GET /metrics HTTP/1.1\r\n\r\n" };
        // Those that came first were pushed out by the last.
        let _ = client.try_send(bytes);
    }
    let flood = thread::spawn(move || {
        for _ in 0..200 {
            if let Ok(mut client) = Client::try_connect(address) {
                let _ = client.try_send(vec![b'x'; 20_000]);
            }
        }
    });
    for _ in 0..20 {
        assert_eq!(watched.page().of("ready", ""), 1.0);
        watched.server.get("/pid").expect_status(200);
    }
    flood.join().expect("the flood ends");
    let mut post = Client::connect(address);
    post.set_patience(Duration::from_secs(10));
    assert_eq!(post.post("/metrics", b"x=1").status, 405);
    let (state, code) = (watched.server.status()["state"].clone(), watched.server.command(&["status"]).0);
    assert_eq!((state, code), ("serving".into(), 0));
}
