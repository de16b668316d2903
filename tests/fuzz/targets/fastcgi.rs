//! A FastCGI connection: taken apart and read the same however it is cut, within its limits.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::{BODY, VARIABLES};
use monoceros_fuzz::pieces;
use monoceros_fuzz::wire::demux::{Demux, Part};
use monoceros_fuzz::wire::fastcgi::answer::{Values, manage};
use monoceros_fuzz::wire::fastcgi::{Reader, Request, Role, body};
use monoceros_fuzz::wire::{Refusal, Span};

/// What each request has told, and the connection itself, by its number; and why it ended.
type Told = (BTreeMap<u16, Vec<String>>, Option<Refusal>);

fn told(pieces: &[&[u8]]) -> Told {
    let (mut demux, mut streams) = (Demux::default(), BTreeMap::<u16, Stream>::new());
    let mut refusal = None;
    for piece in pieces {
        let mut parts = Vec::new();
        refusal = demux.take(piece, &mut parts).err();
        for part in parts {
            match part {
                Part::Begin(id) => {
                    let said = streams.remove(&id).map(|stream| stream.told).unwrap_or_default();
                    streams.insert(id, Stream { told: said, ..Stream::default() });
                }
                Part::Header(id, header) => streams.entry(id).or_default().receive(&header),
                Part::Stream(id, range) => streams.entry(id).or_default().receive(&piece[range]),
                Part::Abort(id) => streams.entry(id).or_default().told.push("abort".to_owned()),
                Part::Management(kind, content) => streams.entry(0).or_default().told.push(managed(kind, &content)),
            }
        }
        if refusal.is_some() {
            break;
        }
    }
    (streams.into_iter().map(|(id, stream)| (id, stream.told)).collect(), refusal)
}

fn managed(kind: u8, content: &[u8]) -> String {
    let (values, mut out) = (Values { connections_max: 1, requests_max: u64::MAX, multiplexes: 1 }, Vec::new());
    let managed = manage(kind, content, values, &mut out);
    assert!(out.len() <= 100 && out.len() % 8 == 0, "the answer is longer than what is known");
    format!("{managed:?} {}", out.escape_ascii())
}

#[derive(Default)]
struct Stream {
    input: Vec<u8>,
    reader: Option<Reader>,
    request: Request,
    body: Option<(body::Reader, u64)>,
    is_over: bool,
    told: Vec<String>,
}

impl Stream {
    fn receive(&mut self, bytes: &[u8]) {
        if self.is_over {
            return;
        }
        self.input.extend_from_slice(bytes);
        if let Err(refusal) = self.advance() {
            self.told.push(format!("{refusal:?}"));
            self.is_over = true;
        }
    }

    fn advance(&mut self) -> Result<(), Refusal> {
        while !self.is_over && if self.body.is_some() { self.read_body()? } else { self.read_head()? } {}
        Ok(())
    }

    fn read_head(&mut self) -> Result<bool, Refusal> {
        // A stream that has grown is read as one that came whole.
        let mut fresh = Request::default();
        let whole = Reader::new(VARIABLES).read(&self.input, &mut fresh);
        let reader = self.reader.get_or_insert_with(|| Reader::new(VARIABLES));
        let read = reader.read(&self.input, &mut self.request);
        assert_eq!(read, whole);
        let Some(taken) = read? else { return Ok(false) };
        let request = &self.request;
        assert_eq!(*request, fresh);
        self.input.drain(..taken);
        let text = |span: Span| span.of(&request.text).escape_ascii().to_string();
        let named = request.variables.iter().map(|field| format!("{}={}", text(field.name), text(field.value)));
        let named: Vec<String> = named.collect();
        self.told.push(format!("{} {:?} {} {named:?}", request.id, request.role, request.keeps));
        assert!(request.variables.len() <= VARIABLES.count_max && taken <= VARIABLES.bytes_max + 16 + 255);
        self.is_over = request.role != Role::Responder;
        self.body = Some((body::Reader::new(request.id, None, BODY.body_bytes_max)?, 0));
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        let Some((reader, length)) = &mut self.body else { return Ok(true) };
        let piece = reader.read(&self.input)?;
        assert!(piece.data.end <= piece.taken && piece.taken <= self.input.len(), "more is taken than there is");
        *length += piece.data.len() as u64;
        assert!(*length <= BODY.body_bytes_max, "the limit of bodies is passed");
        self.input.drain(..piece.taken);
        if piece.complete {
            self.told.push(format!("body {length}"));
            self.is_over = true;
        }
        Ok(piece.taken > 0)
    }
}

fuzz_target!(|bytes: &[u8]| {
    let whole = told(&[bytes]);
    assert_eq!(told(&pieces(bytes)), whole, "cut in pieces");
    assert_eq!(told(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
});
