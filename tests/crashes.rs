//! Workers that die in every way, that cannot be had, that hang: each is told for what it was, replaced, and costs no other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Client, Server, Site, eventually, stat, stop};

fn site() -> Site {
    Site::new("crasher:application")
}

fn pid_of(client: &mut Client) -> i32 {
    client.get("/pid").text().parse().expect("a process number")
}

/// Has a worker die of this path, and waits until its client sees the end.
fn die_of(address: SocketAddr, path: &str) {
    let mut client = Client::connect(address);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    client.try_answer("GET").expect_err("the worker died of it");
}

/// The last log line with this message and this process.
fn line_about(server: &Server, message: &str, pid: i32) -> Value {
    eventually(&format!("{message:?} about {pid}"), || {
        let output = server.process().output();
        let mut lines = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.rfind(|line| line["msg"] == message && line["pid"] == pid)
    })
}

fn app(server: &Server) -> Value {
    server.status()["apps"][0].clone()
}

#[test]
fn each_way_to_die_is_told_with_its_signal_or_code_its_age_and_the_request_it_was_of() {
    let server = site().app("threads: 2").serve();
    for (path, expected) in [
        ("/segfault", "SIGSEGV"),
        ("/abort", "SIGABRT"),
        ("/leave", "code 3"),
        ("/leave_well", "code 0"),
        ("/be_killed", "SIGKILL"),
    ] {
        let worker = eventually("a worker that serves", || {
            let mut client = Client::try_connect(server.address()).ok()?;
            client.try_send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n").ok()?;
            client.try_answer("GET").ok()?.text().parse::<i32>().ok()
        });
        die_of(server.address(), path);
        let line = line_about(&server, "worker exited", worker);
        let exit = line["exit"].as_str().expect("an exit is told").to_owned();
        assert!(exit == expected || exit == format!("{expected}, core dumped"), "{path}: {line}");
        assert!(
            line["running"].as_str().is_some_and(|running| running.contains(&format!("GET {path} (for "))),
            "{line}"
        );
        assert!(line["requests"].as_u64() >= Some(2) && line["age"].is_string() && line["next"].is_string(), "{line}");
    }
    let by = app(&server)["restarts_by"].clone();
    assert_eq!((&by["crash"], &by["exit"], &by["boot_failure"]), (&4.into(), &1.into(), &0.into()), "{by}");
}

#[test]
fn the_first_crash_is_made_good_at_once_and_those_that_follow_after_growing_pauses() {
    let server = site().serve();
    let mut nexts = Vec::new();
    for _ in 0..4 {
        let worker = eventually("a worker", || server.workers().first().copied());
        eventually("it to serve", || {
            let serving = app(&server)["workers"][0].clone();
            (serving["pid"] == worker && serving["state"] == "serving").then_some(())
        });
        die_of(server.address(), "/segfault");
        nexts.push(line_about(&server, "worker exited", worker)["next"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(nexts[0], "replaced at once");
    assert!(nexts[1..].iter().all(|next| next.starts_with("next try in ")), "{nexts:?}");
    assert_eq!(server.process().status(), None, "the server stays");
}

#[test]
fn a_crash_at_the_import_is_told_from_one_of_a_worker_that_served() {
    let server = Site::new("dying:application").file("dying.py", "import os\nos.abort()\n").launch();
    let line = server.logged("worker exited before it served");
    assert!(line["exit"].as_str().is_some_and(|exit| exit.starts_with("SIGABRT")), "{line}");
    assert!(line["next"].as_str().is_some_and(|next| next.starts_with("next try in ")), "{line}");
    eventually("somebody who apologises", || {
        Client::try_connect(server.address()).ok()?.get("/").expect_status(503);
        Some(())
    });
    let (status, shown) = server.command(&["status"]);
    assert_eq!(status, 4, "{shown}");
    assert!(shown.contains("main: broken") && shown.contains("failed to boot") && shown.contains("SIGABRT"), "{shown}");
    assert_eq!(app(&server)["restarts_by"]["crash"], 0);
    assert_eq!(server.process().status(), None, "the server stays");
}

#[test]
fn a_boot_that_hangs_is_ended_by_timeouts_boot_and_counted_as_one_that_failed() {
    let hangs = "import threading\nthreading.Event().wait()\n";
    let server = Site::new("hanging:application").app("timeouts: {boot: 300ms}").file("hanging.py", hangs).launch();
    server.logged("worker not loaded within timeouts.boot");
    eventually("a boot failure in the status", || {
        let app = app(&server);
        let failed = app["restarts_by"]["boot_failure"].as_u64() >= Some(1);
        (failed && app["why"].as_str().is_some_and(|why| why.contains("timeouts.boot"))).then_some(()).ok_or(app)
    });
}

/// A server of `bad` with four workers, and of `good` on another address.
fn two_apps() -> (Server, SocketAddr) {
    let site = site();
    let (bad, good) = (site.listen(), site.another_address());
    let app = |name: &str, workers: usize, listen: SocketAddr| {
        format!("  {name}:\n    wsgi: crasher:application\n    listen: {listen}\n    workers: {workers}\n")
    };
    let yaml = format!("log: {{format: json, level: debug}}\napps:\n{}{}", app("bad", 4, bad), app("good", 1, good));
    let server = site.yaml(&yaml).launch();
    server.process().wait("both to serve", |lines, _| {
        (lines.iter().filter(|line| line.contains("\"msg\":\"serving\"")).count() == 2).then_some(())
    });
    (server, good)
}

#[test]
fn clients_who_crash_whatever_serves_them_degrade_their_application_and_no_other() {
    let (server, good) = two_apps();
    let ended = &AtomicBool::new(false);
    let answers = &AtomicUsize::new(0);
    let good_worker = Client::connect(good).get("/pid").text().to_owned();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(good);
                while !ended.load(Ordering::Relaxed) {
                    client.get("/pid").expect_status(200);
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..10 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let Ok(mut client) = Client::try_connect(server.address()) else { continue };
                    client.set_patience(Duration::from_millis(100));
                    let _ = client.try_send("GET /segfault?poison HTTP/1.1\r\nHost: h\r\n\r\n");
                    let _ = client.try_answer("GET");
                }
            });
        }
        let line = server.logged("application degraded");
        assert_eq!(
            (&line["app"], line["why"].as_str().map(|why| why.contains("SIGSEGV"))),
            (&"bad".into(), Some(true)),
            "{line}"
        );
        let spawned = || server.count("worker booting");
        let (before, since) = (spawned(), Instant::now());
        let status = server.status();
        assert_eq!(
            (&status["state"], &status["apps"][0]["state"]),
            (&"degraded".into(), &"degraded".into()),
            "{status}"
        );
        assert_eq!(status["apps"][1]["state"], "serving", "{status}");
        assert!(status["apps"][0]["degraded_for"].is_number(), "{status}");
        // Seconds in which the clients would have crashed hundreds: each place may have had one try under way.
        eventually("some seconds", || (since.elapsed() > Duration::from_secs(5)).then_some(()));
        assert!(spawned() - before <= 8, "{} spawns in five seconds of a degraded application", spawned() - before);
        ended.store(true, Ordering::Relaxed);
    });
    assert!(answers.load(Ordering::Relaxed) > 1000, "{answers:?}");
    assert_eq!(Client::connect(good).get("/pid").text(), good_worker, "the other application has the same worker");
    let (status, shown) = server.command(&["status"]);
    assert!(status == 4 && shown.contains("workers lost within"), "{shown}");
    assert!(server.process().output().contains("GET /segfault?poison (for "), "the poison is named");
    assert_eq!(server.count("application degraded"), 1, "it is said once");
}

#[test]
fn a_degraded_application_is_well_at_once_after_a_reload() {
    let (server, _) = two_apps();
    // One by one, so that none is left in the backlog.
    while server.count("application degraded") == 0 {
        die_of(server.address(), "/segfault");
    }
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    server.logged("application not degraded any more");
    eventually("all to serve", || {
        let (status, shown) = server.command(&["status"]);
        (status == 0).then_some(()).ok_or(shown)
    });
}

#[test]
fn a_new_worker_that_dies_while_an_old_one_drains_is_replaced_at_once() {
    let server = Site::new("gate:application").app("threads: 2").serve();
    let old = server.workers()[0];
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || (server.get("/").text() == "1").then_some(()));
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    let new = eventually("a new worker", || server.workers().into_iter().find(|pid| *pid != old));
    server.kill_worker(new);
    let newest: i32 = server.get("/pid").text().parse().expect("a process number");
    assert!(newest != new && newest != old);
    assert!(server.workers().contains(&old), "the old one still has its request");
    assert_eq!(line_about(&server, "worker exited", new)["next"], "replaced at once");
}

#[test]
fn a_worker_that_stands_still_is_replaced_and_killed() {
    let server = site().app("workers: 2\ntimeouts: {heartbeat: 1s}").serve();
    let victim = server.workers()[0];
    stop(victim);
    let line = line_about(&server, "worker silent", victim);
    assert_eq!((&line["silent"], line["for"].is_string()), (&"I/O".into(), true), "{line}");
    eventually("the victim's end", || stat(victim).is_none().then_some(()));
    eventually("two that serve again", || {
        let app = app(&server);
        let serving = app["workers"]
            .as_array()
            .is_some_and(|all| all.iter().filter(|one| one["state"] == "serving").count() == 2);
        (serving && app["restarts_by"]["silent"] == 1).then_some(()).ok_or(app)
    });
    assert_eq!(server.count("worker silent"), 1);
    server.get("/pid").expect_status(200);
}

#[test]
fn a_held_gil_is_named_with_the_stack_that_holds_it_and_its_worker_replaced() {
    let server = site().app("threads: 2\ntimeouts: {heartbeat: 3s, request: 1m}").serve();
    let worker = server.workers()[0];
    let mut keeper = server.connect();
    assert_eq!(pid_of(&mut keeper), worker);
    let mut holder = server.connect();
    holder.send("GET /hold_the_gil HTTP/1.1\r\nHost: h\r\n\r\n");
    let line = line_about(&server, "worker silent", worker);
    assert_eq!(line["silent"], "Python", "{line}");
    assert!(line["running"].as_str().is_some_and(|running| running.contains("GET /hold_the_gil (for ")), "{line}");
    let stacks = line_about(&server, "stacks of a silent worker", worker);
    assert!(stacks["detail"].as_str().is_some_and(|detail| detail.contains("hold_the_gil")), "{stacks}");
    eventually("its other connection to be handed over", || {
        let all = app(&server)["workers"].clone();
        let old = all.as_array()?.iter().find(|one| one["pid"] == worker)?.clone();
        (old["state"] == "draining" && old["work"]["connections"] == 1).then_some(())
    });
    assert_ne!(pid_of(&mut keeper), worker, "its other connections are served by the new one");
    eventually("the end of who holds it", || stat(worker).is_none().then_some(()));
    assert_eq!(app(&server)["restarts_by"]["silent"], 1);
}

#[test]
fn a_machine_that_stood_still_as_a_whole_loses_no_worker() {
    let server = site().app("workers: 2\ntimeouts: {heartbeat: 1s}").serve();
    let before: BTreeSet<i32> = server.workers().into_iter().collect();
    // The supervisor last and first: as when a machine is suspended, nobody sees the others stand still.
    let all: Vec<i32> = before.iter().copied().chain([server.process().pid().as_raw()]).collect();
    let resume = |pid: i32| kill(Pid::from_raw(pid), Signal::SIGCONT).expect("it can go on");
    stop(all[2]);
    before.iter().for_each(|worker| stop(*worker));
    let since = Instant::now();
    eventually("more than a heartbeat", || (since.elapsed() > Duration::from_secs(3)).then_some(()));
    resume(all[2]);
    before.iter().for_each(|worker| resume(*worker));
    let since = Instant::now();
    eventually("rounds of beats", || {
        server.get("/pid").expect_status(200);
        (since.elapsed() > Duration::from_secs(3)).then_some(())
    });
    assert_eq!(server.workers().into_iter().collect::<BTreeSet<_>>(), before);
    assert_eq!(server.count("worker silent"), 0);
}

#[test]
fn a_call_that_cannot_be_ended_has_its_worker_replaced_and_costs_its_client_alone() {
    let server = site().app("threads: 2\ntimeouts: {request: 1s}").serve();
    let worker = server.workers()[0];
    let mut keeper = server.connect();
    assert_eq!(pid_of(&mut keeper), worker);
    let mut stuck = server.connect();
    stuck.send("GET /wait_in_c HTTP/1.1\r\nHost: h\r\n\r\n");
    stuck.answer().expect_status(504);
    let line = line_about(&server, "worker stuck", worker);
    assert!(line["why"].as_str().is_some_and(|why| why.contains("/wait_in_c")), "{line}");
    eventually("the stuck worker's end", || {
        keeper.get("/pid").expect_status(200);
        stat(worker).is_none().then_some(())
    });
    assert_ne!(pid_of(&mut keeper), worker);
    let by = app(&server)["restarts_by"].clone();
    assert_eq!((&by["stuck"], &by["crash"]), (&1.into(), &0.into()), "{by}");
}

#[test]
fn a_stuck_worker_whose_replacement_cannot_boot_serves_on_with_its_other_threads() {
    let server = site().app("threads: 2\ntimeouts: {request: 1s}").serve();
    let worker = server.workers()[0];
    server.site().put("crasher.py", "raise RuntimeError('a bad deploy')\n");
    let mut stuck = server.connect();
    stuck.send("GET /wait_in_c HTTP/1.1\r\nHost: h\r\n\r\n");
    stuck.answer().expect_status(504);
    line_about(&server, "worker stuck", worker);
    eventually("two tries", || (server.count("worker failed to boot") >= 2).then_some(()));
    assert_eq!(server.get("/pid").text(), worker.to_string());
    server.site().put("crasher.py", include_str!("apps/crasher.py"));
    eventually("the stuck worker's end", || stat(worker).is_none().then_some(()));
    assert_ne!(server.get("/pid").text(), worker.to_string());
}

#[test]
fn a_parked_server_has_no_workers_and_answers_what_waited_after_the_next_reload() {
    let server = site().app("workers: 2").serve();
    let mut kept = server.connect();
    pid_of(&mut kept);
    server.signal(Signal::SIGWINCH);
    kept.expect_close();
    eventually("no workers", || server.workers().is_empty().then_some(()));
    let (status, shown) = server.command(&["status"]);
    assert!(status == 4 && shown.contains("parked"), "{shown}");
    let (status, said) = server.command(&["scale", "main", "3"]);
    assert!(status == 1 && said.contains("WINCH"), "{said}");
    let mut waiting: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    server.signal(Signal::SIGHUP);
    for client in &mut waiting {
        client.answer().expect_status(200);
    }
    eventually("both workers", || (server.command(&["status"]).0 == 0).then_some(()));
}

#[test]
fn a_parked_server_stops() {
    let server = site().serve();
    server.signal(Signal::SIGWINCH);
    eventually("no workers", || server.workers().is_empty().then_some(()));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}
