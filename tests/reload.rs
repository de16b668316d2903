//! What a reload changes, and what a reload that fails does not: by command, by signal, by number.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Client, Process, Server, Site, descriptors, eventually, program};

/// Two workers that answer with the version that `deploy.py` says: 1.
fn site() -> Site {
    Site::new("deployed:application").file("deploy.py", "VERSION = 1\n").app("workers: 2\nthreads: 2")
}

/// The version and the worker that an answer is from.
fn version_and_pid(client: &mut Client) -> (usize, i32) {
    let answer = client.get("/").expect_status(200);
    assert!(!answer.says_close(), "the connection is kept: {answer}");
    let mut words = answer.text().split(' ').skip(1);
    let mut number = || words.next().expect("there is another word").parse::<i32>().expect("it is a number");
    (number() as usize, number())
}

/// Waits until a connection that is kept, or a new one, reaches this version: old workers answer until they hear that they
/// have been replaced.
#[track_caller]
fn wait_for_version(client: &mut Client, version: usize) {
    eventually(&format!("version {version}"), || {
        let seen = version_and_pid(client).0;
        if seen == version { Ok(()) } else { Err(seen) }
    });
}

#[track_caller]
fn reload(server: &Server) {
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
}

/// Fails unless a reload of a server with this deploy is refused for this reason, changes nothing, and is possible again
/// once `mend` has undone what was wrong.
#[track_caller]
fn expect_refused(server: &Server, reason: &str, mend: impl FnOnce(&Server)) {
    let mut keeper = server.connect();
    assert_eq!(version_and_pid(&mut keeper).0, 1);
    let workers = server.workers();
    let supervisor = server.process().pid().as_raw();
    let open = descriptors(supervisor).len();
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 1, "a reload that fails says so: {said}");
    assert!(said.contains(reason), "{reason:?} is not in {said}");
    let last = server.status()["last_reload"].clone();
    assert_eq!(last["outcome"], "abandoned", "{last}");
    let told = [&last["why"], &last["detail"]].map(|part| part.as_str().unwrap_or_default()).join("\n");
    assert!(told.contains(reason), "{reason:?} is not in {last}");
    assert_eq!(server.logged("reload abandoned")["next"], "generation 1 stays");
    eventually("the old workers and nobody else", || {
        let now = server.workers();
        (now == workers).then_some(()).ok_or(now)
    });
    eventually("as many descriptors as before", || {
        let now = descriptors(supervisor);
        (now.len() <= open).then_some(()).ok_or(now)
    });
    let (version, pid) = version_and_pid(&mut keeper);
    assert!(version == 1 && workers.contains(&pid), "version {version} of {pid}, and not one of {workers:?}");
    mend(server);
    server.site().put("deploy.py", "VERSION = 2\n");
    reload(server);
    wait_for_version(&mut keeper, 2);
}

#[test]
fn a_yaml_that_cannot_be_parsed_changes_nothing() {
    let server = site().serve();
    let good = server.site().read("server.yaml");
    server.site().put("server.yaml", &format!("{good}\nnonsense: ["));
    expect_refused(&server, "server.yaml:", |server| server.site().put("server.yaml", &good));
}

#[test]
fn a_yaml_with_an_unknown_key_changes_nothing() {
    let server = site().serve();
    let good = server.site().read("server.yaml");
    server.site().put("server.yaml", &good.replace("threads:", "treads:"));
    expect_refused(&server, "threads", |server| server.site().put("server.yaml", &good));
}

#[test]
fn an_address_that_somebody_else_has_changes_nothing() {
    let server = site().serve();
    let good = server.site().read("server.yaml");
    let taken = TcpListener::bind(server.site().another_address()).expect("a free address can be bound");
    let name = taken.local_addr().expect("it has an address").to_string();
    server.site().put("server.yaml", &listening(&good, &[server.address().to_string(), name.clone()]));
    expect_refused(&server, &format!("cannot bind {name}"), |server| server.site().put("server.yaml", &good));
}

#[test]
fn code_that_raises_at_its_import_changes_nothing() {
    let server = site().serve();
    server.site().put("deploy.py", "def begin():\n    raise LookupError('no such shop')\n\nbegin()\n");
    expect_refused(&server, "LookupError: no such shop", |_| {});
}

#[test]
fn code_that_exits_at_its_import_changes_nothing() {
    for (code, reason) in [
        ("import sys\nsys.exit('go away')\n", "SystemExit"),
        ("import os\nos._exit(7)\n", "code 7"),
        ("import os\nos.abort()\n", "SIGABRT"),
    ] {
        let server = site().serve();
        server.site().put("deploy.py", code);
        expect_refused(&server, reason, |_| {});
    }
}

#[test]
fn code_that_hangs_at_its_import_changes_nothing() {
    let server = site().app("timeouts: {boot: 3s}").serve();
    server.site().put("deploy.py", "import threading\nthreading.Event().wait()\n");
    expect_refused(&server, "has not loaded within timeouts.boot", |_| {});
}

#[test]
fn an_application_that_is_not_ready_changes_nothing() {
    let server = site().app("reload: {ready: /ready}").serve();
    server.site().put("deploy.py", "VERSION = 2\nREADY = False\n");
    expect_refused(&server, "GET /ready answered 500", |_| {});
}

#[test]
fn a_worker_that_cannot_be_executed_changes_nothing() {
    let programs = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["supervisor", "worker"] {
        fs::copy(program(name), programs.path().join(name)).expect("a program can be copied");
    }
    let worker = programs.path().join("worker");
    let server = site().launch_from(&programs.path().join("supervisor"));
    server.wait_until_serving();
    fs::set_permissions(&worker, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
    expect_refused(&server, "cannot", |_| {
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o700)).expect("a mode can be set");
    });
}

#[test]
fn a_reload_by_signal_that_fails_is_in_the_log_with_its_traceback() {
    let server = site().serve();
    server.site().put("deploy.py", "raise LookupError('no such shop')\n");
    server.signal(Signal::SIGHUP);
    let line = server.logged("reload abandoned");
    assert_eq!((line["cause"].as_str(), line["next"].as_str()), (Some("HUP"), Some("generation 1 stays")));
    server.process().line("LookupError: no such shop");
    assert_eq!(version_and_pid(&mut server.connect()).0, 1);
}

/// A YAML that names other addresses.
fn listening(yaml: &str, addresses: &[String]) -> String {
    let line = yaml.lines().find(|line| line.trim_start().starts_with("listen:")).expect("it listens");
    yaml.replace(line, &format!("    listen: ['{}']", addresses.join("', '")))
}

/// The inode of the socket that listens there (proc_pid_net(5)).
fn listener(address: SocketAddr) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux says");
    let port = format!(":{:04X}", address.port());
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        (fields[1].ends_with(&port) && fields[3] == "0A").then(|| fields[9].parse().expect("an inode"))
    })
}

#[test]
fn listeners_are_added_and_removed_by_a_reload_and_the_others_kept() {
    let server = site().serve();
    let (first, second) = (server.address(), server.site().another_address());
    let good = server.site().read("server.yaml");
    let before = listener(first);
    server.site().put("server.yaml", &listening(&good, &[first.to_string(), second.to_string()]));
    reload(&server);
    let mut on_second = Client::connect(second);
    version_and_pid(&mut on_second);
    assert_eq!(listener(first), before, "it is the same socket");
    server.site().put("server.yaml", &good);
    reload(&server);
    eventually("the removed listener to refuse", || TcpStream::connect(second).is_err().then_some(()));
    // There is no worker any more that knows its listener: the old one ended it, in order.
    on_second.expect_close();
    assert_eq!(listener(first), before, "it is still the same socket");
    assert_eq!(server.process().status(), None);
}

/// The workers of an application, by what `status` says.
fn workers_of(server: &Server, app: &str) -> BTreeSet<i64> {
    let status = server.status();
    let apps = status["apps"].as_array().expect("a list").iter();
    let workers = apps.filter(|found| found["name"] == app).flat_map(|found| found["workers"].as_array());
    workers.flatten().filter_map(|worker| worker["pid"].as_i64()).collect()
}

#[track_caller]
fn wait_for_colour(client: &mut Client, colour: &str) {
    eventually(colour, || {
        let seen = client.get("/environ?COLOUR").expect_status(200).text().to_owned();
        if seen == colour { Ok(()) } else { Err(seen) }
    });
}

#[test]
fn applications_are_added_changed_and_removed_by_a_reload() {
    let server = site().serve();
    let (first, second) = (server.address(), server.site().another_address());
    let good = server.site().read("server.yaml");
    let other = |more: &str| {
        format!("{good}  other: {{wsgi: 'deployed:application', listen: '{second}', workers: 1, threads: 1{more}}}\n")
    };
    server.site().put("server.yaml", &other(""));
    reload(&server);
    let mut on_first = Client::connect(first);
    let mut on_second = Client::connect(second);
    version_and_pid(&mut on_first);
    version_and_pid(&mut on_second);
    server.site().put("server.yaml", &other(", environment: {COLOUR: blue}"));
    reload(&server);
    wait_for_colour(&mut on_second, "blue");
    assert_eq!(on_first.get("/environ?COLOUR").text(), "");
    server.site().put("server.yaml", &good);
    reload(&server);
    eventually("the removed application to refuse", || TcpStream::connect(second).is_err().then_some(()));
    eventually("its workers to be gone", || (server.workers().len() == 2).then_some(()).ok_or(server.status()));
    version_and_pid(&mut on_first);
}

#[test]
fn workers_threads_and_environment_take_effect_by_a_reload() {
    let server = site().app("environment: {COLOUR: red}").serve();
    let mut keeper = server.connect();
    assert_eq!(keeper.get("/environ?COLOUR").text(), "red");
    let yaml = server.site().read("server.yaml");
    let changed = yaml.replace("workers: 2", "workers: 3").replace("threads: 2", "threads: 5").replace("red", "green");
    server.site().put("server.yaml", &changed);
    reload(&server);
    wait_for_colour(&mut keeper, "green");
    eventually("three workers with five threads", || {
        let status = server.status();
        let workers: Vec<&Value> = status["apps"][0]["workers"].as_array().expect("a list").iter().collect();
        let right = workers.len() == 3 && workers.iter().all(|worker| worker["work"]["threads"] == 5);
        right.then_some(()).ok_or(status.to_string())
    });
}

/// Waits until so many workers serve, and no others are there.
#[track_caller]
fn wait_for_workers(server: &Server, count: usize) {
    eventually(&format!("{count} workers"), || {
        let status = server.status();
        let workers = status["apps"][0]["workers"].as_array().expect("a list");
        let serving = workers.iter().filter(|worker| worker["state"] == "serving").count();
        (workers.len() == count && serving == count).then_some(()).ok_or(status.to_string())
    });
}

#[test]
fn ttin_and_ttou_change_the_number_of_workers_and_hup_keeps_it() {
    let server = site().serve();
    let mut keeper = server.connect();
    server.signal(Signal::SIGTTIN);
    wait_for_workers(&server, 3);
    server.signal(Signal::SIGHUP);
    server.logged("reloaded");
    wait_for_workers(&server, 3);
    for left in [2, 1] {
        server.signal(Signal::SIGTTOU);
        wait_for_workers(&server, left);
    }
    version_and_pid(&mut keeper);
}

#[test]
fn scale_changes_the_number_of_workers_and_a_reload_keeps_it() {
    let server = site().serve();
    let mut keeper = server.connect();
    version_and_pid(&mut keeper);
    let (status, said) = server.command(&["scale", "main", "4"]);
    assert_eq!(status, 0, "{said}");
    wait_for_workers(&server, 4);
    reload(&server);
    wait_for_workers(&server, 4);
    assert_eq!(server.command(&["scale", "main", "1"]).0, 0);
    wait_for_workers(&server, 1);
    version_and_pid(&mut keeper);
    let (status, said) = server.command(&["scale", "mian", "2"]);
    assert!(status == 1 && said.contains("main"), "{status}: {said}");
}

#[test]
fn scaling_up_with_code_that_is_broken_now_says_so_and_keeps_what_is_there() {
    let server = site().serve();
    server.site().put("deploy.py", "raise LookupError('no such shop')\n");
    let (status, said) = server.command(&["scale", "main", "3"]);
    assert!(status == 1 && said.contains("no such shop"), "{status}: {said}");
    assert_eq!(version_and_pid(&mut server.connect()).0, 1);
}

#[test]
fn a_worker_is_recycled_after_its_requests_and_no_connection_is_closed() {
    let server = site().app("recycle: {requests: 50}").serve();
    let mut keepers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    let first: BTreeSet<i32> = keepers.iter_mut().map(|keeper| version_and_pid(keeper).1).collect();
    eventually("each of the first workers to be replaced", || {
        let now: BTreeSet<i32> = keepers.iter_mut().map(|keeper| version_and_pid(keeper).1).collect();
        now.is_disjoint(&first).then_some(()).ok_or(now)
    });
    wait_for_workers(&server, 2);
    assert!(workers_of(&server, "main").is_disjoint(&first.iter().map(|&pid| i64::from(pid)).collect()));
}

#[test]
fn reloads_asked_for_during_a_reload_are_one_more() {
    let server = site().serve();
    // The first hangs until it may go on, so that the others come while it does.
    let hanging = "import os, threading\nopen('hanging', 'w').close()\n\
        while not os.path.exists('go'):\n    threading.Event().wait(0.005)\nVERSION = 2\n";
    server.site().put("deploy.py", hanging);
    server.signal(Signal::SIGHUP);
    eventually("a worker to hang", || server.site().path("hanging").exists().then_some(()));
    server.site().put("deploy.py", "VERSION = 3\n");
    for _ in 0..5 {
        let (status, said) = server.command(&["reload"]);
        assert_eq!(status, 0, "{said}");
    }
    server.site().put("go", "");
    reload(&server);
    wait_for_version(&mut server.connect(), 3);
    assert!(server.count("reloaded") <= 3, "{}", server.process().output());
}

/// The versions that clients meet who connect now.
fn versions(server: &Server) -> BTreeSet<usize> {
    (0..20).map(|_| version_and_pid(&mut server.connect()).0).collect()
}

#[test]
fn who_connects_after_the_answer_to_a_reload_meets_no_old_worker() {
    let server = site().serve();
    for version in 2..=12 {
        server.site().put("deploy.py", &format!("VERSION = {version}\n"));
        reload(&server);
        assert_eq!(versions(&server), BTreeSet::from([version]));
    }
}

/// A reload that somebody waits for, of a server one of whose workers stands still; gives that worker too.
fn reload_with_a_worker_that_stands_still(server: &Server) -> (Process, Pid) {
    let old = Pid::from_raw(server.workers()[0]);
    kill(old, Signal::SIGSTOP).expect("a worker can be stopped");
    server.site().put("deploy.py", "VERSION = 2\n");
    let waits = server.site().supervisor(&["reload", "--wait", "-c", "server.yaml"]);
    waits.line("relieving: 1 old worker left");
    (waits, old)
}

#[test]
fn a_reload_is_over_when_the_last_old_worker_has_left_the_listeners() {
    let server = site().serve();
    let (waits, old) = reload_with_a_worker_that_stands_still(&server);
    assert_eq!(server.status()["state"], "reloading");
    assert_eq!((waits.status(), server.count("reloaded")), (None, 0), "an old worker may still accept");
    kill(old, Signal::SIGCONT).expect("a worker can go on");
    assert_eq!(waits.exit_code(), 0, "{}", waits.whole_output());
    assert_eq!(versions(&server), BTreeSet::from([2]));
    server.logged("reloaded");
}

#[test]
fn an_old_worker_that_stands_still_holds_a_reload_no_longer_than_its_drain() {
    let server = site().app("timeouts: {drain: 1s}").serve();
    let (waits, _) = reload_with_a_worker_that_stands_still(&server);
    assert_eq!(waits.exit_code(), 0, "{}", waits.whole_output());
    server.logged("worker not drained within timeouts.drain");
    assert_eq!(versions(&server), BTreeSet::from([2]));
}

#[test]
fn a_reload_is_answered_though_old_workers_die_while_it_waits_for_them() {
    let server = site().serve();
    let (waits, old) = reload_with_a_worker_that_stands_still(&server);
    kill(old, Signal::SIGKILL).expect("a worker can be killed");
    assert_eq!(waits.exit_code(), 0, "{}", waits.whole_output());
    assert_eq!(versions(&server), BTreeSet::from([2]));
}

#[test]
fn a_long_request_is_finished_by_the_old_worker_and_its_connection_goes_on() {
    let server = site().serve();
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to wait", || server.site().path("waiting").exists().then_some(()));
    server.site().put("deploy.py", "VERSION = 2\n");
    reload(&server);
    wait_for_version(&mut server.connect(), 2);
    server.site().put("open", "");
    let answer = client.answer().expect_status(200);
    assert!(answer.text().starts_with("/wait 1 ") && !answer.says_close(), "the old worker's answer: {answer}");
    wait_for_version(&mut client, 2);
    wait_for_workers(&server, 2);
}

#[test]
fn an_old_worker_that_does_not_finish_is_killed_after_timeouts_drain() {
    let server = Site::new("gate:application").app("workers: 1\nthreads: 2\ntimeouts: {drain: 300ms}").serve();
    let old = server.workers();
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut watcher = server.connect();
    eventually("the call to block", || (watcher.get("/").text() == "1").then_some(()));
    reload(&server);
    eventually("the old worker to be gone", || (!server.workers().contains(&old[0])).then_some(()));
    let now = watcher.get("/pid").expect_status(200).text().parse::<i32>().expect("a number");
    assert_ne!(now, old[0], "on the same connection");
}
