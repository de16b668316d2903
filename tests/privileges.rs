//! Whose power a worker has, and what its supervisor keeps of root's. Root's tests: CI is root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};

use crate::harness::{Process, Server, Site, eventually, program, python, target_folder};

/// The capabilities of `capabilities.rs`, as the kernel prints them: CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, NET_BIND_SERVICE.
const NEEDED: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10;

fn is_root() -> bool {
    let is_root = Uid::effective().is_root();
    if !is_root {
        eprintln!("not tried: only root becomes somebody else");
    }
    is_root
}

fn nobody() -> User {
    User::from_name("nobody").ok().flatten().expect("there is a nobody")
}

fn site(lines: &str) -> Site {
    let site = Site::new("power:application").app(lines);
    fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).expect("a folder can be opened to others");
    site
}

/// Starts a site's server where everybody can read the Python that the worker embeds. One in root's home cannot be, so there, in a
/// mount namespace that is this server's alone, nothing of that home is seen but what is needed.
fn launch(site: Site) -> Server {
    let supervisor = program("supervisor").display().to_string();
    launch_by(site, &[&supervisor, "run", "-c", "server.yaml"])
}

/// The same, by a command that ends in the supervisor's.
fn launch_by(site: Site, words: &[&str]) -> Server {
    site.launch_as(&in_the_open(words))
}

/// A command, run where the Python can be read.
fn in_the_open(words: &[&str]) -> Vec<String> {
    let output = Command::new(python()).args(["-c", "import sys; print(sys.base_prefix)"]).output();
    let prefix = String::from_utf8(output.expect("python can be run").stdout).expect("a path in UTF-8");
    let needed = [PathBuf::from(prefix.trim()), target_folder()];
    let Some(closed) = needed.iter().find_map(|path| closed_part_of(path)) else {
        return words.iter().map(|word| (*word).to_owned()).collect();
    };
    let inside: Vec<String> =
        needed.iter().filter(|path| path.starts_with(&closed)).map(|path| path.display().to_string()).collect();
    let closed = closed.display();
    let mut script = String::from("set -e; keep=$(mktemp -d); ");
    for (number, path) in inside.iter().enumerate() {
        script += &format!("mkdir $keep/{number}; mount --bind {path} $keep/{number}; ");
    }
    script += &format!("mount -t tmpfs -o mode=755 tmpfs {closed}; ");
    for (number, path) in inside.iter().enumerate() {
        script += &format!("mkdir -p {path}; mount --bind $keep/{number} {path}; ");
    }
    script += &format!("exec {}", words.join(" "));
    ["unshare", "--mount", "sh", "-c", &script].map(str::to_owned).into()
}

/// The first folder on the way to a path that others may not pass.
fn closed_part_of(path: &Path) -> Option<PathBuf> {
    let is_open = |folder: &&Path| fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005);
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    ancestors.into_iter().find(|folder| !is_open(folder)).map(Path::to_owned)
}

fn served(lines: &str) -> Server {
    let server = launch(site(lines));
    server.wait_until_serving();
    server
}

/// The words behind a key of `/proc/PID/status`.
fn words<'a>(status: &'a str, key: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("there is no {key} in {status}")).split_whitespace().collect()
}

/// What the kernel says of each thread of a process.
fn statuses(pid: i32) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("a living process has threads");
    threads
        .map(|thread| fs::read_to_string(thread.expect("a thread").path().join("status")).expect("a status"))
        .collect()
}

#[test]
fn every_thread_of_a_worker_is_its_user_for_good() {
    if !is_root() {
        return;
    }
    let server = served("user: nobody\nworkers: 2\nthreads: 3");
    let (uid, gid) = (nobody().uid.to_string(), nobody().gid.to_string());
    for status in server.workers().into_iter().flat_map(statuses) {
        assert_eq!(words(&status, "Uid"), [uid.as_str(); 4], "no way back");
        assert_eq!(words(&status, "Gid"), [gid.as_str(); 4]);
        assert!(!words(&status, "Groups").contains(&"0"), "none of root's groups: {status}");
        assert_eq!(words(&status, "NoNewPrivs"), ["1"]);
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(words(&status, set), ["0000000000000000"], "{set}");
        }
    }
    assert_eq!(server.get("/become_root").text(), "refused");
    let child = server.get("/child");
    assert_eq!(words(child.text(), "Uid"), [uid.as_str(); 4]);
    assert_eq!(words(child.text(), "NoNewPrivs"), ["1"]);
}

#[test]
fn groups_are_those_of_the_user_or_those_that_the_file_names() {
    if !is_root() {
        return;
    }
    // Of daemon's own groups there may be none but its own; what the file names replaces them.
    let server = served("user: daemon\ngroup: nogroup\ngroups: [tty, 4242]");
    let status = server.get("/status");
    let tty = nix::unistd::Group::from_name("tty").ok().flatten().expect("there is a group tty").gid.to_string();
    assert_eq!(words(status.text(), "Groups"), [tty.as_str(), "4242"]);
    let nogroup = nix::unistd::Group::from_name("nogroup").ok().flatten().expect("there is a nogroup").gid.to_string();
    assert_eq!(words(status.text(), "Gid"), [nogroup.as_str(); 4]);
    let server = served("user: daemon\ngroups: []");
    assert!(words(server.get("/status").text(), "Groups").is_empty());
}

#[test]
fn the_environment_is_the_users_unless_the_file_says_otherwise() {
    if !is_root() {
        return;
    }
    let home = nobody().dir;
    let server = served("user: nobody\nenvironment: {LOGNAME: somebody}");
    let expected = format!("HOME={}\nUSER=nobody\nLOGNAME=somebody", home.display());
    assert_eq!(server.get("/variables").text(), expected);
}

#[test]
fn umask_and_new_privileges_are_as_the_file_says() {
    let server = Site::new("power:application").app("umask: \"0077\"\nno_new_privileges: false").serve();
    assert_eq!(server.get("/touch").text(), "0o600");
    assert_eq!(words(server.get("/status").text(), "NoNewPrivs"), ["0"]);
    let server = Site::new("power:application").app("umask: \"0002\"").serve();
    assert_eq!(server.get("/touch").text(), "0o664");
    assert_eq!(words(server.get("/status").text(), "NoNewPrivs"), ["1"]);
}

#[test]
fn a_worker_that_changed_its_user_can_still_dump_core() {
    if !is_root() {
        return;
    }
    assert_eq!(served("user: nobody").get("/core").text(), "True");
}

#[test]
fn the_supervisor_keeps_what_it_needs_and_no_more() {
    if !is_root() {
        return;
    }
    let bits = |status: &str, set: &str| u64::from_str_radix(words(status, set)[0], 16).expect("a number");
    let own = fs::read_to_string("/proc/self/status").expect("Linux says");
    let server = served("user: nobody");
    for status in statuses(server.process().pid().as_raw()) {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            assert_eq!(bits(&status, set), bits(&own, set) & NEEDED, "{set} of {}", words(&status, "Name")[0]);
        }
    }
    // It still works: another generation becomes that user too, and the old one is ended.
    let old = server.workers();
    server.signal(Signal::SIGHUP);
    server.logged("reloaded");
    eventually("the old worker to be gone", || {
        let workers = server.workers();
        (workers.len() == 1 && workers != old).then_some(())
    });
    let worker = server.workers()[0];
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(worker), Signal::SIGSTOP).expect("a worker can be stopped");
    server.signal(Signal::SIGINT);
    assert_eq!(server.exit_code(), 0, "a worker of another user that does not hear is killed");
}

#[test]
fn an_upgrade_keeps_the_fences_and_the_pid_file() {
    if !is_root() {
        return;
    }
    let site = site("user: nobody").top("pid_file: server.pid");
    let server = launch(site);
    server.wait_until_serving();
    let before = fs::read_to_string(format!("/proc/{}/status", server.process().pid())).expect("it lives");
    let old = server.workers();
    server.signal(Signal::SIGUSR2);
    server.logged("upgraded: the new supervisor takes over");
    eventually("the old worker to be gone", || {
        let workers = server.workers();
        (workers.len() == 1 && workers != old).then_some(()).ok_or(workers)
    });
    let after = fs::read_to_string(format!("/proc/{}/status", server.process().pid())).expect("it lives");
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        assert_eq!(words(&after, set), words(&before, set), "{set}");
    }
    assert_eq!(words(server.get("/status").text(), "Uid"), [nobody().uid.to_string().as_str(); 4]);
    assert_eq!(server.site().read("server.pid"), format!("{}\n", server.process().pid()));
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit_code(), 0);
    assert!(!server.site().path("server.pid").exists(), "the new program removes what the old one wrote");
}

#[test]
fn workers_of_another_user_are_taken_over_by_the_next_supervisor() {
    if !is_root() {
        return;
    }
    let server = served("user: nobody");
    let worker = server.get("/pid").text().to_owned();
    server.signal(Signal::SIGKILL);
    eventually("the supervisor to be gone", || server.process().status());
    let supervisor = program("supervisor").display().to_string();
    let command = in_the_open(&[&supervisor, "run", "-c", "server.yaml"]);
    let folder = server.site().path("");
    let second = Process::start(Path::new(&command[0]), &command[1..], &folder, &[]);
    second.line("are taken over");
    assert_eq!(server.get("/pid").text(), worker, "the worker serves on");
    second.signal(Signal::SIGTERM);
    assert_eq!(second.exit_code(), 0);
    eventually("the worker to be gone", || (!Path::new(&format!("/proc/{worker}")).exists()).then_some(()));
}

#[test]
fn a_worker_that_stays_root_keeps_what_root_has() {
    if !is_root() {
        return;
    }
    let server = Site::new("power:application").serve();
    let own = fs::read_to_string("/proc/self/status").expect("Linux says");
    assert_eq!(words(server.get("/status").text(), "CapEff"), words(&own, "CapEff"));
    assert_eq!(server.count("applications run as root"), 1);
}

#[test]
fn who_cannot_become_the_user_says_so_and_apologises() {
    if !is_root() {
        return;
    }
    // The same supervisor, started as somebody who may not.
    let site = site("user: daemon");
    let folder = site.path("").display().to_string();
    let user = nobody().uid.to_string();
    let server = launch_as_user(site, &user);
    let line = server.logged("worker failed to boot");
    let why = line["why"].as_str().unwrap_or_default();
    assert_eq!(why, "cannot become user daemon: Operation not permitted", "{line} {folder}");
    eventually("the apology", || (server.get("/pid").status == 503).then_some(()));
}

#[test]
fn who_names_itself_needs_no_power() {
    if !is_root() {
        return;
    }
    let server = launch_as_user(site("user: nobody"), &nobody().uid.to_string());
    server.wait_until_serving();
    assert_eq!(words(server.get("/status").text(), "Uid"), [nobody().uid.to_string().as_str(); 4]);
}

/// Starts a server as another user than root, who owns the site.
fn launch_as_user(site: Site, uid: &str) -> Server {
    let number: u32 = uid.parse().expect("a number");
    std::os::unix::fs::chown(site.path(""), Some(number), Some(number)).expect("root gives files away");
    assert_eq!(fs::metadata(site.path("")).expect("it is there").uid(), number);
    let supervisor = program("supervisor").display().to_string();
    let words = [
        "setpriv",
        "--reuid",
        uid,
        "--regid",
        uid,
        "--clear-groups",
        "--inh-caps=-all",
        "--",
        &supervisor,
        "run",
        "-c",
        "server.yaml",
    ];
    launch_by(site, &words)
}
