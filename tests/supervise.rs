//! The supervisor and its processes: signals, ends, descriptors, names.

use std::collections::BTreeSet;
use std::net::TcpStream;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{
    Broken, Client, Ending, Server, Site, command_line, descriptors, eventually, living, program, stop,
};

fn gate(workers: usize) -> Server {
    Site::new("gate:application").app(&format!("workers: {workers}\nthreads: 2")).serve()
}

/// Whether nobody listens there any more.
fn is_refused(server: &Server) -> bool {
    TcpStream::connect(server.address()).is_err()
}

#[test]
fn term_lets_requests_finish_and_exits_with_0() {
    let server = gate(1);
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut opener = server.connect();
    eventually("the call to block", || (opener.get("/").text() == "1").then_some(()));
    server.signal(Signal::SIGTERM);
    server.logged("stopping");
    eventually("the worker to leave its listener", || is_refused(&server).then_some(()));
    // A connection that was there before may still ask; the answer tells it to go.
    assert!(opener.get("/open").expect_status(200).says_close());
    client.answer().expect_status(200);
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().session().is_empty(), "nothing is left behind");
}

#[test]
fn term_answers_what_waits_in_the_backlog() {
    let server = gate(1);
    server.get("/pid").expect_status(200);
    let worker = server.workers()[0];
    // While the worker stands still nothing is accepted: these wait in the backlog when the end begins.
    stop(worker);
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    server.signal(Signal::SIGTERM);
    server.logged("stopping");
    kill(Pid::from_raw(worker), Signal::SIGCONT).expect("a worker can go on");
    for client in &mut clients {
        client.answer().expect_status(200);
        client.expect_close();
    }
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn term_answers_what_a_full_worker_has_not_accepted() {
    let full = "threads: 2\nlimits: {connections_max: 1}";
    let server = Site::new("gate:application").app(full).serve();
    let mut holder = server.connect();
    holder.get("/pid").expect_status(200);
    holder.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    // The worker holds as many connections as it may, so these wait in the backlog when the end begins; the last of them
    // sets the first free.
    let mut clients: Vec<Client> = (0..10).map(|_| server.connect()).collect();
    let (last, others) = clients.split_last_mut().expect("there are ten");
    for client in &mut *others {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    last.send("GET /open HTTP/1.1\r\nHost: h\r\n\r\n");
    server.signal(Signal::SIGTERM);
    for client in others.iter_mut().chain([last, &mut holder]) {
        assert!(client.answer().expect_status(200).says_close());
        client.expect_close();
    }
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn requests_that_waited_for_the_first_worker_are_answered_even_when_term_comes_at_once() {
    for _ in 0..5 {
        let server = Site::new("gate:application").launch();
        server.logged("worker booting");
        let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        server.logged("serving");
        server.signal(Signal::SIGTERM);
        for client in &mut clients {
            client.answer().expect_status(200);
            client.expect_close();
        }
        assert_eq!(server.exit_code(), 0);
    }
}

#[test]
fn idle_connections_are_closed_at_a_drain() {
    let server = gate(2);
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.get("/pid").expect_status(200);
    }
    server.signal(Signal::SIGTERM);
    for client in &mut clients {
        client.expect_close();
    }
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn int_and_quit_stop_quickly() {
    for signal in [Signal::SIGINT, Signal::SIGQUIT] {
        let server = gate(2);
        let mut client = server.connect();
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        eventually("the call to block", || (server.get("/").text() == "1").then_some(()));
        server.signal(signal);
        // Nobody opens the gate: the exit does not wait for the call.
        assert_eq!(server.exit_code(), 0, "{signal}");
        assert!(matches!(client.try_answer("GET"), Err(Broken::Ended(Ending::Eof | Ending::Reset, _))));
        eventually("every process to end", || server.process().session().is_empty().then_some(()));
    }
}

#[test]
fn a_request_that_never_ends_is_killed_when_the_drain_is_over() {
    let server = Site::new("gate:application").app("timeouts: {drain: 300ms}").serve();
    server.connect().send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    server.signal(Signal::SIGTERM);
    server.exit_code();
    eventually("every process to end", || server.process().session().is_empty().then_some(()));
}

#[test]
fn the_address_is_free_as_soon_as_the_server_has_ended() {
    let server = gate(2);
    server.get("/pid").expect_status(200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(is_refused(&server));
    let again = server.site().supervisor(&["run", "-c", "server.yaml"]);
    again.line("serving");
    server.get("/pid").expect_status(200);
}

#[test]
fn a_dead_worker_is_replaced_and_the_log_says_how_it_ended() {
    let server = gate(2);
    let before: BTreeSet<i32> = server.workers().into_iter().collect();
    assert_eq!(before.len(), 2);
    let victim = *before.first().expect("there are two");
    server.kill_worker(victim);
    let after = eventually("a second worker again", || {
        let workers: BTreeSet<i32> = server.workers().into_iter().collect();
        (workers.len() == 2).then_some(workers)
    });
    assert_eq!(before.intersection(&after).count(), 1, "the other one stayed");
    let line = server.logged("worker exited");
    assert_eq!((&line["pid"], &line["exit"]), (&victim.into(), &"SIGKILL".into()), "{line}");
}

#[test]
fn workers_inherit_only_the_meant_descriptors() {
    // What whoever started the supervisor left open, and not close-on-exec, is not meant either.
    let _left_open = nix::unistd::pipe().expect("a pipe can be made");
    let server = gate(2);
    server.get("/pid").expect_status(200);
    let of_the_supervisor = descriptors(server.process().pid().as_raw());
    for worker in server.workers() {
        let (standard, open): (Vec<_>, Vec<_>) = descriptors(worker).into_iter().partition(|(number, _)| *number < 3);
        // What it prints to, which it could also read, and what it logs to, which is where the supervisor logs.
        let log = of_the_supervisor.iter().filter(|(number, _)| *number == 2);
        let is_meant = |target: &str| standard.iter().chain(log.clone()).any(|(_, meant)| meant == target);
        // Python may open files of its own; of what came with the exec, sockets are shared and nothing else.
        let shared = |target: &str| of_the_supervisor.iter().any(|(number, ours)| *number > 2 && ours == target);
        let is_strange = |target: &str| target.starts_with("pipe:") || (target.starts_with('/') && shared(target));
        let strange: Vec<_> = open
            .iter()
            .filter(|(_, target)| is_strange(target) && !is_meant(target) && !target.starts_with("/memfd:"))
            .collect();
        assert!(strange.is_empty(), "{strange:?} of {open:?} belong to others");
        let pidfds = open.iter().filter(|(_, target)| target.contains("[pidfd]") || target.contains("[signalfd]"));
        assert_eq!(pidfds.count(), 0, "what belongs to the supervisor is open in a worker: {open:?}");
        // The listener, and the two ends of where siblings leave requests for each other; a listener too many would outlive the address.
        let sockets = open.iter().filter(|(_, target)| target.starts_with("socket:") && shared(target)).count();
        assert_eq!(sockets, 3, "the one listener and the offers are shared: {open:?} and {of_the_supervisor:?}");
    }
}

#[test]
fn the_supervisor_gathers_no_descriptors_as_workers_come_and_go() {
    let server = gate(1);
    let supervisor = server.process().pid().as_raw();
    let count = || descriptors(supervisor).len();
    let kill_one = || {
        let victim = server.workers()[0];
        server.kill_worker(victim);
        eventually("another worker to serve", || {
            server.get("/pid").text().parse::<i32>().ok().filter(|pid| *pid != victim)
        });
    };
    kill_one();
    let before = count();
    for _ in 0..3 {
        kill_one();
    }
    eventually("the descriptors to be as many as before", || (count() <= before).then_some(()));
}

#[test]
fn each_worker_is_a_process_group_of_its_own_in_one_session() {
    let server = gate(2);
    let supervisor = living(server.process().pid().as_raw());
    let mut groups = BTreeSet::from([supervisor.group]);
    for pid in server.workers() {
        let worker = living(pid);
        assert_eq!(worker.session, supervisor.session);
        assert_eq!(worker.group, pid, "it leads its own group");
        groups.insert(worker.group);
    }
    assert_eq!(groups.len(), 3);
}

#[test]
fn ps_shows_the_app_and_the_generation_of_each_worker() {
    let server = gate(1);
    let line = command_line(server.workers()[0]);
    assert!(line.contains("main") && line.contains('1'), "{line:?}");
    assert!(living(server.workers()[0]).name.contains("worker"), "{:?}", living(server.workers()[0]));
}

#[test]
fn the_soft_limit_on_descriptors_is_raised_to_the_hard_one() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a process has limits");
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(512), hard).expect("a soft limit may be lowered");
    let server = gate(1);
    for pid in [server.process().pid().as_raw(), server.workers()[0]] {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("a living process has limits");
        let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("the limit is listed");
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(fields[3], fields[4], "{line}");
    }
}

#[test]
fn workers_end_when_their_supervisor_is_killed_or_serve_on() {
    // Today they may do either (a later promise is that they serve on); what they may not do is hang about broken.
    let server = gate(1);
    kill(server.process().pid(), Signal::SIGKILL).expect("the supervisor can be killed");
    eventually("the workers to end or to serve", || {
        let ended = server.process().session().is_empty();
        let serves = TcpStream::connect(server.address()).is_ok();
        (ended || serves).then_some(())
    });
}

#[test]
fn a_replaced_package_is_not_mixed_with_the_running_supervisor() {
    let programs = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["supervisor", "worker"] {
        std::fs::copy(program(name), programs.path().join(name)).expect("a program can be copied");
    }
    let site = Site::new("gate:application");
    let server = site.launch_from(&programs.path().join("supervisor"));
    server.wait_until_serving();
    // As a package manager does: another file takes the name. This one could not even start.
    std::fs::write(programs.path().join("new"), "not a program").expect("a file can be written");
    std::fs::rename(programs.path().join("new"), programs.path().join("worker")).expect("a file can be moved");
    let victim = server.workers()[0];
    server.kill_worker(victim);
    let pid: i32 = server.get("/pid").text().parse().expect("a process number");
    assert_ne!(pid, victim);
}

#[test]
fn a_supervisor_without_its_worker_says_so() {
    let programs = tempfile::tempdir().expect("a temporary folder can be made");
    let alone = programs.path().join("supervisor");
    std::fs::copy(program("supervisor"), &alone).expect("a program can be copied");
    let server = Site::new("gate:application").launch_from(&alone);
    assert_ne!(server.exit_code(), 0);
    let output = server.process().whole_output();
    assert!(output.contains("worker") && output.contains(&*programs.path().to_string_lossy()), "{output}");
}

#[test]
fn a_worker_that_hangs_at_its_import_is_killed_after_timeouts_boot() {
    let site = Site::new("hanging:application").app("timeouts: {boot: 300ms}");
    let server = site.file("hanging.py", "import threading\nthreading.Event().wait()\n").launch();
    let line = server.logged("boot");
    eventually("the hanging worker to be killed", || {
        let output = server.process().output();
        (output.contains("signal 9") || output.contains("SIGKILL")).then_some(()).ok_or(output)
    });
    assert_eq!(server.process().status(), None, "the server stays: {line}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn an_app_that_is_repaired_is_served_without_a_restart() {
    let server = Site::new("gate:application").file("gate.py", "import nowhere_at_all\n").launch();
    server.process().line("cannot import");
    let good = crate::harness::repository().join("tests/apps/gate.py");
    std::fs::copy(good, server.site().path("gate.py")).expect("an app can be copied");
    server.wait_until_serving();
    // The worker that apologised may take a last connection while it leaves.
    eventually("the application", || (server.get("/pid").status == 200).then_some(()));
}

#[test]
fn int_ends_a_drain_that_takes_too_long() {
    let server = gate(1);
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || (server.get("/").text() == "1").then_some(()));
    server.signal(Signal::SIGTERM);
    server.logged("stopping");
    server.signal(Signal::SIGINT);
    server.exit_code();
    assert!(server.process().session().is_empty(), "nothing is left behind");
}

#[test]
fn term_before_the_first_worker_has_loaded_ends_the_server() {
    let site = Site::new("hanging:application");
    let server = site.file("hanging.py", "import threading\nthreading.Event().wait()\n").launch();
    server.logged("worker booting");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    eventually("every process to end", || server.process().session().is_empty().then_some(()));
}

#[test]
fn signals_that_ask_for_nothing_here_end_nothing() {
    // gunicorn's users send these; what they ask for is not built yet, and must not be the end.
    let server = gate(1);
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGTTIN, Signal::SIGTTOU] {
        server.signal(signal);
        server.get("/pid").expect_status(200);
    }
    assert_eq!(server.process().status(), None);
}

#[test]
fn an_app_that_is_served_as_root_is_warned_about_once() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("not tried: this is not root");
        return;
    }
    let server = gate(2);
    let warnings = server.process().output().lines().filter(|line| line.contains("root")).count();
    assert_eq!(warnings, 1, "{}", server.process().output());
}

#[test]
fn a_backlog_beyond_what_the_kernel_allows_is_warned_about() {
    let most: u32 =
        std::fs::read_to_string("/proc/sys/net/core/somaxconn").expect("Linux says").trim().parse().expect("a number");
    if most >= 65535 {
        eprintln!("not tried: net.core.somaxconn is at least as large as the largest backlog");
        return;
    }
    let server = Site::new("gate:application").app(&format!("backlog: {}", most + 1)).serve();
    server.process().line("somaxconn");
}
