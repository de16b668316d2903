//! Static files: served by the worker itself, whole, in parts and compressed, and never from outside their folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::thread;

use serde_json::Value;

use crate::harness::{Answer, Client, Server, Site, eventually};

/// `/static` and, below it, `/static/long`; an application that answers everything else.
fn site() -> Site {
    let site = Site::new("answers:application")
        .app("static:\n  /static: ./files\n  /static/long: {path: ./long, cache_control: 'public, max-age=60'}");
    for folder in ["files/inner", "long", "outside"] {
        fs::create_dir_all(site.path(folder)).expect("a folder can be made");
    }
    let site =
        site.file("files/a.css", "body {}\n").file("files/a.css.gz", "in gzip").file("files/a.css.br", "in brotli");
    site.file("long/b.txt", "0123456789").file("files/inner/é.json", "{}").file("outside/secret", "secret")
}

fn ask(client: &mut Client, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
    if method == "HEAD" { client.answer_to_head() } else { client.answer() }
}

fn get(server: &Server, target: &str, fields: &[(&str, &str)]) -> Answer {
    ask(&mut server.connect(), "GET", target, fields)
}

#[test]
fn a_file_comes_with_all_that_a_cache_needs() {
    let server = site().serve();
    let mut client = server.connect();
    let answer = ask(&mut client, "GET", "/static/a.css", &[]).expect_status(200);
    assert_eq!(answer.text(), "body {}\n");
    for (name, value) in [
        ("content-type", Some("text/css; charset=utf-8")),
        ("content-length", Some("8")),
        ("content-encoding", None),
        ("accept-ranges", Some("bytes")),
        ("vary", Some("Accept-Encoding")),
        ("x-content-type-options", Some("nosniff")),
        ("cache-control", None),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let tag = answer.field("etag").expect("a file has a tag").to_owned();
    let date = answer.field("last-modified").expect("a file has a date").to_owned();
    let head = ask(&mut client, "HEAD", "/static/a.css", &[]).expect_status(200);
    assert_eq!((head.field("content-length"), head.field("etag")), (Some("8"), Some(tag.as_str())));
    for known in [("If-None-Match", &tag), ("If-Modified-Since", &date)] {
        let answer = ask(&mut client, "GET", "/static/a.css", &[(known.0, known.1)]).expect_status(304);
        assert_eq!((answer.field("etag"), answer.field("content-length")), (Some(tag.as_str()), None));
    }
    ask(&mut client, "GET", "/static/a.css", &[("If-Match", "\"other\"")]).expect_status(412);
    server.site().put("files/a.css", "body {color: red}\n");
    let changed = ask(&mut client, "GET", "/static/a.css", &[("If-None-Match", &tag)]).expect_status(200);
    assert_ne!(changed.field("etag"), Some(tag.as_str()));
    assert_eq!(ask(&mut client, "GET", "/plain", &[]).text(), "plain", "the application has the rest");
}

#[test]
fn the_longest_prefix_has_a_file_and_what_it_lacks_is_not_found_elsewhere() {
    let server = site().serve();
    let answer = get(&server, "/static/long/b.txt", &[]).expect_status(200);
    assert_eq!((answer.text(), answer.field("cache-control")), ("0123456789", Some("public, max-age=60")));
    fs::create_dir(server.site().path("files/long")).expect("a folder can be made");
    server.site().put("files/long/c.txt", "behind the other folder");
    get(&server, "/static/long/c.txt", &[]).expect_status(404);
    assert_eq!(get(&server, "/static/inner/%C3%A9.json", &[]).text(), "{}");
    assert_eq!(get(&server, "/static/a.css?v=3", &[]).text(), "body {}\n");
}

#[test]
fn parts_of_a_file_are_served() {
    let server = site().serve();
    let mut client = server.connect();
    for (range, status, content, told) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=8-99", 206, "89", Some("bytes 8-9/10")),
        ("bytes=10-", 416, "Range Not Satisfiable\n", Some("bytes */10")),
        ("bytes=0-1,4-5", 200, "0123456789", None),
    ] {
        let answer = ask(&mut client, "GET", "/static/long/b.txt", &[("Range", range)]).expect_status(status);
        assert_eq!((answer.text(), answer.field("content-range")), (content, told), "{range}");
    }
    let fields = [("Range", "bytes=0-0"), ("If-Range", "\"older\"")];
    assert_eq!(ask(&mut client, "GET", "/static/long/b.txt", &fields).expect_status(200).text(), "0123456789");
}

#[test]
fn a_compressed_sibling_is_served_to_those_who_take_it() {
    let server = site().serve();
    let plain = get(&server, "/static/a.css", &[]);
    for (accepted, content, coding) in [
        ("gzip", "in gzip", Some("gzip")),
        ("gzip, br", "in brotli", Some("br")),
        ("gzip, br;q=0.2", "in gzip", Some("gzip")),
        ("zstd", "body {}\n", None),
        ("gzip;q=0", "body {}\n", None),
    ] {
        let answer = get(&server, "/static/a.css", &[("Accept-Encoding", accepted)]).expect_status(200);
        assert_eq!((answer.text(), answer.field("content-encoding")), (content, coding), "{accepted}");
        assert_eq!(answer.field("content-type"), Some("text/css; charset=utf-8"));
        assert_eq!(answer.field("etag") == plain.field("etag"), coding.is_none(), "another form has another tag");
    }
}

#[test]
fn nothing_outside_the_folder_and_nothing_but_files_is_served() {
    let site = site();
    symlink("../outside/secret", site.path("files/up")).expect("a link can be made");
    symlink(site.path("outside"), site.path("files/away")).expect("a link can be made");
    symlink("a.css", site.path("files/inside.css")).expect("a link can be made");
    nix::unistd::mkfifo(&site.path("files/pipe"), nix::sys::stat::Mode::S_IRWXU).expect("a pipe can be made");
    let server = site.serve();
    let mut client = server.connect();
    for target in [
        "/static/../outside/secret",
        "/static/%2e%2e/outside/secret",
        "/static/..%2foutside%2fsecret",
        "/static/..%5coutside%5csecret",
        "/static/inner/../../outside/secret",
        "/static/up",
        "/static/away/secret",
        "/static/a.css%00.txt",
        "/static//a.css",
        "/static/./a.css",
        "/static/inner",
        "/static/inner/",
        "/static/",
        "/static",
        "/static/pipe",
        "/static/none",
    ] {
        let answer = ask(&mut client, "GET", target, &[]).expect_status(404);
        assert_eq!(answer.text(), "Not Found\n", "{target}");
    }
    assert_eq!(ask(&mut client, "GET", "/static/inside.css", &[]).text(), "body {}\n");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let fields = [("Content-Length", "0")];
        let answer = ask(&mut client, method, "/static/a.css", &fields).expect_status(405);
        assert_eq!(answer.field("allow"), Some("GET, HEAD"));
    }
}

#[test]
fn files_are_served_while_every_thread_is_in_a_call() {
    let site = Site::new("gate:application").app("threads: 2\nstatic: {/static: ./files}");
    fs::create_dir(site.path("files")).expect("a folder can be made");
    let large = vec![b'x'; 20 << 20];
    fs::write(site.path("files/large"), &large).expect("a file can be written");
    let server = site.file("files/small", "small").serve();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/wait").expect_status(200));
        eventually("a call that waits", || (server.get("/waiting").text() == "1").then_some(()));
        let mut client = server.connect();
        assert_eq!(client.get("/static/small").text(), "small");
        assert!(client.get("/static/large").body == large);
        // More in one packet than are answered in a row.
        client.send("GET /static/small HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(100));
        (0..100).for_each(|_| assert_eq!(client.answer().text(), "small"));
        server.get("/open");
        waiting.join().expect("it was answered");
    });
}

#[test]
fn a_file_is_a_line_in_the_access_log() {
    let site = site();
    let yaml = format!(
        "log: {{format: json, access: true}}\napps: {{main: {{wsgi: 'answers:application', listen: '{}', static: {{/static: files}}}}}}\n",
        site.listen()
    );
    let server = site.yaml(&yaml).serve();
    get(&server, "/static/a.css", &[]).expect_status(200);
    let line: Value = server.logged("request");
    assert_eq!((&line["path"], &line["status"], &line["bytes"]), (&"/static/a.css".into(), &200.into(), &8.into()));
}
