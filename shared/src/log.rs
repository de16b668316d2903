//! Log lines, for eyes or for programs, on standard error.
//!
//! ```text
//!   info!(log, "constant message"; "key" => value)
//!        -> level -> bounded queue -> one thread -> text | JSON -> one write per line -> stderr
//! ```
//!
//! ```text
//!   2026-11-23T05:48:00.123Z INFO    serving app=hello listen=http://127.0.0.1:8000 workers=2
//!   {"ts":"2026-11-23T05:48:00.123Z","level":"info","msg":"serving","workers":2,"listen":"http://127.0.0.1:8000","app":"hello"}
//! ```
//!
//! Rules
//! * A message is a constant; what changes is a key.
//! * A slow reader of standard error never blocks who logs: the queue is bounded, and what does not fit is dropped,
//!   counted, and said in a line of its own.
//! * A line is one write, so that the lines of several processes on one descriptor do not mix (up to the bound that
//!   a pipe has for that, 4096 bytes).
//! * What comes from a stranger cannot forge a line: text escapes control characters. Line breaks stay only as the
//!   indented block that a traceback is shown as.
//! * The access log is lines of the same logger, message [`REQUEST`], said only when `log.access` asks for it.
//!
//! Known fault: a line carries the time at which the thread wrote it. It is late when the reader is slow.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, LineWriter, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use slog::{Drain, FnValue, KV, Key, Level, LevelFilter, Logger, OwnedKVList, PushFnValue, Record, Serializer, o};
use slog_async::{Async, AsyncGuard};

use crate::config::{Log, LogFormat, LogLevel};

/// The message of an access log line. Its keys: `method`, `path`, `status`, `bytes`, `ms`, `client`.
pub const REQUEST: &str = "request";

/// Lines that may wait for a slow reader. Smaller loses lines in a burst; larger costs memory (some hundred bytes each)
/// and shows older news first.
const LINES_MAX: usize = 8192;

/// Bytes of a line that are held until its end. A longer line is written in parts.
const LINE_BYTES_MAX: usize = 128 * 1024;

/// How long the end of the program waits for what is still queued. Nobody who reads is that slow.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts to log as the config asks. Keep the guard to the end of `main`: `std::process::exit` would lose lines.
pub fn start(log: &Log) -> (Logger, Guard) {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    start_on(io::stderr(), log, if colour { Colour::Ansi } else { Colour::None })
}

/// Writes what is still queued when it is dropped, for 3 s at most.
pub struct Guard {
    queue: Option<AsyncGuard>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let queue = self.queue.take();
        let (flushed, waiting) = mpsc::channel();
        // A thread, because dropping the queue's own guard waits without a bound. Should the thread not start, the
        // lines are flushed by the failed call itself, which drops what it was given.
        let flusher = thread::Builder::new().name("log-flush".into()).spawn(move || {
            drop(queue);
            // The receiver is gone when the wait below has ended; then nobody asks any more.
            let _ = flushed.send(());
        });
        if flusher.is_ok() {
            let _ = waiting.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

fn start_on(sink: impl Write + Send + 'static, log: &Log, colour: Colour) -> (Logger, Guard) {
    let lines: Box<dyn Drain<Ok = (), Err = slog::Never> + Send> = match log.format {
        LogFormat::Text => Box::new(Text { sink: RefCell::new(sink), colour }),
        LogFormat::Json => Box::new(json(sink).ignore_res()),
    };
    let queue = Async::new(lines).chan_size(LINES_MAX).thread_name("log".into());
    let (queue, guard) = queue.build_with_guard();
    let logger = Logger::root(LevelFilter::new(queue, level(log.level)).ignore_res(), o!());
    (logger, Guard { queue: Some(guard) })
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Critical => Level::Critical,
        LogLevel::Error => Level::Error,
        LogLevel::Warning => Level::Warning,
        LogLevel::Info => Level::Info,
        LogLevel::Debug => Level::Debug,
    }
}

fn now() -> impl fmt::Display {
    humantime::format_rfc3339_millis(SystemTime::now())
}

fn json<W: Write + Send>(sink: W) -> slog_json::Json<LineWriter<W>> {
    let standard = o!(
        "msg" => PushFnValue(|record: &Record<'_>, value| value.emit(record.msg())),
        "level" => FnValue(|record: &Record<'_>| name(record.level())),
        "ts" => FnValue(|_: &Record<'_>| now().to_string()),
    );
    slog_json::Json::new(LineWriter::with_capacity(LINE_BYTES_MAX, sink)).add_key_value(standard).build()
}

/// The levels as the config names them.
fn name(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    }
}

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

/// Lines for eyes.
struct Text<W> {
    sink: RefCell<W>,
    colour: Colour,
}

impl<W: Write> Drain for Text<W> {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        let mut pairs = Pairs::default();
        // Neither can fail: `Pairs` only collects.
        let _ = record.kv().serialize(record, &mut pairs).and_then(|()| values.serialize(record, &mut pairs));
        let line = line(record, pairs, self.colour);
        let mut sink = self.sink.borrow_mut();
        // A log that cannot be written has nowhere to say so.
        let _ = sink.write_all(line.as_bytes()).and_then(|()| sink.flush());
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Condvar, Mutex};

    use slog::{debug, error, info};

    use super::*;
    use crate::config::Access;

    #[derive(Clone, Default)]
    struct Sink {
        written: Arc<Mutex<Vec<Vec<u8>>>>,
        gate: Arc<(Mutex<Gate>, Condvar)>,
    }

    #[derive(Clone, Copy, Default, PartialEq)]
    enum Gate {
        #[default]
        Open,
        Shut,
    }

    impl Sink {
        fn turn(&self, gate: Gate) {
            *self.gate.0.lock().unwrap() = gate;
            self.gate.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().concat()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let gate = self.gate.0.lock().unwrap();
            drop(self.gate.1.wait_while(gate, |gate| *gate == Gate::Shut).unwrap());
            self.written.lock().unwrap().push(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: LogFormat, level: LogLevel) -> (Sink, Logger, Guard) {
        let sink = Sink::default();
        let config = Log { format, level, access: Access::Off, file: None };
        let (logger, guard) = start_on(sink.clone(), &config, Colour::None);
        (sink, logger, guard)
    }

    #[test]
    fn text_is_a_time_a_level_a_message_and_its_keys_in_order() {
        let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
        let logger = logger.new(o!("app" => "shop"));
        info!(logger, "serving"; "listen" => "http://127.0.0.1:8000", "workers" => 2, "why" => "two words", "no" => "");
        drop(guard);
        let text = sink.text();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.len() == "2026-11-23T05:48:00.123Z".len() && time.ends_with('Z'), "{time}");
        assert_eq!(
            rest,
            "INFO     serving app=shop listen=http://127.0.0.1:8000 workers=2 why=\"two words\" no=\"\"\n"
        );
    }

    #[test]
    fn json_is_one_object_a_line_with_values_as_they_are() {
        let (sink, logger, guard) = log(LogFormat::Json, LogLevel::Info);
        error!(logger.new(o!("app" => "shop")), "exited"; "code" => 3, "detail" => "a\nb");
        drop(guard);
        let text = sink.text();
        assert!(text.starts_with("{\"ts\":\"20"), "{text}");
        assert!(
            text.ends_with(
                "Z\",\"level\":\"error\",\"msg\":\"exited\",\"app\":\"shop\",\"detail\":\"a\\nb\",\"code\":3}\n"
            ),
            "{text}"
        );
        assert_eq!(sink.written.lock().unwrap().len(), 1, "one line, one write");
    }

    #[test]
    fn a_traceback_is_an_indented_block_below_its_line() {
        let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
        error!(logger, "boot failed"; "detail" => "Traceback:\n  File \"a.py\"\n", "app" => "a");
        drop(guard);
        let text = sink.text();
        assert!(text.ends_with("boot failed app=a\n  detail:\n    Traceback:\n      File \"a.py\"\n"), "{text}");
        assert_eq!(sink.written.lock().unwrap().len(), 1, "one record, one write");
    }

    #[test]
    fn a_strangers_bytes_cannot_forge_a_line() {
        let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
        info!(logger, "request"; "path" => "/\r\x1b[2J\"x\"");
        info!(logger, "request"; "path" => "/\n2026 INFO forged");
        drop(guard);
        let text = sink.text();
        assert!(text.contains("path=\"/\\r\\u{1b}[2J\\\"x\\\"\"") || text.contains("path=/\\r"), "{text}");
        assert!(text.contains("\n    2026 INFO forged\n"), "{text}");
    }

    #[test]
    fn what_is_less_urgent_than_the_level_is_left_out() {
        let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
        debug!(logger, "detail");
        info!(logger, "news");
        drop(guard);
        assert!(!sink.text().contains("detail") && sink.text().contains("news"));
    }

    #[test]
    fn a_slow_reader_blocks_nobody_and_the_loss_is_said() {
        let (sink, logger, guard) = log(LogFormat::Text, LogLevel::Info);
        sink.turn(Gate::Shut);
        for number in 0..LINES_MAX + 100 {
            info!(logger, "line"; "number" => number);
        }
        sink.turn(Gate::Open);
        while !sink.text().contains(&format!("number={}\n", LINES_MAX - 1)) {
            thread::yield_now();
        }
        info!(logger, "after");
        drop(guard);
        let text = sink.text();
        assert!(text.contains("dropped messages") && text.contains(" count="), "the loss is not said");
        assert!(text.ends_with(" after\n"));
    }

    #[test]
    fn colour_is_for_terminals() {
        let sink = Sink::default();
        let config = Log { format: LogFormat::Text, level: LogLevel::Info, access: Access::Off, file: None };
        let (logger, guard) = start_on(sink.clone(), &config, Colour::Ansi);
        error!(logger, "exited");
        drop(guard);
        assert!(sink.text().contains(" \x1b[31mERROR   \x1b[0m exited\n"), "{}", sink.text());
    }
}
