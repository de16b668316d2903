//! Writes the core's lines into the log.

use slog::{KV, Logger, Record, Serializer};

use crate::core::line::{Level, Line, Value};

/// Writes one.
pub fn write(log: &Logger, line: &Line) {
    // slog wants the level at compile time.
    match line.level {
        Level::Error => slog::error!(log, "{}", line.message; Keys(line)),
        Level::Warning => slog::warn!(log, "{}", line.message; Keys(line)),
        Level::Info => slog::info!(log, "{}", line.message; Keys(line)),
        Level::Debug => slog::debug!(log, "{}", line.message; Keys(line)),
    }
}

/// The keys of a line, as slog takes them: the last first.
struct Keys<'a>(&'a Line);

impl KV for Keys<'_> {
    fn serialize(&self, _: &Record<'_>, serializer: &mut dyn Serializer) -> slog::Result {
        self.0.keys.iter().rev().try_for_each(|(key, value)| match value {
            Value::Text(text) => serializer.emit_str(key, text),
            Value::Number(number) => serializer.emit_u64(key, *number),
        })
    }
}
