//! FastCGI requests beside each other on one connection, as HAProxy sends them where it is told to (`option mpxs-conns`).

use super::front::{Front, Kind};
use super::tour::{self, USUAL, Way};
use crate::harness::{Client, Ending};

const PORT: u16 = 8082;

/// A client that asks for this, up to the beginning of its answer.
fn begun(front: &Front, target: &str) -> Client {
    let mut client = front.connect(PORT);
    client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"));
    assert_eq!(client.head().status, 200);
    client.take_until(b"first ").unwrap_or_else(|broken| panic!("nothing streams: {broken}"));
    client
}

fn open(front: &Front) {
    front.connect(PORT).get("/open").expect_status(200);
}

/// The rest of a stream, and whether it has its end.
fn rest(client: &mut Client) -> (bool, Ending) {
    let (rest, ending) = client.ending();
    (rest.ends_with(b"6\r\nsecond\r\n0\r\n\r\n"), ending)
}

#[test]
fn an_answer_that_is_cut_beside_others_costs_them_nothing_and_is_seen_to_be_by_its_content_length_alone() {
    let front = Kind::HaproxySharing.with_every_answer();
    let mut whole = begun(&front, "/stream");
    let mut cut = front.connect(PORT);
    cut.send("GET /cut HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    assert_eq!(cut.head().status, 200);
    cut.take(50_000).expect("the beginning");
    open(&front);
    assert_eq!(rest(&mut whole), (true, Ending::Eof));
    // HAProxy waits for the rest of its Content-Length for as long as for a server.
    assert_eq!(cut.ending(), (Vec::new(), Ending::Eof));
    // Without one it takes the end of a request for the end of its answer, whatever that says of the application.
    let mut whole = begun(&front, "/stream");
    let mut cut = begun(&front, "/cut_stream");
    open(&front);
    assert_eq!(rest(&mut whole), (true, Ending::Eof));
    let (end, ending) = cut.ending();
    assert!(end.ends_with(b"0\r\n\r\n") && ending == Ending::Eof, "{}", end.escape_ascii());
    front.connect(PORT).get("/environ").expect_status(200);
    assert_eq!(front.accepted(), 1, "connections for all of that");
}

#[test]
fn a_reload_in_the_middle_fails_no_request() {
    // A body longer than its buffer it answers itself with 500 now and then, when it shares connections (2.6.12).
    tour::reload(&Kind::HaproxySharing.with_every_answer(), PORT, Way { body_step: 4_000, ..USUAL });
}
