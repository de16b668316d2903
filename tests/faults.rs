//! What goes wrong outside: killed workers, clients that stall, floods of nonsense. Each costs only its own.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

use crate::conformance;
use crate::harness::{Broken, Client, Dice, Ending, Server, Site, descriptors, eventually, stop};

/// Connections, each with the worker that serves it.
fn connections(server: &Server, count: usize) -> Vec<(i32, Client)> {
    let identified = |_| {
        let mut client = server.connect();
        let pid = client.get("/pid").text().parse().expect("a process number");
        (pid, client)
    };
    (0..count).map(identified).collect()
}

#[test]
fn a_killed_worker_costs_only_its_own_requests() {
    let server = Site::new("gate:application").app("workers: 2").serve();
    let both = eventually("connections of both workers", || {
        let made = connections(&server, 16);
        made.iter().any(|(pid, _)| *pid != made[0].0).then_some(made)
    });
    let victim = both[0].0;
    let ended = &AtomicBool::new(false);
    let outcomes: Vec<(i32, Result<u32, Broken>)> = thread::scope(|scope| {
        let loads: Vec<_> =
            both.into_iter().map(|(pid, client)| scope.spawn(move || (pid, load(client, ended)))).collect();
        kill(Pid::from_raw(victim), Signal::SIGKILL).expect("a worker can be killed");
        let replaced = || {
            let workers = server.workers();
            (workers.len() == 2 && !workers.contains(&victim)).then_some(())
        };
        eventually("the dead worker to be replaced", replaced);
        for _ in 0..100 {
            server.get("/pid").expect_status(200);
        }
        ended.store(true, Ordering::Relaxed);
        loads.into_iter().map(|load| load.join().expect("no client panics")).collect()
    });
    for (pid, outcome) in outcomes {
        match outcome {
            Ok(answers) => assert!(pid != victim && answers > 0, "a connection of the killed worker lived on"),
            Err(broken) => assert!(pid == victim, "a connection of the other worker broke: {broken}"),
        }
    }
    eventually("the new worker to serve", || {
        let pid: i32 = server.get("/pid").text().parse().expect("a process number");
        (pid != victim && server.workers().contains(&pid)).then_some(())
    });
}

/// Asks again and again until told to end; gives how many answers came, or what broke.
fn load(mut client: Client, ended: &AtomicBool) -> Result<u32, Broken> {
    let mut answers = 0;
    while !ended.load(Ordering::Relaxed) {
        // A server that is gone shows at the next read at the latest.
        let _ = client.try_send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
        client.try_answer("GET")?;
        answers += 1;
    }
    Ok(answers)
}

#[test]
fn connections_that_wait_in_the_backlog_outlive_the_worker_that_did_not_take_them() {
    let server = Site::new("gate:application").serve();
    let worker = server.workers()[0];
    stop(worker);
    let mut waiting: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("a worker can be killed");
    for client in &mut waiting {
        client.answer().expect_status(200);
    }
}

#[test]
fn a_thousand_malformed_requests_leave_the_worker_alive() {
    let server = Site::new("answers:application").serve();
    let worker = server.workers();
    let mut sent = 0;
    for round in 0_usize..3 {
        for opening in conformance::openings() {
            let mut client = server.connect();
            // Whole at first, then broken off and with a byte changed, ever elsewhere.
            let mut bytes = opening;
            let place = (round * 7 + sent) % bytes.len();
            match round % 3 {
                0 => {}
                1 => bytes.truncate(place),
                _ => bytes[place] ^= 1 << (round % 8),
            }
            let _ = client.try_send(&bytes);
            client.finish_sending();
            let _ = client.try_answer("POST");
            sent += 1;
        }
    }
    assert_eq!(server.get("/plain").text(), "plain");
    assert_eq!(server.workers(), worker, "it is the same worker");
}

#[test]
fn clients_that_reset_at_any_moment_leave_the_worker_alive() {
    let server = Site::new("answers:application").app("threads: 2").serve();
    let worker = server.workers();
    let request = b"POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n01234567890123456789";
    for cut in 0..=request.len() {
        reset_after(&server, &request[..cut]);
        reset_after(&server, b"GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    assert_eq!(server.get("/plain").text(), "plain");
    assert_eq!(server.workers(), worker, "it is the same worker");
}

/// Sends bytes and breaks the connection off with a reset.
fn reset_after(server: &Server, bytes: &[u8]) {
    let stream = TcpStream::connect(server.address()).expect("the server accepts");
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("SO_LINGER can be set");
    Client::over_tcp(stream).send(bytes);
}

#[test]
fn a_client_that_sends_one_byte_is_dropped_by_timeouts_head_and_blocks_nobody() {
    let server = Site::new("answers:application").app("timeouts: {head: 300ms}").serve();
    let mut silent = server.connect();
    let mut slow = server.connect();
    slow.send("G");
    let mut dripping = server.connect();
    dripping.send("GET / HTTP/1.1\r\nHost: h\r\nX-A: ");
    for _ in 0..20 {
        assert_eq!(server.get("/plain").text(), "plain");
    }
    slow.answer().expect_status(408);
    slow.expect_close();
    // A byte now and then does not buy more time: the limit is on the whole head.
    eventually("the dripping client to be dropped", || {
        let _ = dripping.try_send("b");
        dripping.has_something().then_some(())
    });
    match silent.try_answer("GET") {
        Ok(answer) => drop(answer.expect_status(408)),
        Err(broken) => assert_eq!(broken, Broken::Ended(Ending::Eof, Vec::new())),
    }
}

#[test]
fn a_client_that_stops_within_a_body_is_dropped_by_timeouts_body() {
    let server = Site::new("mirror:counted").app("timeouts: {body: 300ms}").serve();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
    assert_eq!(server.connect().post("/", b"123").text(), "3");
    client.answer().expect_status(408);
    client.expect_close();
}

#[test]
fn a_client_that_takes_nothing_is_cut_by_timeouts_write() {
    let server = Site::new("answers:application").app("timeouts: {write: 300ms}").serve();
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the generator to be closed", || server.site().read("record").contains("asked").then_some(()));
    server.get("/plain").expect_status(200);
}

/// Connections that the only worker has.
fn held(server: &Server) -> u64 {
    server.status()["apps"][0]["workers"][0]["work"]["connections"].as_u64().expect("a worker counts them")
}

#[test]
fn a_client_is_accepted_with_its_first_bytes_and_one_that_says_nothing_a_little_later() {
    let server = Site::new("answers:application").app("timeouts: {head: 2s, keepalive: 2s}").serve();
    let mut silent = server.connect();
    let mut other = server.connect();
    other.get("/plain").expect_status(200);
    assert_eq!(held(&server), 1, "the kernel keeps who has said nothing");
    eventually("the silent one to be accepted", || (held(&server) == 2).then_some(()));
    assert_eq!(silent.ending(), (vec![], Ending::Eof), "and our timeout counts");
}

#[test]
fn more_connections_than_a_worker_holds_wait_and_are_served() {
    let server =
        Site::new("answers:application").app("limits: {connections_max: 4}\ntimeouts: {keepalive: 300ms}").serve();
    let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().text(), "plain");
    }
}

#[test]
fn a_worker_that_dies_at_every_request_is_replaced_with_a_pause_and_the_server_stays() {
    let site = Site::empty().file(
        "suicide.py",
        "import os, signal\n\ndef application(environ, start_response):\n    os.kill(os.getpid(), signal.SIGKILL)\n",
    );
    let listen = site.listen();
    let server = site.yaml(&format!("apps: {{main: {{wsgi: 'suicide:application', listen: '{listen}'}}}}\n")).serve();
    for _ in 0..3 {
        server
            .connect()
            .send("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .try_answer("GET")
            .expect_err("the worker died of it");
    }
    eventually("another worker", || (!server.workers().is_empty()).then_some(()));
    assert_eq!(server.process().status(), None, "the supervisor lives");
}

#[test]
fn a_storm_of_strange_clients_leaves_nothing_behind() {
    let server = Site::new("answers:application").app("threads: 3\nlimits: {body_memory_max: 1KiB}").serve();
    let worker = server.workers()[0];
    server.get("/plain").expect_status(200);
    let before = descriptors(worker).len();
    thread::scope(|scope| {
        for seed in 1..=8 {
            let server = &server;
            scope.spawn(move || (0..150).fold(Dice::new(seed), |dice, _| strange_visit(server, dice)));
        }
    });
    eventually("as many descriptors as before", || {
        let open = descriptors(worker);
        (open.len() <= before).then_some(()).ok_or(open)
    });
    assert_eq!(server.get("/plain").text(), "plain");
    assert_eq!(server.workers(), [worker], "it is the same worker");
}

/// One connection: some requests of any kind, sent in pieces, answers taken or not, left in any way.
fn strange_visit(server: &Server, mut dice: Dice) -> Dice {
    const KINDS: [&str; 6] = [
        "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "POST /plain HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
        "GET /endless HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /raises_after HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /plain HTTP/1.1\r\nHost: a b\r\n\r\n",
    ];
    let stream = TcpStream::connect(server.address()).expect("the server accepts");
    if dice.below(2) == 0 {
        SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("SO_LINGER can be set");
    }
    let mut client = Client::over_tcp(stream);
    let mut bytes: String = (0..=dice.below(4)).map(|_| KINDS[dice.below(KINDS.len())]).collect();
    if dice.below(4) == 0 {
        bytes += &format!("POST /plain HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n{}", "x".repeat(5000));
    }
    if dice.below(3) == 0 {
        bytes.truncate(dice.below(bytes.len()));
    }
    let cut = dice.below(bytes.len() + 1);
    // The server may have closed the connection already, as it must after some of these.
    let _ = client.try_send(&bytes[..cut]).and_then(|()| client.try_send(&bytes[cut..]));
    if dice.below(2) == 0 && !bytes.is_empty() {
        client.set_patience(std::time::Duration::from_millis(20));
        let _ = client.try_head("GET");
    }
    dice
}
