//! Places of calls, where there may be thousands at once: each is a row of the scoreboard, and with greenlets a lease.
//!
//! The lowest that is free is given first, so that few are ever used, whose memory alone is touched.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Places of calls.
pub(super) struct Places {
    /// Those below `fresh` that no call has.
    free: BinaryHeap<Reverse<usize>>,
    /// From here on none was ever used.
    fresh: usize,
    count: usize,
}

impl Places {
    /// So many, all free.
    pub fn new(count: usize) -> Places {
        Places { free: BinaryHeap::new(), fresh: 0, count }
    }

    /// The lowest that is free, if there is one. It is the caller's until it is given back.
    pub fn take(&mut self) -> Option<usize> {
        if let Some(Reverse(place)) = self.free.pop() {
            return Some(place);
        }
        let fresh = (self.fresh < self.count).then_some(self.fresh)?;
        self.fresh += 1;
        Some(fresh)
    }

    /// It is free again.
    pub fn give_back(&mut self, place: usize) {
        self.free.push(Reverse(place));
    }

    /// How many are free.
    pub fn room(&self) -> usize {
        self.free.len() + self.count - self.fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_given_and_no_more_than_there_are() {
        let mut places = Places::new(3);
        assert_eq!([places.take(), places.take(), places.take(), places.take()], [Some(0), Some(1), Some(2), None]);
        places.give_back(2);
        places.give_back(0);
        assert_eq!((places.room(), places.take(), places.room()), (2, Some(0), 1));
    }
}
