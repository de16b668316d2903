//! `supervisor top` on a terminal that tmux plays, driven by keys as by a person.

use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Client, Process, Server, Site, eventually, installed, program};

/// A terminal with a shell's command in it; ended when it is dropped, for tmux leaves our session.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs `top`, then says how it ended and what the terminal is like, and stays.
    fn with_top(server: &Server, name: &str) -> Terminal {
        let terminal = Terminal { socket: server.site().path(&format!("{name}.tmux")) };
        let top = format!("echo $$ > {name}.pid; exec {} top -c server.yaml", program("supervisor").display());
        let line = format!("sh -c '{top}'; echo ended $?; stty -a; exec cat");
        let folder = server.site().path("").display().to_string();
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "40", "-c", &folder, &line]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.socket.display().to_string();
        let output = Command::new(installed("tmux"))
            .args(["-S", &socket])
            .args(arguments)
            .env("TERM", "xterm")
            .output()
            .expect("tmux can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {arguments:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// The screen, once this holds of it.
    fn until(&self, what: &str, mut holds: impl FnMut(&str) -> bool) -> String {
        eventually(what, || {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if holds(&screen) { Ok(screen) } else { Err(screen) }
        })
    }

    /// Fails unless the terminal is as it was before, and `top` has ended so.
    fn expect_ended(&self, status: i32) {
        let ended = format!("ended {status}");
        let screen = self.until("the end", |screen| screen.contains(&ended) && screen.contains("icanon"));
        let is_on = |mode: &str| screen.split_whitespace().any(|word| word == mode);
        assert!(is_on("icanon") && is_on("echo") && is_on("isig"), "{screen}");
        assert!(screen.contains("susp = ^Z"), "{screen}");
        assert!(!screen.contains("WORKER"), "the other screen stays: {screen}");
        assert_eq!(self.tmux(&["display-message", "-p", "#{alternate_on} #{cursor_flag}"]).trim(), "0 1");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

fn gate() -> Server {
    Site::new("gate:application").app("workers: 2\nthreads: 3").serve()
}

fn block(server: &Server) -> Client {
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    client
}

/// The first words of the lines behind the one that begins so.
fn column(screen: &str, title: &str) -> Vec<String> {
    let lines = screen.lines().skip_while(|line| !line.starts_with(title)).skip(1);
    lines.map_while(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn a_server_is_seen_at_work_and_q_leaves_the_terminal_as_it_was() {
    let server = gate();
    let _blocked = [block(&server), block(&server)];
    let terminal = Terminal::with_top(&server, "one");
    terminal.until("what it is at", |screen| {
        screen.contains(": serving, generation 1, up ") && screen.matches("GET /wait").count() == 2
    });
    let mut client = server.connect();
    let screen = terminal.until("a rate", |screen| {
        for _ in 0..50 {
            client.get("/pid").expect_status(200);
        }
        let app = screen.lines().find(|line| line.starts_with("main ")).unwrap_or_default();
        let rate = app.split_whitespace().nth(3).and_then(|rate| rate.parse::<f64>().ok());
        rate.is_some_and(|rate| rate > 1.0) && app.contains("ms")
    });
    assert!(screen.contains("2/2") && screen.contains(" MiB"), "{screen}");
    terminal.press("q");
    terminal.expect_ended(0);
}

#[test]
fn keys_choose_what_workers_are_sorted_by() {
    let server = gate();
    let terminal = Terminal::with_top(&server, "sorted");
    let sorted = |mark: &str| terminal.until(mark, |screen| screen.contains(mark));
    assert_eq!(column(&sorted("WORKER*"), "WORKER"), ["1", "2"]);
    terminal.press("r");
    terminal.until("it to be turned round", |screen| column(screen, "WORKER") == ["2", "1"]);
    terminal.press("s");
    sorted("AGE*");
    terminal.press("Right");
    sorted("REQ/S*");
    terminal.press("Left");
    sorted("AGE*");
    terminal.press("p");
    let worker = server.workers()[0];
    server.kill_worker(worker);
    eventually("another worker", || (server.workers().len() == 2).then_some(()));
    terminal.press("p");
    terminal.until("its number", |screen| column(screen, "WORKER").contains(&"3".to_owned()));
    terminal.tmux(&["resize-window", "-x", "60", "-y", "12"]);
    terminal.until("it to fit", |screen| screen.contains("supervisor ") && screen.lines().count() <= 12);
    terminal.tmux(&["resize-window", "-x", "150", "-y", "40"]);
    terminal.press("C-c");
    terminal.expect_ended(0);
}

#[test]
fn a_server_that_is_gone_is_said_so_and_the_next_one_is_seen() {
    let server = gate();
    let terminal = Terminal::with_top(&server, "gone");
    terminal.until("the server", |screen| screen.contains(": serving, generation 1"));
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    terminal.until("the reload", |screen| screen.contains("generation 2"));
    server.site().put("gate.py", "nonsense(\n");
    assert_eq!(server.command(&["reload", "--wait"]).0, 1);
    terminal.until("why it failed", |screen| screen.contains("!! the last reload came to nothing"));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    terminal.until("its end", |screen| screen.contains("!! no server runs; this is the last that was seen"));
    let source = crate::harness::repository().join("tests/apps/gate.py");
    server.site().put("gate.py", &std::fs::read_to_string(source).expect("there is an application"));
    let next: Process = server.site().supervisor(&["run", "-c", "server.yaml"]);
    let pid = next.pid();
    terminal.until("the next one", |screen| screen.contains(&format!("supervisor {pid}: serving, generation 1")));
    assert!(!terminal.until("the rest", |_| true).contains("!!"));
    // A signal from elsewhere leaves it as it was too.
    let top: i32 = server.site().read("gone.pid").trim().parse().expect("a process number");
    kill(Pid::from_raw(top), Signal::SIGTERM).expect("it can be signalled");
    terminal.expect_ended(0);
    next.signal(Signal::SIGTERM);
    next.exit_code();
}

#[test]
fn where_there_is_no_terminal_or_no_server_it_says_what_to_do_instead() {
    let server = gate();
    let (code, told) = server.command(&["top"]);
    assert!(code == 2 && told.contains("there is no terminal; next: `supervisor status`"), "{told}");
    server.signal(Signal::SIGTERM);
    server.exit_code();
    let (code, told) = server.command(&["top"]);
    assert!(code == 3 && told.contains("no server runs for "), "{told}");
}
