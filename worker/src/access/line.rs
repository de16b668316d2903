//! A request's line, in each form. Pure.
//!
//! ```text
//!   2026-11-23T05:48:00.123Z INFO     request app=shop worker=1 generation=1 client=192.0.2.1 method=GET path=/ status=200 …
//!   {"ts":"2026-11-23T05:48:00.123Z","level":"info","msg":"request","client":"192.0.2.1","method":"GET","path":"/","status":200,…}
//!   192.0.2.1 - - [23/Nov/2026:05:48:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8.5.0"
//! ```
//!
//! A request whose head was never understood has the first line of what came in the place of method and path.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use monoceros_shared::config::{Access, Atom, LogFormat, Piece};
use monoceros_shared::link::Assignment;
use monoceros_shared::log::REQUEST;

use super::memo::{Memo, client_of};
use super::stamp::Now;
use super::text::{base64, push_decimal, push_escaped, push_json, push_number, push_plain};
use crate::conn::Connection;
use crate::turn::Turn;
use crate::wire::{Field, Head, Version, percent};

/// Bytes of the line that was not understood. More is no help to see what it was.
const STRANGE_BYTES_MAX: usize = 256;

/// What became of a request.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// What is known of it.
    pub source: Source<'a>,
    /// The status that it was answered with, or that says why it was not.
    pub status: u16,
    /// Why it was not served to its end, if it was not.
    pub why: Option<&'static str>,
    /// How long it took.
    pub took: Took,
}

/// What is known of a request.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// The connection that it came by, still at it.
    Connection(&'a Connection),
    /// What was remembered of it, for Python or another server has the rest.
    Memory(&'a Memo),
}

/// How long a request took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Took {
    /// From the whole request to its call.
    pub queue: Duration,
    /// In calls of the application.
    pub app: Duration,
    /// From the whole request to the last byte of its answer.
    pub total: Duration,
}

/// How lines look.
pub enum Form {
    /// As the log's own, for eyes. `context` is what stands in every line.
    Text {
        /// Behind the message.
        context: String,
    },
    /// As the log's own, for programs.
    Json {
        /// Behind the other keys, with the comma before it.
        context: String,
    },
    /// Pieces.
    Format {
        /// In their order.
        pieces: Vec<Piece>,
        /// The process, as `%(p)s` tells it.
        process: String,
    },
}

impl Form {
    /// What the config asks for; `None`: no lines.
    pub fn new(assignment: &Assignment) -> Option<Form> {
        let (app, worker, generation) = (&assignment.app.name, assignment.worker, assignment.generation);
        let text = || Form::Text { context: format!(" app={app} worker={worker} generation={generation}") };
        // Names of applications need no escape.
        let json = || Form::Json {
            context: format!(",\"app\":\"{app}\",\"worker\":{worker},\"generation\":{generation}}}\n"),
        };
        match (&assignment.log.access, assignment.log.format) {
            (Access::Off, _) => None,
            (Access::Lines, LogFormat::Text) => Some(text()),
            (Access::Lines, LogFormat::Json) | (Access::Json, _) => Some(json()),
            (Access::Format(pieces), _) => {
                Some(Form::Format { pieces: pieces.clone(), process: format!("<{}>", std::process::id()) })
            }
        }
    }

    /// Adds the line, its end included.
    pub fn write(&self, told: &Told<'_>, now: &Now, line: &mut Vec<u8>) {
        match self {
            Form::Text { context } => {
                line.extend_from_slice(&now.iso);
                line.extend_from_slice(b" INFO     ");
                line.extend_from_slice(REQUEST.as_bytes());
                line.extend_from_slice(context.as_bytes());
                told.write_keys(&mut Keys { line, style: Style::Text });
                line.push(b'\n');
            }
            Form::Json { context } => {
                line.extend_from_slice(b"{\"ts\":\"");
                line.extend_from_slice(&now.iso);
                line.extend_from_slice(b"\",\"level\":\"info\",\"msg\":\"");
                line.extend_from_slice(REQUEST.as_bytes());
                line.push(b'"');
                told.write_keys(&mut Keys { line, style: Style::Json });
                line.extend_from_slice(context.as_bytes());
            }
            Form::Format { pieces, process } => {
                let mut notes = told.notes().iter();
                for piece in pieces {
                    match piece {
                        Piece::Text(text) => line.extend_from_slice(text.as_bytes()),
                        Piece::Atom(Atom::Process) => line.extend_from_slice(process.as_bytes()),
                        Piece::Atom(Atom::Time) => line.extend_from_slice(&now.common),
                        Piece::Atom(Atom::Variable(_)) => {
                            push_escaped(notes.next().map_or(b"-", |note| note.as_bytes()), line);
                        }
                        Piece::Atom(atom) => told.write_atom(atom, line),
                    }
                }
                line.push(b'\n');
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Text,
    Json,
}

/// Keys and values of a line.
struct Keys<'a> {
    line: &'a mut Vec<u8>,
    style: Style,
}

impl Keys<'_> {
    fn key(&mut self, key: &str) {
        match self.style {
            Style::Text => {
                self.line.push(b' ');
                self.line.extend_from_slice(key.as_bytes());
                self.line.push(b'=');
            }
            Style::Json => {
                self.line.extend_from_slice(b",\"");
                self.line.extend_from_slice(key.as_bytes());
                self.line.extend_from_slice(b"\":");
            }
        }
    }

    fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        match self.style {
            Style::Text => push_plain(value, self.line),
            Style::Json => push_json(value, self.line),
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        push_number(value, self.line);
    }

    fn milliseconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        let microseconds = value.as_micros() as u64;
        push_decimal(microseconds / 1000, microseconds % 1000, 3, self.line);
    }
}

impl Told<'_> {
    fn write_keys(&self, keys: &mut Keys<'_>) {
        self.with_client(|client| keys.text("client", client));
        if let Some((method, target)) = self.request() {
            keys.text("method", method);
            keys.text("path", target);
        } else {
            keys.text("line", self.strange_line());
        }
        keys.number("status", self.status.into());
        keys.number("bytes", self.bytes());
        keys.milliseconds("ms", self.took.total);
        keys.milliseconds("queue_ms", self.took.queue);
        keys.milliseconds("app_ms", self.took.app);
        if let Some(id) = self.id() {
            keys.text("request_id", id);
        }
        if self.request().is_some() {
            keys.text("referer", self.asked("referer"));
            keys.text("agent", self.asked("user-agent"));
        }
        if let Some(why) = self.why {
            keys.text("why", why.as_bytes());
        }
    }

    fn write_atom(&self, atom: &Atom, line: &mut Vec<u8>) {
        let total = self.took.total;
        match atom {
            Atom::Client => self.with_client(|client| line.extend_from_slice(client)),
            Atom::User => push_escaped(&self.user(), line),
            Atom::Line => self.write_request_line(line),
            Atom::Status => push_number(self.status.into(), line),
            Atom::Method => push_escaped(self.request().map_or(b"-", |(method, _)| method), line),
            Atom::Path => match self.head() {
                Some((bytes, head)) => push_escaped(&percent::decoded(head.path.of(bytes)), line),
                None => line.push(b'-'),
            },
            Atom::Query => push_escaped(self.head().map_or(b"-", |(bytes, head)| head.query.of(bytes)), line),
            Atom::Protocol => line.extend_from_slice(self.protocol()),
            Atom::Bytes => push_number(self.bytes(), line),
            Atom::Referer => push_escaped(self.asked("referer"), line),
            Atom::Agent => push_escaped(self.asked("user-agent"), line),
            Atom::Seconds => push_number(total.as_secs(), line),
            Atom::Milliseconds => push_number(total.as_millis() as u64, line),
            Atom::Microseconds => push_number(total.as_micros() as u64, line),
            Atom::Decimal => push_decimal(total.as_secs(), total.subsec_micros().into(), 6, line),
            Atom::Asked(name) => push_escaped(self.asked(name), line),
            Atom::Answered(name) => {
                push_escaped(self.answered(name), line);
            }
            // The form knows the last three.
            Atom::Dash | Atom::Process | Atom::Time | Atom::Variable(_) => line.push(b'-'),
        }
    }

    fn write_request_line(&self, line: &mut Vec<u8>) {
        let Some((method, target)) = self.request() else { return push_escaped(self.strange_line(), line) };
        push_escaped(method, line);
        line.push(b' ');
        push_escaped(target, line);
        line.push(b' ');
        line.extend_from_slice(self.protocol());
    }

    fn turn(&self) -> Option<&Turn> {
        match self.source {
            Source::Connection(connection) => Some(&connection.turn),
            Source::Memory(_) => None,
        }
    }

    /// Its head, if it was understood, and the bytes that this is of.
    fn head(&self) -> Option<(&[u8], &Head)> {
        match self.source {
            Source::Connection(connection) => {
                Some(&connection.turn).filter(|turn| turn.has_head()).map(|turn| (turn.bytes(), turn.head()))
            }
            Source::Memory(memo) => Some((&memo.bytes, &memo.head)),
        }
    }

    /// Its identifier, if it has one.
    fn id(&self) -> Option<&[u8]> {
        match self.source {
            Source::Connection(connection) => connection.turn.id(),
            Source::Memory(memo) => memo.id.as_deref(),
        }
    }

    /// Method and target, if they are known.
    fn request(&self) -> Option<(&[u8], &[u8])> {
        self.head().map(|(bytes, head)| (head.method.of(bytes), head.target.of(bytes)))
    }

    /// REMOTE_ADDR, as far as one is known.
    fn with_client(&self, take: impl FnOnce(&[u8])) {
        let connection = match self.source {
            Source::Connection(connection) => connection,
            Source::Memory(memo) => return take(memo.client.as_bytes()),
        };
        let mut text = Short { bytes: [0; 48], length: 0 };
        // Addresses fit, and so does `unix`.
        let _ = write!(text, "{}", client_of(connection));
        take(text.bytes());
    }

    fn notes(&self) -> &[String] {
        match self.source {
            Source::Connection(connection) => &connection.notes,
            Source::Memory(_) => &[],
        }
    }

    /// The user of HTTP Basic authentication (RFC 7617), or a dash.
    fn user(&self) -> Cow<'_, [u8]> {
        let value = self.asked("authorization");
        let encoded = value.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case(b"basic ")).map(|_| &value[6..]);
        let decoded = encoded.and_then(|encoded| base64(encoded.trim_ascii()));
        let user = decoded.and_then(|pair| pair.split(|&byte| byte == b':').next().map(<[u8]>::to_vec));
        user.filter(|user| !user.is_empty()).map_or(Cow::Borrowed(b"-"), Cow::Owned)
    }

    fn bytes(&self) -> u64 {
        match self.source {
            Source::Connection(connection) => {
                Some(&connection.turn).filter(|turn| turn.has_reply()).map_or(0, |turn| turn.content_sent())
            }
            Source::Memory(memo) => memo.sent,
        }
    }

    fn protocol(&self) -> &'static [u8] {
        match self.head().map(|(_, head)| head.version) {
            None => b"-",
            Some(Version::Http10) => b"HTTP/1.0",
            Some(Version::Http11) => b"HTTP/1.1",
        }
    }

    /// A field of the request, or a dash.
    fn asked(&self, name: &str) -> &[u8] {
        let Some((bytes, head)) = self.head() else { return b"-" };
        let named = |field: &&Field| field.name.of(bytes).eq_ignore_ascii_case(name.as_bytes());
        head.fields.iter().find(named).map_or(b"-", |field| field.value.of(bytes))
    }

    /// A field of the answer, or a dash.
    fn answered(&self, name: &str) -> &[u8] {
        let field = match self.source {
            Source::Connection(connection) => connection.turn.answer_field(name),
            Source::Memory(memo) => {
                let named = memo.answered.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
                named.map(|(_, value)| &value[..])
            }
        };
        field.unwrap_or(b"-")
    }

    /// The first line of what was not understood; a dash if there is none.
    fn strange_line(&self) -> &[u8] {
        let bytes = self.turn().map_or(&b""[..], |turn| turn.unread().trim_ascii_start());
        let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
        if end == 0 { b"-" } else { &bytes[..end.min(STRANGE_BYTES_MAX)] }
    }
}

/// A short text on the stack.
struct Short {
    bytes: [u8; 48],
    length: usize,
}

impl Short {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let mut room = &mut self.bytes[self.length..];
        room.write_all(text.as_bytes()).map_err(|_| std::fmt::Error)?;
        self.length += text.len();
        Ok(())
    }
}
