//! Bodies, by the reader's own interface.

use super::BODY;
use crate::wire::Framing;
use crate::wire::http::body::{Limits, Piece, Reader};

#[test]
fn no_body_is_complete_before_anything_comes() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut reader = Reader::new(framing, BODY).unwrap();
        let nothing = Piece { taken: 0, data: 0..0, complete: true };
        assert_eq!(reader.read(b""), Ok(nothing.clone()));
        assert_eq!(reader.read(b"GET / HTTP/1.1"), Ok(nothing), "the next request is left alone");
    }
}

#[test]
fn a_length_is_counted_down() {
    let mut reader = Reader::new(Framing::Length(5), BODY).unwrap();
    assert_eq!(reader.read(b"hel"), Ok(Piece { taken: 3, data: 0..3, complete: false }));
    assert_eq!(reader.read(b""), Ok(Piece { taken: 0, data: 0..0, complete: false }));
    assert_eq!(reader.read(b"loGET"), Ok(Piece { taken: 2, data: 0..2, complete: true }));
    assert_eq!(reader.read(b"GET"), Ok(Piece { taken: 0, data: 0..0, complete: true }));
}

#[test]
fn a_length_over_the_limit_is_refused_before_it_is_read() {
    assert!(Reader::new(Framing::Length(60), BODY).is_ok());
    for length in [61, u64::MAX] {
        let refusal = Reader::new(Framing::Length(length), BODY).err();
        assert_eq!(refusal.map(|refusal| refusal.status), Some(413));
    }
}

#[test]
fn what_frames_is_used_up_with_the_content_behind_it() {
    let input = b"5\r\nhello\r\n3\r\nyou\r\n0\r\nX: y\r\n\r\nGET";
    let mut reader = Reader::new(Framing::Chunked, BODY).unwrap();
    assert_eq!(reader.read(input), Ok(Piece { taken: 8, data: 3..8, complete: false }));
    assert_eq!(reader.read(&input[8..]), Ok(Piece { taken: 8, data: 5..8, complete: false }));
    let rest = reader.read(&input[16..]).unwrap();
    assert_eq!((rest.taken, rest.data.is_empty(), rest.complete), (13, true, true));
    assert_eq!(&input[16 + rest.taken..], b"GET");
}

#[test]
fn a_large_chunk_comes_in_whatever_pieces() {
    let limits = Limits { body_bytes_max: u64::MAX, trailer_bytes_max: 0 };
    let mut reader = Reader::new(Framing::Chunked, limits).unwrap();
    assert_eq!(reader.read(b"fffffffffffffffe\r\n").map(|piece| piece.taken), Ok(18));
    assert_eq!(reader.read(&[0; 1000]), Ok(Piece { taken: 1000, data: 0..1000, complete: false }));
    assert_eq!(reader.read(&[b'\r'; 3]), Ok(Piece { taken: 3, data: 0..3, complete: false }));
}

#[test]
fn no_limit_overflows() {
    let limits = Limits { body_bytes_max: u64::MAX, trailer_bytes_max: usize::MAX };
    let mut reader = Reader::new(Framing::Length(u64::MAX), limits).unwrap();
    assert_eq!(reader.read(b"ab"), Ok(Piece { taken: 2, data: 0..2, complete: false }));
    let mut reader = Reader::new(Framing::Chunked, limits).unwrap();
    assert_eq!(reader.read(b"1\r\na").map(|piece| piece.taken), Ok(4));
    let refusal = reader.read(b"\r\nffffffffffffffff\r\n").err();
    assert_eq!(refusal.map(|refusal| refusal.status), Some(413), "together they are 2^64");
}
