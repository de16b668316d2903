//! A config from its file, and one from the command line without a file: two ways into the same checks.
//!
//! ```text
//!   file --text--> tree --expanded--> raw::File --check--> Config
//!   command line --> the tree that a file saying the same would be --^
//! ```

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf, absolute};

use super::check::{Machine, Outcome, cause, check};
use super::expand::Environment;
use super::fault::{Error, Fault, Warning, shown};
use super::resolved::Source;
use super::section::Read;
use super::syntax::place_of;
use super::tls::Overdue;
use super::tree::{Key, Kind, Node, Value};
use super::value::Workers;
use super::yaml;
use super::{Config, Place, raw};

/// Bytes that a file may have. Below some thousand apps nobody comes near; a device or a log taken for a config by
/// mistake would fill the memory.
const BYTES_MAX: u64 = 1 << 20;

/// A config that may run, and what its owner should hear before.
#[derive(Clone, Debug)]
pub struct Checked {
    /// What to run.
    pub config: Config,
    /// What was accepted and will not do all that it says.
    pub warnings: Vec<Warning>,
    /// Certificates that are not valid now: an error for whoever checks or puts them in the place of valid ones, while a start
    /// with them is better than none.
    pub overdue: Vec<Overdue>,
    /// Where each value came from.
    pub(super) source: Source,
}

impl Checked {
    /// One that the program before us has checked.
    pub fn inherited(config: Config) -> Checked {
        Checked { config, warnings: Vec::new(), overdue: Vec::new(), source: Source::Inherited }
    }

    /// Says that the config has a control socket by the command line.
    pub fn with_control(mut self, control: Option<PathBuf>) -> Checked {
        if let (Source::Line(said), Some(_)) = (&mut self.source, &control) {
            said.insert("control", BY_LINE.into());
        }
        self.config.control = control;
        self
    }

    /// All that its owner should hear, each in one line.
    pub fn remarks(&self) -> impl Iterator<Item = String> {
        let overdue = self.overdue.iter().map(|overdue| overdue.error.to_string());
        self.warnings.iter().map(Warning::to_string).chain(overdue)
    }
}

/// One application without a file. The texts are as the user wrote them; they are checked here.
#[derive(Clone, Debug, Default)]
pub struct CommandLine {
    /// `module:attribute` or `module:factory()`.
    pub wsgi: String,
    /// An ini file of PasteDeploy's with the application's name in it, in the place of `wsgi`.
    pub paste: Option<String>,
    /// Addresses; when there are none `0.0.0.0:$PORT`, or `127.0.0.1:8000` without that variable.
    pub listen: Vec<String>,
    /// A number or `auto`; else `$WEB_CONCURRENCY`, or the default of a file.
    pub workers: Option<String>,
    /// A number; else the default of a file.
    pub threads: Option<String>,
    /// Where the supervisor answers those who watch it; else nowhere.
    pub metrics: Option<String>,
}

/// Reads and checks a file. The error's text begins with `path` as it is given here.
///
/// Relative paths in it begin at the folder that `path` names, not at the one that a link leads to: a file that is
/// deployed by turning a link keeps its folder.
pub fn read(path: &Path) -> Result<Checked, Error> {
    let environment: Environment = &|name| std::env::var_os(name);
    let fault = |fault: Fault| fault.in_file(Some(path));
    let text = text_of(path).map_err(fault)?;
    let tree = tree_of(&text).map_err(fault)?;
    let cannot = |why: io::Error| fault(Fault::whole(None, format!("cannot find its folder: {why}")));
    let folder = absolute(path).map_err(cannot)?.parent().map_or_else(|| PathBuf::from("/"), Path::to_owned);
    let Outcome { mut config, warnings, overdue } =
        check_tree(tree.clone(), environment, &Machine::this(folder)).map_err(fault)?;
    config.file = Some(path.canonicalize().map_err(cannot)?);
    let warnings = warnings.into_iter().map(|warning| Warning::new(Some(path), warning)).collect();
    let overdue = overdue.into_iter().map(|(listener, fault)| Overdue { listener, error: fault.in_file(Some(path)) });
    let source = Source::File { path: path.to_owned(), tree };
    Ok(Checked { config, warnings, overdue: overdue.collect(), source })
}

/// Checks what a command line asks for. Its relative paths begin in the current directory.
pub fn from_command_line(line: CommandLine) -> Result<Checked, Error> {
    let environment: Environment = &|name| std::env::var_os(name);
    let fault = |fault: Fault| fault.in_file(None);
    let folder = std::env::current_dir()
        .map_err(|why| fault(Fault::whole(None, format!("cannot find the current directory: {why}"))))?;
    let source = Source::Line(said_by(&line, environment));
    let Outcome { config, warnings, overdue: _ } =
        check_line(line, environment, &Machine::this(folder)).map_err(fault)?;
    let warnings = warnings.into_iter().map(|warning| Warning::new(None, warning)).collect();
    Ok(Checked { config, warnings, overdue: Vec::new(), source })
}

/// The text of a file, or why there is none.
fn text_of(path: &Path) -> Result<String, Fault> {
    let cannot = |why: io::Error| Fault::whole(None, format!("cannot read the file: {}", cause(&why)));
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(Fault::whole(None, "cannot read the file: it is a folder"));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(Fault::whole(None, "cannot read the file: it is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|why| {
        let place = place_of(why.as_bytes(), why.utf8_error().valid_up_to());
        Fault::whole(place, "cannot read the file: it is not UTF-8 from here")
    })
}

/// What stands in a file.
pub(super) fn tree_of(text: &str) -> Result<Node, Fault> {
    let empty = || Fault::whole(Place { line: 1, column: 1 }, "the file is empty: it needs at least `apps:`");
    yaml::parse(text.strip_prefix('\u{feff}').unwrap_or(text))?.ok_or_else(empty)
}

/// The config of what stands in a file.
pub(super) fn check_tree(tree: Node, environment: Environment, machine: &Machine) -> Result<Outcome, Fault> {
    let tree = tree.expanded(environment)?;
    if !matches!(tree.value, Value::Map(_)) {
        let text = format!("expected a map with `apps` in it, found {}", tree.found());
        return Err(Fault::whole(tree.place, text));
    }
    let file = raw::File::read(&tree)?;
    check(file, machine)
}

/// Where each key of a command line's application has its value from.
fn said_by(line: &CommandLine, environment: Environment) -> BTreeMap<&'static str, String> {
    let is_set = |name| environment(name).is_some_and(|value| !value.is_empty());
    let listen = (!line.listen.is_empty()).then_some(BY_LINE).or(is_set("PORT").then_some("environment PORT"));
    let workers = line.workers.as_ref().map(|_| BY_LINE);
    let workers = workers.or(is_set("WEB_CONCURRENCY").then_some("environment WEB_CONCURRENCY"));
    let threads = line.threads.as_ref().map(|_| BY_LINE);
    let metrics = line.metrics.as_ref().map(|_| BY_LINE);
    let (wsgi, paste) = if line.paste.is_some() { (None, Some(BY_LINE)) } else { (Some(BY_LINE), None) };
    let of_app = [("wsgi", wsgi), ("paste", paste), ("listen", listen), ("workers", workers), ("threads", threads)];
    let said = of_app.into_iter().chain([("metrics", metrics)]);
    said.filter_map(|(key, said)| Some((key, said?.to_owned()))).collect()
}

/// The origin of what a command line says.
const BY_LINE: &str = "command line";

/// The config of a command line.
pub(super) fn check_line(line: CommandLine, environment: Environment, machine: &Machine) -> Result<Outcome, Fault> {
    let variable =
        |name| environment(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
    let listen = match (line.listen.is_empty(), variable("PORT")) {
        (false, _) => line.listen,
        (true, Some(port)) => vec![port_address(&port)?],
        (true, None) => vec!["127.0.0.1:8000".into()],
    };
    let workers = match (line.workers, variable("WEB_CONCURRENCY")) {
        (Some(workers), _) => Some(workers),
        (None, Some(workers)) => Some(web_concurrency(workers)?),
        (None, None) => None,
    };
    let listen = Node { place: NOWHERE, value: Value::List(listen.into_iter().map(scalar).collect()) };
    let optional = [("workers", workers), ("threads", line.threads)];
    let optional = optional.into_iter().filter_map(|(name, text)| Some((key(name), scalar(text?))));
    let what = line.paste.map_or_else(|| (key("wsgi"), scalar(line.wsgi)), |paste| (key("paste"), scalar(paste)));
    let mut entries = vec![what, (key("listen"), listen)];
    entries.extend(optional);
    let app = Node { place: NOWHERE, value: Value::Map(entries) };
    let apps = Node { place: NOWHERE, value: Value::Map(vec![(key("app"), app)]) };
    let metrics = line.metrics.map(|address| (key("metrics"), scalar(address)));
    let file = Node { place: NOWHERE, value: Value::Map(metrics.into_iter().chain([(key("apps"), apps)]).collect()) };
    let mut outcome = check(raw::File::read(&file)?, machine)?;
    outcome.config.apps.iter_mut().for_each(|app| app.wsgi_place = None);
    Ok(outcome)
}

/// The place of everything on a command line; it is never shown.
const NOWHERE: Place = Place { line: 0, column: 0 };

fn key(name: &str) -> Key {
    Key { place: NOWHERE, text: name.into() }
}

fn scalar(text: String) -> Node {
    Node { place: NOWHERE, value: Value::Scalar(Kind::Expanded, text) }
}

fn port_address(port: &str) -> Result<String, Fault> {
    let number: u16 = port.parse().map_err(|_| {
        let text = format!("the environment variable `PORT` is no port from 0 to 65535: {}", shown(port));
        Fault::whole(None, text)
    })?;
    Ok(format!("0.0.0.0:{number}"))
}

/// Read once on its own, so that an error names the variable and not an option that nobody gave.
fn web_concurrency(workers: String) -> Result<String, Fault> {
    let node = scalar(workers.clone());
    Workers::read(&node).map_err(|fault| fault.of_key("WEB_CONCURRENCY"))?;
    Ok(workers)
}
