//! Would the next supervisor go on? Asked of the program itself, as a child, before anything is changed.
//!
//! ```text
//!   supervisor preflight -c FILE < baggage      reads the baggage, the file, and has the worker beside it say its version
//!       -> "ready", exit 0                      it can
//!       -> one line, exit 1                     it cannot
//! ```
//!
//! Rule: what it says goes to memory and is read when it has ended, so nobody waits for it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use monoceros_shared::config::{self, Config};
use monoceros_shared::exit;
use monoceros_shared::link::channel::{self, Door};
use monoceros_shared::link::fd::{Carrier, Greeting};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::FORM;
use super::baggage::Baggage;
use crate::core::Exit;
use crate::listen::cause;
use crate::spawn::{self, Process, Program, Standard};

/// What it says when it can.
const READY: &str = "ready";

/// The subcommand, which no person needs.
pub const SUBCOMMAND: &str = "preflight";

/// How long a worker may take to connect. It does so before it starts Python.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of what it says that are read: a wrong program may say anything.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// One that is under way.
pub struct Preflight {
    process: Process,
    said: File,
}

impl Preflight {
    /// Begins.
    ///
    /// # Errors
    /// One line: `cannot execute /usr/bin/supervisor: Permission denied`.
    pub fn begin(program: &Path, file: Option<&Path>, baggage: &Baggage) -> Result<Preflight, String> {
        let mut arguments = vec![OsString::from(SUBCOMMAND)];
        arguments.extend(file.into_iter().flat_map(|file| ["-c".into(), file.into()]));
        let begin = || {
            let said = File::from(memfd_create("monoceros-preflight", MFdFlags::MFD_CLOEXEC)?);
            let process = spawn::ask(program, &arguments, (baggage.pack()?, said.try_clone()?.into()))?;
            Ok(Preflight { process, said })
        };
        begin().map_err(|error: io::Error| format!("cannot execute {}: {}", program.display(), cause(&error)))
    }

    /// What it came to, once it has ended.
    pub fn outcome(mut self) -> Option<Result<(), String>> {
        let exit = self.process.reap()?;
        let mut said = Vec::new();
        let read = self.said.rewind().and_then(|()| self.said.take(SAID_BYTES_MAX).read_to_end(&mut said));
        let said = read.map(|_| String::from_utf8_lossy(&said).into_owned()).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Some(match exit {
            Exit::Code(0) if last == READY => Ok(()),
            Exit::Code(_) if !last.is_empty() => Err(format!("the new supervisor cannot take over: {last}")),
            Exit::Code(_) | Exit::Signal(_) | Exit::Dumped(_) | Exit::Unknown => {
                Err(format!("the new supervisor does not say that it can take over: it ended with {exit}"))
            }
        })
    }

    /// Ends it.
    pub fn end(self) {
        self.process.end();
    }
}

impl AsFd for Preflight {
    /// Readable when it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

/// The child's side; the exit status.
pub fn run(file: Option<&Path>) -> i32 {
    match look(file) {
        Ok(()) => {
            println!("{READY}");
            exit::DONE
        }
        Err(why) => {
            println!("{}", why.lines().collect::<Vec<_>>().join("; "));
            exit::FAILED
        }
    }
}

fn look(file: Option<&Path>) -> Result<(), String> {
    let baggage = Baggage::unpack(io::stdin().as_fd(), FORM)?;
    match file {
        Some(file) => drop(config::read(file).map_err(|error| error.to_string())?),
        None => drop(config_of(&baggage)?),
    }
    worker_answers()
}

/// The config in a baggage, if this build reads what that one wrote.
///
/// # Errors
/// Why not.
pub fn config_of(baggage: &Baggage) -> Result<Config, String> {
    let config = serde_json::from_value(baggage.config.clone());
    config.map_err(|error| format!("cannot read the config that is run: {error}"))
}

/// Whether the worker beside us starts, and speaks as we do.
fn worker_answers() -> Result<(), String> {
    let program = Program::find()?;
    let cannot = |error: io::Error| format!("cannot try the worker: {}", cause(&error));
    let door = Door::open().map_err(cannot)?;
    let name = door.name().to_owned();
    let (ours, theirs) = Carrier::pair().map_err(cannot)?;
    ours.greet(&Greeting::new(&name)).map_err(cannot)?;
    let title = [SUBCOMMAND.to_owned()];
    // What it says when it is ended would stand beside our own word, perhaps within it.
    let nowhere = || Ok(OwnedFd::from(File::options().write(true).open("/dev/null")?));
    let output = Some([nowhere().map_err(cannot)?, nowhere().map_err(cannot)?]);
    let process =
        program.spawn(&title, &Default::default(), Standard { input: theirs.into(), output }).map_err(cannot)?;
    let (said, heard) = mpsc::channel();
    let bridge = thread::spawn(move || {
        // Nobody hears it when time is up.
        let _ = said.send(door.accept().is_ok());
    });
    let connected = heard.recv_timeout(WORKER_PATIENCE).unwrap_or(false);
    process.end();
    channel::release(&name);
    // A panic in it is a failure too, which the channel has told.
    let _ = bridge.join();
    if connected { Ok(()) } else { Err("the worker beside the new supervisor does not answer".into()) }
}
