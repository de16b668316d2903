//! The lease of a call: who may speak to its client, the thread that runs the call, or the watch at its deadline.
//!
//! ```text
//!              begin               end
//!   Idle -------------> Running -------> Idle            the thread speaks
//!    ^                   |  ^  \
//!    |             pause |  | resume  \ claim
//!    |                   v  |          v
//!    |                  Sending      Claimed ----> Late ----> Stuck      the watch has spoken; what the application
//!    \______________________________________________ end ______/         still says is thrown away
//! ```
//!
//! * One word holds the state and a number that is another for each call and each grant of time, so that a claim made for one
//!   never falls on the next.
//! * Only the thread of the call begins, pauses and ends; only the watch claims. A call costs a few stores and one
//!   compare-and-swap of a cache line that the watch seldom reads.
//! * While the application is in `write()` its client is waited for, not it: no deadline is kept.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::thread;

use crate::conn::Holder;
use crate::turn::Farewell;

/// Bits of the state; the rest of the word is the number.
const STATE: u64 = 0b111;
const IDLE: u64 = 0;
const RUNNING: u64 = 1;
const SENDING: u64 = 2;
const CLAIMED: u64 = 3;
const LATE: u64 = 4;
const STUCK: u64 = 5;
const NEXT: u64 = STATE + 1;

/// No connection waits for this call.
const NOWHERE: u64 = u64::MAX;

/// How much of its answer the client has when a call begins, and so what it can still be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// Some; if there is no more, the connection is to end so, that nothing looks complete.
    Part(Farewell),
    /// Everything.
    All,
}

impl Heard {
    fn code(self) -> u8 {
        match self {
            Heard::Nothing => 0,
            Heard::All => 1,
            Heard::Part(Farewell::Close) => 2,
            Heard::Part(Farewell::Linger) => 3,
            Heard::Part(Farewell::Reset) => 4,
        }
    }

    fn of(code: u8) -> Heard {
        match code {
            0 => Heard::Nothing,
            1 => Heard::All,
            2 => Heard::Part(Farewell::Close),
            3 => Heard::Part(Farewell::Linger),
            _ => Heard::Part(Farewell::Reset),
        }
    }
}

/// One call, as a number that no other call of the same thread has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(u64);

/// What the watch sees of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// It is in no call.
    Idle,
    /// It is in this call. A grant of more time makes it another one.
    Busy(Call),
}

/// How a call ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In time: the thread goes on with its client.
    Kept,
    /// Late: the client was told without it.
    Late,
    /// Late, and nobody believed in it any more.
    Stuck,
}

/// The lease of one thread. It lies on a cache line of its own.
#[repr(align(64))]
#[derive(Debug)]
pub struct Lease {
    /// How long a call may take, in milliseconds.
    patience: u64,
    word: AtomicU64,
    /// When the watch may claim it, in milliseconds of [`crate::clock::now`].
    deadline: AtomicU64,
    /// The slot of the connection.
    place: AtomicU64,
    heard: AtomicU8,
    /// The name that Python has for the thread.
    thread: AtomicU64,
    /// What the call's client is to get, if it does not come soon.
    pub holder: Holder,
}

/// Leases of one block. Fewer would be more allocations where there are thousands of calls at once; more is memory that an
/// engine with few of them never uses.
const BLOCK: usize = 64;

/// The leases of all calls that a worker can have under way, made when they are first asked for. They are never given back, for what
/// Python holds may name them to the end of the process.
pub struct Leases {
    patience: u64,
    blocks: Box<[OnceLock<&'static [Lease]>]>,
    /// How many were asked for: those beyond are in no call.
    used: AtomicUsize,
}

impl Leases {
    /// Of so many calls, each of which may take so many milliseconds.
    pub fn new(calls: usize, patience: u64) -> Leases {
        let blocks = (0..calls.div_ceil(BLOCK)).map(|_| OnceLock::new()).collect();
        Leases { patience, blocks, used: AtomicUsize::new(0) }
    }

    /// The lease at this place.
    pub fn get(&self, place: usize) -> &'static Lease {
        if place >= self.used.load(Ordering::Relaxed) {
            self.used.fetch_max(place + 1, Ordering::AcqRel);
        }
        &self.block(place / BLOCK)[place % BLOCK]
    }

    /// Those that were asked for, in their order.
    pub fn used(&'static self) -> impl Iterator<Item = &'static Lease> {
        let used = self.used.load(Ordering::Acquire);
        (0..used.div_ceil(BLOCK)).flat_map(|block| self.block(block)).take(used)
    }

    fn block(&self, block: usize) -> &'static [Lease] {
        self.blocks[block].get_or_init(|| Vec::leak((0..BLOCK).map(|_| Lease::new(self.patience)).collect()))
    }
}

thread_local! {
    static MINE: Cell<Option<&'static Lease>> = const { Cell::new(None) };
}

/// The lease of this thread, if it runs calls.
pub fn mine() -> Option<&'static Lease> {
    MINE.get()
}

impl Lease {
    /// A lease under which calls may take so many milliseconds.
    pub const fn new(patience: u64) -> Lease {
        Lease {
            patience,
            word: AtomicU64::new(IDLE),
            deadline: AtomicU64::new(0),
            place: AtomicU64::new(NOWHERE),
            heard: AtomicU8::new(0),
            thread: AtomicU64::new(0),
            holder: Holder::new(),
        }
    }

    /// Makes it this thread's. `thread` is the number that Python has for it.
    pub fn adopt(&'static self, thread: u64) {
        self.share(thread);
        MINE.set(Some(self));
    }

    /// Makes it one of several of this thread's.
    pub fn share(&self, thread: u64) {
        self.thread.store(thread, Ordering::Release);
    }

    /// The number that Python has for its thread; 0 before it has one.
    pub fn thread(&self) -> u64 {
        self.thread.load(Ordering::Acquire)
    }

    /// A call begins for the connection in this slot, or for none.
    pub fn begin(&self, place: Option<u32>, heard: Heard, now: u64) {
        self.deadline.store(now.saturating_add(self.patience), Ordering::Relaxed);
        self.place.store(place.map_or(NOWHERE, u64::from), Ordering::Relaxed);
        self.heard.store(heard.code(), Ordering::Relaxed);
        // Only its own thread moves a lease that is idle. The order against the look at a sleeping watch, which follows, counts.
        self.word.store(self.next() | RUNNING, Ordering::SeqCst);
    }

    /// The call is over. Waits for a watch that is speaking just now.
    pub fn end(&self) -> Ending {
        let word = self.word.load(Ordering::Relaxed);
        let kept = word & !STATE;
        if word & STATE == RUNNING
            && self.word.compare_exchange(word, kept, Ordering::AcqRel, Ordering::Acquire).is_ok()
        {
            return Ending::Kept;
        }
        while self.word.load(Ordering::Acquire) & STATE == CLAIMED {
            thread::yield_now();
        }
        match self.word.swap(kept, Ordering::AcqRel) & STATE {
            STUCK => Ending::Stuck,
            _ => Ending::Late,
        }
    }

    /// The thread is about to send for the application. Says whether it may.
    #[must_use]
    pub fn pause(&self) -> bool {
        let word = self.word.load(Ordering::Acquire);
        let sending = word & !STATE | SENDING;
        word & STATE == RUNNING
            && self.word.compare_exchange(word, sending, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// It has sent, and the application has as long again for what comes next.
    pub fn resume(&self, heard: Heard, now: u64) {
        self.heard.store(heard.code(), Ordering::Relaxed);
        self.deadline.fetch_max(now.saturating_add(self.patience), Ordering::Relaxed);
        self.word.store(self.next() | RUNNING, Ordering::Release);
    }

    /// Puts the deadline off, if it is not later already. Says whether it was in time for that.
    #[must_use]
    pub fn extend(&self, deadline: u64) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        let before = self.deadline.fetch_max(deadline, Ordering::Relaxed);
        if word & STATE == SENDING {
            return true;
        }
        let extended = self.next() | RUNNING;
        let is_in_time = word & STATE == RUNNING
            && self.word.compare_exchange(word, extended, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        if !is_in_time {
            self.deadline.store(before, Ordering::Relaxed);
        }
        is_in_time
    }

    fn next(&self) -> u64 {
        (self.word.load(Ordering::Relaxed) & !STATE).wrapping_add(NEXT)
    }

    /// Whether its thread is in a call, and in which.
    pub fn look(&self) -> Sight {
        let word = self.word.load(Ordering::SeqCst);
        if word & STATE == IDLE { Sight::Idle } else { Sight::Busy(Call(word & !STATE)) }
    }

    /// Until when a call that runs may go on; `None` when none runs, or the watch has it already.
    pub fn deadline(&self) -> Option<u64> {
        let is_running = self.word.load(Ordering::Acquire) & STATE == RUNNING;
        is_running.then(|| self.deadline.load(Ordering::Relaxed))
    }

    /// Takes a call that is due from its thread: the watch alone may speak to the client now, and is to [`Lease::release`] it soon,
    /// for its thread may be waiting.
    pub fn claim(&self, now: u64) -> Option<Call> {
        let word = self.word.load(Ordering::Acquire);
        if word & STATE != RUNNING || self.deadline.load(Ordering::Relaxed) > now {
            return None;
        }
        let claimed = word & !STATE | CLAIMED;
        self.word.compare_exchange(word, claimed, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        Some(Call(word & !STATE))
    }

    /// The slot and the state of the client of a call that was claimed.
    pub fn client(&self) -> (Option<u32>, Heard) {
        let place = u32::try_from(self.place.load(Ordering::Relaxed)).ok();
        (place, Heard::of(self.heard.load(Ordering::Relaxed)))
    }

    /// The client was told; its thread may come back.
    pub fn release(&self) {
        let word = self.word.load(Ordering::Relaxed);
        self.word.store(word & !STATE | LATE, Ordering::Release);
    }

    /// Whether a call that was claimed has still not returned.
    pub fn is_late(&self, call: Call) -> bool {
        let word = self.word.load(Ordering::Acquire);
        word & !STATE == call.0 && matches!(word & STATE, CLAIMED | LATE | STUCK)
    }

    /// Gives up on a late call. Says whether it is still one.
    pub fn give_up(&self, call: Call) -> bool {
        self.word.compare_exchange(call.0 | LATE, call.0 | STUCK, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call that began at 0 and may take 10.
    fn begun() -> Lease {
        let lease = Lease::new(10);
        lease.begin(Some(7), Heard::Nothing, 0);
        lease
    }

    #[test]
    fn a_call_that_ends_in_time_is_never_claimed() {
        let lease = begun();
        assert_eq!(lease.claim(9), None, "it is not due");
        assert_eq!(lease.end(), Ending::Kept);
        assert_eq!((lease.claim(99), lease.look()), (None, Sight::Idle));
    }

    #[test]
    fn what_the_watch_has_claimed_is_not_the_threads_any_more() {
        let lease = begun();
        let call = lease.claim(10).expect("it is due");
        assert_eq!(lease.client(), (Some(7), Heard::Nothing));
        assert!(!lease.pause() && !lease.extend(99), "neither is a word allowed, nor more time");
        lease.release();
        assert!(lease.is_late(call));
        assert_eq!(lease.end(), Ending::Late);
        assert!(!lease.is_late(call));
    }

    #[test]
    fn a_call_given_up_says_so_when_it_returns_all_the_same() {
        let lease = begun();
        let call = lease.claim(10).expect("it is due");
        lease.release();
        assert!(lease.give_up(call) && !lease.give_up(call));
        assert_eq!(lease.end(), Ending::Stuck);
        lease.begin(None, Heard::Nothing, 10);
        assert!(!lease.give_up(call) && !lease.is_late(call), "the next call is another one");
    }

    #[test]
    fn a_grant_of_time_makes_a_claim_for_the_time_before_void() {
        let lease = begun();
        let before = lease.look();
        assert!(lease.extend(20));
        assert_ne!(lease.look(), before);
        assert_eq!(lease.claim(19), None);
        assert!(lease.extend(15), "a shorter grant changes nothing");
        assert_eq!(lease.deadline(), Some(20));
        assert!(lease.claim(20).is_some());
    }

    #[test]
    fn while_the_client_is_waited_for_no_deadline_is_kept() {
        let lease = begun();
        assert!(lease.pause());
        assert_eq!((lease.claim(99), lease.deadline()), (None, None));
        assert!(lease.extend(40), "a grant counts from when the application goes on");
        lease.resume(Heard::Part(Farewell::Reset), 20);
        assert_eq!(lease.deadline(), Some(40));
        lease.claim(40).expect("it is due");
        assert_eq!(lease.client(), (Some(7), Heard::Part(Farewell::Reset)));
    }

    #[test]
    fn leases_are_those_that_were_asked_for() {
        let leases: &Leases = Box::leak(Box::new(Leases::new(2 * BLOCK, 10)));
        assert_eq!(leases.used().count(), 0);
        let last = leases.get(BLOCK);
        last.begin(None, Heard::Nothing, 0);
        assert_eq!(leases.used().count(), BLOCK + 1);
        let busy: Vec<usize> =
            (0..).zip(leases.used()).filter(|(_, lease)| lease.look() != Sight::Idle).map(|(place, _)| place).collect();
        assert_eq!(busy, [BLOCK]);
        assert!(std::ptr::eq(last, leases.get(BLOCK)));
    }

    #[test]
    fn of_a_thread_that_ends_and_a_watch_that_claims_one_alone_speaks() {
        static LEASE: Lease = Lease::new(0);
        static CLAIMED_CALLS: AtomicU64 = AtomicU64::new(0);
        static OVER: AtomicU64 = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while OVER.load(Ordering::Acquire) == 0 {
                    if LEASE.claim(1).is_some() {
                        CLAIMED_CALLS.fetch_add(1, Ordering::Relaxed);
                        LEASE.release();
                    }
                }
            });
            let mut late = 0;
            for _ in 0..100_000 {
                LEASE.begin(None, Heard::Nothing, 1);
                if LEASE.end() != Ending::Kept {
                    late += 1;
                }
            }
            OVER.store(1, Ordering::Release);
            assert_eq!(late, CLAIMED_CALLS.load(Ordering::Relaxed));
        });
    }
}
