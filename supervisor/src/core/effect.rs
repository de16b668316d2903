//! What can be done about it.

use monoceros_shared::config::{Address, Listener};
use monoceros_shared::link::Purpose;
use serde::{Deserialize, Serialize};

use super::event::Asker;
use super::line::Line;
use super::plan::AppPlan;
use super::{Word, WorkerId};

/// What can be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Make a worker's process, with its carrier, its channel and the listeners of its application.
    Spawn(Recruit),
    /// Say a word to a worker.
    Say {
        /// To which.
        worker: WorkerId,
        /// The word.
        word: Word,
    },
    /// Give two workers the ends of a new pair of sockets, on which connections travel. Done before `Drain` is said to
    /// `from`.
    Introduce {
        /// Who hands its connections over.
        from: WorkerId,
        /// Who takes them: it serves.
        to: WorkerId,
    },
    /// Pass a worker the certificates of its application's listeners as they are now. What fails is for the log.
    Certify {
        /// Which.
        worker: WorkerId,
        /// Its application.
        app: AppPlan,
    },
    /// Ask a worker's process to drain, by signal, because words do not reach it.
    Terminate {
        /// Which.
        worker: WorkerId,
    },
    /// End a worker's process now, and its group.
    Kill {
        /// Which.
        worker: WorkerId,
    },
    /// Ask a worker for its Python stacks, and answer with `Event::Stacks`, if it does.
    Inspect {
        /// Which.
        worker: WorkerId,
    },
    /// Read the file again, and answer with `Event::ConfigRead`.
    ReadConfig,
    /// Bind these, all or none, and answer with `Event::Bound` or `Event::NotBound`.
    Bind {
        /// None of them is bound yet.
        listeners: Vec<Listener>,
    },
    /// Give listeners that are bound already another backlog, mode or owner. What fails is for the log.
    Adjust {
        /// As they are to be.
        listeners: Vec<Listener>,
    },
    /// Close these; nobody accepts on them any more.
    Unbind {
        /// Where.
        addresses: Vec<Address>,
    },
    /// Close the supervisor's own listeners. Those of workers stay open until they leave them.
    CloseListeners,
    /// Ask the program that lies there now whether it can take over, and answer with `Event::Preflown`.
    Preflight,
    /// It is not waited for any more.
    EndPreflight,
    /// Leave everything to the program that lies there now. These are answered by it, or by whoever serves if it cannot.
    Succeed {
        /// Who waits for it.
        askers: Vec<Asker>,
    },
    /// Tell somebody what came of a wish.
    Answer {
        /// Whom.
        asker: Asker,
        /// What.
        answer: Answer,
    },
    /// Write a line to the log.
    Log(Line),
    /// Everything is gone: end with this status.
    Exit(i32),
}

/// A worker that is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Recruit {
    /// Its number.
    pub worker: WorkerId,
    /// Its generation.
    pub generation: u64,
    /// The application, as this generation has it.
    pub app: AppPlan,
    /// What the worker is for.
    pub purpose: Purpose,
    /// How many workers of the application are meant to run beside each other.
    pub siblings: usize,
}

/// What came of a wish. Each asker gets one, when the thing has happened or cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done: one line that says what.
    Done(String),
    /// It is not: after a reload nothing has changed; after a scaling it is tried again.
    Failed {
        /// One line (or a few) that says why.
        why: String,
        /// What helps to see it: a traceback. Often empty.
        detail: String,
    },
}
