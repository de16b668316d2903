//! Workers that live and do not work as they should: a call that cannot be ended, or a heart that does not beat.
//!
//! ```text
//!   stuck    (the worker says so)            a spare boots beside it, takes its place, and it drains: it hands over what it has,
//!   silent   (its beats on the scoreboard,   and ends. What a silent one does not do in time is not waited for.
//!             judged by the shell's `pulse`)
//! ```
//!
//! Rules
//! * A worker has the worst of its ailments. One that is silent, and beats again before its spare serves, is replaced all the same,
//!   unless no spare can boot: then it is well, and stays.
//! * Whose Python is silent is asked for its stacks, which needs no GIL; they are for the log.

use std::time::Duration;

use super::line::{Level, Line, span};
use super::losses::Loss;
use super::places::Place;
use super::{Core, Effect, Now, WorkerId};

/// What a worker shows by its two beats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Organ {
    /// Some thread holds the GIL, and all others wait for it.
    Python,
    /// The process does not run, or its I/O loop hangs.
    Io,
}

/// What a worker suffers from; the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ailment {
    /// A call of it cannot be ended.
    Stuck,
    /// This does not beat.
    Silent(Organ),
}

/// How long a worker whose Python is silent may drain. Its connections are handed over without the GIL, in milliseconds; calls
/// that wait for the GIL may still get it. Longer only keeps what will not come back.
const PYTHON_GRACE: Duration = Duration::from_secs(5);

/// How long one whose I/O is silent may. It does not hear, unless it wakes up in this moment.
const IO_GRACE: Duration = Duration::from_secs(1);

impl Ailment {
    /// What replacing it is counted as.
    pub fn loss(self) -> Loss {
        match self {
            Ailment::Stuck => Loss::Stuck,
            Ailment::Silent(Organ::Python | Organ::Io) => Loss::Silent,
        }
    }

    /// How long it may drain, of the time that any worker has. One that is stuck knows itself when nothing else is left to finish.
    pub fn grace(self, drain: Duration) -> Duration {
        match self {
            Ailment::Stuck => drain,
            Ailment::Silent(Organ::Python) => drain.min(PYTHON_GRACE),
            Ailment::Silent(Organ::Io) => drain.min(IO_GRACE),
        }
    }
}

/// What is seen of a worker that does not beat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// What does not.
    pub organ: Organ,
    /// For how long.
    pub length: Duration,
    /// What its threads run, from the flight recorder.
    pub running: Vec<String>,
}

/// How a worker is, as far as anybody knows.
#[derive(Debug, Default)]
pub struct Health {
    /// Before this it is not replaced for an ailment.
    pub stays_until: Now,
    is_stuck: bool,
    silent: Option<Organ>,
    /// Whether its stacks were asked for, and are for the log.
    is_to_tell: bool,
}

impl Health {
    /// The worst that it suffers from.
    pub fn ailment(&self) -> Option<Ailment> {
        self.silent.map(Ailment::Silent).or(self.is_stuck.then_some(Ailment::Stuck))
    }

    /// Takes in an ailment; whether it is worse than what there was.
    fn suffers(&mut self, ailment: Ailment) -> bool {
        let had = self.ailment();
        match ailment {
            Ailment::Stuck => self.is_stuck = true,
            Ailment::Silent(organ) => self.silent = self.silent.max(Some(organ)),
        }
        self.ailment() > had
    }
}

impl Core {
    /// A worker says that a call of it cannot be ended.
    pub(super) fn stuck(&mut self, worker: WorkerId, why: &str) {
        if self.suffers(worker, Ailment::Stuck) {
            let line = self.about(worker, Level::Error, "worker stuck").with("why", why);
            self.log(line.with("next", "it is replaced, and ended when the new one serves"));
        }
    }

    /// A worker has not beaten for this long.
    pub(super) fn silent(&mut self, now: Now, worker: WorkerId, silence: &Silence) {
        let Silence { organ, length, running } = silence;
        let organ = *organ;
        if !self.suffers(worker, Ailment::Silent(organ)) {
            return;
        }
        let (what, why) = match organ {
            Organ::Python => ("Python", "a thread holds the GIL"),
            Organ::Io => ("I/O", "the process stands still, or its I/O loop hangs"),
        };
        let line = self.about(worker, Level::Error, "worker silent").with("silent", what).with("for", span(*length));
        let line = line.with("why", why).with_some("running", running.join("\n"));
        self.log(line.with("next", "it is replaced, and killed when the new one serves"));
        if let Some(life) = self.lives.get_mut(&worker) {
            life.health.is_to_tell = true;
        }
        self.effects.push(Effect::Inspect { worker });
        // No spare stands in for who apologises: there is nothing to hand over.
        if let Place::Apology(index) = self.place_of(worker)
            && let Some(apology) = &mut self.teams[index].apology
        {
            apology.slot.clear();
            self.send_off(now, None, worker);
        }
    }

    /// A worker that was silent beats again.
    pub(super) fn beats(&mut self, worker: WorkerId) {
        let Some(life) = self.lives.get_mut(&worker) else {
            return;
        };
        if life.health.silent.take().is_some() && life.is_serving() {
            let line = self.about(worker, Level::Info, "worker beats again");
            self.log(line);
        }
    }

    /// A worker tells what its threads run. Only who was asked for the log's sake is written down.
    pub(super) fn stacks(&mut self, worker: WorkerId, stacks: String) {
        if self.lives.get_mut(&worker).is_some_and(|life| std::mem::take(&mut life.health.is_to_tell)) {
            let line = self.about(worker, Level::Error, "stacks of a silent worker");
            self.log(line.with("detail", stacks));
        }
    }

    /// Notes what one that serves suffers from; whether that is news.
    fn suffers(&mut self, worker: WorkerId, ailment: Ailment) -> bool {
        let life = self.lives.get_mut(&worker).filter(|life| life.is_serving());
        life.is_some_and(|life| life.health.suffers(ailment))
    }

    /// An application has lost a worker, or replaces one. Said is when it turns.
    pub(super) fn lose(&mut self, now: Now, index: usize, loss: Loss, how: impl FnOnce() -> String) {
        let team = &mut self.teams[index];
        if loss != Loss::Recycled {
            team.losses.last = how();
        }
        let wanted = team.wanted();
        let Some(degraded) = team.losses.note(now, loss, wanted) else {
            return;
        };
        let line = Line::new(Level::Error, "application degraded").with("why", degraded.why.as_str());
        let line = line.with("app", team.name());
        self.log(line.with("next", "each of its places is tried every 10s to 30s until it is well"));
    }

    /// Applications that have lost nothing for a while, and are served, are well again.
    pub(super) fn recover(&mut self, now: Now) {
        for index in 0..self.teams.len() {
            if self.well_at(index).is_some_and(|at| at <= now) {
                self.is_well(now, index, "no worker was lost for a while");
            }
        }
    }

    /// When a degraded application is well again, if nothing happens until then.
    pub(super) fn well_at(&self, index: usize) -> Option<Now> {
        let at = self.teams[index].losses.well_at()?;
        (!self.serving(index).is_empty()).then_some(at)
    }

    /// An application is judged afresh.
    pub(super) fn is_well(&mut self, now: Now, index: usize, why: &str) {
        let team = &mut self.teams[index];
        if let Some(degraded) = team.losses.recover() {
            let line = Line::new(Level::Info, "application not degraded any more").with("app", team.name());
            self.log(line.with("why", why).with("after", now.saturating_sub(degraded.since)));
        }
    }
}
