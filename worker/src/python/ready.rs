//! Asks an application whether it is ready, before any client can: one GET, answered within the process.
//!
//! ```text
//!   request --bytes--> turn --> environ, call, pull: as for a client --> a socket pair --> a thread that reads it to its end
//! ```
//!
//! It takes the way of every request, so an application that fails here would have failed its first client. Only the
//! listener is none: SERVER_NAME and SERVER_PORT come from the Host field, and REMOTE_ADDR is 127.0.0.1. What the
//! application raises and what it writes to `wsgi.errors` goes into the failure, for whoever waits for the reload.
//!
//! An answer without end is read without end: `timeouts.boot` ends it from outside.

use std::io::{self, Read};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use monoceros_shared::config::{Bodies, Ready};
use monoceros_shared::link::{Assignment, Failure};
use pyo3::prelude::*;
use slog::{Drain, KV, Logger, OwnedKVList, Record, Serializer, o};
use socket2::Socket;

use super::{Application, environ, error, input, tornado};
use crate::clock::Clock;
use crate::conn::{Connection, Peer, Waits};
use crate::turn::{Farewell, Limits, Next, Turn};
use crate::wire::Framing;
use crate::wire::http::{body, head};

/// Bytes of the answer that are kept to be shown. Less cuts off the head of an answer with many cookies; more is more than
/// anybody reads in a log.
const KEPT_MAX: usize = 16 * 1024;
/// Lines of its content that are shown.
const LINES_MAX: usize = 20;
/// Bytes of `wsgi.errors` that are kept, more than the tracebacks of one request.
const ERRORS_MAX: usize = 24 * 1024;

/// The application raised: one line, and the traceback.
type Raised = (String, String);

/// What is told of the application's failures.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Option<Raised>>>);

impl Witness {
    /// The application has failed by this exception.
    pub fn note(&self, py: Python<'_>, raised: &PyErr) {
        let raised = (error::one_line(py, raised), error::traceback(py, raised));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(raised);
    }

    fn take(&self) -> Option<Raised> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Asks the application, if the config says how. Call it on Python's main thread, without the GIL.
///
/// # Errors
/// When the answer is not the expected one, or there is none: what was answered, raised and logged.
pub fn check(application: &Application, assignment: &Assignment, log: &Logger) -> Result<(), Failure> {
    let Some(ready) = &assignment.app.reload.ready else {
        return Ok(());
    };
    let errors = Errors { log: log.clone(), kept: Arc::default() };
    let witness = Witness::default();
    let heard = (Logger::root(errors.clone().fuse(), o!()), witness.clone());
    let answer = Python::attach(|py| {
        let cannot = |why: String| Failure::new(format!("cannot ask {}: {why}", ready.path), "");
        if application.is_native(py) {
            let bytes = tornado::ask(py, &application.callable, &request(ready, "Connection: close\r\n"));
            return bytes.map(Answer::of).map_err(|raised| cannot(error::one_line(py, &raised)));
        }
        let asked =
            application.to_be_asked(py, assignment, heard).map_err(|raised| cannot(error::one_line(py, &raised)))?;
        asked.ask(py, ready).map_err(|why| cannot(why.to_string()))
    })?;
    judge(ready, &answer, (witness.take(), errors.take()))
}

/// What came back.
struct Answer {
    status: u16,
    /// The first bytes of it, its head before its content.
    bytes: Vec<u8>,
}

impl Answer {
    /// What these bytes say; a status of 0 when they say none.
    fn of(mut bytes: Vec<u8>) -> Answer {
        let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        bytes.truncate(KEPT_MAX);
        Answer { status: status.unwrap_or_default(), bytes }
    }
}

impl Application {
    /// The same application, as if it had one listener without an address, with a log and a witness of its own.
    fn to_be_asked(&self, py: Python<'_>, assignment: &Assignment, heard: (Logger, Witness)) -> PyResult<Application> {
        let (log, witness) = heard;
        let alone = Assignment { listeners: vec![String::new()], ..assignment.clone() };
        let mut environs = environ::Environs::new(py, &alone, &log)?;
        if assignment.app.reload.ready.as_ref().is_some_and(|ready| ready.scheme == "https") {
            environs.change(|template| template.assume_https(py))?;
        }
        let inputs = input::Inputs::new(py)?;
        let (callable, noted) = (self.callable.clone_ref(py), self.noted.clone());
        Ok(Application { callable, environs, inputs, noted, log, witness: Some(witness), hooks: None })
    }

    /// Makes the request, and pulls its answer to the end.
    fn ask(&self, py: Python<'_>, ready: &Ready) -> io::Result<Answer> {
        let (mut connection, client) = connect()?;
        let moment = Clock::new().moment();
        connection.turn.receive(request(ready, "").as_bytes(), &moment);
        if connection.turn.next() != Next::Call {
            let why = connection.turn.take_refusal().map_or("it is no whole request", |refusal| refusal.why);
            return Err(io::Error::other(why));
        }
        let reader = thread::Builder::new().name("ready".into()).spawn(move || read(client))?;
        connection.turn.run(&moment);
        let connection = self.answer_all(py, connection);
        // By shutdown, so that the reader comes to an end although a child of the application's may hold the socket.
        connection.say(Farewell::Close);
        let status = connection.turn.status();
        let bytes = py.detach(|| reader.join()).expect("a panic ends the process");
        Ok(Answer { status, bytes })
    }
}

/// A connection with a client of our own: its end of a socket pair.
fn connect() -> io::Result<(Box<Connection>, UnixStream)> {
    /// Of a request that the config's file has room for, and no body.
    const HEAD_MAX: usize = 64 * 1024;
    /// Its reader waits for nothing else, so this is never long.
    const PATIENCE: Duration = Duration::from_secs(60);
    let (server, client) = UnixStream::pair()?;
    server.set_nonblocking(true)?;
    let limits = Limits {
        head: head::Limits { request_line_max: HEAD_MAX, header_count_max: 16, header_bytes_max: 2 * HEAD_MAX },
        body: body::Limits { body_bytes_max: 0, trailer_bytes_max: 0 },
        bodies: Bodies::Buffer,
        body_memory_max: 0,
        kept_buffer_max: 0,
        ending: Arc::default(),
    };
    let peer = Peer::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let turn = Turn::new(Arc::new(limits));
    let connection = Connection::new(Socket::from(OwnedFd::from(server)), peer, 0, turn.into(), Waits::all(PATIENCE));
    Ok((Box::new(connection), client))
}

fn request(ready: &Ready, more: &str) -> String {
    let agent = concat!("monoceros/", env!("CARGO_PKG_VERSION"), " (ready)");
    format!("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\nAccept: */*\r\n{more}\r\n", ready.path, ready.host)
}

/// Reads to the end, and keeps what comes first.
fn read(mut client: UnixStream) -> Vec<u8> {
    let mut kept = Vec::new();
    // A reset is as good an end as any: what the turn says of the answer counts.
    let _ = (&mut client).take(KEPT_MAX as u64).read_to_end(&mut kept);
    let _ = io::copy(&mut client, &mut io::sink());
    kept
}

/// Whether this is the answer of an application that is ready.
fn judge(ready: &Ready, answer: &Answer, heard: (Option<Raised>, String)) -> Result<(), Failure> {
    let (raised, errors) = heard;
    let errors = if errors.is_empty() { errors } else { format!("wsgi.errors:\n{errors}\n") };
    if let Some((line, traceback)) = raised {
        let why = format!("not ready: GET {} raised {line}", ready.path);
        return Err(Failure::new(why, format!("{traceback}\n{errors}").trim_end()));
    }
    let is_expected = ready.status.map_or((200..300).contains(&answer.status), |status| status == answer.status);
    if is_expected {
        return Ok(());
    }
    let (head, content) = shown(&answer.bytes);
    let status = head.lines().next().unwrap_or_default().trim_start_matches("HTTP/1.1 ").trim_end();
    let instead = ready.status.map_or(String::new(), |status| format!(", not {status}"));
    let why = format!("not ready: GET {} answered {status}{instead}", ready.path);
    Err(Failure::new(why, format!("{head}\n\n{content}\n{errors}").trim_end()))
}

/// An answer for eyes: its head, and the first lines of its content.
fn shown(bytes: &[u8]) -> (String, String) {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).replace("\r\n", "\n");
    let content = bytes.get(end + 4..).unwrap_or_default();
    let is_chunked = head.to_ascii_lowercase().contains("\ntransfer-encoding: chunked");
    let content = if is_chunked { unchunked(content) } else { content.to_vec() };
    let content = String::from_utf8_lossy(&content);
    (head, content.lines().take(LINES_MAX).map(|line| format!("{line}\n")).collect())
}

/// The content of what is there of a chunked answer.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let limits = body::Limits { body_bytes_max: KEPT_MAX as u64, trailer_bytes_max: KEPT_MAX };
    let mut content = Vec::new();
    let Ok(mut reader) = body::Reader::new(Framing::Chunked, limits) else {
        return content;
    };
    while let Ok(piece) = reader.read(rest) {
        content.extend_from_slice(&rest[piece.data]);
        rest = &rest[piece.taken..];
        if piece.complete || piece.taken == 0 {
            break;
        }
    }
    content
}

/// A log that passes everything on and keeps what the application wrote to `wsgi.errors`.
#[derive(Clone)]
struct Errors {
    log: Logger,
    kept: Arc<Mutex<String>>,
}

impl Errors {
    fn take(&self) -> String {
        mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drain for Errors {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        self.log.log(record);
        let mut text = Text(String::new());
        // What cannot be written out is in the log all the same.
        let _ = record.kv().serialize(record, &mut text);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + text.0.len() <= ERRORS_MAX {
            kept.push_str(&text.0);
        }
        Ok(())
    }
}

/// The text that a record of the journal's has.
struct Text(String);

impl Serializer for Text {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        if key == super::journal::TEXT {
            self.0 = format!("{value}\n");
        }
        Ok(())
    }
}
