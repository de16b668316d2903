//! The first promise: a few lines of YAML, or none, and an application is served.

use std::net::TcpListener;

use crate::harness::{Client, Ending, Site, repository};

#[test]
fn four_lines_of_yaml_serve_hello() {
    let site = Site::copy_of(&repository().join("examples/hello"));
    let yaml = site.read("server.yaml");
    assert_eq!(yaml.lines().count(), 4, "the promise is four lines:\n{yaml}");
    assert!(yaml.contains("127.0.0.1:8000"), "the address is where the README says:\n{yaml}");
    let listen = site.listen().to_string();
    let server = site.yaml(&yaml.replace("127.0.0.1:8000", &listen)).serve();
    let answer = server.get("/").expect_status(200);
    assert_eq!(answer.text(), "Hello, world!\n");
    assert_eq!(answer.field("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn a_command_line_serves_without_a_file() {
    let site = Site::copy_of(&repository().join("examples/hello"));
    let listen = site.listen();
    let process = site.supervisor(&[
        "run",
        "hello:application",
        "--listen",
        &listen.to_string(),
        "--workers",
        "2",
        "--threads",
        "2",
    ]);
    process.line("serving");
    assert_eq!(Client::connect(listen).get("/").text(), "Hello, world!\n");
}

#[test]
fn a_unix_socket_is_served_with_the_mode_that_the_file_names() {
    use std::os::unix::fs::PermissionsExt;
    let site = Site::empty()
        .yaml("apps: {main: {wsgi: 'answers:application', listen: {address: 'unix:here.sock', mode: '0606'}}}\n");
    std::fs::copy(repository().join("tests/apps/answers.py"), site.path("answers.py")).expect("an app can be copied");
    let server = site.serve();
    let path = server.site().path("here.sock");
    let mode = std::fs::metadata(&path).expect("the socket is a file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o606, "the file says so");
    assert_eq!(Client::connect_unix(&path).get("/plain").text(), "plain");
}

#[test]
fn an_ipv6_address_is_served() {
    let Ok(probe) = TcpListener::bind("[::1]:0") else {
        eprintln!("not tried: this machine has no IPv6");
        return;
    };
    let address = probe.local_addr().expect("a bound socket has an address");
    drop(probe);
    let site = Site::copy_of(&repository().join("examples/hello"));
    let server = site.yaml(&format!("apps: {{hello: {{wsgi: 'hello:application', listen: '{address}'}}}}\n")).serve();
    assert_eq!(Client::connect(address).get("/").text(), "Hello, world!\n", "{}", server.process().output());
}

#[test]
fn one_server_serves_several_applications_on_several_addresses() {
    let site = Site::copy_of(&repository().join("tests/apps"));
    let mut second = site.listen();
    second.set_port(
        TcpListener::bind((second.ip(), 0)).and_then(|probe| probe.local_addr()).expect("a free port").port(),
    );
    let yaml = format!(
        "apps:\n  one: {{wsgi: 'answers:application', listen: ['{}', 'unix:one.sock']}}\n  two: {{wsgi: 'mirror:counted', listen: '{second}'}}\n",
        site.listen()
    );
    let server = site.yaml(&yaml).serve();
    assert_eq!(server.get("/plain").text(), "plain");
    assert_eq!(Client::connect_unix(&server.site().path("one.sock")).get("/plain").text(), "plain");
    assert_eq!(Client::connect(second).post("/", b"12345").text(), "5");
}

#[test]
fn a_factory_is_called_for_its_application() {
    let server = Site::new("mirror:factory()").serve();
    server.get("/").expect_status(200);
}

#[test]
fn a_connection_serves_request_after_request() {
    let server = Site::new("answers:application").app("workers: 2").serve();
    let mut clients: Vec<Client> = (0..8).map(|_| server.connect()).collect();
    for _ in 0..100 {
        for client in &mut clients {
            assert_eq!(client.get("/plain").text(), "plain");
        }
    }
}

#[test]
fn a_kept_connection_is_closed_when_it_stays_idle() {
    let server = Site::new("answers:application").app("timeouts: {keepalive: 200ms}").serve();
    let mut client = server.connect();
    client.get("/plain");
    client.expect_close();
}

#[test]
fn a_connection_that_the_client_ends_frees_its_place() {
    let server = Site::new("answers:application").app("limits: {connections_max: 2}").serve();
    for _ in 0..20 {
        let mut client = server.connect();
        client.get("/plain");
        client.finish_sending();
        assert_eq!(client.ending().1, Ending::Eof);
    }
}
