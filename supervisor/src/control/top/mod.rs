//! `supervisor top`: a server as it works, on a terminal.
//!
//! ```text
//!   control socket --each second--> Report --with the one before--> view --> terminal
//!   keys: q ends, arrows and s choose what workers are sorted by, r turns it round, up and down go through the requests, p holds it still
//! ```
//!
//! Where the server is gone the last look stays, with a line that says so; it is asked again each second, so that the next server is
//! seen when it is there. A terminal's own ways are `terminal`; they are rustix's calls, which this program has anyway: crossterm would bring
//! nine crates more and two of ours in a second version, ratatui some forty.

mod view;

use std::time::Instant;

use monoceros_shared::exit;

use super::ask::{self, Target};
use super::screen::{PERIOD, fitted};
use super::terminal::{Key, Terminal};
use crate::status::Report;
use view::{Choice, Sort, View};

/// What is known of the server.
struct Looks {
    /// The look before the last, for what has come between them.
    before: Option<Report>,
    last: Option<Report>,
    /// Why there is no newer one, if so.
    trouble: Option<String>,
}

impl Looks {
    fn look(&mut self, target: &Target) {
        match ask::glance(target) {
            Ok(report) => {
                self.before = self.last.replace(report);
                self.trouble = None;
            }
            Err(trouble) => self.trouble = Some(trouble.words()),
        }
    }
}

/// Shows it until somebody has seen enough; the exit status.
pub fn top(target: &Target) -> i32 {
    let mut looks = Looks { before: None, last: None, trouble: None };
    // Where there is no server from the start, nobody waits for one.
    match ask::glance(target) {
        Ok(report) => looks.last = Some(report),
        Err(trouble) => return ask::settle(target, Err(trouble)),
    }
    let Some(terminal) = Terminal::take() else {
        eprintln!(
            "supervisor: cannot show top: there is no terminal; next: `supervisor status`, or `supervisor status --watch`"
        );
        return exit::USAGE;
    };
    let mut choice = Choice { sort: Sort::Worker, is_turned: false, first: 0 };
    let mut is_held = false;
    let mut due = Instant::now() + PERIOD;
    loop {
        let view = View { before: looks.before.as_ref(), last: looks.last.as_ref(), trouble: looks.trouble.as_deref() };
        let (columns, rows) = terminal.size();
        terminal.draw(&fitted(&view.lines(&mut choice, rows).join("\n"), columns, rows));
        let Some(keys) = terminal.keys(due.saturating_duration_since(Instant::now())) else {
            return exit::DONE;
        };
        for key in keys {
            match key {
                Key::Quit => return exit::DONE,
                Key::Right | Key::Letter('s') => choice.sort = choice.sort.next(),
                Key::Left | Key::Letter('S') => choice.sort = choice.sort.previous(),
                Key::Letter('r') => choice.is_turned = !choice.is_turned,
                Key::Letter('p') => is_held = !is_held,
                Key::Down => choice.first += 1,
                Key::Up => choice.first = choice.first.saturating_sub(1),
                Key::Letter(_) => {}
            }
        }
        if due <= Instant::now() {
            due = Instant::now() + PERIOD;
            if !is_held {
                looks.look(target);
            }
        }
    }
}
