//! Clients that speak no TLS, half of it, or another program's.

use std::process::Command;
use std::time::Duration;

use super::authority::Authority;
use super::{connect, site};
use crate::harness::{Client, Dice, Ending, Server, descriptors, eventually, python};

fn server(more: &str) -> (Authority, Server) {
    let authority = Authority::new("Test Authority");
    let server = site("answers:application", &authority, "").app(more).serve();
    (authority, server)
}

/// How many descriptors the one worker has.
fn open(server: &Server) -> usize {
    descriptors(server.workers()[0]).len()
}

fn expect_descriptors(server: &Server, count: usize) {
    eventually("every client to be gone", || {
        let now = open(server);
        (now <= count).then_some(()).ok_or(now)
    });
}

#[test]
fn plain_http_is_told_so_in_plain_http() {
    let (authority, server) = server("");
    let mut client = server.connect();
    client.send("GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = client.answer().expect_status(400);
    assert!(answer.says_close() && answer.text().contains("plain HTTP"), "{answer}");
    client.expect_close();
    connect(&server, &authority).get("/plain").expect_status(200);
}

#[test]
fn nonsense_is_closed_and_nobody_else_notices() {
    let (authority, server) = server("");
    let mut keeper = connect(&server, &authority);
    let mut dice = Dice::new(5);
    for round in 0..200 {
        let mut client = server.connect();
        let mut bytes: Vec<u8> = (0..dice.below(300) + 1).map(|_| dice.below(256) as u8).collect();
        if round % 2 == 0 {
            // As if it were a handshake record of that length.
            let length = (bytes.len() as u16).to_be_bytes();
            bytes = [&[22, 3, 1, length[0], length[1]][..], &bytes].concat();
        }
        let _ = client.try_send(&bytes);
        client.finish_sending();
        let (_, ending) = client.ending();
        assert_ne!(ending, Ending::Silence, "round {round}: {:?}", bytes.escape_ascii().to_string());
        keeper.get("/plain").expect_status(200);
    }
}

#[test]
fn a_record_that_was_touched_ends_its_connection_with_an_alert() {
    let (authority, server) = server("");
    let mut client = connect(&server, &authority);
    client.get("/plain").expect_status(200);
    // An application record of nonsense: whoever sits on the line can do no more.
    std::io::Write::write_all(
        &mut client.tls().sock,
        &[23, 3, 3, 0, 32].iter().copied().chain([7; 32]).collect::<Vec<_>>(),
    )
    .expect("the socket takes it");
    super::assert_refused(&mut client);
    connect(&server, &authority).get("/plain").expect_status(200);
}

#[test]
fn half_a_handshake_holds_no_thread_and_ends_in_time() {
    let (authority, server) = server("threads: 1\ntimeouts: {head: 1s}");
    let before = open(&server);
    // The beginning of a hello, of which the rest never comes.
    let mut waiting: Vec<Client> = (0..100).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);
    }
    connect(&server, &authority).get("/plain").expect_status(200);
    for mut client in waiting {
        let (_, ending) = client.ending();
        assert_eq!(ending, Ending::Eof);
    }
    expect_descriptors(&server, before);
}

#[test]
fn a_client_that_reads_nothing_is_cut_and_costs_no_thread() {
    let (authority, server) = server("threads: 1\ntimeouts: {write: 1s}");
    std::fs::write(server.site().path("big"), vec![b'x'; 32 << 20]).expect("a large file can be written");
    let before = open(&server);
    let mut silent = connect(&server, &authority);
    silent.send("GET /file_plain HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connect(&server, &authority).get("/plain").expect_status(200);
    expect_descriptors(&server, before);
    silent.set_patience(Duration::from_secs(5));
    assert!(silent.try_answer("GET").is_err(), "what came of it is not the whole");
}

/// Asks twice over new connections by the `ssl` module of Python, which is OpenSSL, and prints what both were.
const OPENSSL: &str = r#"
import socket, ssl, sys
context = ssl.create_default_context(cafile="authority.pem")
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, sys.argv[2])
host, port = sys.argv[1].rsplit(":", 1)
session = None
for _ in range(3):
    with socket.create_connection((host, int(port))) as plain:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as stream:
            stream.sendall(b"GET /plain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while part := stream.recv(65536):
                answer += part
            session = stream.session
            print(stream.version(), stream.session_reused, answer.split(b"\r\n\r\n", 1)[1].decode())
"#;

#[test]
fn openssl_agrees_in_both_versions_and_its_sessions_go_on() {
    let authority = Authority::new("Test Authority");
    let site = site("answers:application", &authority, "").app("workers: 2");
    let server = site.file("authority.pem", &authority.certificate()).file("client.py", OPENSSL).serve();
    for (name, version) in [("TLSv1_2", "TLSv1.2"), ("TLSv1_3", "TLSv1.3")] {
        let asked = Command::new(python())
            .args(["client.py", &server.address().to_string(), name])
            .current_dir(server.site().path(""))
            .output()
            .expect("python runs");
        let said = String::from_utf8_lossy(&asked.stdout).into_owned();
        let expected = format!("{version} False plain\n{version} True plain\n{version} True plain\n");
        assert_eq!(said, expected, "{}", String::from_utf8_lossy(&asked.stderr));
    }
}
