//! A process under watch: its lines as they come, its end, everything it left behind.
//!
//! It runs in a session of its own, for workers are process groups of their own and share only the session; whatever
//! is left in that session when the test ends is killed. It dies with the test's thread, so that a test that is
//! itself killed leaves nothing either.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long any fact may take to come true. Shorter fails on a busy machine; longer only delays a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a fact that nothing announces is looked at.
const GLANCE: Duration = Duration::from_millis(5);

/// Looks at a fact that nothing announces until it holds, and gives what it found.
///
/// It fails after [`PATIENCE`], with `what` and what was seen last.
pub fn eventually<T, S: Sight<T>>(what: &str, look: impl FnMut() -> S) -> T {
    within(PATIENCE, look).unwrap_or_else(|seen| panic!("waited {PATIENCE:?} in vain for {what}; last seen: {seen}"))
}

/// Looks at a fact that nothing announces until it holds, or until `limit` has passed; then gives what was seen last.
///
/// The only place that lets time pass.
pub fn within<T, S: Sight<T>>(limit: Duration, mut look: impl FnMut() -> S) -> Result<T, String> {
    let deadline = Instant::now() + limit;
    loop {
        match look().found() {
            Err(_) if Instant::now() < deadline => thread::park_timeout(GLANCE),
            looked => return looked,
        }
    }
}

/// What a look at a fact gives: the fact, or what was seen instead.
pub trait Sight<T> {
    /// The fact, or words for what was seen instead.
    fn found(self) -> Result<T, String>;
}

impl<T> Sight<T> for Option<T> {
    fn found(self) -> Result<T, String> {
        self.ok_or_else(|| "nothing of it".to_owned())
    }
}

impl<T, S: Debug> Sight<T> for Result<T, S> {
    fn found(self) -> Result<T, String> {
        self.map_err(|seen| format!("{seen:?}"))
    }
}

/// The folder that cargo builds into, `target` unless told otherwise.
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("a profile's folder lies in the target folder").to_owned()
}

/// Where cargo put the programs: beside the `deps` folder that this test runs from.
pub fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let deps = test.parent().expect("a program lies in a folder");
    deps.parent().expect("deps lies in the profile's folder").to_owned()
}

/// The path of `supervisor` or `worker` as built beside this test.
pub fn program(name: &str) -> PathBuf {
    let path = profile_folder().join(name);
    assert!(path.exists(), "{} is not built: run `cargo build --workspace --bins`, or `make test`", path.display());
    path
}

/// The python of the tests' virtual environment, which `make test` sets up.
pub fn python() -> PathBuf {
    let path = target_folder().join("venv/bin/python");
    assert!(path.exists(), "{} is not there: run `make venv`, or `make test`", path.display());
    path
}

/// A program of the distribution's, which `make test` installs.
pub fn installed(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let found = folders.iter().map(|folder| PathBuf::from(folder).join(name)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("{name} is not installed: run `make proxies`, or `make test`"))
}

/// What has been seen of a process.
#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    status: Option<ExitStatus>,
    /// How many of its two output pipes somebody still holds.
    open: usize,
}

/// The watchers' side and the test's side of what has been seen.
#[derive(Default)]
struct Watch {
    seen: Mutex<Seen>,
    changed: Condvar,
}

impl Watch {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no watcher panics")
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }
}

/// A started program.
pub struct Process {
    pid: Pid,
    watch: Arc<Watch>,
}

impl Process {
    /// Starts `program` in `folder`, with `variables` added to the environment.
    pub fn start<S: AsRef<OsStr>>(
        program: &Path,
        arguments: &[S],
        folder: &Path,
        variables: &[(String, String)],
    ) -> Process {
        let mut child = Command::new("setsid")
            .args(["setpriv", "--pdeathsig", "KILL"])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|why| panic!("cannot start {}: {why}", program.display()));
        let pid = Pid::from_raw(child.id() as i32);
        let watch = Arc::new(Watch::default());
        watch.seen().open = 2;
        collect(child.stdout.take().expect("stdout is a pipe"), &watch);
        collect(child.stderr.take().expect("stderr is a pipe"), &watch);
        let waiter = Arc::clone(&watch);
        thread::spawn(move || {
            let status = child.wait().expect("a child can be waited for");
            waiter.note(|seen| seen.status = Some(status));
        });
        Process { pid, watch }
    }

    /// Its process id, which is its session's too.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until `fact` finds what it looks for in the lines and the status so far.
    pub fn wait<T>(&self, what: &str, fact: impl Fn(&[String], Option<ExitStatus>) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.watch.seen();
        loop {
            if let Some(found) = fact(&seen.lines, seen.status) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let log = seen.lines.join("\n");
                drop(seen);
                panic!("waited {PATIENCE:?} in vain for {what}; status and output:\n{:?}\n{log}", self.status());
            }
            seen = self.watch.changed.wait_timeout(seen, left).expect("no watcher panics").0;
        }
    }

    /// Waits for a line that has `part` in it.
    pub fn line(&self, part: &str) -> String {
        self.wait(&format!("a line with {part:?}"), |lines, _| lines.iter().find(|line| line.contains(part)).cloned())
    }

    /// Its exit status, when it has ended by itself or a signal.
    pub fn status(&self) -> Option<ExitStatus> {
        self.watch.seen().status
    }

    /// Waits for its end and gives the exit code; fails when a signal ended it.
    pub fn exit_code(&self) -> i32 {
        let status = self.wait("its exit", |_, status| status);
        status.code().unwrap_or_else(|| panic!("it ended by {status}; output:\n{}", self.output()))
    }

    /// Waits until nobody holds its output any more, and gives all of it.
    pub fn whole_output(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = self.watch.seen();
        while seen.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "its output is still held open by {:?}", session(self.pid));
            seen = self.watch.changed.wait_timeout(seen, left).expect("no watcher panics").0;
        }
        seen.lines.join("\n")
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        self.watch.seen().lines.join("\n")
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid, signal).unwrap_or_else(|why| panic!("cannot send {signal} to {}: {why}", self.pid));
    }

    /// Every process of its session, itself included while it lives.
    pub fn session(&self) -> BTreeSet<i32> {
        session(self.pid)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("---- output of process {} ----\n{}", self.pid, self.output());
        }
        for pid in session(self.pid) {
            // It may have ended meanwhile, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Reads a pipe to its end, line by line, from a thread of its own.
fn collect(pipe: impl Read + Send + 'static, watch: &Arc<Watch>) {
    let watch = Arc::clone(watch);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            watch.note(|seen| seen.lines.push(line));
        }
        watch.note(|seen| seen.open -= 1);
    });
}

/// The living processes of a session (proc_pid_stat(5), field 6).
fn session(leader: Pid) -> BTreeSet<i32> {
    let folders = fs::read_dir("/proc").expect("/proc is mounted");
    let pids = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|stat| stat.session == leader.as_raw() && stat.state != 'Z')).collect()
}

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Debug)]
pub struct Stat {
    /// The first 15 bytes of its name.
    pub name: String,
    /// `R`, `S`, `Z` and so on.
    pub state: char,
    /// Its parent.
    pub parent: i32,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
}

/// What `/proc/PID/stat` says of `pid`; nothing when there is no such process.
pub fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold any byte, a parenthesis too.
    let (before, after) = text.rsplit_once(") ")?;
    let name = before.split_once('(')?.1.to_owned();
    let mut fields = after.split(' ');
    Some(Stat {
        name,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
    })
}
