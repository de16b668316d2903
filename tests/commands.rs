//! The operator's hands on a server: commands that show it and change it, and hostile company on the control socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Client, Process, Server, Site, descriptors, eventually, stop};

fn gate(workers: usize) -> Server {
    Site::new("gate:application").app(&format!("workers: {workers}\nthreads: 2")).top("control: control.sock").serve()
}

fn block(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || (server.get("/").text() == "1").then_some(()));
    client
}

/// Runs a command for a server and leaves it running.
fn command(server: &Server, words: &[&str]) -> Process {
    server.site().supervisor(&[words, &["-c", "server.yaml"]].concat())
}

#[test]
fn a_status_shows_what_each_worker_is_at_and_what_it_takes() {
    let server = gate(1);
    let _client = block(&server);
    let status = server.status();
    let worker = &status["apps"][0]["workers"][0];
    assert_eq!(
        (&status["state"], &worker["state"], &worker["pid"]),
        (&"serving".into(), &"serving".into(), &server.workers()[0].into())
    );
    let work = &worker["work"];
    assert!(work["memory"].as_u64() > Some(4 << 20) && work["requests"].as_u64() >= Some(2), "{work}");
    assert!(work["in_flight"][0]["line"].as_str().is_some_and(|line| line.starts_with("GET /wait")), "{work}");
    let (code, table) = server.command(&["status"]);
    for part in ["main: serving, generation 1, 1 of 1 workers, 0 restarts", "GET /wait for ", "1/2", " MiB"] {
        assert!(code == 0 && table.contains(part), "{part:?} is not in\n{table}");
    }
}

#[test]
fn a_status_that_watches_prints_again_until_the_server_is_gone() {
    let server = gate(1);
    let watching = command(&server, &["status", "--watch"]);
    let programs = command(&server, &["status", "--watch", "--json"]);
    let twice = |watching: &Process, part: &str| {
        watching.wait("two reports", |lines, _| {
            (lines.iter().filter(|line| line.contains(part)).count() >= 2).then_some(())
        });
    };
    twice(&watching, "main: serving");
    twice(&programs, "\"generation\":1");
    for line in programs.output().lines() {
        serde_json::from_str::<Value>(line).expect("each line is a report");
    }
    server.signal(Signal::SIGTERM);
    server.exit_code();
    assert_eq!((watching.exit_code(), programs.exit_code()), (3, 3));
}

/// Runs a command line on a terminal of its own, whose input ends at once; or nothing where there is no `script`.
fn on_a_terminal(server: &Server, line: &str) -> Option<Process> {
    let script = Path::new("/usr/bin/script");
    if !script.exists() {
        eprintln!("not tried: there is no {}", script.display());
        return None;
    }
    let words = ["--quiet", "--return", "--command", line, "/dev/null"];
    Some(Process::start(script, &words, &server.site().path(""), &[]))
}

fn supervisor() -> String {
    crate::harness::program("supervisor").display().to_string()
}

#[test]
fn a_status_that_watches_on_a_terminal_leaves_it_as_it_was() {
    let server = gate(1);
    let watch = format!("echo $$ > watching; exec {} status --watch -c server.yaml", supervisor());
    let Some(terminal) = on_a_terminal(&server, &format!("sh -c '{watch}'; stty -a")) else { return };
    terminal.line("main: serving");
    let watching: i32 = server.site().read("watching").trim().parse().expect("a process number");
    // Its input may have ended before, which is the end of it too.
    let _ = kill(Pid::from_raw(watching), Signal::SIGTERM);
    terminal.exit_code();
    let output = terminal.whole_output();
    let at = |part: &str| output.find(part).unwrap_or_else(|| panic!("{part:?} is not in {output:?}"));
    assert!(at("\x1b[?1049h") < at("main: serving") && at("main: serving") < at("\x1b[?1049l"), "{output:?}");
    assert!(output.contains(" icanon") && output.contains(" echo "), "{output:?}");
}

#[test]
fn winch_from_a_terminal_is_ignored_and_said_once() {
    let site = Site::new("gate:application").serve();
    site.signal(Signal::SIGTERM);
    site.exit_code();
    let line = format!("exec {} run -c server.yaml", supervisor());
    let Some(terminal) = on_a_terminal(&site, &line) else { return };
    terminal.line("\"msg\":\"serving\"");
    let pid = site.status()["pid"].as_i64().expect("a server says who it is");
    for _ in 0..3 {
        kill(Pid::from_raw(pid as i32), Signal::SIGWINCH).expect("a server can be signalled");
        site.get("/pid").expect_status(200);
    }
    terminal.line("signal ignored: a terminal sends it at every resize");
    assert_eq!(site.status()["state"], "serving");
    let said = terminal.output().matches("signal ignored").count();
    assert_eq!(said, 1);
    kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("a server can be signalled");
    terminal.exit_code();
}

#[test]
fn stacks_show_what_each_thread_runs_and_stop_nothing() {
    let server = gate(2);
    let _client = block(&server);
    let (code, text) = server.command(&["stacks"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("main, worker 1, pid ") && text.contains("main, worker 2, pid "), "{text}");
    assert!(text.contains("gate.py") && text.contains("in application"), "{text}");
    let (_, json) = server.command(&["stacks", "main", "--json"]);
    let all: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    assert!(all[0]["stacks"].is_string() && all[0]["kernel"].is_null(), "{all}");
    let (_, one) = server.command(&["stacks", "2"]);
    assert!(one.contains("worker 2") && !one.contains("worker 1"), "{one}");
    let (code, said) = server.command(&["stacks", "nobody"]);
    assert!(code == 1 && said.contains("the applications are main"), "{said}");
    server.get("/pid").expect_status(200);
}

#[test]
fn of_a_worker_that_does_not_answer_the_kernel_tells() {
    let server = gate(2);
    let victim = server.workers()[0];
    stop(victim);
    // Asked again and again: what is not answered is not asked again.
    for _ in 0..2 {
        let (code, text) = server.command(&["stacks"]);
        assert!(code == 0 && text.contains("no answer; the process is stopped"), "{text}");
        assert!(text.contains("Thread") || text.contains("thread"), "the other one answers: {text}");
    }
    kill(Pid::from_raw(victim), Signal::SIGCONT).expect("a worker can go on");
    eventually("its answer", || {
        let (_, text) = server.command(&["stacks"]);
        (!text.contains("no answer")).then_some(()).ok_or(text)
    });
}

#[test]
fn who_waits_for_a_reload_sees_how_far_it_is() {
    let server = gate(2);
    let process = command(&server, &["reload", "--wait"]);
    assert_eq!(process.exit_code(), 0);
    let said = process.whole_output();
    assert!(said.contains("supervisor: loading: 0 of 2 workers") && said.contains("generation 2 serves"), "{said}");
    let (code, said) = server.command(&["reload"]);
    assert!(code == 0 && !said.contains("loading"), "who does not wait is told nothing: {said}");
    let (code, said) = server.command(&["scale", "main", "3"]);
    assert!(code == 0 && said.contains("scaling: 2 of 3 workers serve") && said.contains("main: 3 workers"), "{said}");
}

#[test]
fn who_waits_for_a_stop_sees_how_many_are_left_and_no_longer_than_it_says() {
    let server = gate(1);
    let mut client = block(&server);
    let mut opener = server.connect();
    opener.get("/").expect_status(200);
    let (code, said) = server.command(&["stop", "--timeout", "300ms"]);
    assert!(
        code == 1
            && said.contains("draining: 1 worker left")
            && said.contains("not done within 300ms; the server goes on"),
        "{said}"
    );
    opener.try_send("GET /open HTTP/1.1\r\nHost: h\r\n\r\n").expect("the server takes it");
    client.answer().expect_status(200);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn who_waits_no_longer_for_a_reload_has_not_ended_it() {
    let slow = "import time, deploy\nif deploy.VERSION > 1:\n    __import__('threading').Event().wait(2)\n";
    let server = Site::new("slow:application")
        .file("deploy.py", "VERSION = 1\n")
        .file("slow.py", &format!("{slow}from gate import application\n"))
        .file("gate.py", include_str!("apps/gate.py"))
        .serve();
    server.site().put("deploy.py", "VERSION = 22\n");
    let (code, said) = server.command(&["reload", "--wait", "--timeout", "200ms"]);
    assert!(code == 1 && said.contains("the server goes on"), "{said}");
    server.logged("reloaded");
}

/// The socket of a server, asked and answered by lines.
struct Socket(BufReader<UnixStream>);

impl Socket {
    fn connect(server: &Server) -> Socket {
        let stream = UnixStream::connect(server.site().path("control.sock")).expect("the socket listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        stream.set_write_timeout(Some(Duration::from_secs(30))).expect("a timeout can be set");
        Socket(BufReader::new(stream))
    }

    fn say(&mut self, bytes: &[u8]) -> &mut Socket {
        // It may have been closed in the middle of what it was told.
        let _ = self.0.get_mut().write_all(bytes);
        self
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line
    }
}

const STATUS: &[u8] = b"{\"monoceros\":1,\"ask\":\"status\"}\n";

/// Fails unless the server does what it did before.
fn expect_unharmed(server: &Server, worker: i32) {
    assert_eq!(server.status()["state"], "serving");
    assert_eq!(server.get("/pid").text(), worker.to_string());
}

#[test]
fn hostile_company_on_the_control_socket_changes_nothing_and_blocks_nobody() {
    let server = gate(1);
    let worker = server.workers()[0];
    let supervisor = server.process().pid().as_raw();
    server.status();
    let before = descriptors(supervisor).len();
    let huge = vec![b'x'; 8 << 20];
    for garbage in [b"\0\xff\xfe\n".as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"{}\n", b"[[[[[[\n", &huge] {
        let answer = Socket::connect(&server).say(garbage).line();
        assert!(answer.is_empty() || answer.contains("refused"), "{answer}");
    }
    let idle: Vec<Socket> = (0..100).map(|_| Socket::connect(&server)).collect();
    expect_unharmed(&server, worker);
    let mut half: Vec<Socket> = (0..100).map(|_| Socket::connect(&server)).collect();
    for socket in &mut half {
        socket.say(b"{\"monoceros\":1,\"ask\"");
    }
    expect_unharmed(&server, worker);
    // Who asks and never reads; who asks and goes away.
    let mut deaf: Vec<Socket> = (0..20).map(|_| Socket::connect(&server)).collect();
    for socket in &mut deaf {
        socket.0.get_ref().set_nonblocking(true).expect("a socket can be made non-blocking");
        socket.say(&STATUS.repeat(20_000));
        Socket::connect(&server).say(b"{\"monoceros\":1,\"ask\":\"stacks\"}\n");
        Socket::connect(&server).say(STATUS);
    }
    expect_unharmed(&server, worker);
    drop((idle, half, deaf));
    eventually("the descriptors to be as many as before", || {
        let open = descriptors(supervisor).len();
        (open <= before).then_some(()).ok_or(open)
    });
}

#[test]
fn ten_thousand_connects_and_questions_without_end_hold_up_no_command_and_no_signal() {
    let server = gate(1);
    let worker = server.workers()[0];
    thread::scope(|scope| {
        let flood = scope.spawn(|| (0..10_000).for_each(|_| drop(Socket::connect(&server))));
        let asker = Socket::connect(&server).0.into_inner();
        let mut reader = asker.try_clone().expect("a socket can be cloned");
        let reading = scope.spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while reader.read(&mut buffer).is_ok_and(|count| count > 0) {}
        });
        let ender = asker.try_clone().expect("a socket can be cloned");
        let asking = scope.spawn(move || {
            let mut asker = asker;
            while asker.write_all(&STATUS.repeat(100)).is_ok() {}
        });
        // A signal is heard, and what it asks for done, while both go on.
        server.signal(Signal::SIGTTIN);
        eventually("a second worker", || (server.workers().len() == 2).then_some(()));
        server.signal(Signal::SIGTTOU);
        eventually("one again", || (server.workers() == [worker]).then_some(()));
        flood.join().expect("the flood does not panic");
        let _ = ender.shutdown(std::net::Shutdown::Both);
        reading.join().expect("the reader does not panic");
        asking.join().expect("the asker does not panic");
    });
    expect_unharmed(&server, worker);
}

#[test]
fn each_command_that_changes_something_leaves_a_line_that_says_whose_it_was() {
    let server = gate(1);
    server.command(&["scale", "main", "2"]);
    let line = server.logged("command");
    assert_eq!((&line["command"], &line["level"]), (&"scale".into(), &"info".into()), "{line}");
    assert!(line["pid"].is_number() && line["uid"].is_number(), "{line}");
}
