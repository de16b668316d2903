//! A config as it is run, in the form of a file: every key, its value, and where that came from.
//!
//! ```text
//!   Config --entries--> a tree of what is written --render (each with its Source)--> YAML, with a comment to each line
//! ```
//!
//! Rule: what is printed is a file that means the same, so that it can be kept, compared and run. A test reads it back.
//!
//! Known fault: a secret, and a variable of the application that is taken from ours, is not told but named, for what is printed
//! ends in logs and tickets. Where a secret stands in the file itself, the printed file lacks it.

mod entries;
mod source;

use std::fmt::Write as _;

pub(super) use source::Source;

use super::read::Checked;
use super::section::Key;
use source::Step;

/// What is written for a key, before its origin is known.
#[derive(Clone, Debug)]
enum Shown {
    /// As YAML has it, quoted if need be.
    Scalar(String),
    /// What nobody who reads a log should see.
    Hidden,
    /// Scalars, on one line.
    List(Vec<String>),
    /// Maps, each with a dash.
    Items(Vec<Vec<Entry>>),
    /// Keys, one a line.
    Map(Vec<Entry>),
    /// Nothing: the words of its default hold.
    Absent,
}

/// A key and what is written behind it.
#[derive(Clone, Debug)]
struct Entry {
    key: String,
    shown: Shown,
}

/// The config as a file that means the same, with the origin of each value.
pub fn resolved(checked: &Checked) -> String {
    let mut page = Page { source: &checked.source, keys: super::keys(), text: String::new() };
    page.map(&entries::of(&checked.config), &mut Vec::new(), 0);
    page.text
}

/// What is being written.
struct Page<'a> {
    source: &'a Source,
    keys: Vec<Key>,
    text: String,
}

/// Where comments begin, if the line leaves room.
const COMMENT_COLUMN: usize = 52;

impl Page<'_> {
    fn map(&mut self, entries: &[Entry], path: &mut Vec<Step>, indent: usize) {
        for entry in entries {
            path.push(Step::Key(entry.key.clone()));
            self.entry(entry, path, indent);
            path.pop();
        }
    }

    fn entry(&mut self, entry: &Entry, path: &mut Vec<Step>, indent: usize) {
        let key = scalar(&entry.key);
        match &entry.shown {
            Shown::Scalar(value) => match self.source.hidden(path) {
                Some(written) => self.line(indent, &format!("{key}: {}", quoted(&written)), path),
                None => self.line(indent, &format!("{key}: {value}"), path),
            },
            Shown::Hidden => match self.source.hidden(path) {
                Some(written) => self.line(indent, &format!("{key}: {}", quoted(&written)), path),
                None => self.line(indent, &format!("# {key}: it is not shown"), path),
            },
            Shown::List(items) => self.line(indent, &format!("{key}: [{}]", items.join(", ")), path),
            Shown::Map(entries) => {
                // Comments alone would be no map.
                let is_empty = entries.iter().all(|entry| matches!(entry.shown, Shown::Absent | Shown::Hidden));
                match is_empty {
                    true => self.line(indent, &format!("{key}: {{}}"), path),
                    false => self.bare(indent, &format!("{key}:")),
                }
                self.map(entries, path, indent + 2);
            }
            Shown::Items(items) => {
                self.bare(indent, &format!("{key}:"));
                for (number, entries) in items.iter().enumerate() {
                    path.push(Step::Item(number));
                    let begin = self.text.len();
                    self.map(entries, path, indent + 4);
                    self.text.replace_range(begin + indent + 2..begin + indent + 3, "-");
                    path.pop();
                }
            }
            Shown::Absent => {
                let words = self.words(path);
                self.line(indent, &format!("# {key}: {words}"), path);
            }
        }
    }

    /// The words of a key that has no value.
    fn words(&self, path: &[Step]) -> &'static str {
        let section = Step::section(&path[..path.len() - 1]);
        let is_it = |key: &&Key| key.section == section && path.last().is_some_and(|last| last.is(key.name));
        self.keys.iter().find(is_it).and_then(|key| key.default).unwrap_or("none")
    }

    fn line(&mut self, indent: usize, text: &str, path: &[Step]) {
        let origin = self.source.origin(path);
        let width = COMMENT_COLUMN.saturating_sub(indent);
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:indent$}{text:width$} # {origin}", "");
    }

    fn bare(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }
}

/// A text as YAML has it, in quotes unless it can mean nothing else; a `$` of it begins no variable.
pub fn scalar(text: &str) -> String {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || b"/.".contains(&byte));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@()+-".contains(&byte);
    let is_other = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", ".nan", ".inf"]
        .contains(&text.to_lowercase().as_str());
    let is_number = text.starts_with('.') && text.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    if first && text.bytes().all(is_plain) && !text.ends_with(':') && !is_other && !is_number {
        return text.to_owned();
    }
    quoted(&text.replace('$', "$$"))
}

/// A text in quotes, as it stands. What JSON quotes, YAML reads (YAML 1.2, 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
