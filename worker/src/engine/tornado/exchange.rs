//! What is written down of a request that tornado's own server reads and answers: its row of the scoreboard, its counts, its access line,
//! as the other engines have them.
//!
//! ```text
//!   begin -> whole -> head, sent ... -> answered -> told     its handler has given all of its answer, and that has left
//!                                   \-> left, cut_short      it comes to no end
//!                                   \-> late                 its handler has outlived its time: the client is told without it
//! ```
//!
//! Known fault: what tornado refuses before it has a head, or for its body, it tells nobody: the one is not seen, the other looks like a
//! client that has left.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pyo3::prelude::*;

use crate::access::Memo;
use crate::access::line::{Source, Told, Took};
use crate::clock;
use crate::engine::account::{CLIENT_LEFT, CUT_SHORT, LEFT_EARLY};
use crate::engine::late::{Account, Line};
use crate::engine::places::Places;
use crate::engine::slots::lock;
use crate::engine::{Engine, TALLY_OF_LOOP};
use crate::python::tornado::{self, StartLine};

/// Where requests of tornado's own are written down.
pub(super) struct Desk {
    pub engine: Arc<Engine>,
    pub places: Mutex<Places>,
}

/// One request and its answer.
#[pyclass(name = "exchange", module = "monoceros")]
pub(super) struct Exchange {
    desk: Arc<Desk>,
    /// Method and target.
    request: String,
    client: String,
    /// Its row, if there is one left.
    #[pyo3(get)]
    place: Option<usize>,
    /// When it was whole, or its head was, if that is all there is yet; by [`clock::exactly`].
    arrived: u64,
    /// That of its answer; 0 before there is one.
    status: u16,
    /// How long its handler took, once it has answered.
    took: Option<Duration>,
    /// What its access line tells, if it has one.
    memo: Option<Arc<Memo>>,
}

impl Exchange {
    /// A request whose head has come.
    ///
    /// # Errors
    /// When Python raises.
    pub fn begin(desk: &Arc<Desk>, line: &StartLine, client: String, headers: &Bound<'_, PyAny>) -> PyResult<Exchange> {
        let engine = &desk.engine;
        engine.scoreboard.tally(TALLY_OF_LOOP).requests.add(1);
        let memo = match engine.access {
            None => None,
            Some(_) => Some(Arc::new(tornado::memo(line, headers, client.clone())?)),
        };
        let place = lock(&desk.places).take();
        let request = format!("{} {}", line.0, line.1);
        let arrived = clock::exactly();
        let exchange = Exchange { desk: desk.clone(), request, client, place, arrived, status: 0, took: None, memo };
        exchange.show();
        Ok(exchange)
    }

    /// Has it seen from outside.
    fn show(&self) {
        let Some(place) = self.place else { return };
        let scoreboard = &self.desk.engine.scoreboard;
        scoreboard.use_row(place);
        scoreboard.threads()[place].begin(self.request.as_bytes(), clock::now());
    }

    /// Its row is free.
    fn hide(&mut self) {
        if let Some(place) = self.place.take() {
            self.desk.engine.scoreboard.threads()[place].end();
            lock(&self.desk.places).give_back(place);
        }
    }

    fn age(&self) -> Duration {
        Duration::from_nanos(clock::exactly().saturating_sub(self.arrived))
    }

    /// Has its handler's part counted, if it was not.
    fn count(&mut self) {
        self.hide();
        if self.took.is_none() {
            let took = self.age();
            self.took = Some(took);
            if self.status == 0 {
                self.status = CLIENT_LEFT;
            }
            let tally = self.desk.engine.scoreboard.tally(TALLY_OF_LOOP);
            tally.count_answer(self.status);
            tally.duration.record(took.as_nanos() as u64);
        }
    }

    fn tell(&mut self, why: Option<&'static str>) {
        if let (Some(access), Some(memo)) = (&self.desk.engine.access, self.memo.take()) {
            let took = Took { queue: Duration::ZERO, app: self.took.unwrap_or_default(), total: self.age() };
            access.tell(&Told { source: Source::Memory(&memo), status: self.status, why, took });
        }
    }
}

#[pymethods]
impl Exchange {
    /// Its body is there too: from now on it is its handler that is waited for.
    fn whole(&mut self) {
        self.arrived = clock::exactly();
        self.show();
    }

    /// The head of its answer is out.
    fn head(&mut self, status: u16, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        self.status = status;
        if let Some(memo) = self.memo.as_mut().and_then(Arc::get_mut) {
            memo.answered = tornado::fields(headers)?;
        }
        Ok(())
    }

    /// So many bytes of its content too.
    fn sent(&mut self, count: u64) {
        if let Some(memo) = self.memo.as_mut().and_then(Arc::get_mut) {
            memo.sent += count;
        }
    }

    /// Its handler has given all of the answer.
    fn answered(&mut self) {
        self.count();
    }

    /// And that has left.
    fn told(&mut self) {
        self.tell(None);
    }

    /// Its connection has ended.
    fn left(&mut self) {
        self.count();
        self.tell(Some(LEFT_EARLY));
    }

    /// Its handler has given less or more than it said.
    fn cut_short(&mut self) {
        self.count();
        self.tell(Some(CUT_SHORT));
    }

    /// Its client is told without its handler, which waits in these frames.
    fn late(&mut self, py: Python<'_>, frames: Option<Vec<Bound<'_, PyAny>>>) {
        let stack = tornado::stack(py, frames);
        let answer = if self.status == 0 { "504" } else { "cut" };
        let place = self.place.unwrap_or_default();
        self.hide();
        let account = Account {
            request: self.request.clone(),
            age: self.age().as_millis() as u64,
            client: self.client.clone(),
            answer,
            limit: self.desk.engine.limit(clock::now()),
            memo: self.memo.take(),
        };
        let engine = &self.desk.engine;
        engine.count_late(TALLY_OF_LOOP, &account);
        py.detach(|| engine.write_late(Line::TimedOut, place, (&account, &stack)));
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.hide();
    }
}
