//! The commands' side: finds a server, asks it, waits for its answer, prints it.
//!
//! ```text
//!   FILE -> names -> sockets in the runtime folders -> connect -> line -> line ... -> exit status
//! ```
//!
//! Rules
//! * FILE is never read: commands work while it is broken.
//! * A server that does not take a request up within [`PATIENCE`] is said to hang. For what it took up, one waits as
//!   long as it takes, for it has deadlines of its own, or as long as was said.
//! * What was done goes to standard output; how far it is, and what went wrong, to standard error.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use monoceros_shared::exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::os::fd::{AsFd, OwnedFd};

use super::place;
use super::screen::Meter;
use super::words::{Question, Reply, Request, parse, render};
use crate::command::DEFAULT_FILE;
use crate::core::line::span;
use crate::inquiry;
use crate::listen::cause;
use crate::status::{Report, State};
use crate::succession::orphans::Orphans;

/// How long a server may take to take a request up, and its process to end after its last word. Its loop never waits,
/// so a tenth of it is long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same where somebody waits at a screen, which hears no key meanwhile. Longer makes it seem dead, shorter calls a busy server so.
const GLANCE: Duration = Duration::from_secs(2);

/// Which server is meant.
#[derive(Clone, Debug)]
pub enum Target {
    /// That of a config file.
    File(PathBuf),
    /// The one that listens here.
    Socket(PathBuf),
}

/// For whom it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text.
    People,
    /// JSON.
    Programs,
}

/// Until when a command waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// It was taken up.
    Accepted,
    /// It has happened.
    Done,
}

/// How a command waits for a thing to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Until when.
    pub until: Until,
    /// How long at most; then the server goes on alone.
    pub limit: Option<Duration>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody listens.
    NotRunning,
    /// Nothing is heard of the server in the time that it has.
    Silence,
    /// One line.
    Cannot(String),
}

impl Trouble {
    /// It, for a screen on which the next look may find another thing.
    pub fn words(&self) -> String {
        match self {
            Trouble::NotRunning => "no server runs".to_owned(),
            Trouble::Silence => "the server does not answer".to_owned(),
            Trouble::Cannot(why) => why.clone(),
        }
    }

    /// What a command exits with for it.
    pub fn exit(&self) -> i32 {
        match self {
            Trouble::NotRunning => exit::NOT_RUNNING,
            Trouble::Silence | Trouble::Cannot(_) => exit::FAILED,
        }
    }
}

/// Prints how things are; the exit status.
pub fn status(target: &Target, form: Form) -> i32 {
    let shown = look(target).map(|report| {
        say(&shown(&report, form));
        exit_of(&report)
    });
    settle(target, shown)
}

/// How things are.
pub(super) fn look(target: &Target) -> Result<Report, Trouble> {
    Server::connect(target, PATIENCE)?.status()
}

/// The same for somebody who has eyes on it, and has no patience.
pub(super) fn glance(target: &Target) -> Result<Report, Trouble> {
    Server::connect(target, GLANCE)?.status()
}

/// The process of a server, if it runs.
pub fn pid(target: &Target) -> Option<u32> {
    look(target).ok().map(|report| report.pid)
}

/// A report, printed.
pub(super) fn shown(report: &Report, form: Form) -> String {
    match form {
        Form::People => report.to_string(),
        Form::Programs => format!("{}\n", serde_json::to_string_pretty(report).unwrap_or_default()),
    }
}

/// What `status` exits with.
pub(super) fn exit_of(report: &Report) -> i32 {
    match report.state {
        State::Degraded | State::Parked => exit::DEGRADED,
        State::Serving | State::Reloading | State::Stopping => exit::DONE,
    }
}

/// Prints what the workers run; the exit status.
pub fn stacks(target: &Target, of: Option<String>, form: Form) -> i32 {
    let told = Server::connect(target, PATIENCE).and_then(|mut server| {
        server.say(&Question { request: Request::Stacks { of }, progress: false })?;
        match server.hear()? {
            Some(Reply::Stacks { workers }) => Ok(workers),
            other => Err(unexpected(other)),
        }
    });
    let printed = told.map(|workers| {
        match form {
            Form::People => say(&inquiry::show(&workers)),
            Form::Programs => say(&format!("{}\n", serde_json::to_string_pretty(&workers).unwrap_or_default())),
        }
        exit::DONE
    });
    settle(target, printed)
}

/// Has a thing done; the exit status.
pub fn order(target: &Target, request: &Request, wait: Wait) -> i32 {
    settle(
        target,
        Server::connect(target, PATIENCE).and_then(|mut server| server.order(request, wait)).map(|reply| match reply {
            Reply::Done { text } => {
                say(&format!("{text}\n"));
                exit::DONE
            }
            Reply::Failed { why, detail } => {
                eprintln!("supervisor: {why}");
                detail.lines().for_each(|line| eprintln!("    {line}"));
                exit::FAILED
            }
            Reply::Accepted | Reply::Progress(_) | Reply::Status(_) | Reply::Stacks { .. } | Reply::Refused { .. } => {
                exit::DONE
            }
        }),
    )
}

/// Has a server stop by draining, and waits until its process is gone; the exit status.
pub fn stop(target: &Target, limit: Option<Duration>) -> i32 {
    let stopped = Server::connect(target, PATIENCE).and_then(|server| server.stop(limit));
    let stopped = match (stopped, target) {
        (Err(Trouble::NotRunning), Target::File(file)) => stop_orphans(file),
        (stopped, Target::File(_) | Target::Socket(_)) => stopped,
    };
    settle(target, stopped.map(|()| exit::DONE))
}

/// Has workers drain whose supervisor is gone, and waits until they are too.
fn stop_orphans(file: &Path) -> Result<(), Trouble> {
    let orphans = Orphans::of(file).ok_or(Trouble::NotRunning)?;
    eprintln!("supervisor: no supervisor runs; its workers drain: processes {}", orphans.pids());
    orphans.stop().map_err(Trouble::Cannot)
}

/// Prints. Who reads may have seen enough, as `head` does; that is no failure.
pub fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// What to do for whoever has named no file, where there is none at the usual place.
fn advice(file: &Path) -> &'static str {
    let is_named = file != Path::new(DEFAULT_FILE) || file.exists();
    if is_named { "" } else { "; name its file with `-c FILE`" }
}

pub(super) fn settle(target: &Target, outcome: Result<i32, Trouble>) -> i32 {
    match outcome {
        Ok(status) => status,
        Err(Trouble::NotRunning) => {
            match target {
                Target::File(file) => match Orphans::of(file) {
                    Some(orphans) => eprintln!(
                        "supervisor: no supervisor runs for {}, but workers of one serve: processes {}",
                        file.display(),
                        orphans.pids()
                    ),
                    None => eprintln!("supervisor: no server runs for {}{}", file.display(), advice(file)),
                },
                Target::Socket(path) => eprintln!("supervisor: no server listens on {}", path.display()),
            }
            exit::NOT_RUNNING
        }
        Err(Trouble::Silence) => {
            eprintln!("supervisor: the server does not answer within {} s", PATIENCE.as_secs());
            exit::FAILED
        }
        Err(Trouble::Cannot(why)) => {
            eprintln!("supervisor: {why}");
            exit::FAILED
        }
    }
}

/// A connection to a server.
struct Server {
    stream: BufReader<UnixStream>,
}

impl Server {
    fn connect(target: &Target, patience: Duration) -> Result<Server, Trouble> {
        for path in sockets(target)? {
            let cannot = |error| Trouble::Cannot(format!("cannot ask {}: {}", path.display(), cause(&error)));
            match UnixStream::connect(&path) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(patience)).map_err(cannot)?;
                    stream.set_write_timeout(Some(patience)).map_err(cannot)?;
                    return Ok(Server { stream: BufReader::new(stream) });
                }
                // What a killed server left refuses.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {}
                Err(error) => return Err(cannot(error)),
            }
        }
        Err(Trouble::NotRunning)
    }

    fn status(&mut self) -> Result<Report, Trouble> {
        self.say(&Question { request: Request::Status, progress: false })?;
        match self.hear()? {
            Some(Reply::Status(report)) => Ok(*report),
            other => Err(unexpected(other)),
        }
    }

    fn order(&mut self, request: &Request, wait: Wait) -> Result<Reply, Trouble> {
        self.accepted(request, wait.until)?;
        match wait.until {
            Until::Accepted => Ok(Reply::Accepted),
            Until::Done => match self.hear_within(wait.limit)? {
                Some(reply @ (Reply::Done { .. } | Reply::Failed { .. })) => Ok(reply),
                None => Err(Trouble::Cannot("the server ended before it was done".into())),
                other => Err(unexpected(other)),
            },
        }
    }

    fn stop(mut self, limit: Option<Duration>) -> Result<(), Trouble> {
        let process = self.process();
        self.accepted(&Request::Stop, Until::Done)?;
        while let Some(reply) = self.hear_within(limit)? {
            if let Reply::Failed { why, .. } = reply {
                return Err(Trouble::Cannot(why));
            }
        }
        let Some(process) = process else {
            return Ok(());
        };
        let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, patience) {
            Ok(0) => Err(Trouble::Cannot("the server has stopped, but its process does not end".into())),
            Ok(_) => Ok(()),
            Err(errno) => Err(Trouble::Cannot(format!("cannot wait for the server's end: {}", errno.desc()))),
        }
    }

    /// The server's process; `None` where it is in a namespace that we do not see.
    fn process(&self) -> Option<OwnedFd> {
        let credentials = getsockopt(self.stream.get_ref(), sockopt::PeerCredentials).ok()?;
        pidfd_open(Pid::from_raw(credentials.pid())?, PidfdFlags::empty()).ok()
    }

    /// Asks, and goes on when the server has taken it up.
    fn accepted(&mut self, request: &Request, until: Until) -> Result<(), Trouble> {
        self.say(&Question { request: request.clone(), progress: until == Until::Done })?;
        match self.hear()? {
            Some(Reply::Accepted) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// The next answer to what was taken up, within this time; what comes before it says how far it is.
    fn hear_within(&mut self, limit: Option<Duration>) -> Result<Option<Reply>, Trouble> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut meter = Meter::default();
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let over =
                || Trouble::Cannot(format!("not done within {}; the server goes on", span(limit.unwrap_or_default())));
            // The kernel would take zero for no limit.
            if left.is_some_and(|left| left.is_zero()) {
                return Err(over());
            }
            let patient = self.stream.get_ref().set_read_timeout(left);
            patient.map_err(|error| Trouble::Cannot(format!("cannot wait for the server: {}", cause(&error))))?;
            match self.hear() {
                Ok(Some(Reply::Progress(progress))) => meter.show(&progress),
                Err(Trouble::Silence) => return Err(over()),
                heard => return heard,
            }
        }
    }

    fn say(&mut self, question: &Question) -> Result<(), Trouble> {
        let line = render(question).map_err(Trouble::Cannot)?;
        let said = self.stream.get_mut().write_all(&line);
        said.map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Trouble::Silence,
            _ => Trouble::Cannot(format!("cannot ask the server: {}", cause(&error))),
        })
    }

    /// The next answer; `None` when the server has ended the connection.
    fn hear(&mut self) -> Result<Option<Reply>, Trouble> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => Ok(None),
            Ok(_) => parse(&line).map(Some).map_err(Trouble::Cannot),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Trouble::Silence),
            Err(error) => Err(Trouble::Cannot(format!("cannot hear the server: {}", cause(&error)))),
        }
    }
}

fn unexpected(reply: Option<Reply>) -> Trouble {
    Trouble::Cannot(match reply {
        Some(Reply::Refused { why } | Reply::Failed { why, .. }) => why,
        Some(Reply::Accepted | Reply::Progress(_) | Reply::Done { .. } | Reply::Status(_) | Reply::Stacks { .. }) => {
            "the server answered something else: it may be of another version".into()
        }
        None => "the server ended the connection without an answer".into(),
    })
}

/// Where a server may listen, the likeliest first.
fn sockets(target: &Target) -> Result<Vec<PathBuf>, Trouble> {
    match target {
        Target::Socket(path) => Ok(vec![path.clone()]),
        Target::File(file) => sockets_of(file, &place::folders()),
    }
}

fn sockets_of(file: &Path, folders: &[PathBuf]) -> Result<Vec<PathBuf>, Trouble> {
    let names = place::names(file).map_err(|error| match error.kind() {
        // A file whose folder is not there has no server.
        ErrorKind::NotFound => Trouble::NotRunning,
        _ => Trouble::Cannot(format!("cannot find {}: {}", file.display(), cause(&error))),
    })?;
    let in_folder = |folder: &PathBuf| names.iter().map(|name| folder.join(format!("{name}.sock"))).collect::<Vec<_>>();
    Ok(folders.iter().flat_map(in_folder).collect())
}
