//! Turns fed by bytes, however cut, and answered by hand.

mod seat;
mod streaming;

use std::sync::Arc;

use super::*;
use crate::output::Piece;
use crate::wire::gateway::Protocol;

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

/// Small ones.
pub fn limits() -> Limits {
    Limits {
        head: head::Limits { request_line_max: 100, header_count_max: 10, header_bytes_max: 400 },
        body: body::Limits { body_bytes_max: 40, trailer_bytes_max: 100 },
        bodies: Bodies::Buffer,
        body_memory_max: 8,
        kept_buffer_max: 64,
        ending: Arc::default(),
    }
}

fn turn() -> Turn {
    Turn::new(Arc::new(limits()))
}

/// Takes what the turn has to send.
fn sent(turn: &mut Turn) -> String {
    let mut all = Vec::new();
    loop {
        let count = match turn.output().front() {
            Piece::Nothing => return String::from_utf8(all).unwrap(),
            Piece::Bytes(bytes) => {
                all.extend_from_slice(bytes);
                bytes.len()
            }
            Piece::Stretch(stretch) => stretch.length as usize,
            Piece::Broken => panic!("the file is whole"),
        };
        turn.output().sent(count);
    }
}

/// Answers each request with its method, path and body, until the input is used up; gives all that was sent.
fn serve(pieces: &[&[u8]]) -> String {
    serve_by(&mut turn(), pieces)
}

fn serve_by(turn: &mut Turn, pieces: &[&[u8]]) -> String {
    let mut pieces = pieces.iter();
    let mut all = String::new();
    loop {
        match turn.next() {
            Next::Send => all += &sent(turn),
            Next::Receive => match pieces.next() {
                Some(piece) => turn.receive(piece, &MOMENT),
                None => return all,
            },
            Next::Call => echo(turn),
            Next::Wait => turn.restart(&MOMENT),
            Next::End(farewell) => return format!("{all}<{farewell:?}>"),
        }
    }
}

fn echo(turn: &mut Turn) {
    turn.run(&MOMENT);
    let mut answer = turn.text(turn.head().method.to(turn.head().path)).to_vec();
    answer.push(b' ');
    match turn.take_body() {
        Body::Empty => {}
        Body::Memory(bytes) => answer.extend(bytes),
        Body::File(mut file, _) => {
            std::io::Read::read_to_end(&mut file, &mut answer).unwrap();
        }
    }
    turn.begin(b"200 OK").unwrap();
    turn.total(answer.len() as u64);
    turn.write(&answer);
    turn.finish();
}

fn ok(content: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n{content}",
        content.len()
    )
}

#[test]
fn requests_are_the_same_however_the_bytes_are_cut() {
    let stream = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345\
        POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n6;x=y\r\nefghij\r\n0\r\nX: y\r\n\r\n\
        GET /d HTTP/1.1\r\nHost: x\r\n\r\n";
    let expected = [ok("GET /a "), ok("POST /b 12345"), ok("POST /c abcdefghij"), ok("GET /d ")].concat();
    assert_eq!(serve(&[stream]), expected);
    assert_eq!(serve(&stream.chunks(1).collect::<Vec<_>>()), expected);
    for cut in 1..stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(serve(&[first, second]), expected, "cut at {cut}");
    }
}

#[test]
fn a_client_that_expects_it_is_told_to_go_on_before_its_body_but_not_behind_it() {
    let head = &b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"[..];
    assert_eq!(serve(&[head, b"12"]), format!("HTTP/1.1 100 Continue\r\n\r\n{}", ok("POST /b 12")));
    assert_eq!(serve(&[&[head, b"12"].concat()]), ok("POST /b 12"));
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let answer = serve(&[b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n"]);
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.ends_with("<Linger>"), "{answer}");
    assert!(answer.contains("Connection: close"), "{answer}");
}

#[test]
fn the_first_request_is_answered_and_the_broken_second_refused() {
    let answer = serve(&[
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost : x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n",
    ]);
    assert!(answer.starts_with(&ok("GET /a ")), "{answer}");
    assert!(answer[ok("GET /a ").len()..].starts_with("HTTP/1.1 400 ") && answer.ends_with("<Linger>"), "{answer}");
    assert!(!answer.contains("/c"), "{answer}");
}

#[test]
fn an_end_within_a_request_is_refused_and_between_requests_is_none_of_our_business() {
    for (bytes, expected) in [
        (&b""[..], "<Close>"),
        (b"GET / HTTP/1.1\r\nHo", "HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n12", "HTTP/1.1 400 "),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n", "HTTP/1.1 400 "),
    ] {
        let mut turn = turn();
        turn.receive(bytes, &MOMENT);
        turn.end_of_input(&MOMENT);
        let answer = sent(&mut turn) + &format!("<{:?}>", turn.next()).replace("End(", "").replace(')', "");
        assert!(answer.starts_with(expected), "{answer}");
    }
}

#[test]
fn patience_is_with_heads_then_bodies_then_the_next_request() {
    let mut turn = turn();
    assert_eq!(turn.patience(), Patience::Head, "a new connection");
    turn.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n", &MOMENT);
    assert_eq!(turn.patience(), Patience::Body);
    turn.receive(b"123", &MOMENT);
    echo(&mut turn);
    assert_eq!(turn.patience(), Patience::Write);
    sent(&mut turn);
    turn.restart(&MOMENT);
    assert_eq!(turn.patience(), Patience::Keepalive);
    turn.receive(b"G", &MOMENT);
    assert_eq!(turn.patience(), Patience::Head);
    turn.expire(&MOMENT);
    assert!(sent(&mut turn).starts_with("HTTP/1.1 408 "));
}

#[test]
fn an_application_that_fails_before_its_first_byte_is_a_500_and_after_it_a_cut() {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut early = turn();
    early.receive(request, &MOMENT);
    early.run(&MOMENT);
    early.begin(b"200 OK").unwrap();
    early.field(b"X-Secret", b"1").unwrap();
    early.fail();
    let answer = sent(&mut early);
    assert!(answer.starts_with("HTTP/1.1 500 ") && !answer.contains("Secret"), "{answer}");
    assert!(early.may_restart());

    let mut late = turn();
    late.receive(request, &MOMENT);
    late.run(&MOMENT);
    late.begin(b"200 OK").unwrap();
    late.write(b"part");
    let part = sent(&mut late);
    assert!(part.ends_with("4\r\npart\r\n"), "{part}");
    late.fail();
    assert_eq!(late.next(), Next::End(Farewell::Close), "the last chunk is missing");

    let mut old = turn();
    old.receive(b"GET / HTTP/1.0\r\n\r\n", &MOMENT);
    old.run(&MOMENT);
    old.begin(b"200 OK").unwrap();
    old.write(b"part");
    sent(&mut old);
    old.fail();
    assert_eq!(old.next(), Next::End(Farewell::Reset), "a 1.0 client would take a close for the end");
}

#[test]
fn the_last_turn_of_a_connection_says_so_even_if_the_end_comes_during_the_call() {
    let limits = Arc::new(limits());
    let mut turn = Turn::new(limits.clone());
    turn.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &MOMENT);
    turn.run(&MOMENT);
    limits.ending.store(true, Ordering::Relaxed);
    turn.begin(b"200 OK").unwrap();
    turn.finish();
    assert!(sent(&mut turn).contains("\r\nConnection: close\r\n"));
    assert_eq!(turn.next(), Next::End(Farewell::Linger), "the client may have sent its next request already");
}

#[test]
fn a_whole_request_that_nobody_began_travels_as_the_bytes_that_it_came_as() {
    let behind = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for request in [
        "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345",
        "POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ] {
        for behind in ["", behind] {
            let stream = format!("{request}{behind}");
            for cut in 1..request.len() {
                let mut turn = turn();
                turn.receive(&stream.as_bytes()[..cut], &MOMENT);
                turn.receive(&stream.as_bytes()[cut..], &MOMENT);
                assert_eq!(turn.next(), Next::Call);
                assert!(!turn.may_travel() && turn.may_unread(), "cut at {cut}");
                assert!(turn.unread_whole() && turn.may_travel() && !turn.may_unread(), "cut at {cut}");
                assert_eq!(turn.unread(), stream.as_bytes(), "cut at {cut}");
                // It may come home too.
                turn.receive(&[], &MOMENT);
                assert_eq!(turn.next(), Next::Call);
                let mut heir = Seat::new(Arc::new(limits()), turn.served());
                heir.receive(stream.as_bytes(), &MOMENT);
                assert_eq!((heir.next(), heir.served()), (Next::Call, 0));
                assert_eq!(heir.take_body().length(), turn.take_body().length());
            }
        }
    }
}

#[test]
fn a_whole_request_stays_that_cannot_be_made_bytes_again() {
    for request in [
        // Longer than memory allows, so in a file.
        "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789",
        "POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    ] {
        let mut turn = turn();
        turn.receive(request.as_bytes(), &MOMENT);
        assert!(!turn.may_unread() && !turn.unread_whole());
        assert_eq!(turn.next(), Next::Call);
        turn.give_up(Refusal { status: 504, why: "nobody is free" }, &MOMENT);
        let answer = sent(&mut turn);
        assert!(answer.starts_with("HTTP/1.1 504 ") && answer.ends_with("nobody is free\n"), "{answer}");
        assert_eq!(turn.next(), Next::End(Farewell::Linger));
    }
}

#[test]
fn what_an_ended_connection_leaves_changes_nothing_for_the_next() {
    let ends: [&[u8]; 6] = [
        b"GET /a?b HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n",
        b"POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\n12345",
        b"POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n12345",
        b"GET /e HTTP/1.1\r\nHo",
        b"GET /f HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"",
    ];
    for before in ends {
        for gateway in [false, true] {
            let mut old = turn();
            if gateway {
                old.speak(Protocol::Scgi);
                serve_by(&mut old, &[SCGI]);
            } else {
                serve_by(&mut old, &[before]);
            }
            old.renew();
            let mut new = old;
            assert!(new.is_idle() && new.unread().is_empty() && new.served() == 0 && !new.has_head(), "{before:?}");
            assert_eq!((new.status(), new.has_begun(), new.is_head_out()), (0, false, false));
            for next in ends {
                assert_eq!(serve_by(&mut new, &[next]), serve(&[next]), "{next:?} behind {before:?}");
                new.renew();
            }
            let mut fresh = turn();
            fresh.speak(Protocol::Scgi);
            new.speak(Protocol::Scgi);
            let answer = serve_by(&mut new, &[SCGI]);
            assert_eq!(answer, serve_by(&mut fresh, &[SCGI]));
            assert!(answer.contains("GET /deep"), "{answer}");
        }
    }
}

const SCGI: &[u8] = b"77:CONTENT_LENGTH\x000\0SCGI\x001\0REQUEST_METHOD\0GET\0REQUEST_URI\0/deep\0PATH_INFO\0/deep\0,";

/// The same with bodies read into their places, so many bytes at a time.
fn serve_with_room(stream: &[u8], at_once: usize) -> (String, usize) {
    let (mut turn, mut stream, mut all, mut direct) = (turn(), stream, String::new(), 0);
    loop {
        match turn.next() {
            Next::Send => all += &sent(&mut turn),
            Next::Receive if stream.is_empty() => return (all, direct),
            Next::Receive => {
                let mut count = at_once.min(stream.len());
                match turn.room() {
                    None => turn.receive(&stream[..count], &MOMENT),
                    Some(room) => {
                        let before = room.len();
                        count = count.min(room.capacity() - before);
                        room.extend_from_slice(&stream[..count]);
                        turn.came_into_room(before, &MOMENT);
                        direct += 1;
                    }
                }
                stream = &stream[count..];
            }
            Next::Call => echo(&mut turn),
            Next::Wait => turn.restart(&MOMENT),
            Next::End(farewell) => return (format!("{all}<{farewell:?}>"), direct),
        }
    }
}

#[test]
fn a_body_that_is_read_into_its_place_is_the_same_and_so_is_what_follows() {
    let stream = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n12345678\
        GET /b HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /c HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789\
        POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n12GET /e HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let expected = serve(&[stream]);
    for at_once in 1..=stream.len() {
        let (answers, direct) = serve_with_room(stream, at_once);
        assert_eq!(answers, expected, "{at_once} bytes at a time");
        assert!(direct > 0 || at_once >= 8, "{at_once} bytes at a time are fewer than a body");
    }
}
