//! A connection's whole life: whatever comes, in whatever pieces, the same bytes leave.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::application::{echo, read, send};
use monoceros_fuzz::connection::{BODY, HEAD};
use monoceros_fuzz::pieces;
use monoceros_fuzz::turn::{Limits, Moment, Next, Turn};
use monoceros_shared::config::Bodies;

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

/// All that was sent, and how it ended.
fn serve(bodies: Bodies, pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let ending = Arc::default();
    let limits = Limits { head: HEAD, body: BODY, bodies, body_memory_max: 64, idle_buffer_max: 64, ending };
    let mut turn = Turn::new(Arc::new(limits));
    let mut pieces = pieces.iter().filter(|piece| !piece.is_empty());
    let mut sent = Vec::new();
    let mut ended = false;
    loop {
        match turn.next() {
            Next::Send => send(&mut turn, &mut sent),
            Next::Receive => match pieces.next() {
                Some(piece) => turn.receive(piece, &MOMENT),
                None if !ended => {
                    ended = true;
                    turn.end_of_input(&MOMENT);
                }
                None => return (sent, "waits for more behind the end".to_owned()),
            },
            Next::Call => {
                turn.run(&MOMENT);
                match read(&mut turn, &mut pieces, &mut sent) {
                    true => echo(&mut turn),
                    false => turn.fail(),
                }
            }
            Next::Wait => turn.restart(&MOMENT),
            Next::End(farewell) => return (sent, format!("{farewell:?}")),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (sent, _) = serve(Bodies::Buffer, &[bytes]);
    // A 100 goes out only where the body was not there already.
    let without = |sent: Vec<u8>| replace(&sent, b"HTTP/1.1 100 Continue\r\n\r\n");
    let whole = without(sent);
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    for bodies in [Bodies::Buffer, Bodies::Stream] {
        assert_eq!(without(serve(bodies, &[bytes]).0), whole, "in one piece, {bodies:?}");
        assert_eq!(without(serve(bodies, &pieces(bytes)).0), whole, "cut in pieces, {bodies:?}");
        assert_eq!(without(serve(bodies, &one_by_one).0), whole, "byte by byte, {bodies:?}");
    }
});

/// The bytes without each `mark`.
fn replace(bytes: &[u8], mark: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(mark) {
            at += mark.len();
        } else {
            kept.push(bytes[at]);
            at += 1;
        }
    }
    kept
}
