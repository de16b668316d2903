//! Answers, compared with bytes that were written by hand.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::wire::gateway::answer::Manner;
use crate::wire::http::answer::{Asked, CONTINUE, Content, Draft, Ending, Plain, plain, reason, refuse};
use crate::wire::{Refusal, Version};

const DATE: &[u8; 29] = b"Sun, 06 Nov 1994 08:49:37 GMT";

const GET: Asked = Asked { version: Version::Http11, head: false, keep_alive: true, manner: Manner::Http };
const HEAD: Asked = Asked { head: true, ..GET };
const LAST: Asked = Asked { keep_alive: false, ..GET };
const OLD: Asked = Asked { version: Version::Http10, head: false, keep_alive: false, manner: Manner::Http };
const OLD_KEPT: Asked = Asked { keep_alive: true, ..OLD };

/// A whole answer: status, fields, the total if the server knows it, the pieces of content.
struct Answer<'a> {
    status: &'a str,
    fields: &'a [(&'a str, &'a str)],
    total: Option<u64>,
    content: &'a [&'a str],
}

const OK: Answer<'static> = Answer { status: "200 OK", fields: &[], total: None, content: &[] };

/// Sends the answer as a connection does.
fn send(answer: &Answer<'_>, asked: Asked) -> (String, Ending) {
    let mut draft = Draft::default();
    draft.begin(answer.status.as_bytes()).unwrap();
    for (name, value) in answer.fields {
        draft.field(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let mut out = Vec::new();
    let mut content = draft.finish(asked, answer.total, DATE, &mut out);
    for piece in answer.content {
        let length = content.open(piece.len() as u64, &mut out);
        out.extend_from_slice(&piece.as_bytes()[..length as usize]);
        content.close(&mut out);
    }
    let ending = content.end(&mut out);
    (String::from_utf8(out).unwrap(), ending)
}

fn date_and(rest: &str) -> String {
    format!("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n{rest}")
}

fn check(answer: &Answer<'_>, asked: Asked, wanted: (&str, &str, Ending)) {
    let (head, rest, ending) = wanted;
    let wanted = format!("HTTP/1.1 {}\r\n{head}{}", answer.status, date_and(rest));
    assert_eq!(send(answer, asked), (wanted, ending), "{asked:?}");
}

#[test]
fn a_known_length_is_sent_as_content_length() {
    let answer = Answer {
        fields: &[("Content-Type", "text/plain"), ("Content-Length", "5"), ("X", "y")],
        content: &["he", "", "llo"],
        ..OK
    };
    let head = "Content-Type: text/plain\r\nContent-Length: 5\r\nX: y\r\n";
    check(&answer, GET, (head, "\r\nhello", Ending::KeepAlive));
    check(&answer, LAST, (head, "Connection: close\r\n\r\nhello", Ending::Close));
    check(&answer, OLD, (head, "Connection: close\r\n\r\nhello", Ending::Close));
    check(&answer, OLD_KEPT, (head, "Connection: keep-alive\r\n\r\nhello", Ending::KeepAlive));
}

#[test]
fn a_length_that_the_server_knows_is_sent_as_well() {
    let answer = Answer { total: Some(5), content: &["hello"], ..OK };
    check(&answer, GET, ("Content-Length: 5\r\n", "\r\nhello", Ending::KeepAlive));
    check(&answer, OLD_KEPT, ("Content-Length: 5\r\n", "Connection: keep-alive\r\n\r\nhello", Ending::KeepAlive));
    check(&Answer { total: Some(0), ..OK }, GET, ("Content-Length: 0\r\n", "\r\n", Ending::KeepAlive));
    let largest = Answer { total: Some(u64::MAX), ..OK };
    check(&largest, GET, ("Content-Length: 18446744073709551615\r\n", "\r\n", Ending::Short));
}

#[test]
fn the_application_knows_its_length_better_than_the_server() {
    let answer = Answer { fields: &[("content-length", "5")], total: Some(2), content: &["he"], ..OK };
    check(&answer, GET, ("content-length: 5\r\n", "\r\nhe", Ending::Short));
}

#[test]
fn an_unknown_length_is_chunked_or_ends_with_the_connection() {
    let answer = Answer { content: &["hello", "", "0123456789abcdef"], ..OK };
    let chunks = "\r\n5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
    check(&answer, GET, ("Transfer-Encoding: chunked\r\n", chunks, Ending::KeepAlive));
    check(&answer, LAST, ("Transfer-Encoding: chunked\r\n", &format!("Connection: close\r\n{chunks}"), Ending::Close));
    for asked in [OLD, OLD_KEPT] {
        check(&answer, asked, ("", "Connection: close\r\n\r\nhello0123456789abcdef", Ending::Close));
    }
    check(&OK, GET, ("Transfer-Encoding: chunked\r\n", "\r\n0\r\n\r\n", Ending::KeepAlive));
}

#[test]
fn chunk_sizes_are_hexadecimal_without_zeros_in_front() {
    let mut draft = Draft::default();
    draft.begin(b"200 OK").unwrap();
    for (size, wanted) in [
        (1, "1\r\n"),
        (9, "9\r\n"),
        (10, "a\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (255, "ff\r\n"),
        (256, "100\r\n"),
        (65_536, "10000\r\n"),
        (1_234_567_890, "499602d2\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut content = draft.finish(GET, None, DATE, &mut Vec::new());
        let mut out = Vec::new();
        assert_eq!(content.open(size, &mut out), size);
        assert_eq!(out, wanted.as_bytes());
    }
}

#[test]
fn head_is_answered_without_content_and_with_its_length() {
    let with_length = Answer { fields: &[("Content-Length", "5")], content: &["hello"], ..OK };
    check(&with_length, HEAD, ("Content-Length: 5\r\n", "\r\n", Ending::KeepAlive));
    let without_content = Answer { content: &[], ..with_length };
    check(&without_content, HEAD, ("Content-Length: 5\r\n", "\r\n", Ending::KeepAlive));
    check(
        &Answer { total: Some(5), content: &["hello"], ..OK },
        HEAD,
        ("Content-Length: 5\r\n", "\r\n", Ending::KeepAlive),
    );
    check(&Answer { total: Some(0), ..OK }, HEAD, ("", "\r\n", Ending::KeepAlive));
    check(&Answer { content: &["hello"], ..OK }, HEAD, ("", "\r\n", Ending::KeepAlive));
    let old = Asked { head: true, ..OLD_KEPT };
    check(&Answer { content: &["hello"], ..OK }, old, ("", "Connection: keep-alive\r\n\r\n", Ending::KeepAlive));
}

#[test]
fn answers_without_content_have_none() {
    for (fields, total) in [
        (&[][..], None),
        (&[][..], Some(5)),
        (&[("Content-Length", "5")][..], None),
        (&[("Content-Length", "0")][..], Some(0)),
    ] {
        let none = Answer { status: "204 No Content", fields, total, content: &["hello"] };
        check(&none, GET, ("", "\r\n", Ending::KeepAlive));
        check(&none, HEAD, ("", "\r\n", Ending::KeepAlive));
        check(&none, OLD_KEPT, ("", "Connection: keep-alive\r\n\r\n", Ending::KeepAlive));
    }
    let around = Answer { status: "204 None", fields: &[("A", "b"), ("Content-Length", "5"), ("C", "d")], ..OK };
    check(&around, GET, ("A: b\r\nC: d\r\n", "\r\n", Ending::KeepAlive));
    let unchanged = Answer {
        status: "304 Not Modified",
        fields: &[("ETag", "x"), ("Content-Length", "5")],
        content: &["hello"],
        ..OK
    };
    check(&unchanged, GET, ("ETag: x\r\nContent-Length: 5\r\n", "\r\n", Ending::KeepAlive));
    let unchanged = Answer { status: "304 Not Modified", total: Some(0), ..OK };
    check(&unchanged, GET, ("", "\r\n", Ending::KeepAlive));
}

#[test]
fn no_more_is_sent_than_content_length_says() {
    let answer = Answer { fields: &[("Content-Length", "5")], content: &["hel", "lo, world", "!"], ..OK };
    check(&answer, GET, ("Content-Length: 5\r\n", "\r\nhello", Ending::KeepAlive));
    let answer = Answer { fields: &[("Content-Length", "0")], content: &["hello"], ..OK };
    check(&answer, GET, ("Content-Length: 0\r\n", "\r\n", Ending::KeepAlive));
}

#[test]
fn less_than_content_length_is_short_on_every_connection() {
    let answer = Answer { fields: &[("Content-Length", "6")], content: &["hello"], ..OK };
    for asked in [GET, LAST, OLD, OLD_KEPT] {
        assert_eq!(send(&answer, asked).1, Ending::Short);
    }
    assert_eq!(send(&answer, HEAD).1, Ending::KeepAlive);
}

#[test]
fn what_remains_is_counted() {
    let content = |answer: &Answer<'_>, asked| -> Content {
        let mut draft = Draft::default();
        draft.begin(answer.status.as_bytes()).unwrap();
        draft.finish(asked, answer.total, DATE, &mut Vec::new())
    };
    let mut five = content(&Answer { total: Some(5), ..OK }, GET);
    assert_eq!(five.remaining(), Some(5));
    five.open(3, &mut Vec::new());
    assert_eq!(five.remaining(), Some(2));
    assert_eq!(five.open(u64::MAX, &mut Vec::new()), 2);
    assert_eq!(five.remaining(), Some(0));
    assert_eq!(content(&OK, GET).remaining(), None);
    assert_eq!(content(&OK, OLD).remaining(), None);
    assert_eq!(content(&OK, HEAD).remaining(), Some(0));
    assert_eq!(content(&Answer { status: "304 x", ..OK }, GET).remaining(), Some(0));
}

#[test]
fn statuses_are_three_digits_and_a_reason() {
    for (status, line, number) in [
        (&b"200 OK"[..], &b"HTTP/1.1 200 OK\r\n"[..], 200),
        (b"200", b"HTTP/1.1 200 \r\n", 200),
        (b"200 ", b"HTTP/1.1 200 \r\n", 200),
        (b"404 Not Found", b"HTTP/1.1 404 Not Found\r\n", 404),
        (b"999 Message here", b"HTTP/1.1 999 Message here\r\n", 999),
        (b"200 \xc3\xa9\t!", b"HTTP/1.1 200 \xc3\xa9\t!\r\n", 200),
        (b"200  two", b"HTTP/1.1 200  two\r\n", 200),
    ] {
        let (mut draft, mut out) = (Draft::default(), Vec::new());
        assert_eq!(draft.begin(status), Ok(()));
        assert!(draft.is_begun());
        assert_eq!(draft.status(), number);
        draft.finish(GET, Some(0), DATE, &mut out);
        assert!(out.starts_with(line), "{}", out.escape_ascii());
    }
    for status in [
        &b""[..],
        b"2",
        b"20",
        b"2000 OK",
        b"200OK",
        b" 200 OK",
        b"OK",
        b"20x OK",
        b"+20 OK",
        b"-200 OK",
        b"2e2 OK",
        b"000 Zero",
        b"099 Low",
        b"100 Continue",
        b"101 Switching Protocols",
        b"103 Early Hints",
        b"199 x",
        b"200\tOK",
        b"200 OK\r\n",
        b"200 OK\r\nX: y",
        b"200 OK\n",
        b"200 \0",
        b"200 \x7f",
        b"200\r\n",
        b"HTTP/1.1 200 OK",
        b"\xb2\xb0\xb0 OK",
    ] {
        let mut draft = Draft::default();
        assert!(draft.begin(status).is_err(), "{}", status.escape_ascii());
        assert!(!draft.is_begun() && draft.status() == 0);
    }
}

#[test]
fn names_are_tokens_and_values_have_no_controls() {
    let mut draft = Draft::default();
    draft.begin(b"200 OK").unwrap();
    for byte in 0..=255u8 {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        assert_eq!(draft.field(&[b'X', byte], b"y").is_ok(), is_token, "{byte}");
        let is_text = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        assert_eq!(draft.field(b"X", &[b'y', byte, b'z']).is_ok(), is_text, "{byte}");
    }
    assert!(draft.field(b"", b"y").is_err());
    assert!(draft.field(b"X", b"").is_ok());
}

#[test]
fn what_is_between_two_hops_is_not_passed_on() {
    for name in [
        "Connection",
        "Keep-Alive",
        "Proxy-Authenticate",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Trailers",
        "Transfer-Encoding",
        "Upgrade",
    ] {
        for name in [name.to_owned(), name.to_lowercase(), name.to_uppercase()] {
            let answer = Answer { fields: &[(&name, "chunked"), ("X", "y")], total: Some(0), ..OK };
            check(&answer, GET, ("X: y\r\nContent-Length: 0\r\n", "\r\n", Ending::KeepAlive));
        }
    }
}

#[test]
fn an_application_may_wish_to_close() {
    for wish in ["close", "Close", "keep-alive, close"] {
        let answer = Answer { fields: &[("connection", wish), ("X", "y")], total: Some(0), ..OK };
        check(&answer, GET, ("X: y\r\nContent-Length: 0\r\n", "Connection: close\r\n\r\n", Ending::Close));
        check(&answer, OLD_KEPT, ("X: y\r\nContent-Length: 0\r\n", "Connection: close\r\n\r\n", Ending::Close));
    }
    let answer = Answer { fields: &[("Connection", "Keep-Alive")], total: Some(0), ..OK };
    check(&answer, GET, ("Content-Length: 0\r\n", "\r\n", Ending::KeepAlive));
    check(&answer, LAST, ("Content-Length: 0\r\n", "Connection: close\r\n\r\n", Ending::Close));
}

#[test]
fn content_length_is_a_number_and_alone() {
    for value in ["", "+5", "-5", "5 ", " 5", "5, 5", "0x5", "five", "5.0", "18446744073709551616"] {
        let mut draft = Draft::default();
        draft.begin(b"200 OK").unwrap();
        assert!(draft.field(b"Content-Length", value.as_bytes()).is_err(), "{value}");
        assert_eq!(draft.length(), None);
    }
    let mut draft = Draft::default();
    draft.begin(b"200 OK").unwrap();
    assert_eq!(draft.field(b"Content-Length", b"5"), Ok(()));
    assert_eq!(draft.length(), Some(5));
    assert!(draft.field(b"content-length", b"5").is_err());
}

#[test]
fn there_is_one_date() {
    let answer = Answer { fields: &[("date", "Mon, 07 Nov 1994 08:49:37 GMT")], total: Some(0), ..OK };
    let wanted = "HTTP/1.1 200 OK\r\ndate: Mon, 07 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(send(&answer, GET), (wanted.to_owned(), Ending::KeepAlive));
    let mut draft = Draft::default();
    draft.begin(b"200 OK").unwrap();
    assert_eq!(draft.field(b"Date", b"now"), Ok(()));
    assert!(draft.field(b"Date", b"now").is_err());
}

#[test]
fn a_new_status_drops_all_that_was_there() {
    let mut draft = Draft::default();
    draft.begin(b"200 OK").unwrap();
    for (name, value) in [("Content-Length", "5"), ("Date", "never"), ("Connection", "close"), ("X", "y")] {
        draft.field(name.as_bytes(), value.as_bytes()).unwrap();
    }
    draft.begin(b"500 Oops").unwrap();
    let mut out = Vec::new();
    draft.finish(GET, Some(0), DATE, &mut out);
    let wanted = format!("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n{}", date_and("\r\n"));
    assert_eq!(String::from_utf8(out), Ok(wanted));
    draft.clear();
    assert!(!draft.is_begun());
}

#[test]
fn repeated_fields_stay_apart_and_in_order() {
    let answer = Answer { fields: &[("Set-Cookie", "a=1"), ("B", "c"), ("Set-Cookie", "a=2")], total: Some(0), ..OK };
    let head = "Set-Cookie: a=1\r\nB: c\r\nSet-Cookie: a=2\r\nContent-Length: 0\r\n";
    check(&answer, GET, (head, "\r\n", Ending::KeepAlive));
}

#[test]
fn what_was_in_the_buffer_stays() {
    let mut out = b"the answer before".to_vec();
    refuse(Refusal { status: 400, why: "x" }.into(), Manner::Http, DATE, &mut out);
    assert!(out.starts_with(b"the answer beforeHTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn a_refusal_is_a_whole_answer_that_closes() {
    let mut out = Vec::new();
    refuse(
        Refusal { status: 431, why: "there are more header fields than the limit" }.into(),
        Manner::Http,
        DATE,
        &mut out,
    );
    let wanted = "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 44\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\nthere are more header fields than the limit\n";
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn our_own_answers_follow_the_same_rules() {
    let oops = Plain { status: 500, text: "the application failed", id: None };
    let head = "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 23\r\n\
        Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (asked, rest, ending) in [
        (GET, "\r\nthe application failed\n", Ending::KeepAlive),
        (LAST, "Connection: close\r\n\r\nthe application failed\n", Ending::Close),
        (OLD_KEPT, "Connection: keep-alive\r\n\r\nthe application failed\n", Ending::KeepAlive),
        (HEAD, "\r\n", Ending::KeepAlive),
    ] {
        let mut out = Vec::new();
        assert_eq!(plain(oops, asked, DATE, &mut out), ending);
        assert_eq!(String::from_utf8(out), Ok(format!("{head}{rest}")), "{asked:?}");
    }
}

#[test]
fn every_status_of_a_refusal_has_a_reason() {
    for status in [400, 408, 413, 414, 417, 431, 500, 501, 503, 504, 505] {
        assert!(!reason(status).is_empty(), "{status}");
    }
    assert_eq!(reason(299), "");
    assert_eq!(CONTINUE, b"HTTP/1.1 100 Continue\r\n\r\n");
}

proptest! {
    #[test]
    fn no_application_can_break_a_line(
        status in vec(any::<u8>(), 0..10),
        fields in vec((vec(any::<u8>(), 0..12), vec(any::<u8>(), 0..12)), 0..6),
    ) {
        let mut draft = Draft::default();
        if draft.begin(&status).is_err() {
            draft.begin(b"200 OK").unwrap();
        }
        let taken = fields.iter().filter(|(name, value)| draft.field(name, value).is_ok()).count();
        let mut out = Vec::new();
        draft.finish(GET, Some(1), DATE, &mut out);
        let lines = out.split(|&byte| byte == b'\n').count();
        // The status line, ours (Content-Length where it may be, and Date), the empty line, and what is behind it.
        prop_assert!(lines <= taken + 5 && lines >= taken + 4, "{}", out.escape_ascii());
        prop_assert_eq!(out.iter().filter(|&&byte| byte == b'\r').count(), lines - 1);
        prop_assert!(out.ends_with(b"\r\n\r\n"));
    }
}
