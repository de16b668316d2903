//! Where each value of a config came from: a place of the file, a variable, the command line, or nowhere, which is the default.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::super::Place;
use super::super::expand::names;
use super::super::tree::{Node, Value};

/// What a config was read from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file, as it stands there, with its `${…}`.
    File {
        /// As the user named it.
        path: PathBuf,
        /// What stands in it.
        tree: Node,
    },
    /// A command line: for each key of its application where the value came from.
    Line(BTreeMap<&'static str, String>),
    /// The program before this one, which did not say.
    Inherited,
}

/// A step on the way from the whole file to a value.
#[derive(Clone, Debug)]
pub enum Step {
    /// Behind this key.
    Key(String),
    /// The item of this number.
    Item(usize),
}

impl Step {
    /// Whether it is this key.
    pub fn is(&self, name: &str) -> bool {
        matches!(self, Step::Key(key) if key == name)
    }

    /// The section of the reference that a path leads to.
    pub fn section(path: &[Step]) -> String {
        let mut section = String::new();
        let keys = path.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        });
        for (depth, key) in keys.enumerate() {
            let key = if depth == 1 && section == "apps" { "NAME" } else { key };
            // Writing to a String cannot fail.
            let _ = write!(section, "{}{key}", if depth == 0 { "" } else { "." });
        }
        section
    }
}

/// Keys that a value may stand for on its own: `listen: ADDRESS`, `static: {/a: PATH}`, `ready: PATH`, `threads: N`, `access: true`.
const SHORT: &[&str] = &["address", "path", "min", "max", "format"];

impl Source {
    /// Where the value at a path came from, for a comment.
    pub fn origin(&self, path: &[Step]) -> String {
        match self {
            Source::File { path: file, tree } => match find(tree, path) {
                Some((place, written)) => {
                    let Place { line, column } = place;
                    format!("{}:{line}:{column}{}", file.display(), written.map_or(String::new(), variables))
                }
                None => "default".into(),
            },
            Source::Line(said) => {
                let said_of = |step: &Step| said.iter().find(|(key, _)| step.is(key)).map(|(_, said)| said.clone());
                let found = if path.first().is_some_and(|first| first.is("apps")) { path.get(2) } else { path.first() };
                let is_short =
                    path.len() < 4 || path.last().is_some_and(|last| SHORT.iter().any(|short| last.is(short)));
                found.filter(|_| is_short).and_then(said_of).unwrap_or_else(|| "default".into())
            }
            Source::Inherited => "the program before".into(),
        }
    }

    /// What is written at a path whose value is not to be shown: a variable of ours that goes on to the application, or a secret
    /// that stands in one.
    pub fn hidden(&self, path: &[Step]) -> Option<String> {
        let is_private = path.iter().any(|step| step.is("environment") || step.is("secret"));
        match self {
            Source::File { tree, .. } if is_private => find(tree, path)
                .and_then(|(_, written)| written)
                .filter(|written| !names(written).is_empty())
                .map(str::to_owned),
            Source::File { .. } | Source::Line(_) | Source::Inherited => None,
        }
    }
}

/// Which variables a text names, and which of them are not set, so that a default of theirs holds.
fn variables(written: &str) -> String {
    let said = |(name, default): (&str, Option<&str>)| {
        let is_set = std::env::var_os(name).is_some_and(|value| default.is_none() || !value.is_empty());
        if is_set { format!(", environment {name}") } else { format!(", {name} is not set") }
    };
    names(written).into_iter().map(said).collect()
}

/// The place of what stands at a path, and its text if it is a scalar.
fn find<'a>(node: &'a Node, path: &[Step]) -> Option<(Place, Option<&'a str>)> {
    let Some((step, rest)) = path.split_first() else {
        let text = match &node.value {
            Value::Scalar(_, text) => Some(text.as_str()),
            Value::List(_) | Value::Map(_) => None,
        };
        return Some((node.place, text));
    };
    match (step, &node.value) {
        (Step::Key(name), Value::Map(entries)) => {
            let (_, value) = entries.iter().find(|(key, _)| key.text == *name)?;
            find(value, rest)
        }
        (Step::Item(number), Value::List(items)) => find(items.get(*number)?, rest),
        (Step::Item(_), Value::Map(_) | Value::Scalar(..)) => find(node, rest),
        (Step::Key(name), Value::Scalar(..)) if SHORT.contains(&name.as_str()) => find(node, rest),
        (Step::Key(_), Value::Scalar(..) | Value::List(_)) => None,
    }
}
