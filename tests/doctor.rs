//! `supervisor doctor`: what is wrong is found, also where little works, and what to do is said.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Process, Site, eventually, program};

const HELLO: &str =
    "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n";

/// Runs it, for programs; gives its exit status and what it found.
fn examined(process: &Process) -> (i32, Vec<Value>) {
    let code = process.exit_code();
    let text = process.whole_output();
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|why| panic!("no JSON ({why}): {text}"));
    (code, told["findings"].as_array().expect("a list").clone())
}

fn doctor(site: &Site) -> (i32, Vec<Value>) {
    examined(&site.supervisor(&["doctor", "--json", "-c", "server.yaml"]))
}

/// What was found of one thing.
fn of<'a>(findings: &'a [Value], check: &str) -> &'a Value {
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("nothing of {check} in {findings:#?}"))
}

fn wrong(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|finding| finding["verdict"] == "wrong").collect()
}

/// A folder with a copy of the supervisor, and what it finds there.
fn alone(prepare: impl FnOnce(&Path)) -> (i32, Vec<Value>) {
    let site = Site::empty();
    let supervisor: PathBuf = site.path("supervisor");
    fs::copy(program("supervisor"), &supervisor).expect("a program can be copied");
    prepare(&site.path(""));
    let process = Process::start(&supervisor, &["doctor", "--json", "-c", "/dev/null"], &site.path(""), &[]);
    let (code, mut findings) = examined(&process);
    // Of the file, which is beside the point here.
    findings.retain(|finding| finding["check"] != "config");
    (code, findings)
}

#[test]
fn an_installation_that_works_is_well_and_its_server_is_not_disturbed() {
    let server = Site::new("hello:application").file("hello.py", HELLO).serve();
    let (code, findings) = doctor(server.site());
    assert_eq!((code, wrong(&findings)), (0, Vec::new()));
    let listen = of(&findings, "main: listen")["found"].as_str().expect("a text");
    assert!(listen.contains(&format!("process {}", server.process().pid())), "{listen}");
    assert_eq!(of(&findings, "main: import")["verdict"], "ok");
    assert_eq!(server.get("/").text(), "hello");
    let (code, text) = server.command(&["doctor"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\nok     worker") && text.contains("nothing is wrong"), "{text}");
}

#[test]
fn a_worker_that_is_missing_is_said_with_what_to_do() {
    let (code, findings) = alone(|_| {});
    assert_eq!(code, 1);
    let worker = of(&findings, "worker");
    assert_eq!((wrong(&findings).len(), &worker["verdict"]), (1, &"wrong".into()), "{findings:#?}");
    assert!(
        worker["found"].as_str().is_some_and(|found| found.ends_with("worker: No such file or directory")),
        "{worker}"
    );
    assert!(worker["advice"].as_str().is_some_and(|advice| advice.contains("installed together")), "{worker}");
}

#[test]
fn a_libpython_that_is_missing_is_named_with_what_to_install() {
    let (code, findings) = alone(|folder| {
        // The name of a library that nobody has, in the place of the one that it is linked with.
        let bytes = fs::read(program("worker")).expect("a program can be read");
        let wanted = b"libpython3.";
        let at: Vec<usize> = (0..bytes.len() - 20).filter(|at| bytes[*at..].starts_with(wanted)).collect();
        let mut bytes = bytes;
        at.iter().for_each(|at| bytes[at + 3..at + 9].copy_from_slice(b"PYTHON"));
        fs::write(folder.join("worker"), bytes).expect("a file can be written");
        fs::set_permissions(folder.join("worker"), fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    });
    assert_eq!(code, 1);
    let found = of(&findings, "worker")["found"].as_str().expect("a text");
    assert!(found.contains("does not start: it finds no libPYTHON3."), "{found}");
}

#[test]
fn a_worker_of_something_else_is_none() {
    let (code, findings) = alone(|folder| {
        fs::copy("/bin/true", folder.join("worker")).expect("a program can be copied");
    });
    assert_eq!((code, &of(&findings, "worker")["verdict"]), (1, &"wrong".into()));
}

#[test]
fn all_that_is_in_the_way_of_a_file_is_found_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = taken.local_addr().expect("a bound socket has an address");
    let yaml = format!(
        "pid_file: locked/server.pid\napps:\n  shop:\n    wsgi: shop:application\n    listen: {address}\n    virtualenv: env\n  \
        site:\n    wsgi: site_app:application\n    listen: unix:site.sock\n"
    );
    let site = Site::empty().yaml(&yaml).file("shop.py", HELLO).file("site_app.py", "import nowhere_at_all\n");
    for folder in ["env/bin", "locked"] {
        fs::create_dir_all(site.path(folder)).expect("a folder can be made");
    }
    let site = site.file("env/pyvenv.cfg", "version = 2.99.1\n").file("site.sock", "somebody's data");
    let (code, findings) = doctor(&site);
    assert_eq!(code, 1);
    for (check, part) in [
        ("shop: virtualenv", "is for Python 2.99"),
        ("shop: listen", "Address already in use"),
        ("site: listen", "a file that is no socket is in the way"),
        ("site: import", "nowhere_at_all"),
        ("shop: import", "2.99"),
    ] {
        let finding = of(&findings, check);
        assert!(finding["found"].as_str().is_some_and(|found| found.contains(part)), "{part}: {finding}");
        assert!(finding["verdict"] == "wrong" && finding["advice"].is_string(), "{finding}");
    }
    assert_eq!(site.read("site.sock"), "somebody's data");
}

#[test]
fn a_user_that_cannot_read_the_application_is_said_to_be_stopped_where() {
    let root = nix::unistd::geteuid().is_root();
    let site = Site::new("hello:application").file("hello.py", HELLO).app("user: nobody");
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o700)).expect("a mode can be set");
    let (code, findings) = doctor(&site);
    assert_eq!(code, 1);
    if !root {
        assert!(of(&findings, "main: user")["found"].as_str().is_some_and(|found| found.contains("only root")));
    }
    let folders = of(&findings, "main: folders")["found"].as_str().expect("a text");
    assert!(folders.starts_with("for nobody ") && folders.ends_with(" may not be read"), "{folders}");
}

#[test]
fn what_an_application_prints_while_it_is_imported_is_not_taken_for_a_finding() {
    let app = format!("print('a word of its own')\n{HELLO}");
    let site = Site::new("hello:application").file("hello.py", &app);
    let command = format!("exec {} doctor --json -c server.yaml 2>/dev/null", program("supervisor").display());
    // Written by the site itself, once.
    site.supervisor(&["check", "-c", "server.yaml"]).exit_code();
    let process = Process::start(Path::new("sh"), &["-c", &command], &site.path(""), &[]);
    let (_, findings) = examined(&process);
    assert_eq!(of(&findings, "main: import")["verdict"], "ok");
}

#[test]
fn a_broken_file_is_a_finding_among_others() {
    let site = Site::empty().yaml("apps: [\n");
    let (code, findings) = doctor(&site);
    assert_eq!(code, 1);
    assert!(of(&findings, "config")["found"].as_str().is_some_and(|found| found.starts_with("server.yaml:")));
    assert_eq!(of(&findings, "worker")["verdict"], "ok");
}

#[test]
fn workers_whose_supervisor_is_gone_are_told_from_strangers() {
    let server = Site::new("hello:application").file("hello.py", HELLO).serve();
    server.signal(Signal::SIGKILL);
    eventually("the workers to be found", || {
        let (code, findings) = doctor(server.site());
        let found = of(&findings, "main: listen")["found"].as_str().expect("a text").to_owned();
        (code == 0 && found.contains("whose supervisor is gone")).then_some(()).ok_or(found)
    });
    assert_eq!(server.get("/").text(), "hello", "nothing was done to them");
    assert_eq!(server.command(&["stop"]).0, 0);
}
