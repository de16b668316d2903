//! The two programs at work on a site.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::answer::Answer;
use super::client::Client;
use super::process::{Process, Stat, eventually, stat};
use super::site::Site;

/// A running server. Everything it started is killed when it is dropped.
pub struct Server {
    process: Process,
    site: Site,
}

impl Server {
    pub(super) fn start(site: Site, supervisor: &Path) -> Server {
        let folder = site.path("");
        let process = Process::start(supervisor, &["run", "-c", "server.yaml"], &folder, &site.variables);
        Server { process, site }
    }

    /// Another program that serves the site, so that it can be compared.
    pub(super) fn over(process: Process, site: Site) -> Server {
        Server { process, site }
    }

    /// Waits until every worker has loaded its app and accepts.
    pub fn wait_until_serving(&self) {
        self.process.wait("the server to serve", |lines, status| {
            assert!(status.is_none(), "the server ended instead of serving:\n{}", lines.join("\n"));
            // Not the line about one worker, of which there may be more.
            lines.iter().any(|line| says(line, "serving") && !says(line, "worker serving")).then_some(())
        });
    }

    /// The supervisor's process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The folder it serves.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.site.listen()
    }

    /// A new connection to it.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// What it answers to a `GET` on a connection of its own.
    pub fn get(&self, target: &str) -> Answer {
        self.connect().get(target)
    }

    /// Sends a signal to the supervisor.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the supervisor's end and gives its exit code.
    pub fn exit_code(&self) -> i32 {
        self.process.exit_code()
    }

    /// The processes that the supervisor is the parent of, oldest number first.
    pub fn workers(&self) -> Vec<i32> {
        let supervisor = self.process.pid().as_raw();
        let is_worker = |pid: &i32| stat(*pid).is_some_and(|stat| stat.parent == supervisor);
        self.process.session().into_iter().filter(is_worker).collect()
    }

    /// Kills a worker as the kernel would, and waits until it is gone.
    pub fn kill_worker(&self, pid: i32) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a worker can be killed");
        eventually("the killed worker to be reaped", || stat(pid).is_none().then_some(()));
    }

    /// Runs a command for it, such as `["reload", "--wait"]`, to its end; gives its exit status and all that it printed.
    pub fn command(&self, words: &[&str]) -> (i32, String) {
        let process = self.site.supervisor(&[words, &["-c", "server.yaml"]].concat());
        (process.exit_code(), process.whole_output())
    }

    /// What `status --json` says.
    pub fn status(&self) -> Value {
        let (_, text) = self.command(&["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("the status is no JSON ({why}): {text}"))
    }

    /// How many log lines have a message that contains `part`.
    pub fn count(&self, part: &str) -> usize {
        self.process.output().lines().filter(|line| says(line, part)).count()
    }

    /// Waits for a log line whose message contains `part`.
    pub fn logged(&self, part: &str) -> Value {
        self.process.wait(&format!("a log line that says {part:?}"), |lines, _| {
            lines.iter().find(|line| says(line, part)).map(|line| serde_json::from_str(line).unwrap_or(Value::Null))
        })
    }
}

/// Whether a line's message, or the whole of a line that is no JSON, contains `part`.
fn says(line: &str, part: &str) -> bool {
    match serde_json::from_str::<Value>(line) {
        Ok(value) => value["msg"].as_str().is_some_and(|message| message.contains(part)),
        Err(_) => line.contains(part),
    }
}

/// What the open descriptors of a process lead to, by number, such as `socket:[123]` or `/dev/null`.
pub fn descriptors(pid: i32) -> Vec<(i32, String)> {
    let folder = PathBuf::from(format!("/proc/{pid}/fd"));
    let entries = fs::read_dir(&folder).unwrap_or_else(|why| panic!("cannot list the descriptors of {pid}: {why}"));
    let mut found: Vec<(i32, String)> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let target = fs::read_link(&path).ok()?;
            Some((number(&path)?, target.to_string_lossy().into_owned()))
        })
        .collect();
    found.sort();
    found
}

fn number(path: &Path) -> Option<i32> {
    path.file_name()?.to_str()?.parse().ok()
}

/// What `/proc` says of a process that must be there.
pub fn living(pid: i32) -> Stat {
    stat(pid).unwrap_or_else(|| panic!("there is no process {pid}"))
}

/// Makes a process stand still, and waits until each of its threads does.
pub fn stop(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("a living process can be stopped");
    eventually("every thread to stand still", || stands_still(pid).then_some(()));
}

/// Whether each thread of a process has been stopped; a process that is gone stands still too.
pub fn stands_still(pid: i32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    let mut states = threads.filter_map(|thread| stat(thread.ok()?.file_name().to_str()?.parse().ok()?));
    states.all(|stat| stat.state == 'T' || stat.state == 'Z')
}

/// The command line of a process, as `ps` shows it.
pub fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned()
}
