//! The command line: what a person can ask for, and the help that says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use monoceros_shared::config::{self, Checked, CommandLine, Error};

use crate::check::Check;
use crate::control::ask::{self, Form, Target, Until, Wait};
use crate::control::words::Request;
use crate::control::{screen, top};
use crate::dev::Dev;
use crate::doctor::Doctor;
use crate::lessons;
use crate::manual::{self, Completions, Manual};
use crate::migrate::Migrate;
use crate::standard_input;

/// Where the config is when nobody says.
pub const DEFAULT_FILE: &str = "/etc/monoceros/server.yaml";

/// Why nothing is served when nobody said what.
const NOTHING_NAMED: &str = "cannot read the file: it does not exist; name another, `supervisor run -c FILE`, or an application, \
    `supervisor run MODULE:CALLABLE`; `supervisor --help` has an example";

/// Serves Python WSGI applications: reads a YAML file, listens, and keeps workers running.
#[derive(Debug, Parser)]
#[command(name = "supervisor", version, args_conflicts_with_subcommands = true)]
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
    Run(What),
    /// Say whether the config is right and every application can be imported; start nothing.
    #[command(after_help = "Prints FILE:LINE:COLUMN and what is wrong, or `FILE: ok`.")]
    Check(Check),
    /// Print the config file's JSON Schema, for editors that complete and check it.
    Schema,
    /// Print the config that does what gunicorn or uWSGI did by its own, with what became of each of its settings.
    #[command(
        after_help = "GUNICORN_CMD_ARGS counts as gunicorn counts it. A gunicorn config file is a program, and is run."
    )]
    Migrate(Migrate),
    /// Serve one application while working on it: no file, hot reload, tracebacks in the browser.
    Dev(Dev),
    /// Print how the server of FILE is doing.
    Status(Status),
    /// Show how the server of FILE works: workers, rates, times, requests under way. On a terminal, until q.
    #[command(
        after_help = "Keys: q quits; s and the arrows choose what workers are sorted by, r turns it round; up and down go through \
        the requests; p holds it still."
    )]
    Top(Server),
    /// Have the server of FILE read it again and replace its workers, without anybody noticing.
    #[command(after_help = "FILE is read by the server, not by this command. A reload that fails changes nothing.")]
    Reload(Reload),
    /// Give an application another number of workers, until the server ends.
    Scale(Scale),
    /// Have the server of FILE open its log file anew, after that was moved away.
    Reopen(Server),
    /// Have the supervisor of FILE become the program that lies there now, without anybody noticing, and its workers too.
    Upgrade(Awaited),
    /// Say whether this program could take over from another one, which asks.
    #[command(hide = true)]
    Preflight(Preflight),
    /// Print what the workers of FILE's server run: the Python stacks of all threads. Nothing stops for it.
    Stacks(Stacks),
    /// Stop the server of FILE gracefully, and wait until it is gone.
    Stop(Awaited),
    /// Say what is wrong with this installation, or in the way of FILE, and what to do.
    Doctor(Doctor),
    /// Print what a shell completes this command with.
    Completions(Completions),
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Manual(Manual),
}

/// What another supervisor serves.
#[derive(Debug, Args)]
pub struct Preflight {
    /// Its file, if it has one.
    #[arg(short = 'c', value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// Which server, and how to print.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    server: Server,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print again every second, until q or ctrl-C.
    #[arg(long)]
    watch: bool,
}

/// Which server, whose stacks, and how to print.
#[derive(Debug, Args)]
pub struct Stacks {
    #[command(flatten)]
    server: Server,
    /// Only those of this application, or of the worker of this number.
    #[arg(value_name = "APP|WORKER")]
    of: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which server, and how long to wait.
#[derive(Debug, Args)]
pub struct Awaited {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    patience: Patience,
}

/// How long to wait.
#[derive(Debug, Args)]
struct Patience {
    /// Wait this long at most, such as `30s`; then exit with 1, while the server goes on.
    #[arg(long, value_name = "DURATION", value_parser = config::duration)]
    timeout: Option<Duration>,
}

/// Which server, and how long to wait.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    server: Server,
    /// Wait until the new workers serve; exit with 1 and say why if they do not.
    #[arg(long)]
    wait: bool,
    /// With `--wait`: this long at most, such as `30s`; then exit with 1, while the server goes on.
    #[arg(long, value_name = "DURATION", value_parser = config::duration, requires = "wait")]
    timeout: Option<Duration>,
}

/// Which server, which application, how many.
#[derive(Debug, Args)]
pub struct Scale {
    #[command(flatten)]
    server: Server,
    /// The application's name.
    #[arg(value_name = "APP")]
    pub app: String,
    /// How many workers.
    #[arg(value_name = "N")]
    pub workers: usize,
    #[command(flatten)]
    patience: Patience,
}

/// Which server.
#[derive(Debug, Args)]
pub struct Server {
    #[command(flatten)]
    file: File,
    /// The server's control socket, if it has no file or FILE is elsewhere.
    #[arg(long, value_name = "SOCKET", conflicts_with = "config")]
    control: Option<PathBuf>,
}

impl Server {
    /// The server that is meant.
    pub fn target(self) -> Target {
        self.control.map_or(Target::File(self.file.config), Target::Socket)
    }
}

/// How often a thing is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeat {
    /// Once.
    Once,
    /// Every second.
    Ever,
}

/// For whom to print.
pub fn form(json: bool) -> Form {
    if json { Form::Programs } else { Form::People }
}

impl Status {
    /// The server that is meant, how to print, and how often.
    fn meaning(self) -> (Target, Form, Repeat) {
        (self.server.target(), form(self.json), if self.watch { Repeat::Ever } else { Repeat::Once })
    }

    /// Asks it; the exit status.
    pub fn ask(self) -> i32 {
        match self.meaning() {
            (target, form, Repeat::Once) => ask::status(&target, form),
            (target, form, Repeat::Ever) => screen::watch(&target, form),
        }
    }
}

impl Stacks {
    /// The server that is meant, whose stacks, and how to print.
    fn meaning(self) -> (Target, Option<String>, Form) {
        (self.server.target(), self.of, form(self.json))
    }

    /// Asks it; the exit status.
    pub fn ask(self) -> i32 {
        let (target, of, form) = self.meaning();
        ask::stacks(&target, of, form)
    }
}

impl Reload {
    /// The server that is meant, and how to wait.
    fn meaning(self) -> (Target, Wait) {
        let until = if self.wait { Until::Done } else { Until::Accepted };
        (self.server.target(), Wait { until, limit: self.timeout })
    }

    /// Asks it; the exit status.
    pub fn ask(self) -> i32 {
        let (target, wait) = self.meaning();
        ask::order(&target, &Request::Reload, wait)
    }
}

impl Scale {
    /// The server that is meant, what it is asked, and how to wait.
    fn meaning(self) -> (Target, Request, Wait) {
        let request = Request::Scale { app: self.app, workers: self.workers };
        (self.server.target(), request, Wait { until: Until::Done, limit: self.patience.timeout })
    }

    /// Asks it; the exit status.
    pub fn ask(self) -> i32 {
        let (target, request, wait) = self.meaning();
        ask::order(&target, &request, wait)
    }
}

impl Server {
    /// Shows how it works; the exit status.
    pub fn top(self) -> i32 {
        top::top(&self.target())
    }

    /// Has it open its log anew; the exit status.
    pub fn reopen(self) -> i32 {
        ask::order(&self.target(), &Request::Reopen, Wait { until: Until::Done, limit: None })
    }
}

impl Awaited {
    /// The server that is meant, and how long to wait.
    fn meaning(self) -> (Target, Option<Duration>) {
        (self.server.target(), self.patience.timeout)
    }

    /// Has it stop; the exit status.
    pub fn stop(self) -> i32 {
        let (target, limit) = self.meaning();
        ask::stop(&target, limit)
    }

    /// Has it become the program that lies there now; the exit status.
    pub fn upgrade(self) -> i32 {
        let (target, limit) = self.meaning();
        ask::order(&target, &Request::Upgrade, Wait { until: Until::Done, limit })
    }
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
    #[arg(value_name = "MODULE:CALLABLE", conflicts_with = "config", group = "application")]
    wsgi: Option<String>,
    /// One application that PasteDeploy makes of an ini file, in its place.
    #[arg(long, value_name = "FILE[#NAME]", conflicts_with = "config", group = "application")]
    paste: Option<String>,
    #[command(flatten)]
    file: File,
    /// Where to listen: HOST:PORT, unix:PATH or unix:@NAME. May be given several times.
    #[arg(long, value_name = "ADDRESS", requires = "application")]
    listen: Vec<String>,
    /// How many worker processes: a number, or `auto`.
    #[arg(long, value_name = "N", requires = "application")]
    workers: Option<String>,
    /// How many threads run Python in each worker.
    #[arg(long, value_name = "N", requires = "application")]
    threads: Option<String>,
    /// Where to answer Prometheus (/metrics) and probes (/live, /ready): HOST:PORT or unix:PATH; without it, nowhere.
    #[arg(long, value_name = "ADDRESS", requires = "application")]
    metrics: Option<String>,
    /// Where to listen for commands (`supervisor status --control SOCKET`); without a file there is no other place.
    #[arg(long, value_name = "SOCKET", requires = "application")]
    control: Option<PathBuf>,
}

impl Line {
    /// What the program was started with. Whoever asks for help gets it, and there it ends.
    pub fn read() -> Line {
        let matches = lessons::taught(Line::command(), &manual::name()).get_matches();
        Line::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }

    /// What is wanted: `run`, when no command says.
    pub fn wanted(self) -> Command {
        let Line { command, file } = self;
        command.unwrap_or(Command::Run(What {
            wsgi: None,
            paste: None,
            file,
            listen: Vec::new(),
            workers: None,
            threads: None,
            metrics: None,
            control: None,
        }))
    }
}

impl What {
    /// The file, as the user named it.
    pub fn file(&self) -> Option<PathBuf> {
        (self.wsgi.is_none() && self.paste.is_none()).then(|| self.file.config.clone())
    }

    /// The application, if it is named on the command line.
    pub fn wsgi(&self) -> Option<&str> {
        self.wsgi.as_deref()
    }

    /// Reads and checks it.
    pub fn read(self) -> Result<Checked, Error> {
        if let Some(file) = self.file() {
            // Whoever tries the program for the first time has named nothing.
            let is_missing = file == Path::new(DEFAULT_FILE) && !file.exists();
            return if is_missing { Err(Error::new(Some(&file), None, NOTHING_NAMED)) } else { config::read(&file) };
        }
        if let Some(file) = self.wsgi.as_deref().filter(|wsgi| names_a_file(wsgi)) {
            return Err(Error::new(
                None,
                None,
                format!("`{file}` names a file of ours, no application: write `-c {file}`"),
            ));
        }
        // Whoever gives us a socket to listen on does not want another.
        let given = standard_input::listener().filter(|_| self.listen.is_empty());
        let listen = given.map_or(self.listen, |address| vec![address.to_string()]);
        let (wsgi, paste) = (self.wsgi.unwrap_or_default(), self.paste);
        let (workers, threads, metrics) = (self.workers, self.threads, self.metrics);
        let line = CommandLine { wsgi, paste, listen, workers, threads, metrics };
        Ok(config::from_command_line(line)?.with_control(self.control))
    }
}

/// Whether `-c` was forgotten before it.
fn names_a_file(wsgi: &str) -> bool {
    [".yaml", ".yml"].iter().any(|ending| wsgi.ends_with(ending))
}

#[cfg(test)]
mod tests {
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
        let line = "supervisor run a:b --listen 127.0.0.1:1 --listen unix:/s --workers 3 --threads 2 --metrics :9100";
        let Ok(Command::Run(what)) = parse(line) else { panic!() };
        assert_eq!(what.file(), None);
        assert_eq!(what.listen, ["127.0.0.1:1", "unix:/s"]);
        assert_eq!((what.workers.as_deref(), what.threads.as_deref()), (Some("3"), Some("2")));
        assert_eq!(what.metrics.as_deref(), Some(":9100"));
        assert!(matches!(parse("supervisor check a:b"), Ok(Command::Check(_))));
        let Ok(Command::Run(what)) = parse("supervisor run --paste p.ini#api --workers 3") else { panic!() };
        assert_eq!((what.file(), what.wsgi(), what.paste.as_deref()), (None, None, Some("p.ini#api")));
        assert!(
            parse("supervisor run --paste p.ini a:b").is_err()
                && parse("supervisor run --paste p.ini -c a.yaml").is_err()
        );
    }

    #[test]
    fn a_command_names_its_server_by_its_file_or_its_socket() {
        let target = |line: &str| match parse(line) {
            Ok(Command::Status(status)) => status.meaning().0,
            Ok(Command::Reload(reload)) => reload.meaning().0,
            Ok(Command::Scale(scale)) => scale.meaning().0,
            Ok(Command::Stacks(stacks)) => stacks.meaning().0,
            Ok(Command::Reopen(server) | Command::Top(server)) => server.target(),
            Ok(Command::Stop(awaited) | Command::Upgrade(awaited)) => awaited.meaning().0,
            other => panic!("{line}: {other:?}"),
        };
        let commands = [
            "status",
            "top",
            "reload",
            "reload --wait",
            "scale shop 3",
            "reopen",
            "upgrade",
            "stacks",
            "stacks shop",
            "stop",
        ];
        for command in commands {
            let is_file = |target, file: &str| matches!(target, Target::File(found) if found == Path::new(file));
            assert!(is_file(target(&format!("supervisor {command}")), DEFAULT_FILE));
            assert!(is_file(target(&format!("supervisor {command} -c a.yaml")), "a.yaml"));
            let socket = target(&format!("supervisor {command} --control a.sock"));
            assert!(matches!(socket, Target::Socket(path) if path == Path::new("a.sock")));
            assert!(parse(&format!("supervisor {command} -c a.yaml --control a.sock")).is_err());
        }
        assert!(parse("supervisor scale shop").is_err() && parse("supervisor scale shop many").is_err());
    }

    #[test]
    fn a_command_waits_as_long_as_it_is_told_in_words() {
        let Ok(Command::Reload(reload)) = parse("supervisor reload --wait --timeout 1m30s") else { panic!() };
        assert_eq!(reload.meaning().1, Wait { until: Until::Done, limit: Some(Duration::from_secs(90)) });
        let Ok(Command::Stop(stop)) = parse("supervisor stop --timeout 5s") else { panic!() };
        assert_eq!(stop.meaning().1, Some(Duration::from_secs(5)));
        for wrong in ["reload --timeout 5s", "stop --timeout 5", "scale shop 3 --timeout soon"] {
            assert!(parse(&format!("supervisor {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_works_on_an_application_names_nothing_else() {
        let Ok(Command::Dev(dev)) = parse("supervisor dev a:b") else { panic!() };
        assert_eq!((dev.wsgi.as_str(), dev.listen.len()), ("a:b", 0));
        assert!(parse("supervisor dev").is_err());
    }

    #[test]
    fn who_forgets_the_option_before_the_file_is_told_of_it() {
        let Ok(Command::Run(what)) = parse("supervisor run server.yaml") else { panic!() };
        let why = what.read().unwrap_err().to_string();
        assert_eq!(why, "command line: `server.yaml` names a file of ours, no application: write `-c server.yaml`");
    }

    #[test]
    fn a_file_and_an_application_contradict_each_other() {
        assert!(parse("supervisor run a:b -c a.yaml").is_err());
        assert!(parse("supervisor run --workers 3").is_err());
        assert!(parse("supervisor frobnicate").is_err());
    }
}
