//! Heads from variables, and answers as each wire has them.

use super::answer::Manner;
use super::head::META_MAX;
use super::*;
use crate::wire::http::answer::{Asked, Draft, Ending};
use crate::wire::{Span, Version};

const LIMITS: Limits = Limits {
    head: http::Limits { request_line_max: 100, header_count_max: 3, header_bytes_max: 4096 },
    body: body::Limits { body_bytes_max: 100, trailer_bytes_max: 0 },
};

/// An SCGI request of these variables.
fn scgi(variables: &[(&str, &str)]) -> Vec<u8> {
    let all = [("CONTENT_LENGTH", ""), ("SCGI", "1")].iter().chain(variables);
    let text: String = all.map(|(name, value)| format!("{name}\0{value}\0")).collect();
    format!("{}:{text},", text.len()).into_bytes()
}

/// The head that these variables make, and what its spans are of.
fn head(variables: &[(&str, &str)]) -> Result<(Head, Vec<u8>), Refusal> {
    let (mut reader, mut head) = (Reader::new(Protocol::Scgi, LIMITS), Head::default());
    let input = scgi(variables);
    assert_eq!(reader.read(&input, &mut head)?, (input.len(), true));
    Ok((head, reader.text().to_vec()))
}

/// Method, target, path, query, SCRIPT_NAME and PATH_INFO.
fn line(variables: &[(&str, &str)]) -> String {
    let (head, text) = head(variables).unwrap();
    let meta = head.meta.as_ref().unwrap();
    let parts = [head.method, head.target, head.path, head.query, meta.script, meta.info];
    let shown = |span: Span| String::from_utf8_lossy(span.of(&text)).into_owned();
    let line = parts.map(shown).join("|");
    // The log takes both at once.
    assert_eq!(shown(head.method.to(head.target)), format!("{} {}", shown(head.method), shown(head.target)));
    line
}

#[test]
fn what_is_absent_is_that_of_the_simplest_request() {
    assert_eq!(line(&[]), "GET|/|/|||/");
    assert_eq!(line(&[("REQUEST_METHOD", "PUT"), ("QUERY_STRING", "a=b c")]), "PUT|/?a=b+c|/|a=b c||/");
    assert_eq!(line(&[("PATH_INFO", "/a b%/c?")]), "GET|/a%20b%25/c%3F|/a b%25/c?|||/a b%/c?");
    assert_eq!(line(&[("SCRIPT_NAME", "/s/"), ("PATH_INFO", "/p")]), "GET|/s//p|/s/p||/s|/p");
}

#[test]
fn the_uri_tells_what_the_gateway_does_not() {
    let uri = |uri, more: &[(&'static str, &'static str)]| line(&[&[("REQUEST_URI", uri)], more].concat());
    assert_eq!(uri("/a%20b/c?d=%20", &[]), "GET|/a%20b/c?d=%20|/a b/c|d=%20||/a b/c");
    assert_eq!(uri("http://host:80/x?y", &[]), "GET|http://host:80/x?y|/x|y||/x");
    assert_eq!(uri("http://host", &[]), "GET|http://host|/|||/");
    assert_eq!(uri("/x?http://y/z", &[]), "GET|/x?http://y/z|/x|http://y/z||/x");
    assert_eq!(uri("*", &[("REQUEST_METHOD", "OPTIONS")]), "OPTIONS|*||||");
    assert_eq!(uri("/app/x", &[("SCRIPT_NAME", "/app")]), "GET|/app/x|/app/x||/app|/x");
    assert_eq!(uri("/apple", &[("SCRIPT_NAME", "/app")]), "GET|/apple|/app||/app|");
    assert_eq!(uri("/app", &[("SCRIPT_NAME", "/app")]), "GET|/app|/app||/app|");
    assert_eq!(uri("/app", &[("SCRIPT_NAME", "/app"), ("DOCUMENT_URI", "/app")]), "GET|/app|/app|||/app");
    assert_eq!(uri("/a", &[("SCRIPT_NAME", "/a"), ("SCRIPT_FILENAME", "proxy:scgi://h/a")]), "GET|/a|/a|||/a");
    assert_eq!(uri("/old", &[("SCRIPT_NAME", "/new"), ("DOCUMENT_URI", "/new")]), "GET|/old|/new|||/new");
    // Whoever tells PATH_INFO is believed, and an empty one is one beside a SCRIPT_NAME.
    assert_eq!(uri("/x?q", &[("PATH_INFO", "/y"), ("QUERY_STRING", "r")]), "GET|/x?q|/y|r||/y");
    assert_eq!(uri("/x", &[("SCRIPT_NAME", "/x"), ("PATH_INFO", "")]), "GET|/x|/x||/x|");
    assert_eq!(uri("/x", &[("SCRIPT_NAME", ""), ("PATH_INFO", "")]), "GET|/x|/x|||/x");
}

#[test]
fn a_path_decoded_by_the_gateway_is_not_decoded_again() {
    let (head, text) = head(&[("PATH_INFO", "/a%2541/b")]).unwrap();
    assert_eq!(&*crate::wire::percent::decoded(head.path.of(&text)), b"/a%2541/b");
}

#[test]
fn fields_are_fields_again_and_the_rest_is_passed_on() {
    let (head, text) = head(&[
        ("HTTP_HOST", "example.org"),
        ("HTTP_X_OWN_ONE", "1"),
        ("CONTENT_TYPE", "text/plain"),
        ("HTTP_CONTENT_TYPE", "text/plain"),
        ("HTTP_CONTENT_LENGTH", "9"),
        ("REMOTE_ADDR", "192.0.2.1"),
        ("REMOTE_PORT", "99"),
        ("HTTPS", "on"),
        ("wsgi.input", "ours"),
        ("SERVER_PROTOCOL", "HTTP/1.0"),
    ])
    .unwrap();
    let pairs = |fields: &[Field]| {
        let text = |span: Span| String::from_utf8_lossy(span.of(&text)).into_owned();
        fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value))).collect::<Vec<_>>()
    };
    assert_eq!(pairs(&head.fields), ["HOST: example.org", "X-OWN-ONE: 1", "CONTENT-TYPE: text/plain"]);
    let meta = head.meta.unwrap();
    let passed = ["SCGI: 1", "REMOTE_ADDR: 192.0.2.1", "REMOTE_PORT: 99", "HTTPS: on", "SERVER_PROTOCOL: HTTP/1.0"];
    assert_eq!(pairs(&meta.variables), passed);
    assert_eq!(
        (meta.client.0.of(&text), meta.client.1.of(&text), meta.is_https),
        (&b"192.0.2.1"[..], &b"99"[..], true)
    );
    assert_eq!((head.version, head.framing), (Version::Http10, Framing::None));
}

#[test]
fn what_cannot_be_what_it_says_is_refused() {
    let long = format!("/{}", "x".repeat(100));
    type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'static str);
    let cases: &[Case<'_>] = &[
        (&[("REQUEST_METHOD", "G T")], 400, "REQUEST_METHOD is no token"),
        (&[("REQUEST_URI", "/a b")], 400, "REQUEST_URI has a space or a control character"),
        (&[("REQUEST_URI", "/a\r\nb")], 400, "REQUEST_URI has a space or a control character"),
        (&[("REQUEST_URI", &long)], 414, "the request line is longer than the limit"),
        (&[("HTTP_HOST", "a b")], 400, "the host is none with or without a port"),
        (
            &[("HTTP_A", ""), ("HTTP_B", ""), ("HTTP_C", ""), ("HTTP_D", "")],
            431,
            "there are more header fields than the limit",
        ),
    ];
    for (variables, status, why) in cases {
        assert_eq!(head(variables).map(|_| ()), Err(Refusal { status: *status, why }), "{variables:?}");
    }
    for (length, expected) in [("5", Ok(Framing::Length(5))), ("-1", Err(400)), ("99999999999999999999", Err(413))] {
        let input = format!("CONTENT_LENGTH\0{length}\0SCGI\x001\0");
        let input = format!("{}:{input},", input.len());
        let mut head = Head::default();
        let read = Reader::new(Protocol::Scgi, LIMITS).read(input.as_bytes(), &mut head);
        assert_eq!(read.map(|_| head.framing).map_err(|refusal| refusal.status), expected, "{length}");
    }
    for (own, other, expected) in [
        ("5", "5", Ok(Framing::Length(5))),
        ("5", "05", Ok(Framing::Length(5))),
        ("", "9", Ok(Framing::None)),
        ("0", "9", Err(400)),
        ("5", "9", Err(400)),
        ("5", "x", Err(400)),
        ("5", "", Err(400)),
    ] {
        let input = format!("CONTENT_LENGTH\0{own}\0SCGI\x001\0HTTP_CONTENT_LENGTH\0{other}\0");
        let input = format!("{}:{input},", input.len());
        let mut head = Head::default();
        let read = Reader::new(Protocol::Scgi, LIMITS).read(input.as_bytes(), &mut head);
        assert_eq!(read.map(|_| head.framing).map_err(|refusal| refusal.status), expected, "{own} and {other}");
    }
    let meta: Vec<String> = (0..META_MAX + 3).map(|number| format!("N{number}")).collect();
    let meta: Vec<(&str, &str)> = meta.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(head(&meta).map(|_| ()).unwrap_err().status, 431);
}

#[test]
fn an_answer_is_put_as_each_wire_has_it() {
    let put = |manner: Manner, lines: &[(&[u8], &[u8])], content: &[u8]| {
        let asked = Asked { version: Version::Http11, head: false, keep_alive: true, manner };
        let (mut draft, mut out) = (Draft::default(), Vec::new());
        draft.begin(b"200 Fine").unwrap();
        lines.iter().for_each(|(name, value)| draft.field(name, value).unwrap());
        let mut framed = draft.finish(asked, None, b"Sun, 06 Nov 1994 08:49:37 GMT", &mut out);
        let allowed = framed.open(content.len() as u64, &mut out) as usize;
        out.extend_from_slice(&content[..allowed]);
        framed.close(&mut out);
        let ending = framed.end(&mut out);
        (out.escape_ascii().to_string(), ending)
    };
    let field: (&[u8], &[u8]) = (b"X-A", b"b");
    let keep = Ending::KeepAlive;
    assert_eq!(put(Manner::Cgi, &[field], b"hi"), (r"Status: 200 Fine\r\nX-A: b\r\n\r\nhi".into(), keep));
    assert_eq!(put(Manner::Uwsgi, &[field], b"hi"), (r"HTTP/1.1 200 Fine\r\nX-A: b\r\n\r\nhi".into(), keep));
    // FastCGI 1.0, B: the records of an answer; 28 bytes of head and 4 of padding, 2 of content and 6.
    let head = r"\x01\x06\x00\x07\x00\x1c\x04\x00Status: 200 Fine\r\nX-A: b\r\n\r\n\x00\x00\x00\x00";
    let content = r"\x01\x06\x00\x07\x00\x02\x06\x00hi\x00\x00\x00\x00\x00\x00";
    let end = r"\x01\x06\x00\x07\x00\x00\x00\x00\x01\x03\x00\x07\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(put(Manner::FastCgi(7), &[field], b"hi"), (format!("{head}{content}{end}"), keep));
    // AJP: SEND_HEADERS with one field by name, SEND_BODY_CHUNK, END_RESPONSE with reuse.
    let head = r"AB\x00\x16\x04\x00\xc8\x00\x04Fine\x00\x00\x01\x00\x03X-A\x00\x00\x01b\x00";
    let content = r"AB\x00\x06\x03\x00\x02hi\x00AB\x00\x02\x05\x01";
    assert_eq!(put(Manner::Ajp, &[field], b"hi"), (format!("{head}{content}"), keep));
    // A head that no packet holds is no answer: the web server gets a 500 in its place.
    let long = vec![b'x'; 9000];
    let (out, ending) = put(Manner::Ajp, &[(b"X-Long", &long)], b"hi");
    assert!(out.starts_with(r"AB\x00") && out.contains("Internal Server Error") && !out.contains("hi"), "{out}");
    assert_eq!(ending, keep);
}

#[test]
fn ajp_packets_around_a_request_are_answered_once() {
    let mut reader = Reader::new(Protocol::Ajp(Guard::Open), LIMITS);
    let (mut head, mut out) = (Head::default(), Vec::new());
    let ping = b"\x12\x34\0\x01\x0a";
    assert_eq!(reader.read(&ping[..3], &mut head), Ok((0, false)));
    assert!(reader.has_begun());
    assert_eq!(reader.read(ping, &mut head), Ok((5, false)));
    reader.reply(&mut out);
    assert_eq!(out, b"AB\0\x01\x09");
    assert!(!reader.has_begun());
    // SHUTDOWN, which nobody may ask of us.
    assert_eq!(reader.read(b"\x12\x34\0\x01\x07\x12\x34", &mut head), Ok((5, false)));
    reader.reply(&mut out);
    assert_eq!(out.len(), 5, "there is nothing to be said to that");
}
