//! Answers 503 in the place of an application that cannot be loaded: an engine without Python.
//!
//! The same poll, the same turns, the same drain; only what runs at a call is a page instead of an application. One runner is
//! enough, for nothing here blocks. Connections are kept alive as an application's are, so that they go over to the first worker
//! that has one.
//!
//! Beside an application it is a [`Notice`]: after a save that could not be loaded, browsers see why, and programs are
//! served by the code before it.
//!
//! The page says what the log says, but only where that is given: in development. There a browser (`Accept: text/html`) gets
//! HTML that looks again by itself, and a program plain text.
//!
//! Known fault: a request's body is read before it is refused, as every body is before its call.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::guest::Guest;
use super::runner::Runner;
use super::slots::lock;
use super::{Engine, Task, watch};
use crate::clock;
use crate::turn::Turn;
use crate::wire::http::answer::Fault;

/// When a client may ask again, in seconds: about as long as a small application takes to boot. Less brings more clients than
/// are served, more lets them wait for what is there.
const RETRY_AFTER: u32 = 2;

/// Serves the apology on this thread until the engine is done. `why` is a line and what helps to see it, or empty: not to be
/// shown. A notice that comes later takes its place.
///
/// # Errors
/// When a thread cannot be made.
pub fn run(engine: &Arc<Engine>, why: &str) -> io::Result<()> {
    engine.show(why);
    watch::start(engine)?;
    let mut runner = Runner::new(engine.clone(), 0);
    while let Some(task) = runner.await_task() {
        match task {
            Task::Serve(mut guest) => {
                runner.stamp = clock::exactly();
                runner.begin(&mut guest);
                let apology = engine.notice.latest();
                runner.apologise(guest, &apology.expect("one is shown from the start"));
            }
            Task::Abandon(_) => unreachable!("nothing is left of an answer that nobody pulls"),
        }
        runner.flush_batch();
    }
    Ok(())
}

impl Runner {
    /// Answers the request that has begun.
    pub(super) fn apologise(&mut self, mut guest: Box<Guest>, apology: &Apology) {
        let answered = apology.answer(&mut guest.connection.turn);
        debug_assert_eq!(answered, Ok(()));
        let flushed = guest.flush();
        self.leave(guest, flushed);
    }
}

/// A page that browsers are shown although there is an application, which programs go on to get.
#[derive(Default)]
pub(super) struct Notice {
    /// Looked at for each request, so that the lock is not.
    is_up: AtomicBool,
    page: Mutex<Option<Arc<Apology>>>,
}

impl Notice {
    /// What the request that has begun is to be answered with, if not by the application.
    pub fn instead_of(&self, guest: &Guest) -> Option<Arc<Apology>> {
        if !self.is_up.load(Ordering::Acquire) || guest.rest.is_some() || !wants_html(&guest.connection.turn) {
            return None;
        }
        self.latest()
    }

    fn latest(&self) -> Option<Arc<Apology>> {
        lock(&self.page).clone()
    }
}

impl Engine {
    /// Shows browsers this page from now on: a line and what helps to see it.
    pub fn show(&self, why: &str) {
        *lock(&self.notice.page) = Some(Arc::new(Apology::new(why)));
        self.notice.is_up.store(true, Ordering::Release);
    }
}

/// The page, in each form.
pub(super) struct Apology {
    text: String,
    html: Option<String>,
}

impl Apology {
    fn new(why: &str) -> Apology {
        let shown = if why.is_empty() { "The application is not loaded. It is tried again and again." } else { why };
        Apology {
            text: format!("Service Unavailable\n\n{}\n", shown.trim_end()),
            html: (!why.is_empty()).then(|| page(why)),
        }
    }

    /// Answers the request of this turn with it, RFC 9110 15.6.4.
    fn answer(&self, turn: &mut Turn) -> Result<(), Fault> {
        let html = self.html.as_deref().filter(|_| wants_html(turn));
        let kind: &[u8] = if html.is_some() { b"text/html; charset=utf-8" } else { b"text/plain; charset=utf-8" };
        let content = html.unwrap_or(&self.text);
        turn.begin(b"503 Service Unavailable")?;
        turn.field(b"Content-Type", kind)?;
        turn.field(b"Retry-After", RETRY_AFTER.to_string().as_bytes())?;
        turn.field(b"Cache-Control", b"no-store")?;
        turn.field(b"Vary", b"Accept")?;
        turn.total(content.len() as u64);
        turn.write(content.as_bytes());
        turn.finish();
        Ok(())
    }
}

/// Whether a browser asks: they name the type, programs rarely do.
fn wants_html(turn: &Turn) -> bool {
    let fields = turn.head().fields.iter();
    let mut accepts = fields.filter(|field| turn.text(field.name).eq_ignore_ascii_case(b"accept"));
    accepts.any(|field| turn.text(field.value).to_ascii_lowercase().windows(9).any(|part| part == b"text/html"))
}

/// What a browser shows. It looks again by itself, so that the next good save heals it.
fn page(why: &str) -> String {
    let (why, detail) = why.split_once('\n').unwrap_or((why, ""));
    let (why, detail) = (escaped(why), escaped(detail.trim()));
    format!(
        "<!doctype html>\n<meta charset=utf-8>\n<meta http-equiv=refresh content={RETRY_AFTER}>\n<title>{why}</title>\n\
         <style>{STYLE}</style>\n<h1>Service Unavailable</h1>\n<p>{why}</p>\n<pre>{detail}</pre>\n"
    )
}

const STYLE: &str = "body{margin:2em;font:16px/1.5 sans-serif}h1{font-size:1.2em}p{font-weight:bold;color:#a00}\
    pre{padding:1em;overflow:auto;background:#f4f4f4}\
    @media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}p{color:#f77}pre{background:#222}}";

/// As HTML shows it letter by letter.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::slots::Key;
    use super::*;
    use crate::conn::{Connection, Peer, Waits};
    use crate::output::Piece;
    use crate::turn::{Limits, Moment, Next};
    use crate::wire::http::{body, head};
    use monoceros_shared::config::Bodies;

    const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

    fn turn() -> Turn {
        Turn::new(Arc::new(Limits {
            head: head::Limits { request_line_max: 4096, header_count_max: 100, header_bytes_max: 65536 },
            body: body::Limits { body_bytes_max: 1 << 20, trailer_bytes_max: 4096 },
            bodies: Bodies::Buffer,
            body_memory_max: 64,
            kept_buffer_max: 4096,
            ending: Arc::default(),
        }))
    }

    /// What a client gets for these requests, as they come in one piece, and what its connection needs next.
    fn answers(why: &str, requests: &str) -> (String, Next) {
        let apology = Apology::new(why);
        let mut turn = turn();
        turn.receive(requests.as_bytes(), &MOMENT);
        let mut all = Vec::new();
        loop {
            match turn.next() {
                Next::Call => {
                    turn.run(&MOMENT);
                    apology.answer(&mut turn).unwrap();
                }
                Next::Send => match turn.output().front() {
                    Piece::Bytes(bytes) => {
                        let count = bytes.len();
                        all.extend_from_slice(bytes);
                        turn.output().sent(count);
                    }
                    Piece::Stretch(_) | Piece::Broken | Piece::Nothing => panic!("bytes are to be sent"),
                },
                Next::Wait => turn.restart(&MOMENT),
                next => return (String::from_utf8(all).unwrap(), next),
            }
        }
    }

    const WHY: &str = "cannot import a:b: <NameError> & more\n\nTraceback\n  File \"a.py\"\nNameError: é";

    fn content_length(answer: &str) -> usize {
        let line = answer.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a Content-Length");
        line.parse().unwrap()
    }

    #[test]
    fn in_production_nobody_learns_why() {
        for accept in ["", "Accept: text/html\r\n"] {
            let (answer, next) = answers("", &format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n"));
            let (head, content) = answer.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
            assert!(head.contains("\r\nRetry-After: 2\r\n"), "{head}");
            assert!(head.contains("\r\nContent-Type: text/plain; charset=utf-8\r\n"), "{head}");
            assert_eq!(content_length(head), content.len());
            assert!(content.starts_with("Service Unavailable\n"), "{content}");
            assert_eq!(next, Next::Receive, "the connection stays");
        }
    }

    #[test]
    fn in_development_programs_get_the_traceback_as_text() {
        let (answer, _) = answers(WHY, "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n");
        let content = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(
            content,
            "Service Unavailable\n\ncannot import a:b: <NameError> & more\n\nTraceback\n  File \"a.py\"\nNameError: é\n"
        );
        assert_eq!(content_length(&answer), content.len());
    }

    #[test]
    fn in_development_browsers_get_the_traceback_as_a_page_that_looks_again() {
        let accept = "aCCept: application/xhtml+xml, Text/HTML;q=0.9";
        let (answer, _) = answers(WHY, &format!("GET / HTTP/1.1\r\nHost: a\r\n{accept}\r\n\r\n"));
        let (head, content) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nContent-Type: text/html; charset=utf-8\r\n"), "{head}");
        assert!(content.starts_with("<!doctype html>"), "{content}");
        assert!(content.contains("<p>cannot import a:b: &lt;NameError&gt; &amp; more</p>"), "{content}");
        assert!(content.contains("NameError: é</pre>") && content.contains("http-equiv=refresh"), "{content}");
        assert_eq!(content_length(head), content.len());
    }

    #[test]
    fn a_notice_is_for_browsers_alone() {
        let guest = |accept: &str| {
            let (server, client) = std::os::unix::net::UnixStream::pair().unwrap();
            let socket = socket2::Socket::from(std::os::fd::OwnedFd::from(server));
            let mut turn = turn();
            turn.receive(format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n").as_bytes(), &MOMENT);
            let connection =
                Connection::new(socket, Peer::Unix, 0, turn.into(), Waits::all(std::time::Duration::from_secs(1)));
            (Guest::new(Key::default(), connection), client)
        };
        let notice = Notice::default();
        let is_shown = |accept: &str| notice.instead_of(&guest(accept).0).is_some();
        assert!(!is_shown("text/html"));
        *lock(&notice.page) = Some(Arc::new(Apology::new(WHY)));
        notice.is_up.store(true, Ordering::Release);
        assert!(is_shown("text/html") && !is_shown("*/*") && !is_shown("text/css,*/*;q=0.1"));
    }

    #[test]
    fn head_gets_the_length_and_no_content() {
        let (answer, next) = answers(WHY, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        let (get, _) = answers(WHY, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(content_length(&answer), content_length(&get));
        assert_eq!(next, Next::Receive);
    }

    #[test]
    fn requests_behind_each_other_are_each_told() {
        let post = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (answer, next) = answers("", &format!("{post}{last}"));
        assert_eq!(answer.matches("HTTP/1.1 503 ").count(), 2, "{answer}");
        assert!(matches!(next, Next::End(_)), "{next:?}");
    }
}
