//! What every way through a web server is asked for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::front::Front;
use crate::harness::{Answer, Client, Ending, eventually};

/// What a web server does in its own way.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The status that a chunked upload of five bytes gets.
    pub chunks: u16,
    /// The status that one of 20 MiB gets; `None` where the web server breaks off.
    pub many_chunks: Option<u16>,
    /// The Content-Length of an answer to HEAD whose content would have 50 MiB.
    pub length_of_head: Option<&'static str>,
    /// What `X-Own: one` is beside `X_Own: evil`.
    pub own: &'static str,
    /// The status that a path with `%252F` in it gets.
    pub escaped_twice: u16,
    /// The query that `q=%41&r=a+b` is for the application.
    pub query: &'static str,
    /// Whether its client sees that an answer is cut.
    pub cut: Cut,
    /// What becomes of its connections.
    pub upstream: Upstream,
    /// By how much the bodies grow of clients that ask beside each other, in bytes.
    pub body_step: usize,
}

/// What a web server does with a connection to us behind an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// The next request comes by it too.
    Kept,
    /// It is closed: each request has one of its own.
    Closed,
}

/// What a client sees of an answer that breaks in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// That it does.
    Seen,
    /// The same if there is a Content-Length: else the end of the connection is taken for the end of the answer.
    ByLength,
    /// Nothing: that is so whatever the Content-Length.
    Hidden,
}

/// As most do.
pub const USUAL: Way = Way {
    chunks: 200,
    escaped_twice: 200,
    own: "one",
    many_chunks: Some(200),
    cut: Cut::Seen,
    upstream: Upstream::Kept,
    body_step: 50_000,
    length_of_head: Some("52428800"),
    query: "q=%41&r=a+b",
};

/// A client that keeps its connection for as long as the web server does.
struct Visitor<'a> {
    front: &'a Front,
    port: u16,
    client: Client,
}

impl Visitor<'_> {
    fn new(front: &Front, port: u16) -> Visitor<'_> {
        Visitor { front, port, client: front.connect(port) }
    }

    #[track_caller]
    fn get(&mut self, target: &str, fields: &str) -> Answer {
        self.client.send(get(target, fields));
        self.answer("GET")
    }

    #[track_caller]
    fn answer(&mut self, method: &str) -> Answer {
        let answer = self.client.try_answer(method).unwrap_or_else(|broken| panic!("no answer: {broken}"));
        if answer.says_close() {
            self.client = self.front.connect(self.port);
        }
        answer
    }
}

/// Every kind of request and answer, on one connection of a client's as far as the web server keeps it.
pub fn tour(front: &Front, port: u16, way: Way) {
    reuse(front, port, way);
    alone(front, port, way);
    streaming(front, port, way);
}

/// Requests of one client come by one connection, or by one each.
fn reuse(front: &Front, port: u16, way: Way) {
    const REQUESTS: u64 = 20;
    let mut visitor = Visitor::new(front, port);
    visitor.get("/environ", "").expect_status(200);
    let before = front.accepted();
    for _ in 0..REQUESTS {
        visitor.get("/environ", "").expect_status(200);
    }
    let opened = match way.upstream {
        Upstream::Kept => 0,
        Upstream::Closed => REQUESTS,
    };
    assert_eq!(front.accepted() - before, opened, "connections for {REQUESTS} requests more");
}

/// All of it that one request has by itself, for a program that ends with it.
pub fn alone(front: &Front, port: u16, way: Way) {
    let mut visitor = Visitor::new(front, port);
    variables(&mut visitor, way);
    uploads(&mut visitor, way);
    downloads(&mut visitor, way);
    answers(&mut visitor);
    failures(front, port, way);
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")
}

fn environ(answer: &Answer) -> BTreeMap<String, String> {
    serde_json::from_str(answer.text()).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

fn variables(visitor: &mut Visitor<'_>, way: Way) {
    let fields = "Cookie: a=1; b=2\r\nX-Own: one\r\nX_Own: evil\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Empty:\r\nUser-Agent: tour\r\nX-Latin: caf\u{e9}\r\n";
    let address = visitor.client.local_address().ip().to_string();
    let answer = visitor.get("/environ/caf%C3%A9/a%20b+c?q=%41&r=a+b", fields).expect_status(200);
    let environ = environ(&answer);
    let is =
        |key: &str, value: &str| assert_eq!(environ.get(key).map(String::as_str), Some(value), "{key} in {environ:#?}");
    is("REQUEST_METHOD", "GET");
    is("SCRIPT_NAME", "");
    is("PATH_INFO", "/environ/caf\u{c3}\u{a9}/a b+c");
    is("QUERY_STRING", way.query);
    is("HTTP_HOST", "shop.example");
    is("HTTP_COOKIE", "a=1; b=2");
    is("HTTP_X_OWN", way.own);
    is("HTTP_X_TWICE", "1, 2");
    // lighttpd drops what is empty.
    assert!(environ.get("HTTP_X_EMPTY").is_none_or(String::is_empty), "{environ:#?}");
    let server = &environ["SERVER_NAME"];
    assert!(server == "shop.example" || server.parse::<IpAddr>().is_ok(), "{server}");
    environ["SERVER_PORT"].parse::<u16>().unwrap_or_else(|why| panic!("{why} in {environ:#?}"));
    is("HTTP_USER_AGENT", "tour");
    is("HTTP_X_LATIN", "caf\u{c3}\u{a9}");
    is("REMOTE_ADDR", &address);
    // Decoded once, by whoever it is.
    let twice = visitor.get("/environ/a%252Fb", "").expect_status(way.escaped_twice);
    if twice.status == 200 {
        assert_eq!(self::environ(&twice)["PATH_INFO"], "/environ/a%2Fb");
    }
}

fn uploads(visitor: &mut Visitor<'_>, way: Way) {
    // Computed elsewhere: python -c "import hashlib; print(hashlib.sha256((bytes(range(251)) * 83600)[:20 << 20]).hexdigest())"
    const TWENTY: &str = "20971520 99254018a4506cae413a471f8b9d968a1ab1771565f3247b6e1c3f927e9a572f";
    // The same of b"hello".
    const HELLO: &str = "5 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let file: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
    let head = |framing: &str| format!("POST /count HTTP/1.1\r\nHost: shop.example\r\n{framing}\r\n\r\n");
    let chunked = head("Transfer-Encoding: chunked");
    visitor.client.send(head(&format!("Content-Length: {}", file.len()))).send(&file);
    assert_eq!(visitor.answer("POST").expect_status(200).text(), TWENTY);
    visitor.client.send(head("Content-Length: 5") + "hello");
    assert_eq!(visitor.answer("POST").expect_status(200).text(), HELLO);
    visitor.client.send(chunked.clone() + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n");
    let answer = visitor.answer("POST").expect_status(way.chunks);
    assert!(way.chunks != 200 || answer.text() == HELLO, "{answer}");
    let Some(status) = way.many_chunks else { return };
    visitor.client.send(chunked);
    for chunk in file.chunks(100_000) {
        visitor.client.send(format!("{:x}\r\n", chunk.len())).send(chunk).send("\r\n");
    }
    visitor.client.send("0\r\n\r\n");
    assert_eq!(visitor.answer("POST").expect_status(status).text(), TWENTY);
}

fn downloads(visitor: &mut Visitor<'_>, way: Way) {
    let part: Vec<u8> = (0..1 << 18).flat_map(|number: u32| number.to_be_bytes()).collect();
    let answer = visitor.get("/download", "").expect_status(200);
    assert_eq!(answer.body.len(), 50 << 20);
    assert!(answer.body.chunks(part.len()).all(|chunk| chunk == part), "what arrives is what was sent");
    visitor.client.send("HEAD /download HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    let answer = visitor.answer("HEAD").expect_status(200);
    assert_eq!(answer.field("content-length"), way.length_of_head);
}

fn answers(visitor: &mut Visitor<'_>) {
    let cookies = visitor.get("/cookies", "Cookie: c=\"x y\"; d=\r\n").expect_status(200);
    assert_eq!(cookies.values("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(cookies.text(), "c=\"x y\"; d=");
    assert_eq!(visitor.get("/missing", "").expect_status(404).text(), "nothing here");
    let elsewhere = visitor.get("/elsewhere", "").expect_status(302);
    assert_eq!(elsewhere.field("location"), Some("https://other.example/caf%C3%A9"));
    let unchanged = visitor.get("/unchanged", "If-None-Match: \"1\"\r\n").expect_status(304);
    assert_eq!(unchanged.field("etag"), Some("\"1\""));
    visitor.get("/broken", "").expect_status(500);
    visitor.get("/environ", "").expect_status(200);
}

/// What the application has made arrives before it makes more, or breaks.
pub fn streaming(front: &Front, port: u16, way: Way) {
    let mut client = front.connect(port);
    client.send(get("/stream", ""));
    assert_eq!(client.head().status, 200);
    let first = client.take_until(b"first ").unwrap_or_else(|broken| panic!("nothing streams: {broken}"));
    assert!(!first.windows(6).any(|window| window == b"second"));
    front.connect(port).send(get("/open", "")).answer().expect_status(200);
    let rest = client.take_until(b"second");
    assert!(rest.is_ok(), "{rest:?}");
    let mut client = front.connect(port);
    client.send(get("/cut_stream", "Connection: close\r\n"));
    let head = client.head();
    client.take_until(b"first ").unwrap_or_else(|broken| panic!("nothing streams: {broken}"));
    front.connect(port).send(get("/open", "")).answer().expect_status(200);
    let (rest, ending) = client.ending();
    let looks_whole = match head.field("transfer-encoding") {
        Some(_) => rest.ends_with(b"0\r\n\r\n"),
        None => ending == Ending::Eof,
    };
    assert_eq!(looks_whole, way.cut != Cut::Seen, "{:?} {ending:?} behind {head:?}", String::from_utf8_lossy(&rest));
}

/// An answer that breaks in the middle does not look whole.
fn failures(front: &Front, port: u16, way: Way) {
    let mut client = front.connect(port);
    // Else some web servers wait for the next request before they close.
    client.send(get("/cut", "Connection: close\r\n"));
    let answer = client.try_answer("GET");
    let looks_whole = matches!(&answer, Ok(answer) if answer.status == 200);
    assert_eq!(looks_whole, way.cut == Cut::Hidden, "{answer:?}");
    front.connect(port).send(get("/environ", "")).answer().expect_status(200);
}

/// Clients that ask without a pause while the server is reloaded three times: each request is answered by one version or the next, and
/// a connection that the web server keeps outlives them all.
pub fn reload(front: &Front, port: u16, way: Way) {
    const CLIENTS: usize = 4;
    let (is_over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                scope.spawn({
                    let (is_over, asked) = (&is_over, &asked);
                    let body = vec![b'x'; number * way.body_step];
                    move || ask(front, (port, &body), is_over, asked)
                })
            })
            .collect();
        for version in 2..5 {
            let before = asked.load(Ordering::Relaxed);
            eventually("some requests more", || (asked.load(Ordering::Relaxed) > before + 40).then_some(()));
            front.server().site().put("version", &version.to_string());
            let (status, said) = front.server().command(&["reload", "--wait"]);
            assert_eq!(status, 0, "{said}");
        }
        let before = asked.load(Ordering::Relaxed);
        eventually("some requests more", || (asked.load(Ordering::Relaxed) > before + 40).then_some(()));
        is_over.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().map(|client| client.join().expect("no client fails"));
        assert_eq!(seen.collect::<Vec<_>>(), [4; CLIENTS]);
    });
    let (accepted, asked) = (front.accepted() as usize, asked.into_inner());
    let is_as_it_should = match way.upstream {
        // One for each client, and now and then one more for who comes before the last one's is free; a reload that closed them would
        // cost as many again.
        Upstream::Kept => accepted < 2 * CLIENTS,
        Upstream::Closed => accepted >= asked,
    };
    assert!(is_as_it_should, "{asked} requests by {accepted} connections");
}

/// Asks until it is told that it is over; gives the version that answered last.
fn ask(front: &Front, (port, body): (u16, &[u8]), is_over: &AtomicBool, asked: &AtomicUsize) -> usize {
    let mut client = front.connect(port);
    let mut version = 1;
    while !is_over.load(Ordering::Relaxed) {
        let head = format!("POST /version HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = client.send(head).send(body).answer().expect_status(200);
        version = answer.text().parse().unwrap_or_else(|_| panic!("{answer}"));
        asked.fetch_add(1, Ordering::Relaxed);
        if answer.says_close() {
            client = front.connect(port);
        }
    }
    version
}
