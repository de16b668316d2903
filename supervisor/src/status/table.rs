//! How things are, for people: a line for the server, one for each application, a table of its workers.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{App, Report, State, Worker};
use crate::core::Restarts;
use crate::core::line::span;

impl State {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            State::Serving => "serving",
            State::Degraded => "degraded",
            State::Reloading => "reloading",
            State::Parked => "parked",
            State::Stopping => "stopping",
        }
    }
}

/// For people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.word();
        let (pid, generation) = (self.pid, self.generation);
        writeln!(f, "supervisor {pid}: {state}, generation {generation}, up {}", age(self.age))?;
        if let Some(last) = &self.last_reload {
            writeln!(f, "last reload: {} {} ago ({})", last.outcome, age(last.age), last.cause)?;
            block(f, &last.why)?;
            block(f, &last.detail)?;
        }
        self.apps.iter().try_for_each(|app| app.show(f))
    }
}

impl App {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let serving = self.workers.iter().filter(|worker| worker.state == "serving").count();
        writeln!(f)?;
        write!(f, "{}: {}, generation {}, ", self.name, self.state, self.generation)?;
        writeln!(f, "{serving} of {} workers, {}, {}", self.wanted, self.shown_restarts(), self.listen)?;
        if let Some(length) = self.degraded_for {
            writeln!(f, "    for {}:", age(length))?;
        }
        block(f, &self.why)?;
        if self.workers.is_empty() {
            return Ok(());
        }
        let mut rows =
            vec![["worker", "pid", "generation", "state", "age", "served", "busy", "memory"].map(str::to_owned)];
        rows.extend(self.workers.iter().map(Worker::row));
        let table = aligned(&rows);
        writeln!(f, "{}", table[0])?;
        for (worker, row) in self.workers.iter().zip(&table[1..]) {
            writeln!(f, "{row}")?;
            for request in worker.work.iter().flat_map(|work| &work.in_flight) {
                writeln!(f, "      {} for {}", request.line, age(request.age))?;
            }
        }
        Ok(())
    }
}

impl App {
    /// `3 restarts (2 crashes, 1 stuck)`.
    fn shown_restarts(&self) -> String {
        let Restarts { crash, exit, boot_failure, stuck, silent, recycled } = self.restarts_by;
        let by = [
            (crash, "crashed"),
            (exit, "exited"),
            (boot_failure, "failed to boot"),
            (stuck, "stuck"),
            (silent, "silent"),
        ];
        let by: Vec<String> = by.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        let plural = if self.restarts == 1 { "" } else { "s" };
        let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
        let recycled = if recycled == 0 { String::new() } else { format!(", {recycled} recycled") };
        format!("{} restart{plural}{by}{recycled}", self.restarts)
    }
}

impl Worker {
    fn row(&self) -> [String; 8] {
        let unknown = || "-".to_owned();
        let work = self.work.as_ref();
        [
            self.id.to_string(),
            self.pid.map_or_else(unknown, |pid| pid.to_string()),
            self.generation.to_string(),
            self.state.clone(),
            age(self.age),
            work.map_or_else(unknown, |work| work.requests.to_string()),
            work.map_or_else(unknown, |work| format!("{}/{}", work.in_flight.len(), work.threads)),
            work.map_or_else(unknown, |work| size(work.memory)),
        ]
    }
}

/// Columns as wide as their widest text.
fn aligned(rows: &[[String; 8]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let mut line = String::new();
        for (text, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "  {text:width$}");
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// `12.3 MiB`.
pub fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn block(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "    {line}"))
}

/// `12.3s`, `3m 4s`, `2h 3m`, `5d 6h`.
pub fn age(seconds: f64) -> String {
    // What another program wrote may be no length of time.
    let age = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    let whole = age.as_secs();
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match whole {
        0..60 => span(age),
        60..3600 => format!("{minutes}m {}s", whole % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        86_400.. => format!("{days}d {hours}h"),
    }
}
