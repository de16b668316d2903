//! How long a slot stays empty after its worker is gone.
//!
//! ```text
//!   served 10 s or more: all is forgotten      served at all: once, no delay
//!   else 100 ms, 200 ms, 400 ms, ... 30 s, each 20 % more or less
//! ```

use std::time::Duration;

/// The first delay. Shorter is a tight loop for an application that fails in milliseconds; longer keeps a slot empty
/// over what passes at once.
const FIRST: Duration = Duration::from_millis(100);

/// The longest delay. Shorter wastes a machine on what is broken for good; longer lets people wait who have mended it.
const CAP: Duration = Duration::from_secs(30);

/// A worker that served this long was well: its end starts a new count. Shorter, and one that crashes with its first
/// requests is never slowed; longer, and a crash once in a while adds up.
const HEALTHY: Duration = Duration::from_secs(10);

/// What a slot remembers.
#[derive(Debug, Default)]
pub struct Backoff {
    delays: u32,
    at_once: AtOnce,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum AtOnce {
    #[default]
    Left,
    Used,
}

impl Backoff {
    /// The delay before the next worker, after one that served this long, if it did.
    pub fn next(&mut self, served: Option<Duration>, jitter: &mut Jitter) -> Duration {
        if served.is_some_and(|served| served >= HEALTHY) {
            *self = Backoff::default();
        }
        if served.is_some() && self.at_once == AtOnce::Left {
            self.at_once = AtOnce::Used;
            return Duration::ZERO;
        }
        let delay = FIRST.saturating_mul(1 << self.delays).min(CAP);
        // Twelve doublings are beyond the cap.
        self.delays = (self.delays + 1).min(12);
        delay.mul_f64(0.8 + 0.4 * jitter.fraction())
    }
}

/// Numbers that spread retries, so that the slots of a broken application do not all try in the same instant.
/// SplitMix64: three lines, and good enough to be told from a pattern.
pub struct Jitter(u64);

impl Jitter {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Jitter {
        Jitter(seed)
    }

    /// Between 0 and 1.
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(backoff: &mut Backoff, served: Option<u64>, count: usize) -> Vec<f64> {
        let mut jitter = Jitter::new(7);
        let served = served.map(Duration::from_secs);
        (0..count).map(|_| backoff.next(served, &mut jitter).as_secs_f64()).collect()
    }

    #[test]
    fn failed_boots_are_tried_ever_more_rarely_up_to_a_cap() {
        let delays = delays(&mut Backoff::default(), None, 40);
        for (index, delay) in delays.iter().enumerate() {
            let middle = (0.1 * 2_f64.powi(index as i32)).min(30.0);
            assert!(*delay >= 0.8 * middle && *delay <= 1.2 * middle, "delay {index} is {delay}");
        }
        assert!(delays.windows(2).any(|pair| pair[0] > pair[1]), "no jitter at the cap");
    }

    #[test]
    fn what_served_is_replaced_at_once_but_only_once() {
        let delays = delays(&mut Backoff::default(), Some(1), 3);
        assert_eq!(delays[0], 0.0);
        assert!(delays[1] >= 0.08 && delays[2] > delays[1]);
    }

    #[test]
    fn serving_long_enough_forgets_everything() {
        let mut backoff = Backoff::default();
        delays(&mut backoff, None, 10);
        assert_eq!(delays(&mut backoff, Some(10), 1), [0.0]);
        assert!(delays(&mut backoff, None, 1)[0] <= 0.12);
    }
}
