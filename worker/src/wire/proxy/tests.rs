//! PROXY headers by bytes: whole, and cut at every place.

use super::*;

/// What comes of these bytes, and what is left of them.
type Outcome = Result<Option<(Header, Vec<u8>)>, Malformed>;

fn whole(bytes: &[u8]) -> Outcome {
    fed(bytes, bytes.len())
}

/// Fed in pieces of so many bytes.
fn fed(bytes: &[u8], size: usize) -> Outcome {
    let mut reader = Reader::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = &rest[..size.min(rest.len())];
        match reader.read(piece)? {
            Some((header, taken)) => return Ok(Some((header, rest[taken..].to_vec()))),
            None => rest = &rest[piece.len()..],
        }
    }
    Ok(None)
}

/// The outcome, the same however the bytes are cut and resumed.
fn outcome(bytes: &[u8]) -> Outcome {
    let outcome = whole(bytes);
    for size in 1..bytes.len() {
        assert_eq!(fed(bytes, size), outcome, "in pieces of {size}: {}", bytes.escape_ascii());
    }
    for cut in 0..bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let mut reader = Reader::default();
        let Ok(None) = reader.read(first) else { break };
        assert_eq!(reader.kept(), first);
        let resumed = Reader::resumed(reader.kept()).read(second);
        let resumed = resumed.map(|done| done.map(|(header, taken)| (header, second[taken..].to_vec())));
        assert_eq!(resumed, outcome, "resumed at {cut}: {}", bytes.escape_ascii());
    }
    outcome
}

fn tcp(client: &str, server: &str) -> Said {
    Said::Tcp { client: client.parse().unwrap(), server: server.parse().unwrap() }
}

fn said(bytes: &[u8]) -> Said {
    let (header, rest) = outcome(&[bytes, b"GET / HTTP/1.1\r\n"].concat()).unwrap().expect("a whole header");
    assert_eq!(rest, b"GET / HTTP/1.1\r\n");
    header.said
}

fn why(bytes: &[u8]) -> &'static str {
    outcome(bytes).expect_err("it is malformed").0
}

#[test]
fn nginx_and_haproxy_are_understood() {
    for (bytes, expected) in [
        (&include_bytes!("../../../../tests/data/nginx/proxy-1-get")[..], tcp("127.0.0.1:60498", "127.0.66.1:7013")),
        (&include_bytes!("../../../../tests/data/haproxy/proxy-1-get")[..], tcp("127.0.0.1:60008", "127.0.66.1:7003")),
        (&include_bytes!("../../../../tests/data/haproxy/proxy-2-get")[..], tcp("127.0.0.1:57616", "127.0.66.1:7004")),
    ] {
        let (header, rest) = outcome(bytes).unwrap().expect("a whole header");
        assert_eq!(header.said, expected);
        assert!(rest.starts_with(b"GET /http/"), "{}", rest.escape_ascii());
    }
}

#[test]
fn a_line_tells_the_client() {
    let four = tcp("192.0.2.1:4711", "198.51.100.1:443");
    assert_eq!(said(b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n"), four);
    let six = tcp("[2001:db8::1]:0", "[::1]:65535");
    assert_eq!(said(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), six);
    assert_eq!(said(b"PROXY UNKNOWN\r\n"), Said::Nothing);
    assert_eq!(said(b"PROXY UNKNOWN ffff:f... whatever \x01 stands here\r\n"), Said::Nothing);
    let longest = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    assert_eq!((longest.len(), said(longest.as_bytes())), (107, Said::Nothing));
}

#[test]
fn a_line_that_is_not_as_it_must_be_is_none() {
    const PARTS: &str = "the line has not its five parts with one space between them";
    const ADDRESS: &str = "an address is none of its family";
    const PORT: &str = "a port is no number from 0 to 65535";
    const END: &str = "the line does not end with CRLF";
    const FAMILY: &str = "the family is none of TCP4, TCP6 and UNKNOWN";
    const NONE: &str = "it begins with no PROXY header";
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n\r\n", NONE),
        (b"PROXy TCP4 192.0.2.1 192.0.2.2 1 2\r\n", NONE),
        (b"POST / HTTP/1.1\r\n", NONE),
        (b"PROXY\r\n", NONE),
        (b"PROXY \r\n", PARTS),
        (b"PROXY TCP4\r\n", PARTS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", PARTS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", PARTS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", PARTS),
        (b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", PARTS),
        (b"PROXY TCP4\t192.0.2.1 192.0.2.2 1 2 3\r\n", FAMILY),
        (b"PROXY UNKNOWNS\r\n", PARTS),
        (b"PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", FAMILY),
        (b"PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", FAMILY),
        (b"PROXY TCP4 256.0.2.10 192.0.2.2 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2. 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 0xc0.0.2.1 192.0.2.2 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", ADDRESS),
        (b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", ADDRESS),
        (b"PROXY TCP6 ::1%lo ::1 1 2\r\n", ADDRESS),
        (b"PROXY TCP6 [::1] ::1 1 2\r\n", ADDRESS),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", PORT),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 02\r\n", PORT),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 00 2\r\n", PORT),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", PORT),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n", PORT),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", END),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rX", END),
        (b"PROXY UNKNOWN\n", END),
        (b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n", "the line is no ASCII text"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(why(bytes), *expected, "{}", bytes.escape_ascii());
    }
    let too_long = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 15));
    assert_eq!(why(too_long.as_bytes()), "the line is longer than 107 bytes");
    assert_eq!(why(&[b"PROXY ", &[b'x'; 5000][..]].concat()), "the line is longer than 107 bytes");
}

/// A block with this version and command, this family, and what follows.
fn block(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, body].concat()
}

const FOUR: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xbb];

fn six() -> Vec<u8> {
    let client: std::net::Ipv6Addr = "2001:db8::1".parse().unwrap();
    [&client.octets()[..], &std::net::Ipv6Addr::LOCALHOST.octets(), &[0x12, 0x67, 0x01, 0xbb]].concat()
}

#[test]
fn a_block_tells_the_client() {
    assert_eq!(said(&block(0x21, 0x11, FOUR)), tcp("192.0.2.1:4711", "198.51.100.1:443"));
    assert_eq!(said(&block(0x21, 0x21, &six())), tcp("[2001:db8::1]:4711", "[::1]:443"));
    assert_eq!(said(&block(0x21, 0x31, &[b'x'; 216])), Said::Unix);
    assert_eq!(said(&block(0x21, 0x00, b"")), Said::Nothing);
    assert_eq!(said(&block(0x21, 0x00, b"whatever it is")), Said::Nothing);
    assert_eq!(said(&block(0x20, 0x00, b"")), Said::Nothing);
    assert_eq!(said(&block(0x20, 0x11, FOUR)), Said::Nothing, "LOCAL is the proxy's own");
    assert_eq!(said(&block(0x20, 0xff, b"?")), Said::Nothing, "of LOCAL the family is ignored");
}

/// Behind IPv4 addresses.
fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    block(0x21, 0x11, &[FOUR, tlvs].concat())
}

#[test]
fn tlvs_are_skipped_but_for_tls() {
    let is_tls = |tlvs: &[u8]| outcome(&with_tlvs(tlvs)).unwrap().expect("a whole header").0.is_tls;
    assert!(!is_tls(b"\x01\0\x02h2\x04\0\0\xee\0\x01x"), "ALPN, NOOP, one of somebody's own");
    assert!(is_tls(b"\x20\0\x05\x01\0\0\0\0"));
    assert!(is_tls(b"\x01\0\x02h2\x20\0\x0f\x07\0\0\0\0\x21\0\x07TLSv1.3"));
    assert!(
        !is_tls(b"\x20\0\x05\x06\0\0\0\0"),
        "certificates were shown, though not on this connection, which is not TLS"
    );
    let long = [&b"\xee\x0f\x00"[..], &[0; 0xf00]].concat();
    assert!(!whole(&with_tlvs(&long)).unwrap().unwrap().0.is_tls);
}

#[test]
fn a_checksum_is_verified() {
    // Computed by another implementation (RFC 9260 appendix A; the check value of `123456789` is e3069283).
    let good = with_tlvs(b"\x03\0\x04\x4d\x3d\x37\xfa");
    let told = outcome(&good);
    assert!(matches!(told, Ok(Some(_))), "{told:?}");
    for at in 16..28 {
        let mut wrong = good.clone();
        wrong[at] ^= 1;
        assert_eq!(whole(&wrong), Err(Malformed("the checksum is wrong")), "byte {at}");
    }
    assert_eq!(why(&with_tlvs(b"\x03\0\x03abc")), "the checksum has not four bytes");
}

#[test]
fn a_block_that_is_not_as_it_must_be_is_none() {
    const FIRST: &str = "it begins with no PROXY header";
    const VERSION: &str = "the version is not 2, or the command neither LOCAL nor PROXY";
    const FAMILY: &str = "the family is unknown, or no stream";
    const SHORT: &str = "the block is too short for its addresses";
    const TLV: &str = "a TLV is not whole";
    let cases: &[(Vec<u8>, &str)] = &[
        (b"\r\n\r\n\r\n".to_vec(), FIRST),
        (b"\0".to_vec(), FIRST),
        (b"\x16\x03\x01".to_vec(), FIRST),
        (block(0x11, 0x11, FOUR), VERSION),
        (block(0x22, 0x11, FOUR), VERSION),
        (block(0x31, 0x11, FOUR), VERSION),
        (block(0x21, 0x12, FOUR), FAMILY),
        (block(0x21, 0x10, FOUR), FAMILY),
        (block(0x21, 0x41, FOUR), FAMILY),
        (block(0x21, 0x03, b""), FAMILY),
        (block(0x21, 0x11, &FOUR[..11]), SHORT),
        (block(0x21, 0x11, b""), SHORT),
        (block(0x21, 0x21, &six()[..35]), SHORT),
        (block(0x21, 0x31, &[0; 215]), SHORT),
        (with_tlvs(b"\x04"), TLV),
        (with_tlvs(b"\x04\0\x01"), TLV),
        (with_tlvs(b"\x04\xff\xffx"), TLV),
        (with_tlvs(b"\x20\0\0"), TLV),
    ];
    for (bytes, expected) in cases {
        assert_eq!(why(bytes), *expected, "{}", bytes.escape_ascii());
    }
    let largest = block(0x21, 0x00, &[0; 4096 - 16]);
    assert!(matches!(whole(&largest), Ok(Some(_))));
    let larger = block(0x21, 0x00, &[0; 4096 - 15]);
    assert_eq!(whole(&larger), Err(Malformed("the block is longer than 4096 bytes")));
    assert_eq!(whole(&larger[..16]), Err(Malformed("the block is longer than 4096 bytes")), "before it has come");
}

#[test]
fn what_is_not_whole_yet_waits() {
    for bytes in [&b""[..], b"P", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r", &block(0x21, 0x11, FOUR)[..27], b"\r\n"] {
        assert_eq!(outcome(bytes), Ok(None), "{}", bytes.escape_ascii());
    }
}
