//! What passes between the supervisor and a worker: descriptors on one socket, words on a channel.
//!
//! ```text
//!   supervisor                                       worker (exec'd with one end of a SOCK_SEQPACKET pair as descriptor 0)
//!   fd: Greeting{version, channel's name} ---------> checks the version, connects the channel
//!   words:                     <-------------------- Hello
//!   words: Assignment ------------------------------>
//!   fd: "log", the read ends of its output, "scoreboard" and each listener's name, with its descriptor ->
//!                                                    logs, drops privileges, starts Python, imports
//!   words:                     <-------------------- Loaded | Failed
//!   words: Serve ----------------------------------> accepts
//!   words: Drain ----------------------------------> leaves the listeners
//!   words:                     <-------------------- Left
//!                                                    finishes what it has; exits 0
//! ```
//!
//! At a reload the supervisor introduces an old worker to a new one: it makes another SOCK_SEQPACKET pair and sends its ends to
//! them on their descriptor sockets, as `heir` and `inheritance`. Connections travel on it, see the worker's `engine::handover`.
//!
//! What the worker logs goes straight to where its supervisor logs: the descriptor `log`. Another one of that name, at any time,
//! takes its place.
//!
//! The end of the descriptor socket tells a worker that its supervisor is gone. Then the next one may come, see [`adoption`]. A
//! supervisor that has taken a worker over sends the name of a new channel on the descriptor socket, for words do not outlive
//! the process that said them.

pub mod adoption;
pub mod channel;
pub mod fd;

use serde::{Deserialize, Serialize};

/// The name under which the scoreboard travels, in both directions.
pub const SCOREBOARD: &str = "scoreboard";
/// The name under which a worker gets the table of its application's connections.
pub const TABLE: &str = "table";
/// The name under which a worker gets the bell that it and its siblings ring for each other: an eventfd.
pub const BELL: &str = "bell";
/// The name under which a worker gets the end of a socket on which it offers requests to its siblings that it has no thread for.
pub const OFFERS: &str = "offers";
/// The name under which it gets the other end, from which whoever has a thread takes them.
pub const TAKES: &str = "takes";
/// The name under which a worker gets the socket on which it waits for its next supervisor.
pub const ADOPTION: &str = "adoption";
/// What the name of a channel begins with that takes the place of the one before: the rest is for [`channel::connect`].
pub const CHANNEL: &str = "channel ";
/// The name under which a draining worker gets the end on which it hands its connections over.
pub const HEIR: &str = "heir";
/// The name under which a new worker gets the end on which connections are handed to it.
pub const INHERITANCE: &str = "inheritance";
/// The name under which a worker gets what it logs to.
pub const LOG: &str = "log";
/// The name under which the next supervisor gets what a worker kept of its output, see [`crate::stdio::Kept`]. The read ends of
/// the two pipes go by their streams' names.
pub const KEPT: &str = "kept";

use crate::config::{App, Log, SupervisorLoss};

/// Raised with every change of the words, of what is passed beside them, or of the scoreboard's layout.
pub const VERSION: u16 = 9;

/// What the supervisor says.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToWorker {
    /// What to load. Said once, first.
    Assignment(Box<Assignment>),
    /// Begin to accept.
    Serve,
    /// Leave the listeners, take what already waits in them, hand the connections to the heir that was introduced before, or finish
    /// them if there is none, exit.
    Drain,
    /// Show browsers this from now on, made up as for [`Purpose::Apologise`], and programs the application still, for what was
    /// changed last could not be loaded; a worker that apologises shows it to all. Said in development alone, and taken back by
    /// nothing: a good reload brings new workers.
    Notice(String),
    /// Tell the Python stacks of all threads, with [`FromWorker::Stacks`]; nothing stops for it.
    Stacks,
    /// Exit now.
    Quit,
}

/// What a worker says.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromWorker {
    /// The application is imported and ready, and nothing accepted yet.
    Loaded {
        /// Files of the modules that it has loaded, if they were asked for; as many as fit one message.
        files: Vec<std::path::PathBuf>,
    },
    /// It has left the listeners, and taken what waited in them: it accepts nothing any more. Said again to the next supervisor.
    Left,
    /// The application could not be had; the worker exits next.
    Failed(Failure),
    /// The Python stacks of all threads, for people.
    Stacks(String),
    /// A call has outlived `timeouts.request` and cannot be ended: the worker is to be replaced, and needs not be waited for once its other
    /// connections are handed over. Says which call, for the log.
    Stuck(String),
}

/// What a worker is to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Assignment {
    /// Its number in this server's life, from 1.
    pub worker: u64,
    /// The generation it belongs to, from 1.
    pub generation: u64,
    /// The application. Its `environment` is already in the process's.
    pub app: App,
    /// How many workers of this application are meant to run beside each other, for `wsgi.multiprocess`.
    pub siblings: usize,
    /// How to log.
    pub log: Log,
    /// Where its standard output and error lead.
    pub output: Output,
    /// Listeners to expect on the descriptor socket, behind the scoreboard. A check has none.
    pub listeners: Vec<String>,
    /// What the worker is for.
    pub purpose: Purpose,
    /// Whether `Loaded` names the files of the loaded modules.
    pub report_files: bool,
    /// What to do when the supervisor is gone.
    pub loss: Loss,
    /// Where the next supervisor is awaited, if one can come: the socket's file. The socket comes behind the listeners.
    pub adoption: Option<Adoption>,
}

/// What a worker does when its supervisor is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Whether it serves on.
    pub then: SupervisorLoss,
    /// For how long.
    pub patience: std::time::Duration,
}

/// Where a worker waits for its next supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adoption {
    /// The socket's file, to be removed by whoever can when the worker is gone.
    pub file: std::path::PathBuf,
    /// What the supervisors of this server know of each other.
    pub token: Token,
}

impl Adoption {
    /// Removes the file, if that is allowed.
    pub fn remove(&self) {
        // What stays is removed by the next supervisor, or replaced.
        let _ = std::fs::remove_file(&self.file);
    }
}

/// What the supervisors of one server know of each other, and nobody else: whoever brings another one is not the successor of
/// this worker's supervisor, though it may be the next to serve its file.
pub type Token = [u8; 16];

/// Where a worker's standard output and error lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Into pipes, the read ends of which it is given too.
    Piped,
    /// To where the supervisor's own lead: a terminal, when somebody works on the application.
    Inherited,
}

/// What a worker is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// To load the application and serve it.
    Serve,
    /// To load the application and say whether that works.
    Check,
    /// To answer 503 in the place of an application that cannot be loaded, and to show why: its first line says it, the others
    /// help to see it. In production it is empty, and nothing is shown. No Python is started.
    Apologise(String),
}

/// Why a worker could not load its application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One line: `cannot import hello:application: ModuleNotFoundError: No module named 'hello'`.
    pub why: String,
    /// What helps to see it: the Python traceback, `sys.path`. Empty when there is none; cut to fit one message.
    pub detail: String,
    /// What of the application it is about.
    pub part: Part,
}

/// What of an application has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// What `wsgi` or `paste` names, or what all of it needs.
    Application,
    /// What `hooks` names.
    Hooks,
}

/// Bytes of [`Failure::why`]: one line of a log.
const WHY_BYTES_MAX: usize = 4 * 1024;

/// Bytes of [`Failure::detail`]. With `why` it stays below [`channel::MESSAGE_BYTES_MAX`]; much longer, and a log line
/// of it would be longer than what pipes take at once.
const DETAIL_BYTES_MAX: usize = 48 * 1024;

impl Failure {
    /// A failure whose texts are cut to fit one message. Of a long detail the middle goes: a traceback says where it
    /// began at its head and what happened at its end.
    pub fn new(why: impl Into<String>, detail: impl Into<String>) -> Self {
        Failure {
            why: without_middle(why.into(), WHY_BYTES_MAX),
            detail: without_middle(detail.into(), DETAIL_BYTES_MAX),
            part: Part::Application,
        }
    }

    /// The same of another part.
    pub fn of(self, part: Part) -> Self {
        Failure { part, ..self }
    }
}

/// A text that is cut to fit one message, as [`Failure`]'s are.
pub fn fitting(text: String) -> String {
    without_middle(text, DETAIL_BYTES_MAX)
}

fn without_middle(text: String, bytes_max: usize) -> String {
    const MARK: &str = " [...] ";
    if text.len() <= bytes_max {
        return text;
    }
    let half = (bytes_max - MARK.len()) / 2;
    let (mut head, mut tail) = (half, text.len() - half);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    format!("{}{MARK}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_failure_keeps_its_head_and_its_end() {
        let detail = format!("Traceback\n{}\nSyntaxError: ü", "ü".repeat(100_000));
        let failure = Failure::new("cannot import a:b", detail);
        assert_eq!(failure.why, "cannot import a:b");
        assert!(failure.detail.len() <= DETAIL_BYTES_MAX);
        assert!(failure.detail.starts_with("Traceback\nü") && failure.detail.ends_with("ü\nSyntaxError: ü"));
    }
}
