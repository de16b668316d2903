//! `supervisor doctor`: what is wrong with this installation, or in the way of a file, and what to do.
//!
//! ```text
//!   the programs, the machine, the file --look--> facts --judge--> findings --> a table, or JSON
//! ```
//!
//! Rules
//! * It works where nothing else does: without a worker, without Python, with a broken file.
//! * It changes nothing and serves nobody. The worker is asked what it is, and to import the applications, as `supervisor check` does.
//! * Each finding that is not well says what to do.

mod doors;
mod finding;
mod machine;
mod programs;
mod reach;
mod site;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use monoceros_shared::config::{self, Checked, Config};
use monoceros_shared::exit;
use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, dup, dup2_stdout, faccessat};

use crate::command::{DEFAULT_FILE, form};
use crate::control::ask::{self, Form, Target};
use crate::listen::cause;
use crate::succession::orphans::Orphans;
use doors::Running;
use finding::{Finding, Verdict, worst};
use machine::Machine;
use programs::{Account, Programs};

/// What to look at, and how to print.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The YAML file to look at too; without it, `/etc/monoceros/server.yaml` where that is there.
    #[arg(short = 'c', long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Looks; the exit status.
    pub fn examine(self) -> i32 {
        let file = self.config.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
        examine(file.as_deref(), form(self.json))
    }
}

/// Looks, and prints what was found; the exit status. Without a file only the installation is looked at.
fn examine(file: Option<&Path>, form: Form) -> i32 {
    let findings = findings(file);
    let text = match form {
        Form::People => finding::table(&findings),
        Form::Programs => finding::json(&findings),
    };
    ask::say(&text);
    match worst(&findings) {
        Verdict::Ok | Verdict::Warn => exit::DONE,
        Verdict::Wrong => exit::FAILED,
    }
}

fn findings(file: Option<&Path>) -> Vec<Finding> {
    let programs = Programs::look();
    let mut found = programs.findings();
    let read = file.map(|file| (file, config::read(file)));
    let checked = read.as_ref().and_then(|(_, read)| read.as_ref().ok());
    let running = file.map_or(Running::No, running);
    found.extend(Machine::look(running.server()).findings(checked.map(|checked| &checked.config)));
    match &read {
        Some((file, Ok(checked))) => found.extend(of_file(file, checked, (&programs, &running))),
        Some((_, Err(error))) => {
            found.push(Finding::wrong("config", error.to_string(), "nothing is served before this is right"));
        }
        None => {}
    }
    found
}

fn of_file(file: &Path, checked: &Checked, (programs, running): (&Programs, &Running)) -> Vec<Finding> {
    let shown = file.display().to_string();
    let advice = "it is accepted, and does not do all that it says";
    let remarks = checked.warnings.iter().map(|warning| Finding::warn("config", warning.to_string(), advice));
    let overdue = checked
        .overdue
        .iter()
        .map(|overdue| Finding::wrong("config", overdue.error.to_string(), "renew it: no client accepts it"));
    let mut found: Vec<Finding> = remarks.chain(overdue).collect();
    if found.is_empty() {
        found.push(Finding::ok("config", &shown));
    }
    found.extend(site::findings(&checked.config, programs));
    found.extend(doors::findings(&checked.config, running));
    if matches!(programs.account, Account::Told(_)) {
        found.extend(imports(&checked.config));
    }
    found
}

fn running(file: &Path) -> Running {
    match ask::pid(&Target::File(file.to_owned())) {
        Some(pid) => Running::By(pid),
        None => Orphans::of(file).map_or(Running::No, |orphans| Running::Orphaned(orphans.pids())),
    }
}

/// What applications print while they are imported goes to standard error: what we say is to be read by programs too.
fn imports(config: &Config) -> Vec<Finding> {
    let _ = io::stdout().flush();
    let kept = dup(io::stdout()).and_then(|kept| dup2_stdout(io::stderr()).map(|()| kept));
    let found = site::imports(config);
    // Where it could not be turned away, it is where it was.
    let _ = kept.map(dup2_stdout);
    found
}

/// Whether we have these powers over a folder, as those that we act with.
fn writable(folder: &Path, powers: AccessFlags) -> Result<(), String> {
    let asked = faccessat(nix::fcntl::AT_FDCWD, folder, powers, AtFlags::AT_EACCESS);
    asked.map_err(|errno| cause(&io::Error::from(errno)))
}
