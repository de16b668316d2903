//! A connection's whole life: whatever comes, in whatever pieces, the same bytes leave. Where it is idle its turn goes to others.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::application::{echo, read, send};
use monoceros_fuzz::connection::{BODY, HEAD};
use monoceros_fuzz::pieces;
use monoceros_fuzz::turn::{Limits, Moment, Next, Seat, Turn};
use monoceros_shared::config::Bodies;

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

fn limits(bodies: Bodies) -> Arc<Limits> {
    let ending = Arc::default();
    Arc::new(Limits { head: HEAD, body: BODY, bodies, body_memory_max: 64, kept_buffer_max: 64, ending })
}

/// A connection, and the turns that others have left it.
struct Client {
    seat: Seat,
    spares: Vec<Box<Turn>>,
}

impl Client {
    fn new(bodies: Bodies) -> Client {
        Client { seat: Seat::new(limits(bodies), 0), spares: Vec::new() }
    }

    /// What an engine does when it puts a connection down, and when that has something to do again.
    fn rest(&mut self) {
        let was_idle = self.seat.is_idle() && self.seat.unread().is_empty();
        let before = (self.seat.served(), self.seat.is_last(), self.seat.patience());
        let Some(turn) = self.seat.rise() else { return };
        assert!(was_idle, "a turn is gone of which something is wanted");
        self.spares.push(turn);
        if before.0 % 2 == 0 {
            self.sit();
        }
        assert_eq!((self.seat.served(), self.seat.is_last(), self.seat.patience()), before);
    }

    fn sit(&mut self) {
        if let (true, Some(turn)) = (self.seat.is_vacant(), self.spares.pop()) {
            self.seat.sit(turn);
        }
    }

    /// The next one, with the turns of this.
    fn next(mut self, bodies: Bodies) -> Client {
        self.spares.extend(self.seat.vacate());
        let mut client = Client { seat: Seat::new(limits(bodies), 0), spares: self.spares };
        client.sit();
        client
    }
}

/// Gives it what has come, as a connection does: how many bytes it took.
fn give(turn: &mut Turn, bytes: &[u8]) -> usize {
    let Some(room) = turn.room() else {
        turn.receive(bytes, &MOMENT);
        return bytes.len();
    };
    let (before, count) = (room.len(), bytes.len().min(room.capacity() - room.len()));
    room.extend_from_slice(&bytes[..count]);
    turn.came_into_room(before, &MOMENT);
    count
}

/// All that was sent.
fn serve(client: &mut Client, pieces: &[&[u8]]) -> Vec<u8> {
    let mut pieces = pieces.iter().copied().filter(|piece| !piece.is_empty());
    let (mut sent, mut piece) = (Vec::new(), &[][..]);
    let mut ended = false;
    loop {
        if client.seat.next() == Next::Receive {
            client.rest();
        }
        let turn = &mut *client.seat;
        match turn.next() {
            Next::Send => send(turn, &mut sent),
            Next::Receive => {
                if piece.is_empty() {
                    piece = pieces.next().unwrap_or_default();
                }
                match piece {
                    [] if ended => return sent,
                    [] => {
                        ended = true;
                        turn.end_of_input(&MOMENT);
                    }
                    _ => piece = &piece[give(turn, piece)..],
                }
            }
            Next::Call => {
                turn.run(&MOMENT);
                match read(turn, &mut pieces, &mut sent) {
                    true => echo(turn),
                    false => turn.fail(),
                }
            }
            Next::Wait => turn.restart(&MOMENT),
            Next::End(_) => return sent,
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    // A 100 goes out only where the body was not there already.
    let without = |sent: Vec<u8>| replace(&sent, b"HTTP/1.1 100 Continue\r\n\r\n");
    let whole = without(serve(&mut Client::new(Bodies::Buffer), &[bytes]));
    let one_by_one: Vec<&[u8]> = bytes.chunks(1).collect();
    for bodies in [Bodies::Buffer, Bodies::Stream] {
        let mut client = Client::new(bodies);
        assert_eq!(without(serve(&mut client, &[bytes])), whole, "in one piece, {bodies:?}");
        // What a connection leaves for the next changes nothing.
        let mut client = client.next(bodies);
        assert_eq!(without(serve(&mut client, &pieces(bytes))), whole, "cut in pieces, {bodies:?}");
        let mut client = client.next(bodies);
        assert_eq!(without(serve(&mut client, &one_by_one)), whole, "byte by byte, {bodies:?}");
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
