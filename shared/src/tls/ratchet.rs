//! The secret that session tickets are sealed with: the same in every worker, another every few hours, without a word said.
//!
//! ```text
//!   supervisor, once:  state(period)                        random
//!   every process:     state(n + 1) = HMAC(state(n), "next")      what it came from is forgotten
//!                      key(n)       = HMAC(state(n), "key" | what it is for)
//! ```
//!
//! A worker is given the state at its start and turns it on by the clock, as the supervisor does. So a session goes on in
//! whichever worker, and over reloads; and who learns the state learns nothing of the tickets of periods that are over
//! (RFC 5077 5.5).
//!
//! Known fault: who learns it can read the tickets to come, until the supervisor is started anew.

use std::io;
use std::time::Duration;

use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// How long one key seals tickets; they are opened for one period more. Shorter makes clients that come back hours later
/// shake hands in full, longer lets a stolen state open more of what was recorded before.
pub const PERIOD: Duration = Duration::from_secs(6 * 3600);

const STATE_BYTES: usize = 32;

/// The secret, as of the period before the current one.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ratchet {
    state: Zeroizing<[u8; STATE_BYTES]>,
    period: u64,
}

impl Ratchet {
    /// A random one. `now` is since 1970.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn new(now: Duration) -> io::Result<Ratchet> {
        let mut state = Zeroizing::new([0; STATE_BYTES]);
        let filled = SystemRandom::new().fill(state.as_mut_slice());
        filled.map_err(|_| io::Error::other("cannot get random bytes"))?;
        Ok(Ratchet { state, period: Ratchet::period(now).saturating_sub(1) })
    }

    /// The period of this time.
    pub fn period(now: Duration) -> u64 {
        now.as_secs() / PERIOD.as_secs()
    }

    /// Forgets what is older than the period before this time's.
    pub fn turn(&mut self, now: Duration) {
        let oldest = Ratchet::period(now).saturating_sub(1);
        while self.period < oldest {
            self.state = next(&self.state);
            self.period += 1;
        }
    }

    /// The key of a period for a purpose; `None` when the period is over, or too far ahead.
    pub fn key(&self, period: u64, purpose: &[u8]) -> Option<Zeroizing<[u8; STATE_BYTES]>> {
        // One ahead: another process's clock reading may be the later one.
        const AHEAD_MAX: u64 = 2;
        let ahead = period.checked_sub(self.period).filter(|ahead| *ahead <= AHEAD_MAX)?;
        let state = (0..ahead).fold(self.state.clone(), |state, _| next(&state));
        Some(derived(&state, &[b"key", purpose]))
    }
}

fn next(state: &[u8; STATE_BYTES]) -> Zeroizing<[u8; STATE_BYTES]> {
    derived(state, &[b"next"])
}

fn derived(state: &[u8; STATE_BYTES], of: &[&[u8]]) -> Zeroizing<[u8; STATE_BYTES]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, state));
    of.iter().for_each(|part| context.update(part));
    let mut derived = Zeroizing::new([0; STATE_BYTES]);
    derived.copy_from_slice(context.sign().as_ref());
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn two_that_turn_at_different_times_agree() {
        let begin = 1000 * PERIOD;
        let mut one = Ratchet::new(begin).unwrap();
        let mut other = one.clone();
        for hours in 0..40 {
            let now = begin + hours * HOUR;
            one.turn(now);
            if hours % 11 == 0 {
                other.turn(now);
                let period = Ratchet::period(now);
                assert_eq!(one.key(period, b"a"), other.key(period, b"a"));
                assert_eq!(one.key(period - 1, b"a"), other.key(period - 1, b"a"));
                assert!(one.key(period, b"a").is_some());
            }
        }
    }

    #[test]
    fn periods_that_are_over_are_forgotten_and_purposes_are_apart() {
        let begin = 1000 * PERIOD;
        let mut ratchet = Ratchet::new(begin).unwrap();
        let key = ratchet.key(1000, b"a").unwrap();
        assert_ne!(key, ratchet.key(1000, b"b").unwrap());
        assert_ne!(key, ratchet.key(1001, b"a").unwrap());
        assert_ne!(key, ratchet.key(999, b"a").unwrap());
        ratchet.turn(begin + PERIOD);
        assert_eq!(ratchet.key(1000, b"a"), Some(key), "the last period's tickets are still opened");
        assert_eq!(ratchet.key(999, b"a"), None);
        ratchet.turn(begin + 2 * PERIOD);
        assert_eq!(ratchet.key(1000, b"a"), None);
        assert_eq!(ratchet.key(u64::MAX, b"a"), None);
    }
}
