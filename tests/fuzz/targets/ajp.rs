//! A connection by AJP13: read the same however it is cut, within its limits; and no head of an answer says what it was not told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::{BODY, VARIABLES};
use monoceros_fuzz::pieces;
use monoceros_fuzz::wire::ajp::{self, Request, Wish, body::Reader};
use monoceros_fuzz::wire::{Refusal, Span};

/// All that came of these pieces, and what was asked for.
fn told(pieces: &[&[u8]]) -> (Vec<String>, Option<Refusal>) {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.input.extend_from_slice(piece);
        if let Err(refusal) = connection.advance() {
            return (connection.told, Some(refusal));
        }
    }
    (connection.told, None)
}

#[derive(Default)]
struct Connection {
    input: Vec<u8>,
    request: Request,
    body: Option<(Reader, u64)>,
    told: Vec<String>,
}

impl Connection {
    fn advance(&mut self) -> Result<(), Refusal> {
        while if self.body.is_some() { self.read_body()? } else { self.read_packet()? } {}
        Ok(())
    }

    fn read_packet(&mut self) -> Result<bool, Refusal> {
        let Some((wish, taken)) = ajp::read(&self.input, VARIABLES, &mut self.request)? else {
            assert!(self.input.len() < 4 + VARIABLES.bytes_max, "an endless packet is awaited");
            return Ok(false);
        };
        self.input.drain(..taken);
        self.told.push(format!("{wish:?}"));
        if wish == Wish::Request {
            let text = |span: Span| span.of(&self.request.text).escape_ascii().to_string();
            let fields = self.request.variables.iter().chain(&self.request.fields);
            self.told.extend(fields.map(|field| format!("{}={}", text(field.name), text(field.value))));
            assert!(self.request.variables.len() + self.request.fields.len() <= VARIABLES.count_max);
            self.body = Some((Reader::new(self.request.framing, BODY.body_bytes_max)?, 0));
        }
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        let Some((reader, length)) = &mut self.body else { return Ok(true) };
        let mut asked = Vec::new();
        reader.ask(&mut asked);
        self.told.extend((!asked.is_empty()).then(|| asked.escape_ascii().to_string()));
        let piece = reader.read(&self.input)?;
        assert!(piece.data.end <= piece.taken && piece.taken <= self.input.len(), "more is taken than there is");
        *length += piece.data.len() as u64;
        assert!(*length <= BODY.body_bytes_max, "the limit of bodies is passed");
        self.input.drain(..piece.taken);
        if piece.complete {
            self.told.push(format!("body {length}"));
            self.body = None;
        }
        Ok(piece.complete || piece.taken > 0)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = told(&[bytes]);
    assert_eq!(told(&pieces(bytes)), whole, "cut in pieces");
    assert_eq!(told(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
});
