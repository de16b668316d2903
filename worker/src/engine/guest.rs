//! A connection and what the engine keeps with it.

use std::time::{Duration, Instant};

use monoceros_shared::config::Timeouts;

use super::slots::Key;
use crate::access::line::Took;
use crate::conn::{Connection, Flushed};
use crate::python::Rest;
use crate::turn::Patience;

/// How long a client may go on sending to a connection that we have ended, in milliseconds. Less lets a reset overtake the
/// last answer to a slow client; more lets clients that never close hold descriptors.
pub const LINGER: u64 = 2_000;

/// A connection and what the engine keeps with it.
pub struct Guest {
    /// Its name.
    pub key: Key,
    /// The connection itself.
    pub connection: Box<Connection>,
    /// What of the application's answer is still to be pulled.
    pub rest: Option<Rest>,
    /// When patience with its client ends.
    pub deadline: u64,
    /// When the body that it sends began.
    pub body_began: u64,
    /// With what it is waited for; `None` when that begins anew.
    pub patience: Option<Patience>,
    /// Our side is ended, and what the client still sends is thrown away.
    pub lingering: bool,
    /// The poll reports on it. One that is answered and closed at once never needs that.
    pub is_polled: bool,
    /// The worker drains: this client has a moment for one more request.
    pub last_call: bool,
    /// When its request was whole, by [`crate::clock::exactly`]; 0 when it has none that is not counted yet.
    pub arrived: u64,
    /// How long its request takes, from when it is whole until it is told of, if anybody wants to know.
    pub times: Option<Times>,
    /// Why its connection is about to end, where that is not seen from it.
    pub why: Option<&'static str>,
}

/// A guest without its connection, which is with the application.
pub struct Absent {
    key: Key,
    deadline: u64,
    body_began: u64,
    patience: Option<Patience>,
    is_polled: bool,
    last_call: bool,
    arrived: u64,
    times: Option<Times>,
}

impl Absent {
    /// The guest again.
    pub fn join(self, connection: Box<Connection>) -> Box<Guest> {
        let Absent { key, deadline, body_began, patience, is_polled, last_call, arrived, times } = self;
        Box::new(Guest {
            key,
            connection,
            rest: None,
            deadline,
            body_began,
            patience,
            lingering: false,
            is_polled,
            last_call,
            arrived,
            times,
            why: None,
        })
    }
}

/// The stations of a request.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    arrived: Instant,
    began: Option<Instant>,
    call: Option<Instant>,
    app: Duration,
}

impl Times {
    /// It has been whole for so long, here or elsewhere.
    pub fn after(age: Duration) -> Times {
        let now = Instant::now();
        Times { arrived: now.checked_sub(age).unwrap_or(now), began: None, call: None, app: Duration::ZERO }
    }

    /// A call begins.
    pub fn begin(&mut self) {
        let now = Instant::now();
        self.began.get_or_insert(now);
        self.call = Some(now);
    }

    /// The call is over.
    pub fn end(&mut self) {
        self.app += self.call.take().map_or(Duration::ZERO, |call| call.elapsed());
    }

    /// What they come to now.
    pub fn took(&self) -> Took {
        Took {
            queue: self.began.map_or_else(|| self.arrived.elapsed(), |began| began - self.arrived),
            app: self.app,
            total: self.arrived.elapsed(),
        }
    }
}

impl Guest {
    /// A new connection.
    pub fn new(key: Key, connection: Connection) -> Box<Guest> {
        Box::new(Guest {
            key,
            connection: Box::new(connection),
            rest: None,
            deadline: 0,
            body_began: 0,
            patience: None,
            lingering: false,
            is_polled: false,
            last_call: false,
            arrived: 0,
            times: None,
            why: None,
        })
    }

    /// Sends what is ready, for whoever settles it at once. The end of the connection goes with it, if nothing is to come before that.
    pub fn flush(&mut self) -> Flushed {
        if self.rest.is_none() { self.connection.flush_and_go_on() } else { self.connection.flush() }
    }

    /// The connection, to be lent, and what is left. It has no rest, and goes on.
    pub fn part(self) -> (Box<Connection>, Absent) {
        let Guest { key, connection, deadline, body_began, patience, is_polled, last_call, arrived, times, .. } = self;
        (connection, Absent { key, deadline, body_began, patience, is_polled, last_call, arrived, times })
    }

    /// Sets the deadline for what it waits for now. A head has one deadline for all its bytes; a body and an answer have a
    /// new one with each piece.
    pub fn wait(&mut self, patiences: &Patiences, now: u64) {
        if self.lingering || self.last_call {
            return;
        }
        let patience = self.connection.patience();
        // An edge alone is no piece: a client that takes nothing may well send.
        let renews = self.connection.has_moved() && matches!(patience, Patience::Body | Patience::Write);
        if renews || self.patience != Some(patience) {
            if patience == Patience::Body && self.patience != Some(patience) {
                self.body_began = now;
            }
            self.patience = Some(patience);
            self.deadline = now + patiences.of(patience);
            if patience == Patience::Body {
                self.deadline = self.deadline.min(patiences.pace(self.body_began, self.connection.turn.body_length()));
            }
        }
    }
}

/// The config's timeouts as the engine uses them, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Patiences {
    head: u64,
    body: u64,
    keepalive: u64,
    write: u64,
    /// Bytes of a body in a second, at least.
    body_rate: u64,
}

impl Patiences {
    /// Those of this config.
    pub fn new(timeouts: &Timeouts, body_rate: u64) -> Patiences {
        let milliseconds = |duration: Duration| duration.as_millis() as u64;
        Patiences {
            head: milliseconds(timeouts.head),
            body: milliseconds(timeouts.body),
            keepalive: milliseconds(timeouts.keepalive),
            write: milliseconds(timeouts.write),
            body_rate,
        }
    }

    /// How long.
    pub fn of(&self, patience: Patience) -> u64 {
        match patience {
            Patience::Head => self.head,
            Patience::Body => self.body,
            Patience::Keepalive => self.keepalive,
            Patience::Write => self.write,
        }
    }

    /// How long between two requests, in seconds.
    pub fn keepalive_seconds(&self) -> f64 {
        self.keepalive as f64 / 1000.0
    }

    /// Until when a body is fast enough that began then and of which so much has come. The time for one piece of it is for nothing.
    fn pace(&self, began: u64, length: u64) -> u64 {
        match length.saturating_mul(1000).checked_div(self.body_rate) {
            Some(earned) => began.saturating_add(self.body).saturating_add(earned),
            None => u64::MAX,
        }
    }

    /// The shortest.
    pub fn shortest(&self) -> u64 {
        self.head.min(self.body).min(self.keepalive).min(self.write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_waited_in_another_worker_has_waited_all_the_same() {
        let waited = Duration::from_millis(50);
        let mut times = Times::after(waited);
        times.begin();
        assert!(times.took().queue >= waited && times.took().total >= waited);
    }
}
