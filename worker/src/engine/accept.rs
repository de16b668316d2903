//! How clients come in: one after the other from each listener, as long as there is room, and siblings that have more of it are asked first.

use std::io;

use super::guest::Guest;
use super::leader::Leader;
use super::listen::Accepted;
use super::runner::Runner;
use super::slots::Room;
use crate::conn::Connection;
use crate::turn::{Farewell, Seat};

/// How long accepting pauses when descriptors or memory have run out, in milliseconds. Less spins, more makes clients wait
/// though there is room again.
pub(super) const EXHAUSTED_PAUSE: u64 = 100;

/// Connections taken from each listener beyond `limits.connections_max` when that is reached. Fewer leaves clients to a wake
/// that nobody gets while other workers have room; more makes the limit none.
const OVERFLOW_MAX: usize = 16;

/// How long the log is spared a repeated complaint, in milliseconds.
const COMPLAINT_PAUSE: u64 = 10_000;

/// What an accept came to for the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// One client more; another may wait.
    Client,
    /// Nobody waits.
    Nobody,
    /// Somebody may wait, but there is no room.
    NoRoom,
}

impl Runner {
    /// Takes those who wait in this listener, some at a time.
    pub(super) fn accept(&mut self, leader: &mut Leader, index: usize) -> io::Result<()> {
        if index >= leader.listeners.len() {
            return Ok(());
        }
        for _ in 0..self.engine.settings.accept_max {
            if self.is_ahead() {
                return self.step_aside(leader);
            }
            if self.accept_one(leader, index, Room::Usual)? != Reception::Client {
                break;
            }
            if !self.engine.slots.has_room() {
                return self.fill_up(leader);
            }
        }
        Ok(())
    }

    /// Leaves the listeners because there is no room for another connection. The wake that was consumed for what waits just now
    /// reaches no other worker, so some of that is taken still.
    fn fill_up(&mut self, leader: &mut Leader) -> io::Result<()> {
        self.pause(leader, "the worker holds limits.connections_max connections")?;
        for index in 0..leader.listeners.len() {
            for _ in 0..OVERFLOW_MAX {
                if self.accept_one(leader, index, Room::Last)? != Reception::Client {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Takes a waiting connection and reads what it sent already.
    pub(super) fn accept_one(&mut self, leader: &mut Leader, index: usize, room: Room) -> io::Result<Reception> {
        let Some(key) = self.engine.slots.enter(room) else {
            self.pause(leader, "the worker holds limits.connections_max connections")?;
            return Ok(Reception::NoRoom);
        };
        let (socket, peer) = match leader.listeners[index].accept() {
            Accepted::Client(socket, peer) => (socket, peer),
            Accepted::Nobody => {
                self.engine.slots.leave(key);
                return Ok(Reception::Nobody);
            }
            Accepted::Exhausted(error) => {
                self.engine.slots.leave(key);
                self.pause(leader, &error.to_string())?;
                return Ok(Reception::NoRoom);
            }
        };
        let mut turn = Seat::new(self.engine.settings.limits.clone(), 0);
        self.seat(&mut turn);
        let mut connection = Connection::new(socket, peer, index, turn, self.engine.settings.waits);
        if !self.engine.settings.doors.let_in(&mut connection) {
            self.engine.slots.leave(key);
            self.keep_out(leader, &connection);
            return Ok(Reception::Client);
        }
        if let Some(terms) = &leader.listeners[index].terms {
            connection = connection.sealed(terms).map_err(io::Error::other)?;
        }
        let mut guest = Guest::new(key, connection);
        self.engine.slots.know(&guest);
        // The requests of a trunk are told apart while one of them is with the application, so its edges are wanted from the start.
        if guest.connection.place().is_some()
            && let Err(error) = self.engine.wait_for(&mut guest, self.moment.now)
        {
            self.engine.slots.leave(key);
            self.pause(leader, &error.to_string())?;
            return Ok(Reception::NoRoom);
        }
        self.engine.count_accepted();
        self.settle(guest);
        Ok(Reception::Client)
    }

    /// A stranger, where only some are let in (`allow`, `proxy_protocol`): the connection is closed before a byte of it is read.
    fn keep_out(&mut self, leader: &mut Leader, connection: &Connection) {
        connection.say(Farewell::Close);
        if self.may_complain(leader) {
            slog::warn!(self.engine.log, "a connection was refused: its listener lets only known peers in";
                "client" => %connection.peer, "listener" => &self.engine.settings.listeners[connection.listener]);
        }
    }

    /// Stops to accept for a moment, for a listener that stays in the poll would wake us at once and for nothing.
    fn pause(&mut self, leader: &mut Leader, why: &str) -> io::Result<()> {
        if leader.draining {
            return Ok(());
        }
        leader.part()?;
        self.rest_a_while(leader, "cannot accept connections: they wait in the backlog", why);
        Ok(())
    }

    /// As `pause`, for connections that an old worker hands over.
    pub(super) fn pause_inheriting(&mut self, leader: &mut Leader, why: &str) {
        self.rest_a_while(leader, "cannot take connections over: they wait", why);
    }

    /// Whether the log has been spared for long enough.
    fn may_complain(&self, leader: &mut Leader) -> bool {
        let may = leader.complained.is_none_or(|at| at + COMPLAINT_PAUSE <= self.moment.now);
        if may {
            leader.complained = Some(self.moment.now);
        }
        may
    }

    fn rest_a_while(&mut self, leader: &mut Leader, what: &'static str, why: &str) {
        leader.resume = Some(self.moment.now + EXHAUSTED_PAUSE);
        if self.may_complain(leader) {
            slog::warn!(self.engine.log, "{}", what; "why" => why);
        }
    }
}
