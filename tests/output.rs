//! Logs: what an application prints, what a worker says when it dies, and where all of it goes.

use std::fs;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::Value;

use crate::harness::{Process, Server, Site, eventually, repository, stop};

/// A site that serves `printer.py` and logs like this.
fn site(log: &str) -> Site {
    let source = fs::read_to_string(repository().join("tests/apps/printer.py")).expect("a test app can be read");
    let site = Site::empty().app("wsgi: printer:application").file("printer.py", &source).top(&format!("log: {log}"));
    // Whoever runs the tests may have it set, and then Python buffers nothing anyway.
    let site = site.variable("PYTHONUNBUFFERED", "");
    let listen = site.listen();
    site.app(&format!("listen: {listen}\nthreads: 2"))
}

/// Serves it, logging to standard error.
fn printer() -> Server {
    site("{format: json, level: debug}").serve()
}

/// Serves it, logging to `server.log`, and waits until it does.
fn into_file(settings: &str) -> Server {
    serve_into_file(site(&format!("{{format: json, file: server.log{settings}}}")))
}

fn serve_into_file(site: Site) -> Server {
    let server = site.launch();
    eventually("the server to serve", || logged(&server, "server.log", "serving"));
    server
}

/// The first line of a log file with this message.
fn logged(server: &Server, file: &str, message: &str) -> Option<Value> {
    lines_of(server, file).into_iter().find(|line| line["msg"].as_str().is_some_and(|msg| msg.starts_with(message)))
}

fn lines_of(server: &Server, file: &str) -> Vec<Value> {
    let text = server.site().read(file);
    let whole = text.lines().take(text.matches('\n').count());
    whole.map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("no JSON ({why}): {line}"))).collect()
}

/// Waits for the line of an output that has `part` in it.
fn printed(server: &Server, part: &str) -> Value {
    printed_by(server.process(), part)
}

/// The same, in what any supervisor logs.
fn printed_by(supervisor: &Process, part: &str) -> Value {
    supervisor.wait(&format!("a print with {part:?}"), |lines, _| {
        let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .into_iter()
            .find(|line| line["msg"] == "output" && line["text"].as_str().is_some_and(|t| t.contains(part)))
    })
}

/// Whether one line stands in the server's output before another, each told by a part of it.
fn comes_before(server: &Server, first: &str, second: &str) -> bool {
    let output = server.process().output();
    let place = |part| output.find(part).unwrap_or_else(|| panic!("{part:?} is not in the log"));
    place(first) < place(second)
}

#[test]
fn what_is_printed_is_a_line_of_the_log_with_whose_it_is() {
    let server = printer();
    let imported = printed(&server, "imported");
    assert_eq!(imported["text"], "imported");
    assert!(comes_before(&server, "\"imported\"", "\"worker serving\""), "what is printed at import comes late");
    server.get("/plain").expect_status(200);
    let (out, err) = (printed(&server, "from print"), printed(&server, "from sys.stderr"));
    assert_eq!((&out["stream"], &out["level"]), (&"stdout".into(), &"info".into()));
    assert_eq!((&err["stream"], &err["level"]), (&"stderr".into(), &"warning".into()));
    for line in [out, err] {
        assert_eq!((&line["app"], &line["worker"], &line["generation"]), (&"main".into(), &1.into(), &1.into()));
    }
}

#[test]
fn tracebacks_stay_in_one_piece_and_bytes_that_are_no_text_forge_nothing() {
    let server = printer();
    server.get("/tracebacks").expect_status(200);
    let logging = printed(&server, "ERROR:root:it failed");
    for line in [&logging, &printed(&server, "\"chained\")\nValueError: chained")] {
        let text = line["text"].as_str().expect("a text");
        assert!(text.contains("KeyError: 1\n\nDuring handling of the above exception"), "{text}");
        assert!(text.ends_with("ValueError: chained"), "{text}");
    }
    server.get("/bytes_").expect_status(200);
    assert_eq!(printed(&server, "\u{fffd}")["text"], "\u{fffd}\u{1b}[2J\0");
    assert_eq!(printed(&server, "without an end")["stream"], "stderr");
}

#[test]
fn a_workers_last_words_stand_before_its_exit_and_in_its_line() {
    let server = printer();
    for (target, words, exit) in
        [("/segfault", "Fatal Python error: Segmentation fault", "SIGSEGV"), ("/abort", "out of luck", "SIGABRT")]
    {
        let mut client = server.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"));
        client.try_answer("GET").expect_err("the worker dies of it");
        let line = server.process().wait("the exit", |lines, _| {
            let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| {
                line["msg"] == "worker exited" && line["exit"].as_str().is_some_and(|how| how.starts_with(exit))
            })
        });
        assert!(line["output"].as_str().is_some_and(|output| output.contains(words)), "{line}");
        let told = printed(&server, words);
        assert_eq!(told["worker"], line["worker"]);
        assert!(comes_before(&server, &format!("\"text\":\"{words}"), &format!("\"exit\":\"{exit}")));
    }
    let told = printed(&server, "Fatal Python error");
    assert!(told["text"].as_str().is_some_and(|text| text.contains("in segfault")), "the stack is missing: {told}");
    printed(&server, "about to die");
}

#[test]
fn a_child_that_holds_the_pipes_delays_no_farewell_and_is_read_on() {
    let site = site("{format: json, level: debug}");
    mkfifo(&site.path("wake"), Mode::S_IRWXU).expect("a pipe can be made");
    let server = site.serve();
    server.get("/leave_child").expect_status(200);
    let worker = server.workers()[0];
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("a worker can be killed");
    server.logged("worker exited");
    // Whoever opens it wakes the child, by its end.
    fs::write(server.site().path("wake"), "").expect("the child reads it");
    assert_eq!(printed(&server, "the child has")["text"], "the child has 0 pipes more");
}

#[test]
fn who_prints_without_end_keeps_nothing_from_being_done() {
    let server = printer();
    let mut client = server.connect();
    client.send("GET /forever HTTP/1.1\r\nHost: h\r\n\r\n");
    printed(&server, "again and again");
    server.get("/").expect_status(200);
    assert_eq!(server.status()["state"], "serving");
    let (status, text) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{text}");
    server.get("/").expect_status(200);
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_request_and_the_loss_is_said() {
    let site = site("{format: json, file: pipe}");
    let path = site.path("pipe");
    mkfifo(&path, Mode::S_IRWXU).expect("a pipe can be made");
    // Open, so that the server can open it, and not read.
    let pipe = OpenOptions::new().read(true).write(true).open(&path).expect("both ends are ours");
    let server = site.launch();
    eventually("an answer", || std::net::TcpStream::connect(server.address()).ok());
    // Far more than the pipe, the queue and the log hold together.
    server.get("/flood").expect_status(200);
    server.get("/").expect_status(200);
    assert_eq!(server.status()["state"], "serving");
    let said = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| read_until(pipe, "output was dropped: the log is read too slowly", &said));
        eventually("the loss to be said", || said.load(Ordering::Relaxed).then_some(()));
    });
}

/// Reads until `part` has come.
fn read_until(mut pipe: File, part: &str, seen: &AtomicBool) {
    let (mut text, mut bytes) = (Vec::new(), vec![0; 64 * 1024]);
    while !String::from_utf8_lossy(&text).contains(part) {
        let count = pipe.read(&mut bytes).expect("a pipe can be read");
        text.drain(..text.len().saturating_sub(part.len()));
        text.extend_from_slice(&bytes[..count]);
    }
    seen.store(true, Ordering::Relaxed);
}

#[test]
fn a_print_never_fails_or_blocks_though_the_supervisor_is_gone_and_is_told_at_the_workers_end() {
    let site = site("{format: json, file: server.log}").top("on_supervisor_loss: drain");
    let server = serve_into_file(site);
    let worker = server.workers()[0];
    let mut client = server.connect();
    assert_eq!(client.get("/").text(), worker.to_string());
    server.signal(Signal::SIGKILL);
    eventually("its end", || server.process().status());
    // More than the pipe holds: somebody must read it.
    client.send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n").answer().expect_status(200);
    drop(client);
    eventually("the worker to say what it kept", || {
        let lines = lines_of(&server, "server.log");
        let kept = lines.iter().rev().find(|line| line["msg"] == "output");
        let lost = lines.iter().any(|line| line["msg"].as_str().is_some_and(|msg| msg.starts_with("output was lost")));
        (lost && kept?["text"] == "flooded").then_some(())
    });
}

#[test]
fn what_was_printed_without_a_supervisor_is_told_by_the_next_which_reads_on() {
    let server = printer();
    server.signal(Signal::SIGKILL);
    eventually("its end", || server.process().status());
    server.get("/tracebacks").expect_status(200);
    let next = server.site().supervisor(&["run", "-c", "server.yaml"]);
    let kept = printed_by(&next, "ERROR:root:it failed");
    assert!(kept["text"].as_str().is_some_and(|text| text.ends_with("ValueError: chained")), "{kept}");
    server.get("/plain").expect_status(200);
    assert_eq!(printed_by(&next, "from print")["worker"], 1);
    next.signal(Signal::SIGKILL);
    eventually("its end too", || next.status());
    // More than is kept.
    server.get("/flood").expect_status(200);
    let last = server.site().supervisor(&["run", "-c", "server.yaml"]);
    last.line("output was lost: there was no supervisor to read it");
    let mut client = server.connect();
    client.send("GET /abort HTTP/1.1\r\nHost: h\r\n\r\n");
    client.try_answer("GET").expect_err("the worker dies of it");
    assert!(last.line("\"worker exited\"").contains("out of luck"), "its last words are not in the line of its exit");
}

#[test]
fn an_application_may_do_with_its_standard_output_what_it_likes() {
    let server = printer();
    let worker = server.workers();
    server.get("/spawn").expect_status(200);
    assert_eq!(printed(&server, "from a child")["stream"], "stdout");
    for target in ["/reopen", "/silence", "/close", "/"] {
        server.get(target).expect_status(200);
    }
    printed(&server, "reopened");
    assert_eq!(server.workers(), worker, "it is the same worker");
}

#[test]
fn who_runs_as_another_user_may_open_its_standard_output_anew() {
    // It imports nothing: that user may not be able to read the Python that runs the tests.
    let source = "import sys\n\ndef application(environ, start_response):\n    \
        print('anew', file=open('/dev/stdout', 'w'))\n    start_response('200 OK', [])\n    return [b'']\n";
    let site = Site::new("bare:application").file("bare.py", source).app("user: nobody");
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let server = site.serve();
    server.get("/").expect_status(200);
    printed(&server, "anew");
}

#[test]
fn what_workers_log_does_not_pass_through_the_supervisor() {
    let server = into_file(", access: true");
    stop(server.process().pid().as_raw());
    server.get("/").expect_status(200);
    eventually("the request in the log", || logged(&server, "server.log", "request"));
    kill(server.process().pid(), Signal::SIGCONT).expect("the supervisor goes on");
}

#[test]
fn a_log_file_is_made_for_owner_and_group_and_opened_anew_without_losing_a_line() {
    let server = into_file(", access: true");
    let mode = fs::metadata(server.site().path("server.log")).expect("the log is there").permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    let ended = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut client = server.connect();
            let mut sent = 0;
            while !ended.load(Ordering::Relaxed) {
                client.get("/").expect_status(200);
                sent += 1;
            }
            sent
        });
        let load_ends = Ends(&ended);
        turn_over(&server, "server.log.1", || server.signal(Signal::SIGUSR1));
        turn_over(&server, "server.log.2", || {
            let (status, text) = server.command(&["reopen"]);
            assert!(status == 0 && text.starts_with("log reopened: "), "{status} {text}");
        });
        drop(load_ends);
        load.join().expect("no request fails")
    });
    let requests = || {
        let files = ["server.log.1", "server.log.2", "server.log"];
        let lines = files.iter().flat_map(|file| lines_of(&server, file));
        lines.filter(|line| line["msg"] == "request").count()
    };
    eventually("every request in one of the files", || {
        let found = requests();
        if found == sent { Ok(()) } else { Err((found, sent)) }
    });
}

/// Says that something is to end, also when a test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Moves the log away, has it opened anew, and waits until both programs write to the new one.
fn turn_over(server: &Server, name: &str, reopen: impl FnOnce()) {
    let log = server.site().path("server.log");
    fs::rename(&log, server.site().path(name)).expect("the log can be moved");
    reopen();
    eventually("the supervisor to log anew", || logged(server, "server.log", "log reopened"));
    eventually("the worker to log anew", || logged(server, "server.log", "request"));
}

#[test]
fn a_log_file_that_cannot_be_opened_anew_stays_as_it_was() {
    let server = into_file(", access: true");
    let log = server.site().path("server.log");
    fs::rename(&log, server.site().path("moved")).expect("the log can be moved");
    fs::create_dir(&log).expect("something else can take its place");
    let (status, text) = server.command(&["reopen"]);
    assert!(status == 1 && text.contains("cannot open the log"), "{status} {text}");
    eventually("the warning", || logged(&server, "moved", "the log stays as it was"));
    server.get("/").expect_status(200);
    eventually("the request", || logged(&server, "moved", "request"));
}

#[test]
fn a_log_on_standard_error_is_not_opened_anew_and_nothing_is_wrong_with_that() {
    let server = printer();
    server.signal(Signal::SIGUSR1);
    let (status, text) = server.command(&["reopen"]);
    assert!(status == 0 && text.contains("standard error"), "{status} {text}");
    server.get("/plain").expect_status(200);
    printed(&server, "from print");
}

#[test]
fn a_reload_that_names_another_log_is_followed() {
    let server = into_file("");
    let yaml = server.site().read("server.yaml");
    server.site().put("server.yaml", &yaml.replace("file: server.log", "level: warning, file: other.log"));
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    server.get("/plain").expect_status(200);
    eventually("the other log", || logged(&server, "other.log", "output"));
    let size = || fs::metadata(server.site().path("server.log")).map_or(0, |log| log.len());
    let (before, lines) = (size(), lines_of(&server, "other.log").len());
    server.get("/plain").expect_status(200);
    eventually("another line", || (lines_of(&server, "other.log").len() > lines).then_some(()));
    // What was logged before the reload may still have been on its way.
    let is_later = |line: &Value| line["text"].as_str().is_some_and(|text| text.starts_with("from "));
    let printed = lines_of(&server, "other.log").into_iter().filter(is_later);
    let levels: Vec<Value> = printed.map(|line| line["level"].clone()).collect();
    assert!(levels.iter().all(|level| level == "warning"), "{levels:?}");
    assert_eq!(size(), before, "the old log is still written to");
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let server = site("{format: json, access: true, file: /dev/full}").launch();
    eventually("an answer", || std::net::TcpStream::connect(server.address()).ok());
    for _ in 0..20 {
        server.get("/plain").expect_status(200);
    }
    let yaml = server.site().read("server.yaml");
    server.site().put("server.yaml", &yaml.replace("/dev/full", "server.log"));
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    eventually("the loss to be said", || logged(&server, "server.log", "log lines were lost"));
}

#[test]
fn a_log_that_cannot_be_opened_is_said_before_anything_is_served() {
    let site = site("{file: server.log}");
    fs::create_dir(site.path("server.log.d")).expect("a folder can be made");
    std::os::unix::fs::symlink(Path::new("nowhere/at/all"), site.path("server.log")).expect("a link can be made");
    let process = site.supervisor(&["run", "-c", "server.yaml"]);
    assert_eq!(process.exit_code(), 1);
    let output = process.whole_output();
    assert!(output.starts_with("supervisor: cannot open the log "), "{output}");
}

#[test]
fn while_somebody_works_on_it_an_application_prints_as_ever() {
    let source = fs::read_to_string(repository().join("tests/apps/printer.py")).expect("a test app can be read");
    let site = Site::empty().file("printer.py", &source);
    let listen = site.listen();
    let process = site.supervisor(&["dev", "printer:application", "--listen", &listen.to_string()]);
    process.wait("the bare print", |lines, _| lines.iter().any(|line| line == "imported").then_some(()));
    let (status, printed) = {
        let check = site.supervisor(&["check", "printer:application"]);
        (check.exit_code(), check.whole_output())
    };
    assert!(status == 0 && printed.lines().any(|line| line == "imported"), "{printed}");
}
