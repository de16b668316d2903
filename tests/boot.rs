//! What clients meet before an application serves: a backlog that waits, an apology, and then the application.

use std::fs;

use nix::sys::signal::Signal;

use crate::harness::{Answer, Server, Site, eventually};

const BROKEN: &str = "import nothing_of_that_name\n";
const GOOD: &str = "\
def application(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '4')])
    return [b'good']
";

/// An application that is ready when there is a file `database`.
const NEEDY: &str = "\
import os

def application(environ, start_response):
    if environ['PATH_INFO'] == '/healthz' and not os.path.exists('database'):
        start_response('503 Service Unavailable', [('Content-Type', 'text/plain')])
        return [b'no database\\n']
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [environ['HTTP_HOST'].encode()]
";

fn site(source: &str) -> Site {
    Site::new("app:application").file("app.py", source)
}

/// What an answer says, if it is not the application's.
fn good(answer: &Answer) -> Result<(), String> {
    if answer.status == 200 { Ok(()) } else { Err(answer.text().to_owned()) }
}

fn wait_until_good(server: &Server) {
    eventually("the application to answer", || good(&server.get("/")));
}

#[test]
fn an_application_is_not_served_before_it_is_ready() {
    let server = site(NEEDY).app("reload: {ready: /healthz}").launch();
    let line = server.logged("worker failed to boot");
    assert_eq!(line["why"], "not ready: GET /healthz answered 503 Service Unavailable", "{line}");
    assert!(line["detail"].as_str().is_some_and(|detail| detail.contains("\n\nno database")), "{line}");
    fs::write(server.site().path("database"), "").expect("a file can be written");
    server.wait_until_serving();
    wait_until_good(&server);
}

#[test]
fn a_readiness_request_names_the_host_that_the_file_names() {
    let strict = NEEDY.replace("not os.path.exists('database')", "environ['HTTP_HOST'] != 'shop.example'");
    let ready = "reload: {ready: {path: /healthz, host: shop.example, scheme: https, status: 200}}";
    let server = site(&strict).app(ready).serve();
    server.get("/").expect_status(200);
}

#[test]
fn an_application_that_hangs_when_it_is_asked_is_given_up_in_time() {
    let hangs = "import threading\ndef application(environ, start_response):\n    threading.Event().wait()\n";
    let server = site(hangs).app("reload: {ready: /}\ntimeouts: {boot: 500ms}").launch();
    server.logged("worker not loaded within timeouts.boot");
}

#[test]
fn clients_get_an_apology_until_the_application_can_be_loaded() {
    let server = site(BROKEN).app("threads: 4").launch();
    server.logged("worker booting");
    // It waits in the backlog until that has failed.
    let mut client = server.connect();
    let answer = client.get("/").expect_status(503);
    assert_eq!(answer.field("retry-after"), Some("2"));
    assert!(answer.text().starts_with("Service Unavailable\n"), "{}", answer.text());
    assert!(!answer.text().contains("nothing_of_that_name"), "a stranger learns why: {}", answer.text());
    client.get("/again").expect_status(503);
    fs::write(server.site().path("app.py"), GOOD).expect("a file can be written");
    wait_until_good(&server);
    eventually("its connection to be handed to the application", || good(&client.get("/")));
}

#[test]
fn a_server_that_apologises_stops_when_it_is_told_to() {
    let server = site(BROKEN).launch();
    server.logged("apologising");
    let mut idle = server.connect();
    idle.get("/").expect_status(503);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0, "{}", server.process().output());
    idle.expect_close();
}
