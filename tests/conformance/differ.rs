//! Where our reading of a message differs from h11's, there is a reason, and it is listed here with its section.
//!
//! The same bytes go to ours over a socket and to h11 in a Python process. Both say which requests they found. Two readings of the same
//! request are never right; that one refuses what the other takes must be a choice that the texts leave.
//!
//! The messages are those of the cases, mutated by seed, and others put together from the same words.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::reply;
use crate::harness::{Client, Dice, Server, Site, python, repository};

/// Why one side may refuse what the other takes.
struct Reason {
    /// What the refusing side says, or how that begins.
    says: &'static str,
    /// What a message has for which that is a reason.
    when: fn(&[u8]) -> bool,
    /// Where the text leaves the choice, or demands it.
    section: &'static str,
}

const fn reason(says: &'static str, section: &'static str) -> Reason {
    Reason { says, when: |_| true, section }
}

/// We refuse, h11 does not.
#[rustfmt::skip]
const STRICTER: &[Reason] = &[
    // Demanded; h11 leaves it to whoever uses it.
    reason("the Host field is no host with or without a port", "RFC 9112 3.2, MUST"),
    reason("the target of CONNECT is no host and port", "RFC 9112 3.2.3, RFC 9110 9.3.6, MUST"),
    reason("the target is neither a path nor an http or https URI", "RFC 9112 3.2, SHOULD"),
    reason("the target has no valid host", "RFC 9110 4.2.1, MUST; 4.2.4"),
    reason("the target has a fragment", "RFC 9112 3.2, SHOULD"),
    reason("the target * is for OPTIONS alone", "RFC 9112 3.2.4"),
    reason("there is a Transfer-Encoding in HTTP/1.0", "RFC 9112 6.1, MUST be treated as faulty"),
    reason("a chunk size line does not end with CRLF", "RFC 9112 2.2, MUST NOT take a bare CR; 7.1"),
    reason("a chunk extension has a control character or no closing quote", "RFC 9112 7.1.1"),
    // Left to the server, which may refuse or repair.
    reason("a line of the head ends with a bare LF", "RFC 9112 2.2, MAY"),
    Reason { says: "a field line is no token followed by a colon", when: is_folded, section: "RFC 9112 5.2, MUST refuse or unfold" },
    reason("a field value has a control character", "RFC 9110 5.5, MAY keep"),
    reason("there are both Transfer-Encoding and Content-Length", "RFC 9112 6.1, MAY refuse"),
    reason("there are two Content-Length fields", "RFC 9110 8.6, MAY refuse"),
    Reason { says: "the Content-Length is no number", when: |message| has(message, b","), section: "RFC 9110 8.6, MAY refuse" },
    reason("the only expectation known here is 100-continue", "RFC 9110 10.1.1, MAY"),
    reason("a trailer line is no token followed by a colon", "RFC 9112 5.2, MUST refuse or unfold"),
    reason("a trailer value has a control character", "RFC 9112 2.2, MAY take a bare LF; RFC 9110 5.5"),
    Reason { says: "there is no Host field", when: is_later, section: "RFC 9110 2.5, 1.2 is 1.1; RFC 9112 3.2, MUST" },
    reason("only HTTP/1.0 and HTTP/1.1 are spoken here", "RFC 9110 15.6.6"),
];

/// h11 refuses, we do not.
#[rustfmt::skip]
const LAXER: &[Reason] = &[
    reason("no request line received", "RFC 9112 2.2, SHOULD ignore an empty line before the request line"),
    Reason { says: "illegal request line", when: |message| !message.is_ascii(), section: "RFC 9112 3.2; browsers send 8-bit bytes" },
    Reason { says: "bad Content-Length", when: |message| has(message, b"00000000000000000000") || has(message, b"\r\n0"), section: "RFC 9110 8.6, leading zeros are digits; 6.5.1, trailers frame nothing" },
    reason("HTTP/1.0 is not kept alive", "RFC 9112 9.3, C.2.2"),
    Reason { says: "illegal chunk header", when: has_odd_chunks, section: "RFC 9112 7.1, leading zeros; RFC 9110 5.6.3, MUST read over bad white space" },
    Reason { says: "Only Transfer-Encoding: chunked is supported", when: is_trailer_or_list, section: "RFC 9110 6.5.1, trailers frame nothing; 5.6.1, empty members" },
];

fn has(message: &[u8], part: &[u8]) -> bool {
    message.windows(part.len()).any(|window| window == part)
}

fn is_later(message: &[u8]) -> bool {
    (b'2'..=b'9').any(|digit| has(message, &[b"HTTP/1.", &[digit][..]].concat()))
}

fn is_folded(message: &[u8]) -> bool {
    has(message, b"\r\n ") || has(message, b"\r\n\t")
}

fn has_odd_chunks(message: &[u8]) -> bool {
    has(message, b"00000000000000000000") || has(message, b" ;") || has(message, b"\t;")
}

fn is_trailer_or_list(message: &[u8]) -> bool {
    has(message, b"\r\n0") || has(message, b",")
}

/// What one side found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    /// Method, target, body.
    requests: Vec<[String; 3]>,
    /// Why nothing follows; nothing when it was the end, or more was needed.
    refused: Option<String>,
}

/// Messages that are under way at once: on a busy machine each turn of both sides takes its time.
const AT_ONCE: usize = 64;

/// What ours finds in each, seen by the application that it calls.
fn ours(server: &Server, messages: &[Vec<u8>]) -> Vec<Found> {
    let ask = |message: &Vec<u8>| {
        let mut client = server.connect();
        // It may be refused before all of it is sent.
        let _ = client.try_send(message);
        client.finish_sending();
        client
    };
    let batches = messages.chunks(AT_ONCE).map(|batch| batch.iter().map(ask).collect::<Vec<Client>>());
    batches.flat_map(|clients| clients.into_iter().map(heard)).collect()
}

/// What ours says that it found on a connection.
fn heard(mut client: Client) -> Found {
    let mut found = Found::default();
    loop {
        let Some(answer) = reply::hear(&mut client, "GET").answer else { return found };
        if answer.status != 200 {
            let why = answer.text().trim_end().to_owned();
            found.refused = (!why.starts_with("the request ended within")).then_some(why);
            return found;
        }
        let told: Value = serde_json::from_slice(&answer.body).expect("the mirror answers in JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let environ = &told["environ"];
        found.requests.push([text(&environ["REQUEST_METHOD"]), text(&environ["REQUEST_URI"]), text(&told["body"])]);
    }
}

/// What h11 finds in each.
fn theirs(messages: &[Vec<u8>]) -> Vec<Found> {
    let mut child = Command::new(python())
        .arg(repository().join("tests/conformance/frames.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the tests' Python runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let text: String = messages.iter().map(|message| hexadecimal(message) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the writer does not panic").expect("it reads all of it");
    assert!(output.status.success(), "frames.py failed: run `make venv`");
    let lines = std::str::from_utf8(&output.stdout).expect("JSON is UTF-8").lines();
    lines.map(|line| found(&serde_json::from_str(line).expect("each line is JSON"))).collect()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn found(told: &Value) -> Found {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let requests = told["requests"].as_array().into_iter().flatten();
    Found {
        requests: requests.map(|request| [text(&request[0]), text(&request[1]), text(&request[2])]).collect(),
        refused: told["refused"].as_str().map(str::to_owned),
    }
}

/// The reason of a disagreement; nothing when there is none.
fn judge(message: &[u8], ours: &Found, theirs: &Found) -> Result<Option<&'static Reason>, String> {
    let common = ours.requests.len().min(theirs.requests.len());
    if ours.requests[..common] != theirs.requests[..common] {
        return Err("there are two readings".to_owned());
    }
    let (refused, reasons) = match ours.requests.len().cmp(&theirs.requests.len()) {
        std::cmp::Ordering::Equal => return Ok(None),
        std::cmp::Ordering::Less => (&ours.refused, STRICTER),
        std::cmp::Ordering::Greater => (&theirs.refused, LAXER),
    };
    let Some(why) = refused else { return Err("one side stops and refuses nothing".to_owned()) };
    let listed = reasons.iter().find(|reason| why.starts_with(reason.says) && (reason.when)(message));
    listed.map(Some).ok_or(format!("no reason is listed for: {why}"))
}

/// What messages are made of, and what breaks them.
#[rustfmt::skip]
const PARTS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: h\r\n", b"POST /b HTTP/1.1\r\nHost: h\r\n", b"PUT /c HTTP/1.0\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345", b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n", b"a\r\n0123456789\r\n", b"0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b";",
    b"Content-Length: 5\r\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: ", b"chunked", b"identity", b"X-A: b\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Expect: 100-continue\r\n", b"hello", b"0", b"5", b"\0", b"\x0b", b"\x85", b"\xe9", b"%2F", b"?",
];

/// What chance makes too seldom, for each reason to be met.
const RARE: &[&[u8]] = &[
    b"PUT /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /d HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\nX-B: c\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-A: b\r\n c\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.2\r\n\r\n",
];

fn composed(dice: &mut Dice) -> Vec<u8> {
    let count = 1 + dice.below(10);
    let mut message = PARTS[dice.below(6)].to_vec();
    for _ in 0..count {
        message.extend_from_slice(PARTS[dice.below(PARTS.len())]);
    }
    message
}

fn mutated(message: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..=dice.below(2) {
        let at = dice.below(message.len() + 1);
        let rest = message.split_off(at);
        match dice.below(4) {
            0 => message.extend_from_slice(rest.get(1..).unwrap_or_default()),
            1 => message.extend([PARTS[dice.below(PARTS.len())], &rest].concat()),
            2 => message.extend([&[dice.below(256) as u8], rest.get(1..).unwrap_or_default()].concat()),
            _ => message.extend([&rest[..rest.len().min(dice.below(20))], &rest].concat()),
        }
    }
    message
}

/// Whether it asks for HEAD, whose answers say nothing.
fn is_mute(message: &[u8]) -> bool {
    has(message, b"HEAD")
}

fn messages(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut dice = Dice::new(seed);
    let cases: Vec<Vec<u8>> = super::openings().collect();
    let rare = RARE.iter().map(|message| message.to_vec());
    let mut messages: Vec<Vec<u8>> = cases.iter().cloned().chain(rare).collect();
    while messages.len() < count {
        let message = match dice.below(2) {
            0 => composed(&mut dice),
            _ => mutated(&cases[dice.below(cases.len())], &mut dice),
        };
        messages.push(message);
    }
    messages.retain(|message| !is_mute(message));
    messages
}

#[test]
fn where_h11_reads_otherwise_the_reason_is_listed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let messages = messages(number("DIFFER_SEED").unwrap_or(1), number("DIFFER_COUNT").unwrap_or(4000) as usize);
    let server = Site::new("mirror:application").serve();
    let mut unlisted = Vec::new();
    let mut met: Vec<&str> = Vec::new();
    let both = ours(&server, &messages).into_iter().zip(theirs(&messages));
    for (message, (ours, theirs)) in messages.iter().zip(both) {
        match judge(message, &ours, &theirs) {
            Ok(None) => {}
            Ok(Some(reason)) => met.push(reason.says),
            Err(why) => {
                unlisted.push(format!("{why}\n  {}\n  ours: {ours:?}\n  h11:  {theirs:?}", message.escape_ascii()))
            }
        }
    }
    assert!(unlisted.is_empty(), "{} disagreements without a reason:\n{}", unlisted.len(), unlisted.join("\n"));
    let stale = STRICTER.iter().chain(LAXER).filter(|reason| !met.contains(&reason.says));
    let stale: Vec<String> = stale.map(|reason| format!("{} ({})", reason.says, reason.section)).collect();
    assert!(stale.is_empty(), "reasons that nothing met: {stale:?}");
}
