//! Requests beside each other on one FastCGI connection: each gets a slot, and is served as if it had come alone.
//!
//! ```text
//!   home in its slot, or at work   an edge -> settle -> reads for all, writes what is owed
//!   home with the application      an edge -> whoever leads does so in its place
//!                                  -> new branches are settled; branches that there is something for, or room, are woken
//! ```

use std::sync::Arc;

use super::guest::Guest;
use super::runner::Runner;
use super::slots::{Room, lock};
use super::{Engine, Task};
use socket2::Socket;

use crate::conn::trunk::Tended;
use crate::conn::{Connection, Edge, Place, Voice};
use crate::turn::Next;

impl Engine {
    /// Has whoever leads look at the trunk of the home in this slot.
    fn call_to_trunk(&self, index: u32) {
        lock(&self.trunks).push(index);
        self.wake_leader();
    }
}

impl Runner {
    /// Looks at the trunks that somebody has called to.
    pub(super) fn look_at_trunks(&mut self) {
        let called = std::mem::take(&mut *lock(&self.engine.trunks));
        called.into_iter().for_each(|index| self.stand_in_at_trunk(index as usize));
    }

    /// The connection in this slot is with somebody else, who does not look at its edge before the application has answered.
    pub(super) fn stand_in_at_trunk(&mut self, index: usize) {
        let voice = u32::try_from(index).ok().and_then(|index| self.engine.slots.voice(index));
        let Some(Voice { socket, place: Some(place), .. }) = voice else { return };
        loop {
            let tended = place.trunk.tend(&socket, &mut self.scratch);
            self.tend_branches(&place, &socket);
            if tended != Tended::More {
                return;
            }
        }
    }

    /// Sees to the requests beside this one, if it is a home.
    pub(super) fn tend_trunk(&mut self, guest: &mut Guest) {
        if guest.connection.is_trunk_quiet(guest.key.index) {
            return;
        }
        let Some(place) = guest.connection.place().filter(|place| place.branch.is_none()).cloned() else { return };
        let (engine, index) = (&self.engine, guest.key.index);
        place.trunk.settle(index, || {
            let engine = Arc::downgrade(engine);
            Box::new(move || engine.upgrade().into_iter().for_each(|engine| engine.call_to_trunk(index)))
        });
        let socket = guest.connection.voice().socket;
        loop {
            let tended = guest.connection.tend_trunk(&mut self.scratch);
            self.tend_branches(&place, &socket);
            if tended != Tended::More {
                return;
            }
        }
    }

    /// The web server does not want the answer any more: the application is to close it, and no more than its end is said.
    /// Says whether that is so.
    pub(super) fn heed_abort(&mut self, guest: &mut Guest) -> bool {
        if !guest.connection.is_aborted() {
            return false;
        }
        let is_waiting = guest.connection.turn.next() == Next::Call;
        if let Some(rest) = guest.rest.take() {
            self.batch.push(Task::Abandon(rest));
        } else if !is_waiting {
            return false;
        }
        guest.connection.turn.abort();
        true
    }

    /// Settles new branches, and those that there is something for.
    fn tend_branches(&mut self, place: &Place, socket: &Arc<Socket>) {
        while let Some(number) = place.trunk.newborn() {
            let Some(key) = self.engine.slots.enter(Room::Usual) else {
                place.trunk.overload(socket, number);
                continue;
            };
            place.trunk.place(number, key.index);
            let guest = Guest::new(key, Connection::branch(place, number, socket.clone()));
            self.engine.slots.know(&guest);
            lock(&self.engine.deadlines).watch(key, u64::MAX, self.moment.now);
            self.settle(guest);
        }
        let edge = Edge { readable: true, hangup: false, writable: true };
        for index in place.trunk.called() {
            if let Some(guest) = self.engine.slots.wake(index as usize, edge) {
                self.settle(guest);
            }
        }
    }

    /// A branch is over. If it was the last the home may be waiting for that.
    pub(super) fn leave_trunk(&mut self, guest: &Guest) {
        let Some(place) = guest.connection.place() else { return };
        let Some(number) = place.branch else {
            // Without the socket there is nothing more to come.
            place.trunk.end_of_input();
            let edge = Edge { readable: true, hangup: true, writable: true };
            let woken: Vec<_> = place
                .trunk
                .called()
                .into_iter()
                .filter_map(|index| self.engine.slots.wake(index as usize, edge))
                .collect();
            woken.into_iter().for_each(|guest| self.settle(guest));
            return;
        };
        if guest.connection.turn.is_cut() {
            place.trunk.end_cut(&guest.connection.voice().socket, Some(number));
        }
        let home = place.trunk.leave(number);
        let edge = Edge { readable: false, hangup: false, writable: true };
        if let Some(home) = home.and_then(|index| self.engine.slots.wake(index as usize, edge)) {
            self.settle(home);
        }
    }
}
