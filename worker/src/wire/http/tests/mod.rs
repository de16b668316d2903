//! The wire by bytes: every message whole, byte by byte and cut at every place, with the same outcome.

mod answer;
mod body;
mod cases;
mod framing;
mod head;
mod proxies;
mod random;

use super::{body as wire_body, head as wire_head};
use crate::wire::{Framing, Head, Refusal, Span, Version};

/// Small limits, so that messages above them stay short.
pub const HEAD: wire_head::Limits =
    wire_head::Limits { request_line_max: 120, header_count_max: 30, header_bytes_max: 1500 };

/// As small.
pub const BODY: wire_body::Limits = wire_body::Limits { body_bytes_max: 60, trailer_bytes_max: 80 };

/// What a connection has understood when these pieces have come one after the other, as one line:
/// requests as `METHOD PATH?QUERY VERSION keep|close`, what else there is of `@AUTHORITY`, `expects`, `[BODY]`,
/// then `wait`, `wait head`, `wait body`, or the status of a refusal.
pub fn understood(pieces: &[&[u8]]) -> String {
    let (items, end) = outcome(pieces);
    let end = match end {
        Ok(wait) => wait.to_owned(),
        Err(refusal) => refusal.status.to_string(),
    };
    items.into_iter().chain([end]).collect::<Vec<_>>().join("; ")
}

/// The requests, and what came of the rest.
pub fn outcome(pieces: &[&[u8]]) -> (Vec<String>, Result<&'static str, Refusal>) {
    let mut connection = Connection::new();
    for piece in pieces {
        connection.input.extend_from_slice(piece);
        if let Err(refusal) = connection.read() {
            connection.give_body();
            return (connection.items, Err(refusal));
        }
    }
    let wait = match connection.body {
        Some(_) => "wait body",
        None if connection.reader.has_begun() => "wait head",
        None => "wait",
    };
    connection.give_body();
    (connection.items, Ok(wait))
}

/// What a connection does with the readers, without a socket.
struct Connection {
    input: Vec<u8>,
    reader: wire_head::Reader,
    head: Head,
    body: Option<wire_body::Reader>,
    content: Vec<u8>,
    items: Vec<String>,
}

impl Connection {
    fn new() -> Connection {
        Connection {
            input: Vec::new(),
            reader: wire_head::Reader::new(HEAD),
            head: Head::default(),
            body: None,
            content: Vec::new(),
            items: Vec::new(),
        }
    }

    fn read(&mut self) -> Result<(), Refusal> {
        loop {
            if self.body.is_none() && !self.read_head()? {
                return Ok(());
            }
            if !self.read_body()? {
                return Ok(());
            }
        }
    }

    fn read_head(&mut self) -> Result<bool, Refusal> {
        let Some(taken) = self.reader.read(&self.input, &mut self.head)? else {
            return Ok(false);
        };
        assert!(!self.reader.has_begun(), "the reader expects the next request");
        self.items.push(text(&self.head, &self.input));
        self.input.drain(..taken);
        self.body = Some(wire_body::Reader::new(self.head.framing, BODY)?);
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        let Some(mut reader) = self.body else {
            return Ok(false);
        };
        loop {
            // A copy of the reader is as good as the reader.
            let piece = reader.read(&self.input)?;
            self.body = Some(reader);
            assert!(piece.data.end <= piece.taken && piece.taken <= self.input.len());
            self.content.extend_from_slice(&self.input[piece.data]);
            self.input.drain(..piece.taken);
            if piece.complete {
                self.give_body();
                self.body = None;
                return Ok(true);
            }
            if piece.taken == 0 {
                return Ok(false);
            }
        }
    }

    /// Puts the content so far behind the request that it belongs to.
    fn give_body(&mut self) {
        if let (Some(item), false) = (self.items.last_mut(), self.content.is_empty()) {
            item.push_str(&format!(" [{}]", self.content.escape_ascii()));
        }
        self.content.clear();
    }
}

/// A head as one line.
fn text(head: &Head, input: &[u8]) -> String {
    let show = |span: Span| span.of(input).escape_ascii().to_string();
    let mut text = format!("{} {}", show(head.method), show(head.path));
    if !head.query.is_empty() {
        text += &format!("?{}", show(head.query));
    }
    text += match head.version {
        Version::Http10 => " 1.0",
        Version::Http11 => " 1.1",
    };
    text += if head.keep_alive { " keep" } else { " close" };
    if let Some(authority) = head.authority {
        text += &format!(" @{}", show(authority));
    }
    if head.expects_continue {
        text += " expects";
    }
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => text += &format!(" length={length}"),
        Framing::Chunked => text += " chunked",
    }
    text
}

/// Checks that these bytes are understood as `wanted`, whole, byte by byte and in two parts cut anywhere, and that a refusal gives the same
/// reason each time.
pub fn check(name: &str, bytes: &[u8], wanted: &str) {
    assert_eq!(understood(&[bytes]), wanted, "{name}: {}", bytes.escape_ascii());
    let whole = outcome(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(outcome(&single), whole, "{name}, byte by byte: {}", bytes.escape_ascii());
    for cut in 0..=bytes.len() {
        let (one, two) = bytes.split_at(cut);
        assert_eq!(outcome(&[one, two]), whole, "{name}, cut at {cut}: {}", bytes.escape_ascii());
    }
}

/// Whether the bytes of one request were refused, checked in all cuts; with which statuses is up to the caller.
pub fn refused(bytes: &[u8]) -> Option<u16> {
    let (items, end) = outcome(&[bytes]);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(outcome(&single), (items, end), "byte by byte: {}", bytes.escape_ascii());
    end.err().map(|refusal| refusal.status)
}
