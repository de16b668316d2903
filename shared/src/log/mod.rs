//! Log lines, for eyes or for programs, on a descriptor.
//!
//! ```text
//!   info!(log, "constant message"; "key" => value)
//!        -> level -> bounded queue -> one thread -> text | JSON -> one write per line -> outlet
//! ```
//!
//! ```text
//!   2026-11-23T05:48:00.123Z INFO    serving app=hello listen=http://127.0.0.1:8000 workers=2
//!   {"ts":"2026-11-23T05:48:00.123Z","level":"info","msg":"serving","workers":2,"listen":"http://127.0.0.1:8000","app":"hello"}
//! ```
//!
//! Rules
//! * A message is a constant; what changes is a key.
//! * A slow reader of the log never blocks who logs: the queue is bounded, and what does not fit is dropped, counted, and
//!   said in a line of its own. So is what cannot be written, on a full disk say.
//! * A line is one write, so that the lines of several processes on one descriptor do not mix (up to the bound that
//!   a pipe has for that, 4096 bytes).
//! * What comes from a stranger cannot forge a line: text escapes control characters. Line breaks stay only as the
//!   indented block that a traceback is shown as.
//! * The access log is lines of the same logger, message [`REQUEST`], said only when `log.access` asks for it.
//! * Where lines go, how they look and which are kept can be changed between any two of them: see [`Outlet`].
//!
//! Known fault: a line carries the time at which the thread wrote it. It is late when the reader is slow.

mod outlet;
mod text;

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use slog::{Drain, FnValue, Level, Logger, OwnedKVList, PushFnValue, Record, o};
use slog_async::{Async, AsyncGuard};

use crate::config::{Log, LogFormat, LogLevel};
pub use outlet::Outlet;

/// The tag of lines that tell of an exception which the application has raised.
pub const EXCEPTION: &str = "exception";

/// The message of an access log line. Its keys: `method`, `path`, `status`, `bytes`, `ms`, `client`.
pub const REQUEST: &str = "request";

/// Lines that may wait for a slow reader. Smaller loses lines in a burst; larger costs memory (some hundred bytes each)
/// and shows older news first.
pub const LINES_MAX: usize = 8192;

/// How long the end of the program waits for what is still queued. Nobody who reads is that slow.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts to log as the config asks, to this outlet. Keep the guard to the end of `main`: `std::process::exit` would lose
/// lines.
pub fn start(log: &Log, outlet: &Outlet) -> (Logger, Guard) {
    outlet.follow(log);
    let lines = Lines { text: text::Text::new(outlet.clone()), json: json(outlet.clone()), outlet: outlet.clone() };
    let queue = Async::new(lines).chan_size(LINES_MAX).thread_name("log".into());
    let (queue, guard) = queue.build_with_guard();
    let filter = Filter { drain: queue, outlet: outlet.clone() };
    (Logger::root(filter.ignore_res(), o!()), Guard { queue: Some(guard) })
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

/// Keeps what is as urgent as the config asks now, and counts what is urgent.
struct Filter<D> {
    drain: D,
    outlet: Outlet,
}

impl<D: Drain<Ok = ()>> Drain for Filter<D> {
    type Ok = ();
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), D::Err> {
        if !record.level().is_at_least(self.outlet.level()) {
            return Ok(());
        }
        self.outlet.count(record.level());
        if record.tag() == EXCEPTION {
            self.outlet.count_exception();
        }
        self.drain.log(record, values)
    }
}

/// Writes lines as the config wants them now, and says which could not be written.
struct Lines {
    text: text::Text,
    json: slog_json::Json<outlet::Line>,
    outlet: Outlet,
}

impl Lines {
    fn write(&self, record: &Record<'_>, values: &OwnedKVList) {
        match self.outlet.format() {
            LogFormat::Text => self.text.write(record, values),
            // What cannot be written is counted by the outlet.
            LogFormat::Json => drop(self.json.log(record, values)),
        }
    }
}

impl Drain for Lines {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), slog::Never> {
        self.write(record, values);
        if let Some(count) = self.outlet.take_lost() {
            let said = format_args!("log lines were lost: they could not be written");
            self.write(&slog::record!(Level::Warning, "", &said, slog::b!("count" => count)), &o!().into());
        }
        Ok(())
    }
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

fn json(outlet: Outlet) -> slog_json::Json<outlet::Line> {
    let standard = o!(
        "msg" => PushFnValue(|record: &Record<'_>, value| value.emit(record.msg())),
        "level" => FnValue(|record: &Record<'_>| name(record.level())),
        "ts" => FnValue(|_: &Record<'_>| now().to_string()),
    );
    slog_json::Json::new(outlet::Line::new(outlet)).add_key_value(standard).build()
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

#[cfg(test)]
mod tests;
