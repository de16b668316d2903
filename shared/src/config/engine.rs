//! How a worker runs its calls, and how many at once.

use serde::{Deserialize, Serialize};

use super::fault::Fault;
use super::schema::{self, Range};
use super::section::{At, Read};
use super::tree::{Node, Value};
use super::value::Count;
use super::{App, raw};

/// How a worker runs its calls, as the file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EngineName {
    /// Runner threads.
    Threads,
    /// One thread, under the name that gunicorn's users know.
    Sync,
    /// Greenlets on gevent's hub.
    Gevent,
    /// Greenlets on eventlet's hub.
    Eventlet,
    /// Tornado's IOLoop.
    Tornado,
}

impl EngineName {
    /// Its word in the file.
    pub fn word(self) -> &'static str {
        match self {
            EngineName::Threads => "threads",
            EngineName::Sync => "sync",
            EngineName::Gevent => "gevent",
            EngineName::Eventlet => "eventlet",
            EngineName::Tornado => "tornado",
        }
    }

    /// The engine that it names.
    pub fn engine(self) -> Engine {
        match self {
            EngineName::Threads | EngineName::Sync => Engine::Threads,
            EngineName::Gevent => Engine::Gevent,
            EngineName::Eventlet => Engine::Eventlet,
            EngineName::Tornado => Engine::Tornado,
        }
    }
}

/// How a worker runs its calls. `sync` in the file is `Threads` with one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Engine {
    /// Runner threads that share one poll.
    Threads,
    /// A greenlet for each request, on gevent's hub.
    Gevent,
    /// The same on eventlet's.
    Eventlet,
    /// On the thread of tornado's IOLoop: calls of a WSGI application one at a time, or tornado's own server.
    Tornado,
}

impl Engine {
    /// Its word in the file, and the name of the package that it needs, if it needs one.
    pub fn word(self) -> &'static str {
        match self {
            Engine::Threads => "threads",
            Engine::Gevent => "gevent",
            Engine::Eventlet => "eventlet",
            Engine::Tornado => "tornado",
        }
    }

    /// Whether each request has a greenlet.
    pub fn has_greenlets(self) -> bool {
        match self {
            Engine::Gevent | Engine::Eventlet => true,
            Engine::Threads | Engine::Tornado => false,
        }
    }
}

/// Calls that can be told of at once. Beyond any sensible number of greenlets; more would make a scoreboard megabytes.
pub const CALLS_MAX: usize = 65_536;

impl App {
    /// How many calls one worker can have under way at once.
    pub fn calls_max(&self) -> usize {
        if self.engine.has_greenlets() { self.rows_max() } else { self.threads }
    }

    /// How many calls a worker may have to tell of at once. With tornado that is known when it is known whether the application is one of
    /// tornado's own.
    pub fn rows_max(&self) -> usize {
        match self.engine {
            Engine::Threads => self.threads,
            Engine::Gevent | Engine::Eventlet | Engine::Tornado => self.limits.connections_max.min(CALLS_MAX),
        }
    }
}

/// Threads, written as their number or as a map.
#[derive(Clone, Debug)]
pub(super) struct CountOrThreads(pub raw::Threads);

impl Read for CountOrThreads {
    const FORM: &'static str = "a whole number, or a map";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([schema::number(range), raw::Threads::schema(None)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        if let Value::Map(_) = node.value {
            return raw::Threads::read(node).map(CountOrThreads);
        }
        let count = At { place: node.place, given: true, value: Count::read(node)? };
        Ok(CountOrThreads(raw::Threads { min: count.clone(), max: count }))
    }

    fn magnitude(&self) -> Option<i128> {
        self.0.max.value.magnitude()
    }
}

/// The threads of an application, from the start and at most.
///
/// # Errors
/// When its engine has one, and more are asked for; when there are to be more from the start than at most.
pub(super) fn threads(raw: &raw::App) -> Result<(usize, usize), Fault> {
    let raw::Threads { min, max } = &raw.threads.value.0;
    let (least, most) = (min.value.get(), max.value.get());
    let is_one = match raw.engine.value {
        EngineName::Threads => false,
        EngineName::Sync | EngineName::Gevent | EngineName::Eventlet | EngineName::Tornado => true,
    };
    if is_one && most > 1 {
        let text = format!(
            "`engine: {}` has one thread, not {most}: remove one of the two, or write `engine: threads`",
            raw.engine.value.word()
        );
        return Err(Fault::at(raw.threads.place, text).of_key("threads"));
    }
    if least > most {
        return Err(Fault::at(min.place, format!("{least} is above `max`, {most}")).of_key("min"));
    }
    Ok((least, most))
}
