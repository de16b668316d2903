//! A service manager's side of the server: what it is told, the sockets that it gives, the listeners that it keeps.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{
    Client, Manager, Process, Server, Site, eventually, launch_with, program, repository, with_sockets,
};

/// An app whose import waits for the file `open`.
const SLOW: &str = "
import os, threading
while not os.path.exists('open'):
    threading.Event().wait(0.01)
def application(environ, start_response):
    start_response('200 OK', [])
    return [repr(sorted(os.environ)).encode()]
";

fn notified(wsgi: &str) -> (Manager, Site) {
    let manager = Manager::new();
    let site = Site::new(wsgi).variable("NOTIFY_SOCKET", &manager.address());
    (manager, site)
}

fn served() -> (Manager, Server) {
    let (manager, site) = notified("deployed:application");
    let server = site.file("deployed.py", &code("1")).launch();
    manager.expect("READY=1");
    (manager, server)
}

fn code(version: &str) -> String {
    format!("def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'{version}']\n")
}

fn monotonic_us() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("there is such a clock");
    Duration::from(now).as_micros()
}

#[test]
fn ready_is_said_when_clients_are_answered_and_not_before() {
    let (manager, site) = notified("slow:application");
    let server = site.file("slow.py", SLOW).app("workers: 2").launch();
    assert_eq!(manager.expect("STATUS=starting: 0 of 2 workers serve").value("READY"), None);
    // It was bound long ago; who connects waits.
    let mut early = server.connect();
    early.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(manager.hears_nothing_of("READY=1", Duration::from_millis(300)));
    fs::write(server.site().path("open"), "").expect("a file can be written");
    let told = manager.expect("READY=1");
    assert_eq!(told.value("STATUS"), Some("serving: 2 of 2 workers, generation 1"));
    early.answer().expect_status(200);
    assert_eq!(server.workers().len(), 2);
}

#[test]
fn an_application_is_not_told_who_watches_its_server() {
    let (manager, site) = notified("slow:application");
    let site = site.variable("WATCHDOG_USEC", "60000000").variable("FDSTORE", "8").file("open", "");
    let socket = TcpListener::bind(site.listen()).expect("the address is free");
    let server = launch_with(site.file("slow.py", SLOW), &[("main", socket.as_fd())]);
    manager.expect("READY=1");
    let names = server.get("/").expect_status(200);
    assert!(names.text().contains("PATH"), "{names}");
    for name in ["NOTIFY_SOCKET", "WATCHDOG", "LISTEN_", "FDSTORE"] {
        assert!(!names.text().contains(name), "{name}: {names}");
    }
}

#[test]
fn a_reload_is_told_with_its_time_in_one_datagram() {
    let (manager, server) = served();
    server.site().put("deployed.py", &code("2"));
    let before = monotonic_us();
    server.signal(Signal::SIGHUP);
    let told = manager.expect("RELOADING=1");
    let at: u128 = told.value("MONOTONIC_USEC").expect("in the same datagram").parse().expect("a number");
    assert!((before..=monotonic_us()).contains(&at), "{before} {at}");
    manager.expect("READY=1");
    // The old worker may take a last connection while it leaves.
    eventually("the new code", || (server.get("/").text() == "2").then_some(()));
}

#[test]
fn a_reload_that_fails_is_over_too_and_says_why() {
    let (manager, server) = served();
    server.site().put("deployed.py", "import nowhere_at_all\n");
    server.signal(Signal::SIGHUP);
    manager.expect("RELOADING=1");
    let told = manager.expect("READY=1");
    let line = told.value("STATUS").expect("a line for people");
    assert!(line.contains("abandoned") && line.contains("nowhere_at_all"), "{line}");
    server.site().put("server.yaml", "apps: [\n");
    for _ in 0..2 {
        let before = monotonic_us();
        server.signal(Signal::SIGHUP);
        let told = manager.expect("RELOADING=1");
        let at: u128 = told.value("MONOTONIC_USEC").expect("in the same datagram").parse().expect("a number");
        assert!(before <= at, "a manager waits for one that is younger than its wish");
        assert!(manager.expect("READY=1").value("STATUS").is_none_or(|line| line.contains("server.yaml")));
    }
    assert_eq!(server.get("/").text(), "1");
}

#[test]
fn a_broken_application_does_not_keep_the_unit_from_being_ready() {
    let (manager, site) = notified("deployed:application");
    let server = site.file("deployed.py", "import nowhere_at_all\n").launch();
    let told = manager.expect("READY=1");
    let line = told.value("STATUS").expect("a line for people");
    assert!(line.contains("main cannot be loaded and answers 503"), "{line}");
    assert_eq!(server.get("/").status, 503);
    server.site().put("deployed.py", &code("1"));
    manager.expect("STATUS=serving: 1 of 1 workers, generation 1");
}

#[test]
fn with_on_broken_start_exit_it_is_never_ready() {
    let (manager, site) = notified("deployed:application");
    let server = site.file("deployed.py", "import nowhere_at_all\n").app("on_broken_start: exit").launch();
    assert_eq!(server.exit_code(), 1);
    assert!(manager.until("STOPPING=1").iter().all(|told| !told.has("READY=1")));
}

#[test]
fn the_end_is_told_when_it_begins() {
    let (manager, site) = notified("gate:application");
    let server = site.app("threads: 2").launch();
    manager.expect("READY=1");
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    let mut opener = server.connect();
    eventually("the call to block", || (opener.get("/").text() == "1").then_some(()));
    server.signal(Signal::SIGTERM);
    manager.expect("STOPPING=1");
    assert_eq!(server.process().status(), None, "it stops, and has not stopped");
    opener.get("/open").expect_status(200);
    client.answer().expect_status(200);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn more_time_is_asked_for_while_a_start_lasts() {
    let (manager, site) = notified("slow:application");
    let _server = site.file("slow.py", SLOW).launch();
    // Ten seconds after the start: the one thing here that only time can show.
    manager.expect("EXTEND_TIMEOUT_USEC=30000000");
}

#[test]
fn the_watchdog_is_fed_while_the_supervisor_goes_round_and_no_longer() {
    let (manager, site) = notified("deployed:application");
    let site = site.variable("WATCHDOG_USEC", "200000").file("deployed.py", &code("1"));
    let server = site.launch();
    for _ in 0..5 {
        manager.expect("WATCHDOG=1");
    }
    server.signal(Signal::SIGSTOP);
    eventually("the supervisor to stand still", || {
        manager.hears_nothing_of("WATCHDOG=1", Duration::from_millis(400)).then_some(())
    });
    server.signal(Signal::SIGCONT);
    manager.expect("WATCHDOG=1");
}

#[test]
fn the_watchdog_is_not_fed_while_no_worker_shows_that_it_lives() {
    let (manager, site) = notified("slow:application");
    let site = site.variable("WATCHDOG_USEC", "400000").app("timeouts: {heartbeat: 1s}").file("open", "");
    let server = site.file("slow.py", SLOW).launch();
    manager.expect("READY=1");
    // Whoever replaces it takes its time.
    fs::remove_file(server.site().path("open")).expect("it was there");
    let worker = server.workers()[0];
    kill(Pid::from_raw(worker), Signal::SIGSTOP).expect("a worker can be stopped");
    eventually("the watchdog to go hungry", || {
        manager.hears_nothing_of("WATCHDOG=1", Duration::from_millis(600)).then_some(())
    });
    fs::write(server.site().path("open"), "").expect("a file can be written");
    manager.expect("WATCHDOG=1");
}

#[test]
fn a_watchdog_that_is_somebody_elses_is_not_fed() {
    let (manager, site) = notified("deployed:application");
    let site = site.variable("WATCHDOG_USEC", "200000").variable("WATCHDOG_PID", "1");
    let _server = site.file("deployed.py", &code("1")).launch();
    manager.expect("READY=1");
    assert!(manager.hears_nothing_of("WATCHDOG=1", Duration::from_millis(500)));
}

#[test]
fn a_manager_that_is_gone_is_one_warning_and_no_more() {
    let site = Site::new("deployed:application").variable("NOTIFY_SOCKET", "/nowhere/notify");
    let server = site.file("deployed.py", &code("1")).serve();
    server.signal(Signal::SIGHUP);
    server.logged("reloaded");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert_eq!(server.count("the service manager cannot be told"), 1);
}

// Socket activation.

#[test]
fn a_socket_of_the_managers_is_served_and_left_to_it() {
    let site = Site::new("deployed:application").file("deployed.py", &code("1"));
    let path = site.path("shop.sock");
    let unix = UnixListener::bind(&path).expect("a socket can be bound there");
    let tcp = TcpListener::bind(site.listen()).expect("the address is free");
    // Before the server is started: activation is for these.
    let mut early = Client::connect(site.listen());
    early.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let site = relisten(site);
    let server = launch_with(site, &[("unknown", tcp.as_fd()), ("unknown", unix.as_fd())]);
    assert_eq!(early.answer().expect_status(200).text(), "1");
    server.wait_until_serving();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(path.exists(), "the manager's file was removed");
    std::net::TcpStream::connect(server.address()).expect("the manager still listens");
}

/// With two listeners, of either kind.
fn relisten(site: Site) -> Site {
    let yaml = format!(
        "log: {{format: json, level: debug}}\napps:\n  main:\n    wsgi: deployed:application\n    workers: 2\n    listen: ['{}', 'unix:shop.sock']\n",
        site.listen()
    );
    site.yaml(&yaml)
}

#[test]
fn where_the_address_is_another_the_name_of_the_socket_decides() {
    let site = Site::new("deployed:application").file("deployed.py", &code("1"));
    let elsewhere = TcpListener::bind(site.another_address()).expect("the address is free");
    let address = elsewhere.local_addr().expect("a bound socket has an address");
    let server = launch_with(site, &[("main", elsewhere.as_fd())]);
    server.wait_until_serving();
    assert_eq!(Client::connect(address).get("/").expect_status(200).text(), "1");
    // The config's own address was not bound beside it.
    std::net::TcpStream::connect(server.address()).expect_err("somebody listens there");
}

#[test]
fn a_socket_that_is_of_no_use_is_a_warning_that_says_what_to_do() {
    let site = Site::new("deployed:application").file("deployed.py", &code("1"));
    let unwanted = TcpListener::bind(site.another_address()).expect("the address is free");
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").expect("any port");
    let server = launch_with(site, &[("blog", unwanted.as_fd()), ("dns", datagrams.as_fd())]);
    server.wait_until_serving();
    let output = server.process().output();
    assert!(output.contains("ListenStream=") && output.contains("FileDescriptorName="), "{output}");
    assert_eq!(server.count("a socket of the service manager's is not used"), 2);
}

#[test]
fn variables_that_are_a_parents_or_nonsense_change_nothing() {
    for (pid, fds) in [("1", "1"), ("$$", "many"), ("$$", "-1"), ("$$", "7"), ("$$", "1000000")] {
        let site = Site::new("deployed:application").file("deployed.py", &code("1"));
        let supervisor = program("supervisor");
        let script =
            format!("export LISTEN_PID={pid} LISTEN_FDS={fds}; exec {} run -c server.yaml", supervisor.display());
        let server = site.launch_as(&["bash", "-c", &script].map(str::to_owned));
        server.wait_until_serving();
        assert_eq!(server.get("/").text(), "1");
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit_code(), 0, "{pid} {fds}");
    }
}

#[test]
fn systemds_own_activation_starts_it_at_the_first_connection() {
    needs_systemd();
    let site = Site::new("deployed:application").file("deployed.py", &code("1"));
    let (address, supervisor) = (site.listen().to_string(), program("supervisor"));
    let words = ["systemd-socket-activate", "--listen", &address, "--fdname", "main", &supervisor.to_string_lossy()];
    let command: Vec<String> = words.into_iter().chain(["run", "-c", "server.yaml"]).map(str::to_owned).collect();
    let server = site.launch_as(&command);
    server.process().line("Listening on");
    assert_eq!(server.get("/").expect_status(200).text(), "1");
}

// The store.

/// What the manager was told to keep, by name.
fn kept(manager: &Manager, count: usize) -> Vec<(String, OwnedFd)> {
    let mut kept = Vec::new();
    eventually("listeners to be stored", || {
        while let Some(mut told) = manager.take() {
            if told.has("FDSTORE=1") {
                assert!(told.has("FDPOLL=0"), "{}", told.text);
                let name = told.value("FDNAME").expect("a name").to_owned();
                kept.push((name, told.descriptor.take().expect("a descriptor")));
            }
        }
        (kept.len() >= count).then_some(()).ok_or(kept.len())
    });
    assert_eq!(kept.len(), count);
    kept
}

#[test]
fn a_restart_of_the_unit_refuses_nobody() {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let (manager, site) = notified("deployed:application");
        let site = relisten(site.variable("FDSTORE", "8").file("deployed.py", &code("1")));
        let server = site.launch();
        let kept = kept(&manager, 2);
        manager.forget();
        server.wait_until_serving();
        server.signal(signal);
        eventually("the supervisor to be gone", || server.process().status());
        eventually("its workers to be gone", || {
            // After a kill they may serve on; here they are to be out of the way.
            let session = server.process().session();
            for pid in &session {
                // It may have ended meanwhile, which is what is wanted.
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
            session.is_empty().then_some(())
        });
        let path = server.site().path("shop.sock");
        assert!(path.exists(), "{signal}: the file of a socket that is kept");
        let mut waiting: Vec<Client> = (0..5).map(|_| server.connect()).collect();
        for client in &mut waiting {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        let unix = std::os::unix::net::UnixStream::connect(&path).expect("the manager listens");
        let sockets: Vec<(&str, _)> = kept.iter().map(|(name, socket)| (name.as_str(), socket.as_fd())).collect();
        let command = with_sockets(&sockets);
        let variables = [("NOTIFY_SOCKET".to_owned(), manager.address()), ("FDSTORE".to_owned(), "8".to_owned())];
        let folder = server.site().path("");
        let second = Process::start(std::path::Path::new(&command[0]), &command[1..], &folder, &variables);
        manager.expect("READY=1");
        for client in &mut waiting {
            assert_eq!(client.answer().expect_status(200).text(), "1");
        }
        drop(unix);
        second.signal(Signal::SIGTERM);
        assert_eq!(second.exit_code(), 0);
        let more = manager.until("STOPPING=1");
        assert!(more.iter().all(|told| !told.has("FDSTORE=1")), "{signal}: what is kept is not stored again");
    }
}

#[test]
fn after_a_death_listeners_come_from_the_store_and_from_the_workers_and_are_there_once() {
    let (manager, site) = notified("deployed:application");
    let site = relisten(site.variable("FDSTORE", "8").file("deployed.py", &code("1")));
    let server = site.launch();
    let kept = kept(&manager, 2);
    server.wait_until_serving();
    let mut client = server.connect();
    client.get("/").expect_status(200);
    server.signal(Signal::SIGKILL);
    eventually("the supervisor to be gone", || server.process().status());
    manager.forget();
    let sockets: Vec<(&str, _)> = kept.iter().map(|(name, socket)| (name.as_str(), socket.as_fd())).collect();
    let command = with_sockets(&sockets);
    let variables = [("NOTIFY_SOCKET".to_owned(), manager.address()), ("FDSTORE".to_owned(), "8".to_owned())];
    let folder = server.site().path("");
    let second = Process::start(std::path::Path::new(&command[0]), &command[1..], &folder, &variables);
    manager.expect("READY=1");
    client.get("/").expect_status(200);
    // A copy that somebody forgot would keep this one open, and let clients wait for ever. The manager's is closed as systemd does.
    let yaml = server.site().read("server.yaml").replace(", 'unix:shop.sock'", "");
    server.site().put("server.yaml", &yaml);
    let path = server.site().path("shop.sock");
    let left = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    second.signal(Signal::SIGHUP);
    let told = manager.expect("FDSTOREREMOVE=1");
    assert!(told.value("FDNAME").is_some_and(|name| name.contains("shop.sock")), "{}", told.text);
    let second_pid = second.pid().as_raw();
    drop((kept, left));
    eventually("no process of ours to hold it", || {
        let holders: Vec<i32> = second.session().into_iter().chain([second_pid]).collect();
        let listening = fs::read_to_string("/proc/net/unix").expect("Linux says");
        let line =
            listening.lines().find(|line| line.ends_with("shop.sock") && line.contains(&*folder.to_string_lossy()));
        line.map_or(Ok(()), |line| Err((holders, line.to_owned())))
    });
}

#[test]
fn a_listener_that_goes_leaves_the_store() {
    let (manager, site) = notified("deployed:application");
    let site = relisten(site.variable("FDSTORE", "8").file("deployed.py", &code("1")));
    let listen = site.listen().to_string();
    let server = site.launch();
    let kept = kept(&manager, 2);
    server.wait_until_serving();
    let yaml = server.site().read("server.yaml").replace(", 'unix:shop.sock'", "");
    server.site().put("server.yaml", &yaml);
    server.signal(Signal::SIGHUP);
    let told = manager.expect("FDSTOREREMOVE=1");
    let gone = kept.iter().find(|(name, _)| Some(name.as_str()) == told.value("FDNAME")).expect("a name that was told");
    assert!(gone.0.contains("shop.sock"), "{gone:?}");
    eventually("the file to be gone", || (!server.site().path("shop.sock").exists()).then_some(()));
    assert!(kept.iter().any(|(name, _)| name.contains(&listen.replace(':', "_"))), "{kept:?}");
}

#[test]
fn without_a_store_nothing_is_stored() {
    let (manager, server) = served();
    server.signal(Signal::SIGTERM);
    assert!(manager.until("STOPPING=1").iter().all(|told| told.descriptor.is_none()));
    assert_eq!(server.exit_code(), 0);
    std::net::TcpStream::connect(server.address()).expect_err("somebody listens there");
}

// The example.

fn needs_systemd() {
    let found = Command::new("systemd-analyze").arg("--version").output();
    found.unwrap_or_else(|why| panic!("cannot run systemd-analyze ({why}): run `make systemd`, or `make test`"));
}

#[test]
fn systemd_accepts_the_examples_units() {
    needs_systemd();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for name in ["monoceros.service", "monoceros.socket"] {
        let unit = fs::read_to_string(repository().join("examples/systemd").join(name)).expect("the example has it");
        // The one thing that is of the machine: where the programs are.
        let unit = unit.replace("/usr/local/bin/supervisor", &program("supervisor").to_string_lossy());
        fs::write(folder.path().join(name), unit).expect("a file can be written");
    }
    let units = ["monoceros.service", "monoceros.socket"].map(|name| folder.path().join(name));
    let output = Command::new("systemd-analyze").arg("verify").args(units).output().expect("it was run above");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("monoceros")).collect();
    assert!(complaints.is_empty(), "{complaints:#?}");
    assert!(output.status.success(), "{said}");
}
