//! Packets by the specification and as real servers send them: whole, and cut at every place.

use super::body::Reader;
use super::*;
use crate::wire::{Framing, Span};

const LIMITS: Limits = Limits { count_max: 40, bytes_max: 1000 };
const BODY_MAX: u64 = 30_000;

/// A packet of a web server's with this in it.
fn packet(parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    [&[0x12, 0x34, (payload.len() >> 8) as u8, payload.len() as u8], &payload[..]].concat()
}

/// GET /a, of HTTP/1.1, from ::1, to x:80, not by TLS.
const LINE: &[u8] = b"\x02\x02\0\x08HTTP/1.1\0\0\x02/a\0\0\x03::1\0\xff\xff\0\x01x\0\0\x50\0";

/// A request with these fields and attributes.
fn request(fields: &[u8], attributes: &[u8]) -> Vec<u8> {
    packet(&[LINE, fields, attributes, b"\xff"])
}

/// A connection on which every request is answered at once, as lines.
struct Connection {
    input: Vec<u8>,
    body: Option<Reader>,
    request: Request,
    content: Vec<u8>,
    lines: Vec<String>,
}

impl Connection {
    fn told(pieces: &[&[u8]]) -> String {
        let (request, content) = (Request::default(), Vec::new());
        let mut connection = Connection { input: Vec::new(), body: None, request, content, lines: Vec::new() };
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
        loop {
            let goes_on = if self.body.is_some() { self.read_body()? } else { self.read_packet()? };
            if !goes_on {
                return Ok(());
            }
        }
    }

    fn read_packet(&mut self) -> Result<bool, Refusal> {
        let Some((wish, taken)) = read(&self.input, LIMITS, &mut self.request)? else { return Ok(false) };
        match wish {
            Wish::Pong => self.lines.push("ping".to_owned()),
            Wish::Nothing => self.lines.push("nothing".to_owned()),
            Wish::Request => {
                self.lines.extend(lines(&self.request));
                self.content.clear();
                self.body = Some(Reader::new(self.request.framing, BODY_MAX)?);
            }
        }
        self.input.drain(..taken);
        Ok(true)
    }

    fn read_body(&mut self) -> Result<bool, Refusal> {
        let Some(reader) = &mut self.body else { return Ok(true) };
        let mut asked = Vec::new();
        reader.ask(&mut asked);
        if !asked.is_empty() {
            self.lines.push(asked.escape_ascii().to_string());
        }
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

fn lines(request: &Request) -> Vec<String> {
    let text = |span: Span| span.of(&request.text).escape_ascii().to_string();
    let variables = request.variables.iter().map(|field| format!("{}={}", text(field.name), text(field.value)));
    let fields = request.fields.iter().map(|field| format!("{}: {}", text(field.name), text(field.value)));
    let framing = match request.framing {
        Framing::None => None,
        framing => Some(format!("{framing:?}")),
    };
    variables.chain(fields).chain(framing).collect()
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
    let told = told(bytes);
    told.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn apache_is_understood() {
    let expected = "\
SERVER_PROTOCOL=HTTP/1.1
REMOTE_ADDR=127.0.0.1
SERVER_NAME=shop.example
SERVER_PORT=7810
QUERY_STRING=q=1&r=%20
REMOTE_PORT=51768
SERVER_ADDR=127.0.0.1
REQUEST_METHOD=GET
REQUEST_URI=/ajp/caf%C3%A9%20x/a+b%252F?q=1&r=%20
Host: shop.example:8080
User-Agent: recorder
Accept: */*
Cookie: a=1, b=2
X-Twice: 1, 2
X_Under: u
X-Empty: 
body 0 ";
    assert_eq!(told(include_bytes!("../../../../tests/data/apache/ajp-get")), expected);
    let post = told(include_bytes!("../../../../tests/data/apache/ajp-post"));
    assert!(post.ends_with("Length(5)\nbody 5 hello"), "{post}");
    let head = told(include_bytes!("../../../../tests/data/apache/ajp-head"));
    assert!(head.contains("\nREQUEST_METHOD=HEAD\n") && head.ends_with("\nbody 0 "), "{head}");
    let ping = told(include_bytes!("../../../../tests/data/apache/ajp-ping"));
    assert!(ping.starts_with("ping\n") && ping.ends_with("body 20000 xxxxxxxxxx"), "{ping}");
}

#[test]
fn a_body_comes_in_packets_of_which_all_but_the_first_are_asked_for() {
    let chunked = told(include_bytes!("../../../../tests/data/apache/ajp-chunked"));
    assert!(
        chunked.ends_with("Chunked\nAB\\x00\\x03\\x06\\x1f\\xfa\nAB\\x00\\x03\\x06\\x1f\\xfa\nbody 5 hello"),
        "{chunked}"
    );
    let big = told(include_bytes!("../../../../tests/data/apache/ajp-big"));
    // 20,000 bytes: 8,186, as many, and the 3,628 that are left.
    assert!(
        big.ends_with("Length(20000)\nAB\\x00\\x03\\x06\\x1f\\xfa\nAB\\x00\\x03\\x06\\x0e,\nbody 20000 xxxxxxxxxx"),
        "{big}"
    );
}

#[test]
fn requests_follow_each_other_and_pings() {
    let told = told(include_bytes!("../../../../tests/data/apache/ajp-keep"));
    let firsts: Vec<&str> =
        told.lines().filter(|line| ["ping", "body", "REQU"].contains(&&line[..4.min(line.len())])).collect();
    assert_eq!(
        firsts.join("|"),
        "ping|REQUEST_METHOD=POST|REQUEST_URI=/ajpping/chunked|body 5 hello|ping|REQUEST_METHOD=HEAD|REQUEST_URI=/ajpping/head|body 0 "
    );
}

#[test]
fn lighttpd_is_understood_where_it_keeps_to_the_protocol() {
    let get = told(include_bytes!("../../../../tests/data/lighttpd/ajp-get"));
    assert!(get.contains("\nREQUEST_METHOD=GET\nREQUEST_URI=/ajp?q=1&r=%20\n"), "{get}");
    let head = told(include_bytes!("../../../../tests/data/lighttpd/ajp-head"));
    // Behind a request without content it sends a packet of none.
    let end = "\nbody 0 \n400 a packet is empty where a request must be";
    assert!(head.contains("\nREQUEST_METHOD=HEAD\n") && head.ends_with(end), "{head}");
    // Its content has no second length.
    let post = why(include_bytes!("../../../../tests/data/lighttpd/ajp-post"));
    assert_eq!(post, "400 a packet of the body has not the length that it says");
}

#[test]
fn every_code_stands_for_its_word() {
    let named = |code: u8, stored: &[u8]| {
        let told = told(&packet(&[b"\x02", &[code], &LINE[2..], b"\0\0", stored, b"\xff"]));
        told.lines().find_map(|line| line.strip_prefix("REQUEST_METHOD=")).unwrap_or(&told).to_owned()
    };
    let methods = "OPTIONS GET HEAD POST PUT DELETE TRACE PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK ACL REPORT \
        VERSION-CONTROL CHECKIN CHECKOUT UNCHECKOUT SEARCH MKWORKSPACE UPDATE LABEL MERGE BASELINE-CONTROL MKACTIVITY";
    for (code, method) in methods.split(' ').enumerate() {
        assert_eq!(named(code as u8 + 1, b""), method);
    }
    assert_eq!(named(0xFF, b"\x0d\0\x05PATCH\0"), "PATCH");
    assert_eq!(named(28, b""), "400 the method has a code that is unknown");
    assert_eq!(named(0, b""), "400 the method has a code that is unknown");
    assert_eq!(named(0xFF, b""), "400 there is no method");
    assert_eq!(named(2, b"\x0d\0\x05PATCH\0"), "400 there are two methods");
    let fields = "Accept Accept-Charset Accept-Encoding Accept-Language Authorization Connection 7 8 Cookie Cookie2 Host Pragma \
        Referer User-Agent";
    for (code, name) in fields.split(' ').enumerate().filter(|(_, name)| name.len() > 1) {
        let told = told(&request(&[&[0, 1, 0xA0, code as u8 + 1][..], b"\0\x01v\0"].concat(), b""));
        assert!(told.contains(&format!("\n{name}: v\n")), "{told}");
    }
    for code in [0, 15, 0xFF] {
        let told = why(&request(&[&[0, 1, 0xA0, code][..], b"\0\x01v\0"].concat(), b""));
        assert_eq!(told, "400 a field has a code that is unknown");
    }
    assert_eq!(why(&request(b"\0\x01\xa1\x01\0\x01v\0", b"")), "400 a field has a code that is unknown");
}

#[test]
fn attributes_become_variables() {
    let attributes = b"\x01\0\x01c\0\x02\0\x01p\0\x03\0\x01u\0\x04\0\x05Basic\0\x05\0\x03a=b\0\x06\0\x01r\0\x07\0\x03PEM\0\x08\0\x03AES\0\x09\0\x01i\0\
        \x0b\x01\0\x0a\0\x0fAJP_REMOTE_PORT\0\0\x044711\0\x0a\0\x0eAJP_LOCAL_ADDR\0\0\x03::2\0\x0a\0\x10AJP_SSL_PROTOCOL\0\0\x07TLSv1.3\0\
        \x0a\0\x05SHOP_\0\0\x011\0\x03\xff\xff";
    let told = told(&packet(&[&LINE[..LINE.len() - 1], b"\x01\0\0", attributes, b"\xff"]));
    let expected = "SERVER_PROTOCOL=HTTP/1.1|REMOTE_ADDR=::1|SERVER_NAME=x|SERVER_PORT=80|HTTPS=on|REMOTE_USER=u|AUTH_TYPE=Basic|QUERY_STRING=a=b|\
        JVM_ROUTE=r|SSL_CLIENT_CERT=PEM|SSL_CIPHER=AES|SSL_SESSION_ID=i|SSL_CIPHER_USEKEYSIZE=256|REMOTE_PORT=4711|SERVER_ADDR=::2|\
        SSL_PROTOCOL=TLSv1.3|SHOP_=1|REQUEST_METHOD=GET|REQUEST_URI=/a?a=b|body 0 ";
    assert_eq!(told.replace('\n', "|"), expected);
}

#[test]
fn an_attribute_cannot_take_the_place_of_what_the_request_says() {
    for name in ["REQUEST_METHOD", "HTTP_X", "REMOTE_ADDR", "PATH_INFO", "A B", "A=B", "\u{e9}", ""] {
        let attribute = [&[0x0A, 0, name.len() as u8][..], name.as_bytes(), b"\0\0\x04evil\0"].concat();
        let told = told(&request(b"\0\0", &attribute));
        assert!(told.ends_with("body 0 ") && !told.contains("evil"), "{told}");
    }
}

#[test]
fn the_secret_is_taken_out_and_compared() {
    let mut seen = Request::default();
    let mut reads = |attributes: &[u8]| {
        let taken = read(&request(b"\0\0", attributes), LIMITS, &mut seen);
        assert!(matches!(taken, Ok(Some((Wish::Request, _)))), "{taken:?}");
        let told = lines(&seen).join("\n");
        assert!(!told.contains("sesame"), "{told}");
        [&b"sesame"[..], b"sesamE", b"sesam", b"sesame ", b""].map(|secret| seen.knows(secret))
    };
    assert_eq!(reads(b"\x0c\0\x06sesame\0"), [true, false, false, false, false]);
    assert_eq!(reads(b"\x0c\0\0\0"), [false, false, false, false, true]);
    // The last request's is forgotten.
    assert_eq!(reads(b""), [false; 5]);
    assert_eq!(why(&request(b"\0\0", b"\x0c\0\x01a\0\x0c\0\x01b\0")), "400 there are two secrets");
}

#[test]
fn pings_are_seen_and_what_is_not_for_us_is_passed_over() {
    assert_eq!(
        told(&[packet(&[b"\x07"]), packet(&[b"\x0a"]), packet(&[b"\x08more"])].concat()),
        "nothing\nping\nnothing"
    );
}

#[test]
fn what_is_no_packet_is_refused() {
    const NOT_FIRST: &str = "400 a packet is none that a web server begins with";
    const CUT: &str = "400 the request is longer than its packet";
    const MAGIC: &str = "400 a packet does not begin with 0x1234";
    const NUL: &str = "400 a string does not end with its NUL";
    let cases: &[(&[u8], &str)] = &[
        (b"GET / HTTP/1.1\r\n", MAGIC),
        (b"\x12\x35", MAGIC),
        (b"AB\0\x01\x09", MAGIC),
        (b"\x124\0\0", "400 a packet is empty where a request must be"),
        (b"\x124\0\x05\0", NOT_FIRST),
        (b"\x124\0\x02\x0a", NOT_FIRST),
        (b"\x124\0\x01\x09", NOT_FIRST),
        (b"\x124\x03\xe9", "431 the variables are longer than the limit"),
        (&packet(&[b"\x02"]), CUT),
        (&packet(&[LINE]), CUT),
        (&packet(&[LINE, b"\0"]), CUT),
        (&packet(&[LINE, b"\0\0"]), CUT),
        (&packet(&[LINE, b"\0\x01\xff"]), CUT),
        (&packet(&[LINE, b"\0\x01\xa0\x01"]), CUT),
        (&packet(&[LINE, b"\0\x01\xa0\x01\0\x02v"]), CUT),
        (&packet(&[LINE, b"\0\x01\xa0\x01\0\x01v"]), NUL),
        (&packet(&[LINE, b"\0\x01\xa0\x01\0\x01v\0"]), CUT),
        (&packet(&[LINE, b"\0\0\x03"]), CUT),
        (&packet(&[LINE, b"\0\0\x0b\x01"]), CUT),
        (&packet(&[LINE, b"\0\0\xff\xff"]), "400 something follows the last attribute"),
        (&packet(&[&LINE[..LINE.len() - 1], b"\x02\0\0\xff"]), "400 is_ssl is neither 0 nor 1"),
        (&packet(&[b"\x02\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x50\0\0\0\xff"]), "400 there is no req_uri"),
        (&request(b"\0\0", b"\x0e\0\x01v\0"), "400 an attribute has a code that is unknown"),
        (&request(b"\0\0", b"\x03\0\x01vv"), NUL),
        (&request(b"\0\0", b"\x03\0\x03v\0v\0"), "400 a string has a NUL within"),
        (&request(b"\0\x01\0\0\0\0\x01v\0", b""), "400 a field name is no token"),
        (&request(b"\0\x01\0\x03a b\0\0\x01v\0", b""), "400 a field name is no token"),
        (&request(b"\0\x01\0\x01a\0\0\x03v\r\n\0", b""), "400 a field value has a control character"),
        (&request(b"\0\x01\0\x01a\0\xff\xff", b""), "400 a field has no value"),
        (&request(b"\0\x01\xa0\x08\0\x02+1\0", b""), "400 the Content-Length is no number"),
        (&request(b"\0\x01\xa0\x08\0\0\0", b""), "400 the Content-Length is no number"),
        (&request(b"\0\x01\xa0\x08\0\x1499999999999999999999\0", b""), "413 the Content-Length is beyond all limits"),
        (&request(b"\0\x02\xa0\x08\0\x011\0\xa0\x08\0\x011\0", b""), "400 there are two Content-Length fields"),
        (
            &request(b"\0\x02\xa0\x08\0\x011\0\0\x0econtent-length\0\0\x011\0", b""),
            "400 there are two Content-Length fields",
        ),
        (
            &request(b"\0\x02\xa0\x08\0\x011\0\0\x11Transfer-Encoding\0\0\x07chunked\0", b""),
            "400 there are both Transfer-Encoding and Content-Length",
        ),
        (
            &request(b"\0\x01\0\x11Transfer-Encoding\0\0\x04gzip\0", b""),
            "400 the Transfer-Encoding is another than chunked",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(why(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_broken_body_is_refused() {
    let length = |digits: &str, rest: &[u8]| {
        let field = [b"\0\x01\xa0\x08\0", &[digits.len() as u8][..], digits.as_bytes(), b"\0"].concat();
        why(&[&request(&field, b""), rest].concat())
    };
    let chunked = |rest: &[u8]| why(&[&request(b"\0\x01\0\x11Transfer-Encoding\0\0\x07CHUNKED\0", b""), rest].concat());
    assert_eq!(length("3", b"\x12\x35"), "400 a packet does not begin with 0x1234");
    assert_eq!(length("3", b"\x124\0\x01"), "400 a packet of the body is too short for its length");
    assert_eq!(length("3", b"\x124\0\x05\0\x02"), "400 a packet of the body has not the length that it says");
    assert_eq!(length("3", b"\x124\0\x06\0\x04abcd"), "400 the body is longer than its Content-Length");
    assert_eq!(length("3", b"\x124\0\x04\0\x02ab\x124\0\0"), "400 the body is shorter than its Content-Length");
    assert_eq!(length("3", b"\x124\0\x02\0\0"), "400 the body is shorter than its Content-Length");
    assert_eq!(length("30001", b""), "413 the body is longer than the limit");
    assert!(length("30000", b"").starts_with("Length"));
    let most = [&b"\x124\x75\x32\x75\x30"[..], &[b'x'; 30_000]].concat();
    assert_eq!(chunked(&[&most, &b"\x124\0\0"[..]].concat()), "body 30000 xxxxxxxxxx");
    assert_eq!(chunked(&[&most, &b"\x124\0\x03\0\x01x"[..]].concat()), "413 the body is longer than the limit");
    assert_eq!(chunked(b"\x124\0\x02\0\0\x124\0\x01\x0a"), "ping");
    // Before it is asked for, content is none.
    let mut reader = Reader::new(Framing::Chunked, BODY_MAX).unwrap();
    let early = reader.read(b"\x124\0\0").map_err(|refusal| refusal.why);
    assert_eq!(early, Err("a packet of the body comes before it is asked for"));
}

#[test]
fn no_more_fields_and_attributes_than_the_limit() {
    // SERVER_PROTOCOL, REMOTE_ADDR, SERVER_NAME, SERVER_PORT, REQUEST_METHOD and REQUEST_URI are six.
    let of = |count: u8| request(&[&[0, count][..], &b"\xa0\x01\0\x01v\0".repeat(count.into())].concat(), b"");
    assert!(told(&of(34)).ends_with("body 0 "));
    assert_eq!(why(&of(35)), "431 there are more variables than the limit");
}

#[test]
fn answers_are_put_into_packets() {
    let put = |text: &[u8]| {
        let mut out = b"before".to_vec();
        answer::head(text, &mut out).map(|()| out[6..].escape_ascii().to_string())
    };
    assert_eq!(
        put(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nX-Own: 1\r\nSet-Cookie: a=b: c\r\nContent-Length: 6\r\n\r\n").unwrap(),
        "AB\\x006\\x04\\x00\\xc8\\x00\\x02OK\\x00\\x00\\x04\\xa0\\x01\\x00\\ntext/plain\\x00\\x00\\x05X-Own\\x00\\x00\\x011\\x00\
         \\xa0\\x07\\x00\\x06a=b: c\\x00\\xa0\\x03\\x00\\x016\\x00"
    );
    assert_eq!(put(b"HTTP/1.1 299 \r\n\r\n").unwrap(), "AB\\x00\\x08\\x04\\x01+\\x00\\x00\\x00\\x00\\x00");
    let names = "Content-Type Content-Language Content-Length Date Last-Modified Location Set-Cookie Set-Cookie2 Servlet-Engine Status \
        WWW-Authenticate";
    for (code, name) in names.split(' ').enumerate() {
        let expected = format!("\\x00\\x01\\xa0{}\\x00\\x01v\\x00", [code as u8 + 1].escape_ascii());
        let packet = put(format!("HTTP/1.1 200 OK\r\n{name}: v\r\n\r\n").as_bytes()).unwrap();
        assert!(packet.ends_with(&expected), "{packet}");
    }
    let of = |length: usize| [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; length], b"\r\n\r\n"].concat();
    let others = 4 + 1 + 2 + 5 + 2 + 4 + 3;
    assert!(put(&of(answer::PACKET_MAX - others)).is_ok());
    assert_eq!(put(&of(answer::PACKET_MAX - others + 1)), Err(answer::TooLong));
    assert_eq!(put(&of(70_000)), Err(answer::TooLong));
}

#[test]
fn content_and_what_surrounds_it() {
    let mut out = Vec::new();
    answer::open(2, &mut out);
    out.extend_from_slice(b"ab");
    answer::close(&mut out);
    answer::ask(5, &mut out);
    assert_eq!(out, b"AB\0\x06\x03\0\x02ab\0AB\0\x03\x06\0\x05");
    let mut out = Vec::new();
    answer::open(answer::CONTENT_MAX, &mut out);
    assert_eq!(out.len() + answer::CONTENT_MAX as usize + 1, answer::PACKET_MAX);
    assert_eq!(out, b"AB\x1f\xfc\x03\x1f\xf8");
}
