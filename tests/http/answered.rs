//! Requests that are odd and right: they are answered, and the application sees what the standards say.

use serde_json::Value;

use crate::harness::{Client, Server, Site};

/// What the mirror saw of a request.
fn mirrored(server: &Server, request: &[u8]) -> Value {
    let answer = server.connect().send(request).answer().expect_status(200);
    serde_json::from_slice(&answer.body).expect("the mirror answers in JSON")
}

/// What is asked, and what an application is to see of it.
#[rustfmt::skip]
const ASKED: &[(&str, &[(&str, &str)])] = &[
    ("GET /a%20b%2Fc+d?x=%20y+z HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "/a b/c+d"), ("QUERY_STRING", "x=%20y+z")]),
    ("GET /caf%C3%A9 HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "/caf\u{c3}\u{a9}")]),
    ("GET //x HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "//x"), ("HTTP_HOST", "h")]),
    ("GET http://other/p?q HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "/p"), ("QUERY_STRING", "q"), ("HTTP_HOST", "other")]),
    ("GET HTTP://other HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "/"), ("HTTP_HOST", "other")]),
    ("BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", &[("REQUEST_METHOD", "BREW")]),
    ("get / HTTP/1.1\r\nHost: h\r\n\r\n", &[("REQUEST_METHOD", "get")]),
    ("GET / HTTP/1.0\r\n\r\n", &[("SERVER_PROTOCOL", "HTTP/1.0")]),
    ("GET / HTTP/1.1\r\nHost: [::1]:8000\r\n\r\n", &[("HTTP_HOST", "[::1]:8000"), ("SERVER_PROTOCOL", "HTTP/1.1")]),
    ("\r\nGET /after HTTP/1.1\r\nHost: h\r\n\r\n", &[("PATH_INFO", "/after")]),
    ("GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n", &[("HTTP_X_A", "1,2")]),
    ("GET / HTTP/1.1\r\nHost: h\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n", &[("HTTP_COOKIE", "a=1; b=2")]),
    ("GET / HTTP/1.1\r\nHost: h\r\nX-A: \t caf\u{e9} \t\r\n\r\n", &[("HTTP_X_A", "caf\u{c3}\u{a9}")]),
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Type: text/x\r\n\r\n", &[("CONTENT_TYPE", "text/x")]),
];

#[test]
fn the_environ_says_what_was_asked() {
    let server = Site::new("mirror:application").serve();
    for (request, expected) in ASKED {
        let told = mirrored(&server, request.as_bytes());
        for (key, value) in *expected {
            let seen = told["environ"][key].as_str().map(|seen| seen.replace(", ", ","));
            assert_eq!(seen.as_deref(), Some(*value), "{key} of {request:?}: {told}");
        }
    }
}

#[test]
fn every_environ_has_what_pep_3333_demands_and_nothing_that_lies() {
    let server = Site::new("mirror:application").serve();
    let mut client = server.connect();
    let local = client.local_address();
    client.send(
        "GET / HTTP/1.1\r\nHost: h:1\r\nX_Under: 1\r\nContent-Type: a/b\r\nProxy: evil\r\nHTTP_HOST: evil\r\n\r\n",
    );
    let told: Value = serde_json::from_slice(&client.answer().body).expect("the mirror answers in JSON");
    let environ = &told["environ"];
    assert_eq!(told["is_dict"], true);
    assert_eq!(environ["SCRIPT_NAME"], "");
    assert_eq!(environ["SERVER_PORT"], server.address().port().to_string());
    assert_eq!(environ["SERVER_NAME"], server.address().ip().to_string());
    assert_eq!(environ["REMOTE_ADDR"], local.ip().to_string());
    assert_eq!(environ["REMOTE_PORT"], local.port().to_string());
    assert_eq!(environ["wsgi.url_scheme"], "http");
    assert_eq!(told["others"]["wsgi.version"], "(1, 0)");
    assert_eq!(told["others"]["wsgi.multithread"], "False");
    assert_eq!(told["others"]["wsgi.multiprocess"], "False");
    assert_eq!(told["others"]["wsgi.run_once"], "False");
    assert_eq!(told["others"]["wsgi.input_terminated"], "True");
    for absent in ["HTTP_X_UNDER", "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_HTTP_HOST", "HTTP_X_LEFT_BEHIND"] {
        assert!(environ.get(absent).is_none(), "{absent} is there: {told}");
    }
}

#[test]
fn each_request_gets_an_environ_of_its_own() {
    let server = Site::new("mirror:application").serve();
    let mut client = server.connect();
    for _ in 0..3 {
        let answer = client.get("/");
        assert!(!answer.text().contains("LEFT_BEHIND"), "{answer}");
    }
}

#[test]
fn several_workers_and_threads_are_said_in_the_environ() {
    let server = Site::new("mirror:application").app("workers: 2\nthreads: 2").serve();
    let told = mirrored(&server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(told["others"]["wsgi.multithread"], "True");
    assert_eq!(told["others"]["wsgi.multiprocess"], "True");
}

#[test]
fn a_body_arrives_however_it_is_framed_and_cut() {
    let server = Site::new("mirror:application").serve();
    let requests = [
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n0123456789",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=\"b\"\r\n012\r\n007\r\n3456789\r\n000\r\nX-Trailer: t\r\n\r\n",
    ];
    for request in requests.map(str::as_bytes) {
        let mut client = server.connect();
        for cut in 1..request.len() {
            client.send(&request[..cut]).send(&request[cut..]);
            expect_digits(&mut client, cut);
        }
        client.send_bytewise(request);
        expect_digits(&mut client, 0);
    }
}

fn expect_digits(client: &mut Client, cut: usize) {
    let told: Value =
        serde_json::from_slice(&client.answer().expect_status(200).body).expect("the mirror answers in JSON");
    assert_eq!(told["body"], "0123456789", "cut at {cut}");
    assert!(told["environ"].get("HTTP_X_TRAILER").is_none(), "a trailer is no header");
}

#[test]
fn a_body_longer_than_memory_allows_arrives_whole() {
    let server = Site::new("mirror:counted").app("limits: {body_memory_max: 1KiB, body_bytes_max: 100MiB}").serve();
    let mut client = server.connect();
    for length in [1023, 1024, 1025, 70_000, 10_000_000] {
        assert_eq!(client.post("/", &vec![b'x'; length]).text(), length.to_string());
    }
    client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..100 {
        client.send("186A0\r\n").send([b'x'; 100_000]).send("\r\n");
    }
    assert_eq!(client.send("0\r\n\r\n").answer().text(), "10000000");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Site::new("mirror:application").app("threads: 4").serve();
    let mut client = server.connect();
    let request = |number: u32| {
        if number.is_multiple_of(3) {
            return format!("POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
        }
        format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")
    };
    let all: String = (0..200).map(request).collect();
    client.send(all);
    for number in 0..200 {
        let told: Value = serde_json::from_slice(&client.answer().body).expect("the mirror answers in JSON");
        assert_eq!(told["environ"]["PATH_INFO"], format!("/{number}"));
    }
    assert!(!client.has_something());
}

#[test]
fn the_first_of_pipelined_answers_are_not_lost_when_a_later_request_is_wrong() {
    let server = Site::new("answers:application").serve();
    let good = "GET /plain HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut client = server.connect();
    client.send(format!("{good}{good}GET / HTTP/1.1\r\n\r\n"));
    client.answer().expect_status(200);
    client.answer().expect_status(200);
    client.answer().expect_status(400);
    client.expect_close();
}

#[test]
fn a_client_that_waits_for_100_gets_it_before_the_body_and_the_answer_after() {
    let server = Site::new("mirror:counted").serve();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n");
    let interim = client.head();
    assert_eq!(interim.status, 100);
    assert!(interim.fields.is_empty(), "{interim}");
    assert_eq!(client.send("12345").answer().text(), "5");
    assert_eq!(client.post("/", b"123").text(), "3", "the connection goes on");
}

#[test]
fn nobody_gets_100_who_does_not_wait_for_it() {
    let server = Site::new("mirror:counted").serve();
    let sent_along = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n12345";
    let without_body = "GET / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n";
    let old = "POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n12345";
    assert_eq!(server.connect().send(without_body).answer().text(), "0");
    assert_eq!(server.connect().send(old).answer().text(), "5");
    // Whether a 100 is sent when the body is there already is the server's choice (RFC 9110 10.1.1).
    let mut client = server.connect();
    let mut answer = client.send(sent_along).head();
    if answer.status == 100 {
        answer = client.head();
    }
    assert_eq!(answer.status, 200);
    let unknown = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: tea\r\n\r\n12345";
    let status = server.connect().send(unknown).answer().status;
    assert!(status == 417 || status == 200, "{status}");
}

#[test]
fn a_half_closed_connection_is_still_answered() {
    let server = Site::new("answers:application").serve();
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: h\r\n\r\n").finish_sending();
    assert_eq!(client.answer().text(), "plain");
    client.expect_close();
}
