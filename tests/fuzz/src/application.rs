//! A client that takes half of what is there, as a socket may, and an application that reads its whole body and answers with the target.

use crate::output::Piece;
use crate::turn::{Fed, Next, Turn};
use crate::wire::Refusal;

/// Takes some of what is to leave.
pub fn send(turn: &mut Turn, sent: &mut Vec<u8>) {
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
pub fn read<'a>(turn: &mut Turn, pieces: &mut impl Iterator<Item = &'a [u8]>, sent: &mut Vec<u8>) -> bool {
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
pub fn echo(turn: &mut Turn) {
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
