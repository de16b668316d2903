//! A connection's whole life by a gateway's protocol, which the first byte tells: whatever comes, in whatever pieces, the same bytes leave.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::application::{echo, read, send};
use monoceros_fuzz::connection::{BODY, HEAD};
use monoceros_fuzz::pieces;
use monoceros_fuzz::turn::{Limits, Moment, Next, Turn};
use monoceros_fuzz::wire::demux::{Demux, Part};
use monoceros_fuzz::wire::gateway::{Guard, Protocol};
use monoceros_shared::config::Bodies;

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

fn turn(bodies: Bodies) -> Turn {
    let ending = Arc::default();
    let limits = Limits { head: HEAD, body: BODY, bodies, body_memory_max: 64, kept_buffer_max: 64, ending };
    Turn::new(Arc::new(limits))
}

/// All that was sent, and how it ended. The turn may have been another connection's.
fn serve(turn: &mut Turn, protocol: &Protocol, pieces: &[&[u8]]) -> (Vec<u8>, String) {
    turn.renew();
    turn.speak(protocol.clone());
    let mut pieces = pieces.iter().copied().filter(|piece| !piece.is_empty());
    let mut sent = Vec::new();
    let mut ended = false;
    loop {
        match turn.next() {
            Next::Send => send(turn, &mut sent),
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
                match read(turn, &mut pieces, &mut sent) {
                    true => echo(turn),
                    false => turn.fail(),
                }
            }
            // Its connection takes what is left of a request's stream for nobody's.
            Next::Wait if *protocol == Protocol::FastCgi => return (sent, "answered".to_owned()),
            Next::Wait => turn.restart(&MOMENT),
            Next::End(farewell) => return (sent, format!("{farewell:?}")),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let stream = if *first == b'f' { stream(bytes) } else { bytes.to_vec() };
    let bytes = &stream[..];
    let protocol = match first {
        b'c' => Protocol::Cgi,
        b's' => Protocol::Scgi,
        b'u' => Protocol::Uwsgi,
        b'f' => Protocol::FastCgi,
        b'a' => Protocol::Ajp(Guard::Open),
        _ => return,
    };
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    for bodies in [Bodies::Buffer, Bodies::Stream] {
        let mut turn = turn(bodies);
        let whole = serve(&mut turn, &protocol, &[bytes]);
        // What a connection leaves for the next changes nothing, whatever that speaks.
        assert_eq!(serve(&mut turn, &protocol, &[bytes]), whole, "by the turn of another, {bodies:?}");
        let cut = serve(&mut turn, &protocol, &pieces(bytes));
        let single = serve(&mut turn, &protocol, &one_by_one);
        // Content that comes before it is asked for is refused where it does: by AJP a web server cannot send it all at once.
        if *first != b'a' {
            assert_eq!(cut.0, whole.0, "cut in pieces, {bodies:?}");
            assert_eq!(single.0, whole.0, "byte by byte, {bodies:?}");
        }
    }
});

/// The stream of the first request on a FastCGI connection, which is what its turn gets of it.
fn stream(bytes: &[u8]) -> Vec<u8> {
    let mut parts = Vec::new();
    let _ = Demux::default().take(bytes, &mut parts);
    let first = parts.iter().find_map(|part| if let Part::Begin(id) = part { Some(*id) } else { None });
    let own = parts.iter().filter_map(|part| match part {
        Part::Stream(id, range) if Some(*id) == first => Some(bytes[range.clone()].to_vec()),
        Part::Header(id, header) if Some(*id) == first => Some(header.to_vec()),
        _ => None,
    });
    own.collect::<Vec<_>>().concat()
}
