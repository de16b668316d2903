//! The config reference in Markdown, for docs/reference.md: printed from the table that the reading itself uses.

use std::fmt::Write as _;

use super::raw::keys;
use super::section::Key;

/// A table for each map of the file, with a row for each key. A test holds the document to it.
pub fn reference() -> String {
    let mut text = String::new();
    let keys = keys();
    for section in keys.chunk_by(|a, b| a.section == b.section) {
        let title = match section.first().map_or("", |key| key.section) {
            "" => "The top level".to_owned(),
            section => format!("`{section}`"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{title}\n\n| key | value | default | what it is |\n|---|---|---|---|");
        section.iter().for_each(|key| text.push_str(&row(key)));
        text.push('\n');
    }
    text
}

fn row(key: &Key) -> String {
    let range = key.range.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
    let default = match (key.default, key.default_is_words) {
        (None, _) => "required".to_owned(),
        (Some(words), true) => words.to_owned(),
        (Some(value), false) => format!("`{value}`"),
    };
    let form = key.form.replace('|', "\\|");
    format!("| `{}` | {form}{range} | {default} | {} |\n", key.name, key.about)
}
