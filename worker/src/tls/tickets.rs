//! Session tickets (RFC 8446 4.6.1, RFC 5077), sealed with what all workers of a server share.
//!
//! ```text
//!   ticket   period (u64, big endian) | nonce (12 bytes) | sealed session and tag (AES-256-GCM)
//! ```
//!
//! A ticket is for the listener that gave it and for what that one asks of clients, so that no session goes on elsewhere
//! without a client certificate that is required there.

use std::fmt;
use std::sync::Mutex;

use monoceros_shared::tls::{PERIOD, Ratchet};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use crate::clock;

const PERIOD_BYTES: usize = size_of::<u64>();

/// Seals and opens tickets.
pub struct Tickets {
    ratchet: Mutex<Ratchet>,
    purpose: Vec<u8>,
}

impl Tickets {
    /// Those of one listener: `purpose` says which, and what it asks of clients.
    pub fn new(ratchet: Ratchet, purpose: Vec<u8>) -> Tickets {
        Tickets { ratchet: Mutex::new(ratchet), purpose }
    }

    fn key(&self, period: Option<u64>) -> Option<(u64, LessSafeKey)> {
        let now = clock::since_1970();
        let mut ratchet = self.ratchet.lock().ok()?;
        ratchet.turn(now);
        let period = period.unwrap_or_else(|| Ratchet::period(now));
        let key = ratchet.key(period, &self.purpose)?;
        Some((period, LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_slice()).ok()?)))
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tickets")
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        PERIOD.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let (period, key) = self.key(None)?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = period.to_be_bytes().to_vec();
        ticket.extend(nonce);
        let mut sealed = plain.to_vec();
        let period = Aad::from(period.to_be_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), period, &mut sealed).ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (period, rest) = ticket.split_first_chunk::<PERIOD_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (_, key) = self.key(Some(u64::from_be_bytes(*period)))?;
        let mut opened = sealed.to_vec();
        let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(*period), &mut opened).ok()?;
        let length = plain.len();
        opened.truncate(length);
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_worker_seals_another_opens_and_nobody_else_does() {
        let ratchet = Ratchet::new(clock::since_1970()).unwrap();
        let tickets = |purpose: &str| Tickets::new(ratchet.clone(), purpose.into());
        let sealed = tickets("a").encrypt(b"a session").unwrap();
        assert_eq!(tickets("a").decrypt(&sealed).unwrap(), b"a session");
        assert_eq!(tickets("b").decrypt(&sealed), None, "another listener's");
        let other = Tickets::new(Ratchet::new(clock::since_1970()).unwrap(), "a".into());
        assert_eq!(other.decrypt(&sealed), None, "another server's");
        assert_ne!(tickets("a").encrypt(b"a session").unwrap(), sealed);
    }

    #[test]
    fn a_ticket_that_was_touched_is_none() {
        let tickets = Tickets::new(Ratchet::new(clock::since_1970()).unwrap(), Vec::new());
        let sealed = tickets.encrypt(b"a session").unwrap();
        for at in 0..sealed.len() {
            let mut touched = sealed.clone();
            touched[at] ^= 1;
            assert_eq!(tickets.decrypt(&touched), None, "byte {at}");
            assert_eq!(tickets.decrypt(&sealed[..at]), None, "cut at {at}");
        }
    }
}
