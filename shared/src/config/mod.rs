//! The config that the programs run on: every value checked, every default filled in, every path absolute.
//!
//! A file becomes a config in steps with no road back, and each error on the way knows its place:
//!
//! ```text
//!   text --yaml--> tree --expand--> tree --raw--> the file as written --check--> Config
//! ```
//!
//! Nothing else constructs a config, but for the command line without a file, which joins at the second tree. Each key is
//! declared once, in `raw`; the suggestions, the defaults and the reference come from there.

mod access;
mod address;
mod apps;
mod callable;
mod check;
mod choice;
mod command;
mod engine;
mod expand;
mod fault;
mod gateway;
mod listen;
mod network;
mod origin;
mod owner;
mod pattern;
mod quantity;
mod raw;
mod read;
mod reference;
mod request;
mod resolved;
mod schema;
mod section;
mod statics;
mod statsd;
mod syntax;
mod tls;
mod tree;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use access::{Access, Atom, Piece, access_format};
pub use callable::{Callable, Paste, Source};
pub use command::Commands;
pub use engine::{CALLS_MAX, Engine};
pub use fault::{Error, Warning};
pub use network::{Network, Proxies};
pub use origin::{Origin, REQUEST_ID, RequestId, Underscores};
pub use quantity::{duration, size};
pub use raw::keys;
pub use read::{Checked, CommandLine, from_command_line, read};
pub use reference::reference;
pub use resolved::{resolved, scalar};
pub use schema::schema;
pub use section::Key;
pub use statsd::Statsd;
pub use tls::{ClientCertificates, Overdue, Tls, TlsVersion};

/// Everything a server runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// The file it was read from, its real path; `None` when the command line alone described it.
    pub file: Option<PathBuf>,
    /// How both programs log.
    pub log: Log,
    /// Whether a change of the file is a reload.
    pub watch: bool,
    /// A path for the control socket beside the one in the runtime directory. Absolute.
    pub control: Option<PathBuf>,
    /// Where the supervisor answers those who watch it, if anywhere.
    pub metrics: Option<Address>,
    /// Where it sends numbers to, if anywhere.
    pub statsd: Option<Statsd>,
    /// A file that holds the supervisor's process number and is locked while it lives. Absolute.
    pub pid_file: Option<PathBuf>,
    /// What workers do when their supervisor is gone.
    pub on_supervisor_loss: SupervisorLoss,
    /// How long workers wait for another supervisor; then they drain.
    pub orphan_timeout: Duration,
    /// What is run when something happens. A program before this one may not have known of it.
    #[serde(default)]
    pub commands: Commands,
    /// The applications, in the order of the file. Never empty; names are unique.
    pub apps: Vec<App>,
}

/// One application and how it is served.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    /// Its key under `apps:`.
    pub name: String,
    /// What to import and call.
    pub wsgi: Source,
    /// Where `wsgi:` or `paste:` stands in the file, for errors that only an import can find.
    pub wsgi_place: Option<Place>,
    /// Working directory of the workers, and first on `sys.path`. Absolute.
    pub directory: PathBuf,
    /// The virtualenv's root folder. Absolute.
    pub virtualenv: Option<PathBuf>,
    /// Folders put on `sys.path` behind `directory`. Absolute.
    pub python_path: Vec<PathBuf>,
    /// A module with hooks.
    pub hooks: Option<String>,
    /// Where `hooks:` stands in the file.
    pub hooks_place: Option<Place>,
    /// Added to the environment that the workers inherit.
    pub environment: BTreeMap<String, String>,
    /// Who the workers run as, if not as the supervisor.
    pub run_as: Option<RunAs>,
    /// Permission bits that files of the workers' are made without; `None` leaves the supervisor's.
    pub umask: Option<u32>,
    /// Whether workers, and all that they start, can gain no privileges by an exec.
    pub no_new_privileges: bool,
    /// Where it is served. Never empty; addresses are unique in the whole config.
    pub listen: Vec<Listener>,
    /// Folders whose files are served without Python.
    pub statics: Vec<StaticFiles>,
    /// Worker processes, at least 1; `auto` is already resolved.
    pub workers: usize,
    /// Threads that run Python in each worker at most, at least 1.
    pub threads: usize,
    /// Those of them that are there from the start, at least 1.
    pub threads_min: usize,
    /// How long one of them runs Python's code before the next has its turn; `None` is Python's own.
    pub switch_interval: Option<Duration>,
    /// How a worker runs its calls.
    pub engine: Engine,
    /// When the body of a request is read.
    pub body: Bodies,
    /// What a client may cost.
    pub limits: Limits,
    /// How long each thing may take.
    pub timeouts: Timeouts,
    /// How new workers take over from old ones.
    pub reload: Reload,
    /// What is done when the first boot of it fails.
    pub on_broken_start: BrokenStart,
    /// When a worker is replaced for its age.
    pub recycle: Recycle,
    /// Where requests come from, and whose word on it counts.
    pub origin: Origin,
}

/// A folder whose files are served without Python.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticFiles {
    /// What the paths of its files begin with: `/static`, or `/` for all.
    pub prefix: String,
    /// The folder. Absolute.
    pub folder: PathBuf,
    /// The value of Cache-Control.
    pub cache_control: Option<String>,
}

/// How new workers take over from old ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// A request that the application must answer well before a worker of it counts as loaded.
    pub ready: Option<Ready>,
    /// Files whose change is a reload: globs relative to `directory`, beside the files of the loaded modules. Empty: none are
    /// watched.
    pub on_change: Vec<String>,
    /// Globs of files whose change is none.
    pub ignore: Vec<String>,
    /// How many new workers may boot at once; `None` is all. At least 1.
    pub surge: Option<usize>,
}

/// A request that the application must answer well before it is adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The path, with a query if it has one.
    pub path: String,
    /// The Host field; `localhost` by default.
    pub host: String,
    /// `http` or `https`, for applications that redirect.
    pub scheme: String,
    /// The status that is expected; `None` is any 2xx.
    pub status: Option<u16>,
}

/// What workers do when their supervisor is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SupervisorLoss {
    /// Serve on, and wait for the next supervisor of the same file.
    #[default]
    Adopt,
    /// Finish what there is, and exit.
    Drain,
}

/// What is done when the first boot of an application fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum BrokenStart {
    /// Answer 503 while booting is tried again and again.
    #[default]
    Apologise,
    /// End the server.
    Exit,
}

/// When a worker is replaced for its age, each with a jitter of a tenth. `None` is never.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recycle {
    /// After so many requests.
    pub requests: Option<u64>,
    /// When its memory (PSS, else RSS) passes so many bytes.
    pub memory: Option<u64>,
    /// After so long.
    pub age: Option<Duration>,
}

/// A place in the config file; line and column count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// A user that workers become, resolved to numbers at check time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAs {
    /// The login name, for supplementary groups.
    pub user: String,
    /// Its uid.
    pub uid: u32,
    /// The gid: of `group`, else the user's own.
    pub gid: u32,
    /// The supplementary groups; `None`: those that the user is a member of.
    pub groups: Option<Vec<u32>>,
    /// The user's home, for `HOME`.
    pub home: PathBuf,
}

/// When the body of a request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bodies {
    /// Before the application is called.
    Buffer,
    /// By the application.
    Stream,
}

/// One listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where.
    pub address: Address,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u32,
    /// Permission bits of a Unix socket's file.
    pub mode: u32,
    /// Owner of a Unix socket's file: uid and gid, each if given.
    pub owner: (Option<u32>, Option<u32>),
    /// Who may connect, each with a PROXY header; `None`: everybody, and without.
    pub proxy_protocol: Option<Proxies>,
    /// Who may connect; `None`: everybody.
    pub allow: Option<Proxies>,
    /// What every AJP request must bring; `None`: only trusted proxies are served.
    pub secret: Option<String>,
    /// How it is encrypted, if it is.
    pub tls: Option<Tls>,
}

/// Where a listener is bound. Its text is the listener's name everywhere: in the file, in logs, between the programs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Address {
    /// `127.0.0.1:8000`, `[::]:8000`, `localhost:8000` (resolved at check time).
    Tcp(SocketAddr),
    /// `unix:/run/shop.sock`, absolute.
    Unix(PathBuf),
    /// `unix:@name`, in the abstract namespace of Linux.
    Abstract(String),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Abstract(name) => write!(f, "unix:@{name}"),
        }
    }
}

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    Http,
    /// FastCGI 1.0, as a responder.
    FastCgi,
    /// SCGI 1.
    Scgi,
    /// AJP 1.3.
    Ajp,
    /// uwsgi, with modifiers 0.
    Uwsgi,
}

/// What a client may cost. Bytes are bytes, counts are counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of the request line without its line end. Above it: 414.
    pub request_line_max: usize,
    /// Header fields. Above it: 431.
    pub header_count_max: usize,
    /// Bytes of the whole head, request line included. Above it: 431. Also bounds a trailer section.
    pub header_bytes_max: usize,
    /// Bytes of a decoded request body. Above it: 413.
    pub body_bytes_max: u64,
    /// Bytes of a request body kept in memory; a longer one goes to an unlinked file.
    pub body_memory_max: usize,
    /// Connections that one worker holds at once; above it they wait in the backlog.
    pub connections_max: usize,
    /// Whole requests that wait for a thread at once. Above it: 503.
    pub queue_max: usize,
    /// Bytes of a body that come in a second at least, on average, after `timeouts.body`; 0 is any. Below it: 408.
    pub body_rate_min: u64,
}

/// How long each thing may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// From exec to `Loaded`. Then the worker is killed.
    pub boot: Duration,
    /// From the first byte of a request to the end of its head, and from accept to the first byte. Then: 408 and close.
    pub head: Duration,
    /// Between two reads of a request body. Then: 408 and close.
    pub body: Duration,
    /// From a call of the application, or the wish for the next piece of its answer, to what comes of it. Then: 504, or the cut.
    pub request: Duration,
    /// A whole request that waits for a thread. Then: 503.
    pub queue: Duration,
    /// A kept-alive connection without a request. Then it is closed.
    pub keepalive: Duration,
    /// Between two writes that moved bytes of an answer. Then the connection is cut.
    pub write: Duration,
    /// From the start of a drain to the kill.
    pub drain: Duration,
    /// Between two signs of life of a worker's I/O, and of its Python. Then it is replaced.
    pub heartbeat: Duration,
    /// From a TERM to the start of the drain, while a load balancer still sends new connections here. They are served.
    pub drain_delay: Duration,
}

/// How both programs log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// For eyes or for programs.
    pub format: LogFormat,
    /// What is left out: everything less urgent than this.
    pub level: LogLevel,
    /// Whether and how each request is told.
    pub access: Access,
    /// A file to append to; `None` is standard error. Absolute.
    pub file: Option<PathBuf>,
}

/// The look of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogFormat {
    /// For a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// How urgent a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the five names are the field's")]
pub enum LogLevel {
    Critical,
    Error,
    Warning,
    Info,
    Debug,
}

#[cfg(test)]
mod tests;
