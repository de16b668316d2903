//! Where an application lives: its interpreter, its paths, its variables, its user, the children it starts.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Site, eventually, python, target_folder};

fn site() -> Site {
    Site::new("home:application")
}

#[test]
fn a_virtualenv_is_what_its_own_python_would_see() {
    let environment = target_folder().join("venv");
    let server = site().app(&format!("virtualenv: {}", environment.display())).serve();
    let answer = server.get("/interpreter");
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(fs::canonicalize(lines[0]).ok(), fs::canonicalize(python()).ok(), "sys.executable: {answer}");
    assert!(lines[0].starts_with(&*environment.to_string_lossy()), "sys.executable lies in the environment: {answer}");
    assert_eq!(lines[1], environment.to_string_lossy(), "sys.prefix");
    assert!(lines.iter().any(|line| line.starts_with(lines[1]) && line.ends_with("site-packages")), "{answer}");
}

#[test]
fn without_a_virtualenv_the_executable_is_the_python_that_the_worker_was_built_with() {
    let answer = site().serve().get("/interpreter");
    let executable = answer.text().lines().next().expect("there is a first line");
    let name = executable.rsplit('/').next().expect("a split has a last part");
    assert!(name.starts_with("python"), "{answer}");
}

#[test]
fn the_directory_is_where_the_app_runs_and_imports_from_and_python_path_comes_behind() {
    let site = site().app("directory: project\npython_path: [more]");
    for folder in ["project", "more"] {
        fs::create_dir(site.path(folder)).expect("a folder can be made");
    }
    fs::rename(site.path("home.py"), site.path("project/home.py")).expect("a file can be moved");
    let server = site.file("more/beside.py", "WORD = 'from beside'\n").serve();
    let answer = server.get("/interpreter");
    let folder = server.site().path("").canonicalize().expect("the folder is there");
    let lines: Vec<&str> = answer.text().lines().collect();
    assert_eq!(lines[2], folder.join("project").to_string_lossy(), "the working directory");
    assert_eq!(lines[3], lines[2], "first on sys.path");
    assert!(lines[4..].contains(&&*folder.join("more").to_string_lossy()), "{answer}");
    assert_eq!(server.get("/import_from_path").text(), "from beside");
}

#[test]
fn environment_adds_to_what_the_supervisor_has() {
    let server = site().app("environment: {GREETING: 'from the file'}").variable("GREETING", "from outside").serve();
    assert_eq!(server.get("/variable").text(), "from the file");
    let server = site().variable("GREETING", "from outside").serve();
    assert_eq!(server.get("/variable").text(), "from outside");
}

#[test]
fn one_thread_is_the_main_thread_by_either_name_of_the_engine() {
    for lines in ["threads: 1", "engine: sync"] {
        assert_eq!(site().app(lines).serve().get("/main_thread").text(), "True", "{lines}");
    }
}

#[test]
fn a_thread_of_the_application_runs_while_nobody_asks() {
    let server = site().serve();
    let beats = || server.site().read("beat").parse::<u32>().ok();
    let first = eventually("the first beat", beats);
    eventually("more beats", || beats().filter(|beats| *beats > first + 10));
}

#[test]
fn a_program_that_the_application_starts_has_ordinary_signals_and_none_of_our_descriptors() {
    for threads in ["threads: 1", "threads: 3"] {
        let answer = site().app(threads).serve().get("/child").expect_status(200);
        let of = |key: &str| answer.text().lines().find(|line| line.starts_with(key)).unwrap_or_default();
        assert_eq!(of("SigBlk:").trim_start_matches("SigBlk:").trim(), "0000000000000000", "{}", of("SigBlk:"));
        let strange: Vec<&str> = answer.text().lines().filter(|line| line.contains("socket:")).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

#[test]
fn the_server_ends_although_a_child_of_the_application_stays() {
    let server = Site::new("forker:application").serve();
    let child: i32 = server.get("/fork").text().parse().expect("the child's number");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(std::net::TcpStream::connect(server.address()).is_err(), "the child holds no listener");
    // It may have been ended with its worker's process group.
    let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
}
