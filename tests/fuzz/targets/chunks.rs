//! A chunked body: as `request` does, without a head to get through first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::BODY;
use monoceros_fuzz::wire::http::body::Reader;
use monoceros_fuzz::wire::{Framing, Refusal};
use monoceros_fuzz::{oracle, pieces};

/// The content, and how many bytes the body took if it is complete.
type Outcome = (Vec<u8>, Result<Option<usize>, Refusal>);

fn decode(pieces: &[&[u8]]) -> Outcome {
    let mut reader = Reader::new(Framing::Chunked, BODY).expect("the limits allow chunks");
    let (mut content, mut taken) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let found = match reader.read(rest) {
                Ok(found) => found,
                Err(refusal) => return (content, Err(refusal)),
            };
            content.extend_from_slice(&rest[found.data.clone()]);
            taken += found.taken;
            if found.complete {
                return (content, Ok(Some(taken)));
            }
            assert!(found.taken > 0, "nothing is taken, and nothing is complete");
            rest = &rest[found.taken..];
        }
    }
    (content, Ok(None))
}

fuzz_target!(|bytes: &[u8]| {
    let whole = decode(&[bytes]);
    assert!(whole.0.len() as u64 <= BODY.body_bytes_max, "the limit is passed");
    assert_eq!(decode(&pieces(bytes)), whole, "cut in pieces");
    assert_eq!(decode(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    if let (content, Ok(Some(taken))) = whole {
        let mut end = 0;
        assert_eq!(oracle::chunked(bytes, &mut end), Ok(content), "there is another reading");
        assert_eq!(end, taken, "there is another end");
    }
});
