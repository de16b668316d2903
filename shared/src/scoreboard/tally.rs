//! What one thread of a worker counts. Each tally has one thread that writes it, so counting is a load, an addition and a store, and
//! no cache line goes from core to core for it.
//!
//! ```text
//!   tally: | requests, refused, timeouts, GIL asked for | duration | queue | gil wait | one word for each status from 100 to 599 |
//!   histogram: | nanoseconds in all | one word for each bucket, those below its upper end and above the last one's |
//! ```
//!
//! Rules
//! * Everything only grows, but [`Tally::gil_asked_ns`]. Whoever reads adds up the tallies, and may meet one between two of its stores.
//! * A bucket holds its own observations alone, not those below it; the sum of the buckets is their count.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The upper ends of the buckets, in nanoseconds: 0.1 ms to a minute, two or three in each decade. Fewer, and a percentile is no more
/// than a guess; more, and each application has hundreds of time series. Below the first everything is fast enough; above the last
/// `timeouts.request` has ended it, as a rule.
pub const BOUNDS_NS: [u64; 18] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
];

/// One more than there are bounds: what is above them all.
pub const BUCKETS: usize = BOUNDS_NS.len() + 1;

/// The lowest status that is counted, and how many there are from it on (RFC 9110 15).
pub const STATUS_MIN: u16 = 100;
const STATUSES: usize = 500;

/// What one thread counts.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Tally {
    /// Requests that a call began for, or a static file.
    pub requests: Count,
    /// Requests that never reached the application, for their form or their size.
    pub refused: Count,
    /// Requests whose client was told, in the application's place, that it takes too long.
    pub timeouts: Count,
    /// Since when it waits for the GIL, with a request in its hand or to begin, in nanoseconds of `CLOCK_MONOTONIC`; 0 when it does not.
    pub gil_asked_ns: Count,
    /// From when a request is whole until the application has given all of its answer.
    pub duration: Histogram,
    /// From when a request is whole until its call begins.
    pub queue: Histogram,
    /// From when a thread asks for the GIL, with work in its hand, until it has it.
    pub gil_wait: Histogram,
    statuses: [Count; STATUSES],
}

impl Tally {
    /// An answer with this status has begun.
    pub fn count_answer(&self, status: u16) {
        if let Some(count) = self.statuses.get(usize::from(status.wrapping_sub(STATUS_MIN))) {
            count.add(1);
        }
    }

    /// How many answers there were of each status, from [`STATUS_MIN`] on.
    pub fn statuses(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        (STATUS_MIN..).zip(self.statuses.iter().map(Count::get))
    }
}

/// A number that one thread adds to and anybody reads.
#[repr(transparent)]
#[derive(Debug)]
pub struct Count(AtomicU64);

impl Count {
    /// So many more. For the one thread that writes.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    /// Another number in its place. For the one thread that writes.
    pub fn set(&self, number: u64) {
        self.0.store(number, Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How long a thing took, each time.
#[repr(C)]
#[derive(Debug)]
pub struct Histogram {
    sum_ns: Count,
    buckets: [Count; BUCKETS],
}

impl Histogram {
    /// It took so long. For the one thread that writes.
    pub fn record(&self, ns: u64) {
        let bucket = BOUNDS_NS.iter().position(|bound| ns <= *bound).unwrap_or(BOUNDS_NS.len());
        self.buckets[bucket].add(1);
        self.sum_ns.add(ns);
    }

    /// Nanoseconds in all.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.get()
    }

    /// How often it took no longer than each bound, and longer than the one before; the last is above them all.
    pub fn buckets(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.buckets[bucket].get())
    }
}
