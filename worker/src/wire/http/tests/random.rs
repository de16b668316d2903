//! Bytes that nobody thought of: nothing panics, and cuts change nothing.

use proptest::collection::vec;
use proptest::prelude::*;

use super::outcome;

/// What messages are made of, and what breaks them.
const PARTS: &[&str] = &[
    "GET ",
    "POST ",
    "CONNECT ",
    "OPTIONS ",
    "/",
    "*",
    "a",
    "http://",
    "b:80",
    "?",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/1.2",
    "\r\n",
    "\r\n\r\n",
    "\r",
    "\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "Host: a\r\n",
    "Host",
    ": ",
    ":",
    " ",
    "\t",
    "X: y\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: ",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: ",
    "chunked",
    "gzip",
    ",",
    ";",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\nhello\r\n",
    "hello",
    "0",
    "1",
    "5",
    "f",
    "\0",
    "\u{e9}",
    "_",
    "-",
    "%2F",
    "[::1]",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        9 => prop::sample::select(PARTS).prop_map(|part| part.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ];
    vec(part, 0..24).prop_map(|parts| parts.concat())
}

/// The bytes in pieces that end at the cuts.
fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn cuts_change_nothing(bytes in message(), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = outcome(&[&bytes]);
        prop_assert_eq!(&outcome(&pieces(&bytes, &cuts)), &whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        prop_assert_eq!(&outcome(&single), &whole);
    }

    #[test]
    fn noise_is_refused_or_awaited(bytes in vec(any::<u8>(), 0..300), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        prop_assert_eq!(outcome(&pieces(&bytes, &cuts)), outcome(&[&bytes]));
    }

    #[test]
    fn noise_in_a_chunked_body_is_refused_or_awaited(noise in vec(any::<u8>(), 0..100), cuts in vec(any::<prop::sample::Index>(), 0..6)) {
        let bytes = [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2", &noise[..]].concat();
        prop_assert_eq!(outcome(&pieces(&bytes, &cuts)), outcome(&[&bytes]));
    }
}
