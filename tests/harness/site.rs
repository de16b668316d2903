//! A folder with all that a server needs: an app, a YAML that names it, an address nobody else has.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Mutex;

use tempfile::TempDir;

use super::process::{Process, program, python, target_folder};
use super::server::Server;

/// The checkout that these tests were built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the repository").to_owned()
}

/// A temporary folder, not yet served.
pub struct Site {
    folder: TempDir,
    listen: SocketAddr,
    app: Vec<String>,
    top: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
}

impl Site {
    /// A site that serves `wsgi` (`module:attribute`) of `tests/apps/module.py`.
    pub fn new(wsgi: &str) -> Site {
        let site = Site::empty().app(&format!("wsgi: {wsgi}"));
        let module = wsgi.split(':').next().expect("a split has a first part");
        let source = repository().join(format!("tests/apps/{module}.py"));
        if source.exists() {
            fs::copy(&source, site.path(&format!("{module}.py"))).expect("an app can be copied");
        }
        let listen = site.listen;
        site.app(&format!("listen: {listen}")).top("log: {format: json, level: debug}")
    }

    /// A folder with nothing in it.
    pub fn empty() -> Site {
        let folder = tempfile::Builder::new().prefix("monoceros-").tempdir().expect("a temporary folder can be made");
        Site { folder, listen: free_address(), app: Vec::new(), top: Vec::new(), variables: Vec::new() }
    }

    /// A folder with a copy of everything in `folder`.
    pub fn copy_of(folder: &Path) -> Site {
        let site = Site::empty();
        copy(folder, site.folder.path());
        site
    }

    /// Adds a line (or several) to the app's part of the YAML.
    pub fn app(mut self, lines: &str) -> Site {
        self.app.extend(lines.lines().map(str::to_owned));
        self
    }

    /// Runs the app by this engine, whose package the tests' virtual environment has.
    pub fn engine(self, word: &str) -> Site {
        python();
        let environment = target_folder().join("venv");
        self.app(&format!("engine: {word}\nvirtualenv: {}", environment.display()))
    }

    /// Listens with more than the address: with what stands beside it in a map, such as `tls: {…}`.
    pub fn listen_with(mut self, more: &str) -> Site {
        let line = format!("listen: {{address: \"{}\", {more}}}", self.listen);
        let known = self.app.iter_mut().find(|line| line.starts_with("listen: "));
        *known.expect("the site has a line `listen`") = line;
        self
    }

    /// Listens elsewhere: as the YAML writes it.
    pub fn listen_at(mut self, listeners: &str) -> Site {
        let known = self.app.iter_mut().find(|line| line.starts_with("listen: "));
        *known.expect("the site has a line `listen`") = format!("listen: {listeners}");
        self
    }

    /// Adds a line (or several) to the top level of the YAML.
    pub fn top(mut self, lines: &str) -> Site {
        self.top.extend(lines.lines().map(str::to_owned));
        self
    }

    /// Puts these lines in the place of all that stood at the top level.
    pub fn top_instead(mut self, lines: &str) -> Site {
        self.top.clear();
        self.top(lines)
    }

    /// Adds a variable to the supervisor's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Site {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the folder.
    pub fn file(self, name: &str, text: &str) -> Site {
        fs::write(self.path(name), text).expect("a file can be written into a temporary folder");
        self
    }

    /// Writes `server.yaml` as it stands here instead of one made from lines.
    pub fn yaml(self, text: &str) -> Site {
        self.file("server.yaml", text)
    }

    /// The address that the YAML names: a loopback address that this process alone uses, with a free port.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Another address that this process alone uses, and that is free.
    pub fn another_address(&self) -> SocketAddr {
        free_address()
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in place as a careful deploy does: whole, by moving it there.
    pub fn put(&self, name: &str, text: &str) {
        let fresh = self.path(&format!("{name}.new"));
        fs::write(&fresh, text).expect("a file can be written into a temporary folder");
        fs::rename(&fresh, self.path(name)).expect("a file can be moved within a folder");
    }

    /// What a file in the folder holds; nothing when it is not there.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Starts the server and waits until it serves.
    pub fn serve(self) -> Server {
        let server = self.launch();
        server.wait_until_serving();
        server
    }

    /// Starts the server and waits for nothing.
    pub fn launch(self) -> Server {
        self.launch_from(&program("supervisor"))
    }

    /// Starts the server from a copy of the programs.
    pub fn launch_from(self, supervisor: &Path) -> Server {
        self.write_yaml();
        Server::start(self, supervisor)
    }

    /// Starts the server by a command that ends in the supervisor's.
    pub fn launch_as(self, command: &[String]) -> Server {
        self.write_yaml();
        let process = Process::start(Path::new(&command[0]), &command[1..], self.folder.path(), &self.variables);
        Server::over(process, self)
    }

    /// Has another program serve it.
    pub fn launch_rival(self, program: &Path, arguments: &[String]) -> Server {
        let process = Process::start(program, arguments, self.folder.path(), &self.variables);
        Server::over(process, self)
    }

    /// Runs `supervisor` with `arguments` in the folder, watched.
    pub fn supervisor(&self, arguments: &[&str]) -> Process {
        self.write_yaml();
        Process::start(&program("supervisor"), arguments, self.folder.path(), &self.variables)
    }

    fn write_yaml(&self) {
        let path = self.path("server.yaml");
        if path.exists() || self.app.is_empty() {
            return;
        }
        let app: String = self.app.iter().map(|line| format!("    {line}\n")).collect();
        let top: String = self.top.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&path, format!("{top}apps:\n  main:\n{app}")).expect("the YAML can be written");
    }
}

/// A loopback address that belongs to this process alone, so that no other test takes the port in between. The kernel may give a port
/// again that nobody listens on yet.
fn free_address() -> SocketAddr {
    static GIVEN: Mutex<BTreeSet<SocketAddr>> = Mutex::new(BTreeSet::new());
    let [_, a, b, c] = process::id().to_be_bytes();
    let own = IpAddr::V4(Ipv4Addr::new(127, a.wrapping_add(1), b, c));
    loop {
        let probe = TcpListener::bind((own, 0)).expect("every address of 127.0.0.0/8 is ours on Linux");
        let address = probe.local_addr().expect("a bound socket has an address");
        if GIVEN.lock().expect("nobody panics with it").insert(address) {
            return address;
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("an example can be listed") {
        let entry = entry.expect("an example can be listed");
        let (name, target) = (entry.file_name(), to.join(entry.file_name()));
        if name == ".venv" || name == "__pycache__" {
            continue;
        }
        if entry.path().is_dir() {
            fs::create_dir(&target).expect("a folder can be made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
        }
    }
}
