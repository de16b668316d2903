//! The Debian package: its content, and its life on a copy of this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Client, Machine, Manager, Process, Site, eventually, profile_folder, repository};

/// Whether this is a machine that packages of this kind are for; a word if not.
pub(super) fn is_debian() -> bool {
    let found = Path::new("/usr/bin/dpkg-deb").exists();
    if !found {
        eprintln!("not tried here: there is no dpkg-deb");
    }
    found
}

/// The package of the programs as they are built, made into `folder`.
pub(super) fn package(folder: &Path, revision: &str) -> PathBuf {
    let output = Command::new(repository().join("packaging/debian/build"))
        .args([profile_folder().as_path(), folder])
        // Not to be kept: packed loosely, it is made in half the time.
        .envs([("REVISION", revision), ("DPKG_DEB_LEVEL", "-z0")])
        .output()
        .expect("the script can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the package cannot be made: {said}");
    String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end().into()
}

fn dpkg_deb(arguments: &[&str]) -> String {
    let output = Command::new("dpkg-deb").args(arguments).output().expect("dpkg-deb is on each Debian");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a list in UTF-8")
}

#[test]
fn the_package_has_everything_where_debian_expects_it() {
    if !is_debian() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let package = package(folder.path(), "1");
    let package = package.to_str().expect("a path in UTF-8");
    let listed = dpkg_deb(&["--contents", package]);
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/lib/monoceros/supervisor"),
        ("-rwxr-xr-x", "./usr/lib/monoceros/worker"),
        ("lrwxrwxrwx", "./usr/bin/monoceros -> ../lib/monoceros/supervisor"),
        ("-rw-r--r--", "./etc/monoceros/server.yaml"),
        ("-rw-r--r--", "./etc/logrotate.d/monoceros"),
        ("-rw-r--r--", "./usr/lib/systemd/system/monoceros.service"),
        ("-rw-r--r--", "./usr/share/man/man1/monoceros.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man1/monoceros-doctor.1.gz"),
        ("-rw-r--r--", "./usr/share/man/man5/monoceros-server.yaml.5.gz"),
        ("-rw-r--r--", "./usr/share/bash-completion/completions/monoceros"),
        ("-rw-r--r--", "./usr/share/zsh/vendor-completions/_monoceros"),
        ("-rw-r--r--", "./usr/share/fish/vendor_completions.d/monoceros.fish"),
        ("-rw-r--r--", "./usr/share/doc/monoceros/copyright"),
        ("-rw-r--r--", "./usr/share/doc/monoceros/changelog.gz"),
        ("-rw-r--r--", "./usr/share/doc/monoceros/docs/how-to/reload.md"),
        ("-rw-r--r--", "./usr/share/doc/monoceros/examples/systemd/README.md"),
        ("drwxr-x---", "./var/log/monoceros/"),
    ] {
        let is_it = |line: &str| line.starts_with(&format!("{mode} root/root ")) && line.ends_with(&format!(" {path}"));
        assert!(listed.lines().any(is_it), "{mode} {path} is not in\n{listed}");
    }
    let depends = dpkg_deb(&["--field", package, "Depends"]);
    assert!(depends.contains("libpython3.") && depends.contains("python3."), "{depends}");
    let conffiles = dpkg_deb(&["--info", package, "conffiles"]);
    assert_eq!(conffiles, "/etc/logrotate.d/monoceros\n/etc/monoceros/server.yaml\n");
}

/// The server of an installed package, started as its unit says.
fn started(machine: &Machine, manager: &Manager) -> Process {
    let unit =
        fs::read_to_string(machine.path("/usr/lib/systemd/system/monoceros.service")).expect("the unit is there");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("it starts something");
    let words: Vec<&str> = command.split(' ').collect();
    machine.start(&words, &[("NOTIFY_SOCKET".to_owned(), manager.address())])
}

/// The commands that logrotate would run between two files.
fn postrotate(machine: &Machine) -> String {
    let rules = fs::read_to_string(machine.path("/etc/logrotate.d/monoceros")).expect("it is installed");
    let (_, rest) = rules.split_once("postrotate\n").expect("it has one");
    rest.split_once("endscript").expect("which ends").0.to_owned()
}

#[test]
fn a_package_is_installed_started_upgraded_removed_and_purged_on_a_copy_of_this_machine() {
    let machine = match Machine::copy() {
        Ok(_) if !is_debian() => return,
        Ok(machine) => machine,
        Err(why) => return eprintln!("not tried here: {why}"),
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let first = package(folder.path(), "1");
    // The Python that these programs were built with need not be the distribution's.
    let install = |package: &Path| {
        machine.done(&["dpkg", "--force-depends", "--install", package.to_str().expect("a path in UTF-8")])
    };
    install(&first);
    assert_eq!(machine.done(&["dpkg", "--verify", "monoceros"]), "");
    let (code, said) = machine.run(&["monoceros", "check"]);
    assert!(code == 2 && said.starts_with("/etc/monoceros/server.yaml:1:1: the file is empty"), "{code} {said}");
    machine.done(&["systemd-analyze", "verify", "/usr/lib/systemd/system/monoceros.service"]);

    let site = Site::empty().file(
        "hello.py",
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'packed']\n",
    );
    let yaml = format!(
        "log: {{file: /var/log/monoceros/server.log}}\napps: {{hello: {{wsgi: 'hello:application', directory: '{}', listen: '{}'}}}}\n",
        site.path("").display(),
        site.listen()
    );
    fs::write(machine.path("/etc/monoceros/server.yaml"), yaml).expect("an admin can write it");
    let told = machine.done(&["monoceros", "doctor"]);
    assert!(told.contains("ok     PATH") && told.contains("nothing is wrong"), "{told}");

    let manager = Manager::new();
    let server = started(&machine, &manager);
    manager.expect("READY=1");
    let mut client = Client::connect(site.listen());
    assert_eq!(client.get("/").expect_status(200).text(), "packed");
    machine.done(&["monoceros", "reload", "--wait"]);

    machine.done(&["mv", "/var/log/monoceros/server.log", "/var/log/monoceros/server.log.1"]);
    machine.done(&["sh", "-ec", &postrotate(&machine)]);
    eventually("another log file", || machine.path("/var/log/monoceros/server.log").exists().then_some(()));

    install(&package(folder.path(), "2"));
    machine.done(&["monoceros", "upgrade"]);
    assert_eq!(client.get("/").expect_status(200).text(), "packed", "on the connection of before");
    assert_eq!(server.status(), None, "it is the same process");
    let yaml = fs::read_to_string(machine.path("/etc/monoceros/server.yaml")).expect("it is there");
    assert!(yaml.contains("packed") || yaml.contains("hello:application"), "what the admin wrote stays: {yaml}");

    machine.done(&["monoceros", "stop"]);
    assert_eq!(server.exit_code(), 0);
    // Nobody has the log open any more, which is no failure of logrotate's.
    machine.done(&["sh", "-ec", &postrotate(&machine)]);
    machine.done(&["dpkg", "--remove", "monoceros"]);
    assert!(!machine.path("/usr/lib/monoceros").exists() && machine.path("/etc/monoceros/server.yaml").exists());
    machine.done(&["dpkg", "--purge", "monoceros"]);
    let left = machine.done(&["find", "/etc", "/usr", "/var", "-xdev", "-name", "*monoceros*"]);
    let left: Vec<&str> = left.lines().filter(|path| !path.starts_with("/usr/share/man/")).collect();
    assert_eq!(left, Vec::<&str>::new(), "nothing is left");
}

#[test]
fn the_scripts_of_a_package_do_without_systemd_in_a_root_of_their_own() {
    if !is_debian() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let package = package(folder.path(), "1");
    let root = folder.path().join("root");
    for name in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"] {
        fs::create_dir_all(root.join(name)).expect("a folder can be made");
    }
    fs::write(root.join("var/lib/dpkg/status"), "").expect("a file can be written");
    let dpkg = |words: &[&str]| {
        let output = Command::new("dpkg")
            .arg(format!("--root={}", root.display()))
            .args(["--force-depends", "--force-not-root", "--force-script-chrootless", "--log=/dev/null"])
            .args(words)
            .output()
            .expect("dpkg is on each Debian");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    dpkg(&["--install", package.to_str().expect("a path in UTF-8")]);
    let supervisor = root.join("usr/lib/monoceros/supervisor");
    let process = Process::start(&supervisor, &["doctor", "-c", "/dev/null"], &root, &[]);
    let said = process.whole_output();
    assert!(said.contains("ok     worker") && said.contains("ok     python"), "{said}");
    fs::write(root.join("var/log/monoceros/server.log"), "").expect("a file can be written");
    dpkg(&["--remove", "monoceros"]);
    assert!(!supervisor.exists() && root.join("etc/monoceros/server.yaml").exists());
    dpkg(&["--purge", "monoceros"]);
    for gone in ["etc/monoceros", "var/log/monoceros", "usr/lib/monoceros", "usr/bin/monoceros"] {
        assert!(!root.join(gone).exists(), "{gone} is left");
    }
}

/// A Debian with nothing in it, and the package installed there by apt, which fetches what it depends on.
const BARE: &str = r#"
export DEBIAN_FRONTEND=noninteractive
apt-get update --quiet=2
apt-get install --quiet=2 --yes --no-install-recommends debootstrap >/dev/null
mirror=$(apt-cache policy libc6 | grep --only-matching --max-count=1 'http[^ ]*')
. /etc/os-release
debootstrap --variant=minbase "$VERSION_CODENAME" /srv/bare "$mirror" >/dev/null
cp --archive /etc/apt /etc/ssl /etc/resolv.conf /srv/bare/etc/
cp "$1" /srv/bare/root/monoceros.deb
mount --bind /proc /srv/bare/proc
chroot /srv/bare sh -ec '
    apt-get update --quiet=2
    apt-get install --quiet=2 --yes --no-install-recommends /root/monoceros.deb
    monoceros doctor --json || true
    cat > /root/hello.py
    cd /root && monoceros check hello:application
' <<'HELLO'
def application(environ, start_response):
    start_response("200 OK", [])
    return [b""]
HELLO
"#;

#[test]
#[ignore = "fetches a Debian and some packages: cargo test --package monoceros-tests --test all -- --ignored packages::debian"]
fn the_package_says_all_that_it_needs_of_a_bare_debian() {
    let machine = Machine::copy().unwrap_or_else(|why| panic!("{why}"));
    let folder = tempfile::tempdir().expect("a folder can be made");
    let package = package(folder.path(), "1");
    let said = machine.start(&["bash", "-ec", BARE, "bash", package.to_str().expect("a path in UTF-8")], &[]);
    let limit = std::time::Duration::from_secs(600);
    crate::harness::within(limit, || said.status()).unwrap_or_else(|_| panic!("{}", said.output()));
    let output = said.whole_output();
    assert_eq!(said.exit_code(), 0, "{output}");
    assert!(output.contains("\"check\": \"python\"") && output.contains("command line: ok"), "{output}");
    println!("{}", output.lines().filter(|line| line.contains("\"found\"")).collect::<Vec<_>>().join("\n"));
}
