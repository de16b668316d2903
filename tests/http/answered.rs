//! What is ours beyond the rules that `conformance` tries: what our environ says, how our answers are framed, bodies cut anywhere.

use serde_json::Value;

use crate::harness::{Client, Framing, Server, Site, eventually};

/// What the mirror saw of a request.
fn mirrored(server: &Server, request: &[u8]) -> Value {
    let answer = server.connect().send(request).answer().expect_status(200);
    serde_json::from_slice(&answer.body).expect("the mirror answers in JSON")
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
fn the_last_answer_arrives_though_its_client_has_sent_what_nobody_asked_for() {
    let server = Site::new("gate:application").app("threads: 2").serve();
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    eventually("the call to have begun", || {
        let waiting = server.get("/waiting").text().to_owned();
        if waiting == "1" { Ok(()) } else { Err(waiting) }
    });
    // Nobody reads it, and a socket that is closed with such bytes forgets what it has to send.
    client.send("and another thing");
    server.get("/open").expect_status(200);
    assert_eq!(client.answer().expect_status(200).text(), "0");
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
fn an_answer_tells_its_length_where_the_server_can_know_it() {
    let server = Site::new("answers:application").serve();
    let mut client = server.connect();
    let answer = client.get("/single");
    assert_eq!(answer.framing, Framing::Length(answer.body.len() as u64), "{answer}");
    assert_eq!(client.get("/nothing").framing, Framing::Length(0));
    assert_eq!(client.get("/pieces").framing, Framing::Chunked);
    let old = client.send("GET /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").answer();
    assert_eq!(old.framing, Framing::Close, "{old}");
}
