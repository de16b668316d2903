//! A FastCGI connection, taken apart into the streams of its requests (FastCGI 1.0, 3.3).
//!
//! ```text
//!   bytes -> Begin, Stream …, Abort     of each request that is alive, in their order
//!         -> Management                 a whole record that is of no request
//!         -> nothing                    what is for a request that has ended, or was never begun
//! ```
//!
//! Only headers are read here: what is in a stream its request's own reader reads, header by header again, as if there were no other. So the
//! one request at a time that web servers send costs a look at each header, and a copy of nothing.

use std::ops::Range;

use super::Refusal;
use super::variables::bad;

/// Bytes of a record's header.
pub const HEADER: usize = 8;

const BEGIN_REQUEST: u8 = 1;
const ABORT_REQUEST: u8 = 2;
const STDIN: u8 = 5;

/// What comes next on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A request begins; its stream follows.
    Begin(u16),
    /// A header of a request's stream that came in pieces.
    Header(u16, [u8; HEADER]),
    /// The next bytes of a request's stream, where they stand in the input.
    Stream(u16, Range<usize>),
    /// The web server does not want the request's answer any more.
    Abort(u16),
    /// A record of the connection itself: its type and content.
    Management(u8, Vec<u8>),
}

/// Takes a connection apart.
#[derive(Clone, Debug, Default)]
pub struct Demux {
    /// The header that has not come whole, and how much of it has.
    header: ([u8; HEADER], usize),
    /// Bytes of the record that are still to come: content, then padding.
    left: (usize, usize),
    to: To,
    alive: Vec<Alive>,
}

#[derive(Clone, Debug)]
struct Alive {
    id: u16,
    /// Its input has ended: only an abort can follow.
    is_whole: bool,
}

/// Whose the record is.
#[derive(Clone, Debug, Default)]
enum To {
    #[default]
    Nobody,
    Request(u16),
    Connection(u8, Vec<u8>),
}

impl Demux {
    /// Takes all of `input`, which begins behind what was taken before, and gives its parts in order.
    ///
    /// # Errors
    /// When it is no FastCGI, or a request begins that has begun; nothing that follows can be trusted.
    pub fn take(&mut self, input: &[u8], parts: &mut Vec<Part>) -> Result<(), Refusal> {
        let mut at = 0;
        while at < input.len() {
            if self.left == (0, 0) {
                at += self.take_header(&input[at..], at, parts)?;
            }
            at += self.take_content(&input[at..], at, parts);
        }
        Ok(())
    }

    /// Whether nothing of a record has come without its end, and no request is alive.
    pub fn is_idle(&self) -> bool {
        self.left == (0, 0) && self.header.1 == 0 && self.alive.is_empty()
    }

    /// The request is over: what may still come for it is for nobody.
    pub fn end(&mut self, id: u16) {
        self.alive.retain(|alive| alive.id != id);
        if matches!(self.to, To::Request(to) if to == id) {
            self.to = To::Nobody;
        }
    }

    /// Reads a header off the start of `input`, which stands at `at`; how many bytes that took.
    fn take_header(&mut self, input: &[u8], at: usize, parts: &mut Vec<Part>) -> Result<usize, Refusal> {
        let had = self.header.1;
        let count = (HEADER - had).min(input.len());
        self.header.0[had..had + count].copy_from_slice(&input[..count]);
        self.header.1 += count;
        if self.header.0[0] != 1 {
            return Err(bad("the record is not of version 1 of FastCGI"));
        }
        if self.header.1 < HEADER {
            return Ok(count);
        }
        self.header.1 = 0;
        let [_, kind, high, low, length_high, length_low, padding, _] = self.header.0;
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        self.left = (length, usize::from(padding));
        self.to = self.meet(u16::from_be_bytes([high, low]), (kind, length), parts)?;
        match self.to {
            To::Request(id) if had == 0 => stream(id, at..at + count, parts),
            To::Request(id) => parts.push(Part::Header(id, self.header.0)),
            To::Connection(..) => self.finish_management(parts),
            To::Nobody => {}
        }
        Ok(count)
    }

    /// Whose a record is, by its header.
    fn meet(&mut self, id: u16, (kind, length): (u8, usize), parts: &mut Vec<Part>) -> Result<To, Refusal> {
        let alive = self.alive.iter_mut().find(|alive| alive.id == id);
        match (alive, kind) {
            (_, BEGIN_REQUEST) if id == 0 => Err(bad("a request begins that has no number")),
            (_, _) if id == 0 => Ok(To::Connection(kind, Vec::with_capacity(length))),
            (Some(_), BEGIN_REQUEST) => Err(bad("a request begins that has begun")),
            (None, BEGIN_REQUEST) => {
                self.alive.push(Alive { id, is_whole: false });
                parts.push(Part::Begin(id));
                Ok(To::Request(id))
            }
            (Some(_), ABORT_REQUEST) => {
                parts.push(Part::Abort(id));
                Ok(To::Nobody)
            }
            (Some(alive), _) if !alive.is_whole => {
                alive.is_whole = kind == STDIN && length == 0;
                Ok(To::Request(id))
            }
            (Some(_) | None, _) => Ok(To::Nobody),
        }
    }

    /// Takes what there is of the content and the padding.
    fn take_content(&mut self, input: &[u8], at: usize, parts: &mut Vec<Part>) -> usize {
        let content = self.left.0.min(input.len());
        let padding = self.left.1.min(input.len() - content);
        self.left = (self.left.0 - content, self.left.1 - padding);
        match &mut self.to {
            To::Request(id) if content + padding > 0 => stream(*id, at..at + content + padding, parts),
            To::Connection(_, bytes) => {
                bytes.extend_from_slice(&input[..content]);
                if content > 0 {
                    self.finish_management(parts);
                }
            }
            To::Request(_) | To::Nobody => {}
        }
        content + padding
    }

    /// Gives a management record, once its content is whole.
    fn finish_management(&mut self, parts: &mut Vec<Part>) {
        if self.left.0 == 0
            && let To::Connection(kind, content) = std::mem::take(&mut self.to)
        {
            parts.push(Part::Management(kind, content));
        }
    }
}

/// Where the record ends that the first `count` bytes end in, of whole records; `count`, if that is between two of them.
pub fn end_of_record(records: &[u8], count: usize) -> usize {
    let mut end = 0;
    while end < count {
        let Some(&[_, _, _, _, high, low, padding, _]) = records[end..].first_chunk() else { return count };
        end += HEADER + usize::from(u16::from_be_bytes([high, low])) + usize::from(padding);
    }
    end.min(records.len())
}

/// Adds bytes to a stream, in one part with those before them if they stand beside each other.
fn stream(id: u16, bytes: Range<usize>, parts: &mut Vec<Part>) {
    match parts.last_mut() {
        Some(Part::Stream(known, before)) if *known == id && before.end == bytes.start => before.end = bytes.end,
        Some(_) | None => parts.push(Part::Stream(id, bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let header = [1, kind, 0, id, 0, content.len() as u8, padding, 0];
        [&header, content, &vec![0; padding.into()]].concat()
    }

    /// Every stream's bytes, and what else came, in order.
    fn taken(pieces: &[&[u8]]) -> Result<(Vec<Vec<u8>>, Vec<Part>), &'static str> {
        let mut demux = Demux::default();
        let (mut streams, mut others) = (vec![Vec::new(); 4], Vec::new());
        for piece in pieces {
            let mut parts = Vec::new();
            demux.take(piece, &mut parts).map_err(|refusal| refusal.why)?;
            for part in parts {
                match part {
                    Part::Header(id, header) => streams[usize::from(id)].extend_from_slice(&header),
                    Part::Stream(id, range) => streams[usize::from(id)].extend_from_slice(&piece[range]),
                    other => others.push(other),
                }
            }
        }
        Ok((streams, others))
    }

    #[test]
    fn requests_that_come_mixed_get_each_its_own_stream_however_it_is_cut() {
        let one = [record(1, 1, &[0, 1, 1, 0, 0, 0, 0, 0], 0), record(4, 1, b"ab", 6), record(5, 1, b"", 0)];
        let two = [record(1, 2, &[0, 1, 0, 0, 0, 0, 0, 0], 3), record(5, 2, b"body", 0), record(5, 2, b"", 1)];
        let values = record(9, 0, b"\x0e\0FCGI_MAX_CONNS", 1);
        let stray = record(5, 3, b"nobody's", 2);
        let abort = record(2, 2, b"", 4);
        let all =
            [&one[0], &two[0], &values, &two[1], &one[1], &stray, &two[2], &abort, &one[2], &record(77, 0, b"", 2)];
        let bytes: Vec<u8> = all.iter().flat_map(|record| record.iter().copied()).collect();
        let expected = (
            vec![vec![], one.concat(), two.concat(), vec![]],
            vec![
                Part::Begin(1),
                Part::Begin(2),
                Part::Management(9, b"\x0e\0FCGI_MAX_CONNS".to_vec()),
                Part::Abort(2),
                Part::Management(77, vec![]),
            ],
        );
        assert_eq!(taken(&[&bytes]), Ok(expected.clone()));
        assert_eq!(taken(&bytes.chunks(1).collect::<Vec<_>>()), Ok(expected.clone()));
        for cut in 0..bytes.len() {
            assert_eq!(taken(&[&bytes[..cut], &bytes[cut..]]), Ok(expected.clone()), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_cut_in_a_record_ends_with_it() {
        let records = [record(6, 1, b"abc", 5), record(3, 1, &[0; 8], 0)].concat();
        for (count, end) in [(0, 0), (1, 16), (15, 16), (16, 16), (17, 32), (32, 32)] {
            assert_eq!(end_of_record(&records, count), end, "{count}");
        }
    }

    #[test]
    fn one_request_at_a_time_is_one_part() {
        let bytes = [record(1, 1, &[0; 8], 0), record(4, 1, b"ab", 6), record(4, 1, b"", 0)].concat();
        let mut parts = Vec::new();
        Demux::default().take(&bytes, &mut parts).unwrap();
        assert_eq!(parts, [Part::Begin(1), Part::Stream(1, 0..bytes.len())]);
    }

    #[test]
    fn what_comes_behind_the_end_of_a_request_is_for_nobody() {
        let (mut demux, mut parts) = (Demux::default(), Vec::new());
        demux.take(&record(1, 1, &[0; 8], 0), &mut parts).unwrap();
        demux.take(&record(5, 1, b"more", 0)[..10], &mut parts).unwrap();
        demux.end(1);
        parts.clear();
        demux.take(b"re", &mut parts).unwrap();
        demux.take(&record(5, 1, b"more", 0), &mut parts).unwrap();
        demux.take(&record(2, 1, b"", 0), &mut parts).unwrap();
        assert_eq!(parts, []);
        assert!(demux.is_idle());
        demux.take(&record(1, 1, &[0; 8], 0), &mut parts).unwrap();
        assert_eq!(parts[0], Part::Begin(1), "its number is free again");
        assert!(!demux.is_idle());
    }

    #[test]
    fn what_is_no_fastcgi_is_refused_at_its_first_byte() {
        assert_eq!(taken(&[b"GET / HTTP/1.1"]).unwrap_err(), "the record is not of version 1 of FastCGI");
        let begin = record(1, 1, &[0; 8], 0);
        assert_eq!(taken(&[&begin, &begin]).unwrap_err(), "a request begins that has begun");
        assert_eq!(taken(&[&record(1, 0, &[0; 8], 0)]).unwrap_err(), "a request begins that has no number");
    }
}
