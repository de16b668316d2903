//! When to look at which connection again. Pure.
//!
//! An entry is a promise to look, not a deadline: a connection's deadline moves with every request, its entry only when it
//! comes up. That is right as long as an entry never lies further ahead than the shortest patience, for then it comes up
//! before any deadline set since, and is put back exactly at it. So a request costs nothing here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::slots::Key;

/// Looks to come. Times are milliseconds of [`crate::clock::now`].
pub struct Deadlines {
    looks: BinaryHeap<Reverse<(u64, Key)>>,
    stride: u64,
}

impl Deadlines {
    /// `shortest` is the shortest patience that any connection can be under, in milliseconds.
    pub fn new(shortest: u64) -> Deadlines {
        Deadlines { looks: BinaryHeap::new(), stride: shortest.max(1) }
    }

    /// Looks at this connection at its deadline, or one stride from now if that is sooner.
    pub fn watch(&mut self, key: Key, deadline: u64, now: u64) {
        self.looks.push(Reverse((deadline.min(now + self.stride), key)));
    }

    /// When the next look is due.
    pub fn next(&self) -> Option<u64> {
        self.looks.peek().map(|Reverse((at, _))| *at)
    }

    /// A connection to look at now, if one is due. Watch it again unless it is gone.
    pub fn due(&mut self, now: u64) -> Option<Key> {
        if self.next()? > now {
            return None;
        }
        self.looks.pop().map(|Reverse((_, key))| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_set_later_but_sooner_is_met_to_the_millisecond() {
        let key = Key::default();
        let mut deadlines = Deadlines::new(10);
        deadlines.watch(key, 75, 0);
        // At 7 the connection's patience becomes the shortest there is, 10, though its entry was made for 75.
        let mut deadline = 75;
        for now in 0.. {
            if now == 7 {
                deadline = 17;
            }
            if let Some(key) = deadlines.due(now) {
                if deadline <= now {
                    assert_eq!(now, 17);
                    break;
                }
                deadlines.watch(key, deadline, now);
            }
            assert!(now < 18, "the deadline was missed");
        }
    }
}
