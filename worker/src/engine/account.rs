//! What is written down of each request: on the scoreboard for whoever looks from outside, and in the access log. And where that is.
//!
//! What a thread counts stands in its tally; times are between exact stamps, of which a request costs one, at its end.
//!
//! A request is counted once, and told of once, at its end, whatever that is: its answer has left, it was refused, it timed out, or its connection ended.
//!
//! Known fault: the access line of a request that timed out has no variable of its environ, for Python has that.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pyo3::Python;

use super::guest::{Guest, Times};
use super::late::{Account, TIMED_OUT};
use super::runner::Runner;
use super::{Engine, Task};
use crate::access::line::{Source, Told, Took};
use crate::clock;
use crate::conn::{Connection, Peer};
use crate::descriptors;
use crate::turn::Turn;
use crate::wire::Refusal;

/// The status that nginx's logs made known for a client that left before it had an answer.
pub(super) const CLIENT_LEFT: u16 = 499;

/// Why an access line's request was not served to its end.
pub(super) const CUT_SHORT: &str = "the application's answer was cut short";
pub(super) const LEFT_EARLY: &str = "the client left before it had the whole answer";

/// The status of a request whose connection ends before it does.
fn status_at_end(turn: &Turn) -> u16 {
    if turn.has_reply() && turn.is_head_out() { turn.status() } else { CLIENT_LEFT }
}

impl Runner {
    /// The request of this connection is whole.
    pub(super) fn arrive(&self, guest: &mut Guest) {
        // It may have been whole in another worker before.
        let is_new = guest.arrived == 0;
        if is_new {
            guest.arrived = self.stamp;
        }
        let age = || if is_new { 0 } else { clock::exactly().saturating_sub(guest.arrived) };
        guest.times = self.engine.access.as_ref().map(|_| Times::after(Duration::from_nanos(age())));
    }

    /// A thread takes up this connection: for its request, or for the next piece of an answer.
    pub(super) fn begin(&mut self, guest: &mut Guest) {
        self.take_up(guest);
        let turn = &guest.connection.turn;
        let line = turn.text(turn.head().method.to(turn.head().target));
        self.engine.scoreboard.threads()[self.index].begin(line, self.moment.now);
    }

    /// The same where no call is made, so that nobody needs to see what for: the watch's hands have no row to show it in.
    pub(super) fn take_up(&mut self, guest: &mut Guest) {
        self.moment = self.clock.moment();
        let engine = &self.engine;
        if guest.rest.is_none() {
            guest.connection.turn.run(&self.moment);
            if guest.times.is_some() || engine.settings.id_field.is_some() {
                engine.slots.remember(guest);
            }
            let tally = self.tally();
            tally.requests.add(1);
            tally.queue.record(self.stamp.saturating_sub(guest.arrived));
        }
        if let Some(times) = &mut guest.times {
            times.begin();
        }
    }

    /// It puts it down again.
    pub(super) fn end(&mut self, guest: &mut Guest) {
        self.engine.scoreboard.threads()[self.index].end();
        self.put_down(guest);
    }

    /// The same where no call was made.
    pub(super) fn put_down(&mut self, guest: &mut Guest) {
        self.moment = self.clock.moment();
        self.stamp = clock::exactly();
        guest.patience = None;
        if let Some(times) = &mut guest.times {
            times.end();
        }
        if guest.rest.is_none() {
            self.count_answer(guest);
        }
    }

    /// The application has nothing more to say to this request, if so.
    pub(super) fn count_answer(&self, guest: &mut Guest) {
        if guest.connection.turn.is_answered() {
            self.count(guest, guest.connection.turn.status());
        }
    }

    /// The connection ends, perhaps with a request that was not counted: its client has left, or was too slow.
    fn count_end(&self, guest: &mut Guest) {
        if guest.arrived > 0 {
            let status = status_at_end(&guest.connection.turn);
            self.count(guest, status);
        }
    }

    fn count(&self, guest: &mut Guest, status: u16) {
        let arrived = std::mem::take(&mut guest.arrived);
        let tally = self.tally();
        tally.count_answer(status);
        tally.duration.record(self.stamp.saturating_sub(arrived));
    }

    /// A request that the application never saw.
    pub(super) fn count_refusal(&self, guest: &mut Guest, refusal: Refusal) {
        guest.arrived = 0;
        let tally = self.tally();
        tally.refused.add(1);
        tally.count_answer(refusal.status);
        let took = guest.times.take().map_or_else(Took::default, |times| times.took());
        self.engine.tell(&guest.connection, (refusal.status, Some(refusal.why)), took);
    }

    /// Does this without the GIL, and has it again afterwards. How long that takes is counted.
    pub(super) fn without_gil<T: Send>(&mut self, py: Python<'_>, work: impl FnOnce(&mut Runner) -> T + Send) -> T {
        let (outcome, asked) = py.detach(|| (work(self), clock::exactly()));
        self.stamp = clock::exactly();
        let tally = self.tally();
        tally.gil_asked_ns.set(0);
        tally.gil_wait.record(self.stamp.saturating_sub(asked));
        outcome
    }

    /// Leads or rests without the GIL until there is work. Who has some and waits for the GIL is seen to.
    pub(super) fn await_task_and_gil(&mut self, py: Python<'_>) -> Option<Task> {
        self.without_gil(py, |runner| {
            let task = runner.await_task();
            if task.is_some() {
                runner.tally().gil_asked_ns.set(clock::exactly());
            }
            task
        })
    }

    /// The answer has left, all that there was of it.
    #[inline]
    pub(super) fn tell_answer(&self, guest: &mut Guest) {
        let turn = &guest.connection.turn;
        if guest.times.is_none() || !turn.is_answered() || guest.rest.is_some() {
            return;
        }
        if let Some(times) = guest.times.take() {
            let why = turn.is_cut().then_some(CUT_SHORT);
            self.engine.tell(&guest.connection, (turn.status(), why), times.took());
            guest.connection.notes.clear();
        }
    }

    /// The connection ends, perhaps with a request that was not told of.
    pub(super) fn tell_end(&self, guest: &mut Guest) {
        self.count_end(guest);
        let turn = &guest.connection.turn;
        if let Some(times) = guest.times.take() {
            let why = guest.why.unwrap_or(LEFT_EARLY);
            self.engine.tell(&guest.connection, (status_at_end(turn), Some(why)), times.took());
        } else if turn.is_within_a_request() {
            let why = "the client left before its request was whole";
            self.engine.tell(&guest.connection, (CLIENT_LEFT, Some(why)), Took::default());
        }
    }
}

impl Engine {
    /// Logs to another descriptor from now on.
    pub(super) fn log_to(&self, descriptor: OwnedFd) {
        descriptors::note(&descriptor);
        let before = self.outlet.switch(descriptor);
        // It is closed here, or by the thread that writes to it now; a child that is forked in between keeps a copy.
        descriptors::forget(&*before);
    }

    /// Nobody reads what is printed any more.
    pub fn keep_output(&self) {
        if let Err(error) = self.keeper.begin() {
            slog::error!(self.log, "prints block when the pipes are full"; "why" => %error);
        }
    }

    pub(super) fn count_accepted(&self) {
        self.scoreboard.counters().accepted.fetch_add(1, Relaxed);
        self.count_inherited();
    }

    /// A connection that another worker has accepted, and counted as such.
    pub(super) fn count_inherited(&self) {
        self.scoreboard.counters().open.fetch_add(1, Relaxed);
        self.siblings.say(self.slots.open());
    }

    pub(super) fn count_closed(&self) {
        self.scoreboard.counters().open.fetch_sub(1, Relaxed);
        // Its slot is still to be left.
        self.siblings.say(self.slots.open().saturating_sub(1));
    }

    /// Tells the access log, if there is one, of a request that has ended with this status, and why it did not end as it should.
    pub(super) fn tell(&self, connection: &Connection, verdict: (u16, Option<&'static str>), took: Took) {
        if let Some(access) = &self.access {
            let (status, why) = verdict;
            access.tell(&Told { source: Source::Connection(connection), status, why, took });
        }
    }

    /// A connection whose TLS could not go on. It is a stranger's doing as a rule, and some do nothing else.
    pub(super) fn note_failure(&self, peer: &Peer, why: &str) {
        slog::debug!(self.log, "TLS failed"; "client" => %peer, "why" => why);
    }

    /// A request whose client was told without the application, by the thread of this tally.
    pub(super) fn count_late(&self, tally: usize, late: &Account) {
        let tally = self.scoreboard.tally(tally);
        tally.timeouts.add(1);
        tally.count_answer(TIMED_OUT);
        tally.duration.record(late.age.saturating_mul(clock::MILLISECOND));
        if let (Some(access), Some(memo)) = (&self.access, &late.memo) {
            let source = Source::Memory(memo);
            let age = Duration::from_millis(late.age);
            let took = Took { queue: Duration::ZERO, app: age, total: age };
            access.tell(&Told { source, status: TIMED_OUT, why: Some("the application did not answer in time"), took });
        }
    }
}
