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
//! * Every item goes to the client before the next is asked for. The head goes with the first that is not empty.
//! * `close()` is called once, whatever happens: the end, an error, a surplus, an answer without content, a client gone.
//! * An exception, SystemExit and KeyboardInterrupt among them, fails the turn and is logged; the worker goes on.
//! * Once Content-Length is reached the iterable is asked once more, so that a generator runs to its end, and then left.
//!   HEAD, 1xx, 204 and 304 have no content: there the first item ends it.

use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList, PyTuple};
use slog::{debug, error, warn};

use super::file::FileWrapper;
use super::respond::{self, Respond, type_name};
use super::{Application, Served, error as exception, fork};
use crate::conn::Connection;
use crate::turn::Turn;

/// Bytes that a list may have in all to be handed over at once. Above it a slow reader would cost the list's size twice.
const AT_ONCE_MAX: u64 = 64 * 1024;
/// Empty items skipped in one pull. A generator may yield `b''` without end, and the thread's other clients must be served.
const EMPTY_MAX: usize = 64;

/// What of an answer is still to be had. Not to be dropped: pull it to its end, or abandon it, else `close()` is never called.
pub struct Rest {
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

enum Next<'py> {
    Item(Bound<'py, PyBytes>),
    /// Only empty ones so far.
    Empty,
    End,
}

impl Application {
    /// Pulls the next piece of an answer: to be called whenever everything written before has left; at once, but after the
    /// other clients, where nothing was written.
    pub fn pull(&self, py: Python<'_>, connection: Box<Connection>, rest: Rest) -> Served {
        match &rest.stage {
            Stage::Items(iterator) => {
                let iterator = iterator.clone_ref(py);
                self.step(py, connection, (rest, iterator))
            }
            Stage::Close => {
                self.close(py, rest.iterable.bind(py));
                Served {
                    connection,
                    rest: None,
                }
            }
        }
    }

    /// The client has left: calls `close()` of the iterable and drops it.
    pub fn abandon(&self, py: Python<'_>, rest: Rest) {
        self.close(py, rest.iterable.bind(py));
    }

    /// Answers with what a call of the application came to.
    pub(super) fn answer(
        &self,
        py: Python<'_>,
        mut connection: Box<Connection>,
        call: (Py<Respond>, PyResult<Bound<'_, PyAny>>),
    ) -> Served {
        let (respond, result) = call;
        let iterable = match result {
            Ok(iterable) => iterable,
            Err(_) if respond.borrow(py).is_client_gone() => return self.leave(connection),
            Err(error) => return self.fail(py, connection, &error),
        };
        match self.at_once(&mut connection, &respond, &iterable) {
            Ok(Some(stage)) => {
                let rest = Rest {
                    respond,
                    iterable: iterable.unbind(),
                    stage,
                };
                match &rest.stage {
                    Stage::Items(_) => self.pull(py, connection, rest),
                    Stage::Close => Served {
                        connection,
                        rest: Some(rest),
                    },
                }
            }
            Ok(None) => Served {
                connection,
                rest: None,
            },
            Err(error) => {
                let served = self.fail(py, connection, &error);
                self.close(py, &iterable);
                served
            }
        }
    }

    /// Answers with the whole of it where that is possible; gives what is left to do.
    fn at_once(
        &self,
        connection: &mut Connection,
        respond: &Py<Respond>,
        iterable: &Bound<'_, PyAny>,
    ) -> PyResult<Option<Stage>> {
        let py = iterable.py();
        let turn = &mut connection.turn;
        if let Some(items) = sequence(iterable) {
            let (pieces, total) = items?;
            expect_ready(py, respond, turn)?;
            announce(turn, total);
            if total <= AT_ONCE_MAX || pieces.len() == 1 {
                pieces.iter().for_each(|piece| turn.write(piece.as_bytes()));
                self.finish(turn, respond.borrow(py).is_bare());
                return Ok(None);
            }
        } else if let Ok(wrapper) = iterable.cast_exact::<FileWrapper>() {
            expect_ready(py, respond, turn)?;
            if let Some(region) = wrapper.get().region(py)? {
                announce(turn, region.length);
                let length = turn
                    .remaining()
                    .map_or(region.length, |allowed| allowed.min(region.length));
                let is_bare = respond.borrow(py).is_bare();
                if length > 0 && !has_no_content(turn, is_bare) {
                    turn.write_file(region.file, region.offset, length);
                }
                self.finish(turn, is_bare);
                return Ok(Some(Stage::Close));
            }
        }
        Ok(Some(Stage::Items(iterable.try_iter()?.unbind())))
    }

    fn step(
        &self,
        py: Python<'_>,
        connection: Box<Connection>,
        progress: (Rest, Py<PyIterator>),
    ) -> Served {
        let (rest, iterator) = progress;
        respond::lend(py, &rest.respond, connection);
        let next = next(&mut iterator.into_bound(py));
        fork::leave_if_child(py, next.as_ref().err());
        let mut connection = respond::take_back(py, &rest.respond);
        let outcome = next
            .and_then(|next| self.hand_over(&mut connection.turn, &rest.respond.borrow(py), &next));
        match outcome {
            Ok(Some(Stage::Items(_))) => unreachable!("hand_over makes no iterator"),
            Ok(None) => Served {
                connection,
                rest: Some(rest),
            },
            Ok(Some(Stage::Close)) => Served {
                connection,
                rest: Some(Rest {
                    stage: Stage::Close,
                    ..rest
                }),
            },
            Err(error) => {
                let is_gone = rest.respond.borrow(py).is_client_gone();
                let served = if is_gone {
                    self.leave(connection)
                } else {
                    self.fail(py, connection, &error)
                };
                self.close(py, rest.iterable.bind(py));
                served
            }
        }
    }

    /// Gives the turn what came next; `Some` once it is finished.
    fn hand_over(
        &self,
        turn: &mut Turn,
        respond: &Respond,
        next: &Next<'_>,
    ) -> PyResult<Option<Stage>> {
        let item = match next {
            Next::Empty => return Ok(None),
            Next::Item(item) => Some(item),
            Next::End => None,
        };
        if !respond.is_ready(turn) {
            return Err(unready(turn));
        }
        let has_no_content = has_no_content(turn, respond.is_bare());
        if let Some(item) = item {
            let is_surplus = turn.remaining() == Some(0) && !has_no_content;
            turn.write(item.as_bytes());
            if !is_surplus && !has_no_content {
                return Ok(None);
            }
            if is_surplus {
                warn!(self.log, "the application's answer is longer than its Content-Length"; "request" => request_line(turn));
            }
        }
        self.finish(turn, respond.is_bare());
        Ok(Some(Stage::Close))
    }

    fn finish(&self, turn: &mut Turn, is_bare: bool) {
        let missing = turn.remaining().unwrap_or(0);
        if missing > 0 && !has_no_content(turn, is_bare) {
            warn!(self.log, "the application's answer is shorter than its Content-Length, so its connection is cut";
                "missing" => missing, "request" => request_line(turn));
        }
        turn.finish();
    }

    /// Ends the turn for an exception of the application's.
    pub(super) fn fail(
        &self,
        py: Python<'_>,
        mut connection: Box<Connection>,
        error: &PyErr,
    ) -> Served {
        error!(self.log, "the application failed"; "request" => request_line(&connection.turn), "traceback" => exception::traceback(py, error));
        connection.turn.fail();
        Served {
            connection,
            rest: None,
        }
    }

    /// Ends the turn of a client that left while `write()` waited for it.
    fn leave(&self, mut connection: Box<Connection>) -> Served {
        debug!(self.log, "the client left while the application was writing"; "request" => request_line(&connection.turn));
        connection.turn.fail();
        Served {
            connection,
            rest: None,
        }
    }

    fn close(&self, py: Python<'_>, iterable: &Bound<'_, PyAny>) {
        let close = iterable
            .getattr_opt(pyo3::intern!(py, "close"))
            .and_then(|close| close.map_or(Ok(()), |close| close.call0().map(drop)));
        fork::leave_if_child(py, close.as_ref().err());
        if let Err(error) = close {
            error!(self.log, "close() of the application's iterable failed"; "traceback" => exception::traceback(py, &error));
        }
    }
}

/// The pieces of an exact list or tuple and their length in bytes, or the fault of an item; `None` for anything else.
fn sequence<'py>(
    iterable: &Bound<'py, PyAny>,
) -> Option<PyResult<(Vec<Bound<'py, PyBytes>>, u64)>> {
    let pieces: PyResult<Vec<_>> = if let Ok(list) = iterable.cast_exact::<PyList>() {
        list.iter().map(piece).collect()
    } else {
        iterable
            .cast_exact::<PyTuple>()
            .ok()?
            .iter()
            .map(piece)
            .collect()
    };
    Some(pieces.map(|pieces| {
        let total = pieces
            .iter()
            .map(|piece| piece.as_bytes().len() as u64)
            .sum();
        (pieces, total)
    }))
}

fn piece(item: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    item.cast_into::<PyBytes>().map_err(|error| {
        PyTypeError::new_err(format!(
            "the application's iterable gave {}, not bytes",
            type_name(&error.into_inner())
        ))
    })
}

/// The next item that is not empty, within bounds.
fn next<'py>(iterator: &mut Bound<'py, PyIterator>) -> PyResult<Next<'py>> {
    for _ in 0..EMPTY_MAX {
        match iterator.next() {
            None => return Ok(Next::End),
            Some(item) => {
                let item = piece(item?)?;
                if !item.as_bytes().is_empty() {
                    return Ok(Next::Item(item));
                }
            }
        }
    }
    Ok(Next::Empty)
}

/// Tells the turn the whole length, where the application did not and still can.
fn announce(turn: &mut Turn, total: u64) {
    if turn.remaining().is_none() && !turn.is_head_out() {
        turn.total(total);
    }
}

fn expect_ready(py: Python<'_>, respond: &Py<Respond>, turn: &Turn) -> PyResult<()> {
    if respond.borrow(py).is_ready(turn) {
        Ok(())
    } else {
        Err(unready(turn))
    }
}

fn unready(turn: &Turn) -> PyErr {
    let why = if turn.has_begun() {
        "went on although start_response() had refused its arguments"
    } else {
        "gave its answer without calling start_response()"
    };
    PyAssertionError::new_err(format!("the application {why}"))
}

/// Whether nothing but a head answers this request (RFC 9110 6.4.1).
fn has_no_content(turn: &Turn, is_bare: bool) -> bool {
    is_bare || turn.head().method.of(turn.bytes()) == b"HEAD"
}

/// `GET /path HTTP/1.1`, for the log.
fn request_line(turn: &Turn) -> String {
    let head = turn.head();
    let text =
        |span: crate::wire::Span| String::from_utf8_lossy(span.of(turn.bytes())).into_owned();
    let version = match head.version {
        crate::wire::Version::Http10 => "HTTP/1.0",
        crate::wire::Version::Http11 => "HTTP/1.1",
    };
    format!("{} {} {version}", text(head.method), text(head.target))
}
