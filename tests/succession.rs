//! From one supervisor to the next: killed and followed by another, or upgraded in its own process. Nobody may notice.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::{Client, Process, Server, Site, descriptors, eventually, program};

/// Two workers that answer with the version that `deploy.py` says, and with their process.
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

/// A server whose first supervisor is killed, and its clients.
struct Orphaned {
    server: Server,
    workers: BTreeSet<i32>,
    keepers: Vec<Client>,
}

impl Orphaned {
    /// Kills the supervisor of a server.
    fn of(server: Server) -> Orphaned {
        let workers: BTreeSet<i32> = server.workers().into_iter().collect();
        let mut keepers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
        for keeper in &mut keepers {
            version_and_pid(keeper);
        }
        kill_supervisor(&server);
        Orphaned { server, workers, keepers }
    }

    /// Fails unless everybody is served by the workers that were there, old connections and new ones.
    fn expect_served(&mut self) {
        let fresh = self.server.connect();
        for client in self.keepers.iter_mut().chain([&mut { fresh }]) {
            let (_, pid) = version_and_pid(client);
            assert!(self.workers.contains(&pid), "{pid} is none of {:?}", self.workers);
        }
    }

    /// Starts the next supervisor, and waits until it has taken the workers over.
    fn succeed(&self) -> Process {
        let next = self.server.site().supervisor(&["run", "-c", "server.yaml"]);
        next.line("workers of an earlier supervisor are taken over");
        eventually("the next supervisor to answer commands", || {
            let (status, _) = self.server.command(&["status"]);
            (status == 0).then_some(()).ok_or(status)
        });
        next
    }
}

fn kill_supervisor(server: &Server) {
    server.signal(Signal::SIGKILL);
    server.process().wait("the supervisor to be gone", |_, status| status.map(|_| ()));
}

/// The processes that the status says serve.
fn serving(server: &Server) -> BTreeSet<i32> {
    let status = server.status();
    let workers = status["apps"][0]["workers"].as_array().cloned().unwrap_or_default();
    let serves = workers.into_iter().filter(|worker| worker["state"] == "serving");
    serves.filter_map(|worker| Some(worker["pid"].as_i64()? as i32)).collect()
}

/// Whether a process has ended, be it that nobody has asked how.
fn is_gone(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[track_caller]
fn wait_for_the_end(workers: &BTreeSet<i32>) {
    eventually("every worker to end", || {
        let left: Vec<i32> = workers.iter().copied().filter(|pid| !is_gone(*pid)).collect();
        left.is_empty().then_some(()).ok_or(left)
    });
}

#[track_caller]
fn stop(server: &Server, next: &Process) {
    let (status, said) = server.command(&["stop"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(next.exit_code(), 0);
}

/// What lies in the runtime folder of a server.
fn left_behind(name: &str) -> Vec<String> {
    let folder = runtime_folder();
    let entries = fs::read_dir(&folder).expect("there is a runtime folder");
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|found| found.starts_with(name)).collect()
}

fn runtime_folder() -> PathBuf {
    match (nix::unistd::geteuid().is_root(), std::env::var_os("XDG_RUNTIME_DIR")) {
        (true, _) => "/run/monoceros".into(),
        (false, Some(folder)) => PathBuf::from(folder).join("monoceros"),
        (false, None) => std::env::temp_dir().join(format!("monoceros-{}", nix::unistd::geteuid())),
    }
}

/// The file in the runtime folder that ends so and belongs to a server.
fn runtime_file(server: &Server, ending: &str) -> PathBuf {
    let locks = fs::read_dir(runtime_folder()).expect("there is a runtime folder").flatten();
    let pid = format!("{}\n", server.process().pid());
    let own = locks.map(|entry| entry.path()).filter(|path| {
        path.extension().is_some_and(|end| end == "lock") && fs::read_to_string(path).ok().as_ref() == Some(&pid)
    });
    // A server that was killed long ago may have left one with the same number.
    let lock = own.max_by_key(|path| fs::metadata(path).and_then(|found| found.modified()).ok());
    lock.expect("a server has a lock").with_extension(ending)
}

#[test]
fn workers_of_a_killed_supervisor_serve_on_and_are_taken_over() {
    let server = site().serve();
    let name = runtime_file(&server, "").file_name().expect("it has a name").to_string_lossy().into_owned();
    let mut orphaned = Orphaned::of(server);
    orphaned.expect_served();
    let (status, said) = orphaned.server.command(&["status"]);
    assert_eq!(status, 3, "{said}");
    for pid in &orphaned.workers {
        assert!(said.contains(&pid.to_string()), "{said}");
    }
    let next = orphaned.succeed();
    orphaned.expect_served();
    assert_eq!(serving(&orphaned.server), orphaned.workers, "they are the same");
    assert!(!next.output().contains("nothing is known of them"), "their record was read");
    let (status, said) = orphaned.server.command(&["stacks"]);
    assert_eq!((status, said.matches("told by Python").count()), (0, 2), "words reach both again: {said}");
    orphaned.server.site().put("deploy.py", "VERSION = 2\n");
    next.signal(Signal::SIGHUP);
    next.line("reloaded");
    for keeper in &mut orphaned.keepers {
        eventually("the new version on the old connection", || {
            let seen = version_and_pid(keeper).0;
            (seen == 2).then_some(()).ok_or(seen)
        });
    }
    wait_for_the_end(&orphaned.workers);
    next.signal(Signal::SIGTERM);
    assert_eq!(next.exit_code(), 0);
    assert_eq!(left_behind(&name), Vec::<String>::new());
}

#[test]
fn what_differs_in_the_file_is_brought_in_line_after_a_death() {
    let mut orphaned = Orphaned::of(site().serve());
    let yaml = orphaned.server.site().read("server.yaml");
    orphaned
        .server
        .site()
        .put("server.yaml", &yaml.replace("workers: 2", "workers: 3\n    environment: {COLOUR: blue}"));
    let next = orphaned.succeed();
    next.line("reloaded");
    let now = serving(&orphaned.server);
    assert!(now.len() == 3 && now.is_disjoint(&orphaned.workers), "{now:?}");
    for keeper in &mut orphaned.keepers {
        eventually("a new worker on the old connection", || now.contains(&version_and_pid(keeper).1).then_some(()));
        assert_eq!(keeper.get("/environ?COLOUR").text(), "blue");
    }
    stop(&orphaned.server, &next);
}

#[test]
fn a_file_that_cannot_be_read_ends_the_next_supervisor_and_no_worker() {
    let mut orphaned = Orphaned::of(site().serve());
    let yaml = orphaned.server.site().read("server.yaml");
    orphaned.server.site().put("server.yaml", "apps: [");
    let next = orphaned.server.site().supervisor(&["run", "-c", "server.yaml"]);
    assert_eq!(next.exit_code(), 2);
    orphaned.expect_served();
    orphaned.server.site().put("server.yaml", &yaml);
    let next = orphaned.succeed();
    orphaned.expect_served();
    stop(&orphaned.server, &next);
}

#[test]
fn a_worker_that_died_meanwhile_is_replaced_and_the_others_stay() {
    let mut orphaned = Orphaned::of(site().serve());
    let victim = *orphaned.workers.first().expect("there are two");
    kill(Pid::from_raw(victim), Signal::SIGKILL).expect("a worker can be killed");
    eventually("the worker to be gone", || is_gone(victim).then_some(()));
    let next = orphaned.succeed();
    next.line("worker exited while nobody attended to it");
    let now = eventually("two workers to serve", || {
        let now = serving(&orphaned.server);
        (now.len() == 2).then_some(now.clone()).ok_or(now)
    });
    orphaned.workers.remove(&victim);
    assert_eq!(now.intersection(&orphaned.workers).count(), 1, "the other one stays: {now:?}");
    assert_eq!(orphaned.server.status()["apps"][0]["restarts"], 1);
    stop(&orphaned.server, &next);
}

#[test]
fn what_was_scaled_stays_scaled_after_a_death() {
    let server = site().serve();
    assert_eq!(server.command(&["scale", "main", "3"]).0, 0);
    let mut orphaned = Orphaned::of(server);
    assert_eq!(orphaned.workers.len(), 3);
    let next = orphaned.succeed();
    orphaned.expect_served();
    assert_eq!(serving(&orphaned.server), orphaned.workers);
    stop(&orphaned.server, &next);
}

#[test]
fn a_worker_that_drains_goes_on_draining_under_the_next_supervisor() {
    let server = site().app("timeouts: {drain: 1h}").serve();
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || server.site().path("waiting").exists().then_some(()));
    let before: BTreeSet<i32> = server.workers().into_iter().collect();
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    let old = eventually("one old worker to be left", || {
        let now: BTreeSet<i32> = server.workers().into_iter().collect();
        let old: Vec<i32> = now.intersection(&before).copied().collect();
        if let [one] = old[..] { Ok(one) } else { Err(old) }
    });
    let mut orphaned = Orphaned::of(server);
    let next = orphaned.succeed();
    orphaned.expect_served();
    let status = orphaned.server.status();
    let workers = status["apps"][0]["workers"].as_array().expect("there are workers").clone();
    let state = |worker: &Value| (worker["pid"] == old).then(|| worker["state"].clone());
    assert_eq!(workers.iter().find_map(state), Some("draining".into()), "{status}");
    orphaned.server.site().put("open", "");
    waiting.answer().expect_status(200);
    eventually("the old worker to end", || is_gone(old).then_some(()));
    stop(&orphaned.server, &next);
}

#[test]
fn a_record_that_is_broken_or_lost_costs_nobody_and_the_workers_are_replaced() {
    for broken in [Some("{\"form\": 1, \"legacy\": "), Some("{\"form\": 77}"), None] {
        let server = site().serve();
        let state = runtime_file(&server, "state");
        assert!(fs::metadata(&state).is_ok_and(|found| found.permissions().mode() & 0o777 == 0o600));
        let mut orphaned = Orphaned::of(server);
        match broken {
            Some(text) => fs::write(&state, text).expect("a record can be broken"),
            None => fs::remove_file(&state).expect("a record can be lost"),
        }
        let next = orphaned.succeed();
        next.line("nothing is known of them");
        wait_for_the_end(&orphaned.workers);
        let now = serving(&orphaned.server);
        assert!(now.len() == 2 && now.is_disjoint(&orphaned.workers), "{now:?}");
        for keeper in &mut orphaned.keepers {
            assert!(now.contains(&version_and_pid(keeper).1), "the connection is kept");
        }
        stop(&orphaned.server, &next);
    }
}

#[test]
fn workers_that_are_all_in_a_call_give_their_listeners_back() {
    let server =
        Site::new("deployed:application").file("deploy.py", "VERSION = 1\n").app("workers: 1\nthreads: 1").serve();
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || server.site().path("waiting").exists().then_some(()));
    let worker = server.workers();
    kill_supervisor(&server);
    let next = server.site().supervisor(&["run", "-c", "server.yaml"]);
    next.line("workers of an earlier supervisor are taken over");
    let mut behind = server.connect();
    behind.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    server.site().put("open", "");
    for client in [&mut waiting, &mut behind] {
        assert!(client.answer().expect_status(200).text().contains(&worker[0].to_string()));
    }
    stop(&server, &next);
}

#[test]
fn a_worker_that_stands_still_is_replaced_by_the_next_supervisor() {
    let server = site().app("timeouts: {drain: 1s}").serve();
    let workers = server.workers();
    kill_supervisor(&server);
    crate::harness::stop(workers[0]);
    let next = server.site().supervisor(&["run", "-c", "server.yaml"]);
    next.line("a worker does not answer: it is replaced");
    let now = eventually("two workers that serve", || {
        let now = serving(&server);
        (now.len() == 2 && !now.contains(&workers[0])).then_some(now.clone()).ok_or(now)
    });
    assert!(now.contains(&workers[1]), "the other one stays: {now:?}");
    eventually("the one that stood still to be gone", || is_gone(workers[0]).then_some(()));
    stop(&server, &next);
}

#[test]
fn an_application_that_cannot_be_loaded_is_apologised_for_through_all_successions() {
    let server = site().file("deploy.py", "raise LookupError('no such shop')\n").launch();
    server.logged("apologising");
    server.get("/").expect_status(503);
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 1, "{said}");
    server.get("/").expect_status(503);
    kill_supervisor(&server);
    server.get("/").expect_status(503);
    let next = server.site().supervisor(&["run", "-c", "server.yaml"]);
    next.line("workers of an earlier supervisor are taken over");
    server.get("/").expect_status(503);
    server.site().put("deploy.py", "VERSION = 2\n");
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    eventually("the application", || (server.get("/").status == 200).then_some(()));
    stop(&server, &next);
}

#[test]
fn strangers_cannot_claim_a_worker_and_a_supervisor_that_lives_keeps_it() {
    let server = site().serve();
    let socket = runtime_file(&server, "worker-1.sock");
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);
    let claimed = monoceros_shared::link::adoption::connect(&socket).expect("it can be reached");
    monoceros_shared::link::adoption::claim(&claimed, None).expect("it hears");
    let refused =
        eventually("an answer", || monoceros_shared::link::adoption::Reply::take(&claimed).expect("it is one"));
    assert_eq!(refused, monoceros_shared::link::adoption::Reply::Refused("its supervisor lives".into()));
    // Whoever says nothing, and whoever says nonsense, is let go.
    let silent = monoceros_shared::link::adoption::connect(&socket).expect("it can be reached");
    let mut orphaned = Orphaned::of(server);
    let nonsense = monoceros_shared::link::adoption::connect(&socket).expect("it can be reached");
    nonsense.give(&[7; 60_000], None).expect("it hears");
    let next = orphaned.succeed();
    orphaned.expect_served();
    assert_eq!(serving(&orphaned.server), orphaned.workers);
    drop((silent, nonsense));
    stop(&orphaned.server, &next);
}

#[test]
fn workers_drain_with_their_supervisor_where_that_is_asked_for() {
    let server = site().top("on_supervisor_loss: drain").serve();
    let workers: BTreeSet<i32> = server.workers().into_iter().collect();
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || server.site().path("waiting").exists().then_some(()));
    kill_supervisor(&server);
    eventually("both workers to know", || (server.count("the supervisor is gone") == 2).then_some(()));
    eventually("the other worker to end", || workers.iter().any(|pid| is_gone(*pid)).then_some(()));
    server.site().put("open", "");
    assert!(waiting.answer().expect_status(200).says_close());
    wait_for_the_end(&workers);
}

#[test]
fn workers_that_nobody_takes_over_drain_after_orphan_timeout() {
    let mut orphaned = Orphaned::of(site().top("orphan_timeout: 1s").serve());
    orphaned.expect_served();
    wait_for_the_end(&orphaned.workers);
    assert_eq!(orphaned.server.command(&["status"]).0, 3);
    let next = orphaned.server.site().supervisor(&["run", "-c", "server.yaml"]);
    next.line("\"serving\"");
    orphaned.server.get("/").expect_status(200);
    stop(&orphaned.server, &next);
}

#[test]
fn an_orphan_that_does_not_drain_in_time_ends_by_itself() {
    let server = site().top("on_supervisor_loss: drain").app("timeouts: {drain: 500ms}").serve();
    let workers: BTreeSet<i32> = server.workers().into_iter().collect();
    server.connect().send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || server.site().path("waiting").exists().then_some(()));
    kill_supervisor(&server);
    wait_for_the_end(&workers);
}

#[test]
fn stop_ends_workers_whose_supervisor_is_gone() {
    let server = site().serve();
    let name = runtime_file(&server, "").file_name().expect("it has a name").to_string_lossy().into_owned();
    let mut orphaned = Orphaned::of(server);
    let mut waiting = orphaned.server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to block", || orphaned.server.site().path("waiting").exists().then_some(()));
    let stopping = orphaned.server.site().supervisor(&["stop", "-c", "server.yaml"]);
    for keeper in &mut orphaned.keepers {
        keeper.expect_close();
    }
    orphaned.server.site().put("open", "");
    assert!(waiting.answer().expect_status(200).says_close());
    assert_eq!(stopping.exit_code(), 0);
    assert!(orphaned.workers.iter().all(|pid| is_gone(*pid)), "stop returns when they are gone");
    assert_eq!(orphaned.server.command(&["stop"]).0, 3, "there is nobody left");
    // A folder that others write to may be listed with what has just gone.
    eventually("nothing to be left of them", || {
        let is_theirs = |name: &String| name.contains("worker") || name.ends_with("state");
        let left: Vec<String> = left_behind(&name).into_iter().filter(is_theirs).collect();
        left.is_empty().then_some(()).ok_or(left)
    });
}

#[test]
fn a_second_supervisor_is_refused_by_the_number_of_the_first_and_harms_nobody() {
    // gunicorn, X1b and X11: a stale pid file keeps a new master out, or a second one binds beside the first.
    let server = site().serve();
    let workers = server.workers();
    let second = server.site().supervisor(&["run", "-c", "server.yaml"]);
    assert_eq!(second.exit_code(), 1);
    let said = second.whole_output();
    assert!(said.contains(&format!("supervisor {} does already", server.process().pid())), "{said}");
    server.get("/").expect_status(200);
    assert_eq!(server.workers(), workers);
}

#[test]
fn ten_supervisors_killed_in_a_row_leave_no_descriptor_behind() {
    let mut orphaned = Orphaned::of(site().serve());
    let counts = |supervisor: i32, workers: &BTreeSet<i32>| {
        let of_workers = workers.iter().map(|worker| descriptors(*worker).len());
        (descriptors(supervisor).len(), of_workers.collect::<Vec<_>>())
    };
    let mut first = None;
    for _ in 0..10 {
        let next = orphaned.succeed();
        orphaned.expect_served();
        let before = first.get_or_insert_with(|| counts(next.pid().as_raw(), &orphaned.workers)).clone();
        eventually("as many descriptors as after the first", || {
            let now = counts(next.pid().as_raw(), &orphaned.workers);
            let grown = now.0 > before.0 || now.1.iter().zip(&before.1).any(|(now, before)| now > before);
            if grown { Err((now, before.clone())) } else { Ok(()) }
        });
        next.signal(Signal::SIGKILL);
        next.wait("the supervisor to be gone", |_, status| status.map(|_| ()));
    }
    let next = orphaned.succeed();
    stop(&orphaned.server, &next);
}

/// A folder with a copy of the two programs.
struct Programs(tempfile::TempDir);

impl Programs {
    fn copied() -> Programs {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        for name in ["supervisor", "worker"] {
            fs::copy(program(name), folder.path().join(name)).expect("a program can be copied");
        }
        Programs(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts another file in a program's place, as a package does: by moving it there.
    fn replace(&self, name: &str, with: impl FnOnce(&Path)) {
        let fresh = self.path(&format!("{name}.new"));
        with(&fresh);
        fs::rename(&fresh, self.path(name)).expect("a file can be moved within a folder");
    }

    /// Puts a script in the supervisor's place; `REAL` in it is a copy of the program.
    fn wrap(&self, script: &str) {
        let real = self.path("real-supervisor");
        fs::copy(program("supervisor"), &real).expect("a program can be copied");
        self.replace("supervisor", |path| {
            fs::write(path, format!("#!/bin/sh\nREAL={}\n{script}\n", real.display()))
                .expect("a script can be written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a script can be made executable");
        });
    }

    fn serve(&self, site: Site) -> Server {
        let server = site.launch_from(&self.path("supervisor"));
        server.wait_until_serving();
        server
    }
}

/// Fails unless an upgrade of this server is refused for this reason, and changes nothing.
#[track_caller]
fn expect_refused(server: &Server, reason: &str) {
    let mut keeper = server.connect();
    version_and_pid(&mut keeper);
    let workers = server.workers();
    let open = descriptors(server.process().pid().as_raw()).len();
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("upgrade abandoned") && said.contains(reason), "{reason:?} is not in {said}");
    assert_eq!(server.workers(), workers, "the workers stay");
    assert!(workers.contains(&version_and_pid(&mut keeper).1), "the connection stays where it was");
    eventually("as many descriptors as before", || {
        let now = descriptors(server.process().pid().as_raw()).len();
        (now <= open).then_some(()).ok_or(now)
    });
    server.site().put("deploy.py", "VERSION = 7\n");
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    eventually("the next reload to reach the old connection", || (version_and_pid(&mut keeper).0 == 7).then_some(()));
}

fn executable(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).expect("a living process has a program")
}

#[test]
fn an_upgrade_brings_a_new_program_in_the_same_process() {
    let programs = Programs::copied();
    let server = programs.serve(site());
    let supervisor = server.process().pid().as_raw();
    let mut keepers: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for keeper in &mut keepers {
        version_and_pid(keeper);
    }
    let before: BTreeSet<i32> = server.workers().into_iter().collect();
    server.site().put("deploy.py", "VERSION = 2\n");
    for name in ["supervisor", "worker"] {
        programs.replace(name, |path| {
            fs::copy(program(name), path).expect("a program can be copied");
        });
    }
    assert!(executable(supervisor).to_string_lossy().ends_with("(deleted)"), "the old one runs");
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!((status, said.lines().last()), (0, Some("generation 2 serves")), "{said}");
    assert_eq!(server.process().status(), None);
    assert_eq!(executable(supervisor), programs.path("supervisor"), "the new one runs");
    wait_for_the_end(&before);
    for worker in server.workers() {
        assert_eq!(executable(worker), programs.path("worker"), "and so do its workers");
    }
    for keeper in &mut keepers {
        assert_eq!(version_and_pid(keeper).0, 2);
    }
    assert_eq!(server.status()["last_reload"]["cause"], "upgrade");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().session().is_empty(), "nothing is left behind");
}

#[test]
fn usr2_is_an_upgrade_and_signals_behind_it_are_not_lost() {
    let server = site().serve();
    for _ in 0..3 {
        let before = server.count("starting");
        server.signal(Signal::SIGUSR2);
        eventually("another program to start", || (server.count("starting") > before).then_some(()));
    }
    server.signal(Signal::SIGUSR2);
    server.logged("upgraded: the new supervisor takes over");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn a_program_that_cannot_take_over_is_not_become() {
    type Fault = (fn(&Programs), &'static str);
    let faults: [Fault; 6] = [
        (|programs| programs.wrap("echo nonsense; exit 0"), "cannot take over: nonsense"),
        (|programs| programs.wrap("exit 7"), "it ended with code 7"),
        (
            |programs| programs.replace("supervisor", |path| fs::write(path, "x").expect("it can be written")),
            "Permission denied",
        ),
        (|programs| fs::remove_file(programs.path("supervisor")).expect("it can be removed"), "No such file"),
        (
            |programs| {
                programs.replace("supervisor", |path| {
                    fs::write(path, [0; 64]).expect("it can be written");
                    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it can be made executable");
                });
            },
            "Exec format error",
        ),
        (
            |programs| {
                programs.replace("worker", |path| {
                    fs::copy("/bin/true", path).expect("a program can be copied");
                })
            },
            "the worker beside the new supervisor does not answer",
        ),
    ];
    for (fault, reason) in faults {
        let programs = Programs::copied();
        let server = programs.serve(site());
        fault(&programs);
        expect_refused(&server, reason);
    }
}

#[test]
fn a_program_that_hangs_is_not_waited_for_for_ever_and_meanwhile_commands_are_answered() {
    let programs = Programs::copied();
    let server = programs.serve(site());
    programs.wrap("echo $$ > hanging; exec tail -f /dev/null");
    let upgrading = server.site().supervisor(&["upgrade", "-c", "server.yaml"]);
    let hanging = eventually("the new program to hang", || server.site().read("hanging").trim().parse::<i32>().ok());
    assert_eq!(server.command(&["status"]).0, 0);
    assert_eq!(upgrading.exit_code(), 1);
    let said = upgrading.whole_output();
    assert!(said.contains("has not answered"), "{said}");
    eventually("whoever hung to be gone", || is_gone(hanging).then_some(()));
}

#[test]
fn a_file_that_cannot_be_read_is_found_before_an_upgrade() {
    let server = site().serve();
    let good = server.site().read("server.yaml");
    server.site().put("server.yaml", &format!("{good}\nnonsense: ["));
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("server.yaml:"), "{said}");
    server.site().put("server.yaml", &good);
    assert_eq!(server.command(&["upgrade"]).0, 0);
}

#[test]
fn a_program_that_cannot_read_what_is_left_gives_the_process_back() {
    let programs = Programs::copied();
    let server = programs.serve(site());
    // As one would that reads another form of it, and whose preflight does not see that.
    programs
        .wrap("[ \"$1\" = preflight ] && exec $REAL \"$@\"\nexport MONOCEROS_SUCCESSION_FORM=77\nexec $REAL \"$@\"");
    expect_refused(&server, "it has form 1, this supervisor reads form 77");
    // And once more, for it came back with all that it needs for that.
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("form 77"), "{said}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn code_that_cannot_be_loaded_after_an_upgrade_leaves_the_old_workers() {
    let server = site().serve();
    let before = server.workers();
    server.site().put("deploy.py", "raise LookupError('no such shop')\n");
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("LookupError: no such shop"), "{said}");
    eventually("the old workers alone, which stay children", || {
        let now = server.workers();
        (now == before).then_some(()).ok_or(now)
    });
    server.get("/").expect_status(200);
    server.kill_worker(before[0]);
    let pid = format!("\"pid\":{}", before[0]);
    server.process().wait("how it ended, for the kernel tells a parent", |lines, _| {
        let told = |line: &&String| line.contains("worker exited") && line.contains(&pid) && line.contains("SIGKILL");
        lines.iter().find(told).cloned()
    });
}

#[test]
fn whoever_waits_for_something_else_is_answered_before_an_upgrade() {
    let server = site().serve();
    server.site().put("deploy.py", "import threading\nopen('waits', 'w').close()\nthreading.Event().wait()\n");
    let scaling = server.site().supervisor(&["scale", "-c", "server.yaml", "main", "3"]);
    eventually("the third worker to import it", || server.site().path("waits").exists().then_some(()));
    server.site().put("deploy.py", "VERSION = 2\n");
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(scaling.exit_code(), 1);
    let said = scaling.whole_output();
    assert!(said.contains("the supervisor is being upgraded"), "{said}");
    eventually("three workers to serve, as was asked for", || {
        let now = serving(&server);
        (now.len() == 3).then_some(()).ok_or(now)
    });
}

#[test]
fn ten_upgrades_leave_no_descriptor_behind() {
    let server = site().serve();
    let supervisor = server.process().pid().as_raw();
    let settled = || {
        eventually("two workers", || (server.workers().len() == 2).then_some(()));
        descriptors(supervisor).len()
    };
    assert_eq!(server.command(&["upgrade"]).0, 0);
    let before = settled();
    for _ in 0..10 {
        assert_eq!(server.command(&["upgrade"]).0, 0);
        settled();
    }
    eventually("as many descriptors as after the first", || {
        let open = descriptors(supervisor);
        (open.len() <= before).then_some(()).ok_or(open)
    });
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().session().is_empty(), "nothing is left behind");
}

#[test]
fn an_upgraded_supervisor_that_is_killed_is_followed_by_another() {
    let server = site().serve();
    assert_eq!(server.command(&["upgrade"]).0, 0);
    eventually("two workers", || (server.workers().len() == 2).then_some(()));
    let mut orphaned = Orphaned::of(server);
    let next = orphaned.succeed();
    orphaned.expect_served();
    assert_eq!(serving(&orphaned.server), orphaned.workers);
    // They are nobody's children now, and an upgrade takes them along all the same.
    assert_eq!(orphaned.server.command(&["upgrade"]).0, 0);
    wait_for_the_end(&orphaned.workers);
    stop(&orphaned.server, &next);
}

#[test]
fn an_upgrade_waits_for_no_worker_that_told_the_supervisor_before_that_it_has_left() {
    let server = site().app("timeouts: {drain: 1h}").serve();
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the call to wait", || server.site().path("waiting").exists().then_some(()));
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 0, "{said}");
    server.site().put("open", "");
    assert!(client.answer().expect_status(200).text().starts_with("/wait 1 "), "the old worker's answer");
}
