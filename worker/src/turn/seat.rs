//! Where a connection has its turn: there while a request is under way, away between two.
//!
//! ```text
//!   seated ---- rise: the turn's memory serves other connections ----> vacant: the numbers that the next request needs
//!      ^------ sit, or whoever asks for the turn finds a new one ---------/
//! ```
//!
//! A turn with its buffers is a few kilobytes, and of a server's connections most stand idle; those that are not share a few turns, whose
//! memory is warm.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use super::{Limits, Phase, Turn, Wire};
use crate::origin::Way;

/// Where a connection has its turn. It is used as the turn itself.
pub struct Seat {
    turn: OnceLock<Box<Turn>>,
    limits: Arc<Limits>,
    between: Between,
}

/// What the requests of one connection have in common, while it has no turn.
#[derive(Clone, Default)]
struct Between {
    served: u64,
    last: bool,
    way: Option<Way>,
}

impl Seat {
    /// A connection's that has served so many requests, elsewhere.
    pub fn new(limits: Arc<Limits>, served: u64) -> Seat {
        Seat { turn: OnceLock::new(), limits, between: Between { served, ..Between::default() } }
    }

    /// Whether the turn is away.
    pub fn is_vacant(&self) -> bool {
        self.turn.get().is_none()
    }

    /// The turn comes, in this memory: a renewed one's.
    pub fn sit(&mut self, mut turn: Box<Turn>) {
        debug_assert!(self.is_vacant() && turn.is_idle() && turn.served == 0);
        std::mem::take(&mut self.between).give(&mut turn);
        self.turn = turn.into();
    }

    /// The turn goes, renewed, if it stands between two requests. One that a gateway speaks with stays: its wire remembers.
    pub fn rise(&mut self) -> Option<Box<Turn>> {
        if !self.turn.get()?.may_rise() {
            return None;
        }
        let mut turn = self.turn.take()?;
        self.between = Between { served: turn.served, last: turn.last, way: turn.way.take() };
        turn.renew();
        Some(turn)
    }

    /// The turn goes, renewed, for its connection is over.
    pub fn vacate(&mut self) -> Option<Box<Turn>> {
        let mut turn = self.turn.take()?;
        turn.renew();
        Some(turn)
    }
}

impl From<Turn> for Seat {
    fn from(turn: Turn) -> Seat {
        Seat { limits: turn.limits.clone(), turn: Box::new(turn).into(), between: Between::default() }
    }
}

impl Between {
    fn give(self, turn: &mut Turn) {
        (turn.served, turn.last, turn.way) = (self.served, self.last, self.way);
    }
}

impl Turn {
    fn may_rise(&self) -> bool {
        self.phase == Phase::Head
            && self.input.is_empty()
            && self.output.is_empty()
            && self.refusal.is_none()
            && matches!(&self.wire, Wire::Http(heads) if !heads.has_begun())
    }
}

impl Deref for Seat {
    type Target = Turn;

    fn deref(&self) -> &Turn {
        self.turn.get_or_init(|| {
            let mut turn = Box::new(Turn::new(self.limits.clone()));
            self.between.clone().give(&mut turn);
            turn
        })
    }
}

impl DerefMut for Seat {
    fn deref_mut(&mut self) -> &mut Turn {
        let _: &Turn = self;
        self.turn.get_mut().expect("it was asked for just now")
    }
}
