//! Blue and green: two servers on the sockets of one unit, and a switch between them under clients that forgive nothing.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Client, Machine, Manager, Server, Site, eventually, launch_with, program, python, repository};

/// One of the two, as its unit starts it: with the unit's socket, under the name that the unit gives it.
fn start(colour: &str, socket: &TcpListener, manager: &Manager, broken: Option<&str>) -> Server {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok().flatten().expect("somebody runs the tests");
    let address = socket.local_addr().expect("a bound socket has an address");
    let site = Site::copy_of(&repository().join("examples/blue-green"));
    // The code in a folder of its colour, as it is deployed.
    fs::create_dir(site.path(colour)).expect("a folder can be made");
    let source = broken.map_or_else(|| site.read("shop.py"), str::to_owned);
    let yaml = site.read("server.yaml").replace("wsgi:", &format!("directory: {colour}\n    wsgi:"));
    let site = site.file(&format!("{colour}/shop.py"), &source).file("server.yaml", &yaml);
    let site = site.variable("APP_USER", &user.name).variable("WORKERS", "2");
    let site = site.variable("LISTEN", &address.to_string()).variable("NOTIFY_SOCKET", &manager.address());
    launch_with(site, &[("shop", socket.as_fd())])
}

/// What a client does with its connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Keeps it, until an answer says that it is the last.
    Keeps,
    /// Makes another.
    Renews,
}

/// What a client was told, and what was denied it.
#[derive(Debug, Default)]
struct Told {
    blue: usize,
    green: usize,
    failed: Vec<String>,
}

/// Asks until it is over.
fn ask(address: SocketAddr, habit: Habit, over: &AtomicBool) -> Told {
    let mut told = Told::default();
    let mut client: Option<Client> = None;
    while !over.load(Ordering::Relaxed) {
        let mut now = client.take().unwrap_or_else(|| Client::connect(address));
        let close = if habit == Habit::Keeps { "" } else { "Connection: close\r\n" };
        let asked = now.try_send(format!("GET / HTTP/1.1\r\nHost: h\r\n{close}\r\n")).map_err(|why| why.to_string());
        match asked.and_then(|()| now.try_answer("GET").map_err(|broken| broken.to_string())) {
            Ok(answer) if answer.status == 200 => {
                let is_blue = answer.text() == "blue\n";
                told.blue += usize::from(is_blue);
                told.green += usize::from(!is_blue);
                client = (habit == Habit::Keeps && !answer.says_close()).then_some(now);
            }
            Ok(answer) => told.failed.push(answer.to_string()),
            Err(why) => told.failed.push(why),
        }
    }
    told
}

#[test]
fn the_switch_from_blue_to_green_fails_no_request_and_the_way_back_neither() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("a bound socket has an address");
    let (of_blue, of_green) = (Manager::new(), Manager::new());
    let blue = start("blue", &socket, &of_blue, None);
    of_blue.expect("READY=1");
    let over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let over = &over;
        let habits = [Habit::Keeps, Habit::Keeps, Habit::Renews, Habit::Renews];
        let clients = habits.map(|habit| scope.spawn(move || ask(address, habit, over)));
        let green = start("green", &socket, &of_green, None);
        of_green.expect("READY=1");
        blue.signal(Signal::SIGTERM);
        assert_eq!(blue.exit_code(), 0, "blue is gone when the last of its requests is answered");
        assert_eq!(Client::connect(address).get("/").text(), "green\n");
        let again = start("blue", &socket, &of_blue, None);
        of_blue.expect("READY=1");
        green.signal(Signal::SIGTERM);
        assert_eq!(green.exit_code(), 0);
        over.store(true, Ordering::Relaxed);
        let told = clients.map(|client| client.join().expect("a client does not panic"));
        drop(again);
        told
    });
    for told in &told {
        assert!(told.failed.is_empty() && told.blue > 0 && told.green > 0, "{told:?}");
    }
}

#[test]
fn a_green_that_cannot_be_loaded_fails_its_start_and_answers_nobody() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("a bound socket has an address");
    let (of_blue, of_green) = (Manager::new(), Manager::new());
    let _blue = start("blue", &socket, &of_blue, None);
    of_blue.expect("READY=1");
    let green = start("green", &socket, &of_green, Some("import nowhere_at_all\n"));
    assert_eq!(green.exit_code(), 1);
    assert!(of_green.hears_nothing_of("READY=1", Duration::ZERO));
    for _ in 0..20 {
        assert_eq!(Client::connect(address).get("/").expect_status(200).text(), "blue\n");
    }
}

#[test]
fn who_connects_while_nobody_serves_waits_for_whoever_is_started() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = socket.local_addr().expect("a bound socket has an address");
    let mut early = Client::connect(address);
    early.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let manager = Manager::new();
    let _green = start("green", &socket, &manager, None);
    assert_eq!(early.answer().expect_status(200).text(), "green\n");
}

#[test]
fn systemd_accepts_the_units_of_both() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let example = repository().join("examples/blue-green");
    for (from, to) in [("shop.socket", "shop.socket"), ("shop@.service", "shop@.service")] {
        let unit = fs::read_to_string(example.join(from)).expect("the example has it");
        // The one thing that is of the machine: where the programs are.
        let unit = unit.replace("/srv/shop/%i/.venv/bin/supervisor", &program("supervisor").to_string_lossy());
        fs::write(folder.path().join(to), unit).expect("a file can be written");
    }
    let units = ["shop.socket", "shop@blue.service", "shop@green.service"].map(|name| folder.path().join(name));
    for colour in ["blue", "green"] {
        fs::copy(folder.path().join("shop@.service"), folder.path().join(format!("shop@{colour}.service")))
            .expect("a file can be copied");
    }
    let output = eventually("systemd-analyze to be run", || {
        Command::new("systemd-analyze").arg("verify").args(&units).output().map_err(|why| why.to_string())
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains("shop")).collect();
    assert!(complaints.is_empty() && output.status.success(), "{said}");
}

#[test]
fn green_follows_blue_on_the_socket_of_a_real_systemd() {
    let machine = match Machine::boot() {
        Ok(machine) => machine,
        Err(why) => return eprintln!("not tried here: {why}"),
    };
    machine.open_way_to(&fs::canonicalize(python()).expect("it is there"));
    let example = repository().join("examples/blue-green");
    let copy = |from: &str, to: String| {
        fs::copy(example.join(from), machine.path(&to)).unwrap_or_else(|why| panic!("cannot write {to}: {why}"));
    };
    for colour in ["blue", "green"] {
        let bin = format!("/srv/shop/{colour}/.venv/bin");
        fs::create_dir_all(machine.path(&bin)).expect("a folder can be made");
        for name in ["supervisor", "worker"] {
            std::os::unix::fs::symlink(program(name), machine.path(&format!("{bin}/{name}")))
                .expect("a link can be made");
        }
        for name in ["shop.py", "server.yaml"] {
            copy(name, format!("/srv/shop/{colour}/{name}"));
        }
    }
    for name in ["shop.socket", "shop@.service"] {
        copy(name, format!("/etc/systemd/system/{name}"));
    }
    let systemctl = |words: &[&str]| machine.done(&[&["systemctl"], words].concat());
    let port = SocketAddr::from(([127, 0, 0, 1], 80));
    let answer = || machine.connect(port).get("/").expect_status(200).text().to_owned();
    systemctl(&["daemon-reload"]);
    systemctl(&["enable", "--now", "shop.socket"]);
    systemctl(&["start", "shop@blue"]);
    assert_eq!(answer(), "blue\n");
    for (old, new) in [("blue", "green"), ("green", "blue")] {
        systemctl(&["start", &format!("shop@{new}")]);
        systemctl(&["stop", &format!("shop@{old}")]);
        for _ in 0..10 {
            assert_eq!(answer(), format!("{new}\n"), "a socket that systemd still listens on starts nobody else");
        }
        assert_eq!(machine.run(&["systemctl", "is-active", &format!("shop@{old}")]).1, "inactive");
    }
    systemctl(&["stop", "shop@blue"]);
    assert_eq!(answer(), "blue\n", "who connects while nobody serves has blue started");
}
