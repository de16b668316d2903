//! Heads: every byte at every telling place, limits, and a browser.

use super::{HEAD, check, outcome, refused, understood};
use crate::wire::http::head::{Limits, Reader};
use crate::wire::{Framing, Head};

const MARKS: &[u8] = b"!#$%&'*+-.^_`|~";

fn is_letter_digit_or_mark(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || MARKS.contains(&byte)
}

/// Puts every byte where `{}` stands and says which are let through.
fn let_through(before: &[u8], after: &[u8]) -> Vec<u8> {
    (0..=255).filter(|&byte| refused(&[before, &[byte], after].concat()).is_none()).collect()
}

fn all(allowed: impl Fn(u8) -> bool) -> Vec<u8> {
    (0..=255).filter(|&byte| allowed(byte)).collect()
}

#[test]
fn methods_are_tokens() {
    let rest = b"T / HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(let_through(b"", rest), all(is_letter_digit_or_mark));
    assert_eq!(let_through(b"GE", rest), all(is_letter_digit_or_mark));
}

#[test]
fn targets_have_no_controls_no_space_and_no_fragment() {
    let passed = let_through(b"GET /a", b"b HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(passed, all(|byte| byte > 0x20 && byte != 0x7f && byte != b'#'));
}

#[test]
fn versions_are_spelled_one_way() {
    let version = b"HTTP/1.1";
    for place in 0..version.len() {
        let before = [b"GET / ", &version[..place]].concat();
        let after = [&version[place + 1..], b"\r\nHost: a\r\n\r\n"].concat();
        let wanted = if place == 7 { b"0123456789".to_vec() } else { vec![version[place]] };
        assert_eq!(let_through(&before, &after), wanted, "place {place}");
    }
}

#[test]
fn field_names_are_tokens() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nX";
    let mut wanted = all(|byte| is_letter_digit_or_mark(byte) || byte == b':');
    assert_eq!(let_through(head, b"Y: v\r\n\r\n"), wanted);
    assert_eq!(let_through(head, b": v\r\n\r\n"), wanted);
    wanted.retain(|&byte| byte != b':');
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost: a\r\n", b"Y: v\r\n\r\n"), wanted);
}

#[test]
fn host_is_never_stripped_to_fit() {
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost", b": a\r\n\r\n"), b"");
    let wanted = all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte));
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost: a", b"b\r\n\r\n"), wanted);
    assert_eq!(let_through(b"GET http://a", b"b/ HTTP/1.1\r\nHost: a\r\n\r\n"), {
        let mut wanted = wanted;
        wanted.extend(b"/?");
        wanted.sort_unstable();
        wanted
    });
}

#[test]
fn values_have_no_controls() {
    let wanted = all(|byte| byte == b'\t' || byte >= b' ' && byte != 0x7f);
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost: a\r\nX: a", b"b\r\n\r\n"), wanted);
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost: a\r\nX:", b"b\r\n\r\n"), wanted);
    assert_eq!(let_through(b"GET / HTTP/1.1\r\nHost: a\r\nX: a", b"\r\n\r\n"), wanted);
}

#[test]
fn only_space_and_tab_around_framing_fields_count_as_nothing() {
    for (name, value) in [("Content-Length", "0"), ("Transfer-Encoding", "chunked"), ("Host", "")] {
        let host = if name == "Host" { "" } else { "Host: a\r\n" };
        let head = format!("GET / HTTP/1.1\r\n{host}{name}:");
        let before = let_through(head.as_bytes(), format!("{value}\r\n\r\n").as_bytes());
        let after = let_through(format!("{head}{value}").as_bytes(), b"\r\n\r\n");
        match name {
            "Transfer-Encoding" => assert_eq!((before, after), (b"\t ".to_vec(), b"\t ".to_vec())),
            "Content-Length" => {
                assert_eq!(before, b"\t 0123456");
                assert_eq!(after, b"\t 0123456789");
            }
            _ => assert!(before == after && !before.contains(&0xa0) && !before.contains(&0x0b)),
        }
    }
}

/// As Chrome sends it to a page that it has been on before.
const BROWSER: &[u8] = b"GET /shop/list?category=b%20c&page=3 HTTP/1.1\r\n\
    Host: www.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: max-age=0\r\n\
    sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Referer: https://www.example.com/shop\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: sessionid=8a7sd6f8; csrftoken=KJHk; theme=dark\r\n\
    \r\n";

#[test]
fn a_browser_is_understood() {
    check("a browser", BROWSER, "GET /shop/list?category=b%20c&page=3 1.1 keep; wait");
    let mut head = Head::default();
    let taken = Reader::new(HEAD).read(BROWSER, &mut head);
    assert_eq!(taken, Ok(Some(BROWSER.len())));
    assert_eq!(head.target.of(BROWSER), b"/shop/list?category=b%20c&page=3");
    let field = |at: usize| {
        let field = head.fields[at];
        (field.name.of(BROWSER), field.value.of(BROWSER))
    };
    assert_eq!(head.fields.len(), 12);
    assert_eq!(field(0), (&b"Host"[..], &b"www.example.com"[..]));
    assert_eq!(field(3).0, b"sec-ch-ua");
    assert_eq!(field(4), (&b"Upgrade-Insecure-Requests"[..], &b"1"[..]));
    assert_eq!(field(11), (&b"Cookie"[..], &b"sessionid=8a7sd6f8; csrftoken=KJHk; theme=dark"[..]));
}

#[test]
fn fields_keep_their_order_their_case_and_their_bytes() {
    let bytes = b"\r\nGET / HTTP/1.1\r\nb_c: 1\r\nHOST: a\r\nA:\t x y\xff \t\r\nB-c: 2\r\nempty:\r\nblank: \t \r\n\r\n";
    let mut head = Head::default();
    assert_eq!(Reader::new(HEAD).read(bytes, &mut head), Ok(Some(bytes.len())));
    let fields: Vec<_> = head.fields.iter().map(|field| (field.name.of(bytes), field.value.of(bytes))).collect();
    let wanted: Vec<(&[u8], &[u8])> =
        vec![(b"b_c", b"1"), (b"HOST", b"a"), (b"A", b"x y\xff"), (b"B-c", b"2"), (b"empty", b""), (b"blank", b"")];
    assert_eq!(fields, wanted);
}

#[test]
fn a_head_is_reused_without_a_trace_of_the_one_before() {
    let first = b"PUT http://b/x?y HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    let second = b"GET / HTTP/1.0\r\n\r\n";
    let (mut reader, mut head) = (Reader::new(HEAD), Head::default());
    assert_eq!(reader.read(first, &mut head), Ok(Some(first.len())));
    assert_eq!(head.framing, Framing::Length(5));
    assert_eq!(reader.read(second, &mut head), Ok(Some(second.len())));
    let mut fresh = Head::default();
    assert_eq!(Reader::new(HEAD).read(second, &mut fresh), Ok(Some(second.len())));
    assert_eq!((head.fields.len(), head.authority, head.expects_continue), (0, None, false));
    assert_eq!(head, fresh);
}

#[test]
fn more_fields_than_usual_are_read_as_well() {
    let fields: String = (1..30).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let bytes = format!("GET / HTTP/1.1\r\n{fields}Host: a\r\n\r\n").into_bytes();
    let mut head = Head::default();
    assert_eq!(Reader::new(HEAD).read(&bytes, &mut head), Ok(Some(bytes.len())));
    assert_eq!(head.fields.len(), 30);
    assert_eq!(head.fields[28].name.of(&bytes), b"X-29");
    check("thirty fields", &bytes, "GET / 1.1 keep; wait");
}

#[test]
fn the_limit_of_the_request_line_is_exact() {
    let line = |length: usize| format!("GET /{} HTTP/1.1", "x".repeat(length - 14));
    for (length, end, wanted) in [
        (120, "\r\nHost: a\r\n", "wait head"),
        (120, "", "wait head"),
        (120, "\r", "wait head"),
        (121, "\r\nHost: a\r\n", "414"),
        (121, "", "414"),
        (121, "\n", "414"),
    ] {
        let text = line(length) + end;
        check("RFC 9112 3", text.as_bytes(), wanted);
        check("RFC 9112 2.2", format!("\r\n\r\n{text}").as_bytes(), wanted);
    }
    check("a method without end", &b"X".repeat(121), "414");
}

#[test]
fn the_limit_of_the_head_is_exact() {
    let head = |length: usize| {
        let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
        let value = "x".repeat(length - start.len() - 4);
        format!("{start}{value}\r\n\r\n").into_bytes()
    };
    check("head", &head(1500), "GET / 1.1 keep; wait");
    check("head too long", &head(1501), "431");
    check("not too long yet", &head(1700)[..1500], "wait head");
    check("too long without its end", &head(1700)[..1501], "431");
}

#[test]
fn the_limit_of_the_fields_is_exact() {
    let lines = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}", "X: y\r\n".repeat(count - 1));
    check("fields", (lines(30) + "\r\n").as_bytes(), "GET / 1.1 keep; wait");
    check("too many", (lines(31) + "\r\n").as_bytes(), "431");
    check("too many, without their end", lines(31).as_bytes(), "431");
}

#[test]
fn limits_hold_for_the_head_and_not_for_what_follows() {
    let small = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let (items, end) = outcome(&[&small]);
    assert_eq!((items.len(), end), (100, Ok("wait")));
}

#[test]
fn a_line_limit_above_the_head_limit_gives_the_same_answer_in_all_cuts() {
    let limits = Limits { request_line_max: 1000, header_bytes_max: 100, header_count_max: 1 };
    let line = [b"GET /", &b"x".repeat(2000)[..], b" HTTP/1.1\r\n"].concat();
    let mut reader = Reader::new(limits);
    let whole = reader.read(&line, &mut Head::default());
    let mut reader = Reader::new(limits);
    let single = (0..line.len()).find_map(|end| reader.read(&line[..end], &mut Head::default()).err());
    assert_eq!(whole.err().map(|refusal| refusal.status), Some(414));
    assert_eq!(whole.err(), single);
}

#[test]
fn enormous_limits_do_no_harm() {
    let limits = Limits { request_line_max: usize::MAX, header_bytes_max: usize::MAX, header_count_max: usize::MAX };
    let mut head = Head::default();
    assert_eq!(Reader::new(limits).read(BROWSER, &mut head), Ok(Some(BROWSER.len())));
}

#[test]
fn other_protocols_are_told_at_their_first_byte() {
    let why = |bytes: &[u8]| outcome(&[bytes]).1.err().map(|refusal| (refusal.status, refusal.why));
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    assert!(why(&tls[..1]).is_some_and(|(status, why)| status == 400 && why.contains("TLS")));
    check("TLS", tls, "400");
    check("TLS behind a request", &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &tls[..]].concat(), "GET / 1.1 keep; 400");
    check("NUL", b"\0", "400");
    check("PROXY v2", b"\r\n\r\n\0\r\nQUIT\n", "400");
    check("SSH", b"SSH-2.0-OpenSSH_9.2\r\n", "400");
    check("SOCKS", b"\x05\x01\x00", "400");
    check("FastCGI", b"\x01\x01\x00\x01\x00\x08\x00\x00", "400");
}

#[test]
fn a_request_has_begun_with_its_first_byte() {
    let (mut reader, mut head) = (Reader::new(HEAD), Head::default());
    assert!(!reader.has_begun());
    assert_eq!(reader.read(b"", &mut head), Ok(None));
    assert_eq!(reader.read(b"\r", &mut head), Ok(None));
    assert_eq!(reader.read(b"\r\n", &mut head), Ok(None));
    assert!(!reader.has_begun(), "an empty line is nothing");
    assert_eq!(reader.read(b"\r\nG", &mut head), Ok(None));
    assert!(reader.has_begun());
    let whole = b"\r\nGET / HTTP/1.0\r\n\r\n";
    assert_eq!(reader.read(whole, &mut head), Ok(Some(whole.len())));
    assert!(!reader.has_begun(), "the next one has not");
    assert_eq!(head.method.of(whole), b"GET");
}

#[test]
fn nothing_behind_a_refusal_is_taken_for_a_request() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /\0 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(understood(&[bytes]), "GET / 1.1 keep; 400");
}
