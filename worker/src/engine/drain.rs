//! How a worker leaves: the listeners first, then what waits in them, then every connection, to the heir or to its end.
//!
//! ```text
//!   at a request boundary, with an heir:   handed over, nobody notices
//!   without one:                           a moment for one more request, which is answered with a close; to cut it off at
//!                                          once would race with a request on its way
//!   in the middle of a request:            finished first
//! ```
//!
//! Two clocks bound it. The worker's own ends a tenth of `timeouts.drain` before it is over, 2 s at most: then who still waits is told,
//! by a 504 or the cut. Half of that later the worker is gone. The supervisor's kill at `timeouts.drain` is for a worker whose clock
//! has stopped.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use monoceros_shared::link::fd::{Carrier, Taken};
use monoceros_shared::link::{FromWorker, HEIR, INHERITANCE, LOG};
use monoceros_shared::tls::Parcel;

use super::Engine;
use super::accept::Reception;
use super::guest::{Guest, LINGER};
use super::heir::Heir;
use super::leader::{Leader, NO_ROOM_PAUSE};
use super::listen::Listener;
use super::runner::Runner;
use super::slots::{Room, lock};
use crate::clock;
use crate::tls::Terms;

/// How much sooner than the supervisor's kill a worker ends its drain by itself, at most. Less, and a slow machine is killed before its
/// clients are told; more takes from the time that a request was promised.
const MARGIN_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// The drain has begun, or the end.
    pub(super) fn begin_to_end(&self) {
        let patience = self.settings.drain.saturating_sub(self.drain_margin());
        let end = clock::now() + patience.as_millis() as u64;
        if self.drain_ends.compare_exchange(0, end, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            self.watch.wake();
        }
    }

    /// Tells the supervisor that nobody is accepted here any more.
    pub(super) fn say_left(&self) {
        self.left.store(true, Ordering::Release);
        (self.say)(FromWorker::Left);
    }

    /// Whether the supervisor was told so.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// A tenth of `timeouts.drain`. The supervisor counts from when it said the word, we from when we heard it.
    fn drain_margin(&self) -> Duration {
        (self.settings.drain / 10).min(MARGIN_MAX)
    }

    /// When every client that still waits is told that nothing comes, if a drain has begun.
    pub(super) fn drain_ends(&self) -> Option<u64> {
        let end = self.drain_ends.load(Ordering::Acquire);
        (end != 0).then_some(end)
    }

    /// When the worker exits whatever still runs in it: half way from there to the kill.
    pub(super) fn leaves_at(&self) -> Option<u64> {
        self.drain_ends().map(|end| end + (self.drain_margin() / 2).as_millis() as u64)
    }
}

impl Runner {
    /// Takes what the supervisor has sent: an heir, an inheritance, what to log to, or where its words are from now on. What follows
    /// from its end is decided elsewhere (see the worker's `succession`).
    pub(super) fn take_delivery(&mut self, leader: &mut Leader) -> io::Result<()> {
        loop {
            let Some(carrier) = &leader.carrier else { return Ok(()) };
            match carrier.try_receive() {
                Ok(Taken::Packet((name, Some(log)))) if name == LOG => self.engine.log_to(log),
                Ok(Taken::Packet((name, Some(socket)))) => self.take_carrier(leader, &name, socket),
                Ok(Taken::Packet((name, None))) => self.engine.succession.hear(&name),
                Ok(Taken::Nothing) => return Ok(()),
                Ok(Taken::End) => {
                    self.part_from_supervisor(leader);
                    return Ok(());
                }
                // The packet is used up; what came with it is closed, which its other end sees.
                Err(why) if matches!(why.kind(), ErrorKind::Other | ErrorKind::InvalidData) => self.miss_delivery(&why),
                Err(why) => return Err(why),
            }
        }
    }

    fn take_carrier(&mut self, leader: &mut Leader, name: &str, socket: OwnedFd) {
        if let Some(listener) = Parcel::listener(name) {
            return self.renew_terms(leader, listener, socket);
        }
        let taken = Carrier::adopt(socket).and_then(|carrier| match name {
            HEIR => {
                // One is enough, and the first may have connections of ours on their way.
                let mut heir = lock(&self.engine.heir);
                if heir.is_none() {
                    *heir = Some(Heir::new(carrier, &self.engine.registry)?);
                }
                Ok(())
            }
            INHERITANCE => {
                leader.inheritances.add(carrier, &self.engine.registry)?;
                self.engine.givers.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
            _ => Err(io::Error::other(format!("this worker does not know what {name} is"))),
        });
        if let Err(why) = taken {
            self.miss_delivery(&why);
        }
    }

    /// Without an heir our clients are served here to their end, and without an inheritance the giver's are there.
    fn miss_delivery(&self, why: &io::Error) {
        slog::warn!(self.engine.log, "connections are not handed over"; "why" => %why);
    }

    /// The certificates of a listener were renewed: connections from now on are shown them.
    fn renew_terms(&mut self, leader: &mut Leader, name: &str, parcel: OwnedFd) {
        let settings = &self.engine.settings;
        let index = settings.listeners.iter().position(|known| known == name);
        let sealed = settings.tls.iter().find(|sealed| sealed.address.to_string() == name);
        let (Some(index), Some(sealed)) = (index, sealed) else { return };
        match Terms::open(sealed, parcel) {
            Ok(terms) => {
                if let Some(listener) = leader.listeners.get_mut(index) {
                    listener.terms = terms;
                }
            }
            Err(why) => {
                slog::warn!(self.engine.log, "certificates stay as they were"; "listener" => name, "why" => why)
            }
        }
    }

    /// Begins to leave.
    pub(super) fn drain(&mut self, leader: &mut Leader) -> io::Result<()> {
        // An heir was sent before the word to drain, but its event may come after it.
        self.take_delivery(leader)?;
        self.engine.leaving.store(true, Ordering::Release);
        if !self.engine.has_heir() {
            self.engine.end();
        }
        leader.part()?;
        for guest in self.engine.slots.take_parked() {
            self.settle(guest);
        }
        self.empty_listeners(leader)
    }

    /// Takes what siblings have offered, and what waits in the listeners that were left, the last first, and closes each when nobody waits in
    /// it any more. When there is no room for more connections it goes on in a while.
    pub(super) fn empty_listeners(&mut self, leader: &mut Leader) -> io::Result<()> {
        if !self.take_offers(leader) {
            leader.resume = Some(self.moment.now + NO_ROOM_PAUSE);
            return Ok(());
        }
        if self.engine.is_native.load(Ordering::Acquire) {
            // Whoever has them says when he has left them.
            leader.listeners.drain(..).for_each(Listener::close);
            return Ok(());
        }
        // A worker that was never adopted leaves what waits to those that were.
        if !self.engine.adopted.load(Ordering::Acquire) {
            leader.listeners.drain(..).for_each(Listener::close);
        }
        while let Some(last) = leader.listeners.len().checked_sub(1) {
            match self.accept_one(leader, last, Room::Last)? {
                Reception::Client => {}
                Reception::Nobody => leader.listeners.drain(last..).for_each(Listener::close),
                Reception::NoRoom => {
                    leader.resume = Some(self.moment.now + NO_ROOM_PAUSE);
                    return Ok(());
                }
            }
        }
        self.engine.drained.store(true, Ordering::SeqCst);
        self.engine.say_left();
        self.engine.end_if_empty();
        Ok(())
    }

    /// The drain has lasted long enough: every client whose request the application does not have is told now.
    pub(super) fn end_drain(&mut self) {
        self.engine.end();
        for guest in self.engine.slots.take_parked() {
            self.expire(guest);
        }
    }

    /// No other heir has come in the place of one that is gone: what is here ends here.
    pub(super) fn give_up_heir(&mut self) {
        if self.engine.awaits_heir().is_some() {
            self.engine.end();
            for guest in self.engine.slots.take_parked() {
                self.settle(guest);
            }
        }
    }

    /// A client between two requests whose connection stays here has a moment for one more.
    pub(super) fn give_last_call(&mut self, guest: &mut Guest) {
        if guest.connection.turn.is_idle() && !guest.last_call && !guest.lingering {
            guest.last_call = true;
            guest.deadline = self.moment.now + LINGER;
            lock(&self.engine.deadlines).watch(guest.key, guest.deadline, self.moment.now);
        } else if !guest.connection.turn.is_idle() {
            guest.last_call = false;
        }
    }
}
