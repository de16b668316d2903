//! What AJP alone has: the secret, pings, bodies without a length, and packets that ask for what nobody may.

use crate::harness::gateway::ajp::{ask, body_packet, forward, next, packet};
use crate::harness::gateway::{Asked, Wire};
use crate::harness::{Answer, Client, Server, Site};

use super::Gateways;

/// A server with one AJP listener of these keys.
fn serve(keys: &str, trusted: &str) -> (Server, Client) {
    let site = Site::new("mirror:counted");
    let (http, ajp) = (site.listen(), site.another_address());
    let listeners = format!("[\"{http}\", {{address: \"{ajp}\", protocol: ajp{keys}}}]");
    let server = site.listen_at(&listeners).app(&format!("trusted_proxies: {trusted}")).serve();
    let client = Client::connect(ajp);
    (server, client)
}

fn answered(client: &mut Client, secret: Option<&str>) -> Answer {
    ask(client, &Asked::post("/", b"four"), secret).expect("an answer")
}

#[test]
fn with_a_secret_only_those_who_know_it_are_served_trusted_or_not() {
    for trusted in ["127.0.0.0/8", "10.0.0.1"] {
        let (_server, mut client) = serve(", secret: open sesame", trusted);
        assert_eq!(answered(&mut client, Some("open sesame")).text(), "4");
        let refused = answered(&mut client, Some("open sesam"));
        assert_eq!((refused.status, refused.text()), (403, "the web server does not know the secret\n"));
        let (_server, mut client) = serve(", secret: open sesame", trusted);
        assert_eq!(answered(&mut client, None).status, 403);
    }
}

#[test]
fn without_a_secret_only_trusted_web_servers_are_served() {
    let (_server, mut client) = serve("", "127.0.0.0/8");
    assert_eq!(answered(&mut client, None).text(), "4");
    assert_eq!(answered(&mut client, Some("whatever")).text(), "4");
    let (_server, mut client) = serve("", "10.0.0.1");
    let refused = answered(&mut client, Some("whatever"));
    assert_eq!((refused.status, refused.text()), (403, "without a secret only trusted web servers are served\n"));
}

#[test]
fn a_ping_is_answered_and_nobody_is_shut_down() {
    let (server, mut client) = serve("", "127.0.0.0/8");
    // CPING, twice in one piece, and one in two.
    client.send([packet(&[10]), packet(&[10])].concat());
    client.send(&packet(&[10])[..3]).send(&packet(&[10])[3..]);
    for _ in 0..3 {
        assert_eq!(next(&mut client).expect("a CPONG"), [9]);
    }
    client.send(packet(&[7]));
    assert_eq!(answered(&mut client, None).text(), "4");
    client.send([packet(&[10]), forward(&Asked::get("/"), None)].concat());
    assert_eq!(next(&mut client).expect("a CPONG"), [9]);
    assert_eq!(next(&mut client).expect("SEND_HEADERS")[0], 4);
    server.get("/").expect_status(200);
}

#[test]
fn a_body_without_a_length_is_asked_for_until_it_ends() {
    let (_server, mut client) = serve("", "127.0.0.0/8");
    let asked = Asked::get("/").method("POST").field("Transfer-Encoding", "chunked");
    client.send(forward(&asked, None));
    for part in [&b"one"[..], b"two"] {
        assert_eq!(next(&mut client).expect("GET_BODY_CHUNK")[0], 6);
        client.send(body_packet(part));
    }
    assert_eq!(next(&mut client).expect("GET_BODY_CHUNK")[0], 6);
    client.send(packet(b""));
    assert_eq!(next(&mut client).expect("SEND_HEADERS")[0], 4);
    assert_eq!(next(&mut client).expect("SEND_BODY_CHUNK"), b"\x03\0\x016\0");
}

#[test]
fn what_is_no_request_is_refused_and_the_connection_closed() {
    let gateways = Gateways::serve("mirror:counted", "");
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &packet(&[2, 99]), &packet(b"")] {
        let mut client = Client::connect(gateways.address(Wire::Ajp));
        client.send(bytes);
        let head = next(&mut client).expect("SEND_HEADERS");
        assert_eq!(&head[..3], [4, 1, 144], "400: {}", head.escape_ascii());
        let (rest, _) = client.ending();
        assert!(rest.ends_with(b"AB\0\x02\x05\0"), "no reuse: {}", rest.escape_ascii());
    }
}
