//! Lines for eyes: a time, a level, a message, and its keys; what has several lines stands below, indented.

use std::fmt::{self, Write as _};

use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

use super::{Outlet, name, now};

#[derive(Clone, Copy)]
enum Colour {
    Ansi,
    None,
}

impl Colour {
    /// What to write before and after a level's name.
    fn around(self, level: Level) -> (&'static str, &'static str) {
        match (self, level) {
            (Colour::None, _) => ("", ""),
            (Colour::Ansi, Level::Critical | Level::Error) => ("\x1b[31m", "\x1b[0m"),
            (Colour::Ansi, Level::Warning) => ("\x1b[33m", "\x1b[0m"),
            (Colour::Ansi, Level::Info) => ("\x1b[32m", "\x1b[0m"),
            (Colour::Ansi, Level::Debug | Level::Trace) => ("\x1b[2m", "\x1b[0m"),
        }
    }
}

/// Writes them.
pub(super) struct Text {
    outlet: Outlet,
}

impl Text {
    pub(super) fn new(outlet: Outlet) -> Text {
        Text { outlet }
    }

    pub(super) fn write(&self, record: &Record<'_>, values: &OwnedKVList) {
        let mut pairs = Pairs::default();
        // Neither can fail: `Pairs` only collects.
        let _ = record.kv().serialize(record, &mut pairs).and_then(|()| values.serialize(record, &mut pairs));
        let colour = if self.outlet.is_terminal() { Colour::Ansi } else { Colour::None };
        self.outlet.write_line(line(record, pairs, colour).as_bytes());
    }
}

fn line(record: &Record<'_>, pairs: Pairs, colour: Colour) -> String {
    let (before, after) = colour.around(record.level());
    let level = name(record.level()).to_uppercase();
    let mut line = format!("{} {before}{level:<8}{after} {}", now(), record.msg());
    let mut blocks = String::new();
    // slog tells the last pair first.
    for (key, value) in pairs.0.into_iter().rev() {
        if value.contains('\n') {
            block(&mut blocks, &key, &value);
        } else {
            line.push(' ');
            line.push_str(&key);
            line.push('=');
            quote(&mut line, &value);
        }
    }
    line.push('\n');
    line.push_str(&blocks);
    line
}

/// A value of several lines, such as a traceback, below the line it belongs to.
fn block(blocks: &mut String, key: &str, value: &str) {
    blocks.push_str("  ");
    blocks.push_str(key);
    blocks.push_str(":\n");
    for text in value.trim_end().lines() {
        blocks.push_str("    ");
        escape(blocks, text);
        blocks.push('\n');
    }
}

fn quote(line: &mut String, value: &str) {
    if value.is_empty() || value.contains([' ', '"', '=']) {
        line.push('"');
        for (index, part) in value.split('"').enumerate() {
            line.push_str(if index > 0 { "\\\"" } else { "" });
            escape(line, part);
        }
        line.push('"');
    } else {
        escape(line, value);
    }
}

fn escape(line: &mut String, value: &str) {
    for character in value.chars() {
        if character.is_control() && character != '\t' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
}

/// The keys and values of a line, as text.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl Serializer for Pairs {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        let mut text = String::new();
        text.write_fmt(*value)?;
        self.0.push((key.into(), text));
        Ok(())
    }
}
