//! A connection without a socket: what the wire's readers make of bytes that come in pieces.

use crate::wire::http::{body, head};
use crate::wire::{Framing, Head, Refusal, Span, variables};

/// Small, so that noise reaches them.
pub const HEAD: head::Limits = head::Limits { request_line_max: 200, header_count_max: 20, header_bytes_max: 1000 };
/// As small.
pub const VARIABLES: variables::Limits = variables::Limits { count_max: 20, bytes_max: 1000 };
/// As small.
pub const BODY: body::Limits = body::Limits { body_bytes_max: 300, trailer_bytes_max: 100 };

/// A request as the wire understood it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Vec<u8>,
    /// The target as sent.
    pub target: Vec<u8>,
    /// Names and values, in order.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// `Content-Length`, when that frames the body.
    pub length: Option<u64>,
    /// Whether the body is chunked.
    pub chunked: bool,
    /// The content, as far as it came.
    pub body: Vec<u8>,
    /// Whether the content is complete.
    pub complete: bool,
    /// Where the request ends in all that came, if it is complete.
    pub end: usize,
}

/// All that was understood, and the refusal if there was one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Understood {
    /// In order.
    pub requests: Vec<Request>,
    /// Why nothing follows.
    pub refusal: Option<Refusal>,
}

/// Reads pieces one after the other.
pub fn understand(pieces: &[&[u8]]) -> Understood {
    let mut connection = Connection::new();
    for piece in pieces {
        connection.input.extend_from_slice(piece);
        if let Err(refusal) = connection.read() {
            connection.understood.refusal = Some(refusal);
            break;
        }
    }
    connection.understood
}

struct Connection {
    input: Vec<u8>,
    gone: usize,
    heads: head::Reader,
    head: Head,
    body: Option<body::Reader>,
    understood: Understood,
}

impl Connection {
    fn new() -> Connection {
        let heads = head::Reader::new(HEAD);
        Connection {
            input: Vec::new(),
            gone: 0,
            heads,
            head: Head::default(),
            body: None,
            understood: Understood::default(),
        }
    }

    fn read(&mut self) -> Result<(), Refusal> {
        while (self.body.is_some() || self.read_head()?) && self.read_body()? {}
        Ok(())
    }

    fn read_head(&mut self) -> Result<bool, Refusal> {
        let read = self.heads.read(&self.input, &mut self.head)?;
        let Some(taken) = read else {
            assert!(self.input.len() <= HEAD.header_bytes_max + 32, "an endless head is awaited");
            return Ok(false);
        };
        assert!(taken <= self.input.len(), "more is taken than there is");
        assert!(self.head.fields.len() <= HEAD.header_count_max);
        let text = |span: Span| span.of(&self.input[..taken]).to_vec();
        let mut request = Request {
            method: text(self.head.method),
            target: text(self.head.target),
            fields: self.head.fields.iter().map(|field| (text(field.name), text(field.value))).collect(),
            ..Request::default()
        };
        match self.head.framing {
            Framing::None => {}
            Framing::Length(length) => request.length = Some(length),
            Framing::Chunked => request.chunked = true,
        }
        assert!(request.target.len() <= HEAD.request_line_max);
        self.understood.requests.push(request);
        self.take(taken);
        self.body = Some(body::Reader::new(self.head.framing, BODY)?);
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        loop {
            let Some(reader) = &mut self.body else { return Ok(true) };
            let piece = reader.read(&self.input)?;
            assert!(piece.taken <= self.input.len() && piece.data.end <= piece.taken, "more is taken than there is");
            let content = self.input[piece.data.clone()].to_vec();
            self.take(piece.taken);
            let Some(request) = self.understood.requests.last_mut() else { return Ok(true) };
            request.body.extend_from_slice(&content);
            assert!(request.body.len() as u64 <= BODY.body_bytes_max, "the limit of bodies is passed");
            if piece.complete {
                (request.complete, request.end, self.body) = (true, self.gone, None);
                return Ok(true);
            }
            if piece.taken == 0 {
                assert!(self.input.is_empty(), "bytes of a body are left lying");
                return Ok(false);
            }
        }
    }

    fn take(&mut self, count: usize) {
        self.input.drain(..count);
        self.gone += count;
    }
}
