//! Bodies that the application reads while it runs, and what becomes of those that it does not read.

use super::*;

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\n";
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: x\r\n\r\n";

fn streaming() -> Turn {
    let body = body::Limits { body_bytes_max: 1 << 30, trailer_bytes_max: 100 };
    Turn::new(Arc::new(Limits { bodies: Bodies::Stream, body, ..limits() }))
}

/// A turn whose application was called for a request that has come so far.
fn running(request: &str) -> Turn {
    let mut turn = streaming();
    turn.receive(request.as_bytes(), &MOMENT);
    assert_eq!(turn.next(), Next::Call);
    turn.run(&MOMENT);
    turn
}

fn answer(turn: &mut Turn) -> String {
    turn.begin(b"200 OK").unwrap();
    turn.total(2);
    turn.write(b"ok");
    turn.finish();
    sent(turn)
}

/// All that can be read now, and how it ended.
fn read(turn: &mut Turn, max: usize) -> (String, Result<Fed, Refusal>) {
    let mut into = Vec::new();
    loop {
        match turn.feed(max, &mut into) {
            Ok(Fed::Data) => {}
            ended => return (String::from_utf8(into).unwrap(), ended),
        }
    }
}

#[test]
fn the_application_reads_what_has_come_however_it_is_cut() {
    for (framing, body) in [
        ("Content-Length: 10\r\n\r\n", "0123456789"),
        ("Transfer-Encoding: chunked\r\n\r\n", "4\r\n0123\r\n6;a=b\r\n456789\r\n0\r\nT: v\r\n\r\n"),
    ] {
        let all = format!("{framing}{body}{NEXT}");
        for (cut, max) in (framing.len()..=all.len()).flat_map(|cut| [(cut, 1), (cut, 100)]) {
            let mut turn = running(&format!("{POST}{}", &all[..cut]));
            let (first, ended) = read(&mut turn, max);
            let rest = if ended == Ok(Fed::Hungry) {
                turn.take_in(&all.as_bytes()[cut..]);
                read(&mut turn, max).0
            } else {
                String::new()
            };
            assert_eq!(format!("{first}{rest}"), "0123456789", "cut at {cut}");
            assert_eq!(turn.fed(), 10);
            assert_eq!(turn.text(turn.head().method), b"POST");
            assert!(answer(&mut turn).ends_with("ok"));
            let behind = all.len() - cut.max(framing.len() + body.len());
            turn.restart(&MOMENT);
            if ended == Ok(Fed::Hungry) || behind == 0 {
                assert_eq!(turn.next(), Next::Call, "cut at {cut}: what came behind the body is the next request");
            }
        }
    }
}

#[test]
fn a_client_that_waits_is_asked_for_the_body_when_the_application_is() {
    let mut turn = running(&format!("{POST}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(sent(&mut turn), "");
    assert_eq!(read(&mut turn, 10).1, Ok(Fed::Hungry));
    assert_eq!(sent(&mut turn), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(read(&mut turn, 10).1, Ok(Fed::Hungry));
    assert_eq!(sent(&mut turn), "");
    turn.take_in(b"abc");
    assert_eq!(read(&mut turn, 10), ("abc".into(), Ok(Fed::End)));
    assert!(!answer(&mut turn).contains("close"));
    turn.restart(&MOMENT);
    assert!(turn.is_idle());
}

#[test]
fn a_client_that_was_never_asked_for_the_body_is_told_not_to_go_on() {
    let mut turn = running(&format!("{POST}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"));
    assert!(answer(&mut turn).contains("\r\nConnection: close\r\n"));
    assert_eq!(turn.next(), Next::End(Farewell::Linger));
}

#[test]
fn what_nobody_read_is_thrown_away_before_the_next_request() {
    let body = "x".repeat(1000);
    for cut in [0, 1, 500, 1000] {
        let mut turn = running(&format!("{POST}Content-Length: 1000\r\n\r\n{}", &body[..cut]));
        assert!(!answer(&mut turn).contains("close"));
        turn.restart(&MOMENT);
        if cut < 1000 {
            assert_eq!((turn.next(), turn.patience()), (Next::Receive, Patience::Body));
            assert!(!turn.may_travel() && !turn.is_idle() && !turn.is_within_a_request());
        }
        turn.receive(format!("{}{NEXT}", &body[cut..]).as_bytes(), &MOMENT);
        assert_eq!(turn.next(), Next::Call, "cut at {cut}");
        assert_eq!(turn.text(turn.head().target), b"/next");
    }
}

#[test]
fn too_much_that_nobody_read_ends_the_connection_and_so_does_a_client_that_stops() {
    let mut turn = running(&format!("{POST}Content-Length: 1000000\r\n\r\n"));
    answer(&mut turn);
    turn.restart(&MOMENT);
    let mut pieces = 0;
    while turn.next() == Next::Receive {
        turn.receive(&[b'x'; 10_000], &MOMENT);
        pieces += 1;
    }
    assert_eq!((pieces, turn.next()), (27, Next::End(Farewell::Linger)));
    for end in [Turn::end_of_input, Turn::expire] {
        let mut turn = running(&format!("{POST}Content-Length: 3\r\n\r\n"));
        answer(&mut turn);
        turn.restart(&MOMENT);
        end(&mut turn, &MOMENT);
        assert_eq!(turn.next(), Next::End(Farewell::Linger));
    }
}

#[test]
fn a_body_that_is_wrong_is_refused_unless_the_application_answers_all_the_same() {
    let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nz");
    let mut turn = running(&chunked);
    let (data, ended) = read(&mut turn, 100);
    assert_eq!((data.as_str(), ended.unwrap_err().status), ("a", 400));
    assert_eq!(read(&mut turn, 100).1.unwrap_err().status, 400, "and so it stays");
    turn.fail();
    assert!(sent(&mut turn).starts_with("HTTP/1.1 400 "));
    assert_eq!(turn.take_refusal().unwrap().status, 400);
    assert_eq!(turn.next(), Next::End(Farewell::Linger));

    let mut turn = running(&chunked);
    read(&mut turn, 100).1.unwrap_err();
    let answer = answer(&mut turn);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    assert_eq!(turn.next(), Next::End(Farewell::Linger));
}

#[test]
fn an_application_that_fails_before_it_has_read_all_keeps_the_connection() {
    let mut turn = running(&format!("{POST}Content-Length: 3\r\n\r\nab"));
    turn.fail();
    assert!(sent(&mut turn).starts_with("HTTP/1.1 500 "));
    turn.restart(&MOMENT);
    turn.receive(format!("c{NEXT}").as_bytes(), &MOMENT);
    assert_eq!(turn.next(), Next::Call);
}
