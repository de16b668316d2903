//! `worker --about`: what this program is, and which Python it starts; for `supervisor doctor`, and for people.
//!
//! What can be said without Python is said before it is started, for a Python that lacks its standard library may end the process.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use monoceros_shared::about::About;
use monoceros_shared::config::{CommandLine, from_command_line};
use monoceros_shared::exit;
use monoceros_shared::link::VERSION;

use crate::python;

/// Tells it; the exit status.
pub fn run() -> i32 {
    let mut about = About {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        link: VERSION,
        built_for: python::BUILT_FOR.to_owned(),
        library: library(),
        python: None,
    };
    let told = print(&about);
    about.python = Some(start());
    let works = about.python.as_ref().is_some_and(Result::is_ok);
    let told = told.and_then(|()| print(&about));
    if works && told.is_ok() { exit::DONE } else { exit::FAILED }
}

/// Who reads may have seen enough.
fn print(about: &About) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(about.to_string().as_bytes())?;
    stdout.flush()
}

/// Python, as an application without a virtualenv would find it.
fn start() -> Result<monoceros_shared::about::Python, String> {
    let line = CommandLine { wsgi: "about:none".into(), listen: vec!["unix:@none".into()], ..CommandLine::default() };
    let checked = from_command_line(line).map_err(|error| error.to_string())?;
    let app = checked.config.apps.into_iter().next().ok_or("there is no application")?;
    python::introduce(&app).map_err(|failure| failure.why)
}

/// The libpython that was loaded, as the kernel names it (proc_pid_maps(5)).
fn library() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let mut files = maps.lines().filter_map(|line| line.split_once('/')).map(|(_, path)| format!("/{path}"));
    files.find(|path| path.rsplit('/').next().is_some_and(|name| name.starts_with("libpython"))).map(PathBuf::from)
}
