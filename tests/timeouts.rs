//! Each timeout by its own meaning, whatever the number of threads, and what a worker tells of itself when calls do not return.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use monoceros_shared::scoreboard::{Scoreboard, Size};
use nix::sys::signal::Signal;

use crate::harness::{Broken, Client, Ending, Server, Site, eventually, living, stat};

/// Numbers of threads with which each timeout is to mean the same.
const THREADS: [usize; 2] = [1, 3];
/// Bytes of a scoreboard before what its worker counts.
const HEADER: usize = 64;

fn calls(threads: usize, timeouts: &str) -> Site {
    Site::new("calls:application").app(&format!("threads: {threads}\ntimeouts: {{{timeouts}}}"))
}

fn begin(server: &Server, target: &str) -> Client {
    let mut client = server.connect();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client
}

/// What the application has noted so far.
fn told(server: &Server) -> String {
    server.get("/told").text().to_owned()
}

#[track_caller]
fn expect_504(client: &mut Client, since: Instant, limit: Duration) {
    let answer = client.answer().expect_status(504);
    let waited = since.elapsed();
    // The worker's clock goes in ticks of 4 ms.
    assert!(waited + Duration::from_millis(5) >= limit, "it came before its time, after {waited:?}");
    assert!(waited < limit + Duration::from_secs(8), "it came late, after {waited:?}");
    assert_eq!(answer.text(), "the application did not answer in time\n");
    assert!(answer.says_close() && answer.field("date").is_some(), "{answer}");
    client.expect_close();
}

#[test]
fn a_request_that_takes_too_long_is_answered_504_and_told_in_the_log_with_its_stack() {
    for threads in THREADS {
        let site = calls(threads, "request: 500ms");
        let listen = site.listen();
        let app = format!(
            "{{wsgi: 'calls:application', listen: '{listen}', threads: {threads}, timeouts: {{request: 500ms}}}}"
        );
        let log = "{format: json, level: debug, access: true}";
        let server = site.yaml(&format!("log: {log}\napps: {{main: {app}}}\n")).serve();
        let since = Instant::now();
        expect_504(&mut begin(&server, "/raised?x=1"), since, Duration::from_millis(500));
        let line = server.logged("request timed out");
        assert_eq!(line["request"], "GET /raised?x=1");
        assert_eq!((&line["status"], &line["answer"]), (&504.into(), &"504".into()));
        assert!(line["ms"].as_u64().is_some_and(|age| age >= 490), "{line}");
        assert!(line["client"].as_str().is_some_and(|client| client.starts_with("127.")), "{line}");
        let stack = line["stack"].as_str().expect("a stack");
        assert!(stack.contains("calls.py") && stack.contains("in loop"), "{stack}");
        assert!(stack.contains("while time.monotonic() < until and not opened.wait"), "it has source lines: {stack}");
        let noted = eventually("the call to end", || Some(told(&server)).filter(|told| told.contains("True")));
        assert!(noted.starts_with("['monoceros.RequestTimeout', True"), "{noted}");
        let is_access = |line: &&String| line.contains("\"msg\":\"request\"") && line.contains("/raised");
        let access = server.process().wait("its access line", |lines, _| lines.iter().find(is_access).cloned());
        assert!(access.contains("\"status\":504"), "{access}");
        server.logged("a request that had timed out has returned");
        assert_eq!(server.count("the application failed"), 0, "it is told once");
        assert_eq!(server.count("request cannot be ended"), 0);
        assert_eq!(server.workers().len(), 1);
    }
}

#[test]
fn head_body_keepalive_and_write_mean_the_same_with_every_number_of_threads() {
    for threads in THREADS {
        let server = calls(threads, "head: 300ms, body: 300ms, keepalive: 300ms, write: 300ms").serve();
        let mut head = server.connect();
        head.send("GET / HTTP/1.1\r\nHo");
        let mut body = server.connect();
        body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n1");
        for client in [&mut head, &mut body] {
            client.answer().expect_status(408);
            client.expect_close();
        }
        let mut idle = server.connect();
        idle.get("/").expect_status(200);
        idle.expect_close();
        let mut deaf = begin(&server, "/endless");
        eventually("the answer to be cut", || told(&server).contains("endless over").then_some(()));
        assert_ne!(deaf.ending().1, Ending::Silence);
    }
}

#[test]
fn what_the_application_still_says_for_a_request_that_timed_out_is_thrown_away() {
    for threads in THREADS {
        let server = calls(threads, "request: 300ms").serve();
        let since = Instant::now();
        expect_504(&mut begin(&server, "/swallow"), since, Duration::from_millis(300));
        let mut written = begin(&server, "/write");
        written.head().expect_status(200);
        assert_eq!(written.chunk().expect("what was written in time"), b"written ");
        assert_eq!(written.ending(), (Vec::new(), Ending::Eof), "the last chunk is missing");
        assert_eq!(server.logged("request timed out")["answer"], "504");
        let noted = eventually("both calls to end", || Some(told(&server)).filter(|told| told.contains("write")));
        assert_eq!(noted, "['swallowed', 'write raised RequestTimeout']");
    }
}

#[test]
fn an_answer_that_stops_is_cut_so_that_it_does_not_look_complete() {
    for threads in THREADS {
        let server = calls(threads, "request: 300ms").serve();
        let mut new = begin(&server, "/chunks");
        new.head().expect_status(200);
        assert_eq!(new.chunk().expect("the first chunk"), b"first ");
        assert!(matches!(new.chunk(), Err(Broken::Ended(Ending::Eof, seen)) if seen.is_empty()));
        let mut old = server.connect();
        old.send("GET /chunks HTTP/1.0\r\n\r\n");
        let broken = old.try_answer("GET").expect_err("an end would look like the end of the answer");
        assert!(matches!(broken, Broken::Ended(Ending::Reset, _)), "{broken}");
        let noted = eventually("both to end", || Some(told(&server)).filter(|told| told.matches("over").count() == 2));
        assert_eq!(noted.matches("chunks ended by RequestTimeout").count(), 2, "{noted}");
        assert_eq!(server.logged("request timed out")["answer"], "cut");
    }
}

#[test]
fn a_head_request_that_times_out_gets_no_content() {
    let server = calls(1, "request: 200ms").serve();
    let mut client = server.connect();
    client.send("HEAD /raised HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer_to_head().expect_status(504);
    client.expect_close();
}

#[test]
fn the_exception_never_meets_another_request() {
    let server = calls(1, "request: 100ms").serve();
    for _ in 0..15 {
        // One that is over just when it is due, and many behind it on the same thread.
        let mut close = begin(&server, "/busy?100");
        let status = close.answer().status;
        assert!(matches!(status, 200 | 504), "{status}");
        let mut next = server.connect();
        for _ in 0..50 {
            let answer = next.get("/count");
            // A busy machine may make one late by itself, but an exception that was another's would be a 500.
            assert!(matches!(answer.status, 200 | 504), "{answer}");
            if answer.says_close() {
                next = server.connect();
            }
        }
    }
    assert_eq!(server.count("the application failed"), 0);
}

#[test]
fn an_exception_that_did_not_arrive_in_time_is_taken_back() {
    let server = calls(1, "request: 300ms").serve();
    begin(&server, "/queued").answer().expect_status(504);
    // It was raised when its line is in the log, and cannot arrive, for no Python runs in that thread.
    server.logged("request timed out");
    server.site().put("open", "");
    for _ in 0..50 {
        server.get("/count").expect_status(200);
    }
    server.logged("a request that had timed out has returned");
    assert_eq!(server.count("a call that was late has ended by RequestTimeout"), 0, "it was another's");
}

#[test]
fn a_request_pipelined_behind_one_that_timed_out_is_not_answered() {
    let server = calls(1, "request: 200ms").serve();
    let mut client = server.connect();
    client.send("GET /raised HTTP/1.1\r\nHost: h\r\n\r\nGET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer().expect_status(504);
    client.expect_close();
    server.get("/pid").expect_status(200);
}

#[test]
fn the_application_can_ask_for_more_time() {
    for threads in THREADS {
        let server = calls(threads, "request: 300ms").serve();
        server.get("/extend?5").expect_status(200);
        let since = Instant::now();
        expect_504(&mut begin(&server, "/extend?0.01"), since, Duration::from_millis(300));
    }
}

#[test]
fn each_piece_of_an_answer_has_the_whole_time_and_the_clients_own_counts_for_nothing() {
    for threads in THREADS {
        let server = calls(threads, "request: 2s").serve();
        assert_eq!(server.get("/slow").text(), "0 1 2 3 ");
        let mut slow = begin(&server, "/large");
        slow.head().expect_status(200);
        // The application stands still meanwhile, for its client takes nothing.
        slow.turn_deaf(Duration::from_secs(3));
        let mut length = 0;
        while let Some(chunk) = Some(slow.chunk().expect("a chunk")).filter(|chunk| !chunk.is_empty()) {
            length += chunk.len();
        }
        assert_eq!(length, 64 * 256 * 1024);
        assert_eq!(server.count("request timed out"), 0);
    }
}

#[test]
fn an_answer_whose_close_hangs_is_whole_and_the_call_is_ended() {
    let server = calls(1, "request: 300ms").serve();
    let mut client = begin(&server, "/close");
    assert_eq!(client.answer().text(), "whole");
    client.get("/pid").expect_status(200);
    assert_eq!(server.logged("request timed out")["answer"], "complete");
    eventually("close() to be ended", || told(&server).contains("closed").then_some(()));
}

#[test]
fn clients_are_read_while_one_thread_keeps_the_gil_and_the_other_waits_for_it() {
    let server = calls(2, "request: 1m").serve();
    let mut held = begin(&server, "/gil?5000");
    eventually("the call to begin", || is_busy(&server, 1).then_some(()));
    let mut second = begin(&server, "/pid");
    let is_waiting = || board(&server).tallies().iter().any(|tally| tally.gil_asked_ns.get() > 0);
    eventually("the other thread to wait for the GIL", || is_waiting().then_some(()));
    let mut third = begin(&server, "/pid");
    server.connect().send("nonsense\r\n\r\n").answer().expect_status(400);
    assert!(is_busy(&server, 1), "the GIL is kept still");
    for client in [&mut held, &mut second, &mut third] {
        client.answer().expect_status(200);
    }
}

#[test]
fn with_every_thread_in_a_call_clients_are_still_read_refused_and_put_in_line() {
    for threads in THREADS {
        let server = calls(threads, "request: 20s, head: 300ms").serve();
        let mut waiting: Vec<Client> = (0..threads).map(|_| begin(&server, "/file")).collect();
        eventually("every thread to be in a call", || is_busy(&server, threads).then_some(()));
        let since = Instant::now();
        let mut stalled = server.connect();
        stalled.send("GET / HTTP/1.1\r\nHo");
        stalled.answer().expect_status(408);
        assert!(since.elapsed() < Duration::from_secs(10), "the head was waited for {:?}", since.elapsed());
        // More than the kernel's buffers hold, so the worker must read it.
        let body = vec![b'x'; 16 << 20];
        let mut upload = server.connect();
        upload.send(format!("POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", body.len())).send(&body);
        assert!(since.elapsed() < Duration::from_secs(15), "the upload was not read: {:?}", since.elapsed());
        server.site().put("open", "");
        assert_eq!(upload.answer().text(), format!("ok {}", body.len()));
        for client in &mut waiting {
            client.answer().expect_status(200);
        }
    }
}

#[test]
fn requests_that_wait_for_a_thread_which_never_comes_go_over_to_the_new_worker() {
    for threads in THREADS {
        let server = calls(threads, "request: 1m, drain: 1m").serve();
        let mut blocked: Vec<Client> = (0..threads).map(|_| begin(&server, "/file")).collect();
        eventually("every thread to be in a call", || is_busy(&server, threads).then_some(()));
        let old = server.workers()[0];
        let mut waiting: Vec<Client> = (0..5).map(|_| begin(&server, "/pid")).collect();
        let mut upload = server.connect();
        upload.send(
            "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345GET /pid HTTP/1.1\r\nHost: h\r\n\r\n",
        );
        let (status, said) = server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
        for client in &mut waiting {
            assert_ne!(client.answer().expect_status(200).text(), old.to_string());
            client.get("/pid").expect_status(200);
        }
        assert_eq!(upload.answer().text(), "ok 5");
        assert_ne!(upload.answer().expect_status(200).text(), old.to_string(), "what was pipelined went along");
        server.site().put("open", "");
        for client in &mut blocked {
            client.answer().expect_status(200);
        }
    }
}

/// Whether so many threads of the one worker are in a call.
pub fn is_busy(server: &Server, threads: usize) -> bool {
    board(server).threads().iter().filter(|row| row.current().is_some()).count() == threads
}

/// A copy of the scoreboard of the one worker, as it stands.
fn board(server: &Server) -> Scoreboard {
    let worker = server.workers()[0];
    let maps = fs::read_to_string(format!("/proc/{worker}/maps")).expect("a child's memory can be looked at");
    let line = maps.lines().find(|line| line.contains("memfd:monoceros-scoreboard")).expect("it has a scoreboard");
    let bounds: Vec<u64> =
        line.split([' ', '-']).take(2).map(|bound| u64::from_str_radix(bound, 16).expect("an address")).collect();
    let mut bytes = vec![0; (bounds[1] - bounds[0]) as usize];
    let memory = File::open(format!("/proc/{worker}/mem")).expect("a child's memory can be read");
    memory.read_exact_at(&mut bytes, bounds[0]).expect("the scoreboard can be read");
    let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes")) as usize;
    let (board, descriptor) =
        Scoreboard::create(Size { threads: word(16), tallies: word(24) }).expect("memory for a copy");
    let whole = File::from(descriptor);
    let length = bytes.len().min(whole.metadata().expect("it has a length").len() as usize);
    whole.write_all_at(&bytes[HEADER..length], HEADER as u64).expect("the copy can be written");
    board
}

#[test]
fn a_request_that_waits_too_long_for_a_thread_is_answered_504() {
    let server = calls(1, "request: 400ms").serve();
    let mut stuck = begin(&server, "/wait");
    eventually("the thread to be in a call", || is_busy(&server, 1).then_some(()));
    let since = Instant::now();
    let mut second = begin(&server, "/pid");
    stuck.answer().expect_status(504);
    let answer = second.answer().expect_status(504);
    assert!(since.elapsed() >= Duration::from_millis(390), "after {:?}", since.elapsed());
    assert_eq!(answer.text(), "no thread was free for the request in time\n");
    second.expect_close();
}

#[test]
fn a_call_that_cannot_be_ended_is_said_so_and_costs_its_client_alone() {
    let server = calls(2, "request: 300ms").serve();
    let since = Instant::now();
    expect_504(&mut begin(&server, "/wait"), since, Duration::from_millis(300));
    let line = server.logged("request cannot be ended");
    assert_eq!(line["request"], "GET /wait");
    assert!(line["next"].as_str().is_some_and(|next| next.contains("replaced")), "{line}");
    assert!(line["stack"].as_str().is_some_and(|stack| stack.contains("opened.wait()")), "{line}");
    server.get("/pid").expect_status(200);
}

#[test]
fn a_held_gil_delays_no_deadline_and_is_seen_in_the_log() {
    for threads in THREADS {
        let server = calls(threads, "request: 300ms").serve();
        let since = Instant::now();
        expect_504(&mut begin(&server, "/gil?1500"), since, Duration::from_millis(300));
        let line = server.logged("request timed out");
        let stack = line["stack"].as_str().expect("a stack");
        assert!(stack.starts_with("the GIL is held:\n") && stack.contains("in application"), "{stack}");
        assert!(stack.contains("calls.py"), "{stack}");
        server.logged("request cannot be ended");
    }
}

#[test]
fn an_idle_worker_beats_and_one_whose_gil_is_held_beats_with_its_io_alone() {
    let server = calls(2, "request: 1m, heartbeat: 8s").serve();
    let beats = || {
        let board = board(&server);
        let counters = board.counters();
        (counters.io_beat.load(Ordering::Relaxed), counters.python_beat.load(Ordering::Relaxed))
    };
    let first = beats();
    assert!(first.0 > 0 && first.1 > 0, "it beats before it serves: {first:?}");
    let second = eventually("both to beat", || Some(beats()).filter(|now| now.0 > first.0 && now.1 > first.1));
    let mut held = begin(&server, "/gil?7000");
    eventually("the call to begin", || (!is_busy(&server, 0)).then_some(()));
    let python = beats().1;
    let third = eventually("the I/O to go on", || Some(beats()).filter(|now| now.0 > second.0 + 2_000));
    assert!(third.1 <= python + 300, "Python beat on: {python}, then {third:?}");
    held.answer().expect_status(200);
    eventually("Python to beat again", || Some(beats()).filter(|now| now.1 > third.1));
}

#[test]
fn a_request_that_outlives_the_drain_is_told_before_the_worker_ends_by_itself() {
    for threads in THREADS {
        let server = calls(threads, "drain: 5s").serve();
        let mut client = begin(&server, "/wait");
        let mut cut = begin(&server, "/chunks");
        let mut half = server.connect();
        half.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n1");
        eventually("a call to begin", || (!is_busy(&server, 0)).then_some(()));
        let since = Instant::now();
        server.signal(Signal::SIGTERM);
        client.answer().expect_status(504);
        assert!(since.elapsed() >= Duration::from_secs(4), "after {:?}", since.elapsed());
        half.answer().expect_status(408);
        assert_ne!(cut.ending().1, Ending::Silence);
        assert_eq!(server.exit_code(), 0);
        assert_eq!(server.logged("request timed out")["limit"], "timeouts.drain");
        server.logged("this worker ends, though its Python has not");
        assert_eq!(server.count("killed"), 0, "it ends by itself");
    }
}

#[test]
fn a_drain_does_not_wait_for_a_call_that_cannot_be_ended() {
    for threads in THREADS {
        let server = calls(threads, "request: 300ms, drain: 1m").serve();
        begin(&server, "/wait").answer().expect_status(504);
        server.logged("request cannot be ended");
        let worker = server.workers()[0];
        let since = Instant::now();
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit_code(), 0);
        assert!(since.elapsed() < Duration::from_secs(10), "after {:?}", since.elapsed());
        assert!(stat(worker).is_none());
    }
}

#[test]
fn the_stack_of_a_fatal_signal_is_on_standard_error() {
    let server = calls(2, "boot: 10s").serve();
    let _ = begin(&server, "/fault").try_answer("GET");
    server.process().line("Fatal Python error: Segmentation fault");
    server.process().line("in application");
    eventually("another worker", || {
        server.connect().send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n").try_answer("GET").ok()
    });
}

#[test]
fn a_signal_sent_by_mistake_kills_a_worker_at_once() {
    let server = calls(1, "boot: 10s").serve();
    let worker = server.workers()[0];
    living(worker);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGSEGV).expect("a worker can be signalled");
    eventually("it to die of the first", || stat(worker).is_none().then_some(()));
}

#[test]
fn the_stacks_are_told_by_python_or_looked_at_where_the_gil_is_held() {
    let server = calls(2, "request: 1m").serve();
    let mut waiting = begin(&server, "/wait?a");
    eventually("the call to begin", || is_busy(&server, 1).then_some(()));
    let (status, said) = server.command(&["stacks"]);
    assert_eq!(status, 0, "{said}");
    for part in ["told by Python", "GET /wait?a, for ", "in application", "opened.wait()", ": idle"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    let mut held = begin(&server, "/gil?2000");
    eventually("the second call to begin", || is_busy(&server, 2).then_some(()));
    let (status, said) = server.command(&["stacks"]);
    assert_eq!(status, 0, "{said}");
    for part in ["the GIL is held", "GET /gil?2000, for ", "in application", "calls.py"] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    held.answer().expect_status(200);
    server.get("/open").expect_status(200);
    waiting.answer().expect_status(200);
}

#[test]
fn a_worker_with_a_stuck_call_is_replaced_and_its_other_clients_do_not_notice() {
    for threads in THREADS {
        let server = calls(threads, "request: 500ms").serve();
        let mut keeper = server.connect();
        let old = keeper.get("/pid").text().to_owned();
        let mut stuck = begin(&server, "/wait");
        eventually("the call to begin", || is_busy(&server, 1).then_some(()));
        stuck.answer().expect_status(504);
        eventually("another worker", || {
            let answer = keeper.get("/pid");
            assert!(answer.status == 200 || answer.status == 504, "{answer}");
            if answer.says_close() {
                keeper = server.connect();
            }
            (answer.status == 200 && answer.text() != old).then_some(())
        });
        server.logged("request cannot be ended");
        eventually("the old worker to end", || stat(old.parse().expect("a process number")).is_none().then_some(()));
        assert_eq!(server.workers().len(), 1);
    }
}

// What was measured of gunicorn, and must not be so here.

/// X10: `--timeout` was a request's for some of its workers and for others none.
#[test]
fn a_request_timeout_holds_in_every_engine() {
    for engine in ["engine: sync", "engine: threads\nthreads: 4"] {
        let server = Site::new("calls:application").app(&format!("{engine}\ntimeouts: {{request: 400ms}}")).serve();
        let since = Instant::now();
        expect_504(&mut begin(&server, "/swallow"), since, Duration::from_millis(400));
        server.get("/pid").expect_status(200);
    }
}

/// X21: a client that kept its socket open after the last answer held up everybody for two seconds.
#[test]
fn clients_that_stay_after_the_last_answer_hold_up_nobody() {
    for threads in THREADS {
        let server = calls(threads, "request: 10s").serve();
        let staying: Vec<Client> = (0..4)
            .map(|_| {
                let mut client = server.connect();
                client.send("GET /pid HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").answer().expect_status(200);
                client
            })
            .collect();
        let since = Instant::now();
        for _ in 0..20 {
            server.get("/pid").expect_status(200);
        }
        assert!(since.elapsed() < Duration::from_secs(10), "20 requests took {:?}", since.elapsed());
        drop(staying);
    }
}

/// X22: a client that sent one byte and stopped had the worker for itself.
#[test]
fn clients_that_send_one_byte_and_stop_hold_up_nobody() {
    for threads in THREADS {
        let server = calls(threads, "head: 20s").serve();
        let mut stalled: Vec<Client> = (0..4).map(|_| server.connect()).collect();
        for client in &mut stalled {
            client.send("G");
        }
        let since = Instant::now();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| drop(server.get("/pid").expect_status(200))));
            }
        });
        assert!(since.elapsed() < Duration::from_secs(10), "40 requests took {:?}", since.elapsed());
    }
}
