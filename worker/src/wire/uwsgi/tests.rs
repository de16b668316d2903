//! Packets by the specification and as real servers send them, whole and in pieces.

use super::*;

const LIMITS: Limits = Limits { count_max: 60, bytes_max: 2000 };

/// A packet of these bytes.
fn packet(block: &[u8]) -> Vec<u8> {
    [&[0, block.len() as u8, (block.len() >> 8) as u8, 0], block].concat()
}

/// The variables as `NAME=value`, and how many bytes they took.
fn outcome(input: &[u8]) -> Result<Option<(Vec<String>, usize)>, Refusal> {
    let mut variables = vec![Field::default()];
    let taken = read(input, LIMITS, &mut variables)?;
    let text =
        |field: &Field| format!("{}={}", field.name.of(input).escape_ascii(), field.value.of(input).escape_ascii());
    Ok(taken.map(|taken| (variables.iter().map(text).collect(), taken)))
}

fn why(input: &[u8]) -> &'static str {
    let refusal = outcome(input).expect_err("it is malformed");
    assert_eq!(refusal.status, 400);
    refusal.why
}

/// What a real server sent, by its variables and its body; and that it says nothing before it is whole.
fn sent_by_a_server(bytes: &[u8], expected: &[&str], body: &[u8]) {
    let (variables, taken) = outcome(bytes).unwrap().expect("a whole packet");
    for expected in expected {
        assert!(variables.iter().any(|variable| variable == expected), "{expected} in {variables:#?}");
    }
    assert_eq!(&bytes[taken..], body);
    for cut in 0..taken {
        assert_eq!(outcome(&bytes[..cut]), Ok(None), "cut at {cut}");
    }
    for cut in taken..bytes.len() {
        assert_eq!(outcome(&bytes[..cut]), Ok(Some((variables.clone(), taken))), "cut at {cut}");
    }
}

#[test]
fn nginx_is_understood() {
    let get = include_bytes!("../../../../tests/data/nginx/uwsgi-get");
    let expected = [
        "REQUEST_METHOD=GET",
        "QUERY_STRING=q=1&r=%20",
        "CONTENT_LENGTH=",
        "REQUEST_URI=/uwsgi/caf%C3%A9%20x/%2F/a+b%252F?q=1&r=%20",
        "PATH_INFO=/uwsgi/caf\\xc3\\xa9 x/a+b%2F",
        "HTTP_COOKIE=a=1",
        "HTTP_COOKIE=b=2",
        "HTTP_X_TWICE=1",
        "HTTP_X_TWICE=2",
        "HTTP_X_EMPTY=",
    ];
    sent_by_a_server(get, &expected, b"");
    let post = include_bytes!("../../../../tests/data/nginx/uwsgi-post");
    sent_by_a_server(post, &["REQUEST_METHOD=POST", "CONTENT_LENGTH=5", "CONTENT_TYPE=text/plain"], b"hello");
    // The server has read the chunks before it passed their content on.
    let chunked = include_bytes!("../../../../tests/data/nginx/uwsgi-chunked");
    sent_by_a_server(chunked, &["CONTENT_LENGTH=5"], b"hello");
    let stream = include_bytes!("../../../../tests/data/nginx/uwsgi-stream");
    sent_by_a_server(stream, &["CONTENT_LENGTH=5", "HTTP_TRANSFER_ENCODING=chunked"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/uwsgi-head"), &["REQUEST_METHOD=HEAD"], b"");
}

#[test]
fn apache_is_understood() {
    let get = include_bytes!("../../../../tests/data/apache/uwsgi-get");
    let expected = [
        "SCRIPT_NAME=",
        "PATH_INFO=/uwsgi/caf\\xc3\\xa9 x/a+b%2F",
        "REQUEST_URI=/uwsgi/caf%C3%A9%20x/a+b%252F?q=1&r=%20",
        "HTTP_COOKIE=a=1, b=2",
        "HTTP_X_TWICE=1, 2",
    ];
    sent_by_a_server(get, &expected, b"");
    let post = include_bytes!("../../../../tests/data/apache/uwsgi-post");
    sent_by_a_server(post, &["CONTENT_LENGTH=5", "CONTENT_TYPE=text/plain"], b"hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/uwsgi-head"), &["REQUEST_METHOD=HEAD"], b"");
}

#[test]
fn a_packet_is_read_by_the_letter() {
    let text = |pairs: &[&str]| pairs.iter().map(|&pair| pair.to_owned()).collect::<Vec<_>>();
    assert_eq!(outcome(b"\0\0\0\0rest"), Ok(Some((text(&[]), 4))));
    assert_eq!(outcome(b"\0\x06\0\0\x01\0A\x01\0BA"), Ok(Some((text(&["A=B"]), 10))));
    // The specification's own kind: a name and an empty value.
    assert_eq!(outcome(b"\0\x0a\0\0\x01\0A\0\0\x01\0B\0\0"), Ok(Some((text(&["A=", "B="]), 14))));
    // Bytes that a path may have once it is decoded, and lengths above 255.
    assert_eq!(outcome(&packet(b"\x01\0P\x02\0\n\0")), Ok(Some((text(&["P=\\n\\x00"]), 11))));
    let long = [&b"\x01\0P\x01\x01"[..], &[b'x'; 257]].concat();
    assert_eq!(outcome(&packet(&long)).unwrap().unwrap().1, 4 + 5 + 257);
    // One name twice is the gateway's business.
    assert_eq!(outcome(&packet(b"\x01\0A\x01\x001\x01\0A\x01\x002")).unwrap().unwrap().0, text(&["A=1", "A=2"]));
}

#[test]
fn what_is_no_request_is_refused() {
    const CUT: &str = "a variable reaches beyond its packet";
    const NAME: &str = "the name of a variable has a byte that no name has";
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n", "modifier1 is not 0, that of a WSGI request"),
        (b"\x05", "modifier1 is not 0, that of a WSGI request"),
        (b"\x64\0\0\0", "modifier1 is not 0, that of a WSGI request"),
        (b"\0\0\0\x01", "modifier2 is not 0, that of a WSGI request"),
        (b"\0\x10\0\x1e", "modifier2 is not 0, that of a WSGI request"),
        (&packet(b"\x01"), CUT),
        (&packet(b"\x02\0A"), CUT),
        (&packet(b"\x01\0A"), CUT),
        (&packet(b"\x01\0A\x01"), CUT),
        (&packet(b"\x01\0A\x02\0B"), CUT),
        (&packet(b"\x01\0A\xff\xffB"), CUT),
        (&packet(b"\x01\0A\x01\0B\x01"), CUT),
        (&packet(b"\0\0\x01\0B"), "a variable has no name"),
        (&packet(b"\x01\0 \x01\0B"), NAME),
        (&packet(b"\x02\0A=\x01\0B"), NAME),
        (&packet(b"\x02\0A\0\x01\0B"), NAME),
        (&packet(b"\x02\0\xc3\xa9\x01\0B"), NAME),
        (&packet(b"\x06\0HTTP_A\x02\0\r\n"), "a field value has a control character"),
        (&packet(b"\x06\0HTTP_A\x01\0\0"), "a field value has a control character"),
        (&packet(b"\x0c\0CONTENT_TYPE\x01\0\n"), "a field value has a control character"),
        (&packet(b"\x05\0HTTP_\x01\0B"), "a variable has no name"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(why(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_above_the_limits_is_refused_at_once() {
    let pair = b"\x01\0A\0\0";
    let most = packet(&pair.repeat(60));
    assert_eq!(outcome(&most).unwrap().unwrap().0.len(), 60);
    assert_eq!(outcome(&packet(&pair.repeat(61))), Err(variables::TOO_MANY));
    // 2000 and 2001.
    assert_eq!(outcome(b"\0\xd0\x07"), Ok(None));
    assert_eq!(outcome(b"\0\xd1\x07"), Err(variables::TOO_LONG));
    assert_eq!(outcome(b"\0\xff\xff\0"), Err(variables::TOO_LONG));
}
