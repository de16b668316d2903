//! The manual pages and what shells complete, made from the command line's own types and from the table of the file's keys.
//!
//! ```text
//!   supervisor manual FOLDER       supervisor.1, supervisor-run.1 ... and supervisor-server.yaml.5
//!   supervisor completions bash
//! ```
//!
//! A package that installs the program under another name makes them by that name: they call it what it was started as.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use monoceros_shared::config::{Key, keys};
use monoceros_shared::exit;

use crate::command::Line;
use crate::control::ask;
use crate::lessons;
use crate::listen::cause;

/// For which shell.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell.
    shell: Shell,
}

/// Where to.
#[derive(Debug, Args)]
pub struct Manual {
    /// A folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Completions {
    /// Prints what it completes; the exit status.
    pub fn print(self) -> i32 {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(&name()), name(), &mut script);
        ask::say(&String::from_utf8_lossy(&script));
        exit::DONE
    }
}

impl Manual {
    /// Writes the pages; the exit status.
    pub fn write(self) -> i32 {
        match pages(&self.folder, &name()) {
            Ok(()) => exit::DONE,
            Err(error) => {
                eprintln!("supervisor: cannot write into {}: {}", self.folder.display(), cause(&error));
                exit::FAILED
            }
        }
    }
}

/// What we were started as.
pub fn name() -> String {
    let own = std::env::args_os().next().map(PathBuf::from);
    let name = own.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "supervisor".to_owned())
}

fn command(name: &str) -> clap::Command {
    lessons::taught(Line::command(), name).name(name.to_owned()).bin_name(name.to_owned())
}

fn pages(folder: &Path, name: &str) -> io::Result<()> {
    clap_mangen::generate_to(command(name), folder)?;
    fs::write(folder.join(format!("{name}-server.yaml.5")), page_of_the_file(name))
}

/// The page of the file: a section for each map, a paragraph for each key.
fn page_of_the_file(name: &str) -> String {
    let title = format!("{name}-server.yaml");
    let version = format!("Monoceros {}", env!("CARGO_PKG_VERSION"));
    let mut page = Roff::new();
    page.control("TH", [title.as_str(), "5", "", version.as_str()]);
    page.control("SH", ["NAME"]).text([roman(format!("{title} - what the server serves"))]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "A YAML file. Durations and sizes are written with units: 500ms, 30s, 1h30m; 64KiB, 100MiB. In any value ${NAME} is taken from \
        the environment, and ${NAME:-default} where there is no NAME. Unknown keys, keys that stand there twice and values out of range \
        are errors that name file, line and column.",
    )]);
    let keys = keys();
    for section in keys.chunk_by(|a, b| a.section == b.section) {
        let heading = match section.first().map_or("", |key| key.section) {
            "" => "the top level",
            section => section,
        };
        page.control("SH", [heading]);
        section.iter().for_each(|key| paragraph(&mut page, key));
    }
    page.control("SH", ["SEE ALSO"]).text([bold(name.to_owned()), roman("(1)")]);
    page.render()
}

fn paragraph(page: &mut Roff, key: &Key) {
    let range = key.range.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
    let default =
        key.default.map_or_else(|| "; required".to_owned(), |default| format!("; by default {}", plain(default)));
    let about: [Inline; 1] = [roman(plain(key.about))];
    page.control("TP", []);
    page.text([bold(key.name), roman(": "), italic(plain(key.form)), roman(range + &default)]);
    page.text(about);
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_key_has_its_place() {
        let folder = tempfile::tempdir().unwrap();
        pages(folder.path(), "monoceros").unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        for shown in Line::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let page = read(&format!("monoceros-{}.1", shown.get_name()));
            assert!(page.contains(".TH"), "{page}");
        }
        assert!(read("monoceros.1").contains("monoceros"));
        let page = read("monoceros-server.yaml.5");
        let has = |key: &Key| page.contains(&format!("\\fB{}\\fR", key.name.replace('-', "\\-")));
        assert_eq!(keys().iter().filter(|key| !has(key)).map(|key| key.name).collect::<Vec<_>>(), Vec::<&str>::new());
        assert!(!page.contains('`'));
    }

    #[test]
    fn a_shell_completes_the_name_that_was_started() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut command("monoceros"), "monoceros", &mut script);
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("complete -F _monoceros") && script.contains("doctor"), "{script}");
    }
}
