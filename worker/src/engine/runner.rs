//! A runner: one thread's share of the engine, but for the calls into Python.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use monoceros_shared::scoreboard::Tally;

use super::guest::{Guest, LINGER};
use super::leader::EVENTS_MAX;
use super::slots::Parking;
use super::{Engine, Mode, Task};
use crate::clock::{self, Clock};
use crate::conn::{Edge, Flushed, Standing};
use crate::lease::Lease;
use crate::turn::{Farewell, Moment, Seat, Turn};

/// Bytes read at once. Less costs large uploads more reads, more costs each thread memory.
const SCRATCH: usize = 64 * 1024;

/// Requests for static files that one connection is answered in a row. More lets a client that sends many at once keep the others
/// waiting, fewer costs it more looks at the poll.
const FILES_MAX: usize = 16;

/// Turns without a connection that are kept for others: as many as one look at the poll can ask for. Fewer costs the heap more work, more
/// is memory that is never used.
const SPARES_MAX: usize = EVENTS_MAX;

/// The number of a runner that makes no calls.
pub(super) const HANDS: usize = usize::MAX;

/// One thread's share of the engine.
pub struct Runner {
    pub(super) engine: Arc<Engine>,
    /// Which of the worker's threads this is, from 0; or the place of the call that it is at, where there are greenlets.
    pub(super) index: usize,
    /// Which tally its thread counts in.
    tally: usize,
    /// The last exact time that is known, by [`crate::clock::exactly`]: of the last end of a call, or of the last wait.
    pub(super) stamp: u64,
    /// The lease of its calls; `None` for the watch's hands, which make none.
    lease: Option<&'static Lease>,
    pub(super) clock: Clock,
    pub(super) moment: Moment,
    pub(super) scratch: Box<[u8]>,
    /// Work found while leading, on its way to the queue.
    pub(super) batch: Vec<Task>,
    /// Turns of connections that are idle or have ended, for those that have something to do.
    #[expect(clippy::vec_box, reason = "they go from seat to seat in their boxes: a turn is much to be moved")]
    spares: Vec<Box<Turn>>,
}

impl Runner {
    /// The runner of thread `index`.
    pub fn new(engine: Arc<Engine>, index: usize) -> Runner {
        let mut clock = Clock::new();
        let moment = clock.moment();
        let scratch = vec![0; SCRATCH].into();
        let lease = (index != HANDS).then(|| engine.watch.lease(index));
        let (tally, stamp) = (index, clock::exactly());
        Runner { engine, index, tally, stamp, lease, clock, moment, scratch, batch: Vec::new(), spares: Vec::new() }
    }

    /// What its thread counts.
    pub(super) fn tally(&self) -> &Tally {
        self.engine.scoreboard.tally(self.tally)
    }

    /// Has it go on with the call at this place.
    pub(super) fn go_to(&mut self, place: usize) {
        self.index = place;
        self.lease = Some(self.engine.watch.lease(place));
    }

    /// The lease of its calls.
    pub(super) fn lease(&self) -> &'static Lease {
        self.lease.expect("the watch's hands make no calls")
    }

    /// Work that stands ready, without waiting.
    pub fn pop(&self) -> Option<Task> {
        let task = self.engine.pop()?;
        self.hand_on();
        Some(task)
    }

    /// Leads or rests until there is work; `None` when the worker is done. Call it without the GIL.
    pub fn await_task(&mut self) -> Option<Task> {
        let engine = self.engine.clone();
        loop {
            if let Some(task) = self.pop() {
                return Some(task);
            }
            if engine.mode_is(Mode::Done) {
                return None;
            }
            let Some(mut leader) = engine.try_lead() else {
                match engine.pop_later() {
                    Some(task) => return Some(task),
                    None => {
                        engine.relieve_deputy();
                        engine.rest();
                    }
                }
                continue;
            };
            engine.led.store(true, Ordering::Release);
            // Long answers go on between two looks at the poll.
            let led = self.lead(&mut leader, engine.has_later().then_some(Duration::ZERO));
            engine.led.store(false, Ordering::Release);
            drop(leader);
            if let Err(error) = led {
                engine.break_off(&error);
            }
            if let Some(task) = self.pop().or_else(|| engine.pop_later()) {
                return Some(task);
            }
        }
    }

    /// While calls are known to block, whoever takes work leaves no other work behind unattended.
    fn hand_on(&self) {
        if self.engine.watch.is_eager() && self.engine.wants_runner() {
            self.engine.wake_idle();
        }
    }

    /// Goes on with a connection whose turn the application does not have: reads, sends, ends it, puts it down, or puts it
    /// into the batch for the application.
    pub(super) fn settle(&mut self, mut guest: Box<Guest>) {
        let mut files = 0;
        loop {
            self.seat(&mut guest.connection.turn);
            if guest.connection.place().is_some() {
                self.tend_trunk(&mut guest);
                self.heed_abort(&mut guest);
            }
            if guest.lingering {
                if !guest.connection.discard(&mut self.scratch) {
                    return self.close(guest, Farewell::Close);
                }
                self.engine.call_again_if_more(&guest);
            } else if guest.rest.is_some() {
                // The application is asked for the next piece when the last one has left, and for nothing else before.
                match guest.connection.flush() {
                    Flushed::All => return self.engine.queue_later(Task::Serve(guest)),
                    Flushed::Full => {}
                    Flushed::Gone => return self.close(guest, Farewell::Reset),
                }
            } else {
                match self.advance(&mut guest) {
                    Standing::Refused => continue,
                    Standing::Edge => self.engine.call_again_if_more(&guest),
                    Standing::Running => unreachable!("a turn without a rest is not with the application"),
                    Standing::Call => {
                        self.arrive(&mut guest);
                        if !self.answer_with_file(&mut guest) {
                            guest.deadline = guest.arrived / clock::MILLISECOND + self.engine.settings.wait.0;
                            return self.batch.push(Task::Serve(guest));
                        }
                        files += 1;
                        if files < FILES_MAX {
                            continue;
                        }
                        self.engine.call_again(&guest);
                    }
                    Standing::End(Farewell::Linger) => self.linger(&mut guest),
                    Standing::End(farewell) => return self.close(guest, farewell),
                }
            }
            guest = match self.park(guest) {
                Parking::Parked => return,
                Parking::Woken(guest) => guest,
            };
        }
    }

    /// Moves its bytes, and tells of what ended by that.
    fn advance(&mut self, guest: &mut Guest) -> Standing {
        if guest.times.is_some() && guest.connection.turn.is_answered() {
            // Told of before the turn goes on to the next request.
            match guest.connection.flush() {
                Flushed::All => self.tell_answer(guest),
                Flushed::Full => {}
                Flushed::Gone => return Standing::End(Farewell::Reset),
            }
        }
        let standing = guest.connection.advance(&mut self.scratch, &self.moment);
        if let Some(why) = guest.connection.take_failure() {
            self.engine.note_failure(&guest.connection.peer, &why);
        }
        if let Some(refusal) = guest.connection.turn.take_refusal() {
            self.count_refusal(guest, refusal);
        }
        if guest.connection.place().is_some() {
            self.tend_trunk(guest);
        }
        match standing {
            Standing::End(_) if guest.connection.is_branch() => Standing::End(Farewell::Close),
            other => other,
        }
    }

    fn park(&mut self, mut guest: Box<Guest>) -> Parking {
        let key = guest.key;
        let is_leaving = self.engine.is_leaving();
        if is_leaving {
            match self.hand_over(guest) {
                None => return Parking::Parked,
                Some(stays) => guest = stays,
            }
            if guest.connection.turn.is_last() {
                self.give_last_call(&mut guest);
            }
        }
        guest.wait(&self.engine.settings.patiences, self.moment.now);
        if !guest.is_polled
            && !guest.connection.is_branch()
            && let Err(error) = self.engine.wait_for(&mut guest, self.moment.now)
        {
            slog::warn!(self.engine.log, "cannot wait for a client: its connection is closed"; "why" => %error);
            self.close(guest, Farewell::Reset);
            return Parking::Parked;
        }
        if !is_leaving {
            let turn = guest.connection.turn.rise();
            self.spare(turn);
        }
        let parking = self.engine.slots.park(guest);
        if matches!(parking, Parking::Parked) && !is_leaving && self.engine.is_leaving() {
            // The drain began between our look and the slot, and may have passed by it while the connection was still ours.
            return self.engine.slots.wake(key.index as usize, Edge::default()).map_or(parking, Parking::Woken);
        }
        parking
    }

    /// Gives a connection that has something to do its turn, with memory that another has left.
    pub(super) fn seat(&mut self, seat: &mut Seat) {
        if seat.is_vacant()
            && let Some(turn) = self.spares.pop()
        {
            seat.sit(turn);
        }
    }

    /// Keeps a turn that is nobody's.
    fn spare(&mut self, turn: Option<Box<Turn>>) {
        if self.spares.len() < SPARES_MAX {
            self.spares.extend(turn);
        }
    }

    pub(super) fn linger(&mut self, guest: &mut Guest) {
        guest.connection.say(Farewell::Linger);
        guest.lingering = true;
        guest.deadline = self.moment.now + LINGER;
        // What came before the shutdown is thrown away by the next edge or this look, whichever is first.
        guest.connection.wake(Edge { readable: true, ..Default::default() });
    }

    /// Ends a connection for good.
    pub(super) fn close(&mut self, mut guest: Box<Guest>, farewell: Farewell) {
        if let Some(rest) = guest.rest.take() {
            self.batch.push(Task::Abandon(rest));
        }
        self.tell_end(&mut guest);
        // To close its only descriptor ends a connection and takes it out of the poll; children that the application forks have none.
        if farewell == Farewell::Close && guest.connection.is_plain() {
            guest.connection.let_go();
        } else {
            self.engine.deregister(&mut guest);
            guest.connection.say(farewell);
        }
        if guest.connection.place().is_some() {
            self.leave_trunk(&guest);
        }
        self.forget(guest);
    }

    /// Lets go of a connection without a word: it has ended, or goes on elsewhere. It is out of the poll.
    pub(super) fn forget(&mut self, mut guest: Box<Guest>) {
        let key = guest.key;
        if !guest.connection.is_branch() {
            self.engine.count_closed();
            let turn = guest.connection.turn.vacate();
            self.spare(turn);
        }
        drop(guest);
        self.engine.slots.leave(key);
        self.engine.end_if_empty();
    }

    /// Puts what was found outside of leading into the queue.
    pub(super) fn flush_batch(&mut self) {
        if !self.batch.is_empty() {
            let surplus = self.engine.queue(self.batch.drain(..));
            surplus.into_iter().for_each(|task| self.turn_away(task));
        }
    }
}
