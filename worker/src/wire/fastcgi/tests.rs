//! Records by the specification and as real servers send them: whole, and cut at every place.

use super::answer::{Status, Stream, Values};
use super::*;
use crate::wire::Refusal;
use crate::wire::variables::Limits;

const LIMITS: Limits = Limits { count_max: 60, bytes_max: 2000 };
const BODY_MAX: u64 = 30_000;

fn record(kind: u8, id: u8, content: &[u8], padding: u8) -> Vec<u8> {
    let [high, low] = (content.len() as u16).to_be_bytes();
    [&[1, kind, 0, id, high, low, padding, 0], content, &vec![7; padding.into()]].concat()
}

fn begin() -> Vec<u8> {
    record(1, 1, b"\0\x01\0\0\0\0\0\0", 0)
}

/// A request with these PARAMS, and no body.
fn request(params: &[u8]) -> Vec<u8> {
    [begin(), record(4, 1, params, 0), record(4, 1, b"", 0), record(5, 1, b"", 0)].concat()
}

/// A connection on which one request follows another, as lines.
struct Connection {
    input: Vec<u8>,
    reader: Reader,
    request: Request,
    body: Option<body::Reader>,
    content: Vec<u8>,
    lines: Vec<String>,
}

impl Connection {
    fn told(pieces: &[&[u8]]) -> String {
        let (request, content) = (Request::default(), Vec::new());
        let reader = Reader::new(LIMITS);
        let mut connection = Connection { input: Vec::new(), reader, request, body: None, content, lines: Vec::new() };
        for piece in pieces {
            connection.input.extend_from_slice(piece);
            if let Err(refusal) = connection.advance() {
                connection.lines.push(format!("{} {}", refusal.status, refusal.why));
                break;
            }
        }
        connection.lines.join("\n")
    }

    fn advance(&mut self) -> Result<(), Refusal> {
        while if self.body.is_some() { self.read_body()? } else { self.read_head()? } {}
        Ok(())
    }

    fn read_head(&mut self) -> Result<bool, Refusal> {
        let Some(taken) = self.reader.read(&self.input, &mut self.request)? else { return Ok(false) };
        self.input.drain(..taken);
        let Request { id, role, keeps, ref text, ref variables } = self.request;
        self.lines.push(format!("{id} {role:?} {keeps}"));
        if role != Role::Responder {
            return Ok(true);
        }
        let bytes = |span: crate::wire::Span| span.of(text).escape_ascii().to_string();
        self.lines.extend(variables.iter().map(|field| format!("{}={}", bytes(field.name), bytes(field.value))));
        let length = variables.iter().find(|field| field.name.of(text) == b"CONTENT_LENGTH");
        let length = length.and_then(|field| bytes(field.value).parse().ok());
        self.content.clear();
        self.body = Some(body::Reader::new(id, length, BODY_MAX)?);
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        let Some(reader) = &mut self.body else { return Ok(true) };
        let piece = reader.read(&self.input)?;
        self.content.extend_from_slice(&self.input[piece.data.clone()]);
        self.input.drain(..piece.taken);
        if piece.complete {
            self.body = None;
            let few = &self.content[..self.content.len().min(10)];
            self.lines.push(format!("body {} {}", self.content.len(), few.escape_ascii()));
        }
        Ok(piece.complete || piece.taken > 0)
    }
}

/// What comes of these bytes, however they are cut.
fn told(bytes: &[u8]) -> String {
    let told = Connection::told(&[bytes]);
    assert_eq!(Connection::told(&bytes.chunks(1).collect::<Vec<_>>()), told, "byte by byte");
    for cut in (0..bytes.len()).step_by((bytes.len() / 500).max(1)) {
        assert_eq!(Connection::told(&[&bytes[..cut], &bytes[cut..]]), told, "cut at {cut}");
    }
    told
}

fn why(bytes: &[u8]) -> String {
    told(bytes).lines().last().unwrap_or_default().to_owned()
}

/// What a real server sent has these lines in it, and ends so.
fn sent_by_a_server(bytes: &[u8], expected: &[&str], end: &str) {
    let told = told(bytes);
    for expected in expected {
        assert!(told.lines().any(|line| line == *expected), "{expected} in {told}");
    }
    assert!(told.ends_with(&format!("\n{end}")), "{told}");
}

#[test]
fn nginx_is_understood() {
    let get = include_bytes!("../../../../tests/data/nginx/fastcgi-get");
    let expected = [
        "1 Responder false",
        "QUERY_STRING=q=1&r=%20",
        "CONTENT_LENGTH=",
        "SCRIPT_NAME=/fcgi/caf\\xc3\\xa9 x/a+b%2F",
        "REQUEST_URI=/fcgi/caf%C3%A9%20x/%2F/a+b%252F?q=1&r=%20",
        "HTTP_COOKIE=a=1",
        "HTTP_COOKIE=b=2",
    ];
    sent_by_a_server(get, &expected, "body 0 ");
    sent_by_a_server(
        include_bytes!("../../../../tests/data/nginx/fastcgi-post"),
        &["CONTENT_LENGTH=5"],
        "body 5 hello",
    );
    sent_by_a_server(
        include_bytes!("../../../../tests/data/nginx/fastcgi-chunked"),
        &["CONTENT_LENGTH=5"],
        "body 5 hello",
    );
    let stream = include_bytes!("../../../../tests/data/nginx/fastcgi-stream");
    sent_by_a_server(stream, &["HTTP_TRANSFER_ENCODING=chunked"], "body 5 hello");
    sent_by_a_server(include_bytes!("../../../../tests/data/nginx/fastcgi-head"), &["REQUEST_METHOD=HEAD"], "body 0 ");
}

#[test]
fn apache_and_lighttpd_are_understood() {
    let expected = ["1 Responder false", "REQUEST_URI=/fcgi/caf%C3%A9%20x/a+b%252F?q=1&r=%20", "HTTP_X_TWICE=1, 2"];
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/fastcgi-get"), &expected, "body 0 ");
    sent_by_a_server(
        include_bytes!("../../../../tests/data/apache/fastcgi-post"),
        &["CONTENT_LENGTH=5"],
        "body 5 hello",
    );
    sent_by_a_server(
        include_bytes!("../../../../tests/data/apache/fastcgi-chunked"),
        &["CONTENT_LENGTH=5"],
        "body 5 hello",
    );
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/fastcgi-big"), &[], "body 20000 xxxxxxxxxx");
    sent_by_a_server(include_bytes!("../../../../tests/data/apache/fastcgi-head"), &["REQUEST_METHOD=HEAD"], "body 0 ");
    let expected = ["1 Responder false", "PATH_INFO=/caf\\xc3\\xa9 x/a+b%2F", "HTTP_X_UNDER=u"];
    sent_by_a_server(include_bytes!("../../../../tests/data/lighttpd/fastcgi-get"), &expected, "body 0 ");
    let chunked = include_bytes!("../../../../tests/data/lighttpd/fastcgi-chunked");
    sent_by_a_server(chunked, &["CONTENT_LENGTH=5"], "body 5 hello");
    let post = include_bytes!("../../../../tests/data/lighttpd/fastcgi-post");
    sent_by_a_server(post, &["CONTENT_LENGTH=5"], "body 5 hello");
    sent_by_a_server(
        include_bytes!("../../../../tests/data/lighttpd/fastcgi-head"),
        &["REQUEST_METHOD=HEAD"],
        "body 0 ",
    );
}

#[test]
fn haproxy_is_understood() {
    let expected = [
        "1 Responder true",
        "PATH_INFO=/fastcgi/caf\\xc3\\xa9 x///a+b%2F",
        "REQUEST_URI=/fastcgi/caf%C3%A9%20x/%2F/a+b%252F?q=1&r=%20",
        "SERVER_NAME=shop.example:8080",
        "HTTP_COOKIE=a=1",
        "HTTP_COOKIE=b=2",
        "CONTENT_LENGTH=0",
    ];
    sent_by_a_server(include_bytes!("../../../../tests/data/haproxy/fastcgi-get"), &expected, "body 0 ");
    let post = include_bytes!("../../../../tests/data/haproxy/fastcgi-post");
    sent_by_a_server(post, &["CONTENT_LENGTH=5"], "body 5 hello");
    let chunked = include_bytes!("../../../../tests/data/haproxy/fastcgi-chunked");
    sent_by_a_server(chunked, &["CONTENT_LENGTH=5"], "body 5 hello");
    sent_by_a_server(
        include_bytes!("../../../../tests/data/haproxy/fastcgi-head"),
        &["REQUEST_METHOD=HEAD"],
        "body 0 ",
    );
}

#[test]
fn requests_follow_each_other_on_a_kept_connection() {
    let nginx = told(include_bytes!("../../../../tests/data/nginx/fastcgi-keep"));
    let bodies: Vec<&str> = nginx.lines().filter(|line| line.starts_with("body") || line.starts_with("1 ")).collect();
    let kept = "1 Responder true";
    let expected =
        [kept, "body 0 ", kept, "body 5 hello", kept, "body 5 hello", kept, "body 20000 xxxxxxxxxx", kept, "body 0 "];
    assert_eq!(bodies, expected);
    let apache = told(include_bytes!("../../../../tests/data/apache/fastcgi-keep"));
    assert!(apache.starts_with(kept) && apache.ends_with("body 20000 xxxxxxxxxx"), "{apache}");
    let haproxy = told(include_bytes!("../../../../tests/data/haproxy/fastcgi-keep"));
    let lines: Vec<&str> = haproxy.lines().filter(|line| line.starts_with("body") || line.ends_with(" true")).collect();
    assert_eq!(lines, [kept, "body 5 hello", "3 Responder true", "body 0 "]);
}

#[test]
fn pairs_may_be_split_over_records_anywhere() {
    // The lengths of the specification's example, in one byte and in four.
    let long = [b"\x80\0\0\x0bSERVER_PORT".as_slice(), b""].concat();
    let params = [
        b"\x0b\x02SERVER_PORT80\x0b\x0eSERVER_ADDR199.170.183.42\x01\0A".as_slice(),
        &[long[..4].to_vec(), b"\x80\0\0\x81".to_vec(), b"SERVER_PORT".to_vec(), vec![b'v'; 129]].concat(),
    ]
    .concat();
    let expected = format!(
        "1 Responder false\nSERVER_PORT=80\nSERVER_ADDR=199.170.183.42\nA=\nSERVER_PORT={}\nbody 0 ",
        "v".repeat(129)
    );
    assert_eq!(told(&request(&params)), expected);
    for cut in 1..params.len() {
        let records = [
            record(1, 1, b"\0\x01\0\0\0\0\0\0", 3),
            record(4, 1, &params[..cut], 5),
            record(4, 1, &params[cut..], 255),
            record(4, 1, b"", 9),
            record(5, 1, b"", 1),
        ];
        assert_eq!(Connection::told(&[&records.concat()]), expected, "cut at {cut}");
    }
    let single: Vec<u8> = params[..20].iter().flat_map(|byte| record(4, 1, &[*byte], 1)).collect();
    let rest = [record(4, 1, &params[20..], 0), record(4, 1, b"", 0), record(5, 1, b"", 0)].concat();
    assert_eq!(told(&[begin(), single, rest].concat()), expected);
}

#[test]
fn a_body_may_be_split_and_padded_too() {
    let head = |length: &str| {
        let pair = [&[14, length.len() as u8][..], b"CONTENT_LENGTH", length.as_bytes()].concat();
        [begin(), record(4, 1, &pair, 0), record(4, 1, b"", 0)].concat()
    };
    let of = |length: &str, records: &[Vec<u8>]| why(&[head(length), records.concat()].concat());
    let (ab, c, end) = (record(5, 1, b"ab", 6), record(5, 1, b"c", 255), record(5, 1, b"", 2));
    assert_eq!(of("3", &[ab.clone(), c.clone(), end.clone()]), "body 3 abc");
    assert_eq!(of("", &[ab.clone(), c.clone(), end.clone()]), "body 3 abc");
    assert_eq!(of("0", std::slice::from_ref(&end)), "body 0 ");
    assert_eq!(of("3", &[ab.clone(), c.clone()]), "CONTENT_LENGTH=3", "the empty record has not come");
    assert_eq!(of("3", &[ab.clone(), end.clone()]), "400 the body is shorter than its CONTENT_LENGTH");
    assert_eq!(of("2", &[ab.clone(), c.clone()]), "400 the body is longer than its CONTENT_LENGTH");
    assert_eq!(of("0", std::slice::from_ref(&ab)), "400 the body is longer than its CONTENT_LENGTH");
    assert_eq!(of("30001", &[]), "413 the body is longer than the limit");
    let most = record(5, 1, &[b'x'; 30_000], 0);
    assert_eq!(of("30000", &[most.clone(), end.clone()]), "body 30000 xxxxxxxxxx");
    assert_eq!(of("", &[most, c]), "413 the body is longer than the limit");
    const OTHER: &str = "400 a record stands where STDIN of the request must";
    assert_eq!(of("3", &[ab.clone(), record(8, 1, b"c", 0)]), OTHER);
    assert_eq!(of("3", &[ab.clone(), record(4, 1, b"", 0)]), OTHER);
    assert_eq!(of("3", &[record(5, 2, b"abc", 0)]), OTHER);
    assert_eq!(of("3", &[ab, b"\x02".to_vec()]), "400 the record is not of version 1 of FastCGI");
}

#[test]
fn other_roles_are_seen_before_anything_else_comes() {
    let of = |role: u8| record(1, 9, &[0, role, 1, 0, 0, 0, 0, 0], 4);
    assert_eq!(told(&of(2)), "9 Other(2) true");
    assert_eq!(told(&[of(3), of(0)].concat()), "9 Other(3) true\n9 Other(0) true");
    assert_eq!(told(&record(1, 9, &[1, 1, 2, 0, 0, 0, 0, 0], 0)), "9 Other(257) false");
}

#[test]
fn what_is_no_request_is_refused() {
    const VERSION: &str = "400 the record is not of version 1 of FastCGI";
    const FIRST: &str = "400 the request does not begin with BEGIN_REQUEST";
    const OTHER: &str = "400 a record stands where PARAMS of the request must";
    const CUT: &str = "400 a pair is longer than what it stands in";
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n", VERSION),
        (b"\0", VERSION),
        (b"\x02", VERSION),
        (&record(4, 1, b"", 0), FIRST),
        (&record(1, 0, b"\0\x01\0\0\0\0\0\0", 0), FIRST),
        (&record(200, 1, b"", 0), FIRST),
        (&record(1, 1, b"\0\x01\0\0\0\0\0", 0), "400 BEGIN_REQUEST has not eight bytes"),
        (&record(1, 1, b"\0\x01\0\0\0\0\0\0\0", 0), "400 BEGIN_REQUEST has not eight bytes"),
        (&[begin(), record(5, 1, b"", 0)].concat(), OTHER),
        (&[begin(), begin()].concat(), OTHER),
        (&[begin(), record(4, 2, b"", 0)].concat(), OTHER),
        (&[begin(), record(4, 1, b"\x01\0A", 0), record(5, 1, b"", 0)].concat(), OTHER),
        (&[begin(), b"\x03".to_vec()].concat(), VERSION),
        (&request(b"\x01"), CUT),
        (&request(b"\x01\x01"), CUT),
        (&request(b"\x01\x01A"), CUT),
        (&request(b"\x80"), CUT),
        (&request(b"\x80\0\0\x01\x80\0\0"), CUT),
        (&request(b"\xff\xff\xff\xff\xff\xff\xff\xffA"), CUT),
        (&request(b"\x01\xff\xff\xff\xffA"), CUT),
        (&request(b"\0\x01v"), "400 a variable has no name"),
        (&request(b"\x02\0A="), "400 the name of a variable has a byte that no name has"),
        (&request(b"\x06\x01HTTP_A\n"), "400 a field value has a control character"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(why(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn what_is_above_the_limits_is_refused_at_once() {
    const TOO_LONG: &str = "431 the variables are longer than the limit";
    let pair = b"\x01\0A";
    assert!(told(&request(&pair.repeat(60))).ends_with("body 0 "));
    assert_eq!(why(&request(&pair.repeat(61))), "431 there are more variables than the limit");
    // 2000 bytes are 16 + 8 + 1976; with the empty record they would be more.
    assert_eq!(told(&[begin(), b"\x01\x04\0\x01\x07\xb8\0\0".to_vec()].concat()), "");
    assert_eq!(told(&[begin(), b"\x01\x04\0\x01\x07\xb9\0\0".to_vec()].concat()), TOO_LONG);
    assert_eq!(told(&[begin(), b"\x01\x04\0\x01\x07\xb8\x01\0".to_vec()].concat()), TOO_LONG);
    // Records around nothing much count as they are.
    let tiny: Vec<u8> = (0..200).flat_map(|_| record(4, 1, b"A", 7)).collect();
    assert_eq!(why(&[begin(), tiny].concat()), TOO_LONG);
}

#[test]
fn an_answer_is_the_records_of_the_specification() {
    let mut out = Vec::new();
    answer::write(Stream::Stdout, 1, b"Content-type: text/html\r\n\r\n<html>", &mut out);
    answer::write(Stream::Stderr, 0x102, b"config error: missing SI_UID\n", &mut out);
    answer::write(Stream::Stderr, 1, b"", &mut out);
    answer::close_stream(Stream::Stdout, 1, &mut out);
    answer::close_stream(Stream::Stderr, 1, &mut out);
    answer::end(1, Status::Complete, &mut out);
    answer::end(2, Status::UnknownRole, &mut out);
    answer::end(3, Status::Cut, &mut out);
    answer::end(4, Status::CannotMultiplex, &mut out);
    answer::end(5, Status::Overloaded, &mut out);
    let expected = [
        &b"\x01\x06\0\x01\0\x21\x07\0Content-type: text/html\r\n\r\n<html>\0\0\0\0\0\0\0"[..],
        b"\x01\x07\x01\x02\0\x1d\x03\0config error: missing SI_UID\n\0\0\0",
        b"\x01\x06\0\x01\0\0\0\0",
        b"\x01\x07\0\x01\0\0\0\0",
        b"\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0",
        b"\x01\x03\0\x02\0\x08\0\0\0\0\0\0\x03\0\0\0",
        b"\x01\x03\0\x03\0\x08\0\0\0\0\0\x01\0\0\0\0",
        b"\x01\x03\0\x04\0\x08\0\0\0\0\0\0\x01\0\0\0",
        b"\x01\x03\0\x05\0\x08\0\0\0\0\0\0\x02\0\0\0",
    ];
    assert_eq!(out.escape_ascii().to_string(), expected.concat().escape_ascii().to_string());
}

#[test]
fn long_content_goes_in_several_records() {
    let mut out = Vec::new();
    answer::write(Stream::Stdout, 1, &[b'x'; 65_537], &mut out);
    assert_eq!(out[..8], *b"\x01\x06\0\x01\xff\xf8\0\0");
    assert_eq!(out[8 + 0xfff8..][..17], *b"\x01\x06\0\x01\0\x09\x07\0xxxxxxxxx");
    assert_eq!(out[8 + 0xfff8 + 17..], [0; 7]);
    let mut out = Vec::new();
    answer::open(Stream::Stdout, 1, 3, &mut out);
    out.extend_from_slice(b"abc");
    answer::close(3, &mut out);
    assert_eq!(out, b"\x01\x06\0\x01\0\x03\x05\0abc\0\0\0\0\0");
}

#[test]
fn the_connection_tells_what_it_can_and_what_it_does_not_know() {
    let values = Values { connections_max: 10_000, requests_max: 64, multiplexes: 1 };
    let told = |kind: u8, content: &[u8]| {
        let mut out = b"before".to_vec();
        answer::manage(kind, content, values, &mut out).map(|()| out[6..].escape_ascii().to_string())
    };
    // The example of the specification, 4.1.
    let asked = b"\x0e\0FCGI_MAX_CONNS\x0d\0FCGI_MAX_REQS\x0f\0FCGI_MPXS_CONNS";
    let expected = b"\x01\x0a\0\0\0\x38\0\0\x0e\x05FCGI_MAX_CONNS10000\x0d\x02FCGI_MAX_REQS64\x0f\x01FCGI_MPXS_CONNS1"
        .escape_ascii();
    assert_eq!(told(9, asked).unwrap(), expected.to_string());
    let one = b"\x01\x0a\0\0\0\x12\x06\0\x0f\x01FCGI_MPXS_CONNS1\0\0\0\0\0\0".escape_ascii().to_string();
    assert_eq!(told(9, b"\x0f\0FCGI_MPXS_CONNS\x03\x01OWNx").unwrap(), one);
    assert_eq!(told(9, &b"\x0f\0FCGI_MPXS_CONNS".repeat(3000)).unwrap(), one);
    assert_eq!(told(9, b"").unwrap(), b"\x01\x0a\0\0\0\0\0\0".escape_ascii().to_string());
    assert_eq!(told(9, b"\x0f\0FCGI").unwrap_err().status, 400);
    assert_eq!(told(11, b"").unwrap(), b"\x01\x0b\0\0\0\x08\0\0\x0b\0\0\0\0\0\0\0".escape_ascii().to_string());
    assert_eq!(told(255, b"x").unwrap(), b"\x01\x0b\0\0\0\x08\0\0\xff\0\0\0\0\0\0\0".escape_ascii().to_string());
    assert_eq!(told(4, b"").unwrap(), b"\x01\x0b\0\0\0\x08\0\0\x04\0\0\0\0\0\0\0".escape_ascii().to_string());
}
