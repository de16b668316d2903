//! One worker's life, from its spawn to its exit.
//!
//! ```text
//!                  Loaded            Adopted              Drain              (exits)
//!   Booting ----------------> Loaded ---------> Serving ---------> Draining ---------> gone
//!      | Failed                 | Drain, Quit,     | Quit              | Quit
//!      |                        | Unreachable      v                   |
//!      +------------------------|--------------> Quitting <------------+
//!      | Drain, Quit, TimeUp,   v                  | TimeUp, Unreachable
//!      +---------------------> Killed <------------+------ (also from Draining, by TimeUp)
//! ```
//!
//! Rules: a worker can be gone from any state, by itself or because it was killed. What has not served has nothing to
//! finish, so it is killed where another is drained. A state that lasts has a deadline, but for `Loaded` (passed in the
//! same instant, or at the adoption of a reload), `Serving` (its end is decided elsewhere) and `Killed` (the kernel decides).

use std::time::Duration;

use monoceros_shared::link::Purpose;

use super::ailing::Health;
use super::legacy::Found;
use super::losses::Loss;
use super::plan::AppPlan;
use super::recycle::Wear;
use super::{Exit, Now, QUIT_GRACE};

/// What is said to a worker in the course of its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Begin to accept.
    Serve,
    /// Finish what there is, then exit.
    Drain,
    /// Exit now.
    Quit,
}

/// What concerns one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happening {
    /// It has imported its application.
    Loaded,
    /// It could not.
    Failed,
    /// It is to serve.
    Adopted,
    /// A word could not be said to it.
    Unreachable,
    /// Its deadline has passed.
    TimeUp,
    /// It is to finish.
    Drain,
    /// It is to go now.
    Quit,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Say this.
    Say(Word),
    /// Ask it to drain by signal.
    Terminate,
    /// Kill it.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Booting { until: Now },
    Loaded,
    Serving,
    Draining { until: Now },
    Quitting { until: Now },
    Killed,
}

/// A worker's life.
#[derive(Debug)]
pub struct Life {
    /// Its application, as its generation has it.
    pub app: AppPlan,
    /// Its generation.
    pub generation: u64,
    /// What it is for.
    pub purpose: Purpose,
    /// Its process, once there is one.
    pub pid: Option<u32>,
    /// When it is to be replaced.
    pub wear: Wear,
    /// Whether it is well.
    pub health: Health,
    state: State,
    spawned: Now,
    adopted: Option<Now>,
    /// Whether it has left the listeners.
    left: bool,
}

impl Life {
    /// One that is being spawned.
    pub fn new(now: Now, app: AppPlan, generation: u64, wear: Wear) -> Life {
        let state = State::Booting { until: now + app.timeouts().boot };
        let (purpose, health) = (Purpose::Serve, Health::default());
        Life { app, generation, purpose, pid: None, wear, health, state, spawned: now, adopted: None, left: false }
    }

    /// One that another supervisor spawned and that serves, since the times of its spawn and its adoption.
    pub fn found(app: AppPlan, found: &Found, (spawned, adopted): (Now, Now), wear: Wear) -> Life {
        let (generation, pid, purpose) = (found.generation, Some(found.pid), Purpose::Serve);
        let health = Health::default();
        let (state, adopted) = (State::Serving, Some(adopted));
        Life { app, generation, purpose, pid, wear, health, state, spawned, adopted, left: false }
    }

    /// It drains already, and may until then.
    pub fn drains_until(&mut self, until: Now) {
        self.state = State::Draining { until };
    }

    /// When it was spawned, and when it began to serve if it did.
    pub fn times(&self) -> (Now, Option<Now>) {
        (self.spawned, self.adopted)
    }

    /// Goes on by what happened; the whole table.
    pub fn step(&mut self, now: Now, happening: Happening) -> Option<Order> {
        use Happening as H;
        use State as S;
        let quitting = S::Quitting { until: now + QUIT_GRACE };
        let draining = S::Draining { until: now + self.drain() };
        let (state, order) = match (self.state, happening) {
            (S::Booting { .. }, H::Loaded) => (S::Loaded, None),
            (S::Booting { .. }, H::Failed) => (quitting, None),
            (S::Booting { .. } | S::Loaded, H::Unreachable | H::Drain | H::Quit) => (S::Killed, Some(Order::Kill)),
            (S::Booting { .. }, H::TimeUp) => (S::Killed, Some(Order::Kill)),
            (S::Loaded, H::Adopted) => (S::Serving, Some(Order::Say(Word::Serve))),
            (S::Serving, H::Drain) => (draining, Some(Order::Say(Word::Drain))),
            (S::Serving | S::Draining { .. }, H::Quit) => (quitting, Some(Order::Say(Word::Quit))),
            // It may not have heard that it is to serve, and would never.
            (S::Serving, H::Unreachable) => (S::Killed, Some(Order::Kill)),
            (S::Draining { .. }, H::Unreachable) => (self.state, Some(Order::Terminate)),
            (S::Draining { .. }, H::TimeUp) => (S::Killed, Some(Order::Kill)),
            (S::Quitting { .. }, H::TimeUp | H::Unreachable) => (S::Killed, Some(Order::Kill)),
            (S::Booting { .. }, H::Adopted)
            | (S::Loaded, H::Loaded | H::Failed | H::TimeUp)
            | (S::Serving, H::Loaded | H::Failed | H::Adopted | H::TimeUp)
            | (S::Draining { .. }, H::Loaded | H::Failed | H::Adopted | H::Drain)
            | (S::Quitting { .. }, H::Loaded | H::Failed | H::Adopted | H::Drain | H::Quit)
            | (S::Killed, H::Loaded | H::Failed | H::Adopted | H::Unreachable | H::TimeUp | H::Drain | H::Quit) => {
                (self.state, None)
            }
        };
        self.state = state;
        if order == Some(Order::Say(Word::Serve)) {
            self.adopted = Some(now);
        }
        order
    }

    /// How long it may drain.
    fn drain(&self) -> Duration {
        let drain = self.app.timeouts().drain;
        self.health.ailment().map_or(drain, |ailment| ailment.grace(drain))
    }

    /// When its present state must have ended.
    pub fn until(&self) -> Option<Now> {
        match self.state {
            State::Booting { until } | State::Draining { until } | State::Quitting { until } => Some(until),
            State::Loaded | State::Serving | State::Killed => None,
        }
    }

    /// What to say of a deadline that has passed.
    pub fn overdue(&self) -> &'static str {
        match self.state {
            State::Booting { .. } => "worker not loaded within timeouts.boot",
            State::Draining { .. } if self.drain() < self.app.timeouts().drain => "silent worker not gone",
            State::Draining { .. } => "worker not drained within timeouts.drain",
            State::Quitting { .. } => "worker not gone though it was to exit at once",
            State::Loaded | State::Serving | State::Killed => "worker overdue",
        }
    }

    /// Whether it accepts.
    pub fn is_serving(&self) -> bool {
        self.state == State::Serving
    }

    /// It accepts nothing any more.
    pub fn leave(&mut self) {
        self.left = true;
    }

    /// Whether a client that connects now may come to it: until it has left the listeners, by its own word or by a kill.
    pub fn accepts(&self) -> bool {
        match self.state {
            State::Booting { .. } | State::Loaded | State::Killed => false,
            State::Serving | State::Draining { .. } | State::Quitting { .. } => self.has_served() && !self.left,
        }
    }

    /// Whether it is still to load.
    pub fn is_booting(&self) -> bool {
        matches!(self.state, State::Booting { .. })
    }

    /// Whether it has loaded and waits to be adopted.
    pub fn is_loaded(&self) -> bool {
        self.state == State::Loaded
    }

    /// Whether it has neither served nor been given up.
    pub fn is_unproven(&self) -> bool {
        self.is_booting() || self.is_loaded()
    }

    /// Whether it ever served.
    pub fn has_served(&self) -> bool {
        self.adopted.is_some()
    }

    /// Whether it finishes what it has.
    pub fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// Its state, in the words of `status`.
    pub fn state(&self) -> &'static str {
        match (self.state, &self.purpose) {
            (State::Booting { .. }, _) => "booting",
            (State::Loaded, _) => "loaded",
            (State::Serving, Purpose::Apologise(_)) => "apologising",
            (State::Serving, Purpose::Serve | Purpose::Check) => "serving",
            (State::Draining { .. }, _) => "draining",
            (State::Quitting { .. }, _) => "quitting",
            (State::Killed, _) => "killed",
        }
    }

    /// How long it served, if it ever did.
    pub fn served(&self, now: Now) -> Option<Duration> {
        self.adopted.map(|adopted| now.saturating_sub(adopted))
    }

    /// How long ago it was spawned.
    pub fn age(&self, now: Now) -> Duration {
        now.saturating_sub(self.spawned)
    }

    /// What its end is counted as, if nobody asked for it.
    pub fn loss(&self, exit: Exit) -> Loss {
        match (self.has_served(), self.health.ailment()) {
            (false, _) => Loss::Boot,
            (true, Some(ailment)) => ailment.loss(),
            (true, None) if exit == Exit::Code(0) => Loss::Exit,
            (true, None) => Loss::Crash,
        }
    }

    /// Whether an exit of this kind is no news: it served and ended well, or it was us who killed it, of which a line
    /// was written then.
    pub fn is_expected(&self, exit: Exit) -> bool {
        match self.state {
            State::Booting { .. } | State::Loaded => false,
            State::Serving => exit == Exit::Code(0),
            // Of one that another supervisor spawned, nobody knows more.
            State::Draining { .. } => matches!(exit, Exit::Code(0) | Exit::Unknown),
            State::Quitting { .. } | State::Killed => true,
        }
    }
}
