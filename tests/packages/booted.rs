//! The unit and the package under a real systemd: started, reloaded, killed, restarted, upgraded and stopped by `systemctl`, as the
//! documents say, on a copy of this machine that is booted.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::debian::{is_debian, package};
use crate::harness::{Client, Machine, eventually, program, python, repository};

/// Says who answers, and which code; `/file` needs a folder for temporary files; `/slow` goes on when there is a file `open`.
const SHOP: &str = r#"
import os, tempfile, threading

tick = threading.Event()

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/file":
        tempfile.NamedTemporaryFile().close()
    return slow() if environ["PATH_INFO"] == "/slow" else [b"first code, worker %d" % os.getpid()]

def slow():
    yield b"begun"
    while not os.path.exists("/srv/shop/open"):
        tick.wait(0.005)
    yield b"ended"
"#;

const YAML: &str = "apps: {shop: {wsgi: 'shop:application', directory: /srv/shop, user: www-data, listen: '0.0.0.0:80', threads: 2}}\n";

/// The port is its own, as the whole network is.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

/// A booted machine with an application that is not served yet; a word if there can be none.
fn booted() -> Option<Machine> {
    let machine = Machine::boot().map_err(|why| eprintln!("not tried here: {why}")).ok()?;
    machine.open_way_to(&fs::canonicalize(python()).expect("it is there"));
    for folder in ["/srv/shop", "/etc/monoceros"] {
        fs::create_dir(machine.path(folder)).expect("a folder can be made");
    }
    write(&machine, "/srv/shop/shop.py", SHOP);
    Some(machine)
}

/// One with the unit of the examples.
fn with_unit() -> Option<Machine> {
    let machine = booted()?;
    for name in ["supervisor", "worker"] {
        let link = machine.path(&format!("/usr/local/bin/{name}"));
        std::os::unix::fs::symlink(program(name), link).expect("a link can be made");
    }
    write(&machine, "/etc/monoceros/server.yaml", YAML);
    for name in ["monoceros.service", "monoceros.socket"] {
        let unit = fs::read_to_string(repository().join("examples/systemd").join(name)).expect("the example has it");
        write(&machine, &format!("/etc/systemd/system/{name}"), &unit.replace("=hello", "=shop"));
    }
    systemctl(&machine, &["daemon-reload"]);
    Some(machine)
}

/// Adds a line to the unit's section of the service.
fn override_with(machine: &Machine, line: &str) {
    fs::create_dir_all(machine.path("/etc/systemd/system/monoceros.service.d")).expect("a folder can be made");
    write(machine, "/etc/systemd/system/monoceros.service.d/override.conf", &format!("[Service]\n{line}\n"));
    systemctl(machine, &["daemon-reload"]);
}

/// One with the package.
fn with_package(package: &Path) -> Option<Machine> {
    let machine = booted()?;
    // A word against starting and stopping, where somebody has given one, is about this machine and not about its copy.
    machine.done(&["rm", "-f", "/usr/sbin/policy-rc.d"]);
    machine.done(&install(&machine, package));
    write(&machine, "/etc/monoceros/server.yaml", YAML);
    Some(machine)
}

/// The command that installs a package, and leaves indexes of manual pages as they are: they take longer than all the rest.
fn install<'a>(machine: &Machine, package: &'a Path) -> [&'a str; 5] {
    machine.bring(package);
    // The Python that these programs were built with need not be the distribution's.
    ["dpkg", "--no-triggers", "--force-depends", "--install", package.to_str().expect("a path in UTF-8")]
}

fn write(machine: &Machine, path: &str, text: &str) {
    fs::write(machine.path(path), text).expect("root can write everywhere");
}

fn systemctl(machine: &Machine, words: &[&str]) -> String {
    machine.done(&[&["systemctl"], words].concat())
}

/// What systemd has as a property of the unit.
fn property(machine: &Machine, name: &str) -> String {
    systemctl(machine, &["show", "--value", "--property", name, "monoceros"]).trim_end().to_owned()
}

/// The first of an answer that will not end before there is a file `open`.
fn begun(machine: &Machine) -> Client {
    let mut client = machine.connect(ADDRESS);
    client.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").head();
    assert_eq!(client.chunk().expect("a beginning"), b"begun");
    client
}

/// Its rest.
fn ended(mut client: Client) {
    assert_eq!(client.chunk().expect("an end"), b"ended");
    assert_eq!(client.chunk().expect("the last chunk"), b"");
}

#[test]
fn systemctl_starts_reloads_refuses_and_stops_as_the_manual_says() {
    let Some(machine) = with_unit() else { return };
    systemctl(&machine, &["enable", "--now", "monoceros"]);
    let mut client = machine.connect(ADDRESS);
    assert!(client.get("/").text().starts_with("first code"), "start returns when clients are answered");
    let told = systemctl(&machine, &["status", "monoceros"]);
    assert!(told.contains("Active: active (running)") && told.contains("Status: \"serving"), "{told}");

    write(&machine, "/srv/shop/shop.py", &SHOP.replace("first", "second"));
    systemctl(&machine, &["reload", "monoceros"]);
    assert!(
        machine.connect(ADDRESS).get("/").text().starts_with("second code"),
        "reload returns when new code answers"
    );
    assert!(client.get("/").text().starts_with("second code"), "on the connection of before");

    write(&machine, "/srv/shop/shop.py", "def application(environ, start_response)\n");
    let (code, said) = machine.run(&["systemctl", "reload", "monoceros"]);
    assert!(code == 1 && said.contains("failed"), "{code} {said}");
    machine.done(&["journalctl", "--sync"]);
    let journal = machine.done(&["journalctl", "--unit", "monoceros", "--output", "cat", "--priority", "err"]);
    assert!(journal.contains("SyntaxError: expected ':'") && !journal.contains("serving"), "{journal}");
    let told = systemctl(&machine, &["status", "monoceros"]);
    assert!(told.contains("Active: active (running)") && told.contains("reload"), "{told}");
    assert!(client.get("/").text().starts_with("second code"), "and the old code serves on");

    drop(client);
    // Less than it takes: systemd is asked for more.
    override_with(&machine, "TimeoutStopSec=100ms");
    let mut slow = begun(&machine);
    let stop = machine.start(&["systemctl", "stop", "monoceros"], &[]);
    slow.pause(Duration::from_millis(500)).expect("nothing comes before it is asked for");
    write(&machine, "/srv/shop/open", "");
    ended(slow);
    assert_eq!(stop.exit_code(), 0, "{}", stop.whole_output());
    assert_eq!((property(&machine, "Result"), property(&machine, "NRestarts")), ("success".to_owned(), "0".to_owned()));
}

/// Sends a signal to the supervisor that ends it sooner or later, and waits for the next one.
fn lose(machine: &Machine, signal: &str) {
    let killed = property(machine, "MainPID");
    machine.done(&["kill", signal, &killed]);
    eventually("the next supervisor", || {
        let (state, pid) = (property(machine, "ActiveState"), property(machine, "MainPID"));
        if state == "active" && pid != killed && pid != "0" { Ok(()) } else { Err((state, pid)) }
    });
}

#[test]
fn systemd_starts_the_next_supervisor_as_often_as_one_is_killed() {
    let Some(machine) = with_unit() else { return };
    override_with(&machine, "RestartSec=10ms");
    systemctl(&machine, &["start", "monoceros"]);
    let (mut client, slow) = (machine.connect(ADDRESS), begun(&machine));
    let worker = client.get("/").text().to_owned();
    // One more than systemd takes in 10 s unless it is told otherwise.
    for _ in 0..6 {
        lose(&machine, "-KILL");
        assert_eq!(
            client.get("/file").expect_status(200).text(),
            worker,
            "the worker and the connection are those of before"
        );
    }
    assert_eq!(machine.connect(ADDRESS).get("/").text(), worker);
    assert_eq!(property(&machine, "NRestarts"), "6");

    write(&machine, "/srv/shop/shop.py", &SHOP.replace("first", "second"));
    systemctl(&machine, &["reload", "monoceros"]);
    assert!(
        client.get("/").text().starts_with("second code"),
        "words of the last supervisor's reach it: it hands over what it has"
    );
    write(&machine, "/srv/shop/open", "");
    ended(slow);
}

#[test]
fn a_supervisor_that_hangs_is_ended_by_the_watchdog_and_followed() {
    let Some(machine) = with_unit() else { return };
    override_with(&machine, "WatchdogSec=1s\nRestartSec=10ms");
    systemctl(&machine, &["start", "monoceros"]);
    let mut client = machine.connect(ADDRESS);
    let worker = client.get("/").text().to_owned();
    lose(&machine, "-STOP");
    assert_eq!(
        client.get("/file").expect_status(200).text(),
        worker,
        "the worker and the connection are those of before"
    );
    assert_eq!(property(&machine, "NRestarts"), "1");
}

/// The lines that the example proposes for whoever wants more walls around the unit.
fn walls() -> String {
    let page = fs::read_to_string(repository().join("examples/systemd/README.md")).expect("the example has it");
    let (_, block) = page.split_once("```ini\n[Service]\n").expect("it proposes some");
    let (lines, _) = block.split_once("```").expect("a fence is closed");
    assert!(lines.lines().count() > 5, "{lines}");
    // Where a developer's Python is in somebody's home it is not to be hidden.
    lines.replace("ProtectHome=yes", "ProtectHome=read-only")
}

#[test]
fn within_more_walls_it_serves_reloads_upgrades_and_is_followed() {
    let Some(machine) = with_unit() else { return };
    override_with(&machine, &walls());
    systemctl(&machine, &["start", "monoceros"]);
    let mut client = machine.connect(ADDRESS);
    let mut worker = client.get("/").expect_status(200).text().to_owned();
    let mut another = |machine: &Machine, why: &str| {
        let old = std::mem::replace(&mut worker, client.get("/file").expect_status(200).text().to_owned());
        assert_ne!(old, worker, "{why}");
        assert_eq!(machine.connect(ADDRESS).get("/").text(), worker, "{why}");
    };
    systemctl(&machine, &["reload", "monoceros"]);
    another(&machine, "after a reload");
    machine.done(&["supervisor", "upgrade", "-c", "/etc/monoceros/server.yaml"]);
    another(&machine, "after an upgrade");
    lose(&machine, "-KILL");
    systemctl(&machine, &["reload", "monoceros"]);
    another(&machine, "after a death and a reload");
}

#[test]
fn who_connects_while_the_unit_restarts_waits_a_moment() {
    let Some(machine) = with_unit() else { return };
    systemctl(&machine, &["start", "monoceros"]);
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let asks = scope.spawn(|| asks_anew(&machine, &over));
        systemctl(&machine, &["restart", "monoceros"]);
        over.store(true, Ordering::Relaxed);
        asks.join().expect("nobody is refused")
    });
    assert_ne!(told.first(), told.last(), "the first worker is gone");
}

#[test]
fn workers_of_a_stop_that_is_cut_short_are_found_by_the_next_start() {
    let Some(machine) = with_unit() else { return };
    systemctl(&machine, &["start", "monoceros"]);
    let slow = begun(&machine);
    let stop = machine.start(&["systemctl", "stop", "monoceros"], &[]);
    eventually("the unit to stop", || (property(&machine, "ActiveState") == "deactivating").then_some(()));
    machine.done(&["kill", "-KILL", &property(&machine, "MainPID")]);
    stop.wait("its end", |_, status| status);
    assert_eq!(property(&machine, "ActiveState"), "failed");
    systemctl(&machine, &["start", "monoceros"]);
    assert!(machine.connect(ADDRESS).get("/").text().starts_with("first code"), "the port is theirs no longer");
    write(&machine, "/srv/shop/open", "");
    ended(slow);
    systemctl(&machine, &["stop", "monoceros"]);
    let (code, said) = machine.run(&["pgrep", "--list-full", "worker|supervisor"]);
    assert!(code == 1, "{said}");
}

/// What clients are told that come until it is over, each with a connection of its own, and one more.
fn asks_anew(machine: &Machine, over: &AtomicBool) -> Vec<String> {
    let mut told = Vec::new();
    while !over.load(Ordering::Relaxed) {
        told.push(machine.connect(ADDRESS).get("/").expect_status(200).text().to_owned());
    }
    told.push(machine.connect(ADDRESS).get("/").expect_status(200).text().to_owned());
    told
}

#[test]
fn a_package_is_upgraded_under_load_and_purged_without_a_rest() {
    if !is_debian() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let packages = thread::scope(|scope| {
        let made = ["1", "2"].map(|revision| scope.spawn(|| package(folder.path(), revision)));
        made.map(|made| made.join().expect("it can be made"))
    });
    let Some(machine) = with_package(&packages[0]) else { return };
    assert_eq!(
        machine.run(&["systemctl", "is-active", "monoceros"]).1,
        "inactive",
        "nothing is started before it is asked for"
    );
    systemctl(&machine, &["enable", "--now", "monoceros"]);
    let slow = begun(&machine);
    let (pid, over) = (property(&machine, "MainPID"), AtomicBool::new(false));
    let workers = thread::scope(|scope| {
        let anew = scope.spawn(|| asks_anew(&machine, &over));
        let kept = scope.spawn(|| {
            let (mut client, mut told) = (machine.connect(ADDRESS), Vec::new());
            while !over.load(Ordering::Relaxed) {
                told.push(client.get("/").expect_status(200).text().to_owned());
            }
            told
        });
        let said = machine.done(&install(&machine, &packages[1]));
        assert!(!said.contains("cannot"), "{said}");
        over.store(true, Ordering::Relaxed);
        [anew, kept].map(|client| client.join().expect("no client is refused, and no connection is closed"))
    });
    write(&machine, "/srv/shop/open", "");
    ended(slow);
    for told in workers {
        assert_ne!(told.first(), told.last(), "the first worker was of the first revision");
    }
    assert_eq!(property(&machine, "MainPID"), pid, "it is the same process");
    assert_eq!(property(&machine, "NRestarts"), "0");

    machine.done(&["dpkg", "--no-triggers", "--purge", "monoceros"]);
    let (code, said) = machine.run(&["pgrep", "--list-full", "worker|supervisor|monoceros"]);
    assert!(code == 1, "{said}");
    let left = machine.done(&["find", "/etc", "/usr", "/var", "/run", "-xdev", "-name", "*monoceros*"]);
    let left: Vec<&str> = left.lines().filter(|path| !path.starts_with("/usr/share/man/")).collect();
    assert_eq!(left, Vec::<&str>::new(), "nothing is left");
    assert_eq!(machine.run(&["systemctl", "status", "monoceros"]).0, 4, "there is no such unit");
}

#[test]
fn a_socket_of_the_examples_is_open_before_the_supervisor_is() {
    let Some(machine) = with_unit() else { return };
    systemctl(&machine, &["enable", "--now", "monoceros.socket"]);
    assert_eq!(property(&machine, "ActiveState"), "inactive");
    assert!(
        machine.connect(ADDRESS).get("/").expect_status(200).text().starts_with("first code"),
        "who connects starts it"
    );
    systemctl(&machine, &["reload", "monoceros"]);
    // The port stays systemd's: who comes after a stop starts it again.
    systemctl(&machine, &["stop", "monoceros"]);
    assert!(machine.connect(ADDRESS).get("/").expect_status(200).text().starts_with("first code"));
}
