//! CGI: one request from environment and standard input to standard output; and sockets that a process manager has put on descriptor 0.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::harness::gateway::fastcgi::{KEEP_CONN, answer, request};
use crate::harness::gateway::{Asked, Wire, cgi_answer};
use crate::harness::{Answer, Client, Ending, Process, Server, Site, program, python, repository};

fn site() -> Site {
    let source = |name: &str| fs::read_to_string(repository().join("tests/apps").join(name)).expect("an app");
    Site::empty().file("mirror.py", &source("mirror.py")).file("answers.py", &source("answers.py"))
}

/// What a program prints that is given these variables and this body, and its exit status.
fn run(site: &Site, words: &str, request: &Asked) -> (Vec<u8>, i32) {
    let mut variables = vec![("GATEWAY_INTERFACE".to_owned(), "CGI/1.1".to_owned())];
    for (name, value) in request.all_variables() {
        variables.push((name, String::from_utf8_lossy(&value).into_owned()));
    }
    fs::write(site.path("body"), &request.body).expect("a file can be written");
    let command = format!("exec {words} < body > output 2> errors");
    let process = Process::start(Path::new("/bin/sh"), &["-c", &command], &site.path(""), &variables);
    let status = process.exit_code();
    (fs::read(site.path("output")).expect("it has printed into a file"), status)
}

fn parsed(output: &[u8], asked: &Asked) -> Answer {
    cgi_answer(output, &asked.method).unwrap_or_else(|broken| panic!("{broken}"))
}

#[test]
fn one_request_is_answered_from_environment_and_standard_input() {
    let (site, asked) = (site(), Asked::post("/x?q=1", b"four").field("Proxy", "http://evil.example"));
    let worker = program("worker").display().to_string();
    let (output, status) = run(&site, &format!("{worker} --cgi mirror:application"), &asked);
    assert_eq!(status, 0, "{}", output.escape_ascii());
    let answer = parsed(&output, &asked);
    let told: serde_json::Value = serde_json::from_str(answer.text()).expect("JSON");
    assert_eq!((&told["body"], &told["environ"]["PATH_INFO"]), (&"four".into(), &"/x".into()));
    assert_eq!(
        (&told["others"]["wsgi.run_once"], &told["others"]["wsgi.multiprocess"]),
        (&"True".into(), &"True".into())
    );
    assert_eq!(told["environ"]["REMOTE_ADDR"], "192.0.2.7");
    assert!(told["environ"]["HTTP_PROXY"].is_null(), "{told}");
    // The supervisor's command line does the same when a web server has started it so.
    let supervisor = program("supervisor").display().to_string();
    let (output, status) = run(&site, &format!("{supervisor} run mirror:counted"), &asked);
    assert_eq!((parsed(&output, &asked).text(), status), ("4", 0));
}

#[test]
fn answers_of_every_kind_and_complaints_go_where_they_belong() {
    let site = site();
    let worker = program("worker").display().to_string();
    let ask = |path: &str| {
        let asked = Asked::get(path);
        let (output, status) = run(&site, &format!("{worker} --cgi answers:application"), &asked);
        assert_eq!(status, 0, "{}", output.escape_ascii());
        parsed(&output, &asked)
    };
    assert_eq!(ask("/pieces").text(), "one two three");
    assert_eq!(ask("/written").text(), "written before returned");
    assert_eq!(ask("/no_content").status, 204);
    fs::write(site.path("big"), vec![b'f'; 1_000_000]).expect("a file can be written");
    assert_eq!(ask("/file_plain").expect_status(200).body, vec![b'f'; 1_000_000]);
    assert_eq!(ask("/complains").text(), "x");
    assert!(site.read("errors").contains("to wsgi.errors: \u{263a}\nand more of it\n"), "{}", site.read("errors"));
    assert_eq!(ask("/raises_before").status, 500);
    assert!(site.read("errors").contains("ValueError: raised before the head"), "{}", site.read("errors"));
}

#[test]
fn what_cannot_be_answered_is_a_500_that_tells_the_web_server_why() {
    let site = site();
    let worker = program("worker").display().to_string();
    let (output, status) = run(&site, &format!("{worker} --cgi nothing:here"), &Asked::get("/"));
    assert_eq!((parsed(&output, &Asked::get("/")).status, status), (500, 1));
    assert!(site.read("errors").contains("No module named 'nothing'"), "{}", site.read("errors"));
    let short = Asked::post("/", b"four").variable("CONTENT_LENGTH", "5");
    let (output, status) = run(&site, &format!("{worker} --cgi mirror:counted"), &short);
    assert_eq!((parsed(&output, &short).status, status), (400, 0));
    assert!(site.read("errors").contains("the request ended within its body"), "{}", site.read("errors"));
}

/// A server that is given a listening socket as its standard input, as spawn-fcgi does.
fn spawned(site: Site, words: &[&str]) -> (Server, SocketAddr) {
    let address = site.another_address();
    let script = format!(
        "import os, socket, sys\n\
         listener = socket.create_server(('{}', {}))\n\
         os.dup2(listener.fileno(), 0)\n\
         os.execv(sys.argv[1], sys.argv[1:])",
        address.ip(),
        address.port()
    );
    let supervisor = program("supervisor").display().to_string();
    let command: Vec<String> = [python().display().to_string(), "-c".into(), script, supervisor, "run".into()]
        .into_iter()
        .chain(words.iter().map(|word| (*word).to_owned()))
        .collect();
    let server = site.launch_as(&command);
    (server, address)
}

fn count(address: SocketAddr) -> String {
    let mut client = Client::connect(address);
    client.send(request(1, KEEP_CONN, &Asked::post("/", b"four")));
    let said = answer(&mut client, 1).expect("an answer");
    cgi_answer(&said.stdout, "GET").expect("an answer").text().to_owned()
}

#[test]
fn a_socket_on_descriptor_0_is_served_by_fastcgi() {
    let (server, address) = spawned(site(), &["mirror:counted"]);
    server.wait_until_serving();
    assert_eq!(count(address), "4");
}

#[test]
fn spawn_fcgi_starts_it_as_it_starts_others() {
    let site = site();
    let address = site.another_address();
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let supervisor = program("supervisor").display().to_string();
    let words = ["/usr/bin/spawn-fcgi", "-n", "-a", &ip, "-p", &port, "--", &supervisor, "run", "mirror:counted"];
    let server = site.launch_as(&words.map(str::to_owned));
    server.wait_until_serving();
    assert_eq!(count(address), "4");
}

#[test]
fn only_the_web_servers_that_are_named_may_connect_to_it() {
    let site = site().variable("FCGI_WEB_SERVER_ADDRS", "10.0.0.1, 192.0.2.1");
    let (server, address) = spawned(site, &["mirror:counted"]);
    server.wait_until_serving();
    let mut client = Client::connect(address);
    assert_eq!(client.ending(), (Vec::new(), Ending::Eof));
}

#[test]
fn an_application_of_a_file_is_served_there_too_and_after_a_reload() {
    let (server, address) = spawned(Site::new("mirror:counted"), &["-c", "server.yaml"]);
    server.wait_until_serving();
    assert_eq!(count(address), "4");
    assert_eq!(server.command(&["reload", "--wait"]).0, 0);
    assert_eq!(count(address), "4");
    assert_eq!(Wire::Http.asked(server.address(), &Asked::post("/", b"12")).text(), "2");
}
