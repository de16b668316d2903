//! From what the application returned to the turn (PEP 3333, Buffering and Streaming).
//!
//! ```text
//!   list or tuple, small ----------------------------------> all at once, length known
//!   FileWrapper of a plain file ---------------------------> sendfile
//!   anything else: Items -- one item a pull -- the end ----> finish
//!                                                              | close() still to be called, when all has left
//!                                                            Close
//! ```
//!
//! * Every item goes to the client before the next is asked for, or at the latest while the next is made (see `conn::held`). The head goes with
//!   the first that is not empty.
//! * `close()` is called once, whatever happens: the end, an error, a surplus, an answer without content, a client gone.
//! * An exception, SystemExit and KeyboardInterrupt among them, fails the turn and is logged; the worker goes on.
//! * Once Content-Length is reached the iterable is asked once more, so that a generator runs to its end, and then left.
//!   HEAD, 204 and 304 have no content: there the first item that is not empty ends it.

use monoceros_shared::log::EXCEPTION;
use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};
use slog::{debug, error, warn};

use super::file::{FileWrapper, Region};
use super::respond::{self, Respond, Said, type_name};
use super::{Application, Served, deadline, error as exception, fork};
use crate::conn::Connection;
use crate::turn::Turn;
use crate::wire::{Span, Version};

/// Bytes that a list may have in all to be handed over at once. Above it a slow reader would cost the list's size twice.
const AT_ONCE_MAX: u64 = 64 * 1024;
/// Bytes of a piece that are sent from where Python has them, which is then kept alive. Below it a copy costs less than that.
const LENT_MIN: usize = 16 * 1024;
/// Empty items skipped in one pull. A generator may yield `b''` without end, and the thread's other clients must be served.
pub const EMPTY_MAX: usize = 64;

/// What of an answer is still to be had.
pub enum Rest {
    /// What the application returned.
    Iterable(Iterable),
    /// Somebody who asks for it by himself, and waits until all that was written has left, or cannot.
    Awaited(Py<PyAny>),
}

/// What the application returned, to be asked on. Not to be dropped: pull it to its end, or abandon it, else `close()` is never called.
pub struct Iterable {
    respond: Py<Respond>,
    iterable: Py<PyAny>,
    stage: Stage,
}

enum Stage {
    /// There may be more items.
    Items(Py<PyIterator>),
    /// The turn is finished; `close()` is to be called.
    Close,
}

/// What could be done at once with what the application returned.
pub enum Whole {
    /// All; there is nothing to close.
    Done,
    /// All, and it is to be closed.
    Sent,
    /// Nothing: it is to be asked for its items.
    Items,
}

/// What the iterable gave.
pub enum Next<'py> {
    /// An item that is not empty.
    Item(Bound<'py, PyBytes>),
    /// Only empty ones so far.
    Empty,
    /// Nothing more.
    End,
}

/// What one step did for the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There may be more.
    More,
    /// It is finished, and something has still to leave.
    Finished,
    /// It is finished, and all has left.
    Left,
}

impl Rest {
    /// Whether it is to be asked for another piece.
    pub fn has_items(&self) -> bool {
        matches!(self, Rest::Iterable(Iterable { stage: Stage::Items(_), .. }))
    }
}

impl Served {
    fn done(connection: Box<Connection>) -> Served {
        Served { connection, rest: None }
    }

    fn again(connection: Box<Connection>, rest: Iterable) -> Served {
        Served { connection, rest: Some(Rest::Iterable(rest)) }
    }
}

impl Application {
    /// Pulls the next piece of an answer: to be called whenever everything written before has left or is held; where nothing was
    /// written, after other clients had their turn.
    ///
    /// # Panics
    /// When somebody else asks for it.
    pub fn pull(&self, py: Python<'_>, connection: Box<Connection>, rest: Rest) -> Served {
        let Rest::Iterable(rest) = rest else { unreachable!("who waits for it asks for it") };
        match &rest.stage {
            Stage::Items(iterator) => {
                let iterator = iterator.clone_ref(py);
                self.step(py, connection, (rest, iterator))
            }
            Stage::Close => {
                self.close(py, rest.iterable.bind(py));
                Served::done(connection)
            }
        }
    }

    /// The client has left: calls `close()` of the iterable and drops it.
    pub fn abandon(&self, py: Python<'_>, rest: Rest) {
        match rest {
            Rest::Iterable(rest) => self.close(py, rest.iterable.bind(py)),
            Rest::Awaited(_) => unreachable!("who waits for it is told"),
        }
    }

    /// Answers with what a call of the application gave.
    pub(super) fn answer(
        &self,
        mut connection: Box<Connection>,
        call: (Py<Respond>, Said),
        iterable: Bound<'_, PyAny>,
    ) -> Served {
        let py = iterable.py();
        let (respond, said) = call;
        let whole = self.at_once(&mut connection.turn, said, &iterable);
        let stage = whole.and_then(|whole| match whole {
            Whole::Done => Ok(None),
            Whole::Sent => Ok(Some(Stage::Close)),
            Whole::Items => Ok(Some(Stage::Items(iterable.try_iter()?.unbind()))),
        });
        let stage = match stage {
            Ok(None) => return Served::done(connection),
            Ok(Some(stage)) => stage,
            Err(error) => {
                let served = self.fail(connection, (said, &error), py);
                self.close(py, &iterable);
                return served;
            }
        };
        let is_finished = matches!(stage, Stage::Close);
        let rest = Iterable { respond, iterable: iterable.unbind(), stage };
        if is_finished { Served::again(connection, rest) } else { self.pull(py, connection, Rest::Iterable(rest)) }
    }

    /// Answers with the whole of it where that is possible. Runs no code of the application's.
    ///
    /// # Errors
    /// When it is not what PEP 3333 allows.
    pub fn at_once(&self, turn: &mut Turn, said: Said, iterable: &Bound<'_, PyAny>) -> PyResult<Whole> {
        if let Some(items) = sequence(iterable) {
            let (pieces, total) = items?;
            expect_ready(turn, said)?;
            announce(turn, total);
            if total <= AT_ONCE_MAX || pieces.len() == 1 {
                pieces.into_iter().for_each(|piece| write(turn, piece));
                self.finish(turn, said);
                return Ok(Whole::Done);
            }
        } else if let Ok(wrapper) = iterable.cast_exact::<FileWrapper>() {
            expect_ready(turn, said)?;
            if let Some(region) = wrapper.get().region(iterable.py())? {
                send(turn, said, region);
                self.finish(turn, said);
                return Ok(Whole::Sent);
            }
        }
        Ok(Whole::Items)
    }

    fn step(&self, py: Python<'_>, connection: Box<Connection>, progress: (Iterable, Py<PyIterator>)) -> Served {
        let (rest, iterator) = progress;
        respond::lend(py, &rest.respond, connection);
        let next = next(&mut iterator.into_bound(py));
        fork::leave_if_child(py, next.as_ref().err());
        let (mut connection, said) = respond::take_back(py, &rest.respond);
        match next.and_then(|next| self.hand_over(&mut connection.turn, said, &next)) {
            Ok(Progress::More) => Served::again(connection, rest),
            Ok(Progress::Finished) => Served::again(connection, Iterable { stage: Stage::Close, ..rest }),
            Ok(Progress::Left) => {
                self.close(py, rest.iterable.bind(py));
                Served::done(connection)
            }
            Err(error) => {
                let served = self.fail(connection, (said, &error), py);
                self.close(py, rest.iterable.bind(py));
                served
            }
        }
    }

    /// Gives the turn what came next.
    ///
    /// # Errors
    /// When it must not come: there is no head.
    pub fn hand_over(&self, turn: &mut Turn, said: Said, next: &Next<'_>) -> PyResult<Progress> {
        let item = match next {
            Next::Empty => return Ok(Progress::More),
            Next::Item(item) => Some(item),
            Next::End => None,
        };
        expect_ready(turn, said)?;
        let is_bare = is_bare(turn, said);
        let has_all_left = turn.is_head_out() && turn.remaining() == Some(0);
        if let Some(item) = item {
            write(turn, item.clone());
            if has_all_left && !is_bare {
                warn!(self.log, "the application's answer is longer than its Content-Length"; "request" => request_line(turn));
            } else if !is_bare {
                return Ok(Progress::More);
            }
        }
        self.finish(turn, said);
        Ok(if has_all_left { Progress::Left } else { Progress::Finished })
    }

    fn finish(&self, turn: &mut Turn, said: Said) {
        let missing = turn.remaining().unwrap_or(0);
        if missing > 0 && !is_bare(turn, said) {
            warn!(self.log, "the application's answer is shorter than its Content-Length, so its connection is cut";
                "missing" => missing, "request" => request_line(turn));
        }
        turn.finish();
    }

    /// Ends the turn for an exception of the application's, or of a `write()` whose client had left.
    pub(super) fn fail(&self, mut connection: Box<Connection>, what: (Said, &PyErr), py: Python<'_>) -> Served {
        self.fail_turn(&mut connection.turn, what, py);
        Served::done(connection)
    }

    /// The same for the turn alone.
    pub fn fail_turn(&self, turn: &mut Turn, what: (Said, &PyErr), py: Python<'_>) {
        let request = request_line(turn);
        if what.0.is_client_gone {
            debug!(self.log, "the client left while the application was writing"; "request" => request);
        } else if let Some(fault) = turn.body_fault() {
            debug!(self.log, "the body could not be read"; "request" => request, "why" => fault.why);
        } else if deadline::is_request_timeout(what.1, py) {
            debug!(self.log, "a call that was late has ended by RequestTimeout"; "request" => request);
        } else if let Some(witness) = &self.witness {
            witness.note(py, what.1);
        } else {
            error!(self.log, #EXCEPTION, "the application failed"; "request" => request, "traceback" => exception::traceback(py, what.1));
        }
        turn.fail();
    }

    /// `close()` of an iterable has raised.
    pub fn note_failed_close(&self, py: Python<'_>, error: &PyErr) {
        fork::leave_if_child(py, Some(error));
        if !deadline::is_request_timeout(error, py) {
            error!(self.log, #EXCEPTION, "close() of the application's iterable failed"; "traceback" => exception::traceback(py, error));
        }
    }

    fn close(&self, py: Python<'_>, iterable: &Bound<'_, PyAny>) {
        let close = iterable.getattr_opt(pyo3::intern!(py, "close"));
        let closed = close.and_then(|close| close.map_or(Ok(()), |close| close.call0().map(drop)));
        match closed {
            Ok(()) => fork::leave_if_child(py, None),
            Err(error) => self.note_failed_close(py, &error),
        }
    }
}

/// The pieces of an exact list or tuple and their length in bytes, or the fault of an item; `None` for anything else.
fn sequence<'py>(iterable: &Bound<'py, PyAny>) -> Option<PyResult<(Vec<Bound<'py, PyBytes>>, u64)>> {
    let pieces: PyResult<Vec<_>> = if let Ok(list) = iterable.cast_exact::<PyList>() {
        list.iter().map(piece).collect()
    } else {
        iterable.cast_exact::<PyTuple>().ok()?.iter().map(piece).collect()
    };
    Some(pieces.map(|pieces| {
        let total = pieces.iter().map(|piece| piece.as_bytes().len() as u64).sum();
        (pieces, total)
    }))
}

/// An item of the iterable.
///
/// # Errors
/// When it is not bytes.
pub fn piece(item: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    item.cast_into::<PyBytes>().map_err(|error| {
        let kind = type_name(&error.into_inner());
        PyTypeError::new_err(format!("the application's iterable gave {kind}, not bytes"))
    })
}

/// The next item that is not empty, within bounds.
fn next<'py>(iterator: &mut Bound<'py, PyIterator>) -> PyResult<Next<'py>> {
    for _ in 0..EMPTY_MAX {
        let Some(item) = iterator.next() else {
            return Ok(Next::End);
        };
        let item = piece(item?)?;
        if !item.as_bytes().is_empty() {
            return Ok(Next::Item(item));
        }
    }
    Ok(Next::Empty)
}

/// Gives the turn a piece: a copy, or the piece itself where that is dearer.
fn write(turn: &mut Turn, piece: Bound<'_, PyBytes>) {
    if piece.as_bytes().len() < LENT_MIN || turn.output().has_bulk() {
        turn.write(piece.as_bytes());
    } else {
        turn.write_lent(Box::new(PyBackedBytes::from(piece)));
    }
}

/// Sends a part of a file, no more than Content-Length.
fn send(turn: &mut Turn, said: Said, region: Region) {
    announce(turn, region.length);
    let length = turn.remaining().map_or(region.length, |allowed| allowed.min(region.length));
    if !is_bare(turn, said) {
        turn.write_file(region.file, region.offset, length);
    }
}

/// Tells the turn the whole length, where the application did not and still can.
fn announce(turn: &mut Turn, total: u64) {
    if turn.remaining().is_none() && !turn.is_head_out() {
        turn.total(total);
    }
}

fn expect_ready(turn: &Turn, said: Said) -> PyResult<()> {
    let why = match (turn.has_begun(), said.is_refused) {
        (true, false) => return Ok(()),
        (false, false) => "gave its answer without calling start_response()",
        (true | false, true) => "went on although start_response() had refused its arguments",
    };
    Err(PyAssertionError::new_err(format!("the application {why}")))
}

/// Whether nothing but a head answers this request (RFC 9110 6.4.1).
fn is_bare(turn: &Turn, said: Said) -> bool {
    said.is_bare || turn.head().method.of(turn.bytes()) == b"HEAD"
}

/// `GET /path HTTP/1.1`, for the log.
fn request_line(turn: &Turn) -> String {
    let head = turn.head();
    let version = match head.version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
    };
    let text = |span: Span| String::from_utf8_lossy(span.of(turn.bytes())).into_owned();
    format!("{} {} {version}", text(head.method), text(head.target))
}
