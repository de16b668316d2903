//! What can happen: to workers, to listeners, to the clock, and in the heads of people.

use std::fmt;

use monoceros_shared::link::Failure;
use serde::{Deserialize, Serialize};

use super::WorkerId;
use super::ailing::Silence;
use super::plan::Plan;

/// Who gets the answer to a wish: a number of the shell's, given back with the answer.
pub type Asker = u64;

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// The listeners are bound; begin.
    Start,
    /// A worker's process was made.
    Spawned {
        /// Which.
        worker: WorkerId,
        /// Its process.
        pid: u32,
    },
    /// A worker's process could not be made.
    NotSpawned {
        /// Which.
        worker: WorkerId,
        /// `cannot spawn ...`.
        why: String,
    },
    /// A worker has imported its application, and nothing accepted yet.
    Loaded {
        /// Which.
        worker: WorkerId,
    },
    /// A worker has left the listeners: it accepts nothing any more.
    Left {
        /// Which.
        worker: WorkerId,
    },
    /// A worker could not, and exits next.
    Failed {
        /// Which.
        worker: WorkerId,
        /// Why.
        failure: Failure,
    },
    /// A word could not be said to a worker.
    Unreachable {
        /// Which.
        worker: WorkerId,
        /// The cause.
        why: String,
    },
    /// A worker's process is gone.
    Exited {
        /// Which.
        worker: WorkerId,
        /// How.
        exit: Exit,
        /// What it was at.
        last: LastSeen,
    },
    /// A call of a worker's has outlived `timeouts.request` and cannot be ended.
    Stuck {
        /// Which.
        worker: WorkerId,
        /// What the worker says of the call.
        why: String,
    },
    /// A worker's beats have not been seen for `timeouts.heartbeat`. Told once, and again if it gets worse.
    Silent {
        /// Which.
        worker: WorkerId,
        /// What is seen of it.
        silence: Silence,
    },
    /// A worker that was silent beats again.
    Beats {
        /// Which.
        worker: WorkerId,
    },
    /// The answer to `Effect::Inspect`, or to somebody else who asked.
    Stacks {
        /// Whose.
        worker: WorkerId,
        /// The Python stacks of its threads, for people.
        stacks: String,
    },
    /// What a worker has used up by now. Told every few seconds of those whose application sets `recycle.requests` or
    /// `recycle.memory`.
    Observed {
        /// Which.
        worker: WorkerId,
        /// Requests since its start.
        requests: u64,
        /// Bytes: PSS, or RSS where the kernel does not tell PSS.
        memory: u64,
    },
    /// The answer to `Effect::ReadConfig`: what the file says now, or one line (or more) about what is wrong with it.
    ConfigRead(Result<Plan, String>),
    /// The answer to `Effect::Bind`: all are bound.
    Bound,
    /// The other answer to `Effect::Bind`: none is bound.
    NotBound {
        /// `cannot bind 127.0.0.1:8000: ...`.
        why: String,
    },
    /// Somebody wants something.
    Wanted {
        /// What.
        wish: Wish,
        /// Who waits for the answer; `None` for a signal and for what watches files.
        asker: Option<Asker>,
    },
    /// The answer to `Effect::Preflight`: the next supervisor can take over, or a line that says why not.
    Preflown(Result<(), String>),
    /// Our terminal has another size.
    Resized,
    /// A deadline may have passed.
    Tick,
}

/// What people want of a server that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// What the file says now, and the code as it is now.
    Reload {
        /// Why.
        cause: Cause,
    },
    /// Another number of workers.
    Scale {
        /// The application's name.
        app: String,
        /// How many.
        to: Scale,
    },
    /// Another number of workers for every application.
    ScaleAll {
        /// How many.
        to: Scale,
    },
    /// Another supervisor in this one's process: the program as it lies there now.
    Upgrade,
    /// No workers, but the listeners stay; until the next reload.
    Park,
    /// The end.
    Stop(Stop),
}

/// Why a reload is wanted, which decides what is replaced by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// HUP: every application, for its code may be new.
    Signal,
    /// `supervisor reload`: every application.
    Command,
    /// The supervisor is another program now, and so are its workers to be: every application.
    Upgraded,
    /// The file has changed: only what differs in it.
    FileChanged,
    /// Code has changed: only this application, with the config that it has.
    CodeChanged {
        /// Its name.
        app: String,
        /// The file that has changed, for people.
        path: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Signal => f.write_str("HUP"),
            Cause::Command => f.write_str("command"),
            Cause::Upgraded => f.write_str("the supervisor was upgraded"),
            Cause::FileChanged => f.write_str("the file has changed"),
            Cause::CodeChanged { app: _, path } => write!(f, "{path} has changed"),
        }
    }
}

/// How many workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// So many; 0 is refused.
    To(usize),
    /// One more.
    More,
    /// One less; the last one stays.
    Less,
}

/// How a server is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// By draining, after `timeouts.drain_delay`. Asked again, the delay is over; asked again, it becomes quick.
    Graceful,
    /// Now.
    Quick,
}

/// What was seen of a worker last: its scoreboard, the flight recorder, and what it printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastSeen {
    /// Requests since its start.
    pub requests: u64,
    /// What its threads were running, and for how long: `GET /report HTTP/1.1 (for 12.3s)`.
    pub running: Vec<String>,
    /// The last lines that it printed.
    pub output: String,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By the signal of this name.
    Signal(&'static str),
    /// By this signal, and the kernel was asked to write a core.
    Dumped(&'static str),
    /// The kernel cannot say.
    Unknown,
}
