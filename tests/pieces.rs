//! Answers that come in pieces, and answers that come together: neither waits for what the application does next.

use std::fs;

use crate::harness::{Broken, Client, Server, Site};

const REQUEST: &str = "HTTP/1.1\r\nHost: h\r\n\r\n";

fn site() -> Site {
    Site::new("pieces:application")
}

fn every_engine() -> Vec<Site> {
    let named = ["gevent", "eventlet", "tornado"].into_iter().map(|engine| site().engine(engine));
    [site(), site().app("threads: 2")].into_iter().chain(named).collect()
}

fn go_on(server: &Server, name: &str) {
    fs::write(server.site().path(name), "").expect("a file can be written");
}

/// Asks for a piece that comes and one that does not, until there is a file.
fn expect_first_piece(server: &Server, client: &mut Client, path: &str) {
    client.send(format!("GET {path} {REQUEST}"));
    client.head().expect_status(200);
    assert_eq!(client.chunk().expect("a piece"), b"first ");
    go_on(server, "open");
    assert_eq!(client.chunks().expect("the rest"), b"last");
}

#[test]
fn a_piece_is_sent_though_the_next_one_takes_its_time() {
    for path in ["/stall", "/compute"] {
        for site in every_engine() {
            let server = site.serve();
            let mut client = server.connect();
            // Nothing is known of an application whose answers were whole.
            client.get("/whole").expect_status(200);
            expect_first_piece(&server, &mut client, path);
        }
    }
}

#[test]
fn pieces_that_come_at_once_are_all_there_in_their_order() {
    let expected: String = (0..10_000).map(|number| format!("{number:09}\n")).collect();
    for site in every_engine() {
        let server = site.serve();
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.get("/many").text(), expected);
        }
        assert_eq!(client.get("/both").text(), "abcd");
    }
}

#[test]
fn large_pieces_are_sent_from_where_python_has_them() {
    let server = site().serve();
    for _ in 0..3 {
        // Nobody has them any more but who sends them.
        let answer = server.get("/large").expect_status(200);
        assert_eq!(answer.body, [[b'a'; 1_000_000], [b'b'; 1_000_000], [b'c'; 1_000_000]].concat());
        let answer = server.get("/much").expect_status(200);
        assert_eq!(answer.body, b"0123456789".repeat(100_000));
    }
}

#[test]
fn what_was_given_before_a_failure_arrives_and_does_not_look_complete() {
    for site in every_engine() {
        let server = site.serve();
        let mut client = server.connect();
        client.send(format!("GET /fail {REQUEST}"));
        client.head().expect_status(200);
        assert_eq!(client.chunk().expect("a piece"), b"first ");
        assert!(matches!(client.chunk(), Err(Broken::Ended(..))));
    }
}

#[test]
fn a_whole_answer_is_sent_though_the_call_behind_it_takes_its_time() {
    let site = site().app("static: {/file: .}").file("a", "content");
    let server = site.serve();
    let [mut first, mut quick, mut slow] = [(); 3].map(|()| server.connect());
    first.send(format!("GET /stall {REQUEST}"));
    first.head().expect_status(200);
    quick.send(format!("GET /quick {REQUEST}"));
    slow.send(format!("GET /wait {REQUEST}"));
    // Read after both of them, so that they stand in line behind the first.
    assert_eq!(server.get("/file/a").text(), "content");
    go_on(&server, "open");
    assert_eq!(quick.answer().text(), "/quick");
    go_on(&server, "later");
    slow.answer().expect_status(200);
    assert_eq!(first.chunks().expect("the rest"), b"first last");
}
