//! What the workers of each application have counted that are gone. With what those count that there are it is the application's total,
//! which never goes back.
//!
//! ```text
//!   a worker ends --its last counts--> ledger --written down, or packed--> the next supervisor's ledger
//! ```
//!
//! Known fault: what a worker counts that ends while there is no supervisor is lost.

use std::collections::BTreeMap;

use monoceros_shared::scoreboard::Scoreboard;
use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// The counts of the gone, by application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ledger {
    apps: BTreeMap<String, Counts>,
}

impl Ledger {
    /// A worker of this application is gone.
    pub fn enter(&mut self, app: &str, counts: &Counts) {
        self.apps.entry(app.to_owned()).or_default().add(counts);
    }

    /// A worker goes on to count where this program cannot see it, for its scoreboard is another build's and a blank one stands in its place.
    /// What it had counted until then, as the program before it saw, is not lost.
    pub fn enter_unseen(&mut self, app: &str, counts: &Counts, scoreboard: &Scoreboard) {
        let shown = Counts::of(scoreboard);
        if shown.accepted == 0 && shown.requests == 0 && shown.statuses.is_empty() {
            self.enter(app, counts);
        }
    }

    /// What those of an application have counted.
    pub fn of(&self, app: &str) -> Counts {
        self.apps.get(app).cloned().unwrap_or_default()
    }

    /// Forgets applications that there are not any more.
    pub fn keep_only(&mut self, is_there: impl Fn(&str) -> bool) {
        self.apps.retain(|app, _| is_there(app));
    }
}

#[cfg(test)]
mod tests {
    use monoceros_shared::scoreboard::Size;

    use super::*;

    #[test]
    fn what_a_worker_had_counted_that_is_not_seen_any_more_is_entered_and_else_it_is_not() {
        let mut ledger = Ledger::default();
        let counts = Counts { requests: 3, ..Counts::default() };
        let (board, _memory) = Scoreboard::create(Size::BLANK).unwrap();
        ledger.enter_unseen("shop", &counts, &board);
        assert_eq!(ledger.of("shop").requests, 3);
        board.tally(0).requests.add(3);
        ledger.enter_unseen("shop", &counts, &board);
        assert_eq!(ledger.of("shop").requests, 3, "it would be counted twice");
    }

    #[test]
    fn what_is_entered_adds_up_and_what_is_not_there_any_more_is_forgotten() {
        let mut ledger = Ledger::default();
        let counts = Counts { requests: 3, ..Counts::default() };
        for app in ["shop", "shop", "blog"] {
            ledger.enter(app, &counts);
        }
        assert_eq!((ledger.of("shop").requests, ledger.of("blog").requests, ledger.of("wiki").requests), (6, 3, 0));
        ledger.keep_only(|app| app == "blog");
        assert_eq!((ledger.of("shop").requests, ledger.of("blog").requests), (0, 3));
    }
}
