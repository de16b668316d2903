//! What comes before a connection's first request: a PROXY header is read the same however it is cut, within its limits, and a line in
//! one way only.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::pieces;
use monoceros_fuzz::wire::proxy::{Header, Malformed, Reader, Said};

/// The header, and how many bytes it took.
fn read(pieces: &[&[u8]]) -> Result<Option<(Header, usize)>, Malformed> {
    let mut reader = Reader::default();
    let mut before = 0;
    for piece in pieces {
        if let Some((header, taken)) = reader.read(piece)? {
            assert!(taken <= piece.len(), "more is taken than there is");
            return Ok(Some((header, before + taken)));
        }
        before += piece.len();
        assert_eq!(reader.kept().len(), before, "all that came is kept until the header is whole");
        assert!(before <= 4096, "the limit is passed");
    }
    Ok(None)
}

fuzz_target!(|bytes: &[u8]| {
    let whole = read(&[bytes]);
    assert_eq!(read(&pieces(bytes)), whole, "cut in pieces");
    assert_eq!(read(&bytes.chunks(1).collect::<Vec<_>>()), whole, "byte by byte");
    let Ok(Some((header, taken))) = whole else { return };
    assert!(taken <= 4096, "the limit is passed");
    if bytes[0] != b'P' {
        return;
    }
    assert!(taken <= 107 && bytes[..taken].ends_with(b"\r\n") && !header.is_tls);
    if let Said::Tcp { client: SocketAddr::V4(client), server: SocketAddr::V4(server) } = header.said {
        let (from, to) = (client.ip(), server.ip());
        let line = format!("PROXY TCP4 {from} {to} {} {}\r\n", client.port(), server.port());
        assert_eq!(&bytes[..taken], line.as_bytes(), "there is another way to write it");
    }
});
