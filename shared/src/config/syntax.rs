//! What is wrong with a text that is no YAML: serde_yaml's own errors, where it speaks to programmers in words for
//! whoever wrote the file, and with the mistake that is most often behind them.

use serde_yaml::Error;

use super::Place;
use super::fault::Fault;

/// The fault that an error of the parser is, at its place.
pub(super) fn fault(error: &Error, text: &str) -> Fault {
    let told = error.to_string();
    if told.contains("more than one document") {
        return Fault::whole(second_document(text), "a second YAML document begins here: a config is one");
    }
    if told.contains("repetition limit exceeded") || told.contains("recursion limit exceeded") {
        let text = "nested too deeply: make it flatter, or use fewer aliases";
        return Fault::whole(location(error), text);
    }
    if let Some(offset) = told.rsplit_once(" at position ").and_then(|(_, offset)| offset.parse().ok()) {
        return Fault::whole(place_of(text.as_bytes(), offset), "a character that YAML does not allow");
    }
    let why = told.split(" at line ").next().unwrap_or(&told);
    let hint = error.location().map_or("", |at| hint(text, at.index(), at.line()));
    let text = format!("cannot parse YAML: {why}{hint}");
    Fault::whole(location(error), text)
}

/// Where the parser stood.
pub(super) fn location(error: &Error) -> Option<Place> {
    error.location().map(|at| Place { line: at.line(), column: at.column() })
}

/// Where a second document begins, if a `---` says so. At a line's start it always does (YAML 1.2, 9.1.2).
fn second_document(text: &str) -> Option<Place> {
    let begun = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let mut content = text.lines().enumerate().skip_while(|(_, line)| !begun(line)).skip(1);
    let (index, _) = content.find(|(_, line)| line.starts_with("---"))?;
    Some(Place { line: index + 1, column: 1 })
}

/// What is most often behind a syntax error at this byte and line.
fn hint(text: &str, byte: usize, line: usize) -> &'static str {
    let line = text.lines().nth(line - 1).unwrap_or_default();
    if text.as_bytes().get(byte) == Some(&b'\t') {
        ": indent with spaces, not with tabs"
    } else if ["${", "[:", " :"].iter().any(|trap| line.contains(trap)) {
        ": put values with `{`, `[` or a leading `:` in quotes"
    } else {
        ""
    }
}

/// The place of a byte of the text.
pub(super) fn place_of(text: &[u8], offset: usize) -> Place {
    let before = String::from_utf8_lossy(&text[..offset.min(text.len())]);
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    Place { line: before.matches('\n').count() + 1, column }
}
