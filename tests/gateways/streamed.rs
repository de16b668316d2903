//! Bodies that the application reads itself (`body: stream`), as web servers send them.

use crate::harness::gateway::fastcgi::{
    ABORT_REQUEST, KEEP_CONN, REQUEST_COMPLETE, STDIN, Said, answer, head, next, record, request, stream,
};
use crate::harness::gateway::{Asked, Wire, ajp, cgi_answer};
use crate::harness::{Client, eventually};

use super::Gateways;

fn serve() -> Gateways {
    Gateways::serve("uploads:application", "body: stream\nthreads: 2")
}

#[test]
fn a_long_body_arrives_whole_by_every_wire() {
    let gateways = serve();
    let body = vec![b'x'; 1_000_000];
    let expected = gateways.asked(Wire::Http, &Asked::post("/whole", &body));
    assert!(expected.text().starts_with("1000000 1000000 "), "{expected}");
    for (wire, answer) in gateways.each(&Asked::post("/whole", &body)) {
        assert_eq!(answer.text(), expected.text(), "{wire:?}");
    }
    for (wire, answer) in gateways.each(&Asked::get("/whole")) {
        assert_eq!(answer.text().split(' ').nth(1), Some("0"), "{wire:?}: {answer}");
    }
}

#[test]
fn what_nobody_reads_costs_no_connection_that_can_be_kept() {
    let gateways = serve();
    for wire in [Wire::Http, Wire::FastCgi, Wire::Ajp] {
        let mut client = Client::connect(gateways.address(wire));
        for (path, length) in [("/ignore", 5), ("/ignore", 100_000), ("/first", 50_000), ("/whole", 9)] {
            let asked = Asked::post(path, &vec![b'x'; length]);
            let answer = wire.ask(&mut client, &asked).unwrap_or_else(|broken| panic!("{wire:?} {path}: {broken}"));
            assert_eq!(answer.status, 200, "{wire:?}: {answer}");
        }
    }
}

/// The content of an answer by AJP, and the packet that ends it.
fn answer_by_ajp(client: &mut Client) -> (Vec<u8>, Vec<u8>) {
    let mut content = Vec::new();
    loop {
        let packet = ajp::next(client).expect("a packet");
        match packet[0] {
            3 => content.extend_from_slice(&packet[3..]),
            5 => return (content, packet),
            _ => {}
        }
    }
}

#[test]
fn a_body_that_comes_by_ajp_when_its_answer_is_out_is_not_taken_for_what_follows() {
    let gateways = serve();
    let mut client = Client::connect(gateways.address(Wire::Ajp));
    let asked = Asked::post("/ignore", &[b'x'; 10_000]);
    client.send(ajp::forward(&asked, None));
    assert_eq!(answer_by_ajp(&mut client).1, [5, 1], "the connection is kept");
    let following = Asked::post("/whole", b"body");
    let packets = [ajp::body_packet(&[b'x'; 8186]), ajp::forward(&following, None), ajp::body_packet(b"body")];
    client.send(packets.concat());
    let (content, _) = answer_by_ajp(&mut client);
    assert!(content.starts_with(b"4 4 "), "{}", String::from_utf8_lossy(&content));
}

#[test]
fn the_answer_to_the_first_part_comes_before_the_second_is_sent() {
    for (engine, gateways) in Gateways::by_each_engine("uploads:application", "body: stream") {
        let mut client = Client::connect(gateways.address(Wire::FastCgi));
        client.send(head(1, KEEP_CONN, &Asked::post("/echo", b"onetwo"))).send(record(STDIN, 1, b"one"));
        let mut said = Said::default();
        while !said.stdout.ends_with(b"one") {
            assert!(!said.add(&next(&mut client).expect("a record")).expect("output"));
        }
        client.send(record(STDIN, 1, b"two")).send(record(STDIN, 1, b""));
        while !said.add(&next(&mut client).expect("a record")).expect("output") {}
        assert_eq!(cgi_answer(&said.stdout, "GET").expect("an answer").text(), "onetwo", "{engine}");
    }
}

#[test]
fn an_abort_ends_the_input_of_the_application_with_an_error() {
    let gateways = serve();
    let mut client = Client::connect(gateways.address(Wire::FastCgi));
    client.send(head(1, KEEP_CONN, &Asked::post("/strict", b"never whole"))).send(record(STDIN, 1, b"never"));
    eventually("the call", || gateways.is_in_a_call().then_some(()));
    client.send(record(ABORT_REQUEST, 1, b""));
    assert_eq!(answer(&mut client, 1).expect("an end").status, (0, REQUEST_COMPLETE));
    let told = "ConnectionAbortedError: the web server does not want the answer any more\n";
    eventually("the error", || (gateways.server.site().read("record") == told).then_some(()));
}

#[test]
fn while_one_reads_its_body_another_on_its_connection_is_answered() {
    let gateways = serve();
    let mut client = Client::connect(gateways.address(Wire::FastCgi));
    client.send(head(1, KEEP_CONN, &Asked::post("/whole", b"late"))).send(record(STDIN, 1, b"la"));
    eventually("the call", || gateways.is_in_a_call().then_some(()));
    client.send(request(2, KEEP_CONN, &Asked::post("/whole", b"second")));
    let second = answer(&mut client, 2).expect("the answer to the second alone");
    assert!(cgi_answer(&second.stdout, "GET").expect("an answer").text().starts_with("6 6 "), "{second:?}");
    client.send(stream(STDIN, 1, b"te", 9));
    let first = answer(&mut client, 1).expect("the answer to the first");
    assert!(cgi_answer(&first.stdout, "GET").expect("an answer").text().starts_with("4 4 "), "{first:?}");
}
