//! What commands show while they last: how far a wish is, and `status --watch`.
//!
//! ```text
//!   on a terminal     one line that is written over; a screen that is drawn anew each second, until q or ctrl-C
//!   anywhere else     line after line; report after report, until nobody reads any more
//! ```
//!
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ask::{self, Form, Target};
use super::terminal::{Key, Terminal};
use crate::core::progress::Progress;

/// How often is looked again. More often than an eye follows; less often, and a worker's crash is missed.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// Clears the line and goes to its start.
const LINE: &str = "\r\x1b[K";

/// Shows how far a wish is.
#[derive(Debug, Default)]
pub struct Meter {
    is_dirty: bool,
}

impl Meter {
    /// Shows it, on standard error.
    pub fn show(&mut self, progress: &Progress) {
        let mut stderr = io::stderr();
        self.is_dirty = stderr.is_terminal();
        // Who does not see it waits all the same.
        let _ = if self.is_dirty {
            write!(stderr, "{LINE}{progress}").and_then(|()| stderr.flush())
        } else {
            writeln!(stderr, "supervisor: {progress}")
        };
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if self.is_dirty {
            let _ = write!(io::stderr(), "{LINE}");
        }
    }
}

/// Shows how things are again and again; the exit status of what was seen last.
pub fn watch(target: &Target, form: Form) -> i32 {
    match Terminal::take().filter(|_| form == Form::People) {
        Some(terminal) => watch_on(&terminal, target),
        None => print_on(target, form),
    }
}

fn watch_on(terminal: &Terminal, target: &Target) -> i32 {
    loop {
        let (text, status) = match ask::look(target) {
            Ok(report) => (report.to_string(), ask::exit_of(&report)),
            Err(trouble) => (format!("{}\n", trouble.words()), trouble.exit()),
        };
        let (columns, rows) = terminal.size();
        terminal.draw(&fitted(&text, columns, rows));
        // An end of it, q, and ctrl-D, which is no end of input any more.
        if terminal.keys(PERIOD).is_none_or(|keys| keys.contains(&Key::Quit)) {
            return status;
        }
    }
}

fn print_on(target: &Target, form: Form) -> i32 {
    loop {
        let report = match ask::look(target) {
            Ok(report) => report,
            Err(trouble) => return ask::settle(target, Err(trouble)),
        };
        let text = match form {
            Form::People => format!("{report}\n"),
            // One object a line.
            Form::Programs => format!("{}\n", serde_json::to_string(&report).unwrap_or_default()),
        };
        let stdout = io::stdout();
        if (&stdout).write_all(text.as_bytes()).and_then(|()| (&stdout).flush()).is_err() {
            return ask::exit_of(&report);
        }
        // An error is told of without being asked for, and is the end of whoever reads.
        let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        if !matches!(poll(&mut fds, PollTimeout::try_from(PERIOD).unwrap_or(PollTimeout::MAX)), Ok(0)) {
            return ask::exit_of(&report);
        }
    }
}

/// A text cut to this size, each line clearing what was there before.
pub(super) fn fitted(text: &str, columns: usize, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let room = rows.max(1);
    let (shown, rest) = if lines.len() <= room { (lines.len(), 0) } else { (room - 1, lines.len() + 1 - room) };
    let cut = |line: &str| line.chars().take(columns).collect::<String>();
    let mut fitted: Vec<String> = lines[..shown].iter().map(|line| cut(line)).collect();
    if rest > 0 {
        fitted.push(cut(&format!("... {rest} lines more")));
    }
    fitted.join("\x1b[K\r\n") + "\x1b[K"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_to_the_terminal_and_says_how_much_is_missing() {
        let shown =
            |columns, rows| fitted("one two\nthree\nfour\n", columns, rows).replace("\x1b[K", "").replace('\r', "");
        assert_eq!(shown(80, 24), "one two\nthree\nfour");
        assert_eq!(shown(4, 3), "one \nthre\nfour");
        assert_eq!(shown(80, 2), "one two\n... 2 lines more");
        assert_eq!(shown(80, 0), "... 3 lines more");
        assert_eq!(shown(0, 1), "");
    }

    #[test]
    fn each_line_clears_what_was_there_before() {
        assert_eq!(fitted("a\nb", 80, 24), "a\x1b[K\r\nb\x1b[K");
    }
}
