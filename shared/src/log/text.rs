//! Lines for eyes: a time, a level, a message, and its keys; what has several lines stands below, indented.

use std::fmt::{self, Write as _};

use slog::{KV, Key, Level, OwnedKVList, Record, Serializer};

use super::outlet::Reader;
use super::{Outlet, name, now};

/// What to write before and after a level's name where eyes like colours.
fn colour(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Critical | Level::Error => ("\x1b[31m", "\x1b[0m"),
        Level::Warning => ("\x1b[33m", "\x1b[0m"),
        Level::Info => ("\x1b[32m", "\x1b[0m"),
        Level::Debug | Level::Trace => ("\x1b[2m", "\x1b[0m"),
    }
}

/// A level as the journal counts it (syslog(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
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
        self.outlet.write_line(line(record, pairs, self.outlet.reader()).as_bytes());
    }
}

fn line(record: &Record<'_>, pairs: Pairs, reader: Reader) -> String {
    let level = name(record.level()).to_uppercase();
    let mut line = match reader {
        Reader::Terminal => {
            let (before, after) = colour(record.level());
            format!("{} {before}{level:<8}{after} {}", now(), record.msg())
        }
        Reader::Journal => format!("{level:<8} {}", record.msg()),
        Reader::Anybody => format!("{} {level:<8} {}", now(), record.msg()),
    };
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
    match reader {
        Reader::Terminal | Reader::Anybody => line,
        // Each line of the record is one of the journal's.
        Reader::Journal => line.lines().map(|line| format!("<{}>{line}\n", priority(record.level()))).collect(),
    }
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
