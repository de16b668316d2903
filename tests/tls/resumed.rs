//! Sessions go on: in whichever worker, over reloads, and nowhere else.

use std::collections::BTreeSet;

use rustls::HandshakeKind;
use rustls::version::{TLS12, TLS13};
use serde_json::Value;

use super::authority::{Authority, Visitor};
use super::{Site, site};
use crate::harness::{Client, Server, eventually};

/// A connection's worker, and whether its session went on.
fn visit(server: &Server, visitor: &Visitor) -> (String, bool) {
    let mut client = visitor.connect(server.address(), "localhost");
    let answer = client.get("/").expect_status(200);
    let told: Value = serde_json::from_str(answer.text()).expect("mirror answers with JSON");
    let resumed = is_resumed(&mut client);
    let said = if resumed { "Resumed" } else { "Initial" };
    assert_eq!(told["environ"]["SSL_SESSION_RESUMED"], said, "the application is told so");
    (told["others"]["monoceros.worker"].to_string(), resumed)
}

fn is_resumed(client: &mut Client) -> bool {
    client.tls().conn.handshake_kind() == Some(HandshakeKind::Resumed)
}

/// Visits until the session went on in each of so many workers other than these.
fn visit_all(server: &Server, visitor: &Visitor, others: (usize, &BTreeSet<String>)) -> BTreeSet<String> {
    let (workers, before) = others;
    let mut seen = BTreeSet::new();
    eventually("sessions to go on in every worker", || {
        let (worker, resumed) = visit(server, visitor);
        assert!(resumed, "worker {worker} made a new session");
        if !before.contains(&worker) {
            seen.insert(worker);
        }
        (seen.len() >= workers).then_some(()).ok_or(seen.clone())
    });
    seen
}

#[test]
fn a_session_goes_on_in_every_worker_and_over_a_reload() {
    let authority = Authority::new("Test Authority");
    let server = site("mirror:application", &authority, "").app("workers: 2").serve();
    for version in [&TLS12, &TLS13] {
        let visitor = authority.visitor_of(version);
        assert!(!visit(&server, &visitor).1, "the first is new");
        let before = visit_all(&server, &visitor, (2, &BTreeSet::new()));
        let (status, said) = server.command(&["reload", "--wait"]);
        assert_eq!(status, 0, "{said}");
        visit_all(&server, &visitor, (2, &before));
    }
}

#[test]
fn a_session_does_not_go_on_where_more_is_asked_of_clients() {
    let authority = Authority::new("Test Authority");
    let strict = "client_certificates: required, client_authorities: ca.pem";
    let open = site("mirror:application", &authority, "");
    let address = open.another_address();
    let yaml = format!(
        "apps:\n  main:\n    wsgi: mirror:application\n    listen:\n      - {{address: \"{}\", tls: {{certificate: own.pem, key: own.key}}}}\n      \
         - {{address: \"{address}\", tls: {{certificate: own.pem, key: own.key, {strict}}}}}\n",
        open.listen(),
    );
    let site: Site = open.file("ca.pem", &authority.certificate()).yaml(&yaml);
    let server = site.serve();
    let visitor = authority.visitor();
    visit(&server, &visitor);
    assert!(visit(&server, &visitor).1);
    let mut client = visitor.connect(address, "localhost");
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(!is_resumed(&mut client));
    super::assert_refused(&mut client);
}
