//! The command line: what is wrong is said once, with its place, and the exit status tells programs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::harness::{Process, Server, Site, program};

const HELLO: &str =
    "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// A site with the smallest app and this YAML, in which `LISTEN` stands for its address.
fn site(yaml: &str) -> Site {
    let site = Site::empty().file("hello.py", HELLO);
    let yaml = yaml.replace("LISTEN", &site.listen().to_string());
    site.yaml(&yaml)
}

/// Runs `supervisor check`; gives its exit code and everything it said.
fn check(site: &Site) -> (i32, String) {
    finished(site.supervisor(&["check", "-c", "server.yaml"]))
}

fn finished(process: Process) -> (i32, String) {
    let code = process.exit_code();
    (code, process.whole_output())
}

#[test]
fn check_of_a_right_file_exits_with_0_and_starts_nothing() {
    let site = site("apps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n");
    // Taken: a check binds nothing.
    let _taken = TcpListener::bind(site.listen()).expect("the address is free");
    let (code, output) = check(&site);
    assert_eq!(code, 0, "{output}");
}

#[test]
fn each_error_of_the_file_names_its_place_and_exits_with_2() {
    for (yaml, expected) in [
        ("apps:\n  hello:\n    wsgi: hello:application\n    listn: LISTEN\n", "server.yaml:4:5: "),
        ("apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n    listen: LISTEN\n", "server.yaml:5:5: "),
        ("apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n    threads: many\n", "server.yaml:5:14: "),
        ("apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n    threads: 0\n", "server.yaml:5:14: "),
        ("apps:\n  hello:\n    wsgi: hello\n    listen: LISTEN\n", "server.yaml:3:11: "),
        ("apps:\n  hello:\n    wsgi: hello:application\n    listen: nowhere\n", "server.yaml:4:13: "),
        ("apps:\n  hello:\n    wsgi: hello:application\n    listen: ${NOT_SET_ANYWHERE}\n", "server.yaml:4:13: "),
        (
            "apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n    virtualenv: nowhere\n",
            "server.yaml:5:17: ",
        ),
        ("apps: [\n", "server.yaml:"),
        ("", "server.yaml:"),
    ] {
        let site = site(yaml);
        let (code, output) = check(&site);
        assert_eq!(code, 2, "{yaml}\n{output}");
        assert!(output.contains(expected), "{expected:?} was expected of\n{yaml}\n{output}");
        let (code, ran) = finished(site.supervisor(&["run", "-c", "server.yaml"]));
        assert_eq!(code, 2, "{yaml}\n{ran}");
        assert!(ran.contains(expected), "run says the same:\n{ran}");
    }
}

#[test]
fn a_typo_is_answered_with_the_nearest_right_key() {
    let (_, output) = check(&site("apps:\n  hello:\n    wsgi: hello:application\n    listn: LISTEN\n"));
    assert!(output.contains("listn") && output.contains("`listen`"), "{output}");
}

#[test]
fn a_missing_file_is_one_clear_line() {
    let site = Site::empty();
    let (code, output) = finished(site.supervisor(&["run", "-c", "nowhere.yaml"]));
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("nowhere.yaml") && output.lines().count() == 1, "{output}");
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    let site = Site::empty();
    let (code, output) = finished(site.supervisor(&["dance"]));
    assert_eq!(code, 2, "{output}");
}

#[test]
fn check_says_where_an_app_cannot_be_imported_and_shows_the_traceback() {
    let yaml = "apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n";
    for (source, expected) in [
        ("import nowhere_at_all\n", "nowhere_at_all"),
        ("raise RuntimeError('of the app')\n", "RuntimeError: of the app"),
        ("application = 5\n", "application"),
        ("def other(): pass\n", "application"),
        ("def application(:\n", "SyntaxError"),
        ("import sys; sys.exit('left')\n", "left"),
        ("import os; os._exit(7)\n", "7"),
    ] {
        let site = site(yaml).file("hello.py", source);
        let (code, output) = check(&site);
        assert_eq!(code, 2, "{source}\n{output}");
        assert!(output.contains("server.yaml:3:11: "), "the place of wsgi: was expected for {source}\n{output}");
        assert!(output.contains(expected), "{expected:?} was expected for {source}\n{output}");
    }
    let site = site(yaml).file("hello.py", "import nowhere_at_all\n");
    let (_, output) = check(&site);
    assert!(output.contains("Traceback") && output.contains("hello.py"), "{output}");
    assert!(output.contains("sys.path"), "{output}");
}

#[test]
fn run_of_an_app_that_cannot_be_imported_shows_the_traceback() {
    let site = site("apps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n")
        .file("hello.py", "import nowhere_at_all\n");
    let process = site.supervisor(&["run", "-c", "server.yaml"]);
    process.line("nowhere_at_all");
    process.line("Traceback");
}

#[test]
fn a_virtualenv_of_another_python_is_refused_with_both_versions() {
    let site = site("apps:\n  hello:\n    wsgi: hello:application\n    listen: LISTEN\n    virtualenv: env\n");
    fs::create_dir_all(site.path("env/bin")).expect("a folder can be made");
    fs::create_dir_all(site.path("env/lib/python2.99/site-packages")).expect("a folder can be made");
    std::os::unix::fs::symlink("/bin/false", site.path("env/bin/python")).expect("a link can be made");
    let site = site.file("env/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\nversion = 2.99.1\n");
    let (code, output) = check(&site);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("2.99") && output.contains("3."), "both versions were expected: {output}");
}

#[test]
fn variables_are_taken_from_the_environment_or_their_default() {
    let site = site(
        "apps: {hello: {wsgi: '${MODULE}:application', listen: '${ADDRESS:-LISTEN}', environment: {GREETING: '${WORD:-none}'}}}\n",
    );
    let app = "import os\n\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return [os.environ['GREETING'].encode(), os.environ['INHERITED'].encode()]\n";
    let server = site.file("greet.py", app).variable("MODULE", "greet").variable("INHERITED", " and inherited").serve();
    assert_eq!(server.get("/").text(), "none and inherited");
}

#[test]
fn an_address_in_use_is_said_and_nothing_is_started() {
    let site = site("apps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n");
    let _taken = TcpListener::bind(site.listen()).expect("the address is free");
    let address = site.listen().to_string();
    let (code, output) = finished(site.supervisor(&["run", "-c", "server.yaml"]));
    assert_ne!(code, 0, "{output}");
    assert!(output.contains(&address) && output.to_lowercase().contains("in use"), "{output}");
}

fn unix_site() -> Site {
    site("apps: {hello: {wsgi: 'hello:application', listen: 'unix:here.sock'}}\n")
}

#[test]
fn a_stale_socket_file_is_removed() {
    let site = unix_site();
    drop(UnixListener::bind(site.path("here.sock")).expect("a socket can be bound"));
    assert!(site.path("here.sock").exists(), "closing leaves the file");
    let server: Server = site.serve();
    assert_eq!(crate::harness::Client::connect_unix(&server.site().path("here.sock")).get("/").text(), "hello");
}

#[test]
fn a_socket_file_that_somebody_answers_on_is_left_alone() {
    let site = unix_site();
    let path = site.path("here.sock");
    let _taken = UnixListener::bind(&path).expect("a socket can be bound");
    let (code, output) = finished(site.supervisor(&["run", "-c", "server.yaml"]));
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("here.sock"), "{output}");
    assert!(std::os::unix::net::UnixStream::connect(&path).is_ok(), "it is still the other's");
}

#[test]
fn a_file_that_is_no_socket_is_never_removed() {
    let site = unix_site().file("here.sock", "somebody's data");
    let (code, output) = finished(site.supervisor(&["run", "-c", "server.yaml"]));
    assert_ne!(code, 0, "{output}");
    assert_eq!(site.read("here.sock"), "somebody's data");
}

#[test]
fn a_socket_file_is_removed_at_the_end() {
    let server = unix_site().serve();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(!server.site().path("here.sock").exists(), "nothing is left behind");
}

#[test]
fn a_worker_started_by_hand_says_who_starts_it() {
    let site = Site::empty();
    let process = Process::start::<&str>(&program("worker"), &[], &site.path(""), &[]);
    let (code, output) = finished(process);
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("supervisor"), "{output}");
}

#[test]
fn a_worker_that_is_asked_for_help_gives_it() {
    let site = Site::empty();
    for (word, part) in [("--help", "Usage: worker --cgi MODULE:CALLABLE"), ("--version", "worker ")] {
        let (code, output) = finished(Process::start(&program("worker"), &[word], &site.path(""), &[]));
        assert!(code == 0 && output.contains(part), "{code} {output}");
    }
}

#[test]
fn who_names_nothing_is_told_what_to_name() {
    if Path::new("/etc/monoceros/server.yaml").exists() {
        return eprintln!("not tried: this machine has a file at the usual place");
    }
    let site = Site::empty();
    let (code, output) = finished(site.supervisor(&[]));
    assert!(code == 2 && output.contains("supervisor run MODULE:CALLABLE"), "{code} {output}");
    let (code, output) = finished(site.supervisor(&["status"]));
    assert!(code == 3 && output.contains("-c FILE"), "{code} {output}");
}

#[test]
fn json_logs_are_one_object_a_line() {
    let site =
        site("log: {format: json, access: true}\napps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n");
    let server = site.serve();
    server.get("/some/where?x=1").expect_status(200);
    server.process().line("/some/where");
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    let output = server.process().whole_output();
    for line in output.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in {line}"));
        assert!(value["msg"].is_string() && value["level"].is_string(), "{line}");
    }
}

#[test]
fn the_access_log_has_one_line_for_each_request_when_it_is_on() {
    let site =
        site("log: {format: json, access: true}\napps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n");
    let server = site.serve();
    let mut client = server.connect();
    for number in 0..10 {
        client.get(&format!("/number/{number}"));
    }
    server.process().line("/number/9");
    let lines: Vec<String> =
        server.process().output().lines().filter(|line| line.contains("/number/")).map(str::to_owned).collect();
    assert_eq!(lines.len(), 10, "{lines:?}");
    assert!(lines[0].contains("200") && lines[0].contains("GET"), "{}", lines[0]);
}

#[test]
fn the_access_log_is_off_by_default() {
    let server = site("apps: {hello: {wsgi: 'hello:application', listen: 'LISTEN'}}\n").serve();
    server.get("/some/where").expect_status(200);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    server.exit_code();
    assert!(!server.process().whole_output().contains("/some/where"));
}
