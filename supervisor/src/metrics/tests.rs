//! With real sockets: who is let in and answered, and what slow ones, idle ones and nonsense do to the next scrape (nothing). And what is
//! told of a report that was made by hand.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Stream;
use std::time::{Duration, Instant, SystemTime};

use mio::{Events, Poll};
use monoceros_shared::config::{Address, Statsd};
use monoceros_shared::scoreboard::BUCKETS;
use slog::{Discard, Logger, o};
use tempfile::TempDir;

use super::backlog::Backlog;
use super::counts::{Counts, Times};
use super::endpoint::{self, CLIENTS_MAX, Endpoint};
use super::request::{Method, Request, Then};
use super::{answer, exposition, health, lines};
use crate::control::Ready;
use crate::core::Restarts;
use crate::core::status::Reloads;
use crate::status::{App, Listening, Reload, Report, Request as Running, State, Usage, Work, Worker};

fn worker(state: &str, work: Option<Work>) -> Worker {
    Worker { id: 7, pid: Some(70), generation: 2, state: state.into(), age: 3.0, work }
}

fn app(name: &str) -> App {
    let mut duration = Times { sum_ns: 2_500_000, buckets: vec![0; BUCKETS] };
    (duration.buckets[0], duration.buckets[3]) = (2, 1);
    let counts = Counts {
        accepted: 4,
        requests: 3,
        refused: 1,
        timeouts: 2,
        logged: [0, 5, 6],
        statuses: [(200, 2), (204, 1), (404, 1), (504, 2)].into(),
        duration,
        ..Counts::default()
    };
    let in_flight = vec![Running { line: "GET /slow".into(), age: 2.5 }, Running { line: "GET /".into(), age: 0.5 }];
    let work =
        Work { connections: 9, threads: 4, in_flight, memory: 1000, queued: 3, awaiting_gil: 1, ..Work::default() };
    App {
        name: name.into(),
        state: "serving".into(),
        generation: 2,
        listen: "http://127.0.0.1:8000".into(),
        wanted: 2,
        workers: vec![worker("serving", Some(work.clone())), worker("draining", Some(work)), worker("booting", None)],
        restarts: 2,
        restarts_by: Restarts { crash: 2, recycled: 1, ..Restarts::default() },
        why: String::new(),
        degraded_for: None,
        counts,
        listeners: vec![
            Listening { address: "127.0.0.1:8000".into(), backlog: Some(Backlog { waiting: 3, limit: 128 }) },
            Listening { address: "unix:/a\"b".into(), backlog: None },
        ],
    }
}

fn report() -> Report {
    let last = Reload {
        outcome: "abandoned".into(),
        cause: "signal".into(),
        why: "cannot".into(),
        detail: String::new(),
        age: 20.25,
    };
    Report {
        pid: 42,
        version: "1.2.3".into(),
        config: None,
        state: State::Serving,
        generation: 2,
        age: 100.25,
        apps: vec![app("shop"), app("blog")],
        last_reload: Some(last),
        reloads: Reloads { adopted: 1, abandoned: 3 },
        usage: Usage { started: 1_700_000_000, cpu: 1.5, memory: 77, descriptors: 12, logged: [0, 1, 0] },
    }
}

#[test]
fn each_family_has_its_help_and_its_type_once_and_before_its_samples() {
    let page = exposition::of(&report());
    let mut seen: Vec<&str> = Vec::new();
    let mut current = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap();
            assert!(!seen.contains(&current), "{current} stands there twice");
            assert!(rest.ends_with('.'), "{rest}");
            seen.push(current);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(rest.starts_with(current), "{rest} behind the help of {current}");
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(name == current || base == current, "{line} in {current}");
        }
    }
    assert!(page.ends_with('\n') && seen.len() > 30, "{}", seen.len());
}

#[test]
fn numbers_are_those_of_the_report() {
    let page = exposition::of(&report());
    for line in [
        "monoceros_build_info{version=\"1.2.3\"} 1",
        "process_start_time_seconds 1700000000",
        "process_cpu_seconds_total 1.5",
        "monoceros_state{state=\"serving\"} 1",
        "monoceros_state{state=\"degraded\"} 0",
        "monoceros_reloads_total{outcome=\"abandoned\"} 3",
        "monoceros_last_reload_success 0",
        "monoceros_last_reload_timestamp_seconds 1700000080",
        "monoceros_workers{app=\"shop\",state=\"draining\"} 1",
        "monoceros_workers{app=\"shop\",state=\"killed\"} 0",
        "monoceros_worker_restarts_total{app=\"blog\",cause=\"crash\"} 2",
        "monoceros_workers_memory_bytes{app=\"shop\"} 2000",
        "monoceros_worker_memory_max_bytes{app=\"shop\"} 1000",
        "monoceros_threads{app=\"shop\"} 4",
        "monoceros_threads_busy{app=\"shop\"} 2",
        "monoceros_threads_awaiting_gil{app=\"shop\"} 2",
        "monoceros_requests_in_flight{app=\"shop\"} 12",
        "monoceros_requests_queued{app=\"shop\"} 6",
        "monoceros_oldest_request_seconds{app=\"shop\"} 2.5",
        "monoceros_connections{app=\"shop\"} 18",
        "monoceros_listener_backlog{app=\"shop\",listen=\"127.0.0.1:8000\"} 3",
        "monoceros_requests_total{app=\"shop\",class=\"2xx\"} 3",
        "monoceros_requests_total{app=\"shop\",class=\"1xx\"} 0",
        "monoceros_requests_total{app=\"shop\",class=\"5xx\"} 2",
        "monoceros_requests_refused_total{app=\"shop\"} 1",
        "monoceros_requests_timed_out_total{app=\"shop\"} 2",
        "monoceros_log_lines_total{app=\"shop\",level=\"warning\"} 6",
        "monoceros_supervisor_log_lines_total{level=\"error\"} 1",
        "monoceros_request_duration_seconds_bucket{app=\"shop\",le=\"0.0001\"} 2",
        "monoceros_request_duration_seconds_bucket{app=\"shop\",le=\"0.0005\"} 2",
        "monoceros_request_duration_seconds_bucket{app=\"shop\",le=\"0.001\"} 3",
        "monoceros_request_duration_seconds_bucket{app=\"shop\",le=\"60\"} 3",
        "monoceros_request_duration_seconds_bucket{app=\"shop\",le=\"+Inf\"} 3",
        "monoceros_request_duration_seconds_sum{app=\"shop\"} 0.0025",
        "monoceros_request_duration_seconds_count{app=\"shop\"} 3",
        "monoceros_gil_wait_seconds_count{app=\"shop\"} 0",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    assert!(!page.contains("unix:/a"), "a backlog that nobody knows is told");
}

#[test]
fn the_values_of_labels_are_escaped() {
    let mut report = report();
    report.version = "a\"b\\c\nd".into();
    assert!(exposition::of(&report).contains("{version=\"a\\\"b\\\\c\\nd\"} 1\n"));
}

#[test]
fn a_server_is_ready_while_each_application_is_served_and_nobody_stops_it() {
    let obstacles = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        health::obstacles(&report)
    };
    assert_eq!(obstacles(|_| ()), [""; 0]);
    assert_eq!(obstacles(|report| report.state = State::Degraded), [""; 0], "it serves");
    assert_eq!(obstacles(|report| report.state = State::Stopping), ["the server stops"]);
    assert!(obstacles(|report| report.state = State::Parked)[0].contains("parked"));
    let broken = obstacles(|report| {
        report.apps[1].workers = vec![worker("apologising", None)];
        (report.apps[1].state, report.apps[1].why) = ("broken".into(), "cannot import a:b\nTraceback".into());
    });
    assert_eq!(broken, ["blog: broken: cannot import a:b"]);
}

fn statsd(tags: &[(&str, &str)], prefix: &str) -> Statsd {
    Statsd {
        address: Address::Abstract("nobody".into()),
        prefix: prefix.into(),
        tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        interval: Duration::from_secs(1),
    }
}

#[test]
fn statsd_is_told_what_has_come_by_the_names_that_gunicorn_has() {
    let (before, now) = (report(), {
        let mut now = report();
        now.apps[0].counts.statuses.insert(200, 12);
        now.apps[0].counts.duration.buckets[0] += 10;
        now.apps[0].counts.duration.sum_ns += 500_000;
        now.apps[1].counts.statuses.insert(500, 1);
        now.apps[1].counts.logged[1] += 3;
        now.apps[1].counts.exceptions += 2;
        now.usage.logged[1] += 2;
        now
    });
    let told = lines::of(&now, &lines::told(&before), &statsd(&[], "prod."));
    for line in [
        "prod.gunicorn.requests:11|c",
        "prod.gunicorn.request.status.200:10|c",
        "prod.gunicorn.request.status.500:1|c",
        "prod.gunicorn.request.duration:0.050000|ms|@0.1",
        "prod.gunicorn.log.error:3|c",
        "prod.gunicorn.log.exception:2|c",
        "prod.gunicorn.workers:2|g",
        "prod.gunicorn.backlog:6|h",
        "prod.monoceros.requests.in_flight:24|g",
    ] {
        assert!(told.iter().any(|found| found == line), "{line} is not in {told:#?}");
    }
    assert!(!told.iter().any(|line| line.contains('#') || line.contains("404")), "{told:#?}");

    let tagged = lines::of(&now, &lines::told(&before), &statsd(&[("env", "prod"), ("canary", "")], ""));
    for line in [
        "gunicorn.requests:10|c|#canary,env:prod,app:shop",
        "gunicorn.requests:1|c|#canary,env:prod,app:blog",
        "gunicorn.log.error:1|c|#canary,env:prod,app:blog",
        "gunicorn.log.exception:2|c|#canary,env:prod,app:blog",
        "gunicorn.log.error:2|c|#canary,env:prod",
        "gunicorn.request.duration:0.050000|ms|@0.1|#canary,env:prod,app:shop",
        "gunicorn.workers:1|g|#canary,env:prod,app:blog",
    ] {
        assert!(tagged.iter().any(|found| found == line), "{line} is not in {tagged:#?}");
    }
}

#[test]
fn what_is_not_there_is_not_there_in_the_words_of_http() {
    let answer = |method, path: &str| {
        let request = Request { method, path: path.into(), then: Then::Keep };
        String::from_utf8(answer::to(&request, &report(), SystemTime::UNIX_EPOCH)).unwrap()
    };
    let page = answer(Method::Get, "/metrics");
    let (head, content) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{head}");
    assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", content.len())), "{head}");
    assert_eq!(answer(Method::Head, "/metrics"), format!("{head}\r\n\r\n"));
    assert!(answer(Method::Get, "/live").ends_with("\r\n\r\nlive\n"));
    assert!(answer(Method::Get, "/ready").ends_with("\r\n\r\nready\n"));
    assert!(answer(Method::Get, "/").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert!(answer(Method::Other, "/").starts_with("HTTP/1.1 404 Not Found\r\n"));
    let refused = answer(Method::Other, "/metrics");
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("\r\nAllow: GET, HEAD\r\n"), "{refused}");
}

/// An endpoint, and what is done for it by the loop.
struct Loop {
    poll: Poll,
    endpoint: Endpoint,
    folder: TempDir,
    /// How long ago everything began, as it is told to the endpoint.
    later: Duration,
    content: Vec<u8>,
}

impl Loop {
    fn new() -> Loop {
        let (folder, poll) = (tempfile::tempdir().unwrap(), Poll::new().unwrap());
        let log = Logger::root(Discard, o!());
        let mut endpoint = Endpoint::closed(poll.registry().try_clone().unwrap(), &log);
        endpoint.open(endpoint::bind(&Address::Unix(folder.path().join("s")), None).unwrap()).unwrap();
        let content = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
        Loop { poll, endpoint, folder, later: Duration::ZERO, content }
    }

    fn connect(&self) -> Stream {
        let stream = Stream::connect(self.folder.path().join("s")).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    /// One round of the loop.
    fn turn(&mut self) {
        let now = Instant::now() + self.later;
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(Duration::from_millis(1))).unwrap();
        let mut asked = self.endpoint.hear_more(now);
        for event in &events {
            let ready = Ready { token: event.token(), is_over: event.is_write_closed() };
            asked.extend(self.endpoint.hear(ready, now));
        }
        asked.iter().for_each(|(watcher, _)| self.endpoint.answer(*watcher, self.content.clone(), now));
        self.endpoint.tick(now);
    }

    /// What a client reads before it is told to wait, or its end; when enough has come or nothing does any more.
    fn read(&mut self, stream: &mut Stream, enough: usize) -> (Vec<u8>, bool) {
        let mut all = Vec::new();
        for _ in 0..2000 {
            self.turn();
            let mut bytes = [0; 65536];
            match stream.read(&mut bytes) {
                Ok(0) => return (all, true),
                Ok(count) => all.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return (all, true),
            }
            if all.len() >= enough {
                break;
            }
        }
        (all, false)
    }

    fn scrape(&mut self, stream: &mut Stream) {
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let length = self.content.len();
        assert_eq!(self.read(stream, length), (self.content.clone(), false));
    }
}

#[test]
fn a_scraper_asks_again_and_again_on_one_connection() {
    let mut server = Loop::new();
    let mut scraper = server.connect();
    for _ in 0..3 {
        server.scrape(&mut scraper);
    }
    scraper.write_all(b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    let (both, is_over) = server.read(&mut scraper, usize::MAX);
    assert_eq!((both, is_over), (server.content.repeat(2), true), "requests behind each other are each answered");
}

#[test]
fn nonsense_is_answered_once_and_ended() {
    let mut server = Loop::new();
    let mut stranger = server.connect();
    stranger.write_all(b"\x16\x03\x01 no request\r\n\r\n").unwrap();
    let (said, _) = server.read(&mut stranger, 12);
    assert!(said.starts_with(b"HTTP/1.1 400 "), "{said:?}");
    drop(stranger);
    let mut scraper = server.connect();
    server.scrape(&mut scraper);
}

#[test]
fn neither_idle_nor_slow_ones_keep_the_next_scrape_out() {
    let mut server = Loop::new();
    server.content = vec![b'x'; 4 << 20];
    let mut slow: Vec<Stream> = (0..2 * CLIENTS_MAX).map(|_| server.connect()).collect();
    for stream in &mut slow {
        // Those that were pushed out are gone.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n");
        server.turn();
    }
    let idle: Vec<Stream> = (0..CLIENTS_MAX).map(|_| server.connect()).collect();
    server.content = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let mut scraper = server.connect();
    server.scrape(&mut scraper);
    drop(idle);
}

#[test]
fn patience_ends_with_a_head_that_does_not_end_and_with_a_client_that_does_not_read() {
    let mut server = Loop::new();
    let (mut half, mut kept) = (server.connect(), server.connect());
    half.write_all(b"GET / HT").unwrap();
    server.scrape(&mut kept);
    server.later = Duration::from_secs(9);
    server.turn();
    assert!(server.endpoint.deadline().is_some());
    assert!(!server.read(&mut half, 0).1);
    server.later = Duration::from_secs(11);
    assert_eq!(server.read(&mut half, 1), (Vec::new(), true));
    server.scrape(&mut kept);
    server.content = vec![b'x'; 4 << 20];
    kept.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    (0..10).for_each(|_| server.turn());
    server.later = Duration::from_secs(22);
    let (some, is_over) = server.read(&mut kept, usize::MAX);
    assert!(some.len() < server.content.len() && is_over, "{} bytes", some.len());
    assert_eq!(server.endpoint.deadline(), None, "nobody is left");
}

#[test]
fn another_address_takes_over_and_who_is_connected_stays() {
    let mut server = Loop::new();
    let mut scraper = server.connect();
    server.scrape(&mut scraper);
    let other = server.folder.path().join("t");
    server.endpoint.open(endpoint::bind(&Address::Unix(other.clone()), None).unwrap()).unwrap();
    server.scrape(&mut scraper);
    assert!(!server.folder.path().join("s").exists());
    let mut late = Stream::connect(&other).unwrap();
    late.set_nonblocking(true).unwrap();
    server.scrape(&mut late);
    server.endpoint.close();
    assert!(!other.exists());
    server.scrape(&mut late);
}
