//! What workers count, as plain numbers that can be added up and written down.
//!
//! Rule: an application can scribble into its workers' scoreboards. That makes numbers wrong, and never more than that: sums go round.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use monoceros_shared::scoreboard::{BOUNDS_NS, BUCKETS, Histogram, Scoreboard};
use serde::{Deserialize, Serialize};

/// What a worker, or all of an application that ever were, have counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Requests that a call began for, or a static file.
    pub requests: u64,
    /// Requests that never reached the application.
    pub refused: u64,
    /// Requests whose client was told in its place that it takes too long.
    pub timeouts: u64,
    /// Lines that were logged: critical ones, errors, warnings.
    pub logged: [u64; 3],
    /// Exceptions of the application's, which are among the errors.
    pub exceptions: u64,
    /// Answers by their status; those that never were are left out.
    #[serde(with = "by_text")]
    pub statuses: BTreeMap<u16, u64>,
    /// From the whole request to the end of its answer.
    pub duration: Times,
    /// From the whole request to the beginning of its call.
    pub queue: Times,
    /// Waits for the GIL.
    pub gil_wait: Times,
}

/// How long a thing took, each time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Times {
    /// Nanoseconds in all.
    pub sum_ns: u64,
    /// How often in each bucket, [`BUCKETS`] of them; none if it never was.
    pub buckets: Vec<u64>,
}

/// A map with numbers for keys, whose keys are text in JSON: what is read by way of another value has forgotten that they were numbers.
mod by_text {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(statuses: &BTreeMap<u16, u64>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(statuses.iter().map(|(status, count)| (status.to_string(), count)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u16, u64>, D::Error> {
        let read = BTreeMap::<String, u64>::deserialize(from)?;
        Ok(read.into_iter().filter_map(|(status, count)| Some((status.parse().ok()?, count))).collect())
    }
}

impl Counts {
    /// What a scoreboard shows.
    pub fn of(scoreboard: &Scoreboard) -> Counts {
        let counters = scoreboard.counters();
        let logged = std::array::from_fn(|level| counters.logged[level].load(Relaxed));
        let (accepted, exceptions) = (counters.accepted.load(Relaxed), counters.exceptions.load(Relaxed));
        let mut counts = Counts { accepted, logged, exceptions, ..Counts::default() };
        for tally in scoreboard.tallies() {
            counts.requests = counts.requests.wrapping_add(tally.requests.get());
            counts.refused = counts.refused.wrapping_add(tally.refused.get());
            counts.timeouts = counts.timeouts.wrapping_add(tally.timeouts.get());
            for (status, count) in tally.statuses().filter(|(_, count)| *count > 0) {
                counts.count_status(status, count);
            }
            counts.duration.add(&Times::of(&tally.duration));
            counts.queue.add(&Times::of(&tally.queue));
            counts.gil_wait.add(&Times::of(&tally.gil_wait));
        }
        counts
    }

    /// Both together.
    pub fn add(&mut self, more: &Counts) {
        self.accepted = self.accepted.wrapping_add(more.accepted);
        self.requests = self.requests.wrapping_add(more.requests);
        self.refused = self.refused.wrapping_add(more.refused);
        self.timeouts = self.timeouts.wrapping_add(more.timeouts);
        self.logged.iter_mut().zip(more.logged).for_each(|(ours, theirs)| *ours = ours.wrapping_add(theirs));
        self.exceptions = self.exceptions.wrapping_add(more.exceptions);
        more.statuses.iter().for_each(|(status, count)| self.count_status(*status, *count));
        self.duration.add(&more.duration);
        self.queue.add(&more.queue);
        self.gil_wait.add(&more.gil_wait);
    }

    /// What has come since these were counted; what went back, because a worker was lost on the way, is nothing.
    pub fn since(&self, before: &Counts) -> Counts {
        let status = |(status, count): (&u16, &u64)| {
            let more = count.saturating_sub(before.statuses.get(status).copied().unwrap_or_default());
            (more > 0).then_some((*status, more))
        };
        Counts {
            accepted: self.accepted.saturating_sub(before.accepted),
            requests: self.requests.saturating_sub(before.requests),
            refused: self.refused.saturating_sub(before.refused),
            timeouts: self.timeouts.saturating_sub(before.timeouts),
            logged: std::array::from_fn(|level| self.logged[level].saturating_sub(before.logged[level])),
            exceptions: self.exceptions.saturating_sub(before.exceptions),
            statuses: self.statuses.iter().filter_map(status).collect(),
            duration: self.duration.since(&before.duration),
            queue: self.queue.since(&before.queue),
            gil_wait: self.gil_wait.since(&before.gil_wait),
        }
    }

    /// Answers by the first digit of their status: 1 to 5.
    pub fn classes(&self) -> [u64; 5] {
        let mut classes = [0_u64; 5];
        for (status, count) in &self.statuses {
            if let Some(class) = classes.get_mut(usize::from(status / 100).wrapping_sub(1)) {
                *class = class.wrapping_add(*count);
            }
        }
        classes
    }

    fn count_status(&mut self, status: u16, count: u64) {
        let known = self.statuses.entry(status).or_default();
        *known = known.wrapping_add(count);
    }
}

impl Times {
    fn of(histogram: &Histogram) -> Times {
        Times { sum_ns: histogram.sum_ns(), buckets: histogram.buckets().to_vec() }
    }

    /// Both together. What another build wrote, with other buckets, is left out.
    pub fn add(&mut self, more: &Times) {
        if more.buckets.len() != BUCKETS {
            return;
        }
        if self.buckets.len() != BUCKETS {
            *self = Times { sum_ns: 0, buckets: vec![0; BUCKETS] };
        }
        self.sum_ns = self.sum_ns.wrapping_add(more.sum_ns);
        self.buckets.iter_mut().zip(&more.buckets).for_each(|(ours, theirs)| *ours = ours.wrapping_add(*theirs));
    }

    fn since(&self, before: &Times) -> Times {
        if before.buckets.len() != self.buckets.len() {
            return self.clone();
        }
        let pairs = self.buckets.iter().zip(&before.buckets);
        Times {
            sum_ns: self.sum_ns.saturating_sub(before.sum_ns),
            buckets: pairs.map(|(now, before)| now.saturating_sub(*before)).collect(),
        }
    }

    /// How often.
    pub fn count(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Seconds in all.
    pub fn seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// The number of seconds that this part of them did not pass, as near as the buckets tell: between the ends of the one that it
    /// falls into. What is above the last bound is that bound. `None` if it never was.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part * self.count() as f64;
        let mut below = 0.0;
        for (bucket, count) in self.buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (lower, upper) = ends_ns(bucket);
            if below + *count as f64 >= rank {
                let share = ((rank - below) / *count as f64).clamp(0.0, 1.0);
                return Some((lower + (upper - lower) * share) / 1e9);
            }
            below += *count as f64;
        }
        None
    }
}

/// The ends of a bucket; both are the last bound for what is above it.
pub fn ends_ns(bucket: usize) -> (f64, f64) {
    let bound = |index: usize| BOUNDS_NS.get(index).or(BOUNDS_NS.last()).copied().unwrap_or_default() as f64;
    (bucket.checked_sub(1).map_or(0.0, bound), bound(bucket))
}

#[cfg(test)]
mod tests {
    use monoceros_shared::scoreboard::Size;

    use super::*;

    fn counted() -> Counts {
        let (board, _memory) = Scoreboard::create(Size { threads: 1, tallies: 2 }).unwrap();
        for (thread, status) in [(0, 200), (0, 404), (1, 200)] {
            let tally = board.tally(thread);
            tally.requests.add(1);
            tally.count_answer(status);
            tally.duration.record(2_000_000);
        }
        board.tally(1).refused.add(1);
        Counts::of(&board)
    }

    #[test]
    fn all_threads_of_a_worker_are_one_sum() {
        let counts = counted();
        assert_eq!((counts.requests, counts.refused, counts.duration.count()), (3, 1, 3));
        assert_eq!(counts.statuses, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!((counts.classes(), counts.duration.seconds()), ([0, 2, 0, 1, 0], 0.006));
    }

    #[test]
    fn sums_and_differences_are_of_everything() {
        let one = counted();
        let mut two = one.clone();
        two.add(&one);
        assert_eq!(
            (two.requests, two.statuses[&200], two.duration.count(), two.duration.sum_ns),
            (6, 4, 6, 12_000_000)
        );
        assert_eq!(two.since(&one), one);
        let nothing = one.since(&two);
        assert_eq!((nothing.requests, nothing.statuses.len(), nothing.duration.count()), (0, 0, 0), "never below zero");
    }

    #[test]
    fn what_another_build_wrote_is_left_out_where_its_buckets_are_others() {
        let mut counts = counted();
        let strange = Times { sum_ns: 7, buckets: vec![1, 2] };
        counts.add(&Counts { duration: strange, requests: 1, ..Counts::default() });
        assert_eq!((counts.requests, counts.duration.count()), (4, 3));
        let read: Counts = serde_json::from_str(r#"{"requests": 3, "news": 1}"#).unwrap();
        assert_eq!(read, Counts { requests: 3, ..Counts::default() });
        let by_value = serde_json::from_value::<Counts>(serde_json::to_value(&counts).unwrap()).unwrap();
        assert_eq!((by_value.statuses[&404], &by_value), (1, &counts));
        assert_eq!(serde_json::from_str::<Counts>(&serde_json::to_string(&counts).unwrap()).unwrap(), counts);
    }

    #[test]
    fn a_quantile_lies_within_the_bucket_that_it_falls_into() {
        let mut times = Times { sum_ns: 0, buckets: vec![0; BUCKETS] };
        assert_eq!(times.quantile(0.5), None);
        times.buckets[3] = 10;
        let median = times.quantile(0.5).unwrap();
        assert!((median - 0.000_75).abs() < 1e-9, "{median}");
        assert_eq!(times.quantile(1.0), Some(0.001));
        times.buckets[BUCKETS - 1] = 90;
        assert_eq!(times.quantile(0.5), Some(60.0));
        assert!(times.quantile(0.05).unwrap() < 0.001);
    }
}
