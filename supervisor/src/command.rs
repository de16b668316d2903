//! The command line: what a person can ask for, and the help that says so.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use monoceros_shared::config::{self, Checked, CommandLine, Error};

/// Where the config is when nobody says.
const DEFAULT_FILE: &str = "/etc/monoceros/server.yaml";

/// Serves Python WSGI applications: reads a YAML file, listens, and keeps workers running.
#[derive(Debug, Parser)]
#[command(
    name = "supervisor",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Without a command, `supervisor` does `supervisor run`.\n\n\
        Exit status: 0 done, 1 failed, 2 the command line or the config is wrong.\n\
        Signals: TERM stops gracefully, INT and QUIT stop at once."
)]
pub struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    file: File,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve, until a signal says stop.
    #[command(after_help = "Examples:\n  supervisor run -c server.yaml\n  \
        supervisor run shop.wsgi:application --listen 0.0.0.0:8000 --workers 4")]
    Run(What),
    /// Say whether the config is right and every application can be imported; start nothing.
    #[command(after_help = "Prints FILE:LINE:COLUMN and what is wrong, and exits with 2; or `FILE: ok`.")]
    Check(What),
}

#[derive(Debug, Args)]
struct File {
    /// The YAML file that says what to serve.
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

/// A file, or one application without a file.
#[derive(Debug, Args)]
pub struct What {
    /// One application to serve without a file: MODULE:ATTRIBUTE, or MODULE:FACTORY().
    #[arg(value_name = "MODULE:CALLABLE", conflicts_with = "config")]
    wsgi: Option<String>,
    #[command(flatten)]
    file: File,
    /// Where to listen: HOST:PORT, unix:PATH or unix:@NAME. May be given several times.
    #[arg(long, value_name = "ADDRESS", requires = "wsgi")]
    listen: Vec<String>,
    /// How many worker processes: a number, or `auto`.
    #[arg(long, value_name = "N", requires = "wsgi")]
    workers: Option<String>,
    /// How many threads run Python in each worker.
    #[arg(long, value_name = "N", requires = "wsgi")]
    threads: Option<String>,
}

impl Line {
    /// What is wanted: `run`, when no command says.
    pub fn wanted(self) -> Command {
        let Line { command, file } = self;
        command.unwrap_or(Command::Run(What { wsgi: None, file, listen: Vec::new(), workers: None, threads: None }))
    }
}

impl What {
    /// The file, as the user named it.
    pub fn file(&self) -> Option<PathBuf> {
        self.wsgi.is_none().then(|| self.file.config.clone())
    }

    /// Reads and checks it.
    pub fn read(self) -> Result<Checked, Error> {
        match self.wsgi {
            None => config::read(&self.file.config),
            Some(wsgi) => config::from_command_line(CommandLine {
                wsgi,
                listen: self.listen,
                workers: self.workers,
                threads: self.threads,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Line::try_parse_from(line.split(' ')).map(Line::wanted)
    }

    #[test]
    fn the_definition_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn run_is_what_is_done_without_a_command() {
        for line in ["supervisor -c a.yaml", "supervisor run -c a.yaml", "supervisor run --config a.yaml"] {
            let Ok(Command::Run(what)) = parse(line) else { panic!("{line}") };
            assert_eq!(what.file(), Some("a.yaml".into()));
        }
        let Ok(Command::Run(what)) = parse("supervisor") else { panic!() };
        assert_eq!(what.file(), Some(DEFAULT_FILE.into()));
    }

    #[test]
    fn an_application_needs_no_file() {
        let line = "supervisor run a:b --listen 127.0.0.1:1 --listen unix:/s --workers 3 --threads 2";
        let Ok(Command::Run(what)) = parse(line) else { panic!() };
        assert_eq!(what.file(), None);
        assert_eq!(what.listen, ["127.0.0.1:1", "unix:/s"]);
        assert_eq!((what.workers.as_deref(), what.threads.as_deref()), (Some("3"), Some("2")));
        assert!(matches!(parse("supervisor check a:b"), Ok(Command::Check(_))));
    }

    #[test]
    fn a_file_and_an_application_contradict_each_other() {
        assert!(parse("supervisor run a:b -c a.yaml").is_err());
        assert!(parse("supervisor run --workers 3").is_err());
        assert!(parse("supervisor frobnicate").is_err());
    }
}
