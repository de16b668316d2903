//! Commands that are run when something happens: programs with their words, no line for a shell.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::{Fault, shown};
use super::schema::Range;
use super::section::{At, Read, or_defaults};
use super::tree::{Kind, Node, Value};
use super::{Place, raw};

/// Programs that are run when something happens, each with its words; an empty one is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// Before anything is bound; its failure is the server's.
    pub start: Vec<String>,
    /// Every application serves.
    pub ready: Vec<String>,
    /// A reload is decided.
    pub reload: Vec<String>,
    /// A worker is gone.
    pub worker_exit: Vec<String>,
    /// Every worker is.
    pub stop: Vec<String>,
    /// How long each may take.
    pub timeout: Duration,
}

/// A program and its words. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Words(pub Vec<String>);

impl Read for Words {
    const FORM: &'static str = "a list of words";

    fn schema(_: Range) -> serde_json::Value {
        json!({"type": "array", "items": {"type": ["string", "number"]}, "minItems": 1, "examples": [["/usr/bin/touch", "/run/shop.ready"]]})
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let expected =
            || node.expected("a list of words such as `[/usr/bin/touch, /run/shop.ready]`, for no shell reads it");
        let Value::List(items) = &node.value else { return Err(expected()) };
        let word = |item: &Node| match &item.value {
            Value::Scalar(Kind::Text | Kind::Expanded | Kind::Number | Kind::Ambiguous, text) => Ok(text.clone()),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => Err(item.expected("text or a number")),
        };
        let words: Vec<String> = items.iter().map(word).collect::<Result<_, _>>()?;
        match words.first().map(String::as_str) {
            None | Some("") => Err(Fault::at(node.place, "it names no program")),
            Some(_) => Ok(Words(words)),
        }
    }
}

/// The commands of a file, their programs found.
pub(super) fn commands(raw: Option<At<raw::Commands>>, folder: &Path, place: Place) -> Result<Commands, Fault> {
    let raw = or_defaults(raw, place)?;
    let found = |key: &str, words: Option<At<Words>>| match words {
        None => Ok(Vec::new()),
        Some(At { place, value: Words(words), .. }) => {
            program(words, folder).map_err(|why| Fault::at(place, why).of_key(key))
        }
    };
    Ok(Commands {
        start: found("start", raw.start)?,
        ready: found("ready", raw.ready)?,
        reload: found("reload", raw.reload)?,
        worker_exit: found("worker_exit", raw.worker_exit)?,
        stop: found("stop", raw.stop)?,
        timeout: raw.timeout.value,
    })
}

/// A program with a `/` in it is a file, relative to the folder of the config; others `PATH` finds when they are run.
fn program(mut words: Vec<String>, folder: &Path) -> Result<Vec<String>, String> {
    if let Some(first) = words.first_mut().filter(|first| first.contains('/')) {
        let path = folder.join(&*first);
        if !path.is_file() {
            return Err(format!("cannot find the program {}", shown(&path.to_string_lossy())));
        }
        *first = path.to_string_lossy().into_owned();
    }
    Ok(words)
}
