//! The config as its writers meet it: text in, a config or one located line out.

mod accepted;
mod command_line;
mod files;
mod hostile;
mod refused;
mod resolved;
mod schema;
mod tls;
mod watched;

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use super::check::Machine;
use super::check::Outcome;
use super::expand::Environment;
use super::fault::Fault;
use super::read::{check_tree, tree_of};
use super::{App, Config};

/// The config of a file's text.
fn check_text(text: &str, environment: Environment, machine: &Machine) -> Result<Outcome, Fault> {
    check_tree(tree_of(text)?, environment, machine)
}

/// A folder with a `server.yaml` to be, and a machine with two processors and a `somaxconn` of 4096.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().expect("a temporary folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Puts a file into it.
    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path().join(name), text).expect("a file can be written into a temporary folder");
        self
    }

    fn machine(&self) -> Machine {
        Machine { folder: self.path().to_owned(), somaxconn: Some(4096), processors: 2, now: SystemTime::now() }
    }

    /// The config of a text, or the error line of the file `f`.
    fn check(&self, text: &str) -> Result<Config, String> {
        let checked = check_text(text, &environment, &self.machine());
        if checked.is_ok() {
            assert_eq!(schema::marked(text), None, "an editor would mark it:\n{text}");
        }
        checked.map(|outcome| outcome.config).map_err(|fault| fault.in_file(Some(Path::new("f"))).to_string())
    }
}

/// What the tests' `${…}` see.
fn environment(name: &str) -> Option<OsString> {
    let value = match name {
        "HOST" => "127.0.0.1",
        "NUMBER" => "3",
        "SPAN" => "7s",
        "EMPTY" => "",
        "YES" => "true",
        "TRICK" => "a\nlisten: [b]",
        "DOLLAR" => "${HOST}",
        _ => return None,
    };
    Some(value.into())
}

/// The four lines that are enough, with more lines for the app.
fn app_with(lines: &str) -> String {
    let mut text = "apps:\n  hello:\n    wsgi: hello:application\n    listen: 127.0.0.1:8000\n".to_owned();
    for line in lines.lines() {
        text.push_str(&format!("    {line}\n"));
    }
    text
}

fn app(lines: &str) -> App {
    let config = Folder::new().check(&app_with(lines));
    config.expect("an acceptable config").apps.remove(0)
}

fn error(text: &str) -> String {
    Folder::new().check(text).expect_err("a config that is refused")
}

/// The error of an app's lines, which begin on line 5 and column 5.
fn app_error(lines: &str) -> String {
    error(&app_with(lines))
}
