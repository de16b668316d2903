//! Reloads under web servers: connections that are kept go over to the new worker, and no request fails.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::harness::gateway::{Asked, Wire};
use crate::harness::{Client, Site, eventually};

use super::{GATEWAYS, Gateways};

/// Two workers that answer with the version that `deploy.py` says.
fn serve() -> Gateways {
    let (site, addresses) = super::site("deployed:application", "workers: 2\nthreads: 2");
    Gateways { server: site.file("deploy.py", "VERSION = 1\n").serve(), addresses }
}

fn deploy(gateways: &Gateways, version: usize) {
    gateways.server.site().put("deploy.py", &format!("VERSION = {version}\n"));
    let (status, said) = gateways.server.command(&["reload", "--wait"]);
    assert_eq!(status, 0, "{said}");
}

fn version(wire: Wire, client: &mut Client) -> String {
    let answer = wire.ask(client, &Asked::get("/x")).unwrap_or_else(|broken| panic!("{wire:?}: {broken}"));
    answer.text().split(' ').nth(1).expect("a version").to_owned()
}

#[test]
fn a_kept_connection_goes_over_to_the_new_worker() {
    let gateways = serve();
    let kept = || Wire::ALL.into_iter().filter(|wire| wire.keeps_alive());
    let mut clients: Vec<(Wire, Client)> = kept().map(|wire| (wire, Client::connect(gateways.address(wire)))).collect();
    for (wire, client) in &mut clients {
        assert_eq!(version(*wire, client), "1", "{wire:?}");
    }
    for round in 2..5 {
        deploy(&gateways, round);
        for (wire, client) in &mut clients {
            eventually("the new version on the old connection", || {
                (version(*wire, client) == round.to_string()).then_some(())
            });
        }
    }
}

#[test]
fn no_request_fails_while_workers_are_replaced() {
    let gateways = serve();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for wire in GATEWAYS {
            let (gateways, over, answered) = (&gateways, &over, &answered);
            scope.spawn(move || {
                let mut client = Client::connect(gateways.address(*wire));
                let asked = [Asked::get("/x"), Asked::post("/y", &[b'y'; 20_000]), Asked::get("/stream")];
                for number in 0.. {
                    if over.load(Ordering::Acquire) {
                        return;
                    }
                    let answer = wire.ask(&mut client, &asked[number % 3]);
                    let answer = answer.unwrap_or_else(|broken| panic!("{wire:?}, request {number}: {broken}"));
                    let is_whole = match number % 3 {
                        0 => answer.body.starts_with(b"/x "),
                        1 => answer.body.ends_with(&[b'y'; 20_000]),
                        _ => answer.text().lines().count() == 20,
                    };
                    assert!(answer.status == 200 && is_whole, "{wire:?}, request {number}: {answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                    if !wire.keeps_alive() {
                        client = Client::connect(gateways.address(*wire));
                    }
                }
            });
        }
        for version in 2..6 {
            deploy(&gateways, version);
            let before = answered.load(Ordering::Relaxed);
            eventually("more answers", || (answered.load(Ordering::Relaxed) > before + 40).then_some(()));
        }
        over.store(true, Ordering::Release);
    });
}

#[test]
fn a_connection_stays_where_its_protocol_is_spoken() {
    let site = Site::new("deployed:application").file("deploy.py", "VERSION = 1\n");
    let server = site.serve();
    let mut idle = server.connect();
    assert_eq!(version(Wire::Http, &mut idle), "1");
    let yaml = server.site().read("server.yaml");
    let listener = format!("listen: {{address: \"{}\", protocol: scgi}}", server.address());
    server.site().put("server.yaml", &yaml.replace(&format!("listen: {}", server.address()), &listener));
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    eventually("SCGI to be spoken there", || {
        let mut client = Client::connect(server.address());
        Wire::Scgi.ask(&mut client, &Asked::get("/x")).ok().filter(|answer| answer.status == 200)
    });
    let answer = idle.get("/x").expect_status(200);
    assert!(answer.says_close(), "the worker that speaks HTTP goes: {answer}");
}
