//! The judge, tried with servers of a few bytes whose faults are known.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::case::Check::{Body, Closes, Cut, Dated, Status};
use super::case::{Allowed, BAD, Case, get, must};
use super::judge::{Judge, Manner, Measure};

const PLAIN: &str = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n\r\nplain";
const REFUSAL: &str =
    "HTTP/1.1 400 Bad Request\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// What such a server does with a connection when it has said its words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Close,
    Wait,
}

/// Says these words, one to each read, to one client.
fn server(words: &'static [&'static str], then: Then) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client comes");
        let mut buffer = [0; 4096];
        for word in words {
            let _ = client.read(&mut buffer);
            let _ = client.write_all(word.as_bytes());
        }
        if then == Then::Close {
            let _ = client.shutdown(Shutdown::Write);
        }
        // Until the client goes.
        let _ = client.read_to_end(&mut Vec::new());
    });
    address
}

fn verdict(measure: Measure, words: &'static [&'static str], then: Then, allowed: Allowed) -> Result<(), String> {
    let case: Case = must("RFC 9112 3", "a request", get("/"), allowed);
    let folder = PathBuf::from("/nonexistent");
    let patience = Duration::from_millis(300);
    let address = server(words, then);
    Judge { address, folder, patience, manner: Manner::Whole, measure }.hear(&case)
}

fn by_the_case(words: &'static [&'static str], then: Then, allowed: Allowed) -> Result<(), String> {
    verdict(Measure::TheCase, words, then, allowed)
}

const FINE: Allowed = &[&[Status(200), Body("plain")]];

#[test]
fn what_is_right_is_called_right() {
    assert_eq!(by_the_case(&[REFUSAL], Then::Close, BAD), Ok(()));
    assert_eq!(by_the_case(&[PLAIN, PLAIN], Then::Close, FINE), Ok(()));
    assert_eq!(by_the_case(&[PLAIN], Then::Close, FINE), Ok(()), "to close without a word is allowed");
    assert_eq!(by_the_case(&["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nplain"], Then::Close, &[&[Cut]]), Ok(()));
}

#[test]
fn what_is_wrong_is_noticed() {
    let wrong: [(&str, &'static [&'static str], Then, Allowed); 9] = [
        ("another status", &[PLAIN], Then::Close, BAD),
        ("another body", &[PLAIN], Then::Close, &[&[Body("plane")]]),
        ("no answer", &[""], Then::Close, FINE),
        ("silence", &[""], Then::Wait, FINE),
        ("no close", &[REFUSAL], Then::Wait, BAD),
        ("a second answer behind a refusal", &[REFUSAL, PLAIN], Then::Close, &[&[Status(200), Closes]]),
        ("another answer than that to the last request", &[PLAIN, REFUSAL], Then::Close, FINE),
        ("no Date", &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain"], Then::Close, &[&[Dated]]),
        ("a complete answer", &[PLAIN], Then::Close, &[&[Cut]]),
    ];
    for (name, words, then, allowed) in wrong {
        assert!(by_the_case(words, then, allowed).is_err(), "{name}");
    }
    let two: &'static [&'static str] = &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplainHTTP/1.1 200 OK\r\n\r\n"];
    assert!(by_the_case(two, Then::Close, &[&[Body("plain"), Closes]]).is_err(), "two answers to one request");
}

#[test]
fn ours_is_held_to_every_rule_and_a_peer_to_the_one_of_the_case() {
    let undated: &'static [&'static str] = &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nplain"];
    assert_eq!(by_the_case(undated, Then::Close, FINE), Ok(()));
    assert!(verdict(Measure::EveryRule, undated, Then::Close, FINE).is_err());
    assert!(verdict(Measure::EveryRule, &[PLAIN], Then::Close, FINE).is_err(), "a close that was not announced");
}
