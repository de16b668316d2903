//! What is told of each request: in the access log, in its identifier, and to the client before its answer.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::SockRef;

use crate::harness::{Broken, Client, Ending, Server, Site, eventually};

/// A site of this application with an access log for programs.
fn site(wsgi: &str) -> Site {
    Site::new(wsgi).top_instead("log: {format: json, access: true}")
}

/// Waits for the line of a request for this path, or with this line.
#[track_caller]
fn line(server: &Server, path: &str) -> Value {
    server.process().wait(&format!("the line of {path}"), |lines, _| {
        lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["msg"] == "request" && (line["path"] == path || line["line"] == path))
    })
}

fn status(line: &Value) -> (u64, &str) {
    (line["status"].as_u64().unwrap_or(0), line["why"].as_str().unwrap_or(""))
}

/// A connection whose end is a reset.
fn abrupt(server: &Server) -> Client {
    let stream = std::net::TcpStream::connect(server.address()).expect("the server listens");
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("SO_LINGER can be set");
    Client::over_tcp(stream)
}

#[test]
fn each_request_has_one_line_with_its_times() {
    let server = site("mirror:counted").app("threads: 4").serve();
    let mut client = server.connect();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nHost: a\r\nReferer: r\r\nUser-Agent: u\r\n\r\n");
    client.answer();
    client.answer_to_head();
    client.post("/3?q=1", &[b'x'; 300_000]);
    let lines = [line(&server, "/1"), line(&server, "/2"), line(&server, "/3?q=1")];
    for (line, method, bytes) in [(&lines[0], "GET", 1), (&lines[1], "HEAD", 0), (&lines[2], "POST", 6)] {
        assert_eq!(
            (&line["method"], &line["status"], &line["bytes"]),
            (&method.into(), &200.into(), &bytes.into()),
            "{line}"
        );
        let times = ["ms", "queue_ms", "app_ms"].map(|key| line[key].as_f64().unwrap_or(-1.0));
        assert!(times[1] >= 0.0 && times[2] >= 0.0 && times[0] >= times[1] + times[2], "{line}");
        assert_eq!(line["client"], client.local_address().ip().to_string());
        assert!(line["app"] == "main" && line["why"].is_null(), "{line}");
    }
    assert_eq!((&lines[1]["referer"], &lines[1]["agent"]), (&"r".into(), &"u".into()));
    assert_eq!(server.count("request"), 3, "no line twice");
}

#[test]
fn the_last_line_is_out_before_the_end() {
    let server = site("mirror:counted").serve();
    server.get("/last").expect_status(200);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(server.process().whole_output().contains("\"path\":\"/last\""), "{}", server.process().whole_output());
}

#[test]
fn a_request_that_is_refused_is_told_with_the_reason() {
    let lines = "limits: {body_bytes_max: 10B}\ntimeouts: {head: 300ms, body: 300ms}\nmount: /app";
    let server = site("mirror:counted").app(lines).serve();
    let post = "POST /app/long HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
    let slow = "POST /app/slow HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab";
    let cases = [
        ("GET /app/x y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /app/x y HTTP/1.1", 400),
        ("GET /app/z HTTP/1.1\r\nHost : a\r\n\r\n", "GET /app/z HTTP/1.1", 400),
        ("\x16\x03\x01", "\x16\x03\x01", 400),
        (post, "/app/long", 413),
        ("GET /elsewhere HTTP/1.1\r\nHost: a\r\n\r\n", "/elsewhere", 404),
        ("GET /app/half HTTP/1.1\r\nHo", "GET /app/half HTTP/1.1", 408),
        (slow, "/app/slow", 408),
    ];
    for (bytes, told, expected) in cases {
        let mut client = server.connect();
        client.send(bytes);
        let answer = client.answer().expect_status(expected);
        let line = line(&server, told);
        let (status, why) = status(&line);
        // What was understood as a request has an identifier, though nobody ran it.
        let id = answer.field("X-Request-ID");
        assert_eq!((id, id.is_some()), (line["request_id"].as_str(), told.starts_with('/')), "{answer}");
        assert!(status == u64::from(expected) && !why.is_empty() && line["bytes"] == 0, "{line}");
    }
    // Nobody asked anything.
    server.connect().finish_sending().expect_close();
    server.connect().expect_close();
    assert_eq!(server.count("request"), cases.len());
}

#[test]
fn a_client_that_leaves_is_told_as_such() {
    let server = site("answers:application").app("timeouts: {write: 500ms}").serve();
    let mut client = abrupt(&server);
    client.send("POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab");
    eventually("the head to have come", || {
        server.status()["apps"][0]["workers"][0]["work"]["connections"].as_u64().filter(|open| *open == 1)
    });
    drop(client);
    assert_eq!(status(&line(&server, "/plain")), (499, "the client left before its request was whole"));

    let mut client = abrupt(&server);
    client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").head();
    drop(client);
    let told = line(&server, "/endless");
    assert_eq!(status(&told), (200, "the client left before it had the whole answer"));
    assert!(told["bytes"].as_u64() > Some(0), "{told}");

    let mut client = server.connect();
    client.send("GET /endless?slow HTTP/1.1\r\nHost: a\r\n\r\n").head();
    assert_eq!(status(&line(&server, "/endless?slow")), (200, "the client did not take the answer in time"));
}

#[test]
fn an_answer_that_breaks_off_is_told_as_such() {
    let source = "def application(environ, start_response):\n    start_response('200 OK', [])\n    yield b'part'\n    raise ValueError('middle')\n";
    let server = site("broken:application").file("broken.py", source).serve();
    let mut client = server.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(matches!(client.try_answer("GET"), Err(Broken::Ended(Ending::Eof, _))));
    assert_eq!(status(&line(&server, "/a")), (200, "the application's answer was cut short"));
}

#[test]
fn a_request_that_timed_out_is_told_once() {
    let source = "import threading\ndef application(environ, start_response):\n    for _ in range(3000):\n        threading.Event().wait(0.01)\n";
    let server = site("late:application").file("late.py", source).app("timeouts: {request: 300ms}").serve();
    let mut client = server.connect();
    let fields = "X-Request-ID: from-the-proxy\r\nUser-Agent: patient/1\r\n";
    client.send(format!("GET /late?x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let answer = client.answer().expect_status(504);
    let told = line(&server, "/late?x");
    assert_eq!(
        (answer.field("X-Request-ID"), told["request_id"].as_str()),
        (Some("from-the-proxy"), Some("from-the-proxy"))
    );
    assert_eq!(told["agent"], "patient/1");
    assert_eq!(status(&told), (504, "the application did not answer in time"));
    assert!(told["app_ms"].as_f64() >= Some(250.0), "{told}");
    server.logged("has returned");
    drop(client);
    server.signal(Signal::SIGTERM);
    server.exit_code();
    assert_eq!(server.process().whole_output().matches("\"msg\":\"request\"").count(), 1, "no line twice");
}

#[test]
fn gunicorns_formats_are_taken_as_they_are() {
    let source = "def application(environ, start_response):\n    environ['shop.user'] = 'me'\n    start_response('200 OK', [('X-Own', 'o')])\n    return [b'hello']\n";
    let format =
        "%(h)s \"%(r)s\" %(s)s %(b)s %({x-in}i)s %({X-Own}o)s %({shop.user}e)s %({REQUEST_METHOD}e)s %({none}e)s";
    let site = Site::new("plain:application").file("plain.py", source);
    let server = site.top_instead(&format!("log: {{format: json, access: {{format: '{format}'}}}}")).serve();
    let mut client = server.connect();
    client.send("GET /a?b HTTP/1.1\r\nHost: a\r\nX-In: i\r\n\r\n").answer().expect_status(200);
    let own = client.local_address().ip();
    let expected = format!("{own} \"GET /a?b HTTP/1.1\" 200 5 i o me GET -");
    server.process().wait("the line", |lines, _| lines.contains(&expected).then_some(()));
    // What the application left there is not told of the next one, which it did not see.
    client.send("nonsense\r\n").answer().expect_status(400);
    let expected = format!("{own} \"nonsense\" 400 0 - - - - -");
    server.process().wait("the line", |lines, _| lines.contains(&expected).then_some(()));
}

#[test]
fn a_request_has_an_identifier_in_environ_log_and_answer() {
    let server = site("mirror:application").serve();
    let mut client = server.connect();
    let id_of = |client: &mut Client, fields: &str| {
        let answer = client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n{fields}\r\n", fields.len())).answer();
        let id = answer.field("X-Request-ID").expect("it is in the answer").to_owned();
        let told: Value = serde_json::from_str(answer.text()).expect("it is JSON");
        assert_eq!(told["environ"]["monoceros.request_id"], id);
        assert_eq!(line(&server, &format!("/{}", fields.len()))["request_id"], id);
        id
    };
    assert_eq!(id_of(&mut client, "X-Request-ID: from-the-proxy\r\n"), "from-the-proxy");
    let made: BTreeSet<String> =
        ["", "X-A: 1\r\n", "X-Request-ID: a b\r\n"].map(|fields| id_of(&mut client, fields)).into();
    assert!(made.len() == 3 && made.iter().all(|id| id.len() == 32), "{made:?}");
}

#[test]
fn only_who_asks_for_identifiers_has_them() {
    let id = |log: &str, lines: &str, fields: &str| {
        let server = Site::new("mirror:application").top_instead(log).app(lines).serve();
        let answer = server.connect().send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).answer();
        let told: Value = serde_json::from_str(answer.text()).expect("it is JSON");
        let in_environ = told["environ"]["monoceros.request_id"].as_str().map(str::to_owned);
        let field = ["X-Request-ID", "X-Trace"].iter().find_map(|name| answer.field(name)).map(str::to_owned);
        assert_eq!(in_environ, field, "{answer}");
        field
    };
    let given = "X-Request-ID: given\r\n";
    assert_eq!(id("log: {format: json}", "", given), None);
    assert_eq!(id("log: {format: json, access: true}", "request_id: none", given), None);
    assert_eq!(id("log: {format: json}", "request_id: X-Request-ID", given).as_deref(), Some("given"));
    let made = id("log: {format: json, access: true}", "request_id: X-Trace", given).expect("it has one");
    assert_eq!(made.len(), 32);
    let strangers = id("log: {format: json, access: true}", "trusted_proxies: []", given).expect("it has one");
    assert_eq!(strangers.len(), 32, "only a proxy's is taken");
}

#[test]
fn an_applications_own_identifier_stays() {
    let source = "def application(environ, start_response):\n    start_response('200 OK', [('x-request-id', 'own')])\n    return [b'']\n";
    let server = site("own:application").file("own.py", source).serve();
    assert_eq!(server.get("/").field("X-Request-ID"), Some("own"));
}

/// The informational answers before the final one, and that.
fn hinted(client: &mut Client, target: &str, version: &str) -> (Vec<Vec<String>>, String) {
    client.send(format!("GET {target} HTTP/{version}\r\nHost: a\r\n\r\n"));
    let mut hints = Vec::new();
    loop {
        let answer = client.answer();
        if answer.status != 103 {
            return (hints, answer.expect_status(200).text().to_owned());
        }
        hints.push(answer.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect());
    }
}

const LINK: &str = "Link: </style.css>; rel=preload; as=style";

#[test]
fn an_application_may_hint_before_it_answers() {
    let server = Site::new("hints:application").app("threads: 2").serve();
    let mut client = server.connect();
    for _ in 0..2 {
        let (hints, answer) = hinted(&mut client, "/twice", "1.1");
        assert_eq!(hints, [vec![LINK], vec!["Link: </b>", "Link: </c>"]]);
        assert_eq!(answer, "answer");
    }
    assert_eq!(hinted(&mut client, "/lazily", "1.1"), (vec![vec![LINK.to_owned()]; 2], "first last".into()));
    assert_eq!(
        hinted(&mut client, "/wrong", "1.1").1,
        "ValueError ValueError ValueError TypeError TypeError TypeError TypeError"
    );
    let (hints, answer) = hinted(&mut client, "/elsewhere", "1.1");
    assert!(hints.is_empty() && answer.contains("this thread is in no request"), "{answer}");
    assert_eq!(hinted(&mut server.connect(), "/twice", "1.0"), (Vec::new(), "answer".into()));
}
