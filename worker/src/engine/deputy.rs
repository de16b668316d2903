//! The watch leads while every runner is in a call.
//!
//! ```text
//!   nobody free -> the watch takes the poll: reads, accepts, keeps deadlines, hands over, as any leader does
//!               -> what is ready for the application waits in the queue for the first runner that is free
//!   a runner free, and no work -> asks the watch to step down, by the waker, and leads
//! ```
//!
//! Only a runner that finds nothing to do asks, so calls that follow each other closely cost nothing.
//!
//! A request that waits in the queue for longer than `timeouts.queue` is answered with 503, or after `timeouts.request`, if that is
//! shorter, with 504 as if the application had it (see `crowd`). In a drain it goes to the heir, for nobody here may ever be free.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::guest::Guest;
use super::queue::unbegun;
use super::slots::lock;
use super::watch::{Found, Watchman};
use super::{Engine, Mode, Task, growth, offers, watch};
use crate::clock;

/// How soon another try is made to hand over requests for which the heir had no room. Less spins, more makes them wait.
const RETRY: Duration = Duration::from_millis(20);

impl Engine {
    /// Has the watch step down if it leads. The caller is free, and rests until it is woken.
    pub(super) fn relieve_deputy(&self) {
        if self.deputy.load(Ordering::Acquire) && self.deputy.swap(false, Ordering::SeqCst) {
            self.wake_leader();
        }
    }

    /// Takes out of the queue what no runner is to begin with any more.
    fn withdraw(&self, now: u64) -> VecDeque<Task> {
        let is_going = self.is_leaving() && self.has_heir();
        let is_over = self.drain_ends().is_some_and(|end| end <= now);
        let is_due = |guest: &Guest| is_going || is_over || guest.deadline <= now;
        let mut ready = lock(&self.ready);
        // They stand in the order of their deadlines.
        if !ready.now.iter().find_map(unbegun).is_some_and(is_due) {
            return VecDeque::new();
        }
        let (withdrawn, stay) = ready.now.drain(..).partition(|task| unbegun(task).is_some_and(is_due));
        ready.now = stay;
        self.show_queue(&ready);
        withdrawn
    }
}

impl Watchman {
    /// Leads until a runner is free.
    pub(super) fn stand_in(&mut self) {
        let engine = self.engine.clone();
        let Some(mut leader) = engine.try_lead() else { return };
        // In this order: whoever sees that somebody leads sees who.
        engine.deputy.store(true, Ordering::SeqCst);
        engine.led.store(true, Ordering::SeqCst);
        engine.siblings.be_busy();
        self.or_break_off(leader.leave_siblings());
        // A foreign loop that comes round asks us to step down.
        engine.foreign.ring();
        let mut is_seeking = false;
        while engine.deputy.load(Ordering::SeqCst) && !engine.mode_is(Mode::Done) {
            let mut patience = self.until_next(clock::now()).min(engine.watch.hold_patience(watch::TICK_ALONE));
            if self.tend_queue() {
                patience = patience.min(RETRY);
            }
            if is_seeking {
                patience = patience.min(offers::LOOK_AGAIN);
            }
            if engine.growth.may_grow() && !engine.is_queue_empty() {
                patience = patience.min(growth::PATIENCE);
            }
            let led = self.hands.lead(&mut leader, Some(patience));
            self.or_break_off(led);
            is_seeking = self.hands.make_offers(&mut leader);
            if self.look() == Found::NobodyFree {
                self.grow(clock::now());
            }
            self.attend();
            self.hands.empty_outbox();
            self.hands.flush_batch();
        }
        engine.siblings.be_free(engine.slots.open());
        leader.aside = leader.aside.map(|_| 0);
        engine.deputy.store(false, Ordering::SeqCst);
        engine.led.store(false, Ordering::SeqCst);
        self.or_break_off(self.hands.join_siblings(&mut leader));
        drop(leader);
        // The lock orders this after the look of a runner that is about to rest.
        drop(lock(&engine.ready));
        engine.idle.notify_one();
        engine.foreign.ring();
    }

    fn or_break_off(&self, done: io::Result<()>) {
        if let Err(error) = done {
            self.engine.break_off(&error);
        }
    }

    /// Ends or passes on what waits in the queue in vain. Says whether some is still to be passed on.
    pub(super) fn tend_queue(&mut self) -> bool {
        let now = clock::now();
        self.hands.moment = self.hands.clock.moment();
        let is_over = self.engine.drain_ends().is_some_and(|end| end <= now);
        let mut stays = false;
        for task in self.engine.withdraw(now) {
            let Task::Serve(mut guest) = task else { continue };
            if is_over || guest.deadline <= now {
                guest.connection.turn.give_up(self.engine.settings.wait.1, &self.hands.moment);
                self.hands.settle(guest);
            } else {
                stays |= self.pass_on(guest);
            }
        }
        self.hands.flush_batch();
        stays
    }

    /// Gives a whole request to the heir, if it can travel. Says whether it stays for now.
    fn pass_on(&mut self, mut guest: Box<Guest>) -> bool {
        if !guest.connection.may_travel() || !guest.connection.turn.unread_whole() {
            self.hands.batch.push(Task::Serve(guest));
            return false;
        }
        let Some(mut guest) = self.hands.hand_over(guest) else { return false };
        // It was whole, so it is again.
        guest.connection.turn.receive(&[], &self.hands.moment);
        self.hands.batch.push(Task::Serve(guest));
        true
    }
}
