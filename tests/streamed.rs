//! `body: stream`: the application reads its body while it comes.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::harness::{Client, Server, Site, eventually};

fn served(more: &str) -> Server {
    Site::new("uploads:application").app(&format!("body: stream\n{more}")).serve()
}

fn post(path: &str, framing: &str) -> String {
    format!("POST /{path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n")
}

fn is_kept(client: &mut Client) {
    assert_eq!(client.get("/ignore").expect_status(200).text(), "ignored");
}

#[test]
fn the_answer_to_the_first_part_comes_before_the_second_is_sent() {
    let server = served("");
    let mut client = server.connect();
    client.send(post("echo", "Transfer-Encoding: chunked"));
    client.send("3\r\none\r\n").head().expect_status(200);
    assert_eq!(client.chunk().expect("the first piece"), b"one");
    client.send("3\r\ntwo\r\n");
    assert_eq!(client.chunk().expect("the second piece"), b"two");
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), b"");
    is_kept(&mut client);
}

#[test]
fn a_long_body_arrives_whole_and_reads_as_a_file_does() {
    let server = served("");
    let mut client = server.connect();
    let body = vec![b'x'; 20_000_000];
    let told = client.post("/whole", &body).expect_status(200);
    // sha256 of twenty million x, by sha256sum.
    assert_eq!(told.text(), "20000000 20000000 bc01a03f3f505eaf5572211cc8a8c6dcda5f6bb93ecc6697f880a5d24a3ffac7");
    client.send(post("whole", "Transfer-Encoding: chunked")).send("3\r\nabc\r\n0\r\n\r\n");
    let told = client.answer().expect_status(200);
    assert!(told.text().starts_with("None 3 ba7816bf"), "a chunked body has no length: {told}");
    let told = client.post("/lines", b"a line\nxyand\nmore\nand an end").expect_status(200);
    assert_eq!(told.text(), "[b'a line\\n', b'xy', [b'and\\n', b'more\\n', b'and an end'], b'', b'']");
    assert_eq!(client.get("/whole").text().split(' ').nth(1), Some("0"));
}

#[test]
fn a_client_is_asked_to_go_on_when_the_application_reads_and_not_otherwise() {
    let server = served("");
    let mut client = server.connect();
    client.send(post("whole", "Content-Length: 3\r\nExpect: 100-continue"));
    assert_eq!(client.take(25).expect("a 100"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc").answer().expect_status(200);
    client.send(post("ignore", "Content-Length: 3\r\nExpect: 100-continue"));
    assert!(client.answer().expect_status(200).says_close(), "nobody will ask for the body any more");
    client.expect_close();
}

#[test]
fn what_the_application_leaves_is_thrown_away_and_the_connection_stays() {
    let server = served("");
    let mut client = server.connect();
    client.send(post("ignore", "Content-Length: 100000"));
    assert!(!client.answer().expect_status(200).says_close());
    client.send([b'x'; 100_000]);
    is_kept(&mut client);
    client.send(post("first", "Content-Length: 1000")).send([b'y'; 1000]);
    assert_eq!(client.answer().expect_status(200).text(), "y");
    is_kept(&mut client);
    // Too much of it costs the connection, but not the answer.
    client.send(post("ignore", "Content-Length: 50000000"));
    let _ = client.try_send(vec![b'x'; 1_000_000]);
    assert_eq!(client.answer().expect_status(200).text(), "ignored");
}

#[test]
fn a_body_that_ends_early_or_is_broken_raises_where_it_is_read() {
    let server = served("");
    let mut left = server.connect();
    left.send(post("strict", "Content-Length: 10")).send("12345").finish_sending();
    left.answer().expect_status(400);
    let mut broken = server.connect();
    broken.send(post("strict", "Transfer-Encoding: chunked")).send("1\r\na\r\nno size\r\n");
    broken.answer().expect_status(400);
    assert_eq!(
        server.site().read("record"),
        "ConnectionAbortedError: the request ended within its body\n\
         ConnectionAbortedError: a chunk size is no hexadecimal number\n"
    );
    let mut patient = server.connect();
    patient.send(post("patient", "Transfer-Encoding: chunked")).send("no size\r\n");
    let answer = patient.answer().expect_status(200);
    assert_eq!((answer.text(), answer.says_close()), ("ConnectionAbortedError", true));
    assert!(!server.process().output().contains("the application failed"), "the client failed");
}

#[test]
fn a_client_that_stops_or_trickles_is_told_so_and_the_limit_holds() {
    let server = served("timeouts: {body: 300ms}\nlimits: {body_bytes_max: 1KiB}");
    let mut stops = server.connect();
    stops.send(post("strict", "Content-Length: 10")).send("12345");
    stops.answer().expect_status(408);
    assert_eq!(server.site().read("record"), "TimeoutError: the body of the request did not come in time\n");
    let mut long = server.connect();
    long.send(post("strict", "Transfer-Encoding: chunked")).send("400\r\n").send([b'x'; 1024]).send("\r\n1\r\nx");
    long.answer().expect_status(413);
    let mut announced = server.connect();
    announced.send(post("strict", "Content-Length: 1025")).answer().expect_status(413);
}

#[test]
fn the_time_for_which_a_client_is_waited_for_is_not_the_applications() {
    let server = served("timeouts: {request: 500ms, body: 5s}");
    let mut client = server.connect();
    client.send(post("whole", "Content-Length: 3")).send("a");
    client.pause(Duration::from_millis(1200)).expect("nothing is to be said yet");
    client.send("bc").answer().expect_status(200);
}

#[test]
fn a_reload_waits_for_the_upload_that_is_being_read() {
    let server = served("workers: 1");
    let mut client = server.connect();
    client.send(post("whole", "Content-Length: 6")).send("abc");
    let old = server.workers();
    server.signal(Signal::SIGHUP);
    eventually("the old worker to drain", || {
        let told = server.status().to_string();
        if told.contains("\"draining\"") { Ok(()) } else { Err(told) }
    });
    client.send("def").answer().expect_status(200);
    is_kept(&mut client);
    assert_ne!(server.workers(), old);
}
