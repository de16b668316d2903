//! Certificates change while they are shown, and workers with TLS clients are replaced.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::authority::{Authority, Visitor};
use super::{connect, site};
use crate::harness::{Answer, Broken, Client, Ending, Server, Site, eventually};

/// The serial number of the certificate that is shown to a new client.
fn shown(server: &Server, visitor: &Visitor) -> Vec<u8> {
    let mut client = visitor.connect(server.address(), "localhost");
    client.get("/plain").expect_status(200);
    client.tls().conn.peer_certificates().expect("a server shows one")[0].to_vec()
}

fn lay(authority: &Authority, server: &Server, host: &str) {
    let renewed = authority.sign(host);
    server.site().put("own.key", &renewed.key);
    server.site().put("own.pem", &renewed.certificate);
}

#[test]
fn a_renewed_certificate_is_shown_to_new_clients_and_no_old_one_notices() {
    let authority = Authority::new("Test Authority");
    let site = site("answers:application", &authority, "").top("watch: true").app("workers: 2");
    let server = site.serve();
    let workers = server.workers();
    let visitor = || authority.visitor();
    let before = shown(&server, &visitor());
    let mut keeper = connect(&server, &authority);
    keeper.get("/plain").expect_status(200);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = || {
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let mut client = visitor().connect(server.address(), "localhost");
                for _ in 0..3 {
                    assert!(!client.get("/plain").expect_status(200).says_close());
                    served += 1;
                }
            }
            served
        };
        let loads = [scope.spawn(load), scope.spawn(load)];
        lay(&authority, &server, "localhost");
        // Every worker shows it: a few in a row that are new.
        eventually("the renewed certificate", || (0..6).all(|_| shown(&server, &visitor()) != before).then_some(()));
        stop.store(true, Ordering::Relaxed);
        let served: usize = loads.into_iter().map(|load| load.join().expect("nobody was refused")).sum();
        assert!(served > 0);
    });
    assert_eq!(server.logged("certificates renewed")["app"], "main");
    keeper.get("/plain").expect_status(200);
    assert_eq!(server.workers(), workers, "no worker was replaced for it");
}

#[test]
fn what_cannot_be_shown_leaves_what_is_shown() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").serve();
    let before = shown(&server, &authority.visitor());
    let good = ["own.key", "own.pem"].map(|name| (name, server.site().read(name)));
    let expired = authority.sign_with("localhost", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let encrypted = good[0].1.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (key, certificate, reason) in [
        (&authority.sign("localhost").key, &good[1].1, "the key is another certificate's"),
        (&encrypted, &good[1].1, "is encrypted"),
        (&good[0].1, &String::new(), "there is no `BEGIN CERTIFICATE` in it"),
        (&expired.key, &expired.certificate, "has expired"),
    ] {
        server.site().put("own.key", key);
        server.site().put("own.pem", certificate);
        let (status, said) = server.command(&["reload", "--wait"]);
        assert!(status == 1 && said.contains(reason) && said.contains("server.yaml:"), "{status}: {said}");
        assert_eq!(shown(&server, &authority.visitor()), before);
    }
    good.iter().for_each(|(name, text)| server.site().put(name, text));
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    // By HUP all workers are new, and the certificate too.
    lay(&authority, &server, "localhost");
    server.signal(nix::sys::signal::Signal::SIGHUP);
    eventually("the renewed certificate", || (shown(&server, &authority.visitor()) != before).then_some(()));
}

#[test]
fn an_expired_certificate_is_an_error_for_a_check_and_a_warning_for_a_start() {
    let authority = Authority::new("Test Authority");
    let expired = authority.sign_with("localhost", |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let site = expired.lay(site("answers:application", &authority, ""), "own");
    let check = site.supervisor(&["check", "-c", "server.yaml"]);
    let told = "`certificate`: the certificate of `CN=localhost";
    assert_eq!(check.exit_code(), 2);
    assert!(check.whole_output().contains(told) && check.whole_output().contains("has expired"));
    let server = site.serve();
    let warned = server.logged("config")["why"].to_string();
    assert!(warned.contains(told) && warned.contains("has expired"), "{warned}");
    // It is shown already, so it is no reason to keep new code out.
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
}

/// What a client that keeps its connection meets: an answer, or the end that it may meet between two requests.
fn keep_asking(visitor: &Visitor, address: SocketAddr, stop: &AtomicBool, closes: &AtomicUsize) -> usize {
    let mut served = 0;
    let mut client = visitor.connect(address, "localhost");
    while !stop.load(Ordering::Relaxed) {
        let answer = ask(&mut client).unwrap_or_else(|broken| panic!("request {served} failed: {broken}"));
        served += 1;
        if answer.expect_status(200).says_close() {
            assert_eq!(client.ending(), (vec![], Ending::Eof), "the end is announced, and orderly");
            closes.fetch_add(1, Ordering::Relaxed);
            client = visitor.connect(address, "localhost");
        }
    }
    served
}

fn ask(client: &mut Client) -> Result<Answer, Broken> {
    let sent = client.try_send("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sent.map_err(|_| Broken::Ended(Ending::Reset, Vec::new()))?;
    client.try_answer("GET")
}

#[test]
fn a_reload_fails_no_request_of_a_client_that_cannot_be_handed_over() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").app("workers: 2\nthreads: 2").serve();
    let (stop, closes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let visitor = authority.visitor();
    thread::scope(|scope| {
        let ask = || keep_asking(&visitor, server.address(), &stop, &closes);
        let clients = [scope.spawn(ask), scope.spawn(ask), scope.spawn(ask)];
        for _ in 0..3 {
            let before = closes.load(Ordering::Relaxed);
            let (status, said) = server.command(&["reload", "--wait"]);
            assert_eq!(status, 0, "{said}");
            eventually("every client to be sent on", || {
                (closes.load(Ordering::Relaxed) >= before + clients.len()).then_some(())
            });
        }
        stop.store(true, Ordering::Relaxed);
        let served: usize = clients.into_iter().map(|client| client.join().expect("no request failed")).sum();
        assert!(served > 30, "{served}");
    });
}

#[test]
fn certificates_go_on_when_another_supervisor_takes_over() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").top("watch: true").serve();
    let mut keeper = connect(&server, &authority);
    keeper.get("/plain").expect_status(200);
    let before = shown(&server, &authority.visitor());
    let (status, said) = server.command(&["upgrade"]);
    assert_eq!(status, 0, "{said}");
    // The worker that was there shows what was renewed, and so does one that comes after it.
    lay(&authority, &server, "localhost");
    eventually("the renewed certificate", || (shown(&server, &authority.visitor()) != before).then_some(()));
    keeper.get("/plain").expect_status(200);
    let renewed = shown(&server, &authority.visitor());
    let worker = server.workers()[0];
    server.kill_worker(worker);
    eventually("another worker", || (server.workers().iter().any(|pid| *pid != worker)).then_some(()));
    assert_eq!(shown(&server, &authority.visitor()), renewed);
}

#[test]
fn an_idle_client_of_an_old_worker_is_told_the_end() {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").serve();
    let mut idle = connect(&server, &authority);
    idle.get("/plain").expect_status(200);
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    idle.expect_close();
}

#[test]
fn a_plain_connection_does_not_go_over_to_a_listener_that_is_encrypted_now() {
    let authority = Authority::new("Test Authority");
    let site = authority.sign("localhost").lay(Site::new("answers:application"), "own");
    let server = site.serve();
    let yaml = server.site().read("server.yaml");
    let mut keeper = server.connect();
    keeper.get("/plain").expect_status(200);
    let plain = format!("listen: {}", server.address());
    let sealed = format!("listen: {{address: \"{}\", tls: {{certificate: own.pem, key: own.key}}}}", server.address());
    server.site().put("server.yaml", &yaml.replace(&plain, &sealed));
    let (status, said) = server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
    assert!(keeper.get("/plain").expect_status(200).says_close(), "its old worker served it");
    keeper.expect_close();
    connect(&server, &authority).get("/plain").expect_status(200);
}
