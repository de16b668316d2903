//! One tour through each framework: forms, uploads, JSON, sessions, redirects, streams, static files, errors.

use nix::sys::signal::Signal;

use crate::harness::{Answer, Client, Framing, Server, Site, python, repository, target_folder};

/// A site of the frameworks' applications, with the tests' virtual environment.
pub fn site(wsgi: &str) -> Site {
    unserved(&format!("wsgi: {wsgi}"))
}

/// The same, with another line for what is served.
pub fn unserved(what: &str) -> Site {
    python();
    let site = Site::copy_of(&repository().join("tests/frameworks/apps"));
    let environment = target_folder().join("venv");
    let listen = site.listen();
    let site = site.top("log: {format: json, level: debug}");
    site.app(what).app(&format!("listen: {listen}\nvirtualenv: {}", environment.display()))
}

/// Two workers of four threads: what a session or a stream is to survive.
fn served(wsgi: &str) -> Server {
    site(wsgi).app("workers: 2\nthreads: 4").serve()
}

fn post(client: &mut Client, target: &str, kind: &str, body: &[u8]) -> Answer {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: shop.example:8000\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head).send(body).answer()
}

fn get_with(client: &mut Client, target: &str, field: &str) -> Answer {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example:8000\r\n{field}\r\n\r\n")).answer()
}

fn forms_and_bodies_arrive(client: &mut Client) {
    let form = b"name=J%C3%BCrgen+%26+Co&colour=red&colour=blue";
    let answer = post(client, "/form?q=%C3%A9", "application/x-www-form-urlencoded", form).expect_status(200);
    assert_eq!(answer.text(), "Jürgen & Co ['red', 'blue'] é");
    let answer = post(client, "/json", "application/json", "{\"a\": [1, \"é\"]}".as_bytes()).expect_status(200);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    assert_eq!(told["got"]["a"], serde_json::json!([1, "é"]));
    // Above what is kept in memory, by us and by most frameworks.
    let file: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut body = b"--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"big.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    body.extend_from_slice(&file);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let answer = post(client, "/upload", "multipart/form-data; boundary=edge", &body).expect_status(200);
    // Computed elsewhere: python -c "import hashlib; print(hashlib.sha256((bytes(range(251)) * 7969)[:2000000]).hexdigest())"
    assert_eq!(answer.text(), format!("big.bin 2000000 {SHA256}"));
}

const SHA256: &str = "82fa05417c03925cb7e8fd2bc2e9f2e2a1c8c421427ccdba1ab0091261e3a840";

fn answers_leave(client: &mut Client, framework: &str) {
    assert!(client.get("/").expect_status(200).text().contains(&format!("<p>{framework}</p>")));
    let head = client.send("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n").answer_to_head();
    assert!(matches!(head.status, 200 | 405), "{head}");
    let away = client.get("/redirect");
    assert!(matches!(away.status, 302 | 303), "{away}");
    let location = away.field("location").expect("a redirect leads somewhere");
    assert!(location == "/" || location.ends_with("/") && location.starts_with("http://"), "{location}");
    let answer = get_with(client, "/absolute", "Accept: */*").expect_status(200);
    assert_eq!(answer.text(), "http://shop.example:8000/");
    let stream = client.get("/stream").expect_status(200);
    assert_eq!((stream.text(), stream.framing), ("0\n1\n2\n", Framing::Chunked));
}

fn a_session_goes_on(client: &mut Client) {
    let mut cookie = String::from("Cookie: none=1");
    for expected in ["1", "2", "3"] {
        let answer = get_with(client, "/count", &cookie).expect_status(200);
        assert_eq!(answer.text(), expected);
        if let Some(set) = answer.field("set-cookie") {
            cookie = format!("Cookie: {}", set.split(';').next().expect("a split has a first part"));
        }
    }
}

fn files_are_served(client: &mut Client) {
    let answer = client.get("/public/hello.txt").expect_status(200);
    assert_eq!(answer.text(), "served as it lies there\n");
    assert!(answer.field("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer}");
    let condition = match (answer.field("etag"), answer.field("last-modified")) {
        (Some(tag), _) => format!("If-None-Match: {tag}"),
        (None, Some(time)) => format!("If-Modified-Since: {time}"),
        (None, None) => panic!("a file has a tag or a time: {answer}"),
    };
    get_with(client, "/public/hello.txt", &condition).expect_status(304);
}

/// An error costs its request, and not the connection, nor the worker.
fn errors_are_answered(server: &Server, client: &mut Client) {
    // Some close the connection that they find nothing on.
    for target in ["/nowhere", "/public/nowhere.txt"] {
        server.get(target).expect_status(404);
    }
    for _ in 0..3 {
        client.get("/boom").expect_status(500);
        client.get("/").expect_status(200);
    }
}

/// All of it on one connection, over a reload, and a drain at the end.
fn tour(framework: &str) {
    let server = served(&format!("{framework}_app:app"));
    let mut client = server.connect();
    answers_leave(&mut client, framework);
    forms_and_bodies_arrive(&mut client);
    let workers = server.workers();
    let (code, said) = server.command(&["reload", "--wait"]);
    assert_eq!(code, 0, "{said}");
    a_session_goes_on(&mut client);
    files_are_served(&mut client);
    errors_are_answered(&server, &mut client);
    assert!(server.workers().iter().any(|worker| !workers.contains(worker)), "other workers, the same connection");
    drop(client);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
}

#[test]
fn flask_works() {
    tour("flask");
}

#[test]
fn django_works() {
    tour("django");
}

#[test]
fn pyramid_works() {
    tour("pyramid");
}

#[test]
fn falcon_works() {
    tour("falcon");
}

#[test]
fn bottle_works() {
    tour("bottle");
}

#[test]
fn web_py_works() {
    tour("webpy");
}
