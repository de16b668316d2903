//! Where changes gather until they have settled, so that a storm of saves is one reload.
//!
//! ```text
//!   change, change, ... --QUIET without another, or CAP after the first--> one batch
//! ```
//!
//! The threads that watch put in, the supervisor's loop takes out. Only the first change of a batch wakes the loop.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing may change before what changed is taken up. Shorter meets an editor between its two writes, longer
/// is felt.
pub const QUIET: Duration = Duration::from_millis(100);

/// How long changes may go on before they are taken up all the same. Shorter makes several reloads of one checkout,
/// longer makes a build that writes all the time look like a dead server.
pub const CAP: Duration = Duration::from_secs(1);

/// Paths that a batch names. Beyond it, everything may have changed.
const PATHS_MAX: usize = 4096;

/// What has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// These.
    pub paths: BTreeSet<PathBuf>,
    /// And others that nobody could count.
    pub is_incomplete: bool,
}

/// Shared by those who put in and the one who takes out.
#[derive(Clone)]
pub struct Basket {
    gathered: Arc<Mutex<Option<Gathered>>>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
struct Gathered {
    first: Instant,
    last: Instant,
    batch: Batch,
}

impl Gathered {
    fn due(&self) -> Instant {
        (self.last + QUIET).min(self.first + CAP)
    }
}

impl Basket {
    /// An empty one; `wake` makes the loop look at it.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Basket {
        Basket { gathered: Arc::default(), wake: Arc::new(wake) }
    }

    /// These have changed.
    pub fn put(&self, now: Instant, paths: Vec<PathBuf>) {
        self.gather(now, |batch| {
            for path in paths {
                if batch.paths.len() < PATHS_MAX || batch.paths.contains(&path) {
                    batch.paths.insert(path);
                } else {
                    batch.is_incomplete = true;
                }
            }
        });
    }

    /// Something has changed that nobody could name.
    pub fn put_unknown(&self, now: Instant) {
        self.gather(now, |batch| batch.is_incomplete = true);
    }

    fn gather(&self, now: Instant, change: impl FnOnce(&mut Batch)) {
        let mut gathered = self.lock();
        let is_first = gathered.is_none();
        let into = gathered.get_or_insert_with(|| Gathered { first: now, last: now, batch: Batch::default() });
        into.last = now;
        change(&mut into.batch);
        drop(gathered);
        if is_first {
            (self.wake)();
        }
    }

    /// What has settled.
    pub fn take(&self, now: Instant) -> Option<Batch> {
        self.lock().take_if(|gathered| gathered.due() <= now).map(|gathered| gathered.batch)
    }

    /// When what is in it will have settled, if nothing is added.
    pub fn due(&self) -> Option<Instant> {
        self.lock().as_ref().map(Gathered::due)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Gathered>> {
        // Nothing between its lock and unlock can leave it half changed.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn counted() -> (Basket, Arc<AtomicUsize>) {
        let wakes = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&wakes);
        (
            Basket::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }),
            wakes,
        )
    }

    #[test]
    fn a_storm_is_one_batch_and_one_wake() {
        let (basket, wakes) = counted();
        let start = Instant::now();
        assert_eq!(basket.due(), None);
        for step in 0..8 {
            let now = start + step * QUIET / 2;
            basket.put(now, vec![format!("/{step}").into()]);
            assert_eq!(basket.take(now), None, "taken in the middle of the storm");
        }
        let last = start + 7 * QUIET / 2;
        assert_eq!(basket.due(), Some(last + QUIET));
        assert_eq!(basket.take(last + QUIET).unwrap().paths.len(), 8);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert_eq!(basket.take(last + CAP), None);
        basket.put_unknown(last + CAP);
        assert_eq!(wakes.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_storm_without_end_is_cut() {
        let (basket, _) = counted();
        let start = Instant::now();
        let mut now = start;
        while basket.take(now).is_none() {
            basket.put(now, vec!["/a".into()]);
            now += QUIET / 2;
            assert!(now <= start + CAP + QUIET, "never taken");
        }
        assert!(now >= start + CAP);
    }

    #[test]
    fn more_paths_than_fit_are_still_a_change() {
        let (basket, _) = counted();
        let now = Instant::now();
        basket.put(now, (0..=PATHS_MAX).map(|number| PathBuf::from(format!("/{number}"))).collect());
        let batch = basket.take(now + QUIET).unwrap();
        assert_eq!(batch.paths.len(), PATHS_MAX);
        assert!(batch.is_incomplete);
    }
}
