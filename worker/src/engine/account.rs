//! What is written down of each call: on the scoreboard for whoever looks from outside, and in the access log. And where that is.
//!
//! Known fault: the access line of a request that timed out names no referer and no agent, for Python has its head.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use monoceros_shared::log::REQUEST;

use super::Engine;
use super::guest::Guest;
use super::late::{Account, TIMED_OUT};
use super::runner::Runner;
use crate::conn::Peer;
use crate::descriptors;
use crate::turn::Turn;
use crate::wire::{Field, Refusal};

impl Runner {
    /// A thread takes up this connection: for its request, or for the next piece of an answer.
    pub(super) fn begin(&mut self, guest: &mut Guest) {
        self.moment = self.clock.moment();
        let engine = &self.engine;
        if guest.rest.is_none() {
            guest.connection.turn.run(&self.moment);
            guest.began = engine.settings.access.then(Instant::now);
            engine.scoreboard.counters().requests.fetch_add(1, Relaxed);
        }
        let turn = &guest.connection.turn;
        let line = turn.text(turn.head().method.to(turn.head().target));
        engine.scoreboard.threads()[self.index].begin(line, self.moment.now);
    }

    /// It puts it down again.
    pub(super) fn end(&mut self, guest: &mut Guest) {
        self.engine.scoreboard.threads()[self.index].end();
        self.moment = self.clock.moment();
        guest.patience = None;
        let turn = &guest.connection.turn;
        if turn.is_answered() && guest.rest.is_none() {
            self.engine.count_answer(turn.status());
            if let Some(began) = guest.began.take() {
                self.engine.write_access(&guest.connection.peer, turn, began);
            }
        }
    }
}

impl Engine {
    /// Logs to another descriptor from now on.
    pub(super) fn log_to(&self, descriptor: OwnedFd) {
        descriptors::note(&descriptor);
        let before = self.outlet.switch(descriptor);
        // It is closed here, or by the thread that writes to it now; a child that is forked in between keeps a copy.
        descriptors::forget(&*before);
    }

    /// Nobody reads what is printed any more.
    pub fn keep_output(&self) {
        if let Err(error) = self.keeper.begin() {
            slog::error!(self.log, "prints block when the pipes are full"; "why" => %error);
        }
    }

    pub(super) fn count_accepted(&self) {
        let counters = self.scoreboard.counters();
        counters.accepted.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
    }

    pub(super) fn count_closed(&self) {
        self.scoreboard.counters().open.fetch_sub(1, Relaxed);
    }

    /// A request that the application never saw.
    pub(super) fn count_refusal(&self, peer: &Peer, refusal: Refusal) {
        self.scoreboard.counters().refused.fetch_add(1, Relaxed);
        self.count_answer(refusal.status);
        if self.settings.access {
            slog::info!(self.log, "request refused"; "client" => client(peer), "status" => refusal.status, "why" => refusal.why);
        }
    }

    /// A connection whose TLS could not go on. It is a stranger's doing as a rule, and some do nothing else.
    pub(super) fn note_failure(&self, peer: &Peer, why: &str) {
        slog::debug!(self.log, "TLS failed"; "client" => client(peer), "why" => why);
    }

    /// A request whose client was told without the application, by the watch.
    pub(super) fn count_late(&self, late: &Account) {
        self.count_answer(TIMED_OUT);
        if self.settings.access {
            let (method, path) = late.request.split_once(' ').unwrap_or((&late.request, "-"));
            slog::info!(self.log, "{}", REQUEST;
                "client" => &late.client,
                "method" => method,
                "path" => path,
                "status" => TIMED_OUT,
                "bytes" => 0,
                "ms" => late.age as f64,
                "referer" => "-",
                "agent" => "-",
            );
        }
    }

    fn count_answer(&self, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(responses) = self.scoreboard.counters().responses.get(class) {
            responses.fetch_add(1, Relaxed);
        }
    }

    fn write_access(&self, peer: &Peer, turn: &Turn, began: Instant) {
        let text = |span| String::from_utf8_lossy(turn.text(span)).into_owned();
        let field = |name: &[u8]| {
            let named = |field: &&Field| turn.text(field.name).eq_ignore_ascii_case(name);
            turn.head().fields.iter().find(named).map_or_else(|| "-".into(), |field| text(field.value))
        };
        slog::info!(self.log, "{}", REQUEST;
            "client" => client(peer),
            "method" => text(turn.head().method),
            "path" => text(turn.head().target),
            "status" => turn.status(),
            "bytes" => turn.content_sent(),
            "ms" => began.elapsed().as_micros() as f64 / 1000.0,
            "referer" => field(b"referer"),
            "agent" => field(b"user-agent"),
        );
    }
}

fn client(peer: &Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.ip().to_string(),
        Peer::Unix => "unix".into(),
    }
}
