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
    pub keys: Vec<(&'static str, String)>,
}

impl Line {
    /// A line without keys.
    pub fn new(level: Level, message: &'static str) -> Line {
        Line { level, message, keys: Vec::new() }
    }

    /// With one key more.
    pub fn with(mut self, key: &'static str, value: impl Text) -> Line {
        self.keys.push((key, value.text()));
        self
    }

    /// With one key more, if its value says anything.
    pub fn with_some(self, key: &'static str, value: impl Text) -> Line {
        let value = value.text();
        if value.is_empty() { self } else { self.with(key, value) }
    }
}

/// What a value looks like in a line.
pub trait Text {
    /// Its text.
    fn text(&self) -> String;
}

impl Text for Duration {
    /// `12.3s` above a second, `45ms` below.
    fn text(&self) -> String {
        if self.as_secs() > 0 { format!("{:.1}s", self.as_secs_f64()) } else { format!("{}ms", self.as_millis()) }
    }
}

macro_rules! text_by_display {
    ($($kind:ty),*) => {$(
        impl Text for $kind {
            fn text(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

text_by_display!(&str, String, &String, u64, usize, Exit);

impl Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Dumped(signal) => write!(f, "signal {signal}, core dumped"),
            Exit::Unknown => write!(f, "unknown"),
        }
    }
}

/// What comes after a worker is gone.
pub fn next_try(wait: Duration) -> String {
    if wait.is_zero() { "replaced at once".into() } else { format!("next try in {}", wait.text()) }
}
