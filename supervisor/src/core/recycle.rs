//! When a worker is worn: by its age, its requests or its memory. What follows is in `spares`.

use std::time::Duration;

use monoceros_shared::config::Recycle;

use super::backoff::Jitter;
use super::{Core, Now, WorkerId};

/// How much of each limit is left to chance. Less, and workers that were spawned together are replaced together; more, and
/// a limit says little.
const JITTER: f64 = 0.1;

/// When one worker is to be replaced.
#[derive(Debug, Default)]
pub struct Wear {
    at: Option<Now>,
    requests: Option<u64>,
    memory: Option<u64>,
}

impl Wear {
    /// The limits of one worker, each a little off what is set.
    pub fn new(recycle: &Recycle, now: Now, jitter: &mut Jitter) -> Wear {
        let mut off = || 1.0 + JITTER * (2.0 * jitter.fraction() - 1.0);
        Wear {
            at: recycle.age.map(|age| now + age.mul_f64(off())),
            requests: recycle.requests.map(|requests| (requests as f64 * off()).ceil() as u64),
            memory: recycle.memory.map(|memory| (memory as f64 * off()) as u64),
        }
    }

    /// Takes in what the worker has used up.
    pub fn observe(&mut self, requests: u64, memory: u64) {
        let worn = |limit: Option<u64>, used| limit.is_some_and(|limit| used >= limit);
        if worn(self.requests, requests) || worn(self.memory, memory) {
            self.at = Some(Duration::ZERO);
        }
    }

    /// When the worker is worn, as far as that is known.
    pub fn at(&self) -> Option<Now> {
        self.at
    }
}

impl Core {
    pub(super) fn observed(&mut self, worker: WorkerId, requests: u64, memory: u64) {
        if let Some(life) = self.lives.get_mut(&worker) {
            life.wear.observe(requests, memory);
        }
    }
}
