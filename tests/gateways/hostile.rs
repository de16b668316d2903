//! What no web server should send, and one that is confused or somebody's puppet does: each is refused, or has one reading.

use crate::harness::gateway::ajp::{body_packet, forward, packet};
use crate::harness::gateway::fastcgi::{
    ABORT_REQUEST, BEGIN_REQUEST, KEEP_CONN, PARAMS, REQUEST_COMPLETE, STDIN, Said, answer, begin, head, pairs, record,
    request, stream,
};
use crate::harness::gateway::{Asked, Wire, ajp, cgi_answer};
use crate::harness::{Client, Ending};

use super::{GATEWAYS, Gateways, environ, told};

fn text(said: &Said) -> String {
    cgi_answer(&said.stdout, "GET").unwrap_or_else(|broken| panic!("{broken}")).text().to_owned()
}

#[test]
fn what_a_client_says_of_framing_and_proxies_by_fields_like_variables_is_nothing() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::post("/", b"four")
        .field("Content_Length", "4")
        .field("Content_Type", "text/evil")
        .field("Transfer_Encoding", "chunked")
        .field("Proxy", "http://evil.example");
    for (wire, answer) in gateways.each(&asked) {
        let told = told(&answer, "CONTENT_LENGTH CONTENT_TYPE");
        assert_eq!(told, "4 text/plain", "{wire:?}");
        let environ = environ(&answer);
        for key in ["HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_PROXY"] {
            assert!(!environ.contains_key(key), "{key} by {wire:?}");
        }
        assert!(answer.text().contains("\"body\": \"four\""), "{wire:?}: {answer}");
    }
}

#[test]
fn a_length_that_is_another_than_the_clients_is_refused_for_some_of_the_body_would_be_lost() {
    let gateways = Gateways::serve("mirror:counted", "");
    for wire in [Wire::Scgi, Wire::Uwsgi, Wire::FastCgi] {
        for (own, clients) in [("0", "4"), ("4", "9")] {
            let asked =
                Asked::post("/", b"four").variable("CONTENT_LENGTH", own).variable("HTTP_CONTENT_LENGTH", clients);
            let asked = Asked { body: asked.body[..own.parse().unwrap()].to_vec(), ..asked };
            assert_eq!(gateways.asked(wire, &asked).status, 400, "{own} and {clients} by {wire:?}");
        }
    }
}

#[test]
fn a_variable_that_comes_twice_is_the_last_and_a_field_all_of_them() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::get("/first?q=1")
        .field("Cookie", "a=1")
        .field("X-Own", "1")
        .variable("REMOTE_USER", "first")
        .again("HTTP_COOKIE", "b=2")
        .again("HTTP_X_OWN", "2");
    // Of SCGI's specification no variable but a field may come twice.
    for wire in [Wire::Scgi, Wire::Uwsgi, Wire::FastCgi] {
        let answer = gateways.asked(wire, &asked);
        assert_eq!(told(&answer, "HTTP_COOKIE HTTP_X_OWN REMOTE_USER"), "a=1; b=2 1, 2 first", "{wire:?}");
    }
    let asked = asked
        .again("REMOTE_USER", "last")
        .again("PATH_INFO", "/last")
        .again("QUERY_STRING", "q=2")
        .again("REMOTE_ADDR", "192.0.2.99");
    for wire in [Wire::Uwsgi, Wire::FastCgi] {
        let answer = gateways.asked(wire, &asked);
        let told = told(&answer, "REMOTE_USER PATH_INFO QUERY_STRING REMOTE_ADDR");
        assert_eq!(told, "last /last q=2 192.0.2.99", "{wire:?}");
    }
    gateways.asked(Wire::Scgi, &asked).expect_status(400);
}

#[test]
fn what_may_have_no_two_readings_is_refused_when_it_comes_twice() {
    let gateways = Gateways::serve("mirror:application", "");
    for (name, value) in [("CONTENT_LENGTH", "4"), ("CONTENT_LENGTH", "5"), ("HTTP_HOST", "evil.example")] {
        for wire in [Wire::Scgi, Wire::Uwsgi, Wire::FastCgi] {
            let asked = Asked::post("/", b"four").again(name, value);
            assert_eq!(gateways.asked(wire, &asked).status, 400, "{name} by {wire:?}");
        }
    }
    for (name, value) in [("Content-Length", "4"), ("Transfer-Encoding", "chunked"), ("Host", "evil.example")] {
        gateways.asked(Wire::Ajp, &Asked::post("/", b"four").field(name, value)).expect_status(400);
    }
}

/// A FastCGI connection, and whether it still serves.
fn connect(gateways: &Gateways) -> Client {
    Client::connect(gateways.address(Wire::FastCgi))
}

fn expect_use(client: &mut Client, id: u16) {
    client.send(request(id, KEEP_CONN, &Asked::post("/", b"123")));
    assert_eq!(text(&answer(client, id).expect("an answer")), "3");
}

#[test]
fn records_that_belong_to_nothing_are_passed_over() {
    let gateways = Gateways::serve("mirror:counted", "");
    let mut client = connect(&gateways);
    // Before any request, and behind one.
    for _ in 0..2 {
        client.send([record(STDIN, 1, b"stray"), record(PARAMS, 1, b"x"), record(ABORT_REQUEST, 1, b"")].concat());
        client.send([record(99, 1, b"what"), record(STDIN, 9, b"")].concat());
        expect_use(&mut client, 1);
    }
}

#[test]
fn records_out_of_their_order_cost_their_request_alone() {
    let gateways = Gateways::serve("mirror:counted", "");
    let four = Asked::post("/", b"four");
    let bad: [Vec<u8>; 4] = [
        // STDIN before PARAMS has ended, PARAMS behind it, and a record of the answer's.
        [begin(1, 1, KEEP_CONN), record(STDIN, 1, b"four")].concat(),
        [head(1, KEEP_CONN, &four), record(STDIN, 1, b"fo"), record(PARAMS, 1, b"")].concat(),
        [head(1, KEEP_CONN, &four), record(6, 1, b"four")].concat(),
        // A pair whose name and value would have 2^31 - 1 bytes each.
        [begin(1, 1, KEEP_CONN), stream(PARAMS, 1, &[0xff; 8], 99)].concat(),
    ];
    for bytes in bad {
        let mut client = connect(&gateways);
        client.send(&bytes);
        let said = answer(&mut client, 1).unwrap();
        assert!(said.stdout.starts_with(b"Status: 400 "), "{} {said:?}", bytes.escape_ascii());
        assert_eq!(said.status, (0, REQUEST_COMPLETE));
        expect_use(&mut client, 1);
    }
    // Pairs without a name are none, and those without a value are.
    let mut client = connect(&gateways);
    client.send([begin(1, 1, KEEP_CONN), stream(PARAMS, 1, &pairs([("", &b"x"[..])]), 99)].concat());
    assert!(answer(&mut client, 1).unwrap().stdout.starts_with(b"Status: 400 "));
    client.send([begin(1, 1, KEEP_CONN), stream(PARAMS, 1, &pairs([("X", &b""[..])]), 99)].concat());
    client.send(record(STDIN, 1, b""));
    assert_eq!(text(&answer(&mut client, 1).unwrap()), "0");
}

#[test]
fn a_request_that_begins_twice_ends_its_connection_and_nothing_else() {
    let gateways = Gateways::serve("mirror:counted", "");
    let mut bystander = connect(&gateways);
    expect_use(&mut bystander, 1);
    for second in [begin(1, 1, KEEP_CONN), begin(0, 1, KEEP_CONN), record(BEGIN_REQUEST, 0, b"")] {
        let mut client = connect(&gateways);
        client.send([head(1, KEEP_CONN, &Asked::post("/", b"four")), second].concat());
        let (_, ending) = client.ending();
        assert!(matches!(ending, Ending::Eof | Ending::Reset), "{ending:?}");
    }
    expect_use(&mut bystander, 1);
}

#[test]
fn a_body_packet_of_ajp_may_have_more_than_was_asked_for_but_not_more_than_the_body() {
    let gateways = Gateways::serve("mirror:counted", "");
    let asked = |length: usize| forward(&Asked::post("/", &vec![b'x'; length]), None);
    // `mod_proxy_ajp` sends as much as its own packets hold (ProxyIOBufferSize), whatever it is asked for.
    let mut client = Client::connect(gateways.address(Wire::Ajp));
    client.send(asked(40_000)).send(body_packet(&[b'x'; 30_000]));
    assert_eq!(ajp::next(&mut client).expect("GET_BODY_CHUNK"), [6, 0x1f, 0xfa]);
    client.send(body_packet(&[b'x'; 10_000]));
    assert_eq!(ajp::next(&mut client).expect("SEND_HEADERS")[0], 4);
    assert_eq!(ajp::next(&mut client).expect("SEND_BODY_CHUNK"), b"\x03\0\x0540000\0");
    for (packets, why) in [
        (body_packet(b"fives"), "more than the body"),
        (packet(b"\0\x05four"), "another length than the packet's"),
        (packet(b""), "nothing"),
        (b"\x12\x35\0\0".to_vec(), "no packet"),
    ] {
        let mut client = Client::connect(gateways.address(Wire::Ajp));
        client.send(asked(4)).send(packets);
        let (seen, _) = client.ending();
        assert!(seen.starts_with(b"AB") && seen[4..7] == [4, 1, 144], "{why}: {}", seen.escape_ascii());
        assert!(seen.ends_with(b"AB\0\x02\x05\0"), "{why}: {}", seen.escape_ascii());
    }
}

#[test]
fn no_gateway_sets_what_is_the_servers_own() {
    let gateways = Gateways::serve("mirror:application", "");
    let asked = Asked::get("/").variable("wsgi.url_scheme", "evil").variable("monoceros.request_id", "evil");
    for wire in GATEWAYS {
        let answer = gateways.asked(*wire, &asked);
        assert_eq!(told(&answer, "wsgi.url_scheme monoceros.request_id"), "http -", "{wire:?}");
    }
}
