//! A line for the log, as a value: a constant message and keys.

use std::fmt::{self, Display};
use std::time::Duration;

use super::Exit;

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the four names are the field's")]
pub enum Level {
    Error,
    Warning,
    Info,
    Debug,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How urgent it is.
    pub level: Level,
    /// What it says, always in the same words.
    pub message: &'static str,
    /// What it says it of, in order.
    pub keys: Vec<(&'static str, Value)>,
}

/// What a key says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// For people.
    Text(String),
    /// For programs too.
    Number(u64),
}

impl Line {
    /// A line without keys.
    pub fn new(level: Level, message: &'static str) -> Line {
        Line { level, message, keys: Vec::new() }
    }

    /// With one key more.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Line {
        self.keys.push((key, value.into()));
        self
    }

    /// With one key more, if its text says anything.
    pub fn with_some(self, key: &'static str, text: String) -> Line {
        if text.is_empty() { self } else { self.with(key, text) }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(number as u64)
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Value {
        Value::Text(span(duration))
    }
}

impl From<Exit> for Value {
    fn from(exit: Exit) -> Value {
        Value::Text(exit.to_string())
    }
}

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "code {code}"),
            Exit::Signal(name) => write!(f, "{name}"),
            Exit::Dumped(name) => write!(f, "{name}, core dumped"),
            Exit::Unknown => write!(f, "unknown"),
        }
    }
}

/// A length of time for people: `12.3s` from a second on, `45ms` below.
pub fn span(duration: Duration) -> String {
    if duration.as_secs() > 0 {
        format!("{:.1}s", duration.as_secs_f64())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

/// What comes after a worker is gone.
pub fn next_try(wait: Duration) -> String {
    if wait.is_zero() { "replaced at once".into() } else { format!("next try in {}", span(wait)) }
}
