//! Seats whose turns rise whenever they may, beside turns that stay.

use super::*;

/// Feeds a stream in pieces of so many bytes, to seats whose turns go and come in the memory of others. Says how often one went.
fn serve_in_seats(stream: &[u8], at_once: usize) -> (String, usize) {
    let mut seat = Seat::new(Arc::new(limits()), 0);
    let (mut all, mut risen) = (String::new(), 0);
    // What another connection has left.
    let mut spare = Box::new(turn());
    spare.receive(b"GET /others HTTP/1.1\r\nHost: x\r\nCookie: secret", &MOMENT);
    spare.renew();
    let mut spare = Some(spare);
    for piece in stream.chunks(at_once) {
        if let Some(turn) = spare.take_if(|_| seat.is_vacant()) {
            seat.sit(turn);
        }
        let served = serve_by(&mut seat, &[piece]);
        all += &served;
        if served.ends_with('>') {
            break;
        }
        let has_begun = !seat.unread().is_empty() || seat.is_within_a_request();
        if let Some(turn) = seat.rise() {
            assert!(!has_begun && turn.way().is_none() && turn.served() == 0);
            risen += 1;
            spare = Some(turn);
        } else {
            assert!(has_begun, "a turn stays between two requests");
        }
    }
    assert_eq!(seat.served(), all.matches("HTTP/1.1 200").count() as u64);
    (all, risen)
}

#[test]
fn turns_that_rise_between_requests_answer_as_those_that_stay() {
    let stream: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789\
        POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\
        \r\nGET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for at_once in 1..=stream.len() {
        let pieces: Vec<&[u8]> = stream.chunks(at_once).collect();
        let (answers, risen) = serve_in_seats(stream, at_once);
        assert_eq!(answers, serve(&pieces), "{at_once} bytes at a time");
        assert!(at_once > 1 || risen == 3, "between four requests there are three times: {risen}");
    }
}

#[test]
fn a_connection_that_is_to_end_remembers_it_without_a_turn() {
    let mut seat = Seat::new(Arc::new(limits()), 7);
    seat.make_last();
    assert!(seat.rise().is_some() && seat.is_vacant());
    assert!(seat.is_last() && seat.served() == 7, "though another turn was made for who asks");
    assert!(serve_by(&mut seat, &[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]).contains("Connection: close"));
    assert!(seat.rise().is_none(), "nothing comes behind that");
}

#[test]
fn a_client_whose_time_between_two_requests_is_over_loses_no_answer_by_it() {
    for rises in [true, false] {
        let mut seat = Seat::new(Arc::new(limits()), 0);
        assert_eq!(serve_by(&mut seat, &[b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"]), ok("GET /a "));
        assert!(!rises || seat.rise().is_some());
        seat.expire(&MOMENT);
        assert_eq!(seat.next(), Next::End(Farewell::Linger), "it may be sending the next, rises: {rises}");
    }
    let mut seat = Seat::new(Arc::new(limits()), 0);
    seat.expire(&MOMENT);
    assert_eq!(seat.next(), Next::End(Farewell::Close), "it has said nothing, and was told nothing");
}

#[test]
fn a_gateways_turn_stays_for_its_wire_remembers() {
    let mut seat = Seat::from(turn());
    seat.speak(Protocol::Scgi);
    assert!(seat.rise().is_none());
    assert!(seat.vacate().is_some_and(|turn| turn.is_idle()) && seat.vacate().is_none());
}
