//! Has Python run a config file, which is a program, and reads what it set.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::said::Said;
use super::Start;
use crate::errand::{self, Errand};

/// What runs the file; it knows no gunicorn.
const SCRIPT: &str = include_str!("../evaluate.py");

/// How long a config file may take. Those that ask the network for something take seconds; one that starts a server takes for ever.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a config file comes to.
#[derive(Debug)]
pub(super) struct Evaluated {
    /// The file, as it was named.
    pub file: String,
    /// Every name that it defines.
    pub settings: Vec<Said>,
    /// Variables of the environment that it asked for.
    pub environment: Vec<String>,
}

/// What the script prints.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    fault: Option<Fault>,
    file: String,
    values: BTreeMap<String, Value>,
    lines: BTreeMap<String, usize>,
    computed: BTreeMap<String, String>,
    environment: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    line: Option<usize>,
    text: String,
}

/// Runs a config file, named as gunicorn's `-c` names it.
///
/// # Errors
/// `FILE:LINE: why`, when it raises, or cannot be run.
pub(super) fn evaluate(start: &Start, location: &str) -> Result<Evaluated, String> {
    let arguments = ["-B", "-c", SCRIPT, location].map(OsString::from);
    let python = start.python.display();
    let asked = Errand {
        program: &start.python,
        arguments: &arguments,
        folder: &start.folder,
        environment: &start.environment,
    };
    let said =
        errand::told_by(&asked, PATIENCE).map_err(|why| format!("cannot run {location} with {python}: {why}"))?;
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|_| format!("cannot run {location} with {python}: it ended without saying what the file sets"))?;
    if let Some(Fault { line, text }) = answer.fault {
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        return Err(format!("{location}{line}: {text}"));
    }
    let file = if location.starts_with("python:") {
        answer.file.clone()
    } else {
        location.trim_start_matches("file:").to_owned()
    };
    let said = |(name, value): (String, Value)| {
        let line = answer.lines.get(&name).copied().or_else(|| usize::try_from(value.get("line")?.as_u64()?).ok());
        let place = line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"));
        let computed = answer.computed.get(&name).cloned();
        Said { computed, ..Said::new(&name, value, place) }
    };
    let settings = answer.values.into_iter().map(said).collect();
    Ok(Evaluated { file: file.clone(), settings, environment: answer.environment })
}
