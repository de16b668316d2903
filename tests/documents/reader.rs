//! Somebody who reads a document and does what it says, in the order in which it says it.
//!
//! ```text
//!   a folder of its own         what the page writes into files lies there; so do the checkout's examples/, and target/release
//!   bin/, first in PATH         the two programs, and what stands for that which a test must not or cannot do
//!   127.0.0.1:8000 and others   become addresses that nobody else has, in files, commands and what is promised
//! ```
//!
//! What stands for something else, and why:
//! * `python3 -m venv` makes an environment with the packages of the tests' own, and its `pip install` makes sure that what it is
//!   asked for is among them: tests do not depend on a package index.
//! * `sudo` runs what follows it: pages that want it are read on a copy of the machine, as root.
//! * `systemctl` is played by the test: `enable --now`, `reload` and `stop` do to the process what systemd does.
//! * A server in the foreground goes on in the background, once it serves, as it would in a second terminal.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process;

use nix::sys::signal::Signal;

use super::page::{Block, Command, Page, lacking};
use crate::harness::{Machine, Manager, Process, Site, eventually, profile_folder, program, python, repository};

/// Commands that are not carried out, by how they begin, and why.
pub const NOT_CARRIED_OUT: &[(&str, &str)] = &[
    ("make ", "builds or tests the whole; each target is what the tests themselves were made with"),
    ("sudo apt install ", "asks the distribution's servers; the package is installed in tests/packages/debian.rs"),
    ("sudo a2enmod ", "is of the package that starts Apache httpd; the real ones are asked in tests/web_servers"),
    ("sudo systemctl enable --now shop.socket", "there is no systemd; both are played in tests/deployment/colours.rs"),
    ("sudo systemctl start shop@", "the same"),
    ("sudo systemctl stop shop@", "the same"),
    ("sudo systemctl enable --now monoceros", "takes port 80; what the unit serves is asked in tests/examples.rs"),
    (".venv/bin/python manage.py createsuperuser", "asks somebody; who is there is logged in in tests/examples.rs"),
    ("prometheus ", "goes on until it is ended; a real one scrapes in tests/metrics/prometheus.rs"),
    ("docker ", "asks a daemon; what the Dockerfile says is held in tests/deployment/image.rs"),
    ("kubectl ", "asks a cluster; the manifests are held in tests/deployment/cluster.rs"),
    ("sudo systemctl daemon-reload", "there is no systemd to tell"),
    ("sudo systemctl status ", "there is no systemd to ask; what it is told is held in tests/systemd.rs"),
];

/// What stands in place of `python3`: `$PYTHON` is the interpreter that the worker is built for, `$PACKAGES` the tests' environment's.
const PYTHON3: &str = r#"#!/bin/sh
set -e
own="$(dirname "$0")/python"
if [ "$1 $2" != "-m venv" ]; then
    if [ -e "$own" ]; then exec "$own" "$@"; else exec "$PYTHON" "$@"; fi
fi
"$PYTHON" -m venv --without-pip "$3"
echo "$PACKAGES" > "$("$3/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
rm "$3/bin/python3"
cp "$0" "$STAND_INS/pip" "$3/bin/"
"#;

/// What stands in place of `pip`.
const PIP: &str = include_str!("pip.sh");

/// What stands in place of `sudo`, for whoever is root already.
const SUDO: &str = r#"#!/bin/sh
if [ "$1" != "-u" ]; then exec env "$@"; fi
user="$2"
shift 2
exec setpriv --reuid "$user" --regid "$user" --init-groups env "$@"
"#;

/// What stands in its place where this machine is the real one.
const NO_SUDO: &str = "#!/bin/sh\necho 'not on this machine: the page is to be read on a copy of it'\nexit 1\n";

/// What a server says when clients are answered.
const SERVES: &[&str] = &[" serving app=", " are taken over workers="];

/// Hosts that stand before a port in addresses of pages.
const HOSTS: &[&str] = &["127.0.0.1:", "localhost:", "0.0.0.0:", "[::]:", "[::1]:"];

/// What is around a reader.
pub struct Reader<'a> {
    page: &'a Page,
    site: Site,
    machine: Option<Machine>,
    /// Where commands run, and files are written.
    folder: PathBuf,
    variables: Vec<(String, String)>,
    addresses: BTreeMap<u16, SocketAddr>,
    servers: Vec<Process>,
    /// What systemd would have started, by its unit.
    units: BTreeMap<String, (Process, Manager)>,
    /// What the last command exited with.
    status: i32,
}

impl<'a> Reader<'a> {
    /// Sits down to a page.
    pub fn of(page: &'a Page, machine: Option<Machine>) -> Reader<'a> {
        let site = Site::empty();
        let folder = site.path("");
        let bin = site.path("bin");
        fs::create_dir(&bin).expect("a folder can be made");
        for (name, script) in
            [("python3", PYTHON3), ("pip", PIP), ("sudo", if machine.is_some() { SUDO } else { NO_SUDO })]
        {
            fs::write(bin.join(name), script).expect("a script can be written");
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(bin.join(name), mode).expect("a file of ours can be made a program");
        }
        for (link, target) in [
            ("bin/supervisor", program("supervisor")),
            ("bin/worker", program("worker")),
            ("packaging", repository().join("packaging")),
        ] {
            std::os::unix::fs::symlink(target, site.path(link)).expect("a link can be made");
        }
        fs::create_dir(site.path("target")).expect("a folder can be made");
        std::os::unix::fs::symlink(profile_folder(), site.path("target/release")).expect("a link can be made");
        let variables = variables(&site);
        let mut reader = Reader {
            page,
            site,
            machine,
            folder,
            variables,
            addresses: BTreeMap::new(),
            servers: Vec::new(),
            units: BTreeMap::new(),
            status: 0,
        };
        reader.lay_out(&repository().join("examples"), Path::new("examples"));
        reader.open_doors();
        reader
    }

    /// Lets every user of the copied machine read what the tests are made of, wherever that lies; here, the worker is to be installed
    /// where its users can.
    fn open_doors(&self) {
        let Some(machine) = &self.machine else { return };
        let needed =
            self.variables.iter().filter(|(name, _)| ["PYTHON", "PACKAGES", "PROGRAMS"].contains(&name.as_str()));
        for folder in
            needed.flat_map(|(_, path)| Path::new(path).ancestors().skip(1)).filter(|path| *path != Path::new("/"))
        {
            machine.done(&["chmod", "a+rx", folder.to_str().expect("a path in UTF-8")]);
        }
    }

    /// Does what the page says, from its top to its end.
    pub fn read(&mut self) {
        for block in self.page.blocks() {
            if block.is_console() {
                for command in block.commands() {
                    self.follow(&command);
                }
            } else if block.file().is_some() {
                self.write(&block);
            }
        }
    }

    /// A copy of the examples, with addresses of our own.
    fn lay_out(&mut self, from: &Path, to: &Path) {
        let target = self.site.path("").join(to);
        fs::create_dir(&target).expect("a folder can be made");
        for entry in fs::read_dir(from).expect("the examples can be listed") {
            let entry = entry.expect("the examples can be listed");
            let name = entry.file_name();
            if entry.path().is_dir() {
                if name != "__pycache__" && name != ".venv" {
                    self.lay_out(&entry.path(), &to.join(name));
                }
                continue;
            }
            let text = fs::read(entry.path()).expect("an example can be read");
            let text =
                String::from_utf8(text).map(|text| self.own(&text).into_bytes()).unwrap_or_else(|why| why.into_bytes());
            fs::write(target.join(name), text).expect("a file can be written");
        }
    }

    fn write(&mut self, block: &Block) {
        let name = block.file().expect("it has a name");
        let path = self.outside(&self.folder.join(name));
        let text = self.own(&block.text);
        fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("a folder can be made");
        fs::write(&path, text).unwrap_or_else(|why| panic!("{}:{}: {why}", self.page.path, block.line));
    }

    /// A path as the commands see it, as we do.
    fn outside(&self, path: &Path) -> PathBuf {
        let path = path.to_str().expect("a path in UTF-8");
        self.machine.as_ref().map_or_else(|| path.into(), |machine| machine.path(path))
    }

    /// A text with addresses of our own in the place of those that anybody may have.
    fn own(&mut self, text: &str) -> String {
        let mut own = String::new();
        let mut rest = text;
        while let Some((at, host)) = HOSTS.iter().filter_map(|host| Some((rest.find(host)?, *host))).min() {
            let (before, after) = (&rest[..at], &rest[at + host.len()..]);
            let digits = after.len() - after.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
            own.push_str(before);
            match after[..digits].parse() {
                Ok(port) => own.push_str(&self.address(port).to_string()),
                Err(_) => own.push_str(&rest[at..at + host.len() + digits]),
            }
            rest = &after[digits..];
        }
        own + rest
    }

    /// Ours for a port of the page's.
    fn address(&mut self, port: u16) -> SocketAddr {
        let site = &self.site;
        *self.addresses.entry(port).or_insert_with(|| site.another_address())
    }

    /// Carries out a command, and holds it to what is promised of it.
    fn follow(&mut self, command: &Command) {
        let words = self.own(&command.words);
        let promised: Vec<String> = command.output.iter().map(|line| self.own(line)).collect();
        if NOT_CARRIED_OUT.iter().any(|(beginning, _)| words.starts_with(beginning)) || self.has_been_played(&words) {
            return;
        }
        if words.starts_with("echo $?") {
            assert_eq!(promised, [self.status.to_string()], "{}:{}: the exit status", self.page.path, command.line);
            self.status = 0;
            return;
        }
        assert_eq!(self.status, 0, "{}:{}: what stands before it has failed", self.page.path, command.line);
        if self.has_moved(&words) {
            return;
        }
        let output = if is_server(&words) { self.leave_open(&words, &promised) } else { self.carry_out(&words) };
        if let Some(line) = lacking(&promised, &output) {
            panic!("{}:{}: $ {words}\nlacks the line\n  {line}\nand printed\n{output}", self.page.path, command.line);
        }
        let known = self.status == 0 || self.may_fail(command);
        assert!(
            known,
            "{}:{}: $ {words}\nexited with {} and printed\n{output}",
            self.page.path, command.line, self.status
        );
    }

    /// Runs a command to its end; gives what it printed.
    fn carry_out(&mut self, words: &str) -> String {
        let process = self.start(words);
        self.status = process.exit_code();
        process.whole_output()
    }

    /// Starts a server and leaves it to itself once it serves, as promised; gives what it has printed until then.
    fn leave_open(&mut self, words: &str, promised: &[String]) -> String {
        let process = self.start(words);
        let log = self.outside(&self.folder.join("server.log"));
        let what = format!("what {words:?} promises: {promised:?}");
        let (has_ended, output) = eventually(&what, || {
            let output = process.output();
            let all = fs::read_to_string(&log).unwrap_or_default() + &output;
            let serves = SERVES.iter().any(|line| all.contains(line)) && lacking(promised, &output).is_none();
            let has_ended = process.status().is_some();
            if serves || has_ended { Ok((has_ended, output)) } else { Err(Seen(output)) }
        });
        if has_ended {
            self.status = process.exit_code();
            return process.whole_output();
        }
        self.servers.push(process);
        output
    }

    /// What a shell does itself: goes to another folder, or puts an environment's programs first. Whether that was meant.
    fn has_moved(&mut self, words: &str) -> bool {
        let home = self.site.path("");
        let place =
            |folder: &Path, path: &str| path.strip_prefix("~/").map_or(folder.join(path), |path| home.join(path));
        if let Some(folder) = words.strip_prefix("cd ") {
            self.folder = place(&self.folder, folder);
        } else if let Some(script) = words.strip_prefix(". ") {
            let script = place(&self.folder, script);
            let bin = script.parent().expect("a file lies in a folder").display();
            let path = self.variables.iter_mut().find(|(name, _)| name == "PATH").expect("there is one");
            path.1 = format!("{bin}:{}", path.1);
        } else {
            return false;
        }
        true
    }

    /// Whether the page asks at once what it exited with.
    fn may_fail(&self, command: &Command) -> bool {
        let blocks = self.page.blocks();
        let mut commands = blocks.iter().filter(|block| block.is_console()).flat_map(Block::commands);
        commands.any(|next| next.line == command.line + command.output.len() + 1 && next.words.starts_with("echo $?"))
    }

    fn start(&self, words: &str) -> Process {
        let script = format!("cd '{}' && {{ {words}\n}}", self.folder.display());
        let command = ["bash", "-c", &script];
        match &self.machine {
            Some(machine) => machine.start(&command, &self.variables),
            None => Process::start(Path::new(command[0]), &command[1..], &self.site.path(""), &self.variables),
        }
    }

    /// Does in the place of systemd what it would do; whether that was meant.
    fn has_been_played(&mut self, words: &str) -> bool {
        let Some(wish) = words.strip_prefix("sudo systemctl ") else { return false };
        if let Some(unit) = wish.strip_prefix("enable --now ") {
            let started = self.started(unit);
            self.units.insert(unit.to_owned(), started);
        } else if let Some(unit) = wish.strip_prefix("reload ") {
            let (_, manager) = self.units.get(unit).expect("it was started");
            let reload = self.start(&self.command_of(unit, "ExecReload="));
            manager.expect("RELOADING=1");
            manager.expect("READY=1");
            assert_eq!(reload.exit_code(), 0, "{}", reload.whole_output());
        } else if let Some(unit) = wish.strip_prefix("stop ") {
            let (process, _) = self.units.remove(unit).expect("it was started");
            process.signal(Signal::SIGTERM);
            assert_eq!(process.exit_code(), 0, "{unit} stops in peace");
        } else {
            panic!("{}: nobody plays `systemctl {wish}`", self.page.path);
        }
        true
    }

    /// What a unit has for this occasion.
    fn command_of(&self, unit: &str, occasion: &str) -> String {
        let path = self.outside(Path::new(&format!("/etc/systemd/system/{unit}.service")));
        let text = fs::read_to_string(path).expect("the page has put it there");
        text.lines().find_map(|line| line.strip_prefix(occasion)).expect("it has one").to_owned()
    }

    /// What a unit starts, once it has said that it is ready.
    fn started(&self, unit: &str) -> (Process, Manager) {
        let path = format!("/etc/systemd/system/{unit}.service");
        let verdict = self.start(&format!("systemd-analyze verify {path}"));
        assert_eq!(verdict.exit_code(), 0, "{path} is a unit: {}", verdict.whole_output());
        let command = self.command_of(unit, "ExecStart=");
        let manager = Manager::new();
        let machine = self.machine.as_ref().expect("units are started on a copy of the machine");
        let variables = [("NOTIFY_SOCKET".to_owned(), manager.address())];
        let process = machine.start(&command.split(' ').collect::<Vec<_>>(), &variables);
        manager.expect("READY=1");
        (process, manager)
    }
}

/// Output as it is, for whoever waited in vain.
struct Seen(String);

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a command goes on until somebody ends it.
fn is_server(words: &str) -> bool {
    let words: Vec<&str> = words.split_whitespace().collect();
    let starts = |pair: &[&str]| {
        let is_ours = pair[0].ends_with("supervisor") || pair[0].ends_with("monoceros");
        is_ours && ["run", "dev"].contains(&pair[1])
    };
    words.windows(2).any(starts) && words.last() != Some(&"&")
}

/// What is in the environment of every command.
fn variables(site: &Site) -> Vec<(String, String)> {
    let own = |path: PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let said = |program: &Path, words: &[&str]| {
        let output = process::Command::new(program).args(words).output().expect("a program of ours can be run");
        String::from_utf8(output.stdout).expect("text")
    };
    let about = said(&program("worker"), &["--about"]);
    let executable = about.lines().find_map(|line| line.strip_prefix("executable ")).expect("it runs a Python");
    let packages = said(&python(), &["-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]);
    let path = std::env::var("PATH").unwrap_or_default();
    [
        ("PATH", format!("{}:{path}", own(site.path("bin")))),
        ("HOME", own(site.path(""))),
        ("PYTHON", executable.to_owned()),
        ("PACKAGES", packages.trim_end().to_owned()),
        ("PROGRAMS", own(profile_folder())),
        ("STAND_INS", own(site.path("bin"))),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
