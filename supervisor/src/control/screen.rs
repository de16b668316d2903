//! What commands show while they last: how far a wish is, and `status --watch`.
//!
//! ```text
//!   on a terminal     one line that is written over; a screen that is drawn anew each second, until q or ctrl-C
//!   anywhere else     line after line; report after report, until nobody reads any more
//! ```
//!
//! Rule: a terminal is left as it was found, however the command ends, but for a SIGKILL.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monoceros_shared::exit;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::ask::{self, Form, Target, Trouble};
use crate::core::progress::Progress;

/// How often is looked again. More often than an eye follows; less often, and a worker's crash is missed.
const PERIOD_MS: u16 = 1000;

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
    match Screen::take().filter(|_| form == Form::People) {
        Some(screen) => watch_on(&screen, target),
        None => print_on(target, form),
    }
}

fn watch_on(screen: &Screen, target: &Target) -> i32 {
    loop {
        let (text, status) = match ask::look(target) {
            Ok(report) => (report.to_string(), ask::exit_of(&report)),
            Err(Trouble::NotRunning) => ("no server runs\n".into(), exit::NOT_RUNNING),
            Err(Trouble::Silence) => ("the server does not answer\n".into(), exit::FAILED),
            Err(Trouble::Cannot(why)) => (format!("{why}\n"), exit::FAILED),
        };
        screen.show(&text);
        if screen.is_left() {
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
        if !matches!(poll(&mut fds, PollTimeout::from(PERIOD_MS)), Ok(0)) {
            return ask::exit_of(&report);
        }
    }
}

/// A terminal that is ours for a while.
struct Screen {
    before: Termios,
    /// Set by a signal that would end us.
    is_over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes it, if there is one to read keys from and to draw on.
    fn take() -> Option<Screen> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        if !stdin.is_terminal() || !stdout.is_terminal() {
            return None;
        }
        let before = tcgetattr(&stdin).ok()?;
        let is_over = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&is_over)).ok()?;
        }
        let mut ours = before.clone();
        ours.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &ours).ok()?;
        // The other screen, without a cursor.
        print("\x1b[?1049h\x1b[?25l");
        Some(Screen { before, is_over })
    }

    /// Draws this, as much as there is room for.
    fn show(&self, text: &str) {
        let size = tcgetwinsize(io::stdout()).map_or((0, 0), |size| (size.ws_col, size.ws_row));
        // One that nobody has measured says zero.
        let (columns, rows) = if size.0 == 0 || size.1 == 0 { (80, 24) } else { size };
        print(&format!("\x1b[H{}\x1b[J", fitted(text, columns.into(), rows.into())));
    }

    /// Waits until it is time to draw again; whether whoever looks has had enough.
    fn is_left(&self) -> bool {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let waited = poll(&mut fds, PollTimeout::from(PERIOD_MS));
        if self.is_over.load(Ordering::Relaxed) {
            return true;
        }
        if !matches!(waited, Ok(1..)) {
            return false;
        }
        let mut keys = [0; 16];
        let count = rustix::io::read(&stdin, &mut keys).unwrap_or(0);
        // The end of input, q, and ctrl-D, which is no end of input any more.
        count == 0 || keys[..count].iter().any(|key| matches!(key, b'q' | b'Q' | 4))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        print("\x1b[?25h\x1b[?1049l");
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn print(text: &str) {
    let mut stdout = io::stdout();
    // A terminal that is gone is noticed by its end of input.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A text cut to this size, each line clearing what was there before.
fn fitted(text: &str, columns: usize, rows: usize) -> String {
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
