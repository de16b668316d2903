//! What an application has lost: why its workers had to be replaced, and whether that happens too often.
//!
//! ```text
//!              more than 10 in 60 s, or than two of each worker
//!   (well) ---------------------------------------------------> degraded: each place is tried every 10 to 30 s
//!      ^                                                           |
//!      +------ none for 60 s, and some worker serves --------------+      (or a reload brings other workers)
//! ```
//!
//! Rules
//! * It is never given up, and never tried in a tight loop; what else the server runs does not notice.
//! * A loss is what nobody has asked for. A worker that is recycled is counted, and is none.
//! * The new workers of a reload are judged afresh: they may well be the cure.

use std::collections::VecDeque;
use std::time::Duration;

use monoceros_shared::link::Failure;
use serde::{Deserialize, Serialize};

use super::backoff::Jitter;
use super::line::span;
use super::{Now, WorkerId};

/// Losses that an application may have in [`WINDOW`] however few its workers are. Fewer, and a bad minute slows what would
/// be well again; more, and a request that kills whoever takes it has the machine busy with boots.
const LOSSES_MAX: usize = 10;

/// Losses of each of many workers in [`WINDOW`]. Fewer than two, and one event that ends them all, a database that restarts,
/// would have them come back slowly.
const LOSSES_OF_EACH_MAX: usize = 2;

/// How long a loss is remembered, and how long an application must go without one to be well again. Shorter, and one that fails
/// every few seconds is called well in between; longer, and one that is mended stays slow.
const WINDOW: Duration = Duration::from_secs(60);

/// The middle of the pauses of a degraded application, each a half more or less. Shorter spends a machine on what does not work; longer
/// keeps an application away that has been mended.
const SLOW: Duration = Duration::from_secs(20);

/// Why a worker had to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It ended by a signal, or with another code than 0, after it had served.
    Crash,
    /// It ended with code 0, after it had served, and nobody had asked it to.
    Exit,
    /// It never served.
    Boot,
    /// It had a call that could not be ended.
    Stuck,
    /// Its heart did not beat.
    Silent,
    /// It was worn. No loss.
    Recycled,
}

impl Loss {
    /// Its word, in a sentence about a worker.
    pub fn word(self) -> &'static str {
        match self {
            Loss::Crash => "crashed",
            Loss::Exit => "gone",
            Loss::Boot => "unable to boot",
            Loss::Stuck => "stuck",
            Loss::Silent => "silent",
            Loss::Recycled => "worn",
        }
    }
}

/// How many workers were replaced, by the reason, since the server started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarts {
    /// They ended by a signal or with an error, after they had served.
    pub crash: u64,
    /// They ended well, after they had served, and nobody had asked them to.
    pub exit: u64,
    /// They never served.
    pub boot_failure: u64,
    /// A call of theirs could not be ended.
    pub stuck: u64,
    /// They were not heard of for `timeouts.heartbeat`.
    pub silent: u64,
    /// They had reached a limit of `recycle`.
    pub recycled: u64,
}

impl Restarts {
    /// Those that nobody wanted.
    pub fn unasked(&self) -> u64 {
        let Restarts { crash, exit, boot_failure, stuck, silent, recycled: _ } = self;
        crash + exit + boot_failure + stuck + silent
    }

    fn count(&mut self, loss: Loss) {
        *match loss {
            Loss::Crash => &mut self.crash,
            Loss::Exit => &mut self.exit,
            Loss::Boot => &mut self.boot_failure,
            Loss::Stuck => &mut self.stuck,
            Loss::Silent => &mut self.silent,
            Loss::Recycled => &mut self.recycled,
        } += 1;
    }
}

/// What an application has lost.
#[derive(Debug, Default)]
pub struct Losses {
    /// How many, by the reason.
    pub restarts: Restarts,
    /// The last reason, for people; empty when all was well so far.
    pub last: String,
    /// The failure to boot that was told in full last, and whose it was, until some worker serves.
    told: Option<(WorkerId, Failure)>,
    recent: VecDeque<Now>,
    degraded: Option<Degraded>,
}

/// An application that loses too many workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degraded {
    /// Since when.
    pub since: Now,
    /// What made it so.
    pub why: String,
}

impl Losses {
    /// A worker has failed to boot: which one failed in the same way before, if that was told in full.
    pub fn told_of(&mut self, worker: WorkerId, failure: &Failure) -> Option<WorkerId> {
        if let Some((first, _)) = self.told.as_ref().filter(|(_, told)| told == failure) {
            return Some(*first);
        }
        self.told = Some((worker, failure.clone()));
        None
    }

    /// A worker serves: what fails from now on is news.
    pub fn forget_told(&mut self) {
        self.told = None;
    }

    /// Takes in a loss of an application that is to have so many workers. Answers with what it has become, if that is new.
    pub fn note(&mut self, now: Now, loss: Loss, wanted: usize) -> Option<&Degraded> {
        self.restarts.count(loss);
        if loss == Loss::Recycled {
            return None;
        }
        self.recent.push_back(now);
        self.forget(now);
        let bound = LOSSES_MAX.max(LOSSES_OF_EACH_MAX * wanted);
        if self.recent.len() <= bound || self.degraded.is_some() {
            // No more are needed to know.
            let surplus = self.recent.len().saturating_sub(bound + 1);
            self.recent.drain(..surplus);
            return None;
        }
        let why = format!("{} workers lost within {}; the last: {}", self.recent.len(), span(WINDOW), self.last);
        self.degraded = Some(Degraded { since: now, why });
        self.degraded.as_ref()
    }

    fn forget(&mut self, now: Now) {
        while self.recent.front().is_some_and(|at| *at + WINDOW <= now) {
            self.recent.pop_front();
        }
    }

    /// Too many were lost, if so.
    pub fn degraded(&self) -> Option<&Degraded> {
        self.degraded.as_ref()
    }

    /// When it is well again, if nothing is lost until then and somebody serves.
    pub fn well_at(&self) -> Option<Now> {
        self.degraded.as_ref()?;
        Some(self.recent.back().map_or(Duration::ZERO, |last| *last + WINDOW))
    }

    /// It is well. Answers what it was.
    pub fn recover(&mut self) -> Option<Degraded> {
        self.recent.clear();
        self.degraded.take()
    }

    /// The pause before the next try, where the back-off of its place would have it after `wait`.
    pub fn pace(&self, wait: Duration, jitter: &mut Jitter) -> Duration {
        match self.degraded {
            Some(_) => wait.max(SLOW.mul_f64(0.5 + jitter.fraction())),
            None => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    /// Losses at these seconds; at which of them it turned.
    fn turned(losses: &mut Losses, wanted: usize, seconds: impl IntoIterator<Item = u64>) -> Option<u64> {
        seconds.into_iter().find(|second| losses.note(at(*second), Loss::Crash, wanted).is_some())
    }

    #[test]
    fn more_than_ten_losses_within_a_minute_are_too_many() {
        assert_eq!(turned(&mut Losses::default(), 1, 0..20), Some(10));
        assert_eq!(turned(&mut Losses::default(), 1, (0..100).map(|number| number * 6)), None);
    }

    #[test]
    fn each_of_many_workers_may_be_lost_twice() {
        assert_eq!(turned(&mut Losses::default(), 32, std::iter::repeat_n(7, 64)), None);
        assert_eq!(turned(&mut Losses::default(), 32, std::iter::repeat_n(7, 65)), Some(7));
    }

    #[test]
    fn it_turns_once_and_is_well_a_minute_after_the_last_loss() {
        let mut losses = Losses { last: "worker 7: SIGSEGV".into(), ..Losses::default() };
        assert_eq!(turned(&mut losses, 1, 0..20), Some(10));
        assert_eq!(turned(&mut losses, 1, 20..40), None);
        assert_eq!(losses.well_at(), Some(at(99)));
        let degraded = losses.recover().unwrap();
        assert_eq!(
            (degraded.since, degraded.why.as_str()),
            (at(10), "11 workers lost within 60.0s; the last: worker 7: SIGSEGV")
        );
        assert_eq!((losses.well_at(), turned(&mut losses, 1, 100..110)), (None, None), "what was before is forgotten");
    }

    #[test]
    fn pauses_are_long_once_it_has_turned() {
        let mut losses = Losses::default();
        let mut jitter = Jitter::new(7);
        assert_eq!(losses.pace(Duration::ZERO, &mut jitter), Duration::ZERO);
        turned(&mut losses, 1, 0..20);
        let pauses: Vec<Duration> = (0..100).map(|_| losses.pace(Duration::ZERO, &mut jitter)).collect();
        assert!(pauses.iter().all(|pause| (at(10)..=at(30)).contains(pause)), "{pauses:?}");
        assert!(pauses.iter().max().unwrap().abs_diff(*pauses.iter().min().unwrap()) > at(10), "no jitter: {pauses:?}");
        assert_eq!(losses.pace(at(36), &mut jitter), at(36));
    }

    #[test]
    fn who_is_recycled_is_counted_and_is_no_loss() {
        let mut losses = Losses::default();
        assert!((0..100).all(|second| losses.note(at(second), Loss::Recycled, 1).is_none()));
        assert_eq!((losses.restarts.recycled, losses.restarts.unasked()), (100, 0));
        losses.note(at(100), Loss::Exit, 1);
        losses.note(at(100), Loss::Boot, 1);
        assert_eq!((losses.restarts.exit, losses.restarts.boot_failure, losses.restarts.unasked()), (1, 1, 2));
    }

    #[test]
    fn what_it_remembers_is_bounded() {
        let mut losses = Losses::default();
        turned(&mut losses, 2, std::iter::repeat_n(7, 11));
        turned(&mut losses, 2, std::iter::repeat_n(8, 100_000));
        assert_eq!(losses.recent.len(), 11);
    }
}
