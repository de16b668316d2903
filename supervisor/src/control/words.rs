//! What is said on the control socket: one JSON object a line, in both directions.
//!
//! ```text
//!   {"monoceros":1,"ask":"status"}                            -> {"answer":"status", ...}
//!   {"monoceros":1,"ask":"reload"}                            -> {"answer":"accepted"} then done or failed
//!   {"monoceros":1,"ask":"scale","app":"shop","workers":4}    -> the same
//!   {"monoceros":1,"ask":"reopen"}                            -> the same
//!   {"monoceros":1,"ask":"upgrade"}                           -> the same, on the same connection, by the program that is then
//!   {"monoceros":1,"ask":"stop"}                              -> accepted; the end of the connection is the server's
//!   {"monoceros":1,"ask":"stacks","of":"shop"}                -> {"answer":"stacks", ...}, after some seconds at most
//!   with "progress":true                                      -> any number of {"answer":"progress", ...} before done or failed
//!   anything else                                             -> {"answer":"refused","why":...} and the end
//! ```
//!
//! Rules
//! * A line names the version of this protocol. Another version is refused with both numbers, whatever else it says.
//! * Keys that are not known are ignored, so that a newer command may say more to an older server.
//! * `done` and `failed` are said when the thing has happened, not when it was asked for.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::progress::Progress;
use crate::inquiry::Stacks;
use crate::status::Report;

/// The protocol's version, in every line. Raised when an old word changes its meaning.
pub const VERSION: u64 = 1;

/// The key of the version.
const KEY: &str = "monoceros";

/// What a command asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// How are things?
    Status,
    /// Read the config again and replace the workers.
    Reload,
    /// Another number of workers.
    Scale {
        /// Of which application.
        app: String,
        /// How many.
        workers: usize,
    },
    /// Open the log anew.
    Reopen,
    /// Become the program as it lies there now.
    Upgrade,
    /// What do the workers run?
    Stacks {
        /// An application's name, or a worker's number; without one, all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// End by draining.
    Stop,
}

/// A request, and how it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    #[serde(flatten)]
    pub request: Request,
    /// Whether to tell how far it is while it lasts. An older server does not know this, and tells nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub progress: bool,
}

/// What the server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    /// It was asked rightly; what came of it follows.
    Accepted,
    /// It has happened.
    Done {
        /// What there is now, for people.
        text: String,
    },
    /// It has not; what was before still is.
    Failed {
        /// One line.
        why: String,
        /// What helps to see it: a traceback. Often empty.
        detail: String,
    },
    /// How far it is; only if that was asked for.
    Progress(Progress),
    /// How things are.
    Status(Box<Report>),
    /// What the workers run.
    Stacks {
        /// Each of those that were meant.
        workers: Vec<Stacks>,
    },
    /// It was not asked rightly, or may not be asked. The connection ends.
    Refused {
        /// Why.
        why: String,
    },
}

impl Request {
    /// Whether it only looks, so that it is answered at once and changes nothing.
    pub fn only_looks(&self) -> bool {
        match self {
            Request::Status | Request::Stacks { .. } => true,
            Request::Reload | Request::Scale { .. } | Request::Reopen | Request::Upgrade | Request::Stop => false,
        }
    }

    /// Its word on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Request::Status => "status",
            Request::Reload => "reload",
            Request::Scale { .. } => "scale",
            Request::Reopen => "reopen",
            Request::Upgrade => "upgrade",
            Request::Stacks { .. } => "stacks",
            Request::Stop => "stop",
        }
    }
}

/// Reads a line, without its end.
///
/// # Errors
/// What is wrong with it, for the one who wrote it.
pub fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let mut value: Value = serde_json::from_slice(line).map_err(|_| "cannot read the line: it is no JSON object")?;
    let version = value.as_object_mut().and_then(|object| object.remove(KEY));
    match version.as_ref().map(Value::as_u64) {
        None => return Err(format!("cannot read the line: it lacks \"{KEY}\":{VERSION}")),
        Some(Some(VERSION)) => {}
        Some(_) => return Err(format!("cannot read the line: this side speaks version {VERSION} of the protocol")),
    }
    serde_json::from_value(value).map_err(|error| format!("cannot read the line: {error}"))
}

/// Writes a line, with its end.
///
/// # Errors
/// Only if a word of ours could not be JSON.
pub fn render<T: Serialize>(word: &T) -> Result<Vec<u8>, String> {
    let cannot = |error: serde_json::Error| format!("cannot write an answer: {error}");
    let mut value = serde_json::to_value(word).map_err(cannot)?;
    if let Some(object) = value.as_object_mut() {
        object.insert(KEY.to_owned(), VERSION.into());
    }
    let mut line = serde_json::to_vec(&value).map_err(cannot)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_may_ask_is_these_lines() {
        let cases = [
            (r#"{"monoceros":1,"ask":"status"}"#, Request::Status),
            (r#"{ "ask":"reload", "monoceros":1, "from a newer command": [1] }"#, Request::Reload),
            (
                r#"{"monoceros":1,"ask":"scale","app":"shop","workers":4}"#,
                Request::Scale { app: "shop".into(), workers: 4 },
            ),
            (r#"{"monoceros":1,"ask":"upgrade"}"#, Request::Upgrade),
            (r#"{"monoceros":1,"ask":"stop"}"#, Request::Stop),
            (r#"{"monoceros":1,"ask":"stacks"}"#, Request::Stacks { of: None }),
            (r#"{"monoceros":1,"ask":"stacks","of":"7"}"#, Request::Stacks { of: Some("7".into()) }),
        ];
        for (line, request) in cases {
            assert_eq!(parse(line.as_bytes()), Ok(Question { request, progress: false }), "{line}");
        }
        let line = r#"{"monoceros":1,"ask":"reload","progress":true}"#;
        assert_eq!(parse(line.as_bytes()), Ok(Question { request: Request::Reload, progress: true }));
    }

    #[test]
    fn a_question_says_no_more_than_it_must() {
        let line = |progress| String::from_utf8(render(&Question { request: Request::Stop, progress }).unwrap());
        assert_eq!(line(false).unwrap(), "{\"ask\":\"stop\",\"monoceros\":1}\n");
        assert_eq!(line(true).unwrap(), "{\"ask\":\"stop\",\"monoceros\":1,\"progress\":true}\n");
    }

    #[test]
    fn progress_is_a_line_for_programs() {
        let progress = Progress { step: crate::core::progress::Step::Loading, count: 2, of: Some(4) };
        let line = String::from_utf8(render(&Reply::Progress(progress)).unwrap()).unwrap();
        let expected = r#"{"answer":"progress","count":2,"monoceros":1,"of":4,"step":"loading"}"#;
        assert_eq!(line.trim_end(), expected);
        assert_eq!(progress.to_string(), "loading: 2 of 4 workers");
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        let cases = [
            ("", "no JSON object"),
            ("GET / HTTP/1.1", "no JSON object"),
            ("[]", "lacks"),
            ("7", "lacks"),
            (r#"{"ask":"status"}"#, "lacks \"monoceros\":1"),
            (r#"{"monoceros":2,"ask":"fly"}"#, "version 1"),
            (r#"{"monoceros":"1","ask":"status"}"#, "version 1"),
            (r#"{"monoceros":1,"ask":"fly"}"#, "fly"),
            (r#"{"monoceros":1}"#, "ask"),
            (r#"{"monoceros":1,"ask":"scale","app":"shop"}"#, "workers"),
            (r#"{"monoceros":1,"ask":"scale","app":"shop","workers":-1}"#, "-1"),
        ];
        for (line, part) in cases {
            let why = parse::<Question>(line.as_bytes()).unwrap_err();
            assert!(why.starts_with("cannot read the line: ") && why.contains(part), "{line}: {why}");
        }
    }

    #[test]
    fn a_line_that_is_nested_deeply_is_refused() {
        let line = "[".repeat(60_000);
        assert!(parse::<Question>(line.as_bytes()).is_err());
    }

    #[test]
    fn an_answer_is_one_line() {
        let failed = Reply::Failed { why: "a\nb".into(), detail: "Traceback\n  \"x\"".into() };
        let line = render(&failed).unwrap();
        let expected = br#"{"answer":"failed","detail":"Traceback\n  \"x\"","monoceros":1,"why":"a\nb"}"#.as_slice();
        assert_eq!(line, [expected, b"\n"].concat());
        assert_eq!(parse(expected), Ok(failed));
    }
}
