//! The gateways in the engines that need a package: each promise holds on a loop of Python's too.

use crate::harness::gateway::fastcgi::{
    ABORT_REQUEST, KEEP_CONN, REQUEST_COMPLETE, Said, answer, next, record, request,
};
use crate::harness::gateway::{Asked, Wire, cgi_answer};
use crate::harness::{Client, eventually};

use super::Gateways;

const ENGINES: [&str; 3] = ["gevent", "eventlet", "tornado"];
const GREENLETS: [&str; 2] = ["gevent", "eventlet"];

fn serve(engine: &str, wsgi: &str, lines: &str) -> Gateways {
    let (site, addresses) = super::site(wsgi, lines);
    Gateways { server: site.engine(engine).serve(), addresses }
}

#[test]
fn every_wire_is_served_in_every_engine() {
    for engine in ENGINES {
        let gateways = serve(engine, "answers:application", "");
        for path in ["/plain", "/pieces", "/written", "/raises_before", "/no_content"] {
            let expected = gateways.asked(Wire::Http, &Asked::get(path));
            for (wire, answer) in gateways.each(&Asked::get(path)) {
                assert_eq!(
                    (answer.status, &answer.body),
                    (expected.status, &expected.body),
                    "{engine} {wire:?} {path}"
                );
            }
        }
        let gateways = serve(engine, "mirror:counted", "");
        for (wire, answer) in gateways.each(&Asked::post("/", &[b'x'; 100_000])) {
            assert_eq!(answer.text(), "100000", "{engine} {wire:?}");
        }
    }
}

#[test]
fn requests_beside_each_other_run_in_a_greenlet_each() {
    for engine in GREENLETS {
        let gateways = serve(engine, "greens:application", "");
        let mut client = Client::connect(gateways.address(Wire::FastCgi));
        client.send(request(1, KEEP_CONN, &Asked::get("/nap?2")));
        client.send(request(2, KEEP_CONN, &Asked::get("/pid")));
        let mut ended = Vec::new();
        while ended.len() < 2 {
            let record = next(&mut client).expect("a record");
            if Said::default().add(&record).expect("output") {
                ended.push(record.id);
            }
        }
        assert_eq!(ended, [2, 1], "{engine}");
    }
}

#[test]
fn an_abort_closes_the_iterable_in_its_greenlet() {
    for engine in GREENLETS {
        let gateways = serve(engine, "calls:application", "");
        let mut client = Client::connect(gateways.address(Wire::FastCgi));
        client.send(request(1, KEEP_CONN, &Asked::get("/endless")));
        let mut said = Said::default();
        while said.stdout.len() < 1 << 20 {
            assert!(!said.add(&next(&mut client).expect("a record")).expect("output"));
        }
        client.send(record(ABORT_REQUEST, 1, b""));
        while !said.add(&next(&mut client).expect("a record")).expect("output") {
            assert!(said.stdout.len() < 1 << 28, "it goes on and on");
        }
        assert_eq!(said.status, (0, REQUEST_COMPLETE), "{engine}");
        eventually("the iterable to be closed", || {
            client.send(request(1, KEEP_CONN, &Asked::get("/told")));
            let told = cgi_answer(&answer(&mut client, 1).expect("an answer").stdout, "GET").expect("an answer");
            (told.text() == "['endless over']").then_some(()).ok_or(told.text().to_owned())
        });
    }
}
