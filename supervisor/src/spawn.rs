//! The one file that spawns.
//!
//! ```text
//!   Program::find: the file `worker` beside our own binary, opened once
//!   spawn:         exec /proc/self/fd/N   argv: worker: hello generation 1
//!                  descriptors: 0 the carrier, 1 and 2 its pipes or ours, nothing else; its own process group, our session
//! ```
//!
//! Rules
//! * A package that is replaced under a running supervisor changes nothing for it: the worker is exec'd from the
//!   descriptor opened at the start, so the two always are of one build.
//! * A process is named by its pidfd, which cannot come to mean another. A number is used only for its group, and only
//!   before it is reaped.
//!
//! Known fault: `/proc` must be mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString, OsString};
use std::fs::OpenOptions;
use std::io;
use std::num::NonZeroI32;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::fcntl::{AtFlags, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal;
use nix::unistd::{execve, execveat};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, pidfd_send_signal, waitid,
};

use crate::core::Exit;
use crate::environment::NOT_INHERITED;
use crate::listen::cause;

/// The worker's binary.
#[derive(Debug)]
pub struct Program {
    file: OwnedFd,
}

impl Program {
    /// Finds it beside our own binary.
    ///
    /// # Errors
    /// One line that says where it was looked for.
    pub fn find() -> Result<Program, String> {
        let own = std::env::current_exe().map_err(|error| format!("cannot find the worker: {}", cause(&error)))?;
        Program::open(&own.with_file_name("worker"))
    }

    /// Opens it at a path.
    pub fn open(path: &Path) -> Result<Program, String> {
        match open_program(path) {
            Ok(file) => Ok(Program { file }),
            Err(error) => Err(format!(
                "cannot find the worker: looked for {}: {}. `supervisor` and `worker` are installed together",
                path.display(),
                cause(&error)
            )),
        }
    }

    /// One that was opened by the program before us.
    pub fn of(file: OwnedFd) -> Program {
        Program { file }
    }

    /// Makes a process of it. `title` is what `ps` shows behind `worker:`, word by word.
    pub fn spawn(
        &self,
        title: &[String],
        environment: &BTreeMap<String, String>,
        standard: Standard,
    ) -> io::Result<Process> {
        // A bridge's accept leaves a socket without close-on-exec for the moment in which it reads one message of it
        // (see `link::channel`). What cannot be shielded was said at the start.
        let _ = keep_strangers_from_workers();
        let path = PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()));
        let mut command = Command::new(path);
        command.arg0(OsString::from("worker:")).args(title).stdin(standard.input).process_group(0);
        if let Some([output, error]) = standard.output {
            command.stdout(output).stderr(error);
        }
        for name in NOT_INHERITED {
            command.env_remove(name);
        }
        command.envs(environment);
        Process::spawned(&command.spawn()?)
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Opens a program without reading it.
pub fn open_program(path: &Path) -> io::Result<OwnedFd> {
    Ok(OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path)?.into())
}

/// Starts the program at a path to ask it something: what it is to read is its standard input, and what it says goes to `said`.
pub fn ask(program: &Path, arguments: &[OsString], (input, said): (OwnedFd, OwnedFd)) -> io::Result<Process> {
    let _ = keep_strangers_from_workers();
    let errors = said.try_clone()?;
    let mut command = Command::new(program);
    command.args(arguments);
    for name in NOT_INHERITED {
        command.env_remove(name);
    }
    Process::spawned(&command.stdin(input).stdout(said).stderr(errors).process_group(0).spawn()?)
}

/// Becomes the program at a path; why that cannot be, if it returns.
pub fn become_path(path: &CStr, arguments: &[CString], environment: &[CString]) -> String {
    let Err(errno) = execve(path, arguments, environment);
    errno.desc().to_owned()
}

/// Becomes a program that is open; why that cannot be, if it returns.
pub fn become_program(program: BorrowedFd<'_>, arguments: &[CString], environment: &[CString]) -> String {
    let Err(errno) = execveat(program, c"", arguments, environment, AtFlags::AT_EMPTY_PATH);
    errno.desc().to_owned()
}

/// The children that we made and that are not reaped. Whoever reaps strangers leaves these alone.
static OURS: Mutex<BTreeSet<NonZeroI32>> = Mutex::new(BTreeSet::new());

fn ours() -> MutexGuard<'static, BTreeSet<NonZeroI32>> {
    OURS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the end of this child belongs to a [`Process`].
pub fn is_ours(pid: Pid) -> bool {
    ours().contains(&pid.as_raw_nonzero())
}

/// What becomes a process's descriptors 0, 1 and 2. Closed here once it is spawned.
#[derive(Debug)]
pub struct Standard {
    /// Its carrier.
    pub input: OwnedFd,
    /// What it prints to; `None`: to where we do.
    pub output: Option<[OwnedFd; 2]>,
}

/// A worker's process.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
}

impl Process {
    /// One that we have just made.
    fn spawned(child: &Child) -> io::Result<Process> {
        // The number cannot have come to mean another process: only `reap` below waits for it.
        let pid = Pid::from_child(child);
        ours().insert(pid.as_raw_nonzero());
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Process { pid, pidfd }),
            Err(error) => {
                ours().remove(&pid.as_raw_nonzero());
                Err(error.into())
            }
        }
    }

    /// One that is there and that somebody else has made.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn of(pid: i32) -> io::Result<Process> {
        let pid = Pid::from_raw(pid).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Process { pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// One of which we had this pidfd.
    ///
    /// # Errors
    /// When the number is none.
    pub fn with(pid: u32, pidfd: OwnedFd) -> io::Result<Process> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        ours().insert(pid.as_raw_nonzero());
        Ok(Process { pid, pidfd })
    }

    /// The user that it is.
    pub fn uid(&self) -> Option<u32> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        // Real, effective, saved and of files (proc_pid_status(5)).
        status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
    }

    /// Whether it has not ended.
    pub fn lives(&self) -> bool {
        let mut fds = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }

    /// Asks it to exit now, by signal.
    pub fn quit(&self) {
        // Fails only when it is gone, which is what was wanted.
        let _ = pidfd_send_signal(&self.pidfd, Signal::QUIT);
    }

    /// Its number, for people.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Ends it and its group now. To be called only before it is reaped.
    pub fn kill(&self) {
        // Both fail only when there is nobody left to kill; the worker may have left its group, so it is named itself. One that is
        // not our child is reaped by somebody else, and then its group's number may be another's.
        if self.lives() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Kills and reaps one that nobody watches yet.
    pub fn end(self) {
        self.kill();
        // A process that was killed ends at once; it fails only when somebody else has reaped it.
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        ours().remove(&self.pid.as_raw_nonzero());
    }

    /// Asks it to drain.
    pub fn terminate(&self) {
        // Fails only when it is gone, which is what was wanted.
        let _ = pidfd_send_signal(&self.pidfd, Signal::TERM);
    }

    /// How it ended; `None` while it lives. Answers once: then its number may mean another process.
    pub fn reap(&self) -> Option<Exit> {
        let ended = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        let status = match ended {
            Ok(status) => Some(status?),
            // Somebody else has reaped it.
            Err(_) => None,
        };
        ours().remove(&self.pid.as_raw_nonzero());
        let Some(status) = status else {
            return Some(Exit::Unknown);
        };
        Some(match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) if status.dumped() => Exit::Dumped(name(signal)),
            (None, Some(signal)) => Exit::Signal(name(signal)),
            (None, None) => Exit::Unknown,
        })
    }
}

impl AsFd for Process {
    /// Readable when the process is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn name(number: i32) -> &'static str {
    signal::Signal::try_from(number).map_or("a real-time signal", signal::Signal::as_str)
}

/// Keeps what somebody left open for us to ourselves: workers must not hold it. It stays open here, for it may be a lock
/// that is meant to last as long as we do.
///
/// # Errors
/// When the kernel is older than Linux 5.11.
#[expect(unsafe_code, reason = "no crate of ours wraps close_range")]
pub fn keep_strangers_from_workers() -> io::Result<()> {
    // SAFETY: with this flag nothing is closed, so no descriptor that anybody owns changes its meaning.
    match unsafe { nix::libc::close_range(3, u32::MAX, nix::libc::CLOSE_RANGE_CLOEXEC as i32) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Allows us, and the workers that inherit it, as many open files as the hard limit does.
pub fn raise_descriptor_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Spawns `sh` as if it were the worker; what it says on its descriptor 0 comes out of the stream.
    fn sh(script: &str) -> (Process, UnixStream) {
        let program = Program::open(Path::new("/bin/sh")).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        let environment = BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]);
        let title = ["-c".to_owned(), script.to_owned()];
        (program.spawn(&title, &environment, Standard { input: theirs.into(), output: None }).unwrap(), ours)
    }

    fn ended(process: &Process) -> Exit {
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, PollTimeout::from(10_000_u16)).unwrap(), 1, "still alive");
        process.reap().unwrap()
    }

    /// Whether a descriptor of this test is one that any child would get.
    fn is_inherited(descriptor: &str) -> bool {
        let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}")).unwrap_or_default();
        let flags = flags.lines().find_map(|line| line.strip_prefix("flags:"));
        flags.is_some_and(|flags| i32::from_str_radix(flags.trim(), 8).unwrap() & OFlag::O_CLOEXEC.bits() == 0)
    }

    fn heard(mut stream: UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_process_has_the_carrier_as_its_descriptor_0_and_nothing_of_ours() {
        // Whoever runs the tests may have left something open for all of us; that is not ours.
        let ours = |entry: &str| std::fs::read_link(format!("/proc/self/fd/{entry}")).unwrap_or_default();
        let (process, stream) = sh("exec 1>&0; echo $COLOUR; exec ls -l /proc/self/fd");
        let listing = heard(stream);
        assert!(listing.starts_with("blue\n"), "{listing}");
        for line in listing.lines().filter_map(|line| line.split_once(" -> ")) {
            let descriptor = line.0.rsplit(' ').next().unwrap();
            let expected = matches!(descriptor, "0" | "1" | "2") || line.1.starts_with("/proc/");
            assert!(expected || ours(descriptor) == Path::new(line.1) && is_inherited(descriptor), "{listing}");
        }
        assert_eq!(ended(&process), Exit::Code(0));
    }

    #[test]
    fn a_process_has_a_group_of_its_own_and_our_session() {
        let (process, stream) = sh("read -r all < /proc/self/stat; echo $all >&0");
        let stat = heard(stream);
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        assert_eq!(fields[2], process.pid().to_string(), "process group");
        assert_eq!(fields[3], nix::unistd::getsid(None).unwrap().to_string(), "session");
        ended(&process);
    }

    #[test]
    fn ps_shows_what_a_process_is_for() {
        let (process, stream) = sh("exec 1>&0; tr '\\0' ' ' < /proc/$$/cmdline");
        assert!(heard(stream).starts_with("worker: -c exec"));
        ended(&process);
    }

    #[test]
    fn an_exit_is_told_as_it_was() {
        let (process, _stream) = sh("exit 7");
        assert_eq!(ended(&process), Exit::Code(7));
        let (process, _stream) = sh("kill -TERM $$");
        assert_eq!(ended(&process), Exit::Signal("SIGTERM"));
    }

    #[test]
    fn a_process_lives_until_it_is_asked_to_go() {
        let (process, mut stream) = sh("trap 'exit 3' TERM; echo >&0; while :; do read -r x <&0; done");
        stream.read_exact(&mut [0]).unwrap();
        assert_eq!(process.reap(), None);
        process.terminate();
        assert_eq!(ended(&process), Exit::Code(3));
    }

    #[test]
    fn a_kill_reaches_the_whole_group() {
        let (process, mut stream) = sh("exec 3>&0; sh -c 'echo >&3; read -r x <&3' & wait");
        stream.read_exact(&mut [0]).unwrap();
        process.kill();
        assert_eq!(ended(&process), Exit::Signal("SIGKILL"));
        // The child held the other end; its death is the end of the stream.
        assert_eq!(heard(stream), "");
    }

    #[test]
    fn a_worker_that_is_not_there_is_looked_for_aloud() {
        let why = Program::open(Path::new("/nowhere/worker")).unwrap_err();
        assert!(why.starts_with("cannot find the worker: looked for /nowhere/worker: No such file"), "{why}");
    }
}
