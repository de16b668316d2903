//! What is ours beyond the rules of PEP 3333 that `conformance` tries: threads, children, large files, the log.

use std::fs;

use crate::harness::{Broken, Client, Ending, Framing, Server, Site, descriptors, eventually};

fn server() -> Server {
    Site::new("answers:application").serve()
}

/// The lines that the application recorded.
fn recorded(server: &Server) -> Vec<String> {
    server.site().read("record").lines().map(str::to_owned).collect()
}

/// Waits until the application has recorded just this.
fn expect_record(server: &Server, expected: &[&str]) {
    eventually(&format!("the record {expected:?}"), || {
        let record = recorded(server);
        (record == expected).then_some(()).ok_or(record)
    });
}

// How an application may answer.

#[test]
fn fields_arrive_in_order_repeated_ones_apart_and_in_latin1() {
    let answer = server().get("/repeated_fields").expect_status(200);
    assert_eq!(answer.reason, "All \u{e9} right");
    assert_eq!(answer.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.field("x-latin"), Some("caf\u{e9}"));
    let names = answer.fields.iter().map(|(name, _)| name.as_str());
    let own: Vec<&str> = names.filter(|name| ["Content-Type", "Set-Cookie", "X-Latin"].contains(name)).collect();
    assert_eq!(own, ["Content-Type", "Set-Cookie", "X-Latin", "Set-Cookie"]);
}

#[test]
fn items_are_asked_for_only_as_the_client_takes_them() {
    let server = server();
    let mut client = server.connect();
    client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
    client.head();
    // While this client takes nothing more, others are served by the same single thread.
    for _ in 0..50 {
        assert_eq!(server.get("/plain").text(), "plain");
    }
    drop(client);
    let line = eventually("the generator to be closed", || recorded(&server).first().cloned());
    let asked: u32 = line.trim_start_matches("asked ").parse().expect("a number was recorded");
    assert!(asked < 500, "{asked} items of 64 KiB were made for a client that reads nothing");
}

// Errors.

#[test]
fn an_error_of_the_application_is_logged_with_its_traceback() {
    let server = server();
    server.get("/raises_before").expect_status(500);
    let line = server.process().line("raised before the head");
    assert!(line.contains("raises_before"), "the traceback names the function: {line}");
    assert!(line.contains("ValueError"), "{line}");
}

#[test]
fn an_answer_that_fails_midway_does_not_look_complete_to_http_10_either() {
    let server = server();
    let old = server.connect().send("GET /raises_after HTTP/1.0\r\n\r\n").try_answer("GET");
    assert!(
        matches!(old, Err(Broken::Ended(Ending::Reset, _))),
        "an end of stream would look complete to HTTP/1.0: {old:?}"
    );
}

// Files.

#[test]
fn a_file_is_sent_whole_from_where_it_stands_and_through_a_pipe() {
    let site = Site::new("answers:application");
    let big: Vec<u8> = (0..50_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(site.path("big"), &big).expect("a file can be written");
    let server = site.serve();
    let mut client = server.connect();
    let whole = client.get("/file_plain").expect_status(200);
    assert_eq!(whole.framing, Framing::Length(50_000_000));
    assert!(whole.body == big, "50 MB arrive as they are");
    let middle = client.get("/file_from_the_middle").expect_status(200);
    assert!(middle.body == big[1_000_000..3_000_000], "from the position, as far as Content-Length says");
    assert_eq!(client.get("/file_pipe").text(), "through a pipe");
    assert_eq!(client.get("/file_in_memory").body, vec![b'm'; 100_000]);
    expect_record(&server, &["file closed"]);
    assert_eq!(client.get("/file_wrapper_by_hand").text(), "BY HAND".repeat(10_000));
    let head = client.send("HEAD /file_plain HTTP/1.1\r\nHost: h\r\n\r\n").answer_to_head();
    assert_eq!(head.status, 200);
    assert_eq!(client.get("/plain").text(), "plain", "the connection is in step");
}

#[test]
fn a_file_that_the_client_does_not_take_holds_up_nobody() {
    let site = Site::new("answers:application");
    fs::write(site.path("big"), vec![b'x'; 50_000_000]).expect("a file can be written");
    let server = site.serve();
    let mut slow = server.connect();
    slow.send("GET /file_plain HTTP/1.1\r\nHost: h\r\n\r\n");
    slow.head();
    for _ in 0..20 {
        assert_eq!(server.get("/plain").text(), "plain");
    }
    assert_eq!(slow.take(50_000_000).expect("the rest is still to come").len(), 50_000_000);
}

// Input.

#[test]
fn the_input_reads_as_a_bytes_io_does() {
    let server = Site::new("readers:application").app("limits: {body_memory_max: 16KiB}").serve();
    let mut client = server.connect();
    let calls = [
        r#"[["read"], ["read"], ["read", 5], ["readline"], ["readlines"]]"#,
        r#"[["read", 0], ["read", 1], ["read", 4096], ["read", -1], ["read", 1]]"#,
        r#"[["readline"], ["readline", 3], ["readline", 0], ["readline", -1], ["readline", 100000], ["read", 7], ["readline"]]"#,
        r#"[["readlines", 100], ["readlines", 0], ["readlines"], ["readlines"]]"#,
        r#"[["iterate", 3], ["read", 10], ["iterate", 100], ["readline"], ["iterate", 100000]]"#,
        r#"[["read", null], ["readline", null], ["readlines", null]]"#,
        r#"[["read", 100000000], ["readline", 5], ["iterate", 1]]"#,
        r#"[["readinto", 10], ["read1", 5], ["read1", 0], ["readinto", 100000]]"#,
    ];
    for length in [0, 1, 50, 1000, 16_000, 70_000, 400_000] {
        for calls in calls {
            let body = [calls.as_bytes(), b"\n", &lines(length)].concat();
            let head =
                format!("POST / HTTP/1.1\r\nHost: h\r\nX-Length: {length}\r\nContent-Length: {}\r\n\r\n", body.len());
            let answer = client.send(head).send(body).answer().expect_status(200);
            assert_eq!(answer.text(), "", "of {length} bytes by {calls}");
        }
    }
}

/// The same lines that `apps/readers.py` compares with.
fn lines(length: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let mut number = 0;
    while body.len() < length {
        body.extend(format!("{number} ").repeat(number % 50).into_bytes());
        body.push(b'\n');
        number += 1;
    }
    body.truncate(length);
    body
}

#[test]
fn what_the_application_writes_to_wsgi_errors_is_in_the_log() {
    let server = server();
    server.get("/complains").expect_status(200);
    server.process().line("to wsgi.errors: \u{263a}");
    server.process().line("and more of it");
}

// Threads.

#[test]
fn a_blocking_call_delays_no_other_while_a_thread_is_idle() {
    let server = Site::new("gate:application").app("threads: 4").serve();
    let mut blocked: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut blocked {
        client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    // Each of these answers comes while all that were sent before are still waiting.
    let mut others: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for _ in 0..20 {
        for client in &mut others {
            client.get("/").expect_status(200);
        }
    }
    eventually("three calls to block", || (server.get("/").text() == "3").then_some(()));
    assert!(blocked.iter_mut().all(|client| !client.has_something()));
    server.get("/open").expect_status(200);
    for client in &mut blocked {
        client.answer().expect_status(200);
    }
}

#[test]
fn requests_that_arrive_together_with_a_blocking_one_are_not_held_up_by_it() {
    // One wake-up of the poll brings them all: the batch must not stand behind its first call.
    for _ in 0..20 {
        let server = Site::new("gate:application").app("threads: 2").serve();
        let mut clients: Vec<Client> = (0..6).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.get("/").expect_status(200);
        }
        let (first, rest) = clients.split_first_mut().expect("there are six");
        first.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
        for client in &mut *rest {
            client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        }
        for client in rest {
            client.answer().expect_status(200);
        }
        assert!(!first.has_something());
        server.get("/open").expect_status(200);
        first.answer().expect_status(200);
    }
}

#[test]
fn a_pipelined_request_behind_a_blocking_one_waits_its_turn() {
    let server = Site::new("gate:application").app("threads: 4").serve();
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    eventually("the first to block", || (server.get("/").text() == "1").then_some(()));
    assert!(!client.has_something(), "the second is not answered before the first");
    server.get("/open");
    assert!(client.answer().text().parse::<u32>().is_ok_and(|waiting| waiting < 4));
    assert!(client.answer().text().parse::<i32>().is_ok_and(|pid| pid == server.workers()[0]));
}

// Children.

#[test]
fn a_child_that_the_application_forks_holds_no_client_and_no_listener() {
    let server = Site::new("forker:application").serve();
    let mut kept = server.connect();
    kept.get("/").expect_status(200);
    let mut client = server.connect();
    client.send("GET /fork HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    let child: i32 = client.answer().text().parse().expect("the child's number");
    client.expect_close();
    // The parent may have answered before the child ran at all.
    eventually("the child to hold only its standard streams", || {
        let open = descriptors(child);
        open.iter().all(|(number, _)| *number <= 2).then_some(()).ok_or(open)
    });
    kept.get("/").expect_status(200);
}
