//! A connection's whole life by a gateway's protocol, which the first byte tells: whatever comes, in whatever pieces, the same bytes leave.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::{BODY, HEAD};
use monoceros_fuzz::output::Piece;
use monoceros_fuzz::pieces;
use monoceros_fuzz::turn::{Fed, Limits, Moment, Next, Turn};
use monoceros_fuzz::wire::Refusal;
use monoceros_fuzz::wire::demux::{Demux, Part};
use monoceros_fuzz::wire::gateway::{Guard, Protocol};
use monoceros_shared::config::Bodies;

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

/// All that was sent, and how it ended.
fn serve((protocol, bodies): (&Protocol, Bodies), pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let ending = Arc::default();
    let limits = Limits { head: HEAD, body: BODY, bodies, body_memory_max: 64, idle_buffer_max: 64, ending };
    let mut turn = Turn::new(Arc::new(limits));
    turn.speak(protocol.clone());
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
            // Its connection takes what is left of a request's stream for nobody's.
            Next::Wait if *protocol == Protocol::FastCgi => return (sent, "answered".to_owned()),
            Next::Wait => turn.restart(&MOMENT),
            Next::End(farewell) => return (sent, format!("{farewell:?}")),
        }
    }
}

fn send(turn: &mut Turn, sent: &mut Vec<u8>) {
    let count = match turn.output().front() {
        Piece::Nothing | Piece::Broken => 0,
        // Half of it, as a socket may.
        Piece::Bytes(bytes) => {
            let count = bytes.len().div_ceil(2);
            sent.extend_from_slice(&bytes[..count]);
            count
        }
        Piece::Stretch(stretch) => stretch.length as usize,
    };
    turn.output().sent(count);
}

/// An application that reads its whole body first, where it is to; says whether it could.
fn read<'a>(turn: &mut Turn, pieces: &mut impl Iterator<Item = &'a &'a [u8]>, sent: &mut Vec<u8>) -> bool {
    let mut body = Vec::new();
    loop {
        match turn.feed(7, &mut body) {
            Ok(Fed::Data) => {}
            Ok(Fed::End) => return true,
            Ok(Fed::Hungry) => match pieces.next() {
                Some(piece) => turn.take_in(piece),
                None => drop(turn.break_body(Refusal { status: 400, why: "the request ended within its body" })),
            },
            Err(_) => return false,
        }
        while turn.next() == Next::Send {
            send(turn, sent);
        }
    }
}

/// An application that answers with the target, in a way that depends on the target's length.
fn echo(turn: &mut Turn) {
    let target = turn.text(turn.head().target).to_vec();
    turn.begin(b"200 OK").expect("the status is right");
    match target.len() % 4 {
        0 => turn.total(target.len() as u64),
        1 => turn.field(b"Content-Length", b"3").expect("the field is right"),
        2 => return turn.fail(),
        _ => {}
    }
    turn.write(&target);
    turn.write(b"");
    turn.finish();
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
        let whole = serve((&protocol, bodies), &[bytes]);
        let cut = serve((&protocol, bodies), &pieces(bytes));
        let single = serve((&protocol, bodies), &one_by_one);
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
