//! Applications called for requests made of bytes, over a socket pair, and what their client gets.

mod answers;
mod files;
mod loading;
mod ready;
mod requests;

use std::ffi::CString;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use monoceros_shared::config::{self, Bodies, SupervisorLoss};
use slog::{Drain, KV, OwnedKVList, Record, Serializer, o};

use super::*;
use crate::conn::{Flushed, Peer, Waits};
use crate::turn::{Farewell, Limits, Moment, Next, Turn};
use crate::wire::http::{body, head};
use monoceros_shared::link::{Loss, Output, Purpose};

const MOMENT: Moment = Moment { now: 0, date: *b"Sun, 06 Nov 1994 08:49:37 GMT" };

/// What came of one request.
struct Exchange {
    /// What the client got with each step of the answer, as latin-1.
    steps: Vec<String>,
    /// What was logged, a line a record.
    log: String,
    /// How the connection would go on.
    next: Next,
    module: Py<PyModule>,
}

impl Exchange {
    fn answer(&self) -> String {
        self.steps.concat()
    }

    fn content(&self) -> String {
        let answer = self.answer();
        answer.split_once("\r\n\r\n").expect("the head ends").1.to_owned()
    }

    /// The connection ends with this answer, although the client asked it to stay.
    fn is_cut(&self) -> bool {
        matches!(self.next, Next::End(Farewell::Reset | Farewell::Close))
    }

    /// The value of an expression in the application's module, as `repr` shows it.
    fn value(&self, expression: &str) -> String {
        value_of(&self.module, expression)
    }
}

fn value_of(module: &Py<PyModule>, expression: &str) -> String {
    Python::attach(|py| {
        let globals = module.bind(py).dict();
        let code = CString::new(expression).unwrap();
        py.eval(&code, Some(&globals), None).unwrap().repr().unwrap().to_string()
    })
}

static MODULES: AtomicUsize = AtomicUsize::new(0);

/// A GET of `/`.
const GET: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

/// The `application` of this source, and its module.
fn application(source: &str, assignment: &Assignment, log: &Logger) -> (Application, Py<PyModule>) {
    Python::initialize();
    Python::attach(|py| {
        let source = CString::new(source).unwrap();
        // A module of its own, for tests run side by side in one process.
        let name = CString::new(format!("app{}", MODULES.fetch_add(1, Ordering::Relaxed))).unwrap();
        let module = PyModule::from_code(py, &source, c"app.py", &name).unwrap();
        let callable = module.getattr("application").unwrap().unbind();
        (Application::new(py, callable, assignment, log.clone()).unwrap(), module.unbind())
    })
}

/// Calls the `application` of this source for this request and pulls its answer to the end.
fn exchange(source: &str, request: &str) -> Exchange {
    exchange_until(source, request, |_| false)
}

/// The same with a client that leaves once `has_enough` of what it got.
fn exchange_until(source: &str, request: &str, has_enough: fn(&str) -> bool) -> Exchange {
    let records = Records::default();
    let log = Logger::root(records.clone().fuse(), o!());
    let (application, module) = application(source, &assignment("127.0.0.1:8000"), &log);
    Python::attach(|py| {
        let (mut connection, mut client) = connect(Peer::Tcp("203.0.113.9:4711".parse().unwrap()));
        connection.turn.receive(&latin1_bytes(request), &MOMENT);
        assert_eq!(connection.turn.next(), Next::Call, "the request is whole");
        connection.turn.run(&MOMENT);
        let mut steps = Vec::new();
        let mut served = application.call(py, connection);
        loop {
            steps.push(receive(&mut served.connection, &mut client));
            let Some(rest) = served.rest else { break };
            if has_enough(&steps.concat()) {
                application.abandon(py, rest);
                break;
            }
            served = application.pull(py, served.connection, rest);
        }
        let next = served.connection.turn.next();
        Exchange { steps, log: records.text(), next, module }
    })
}

fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).expect("latin-1")).collect()
}

/// A connection and its client's end, which does not block.
fn connect(peer: Peer) -> (Box<Connection>, UnixStream) {
    let (server, client) = UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    client.set_nonblocking(true).unwrap();
    let limits = Limits {
        head: head::Limits { request_line_max: 4096, header_count_max: 100, header_bytes_max: 65536 },
        body: body::Limits { body_bytes_max: 1 << 20, trailer_bytes_max: 4096 },
        bodies: Bodies::Buffer,
        body_memory_max: 64,
        kept_buffer_max: 4096,
        ending: Arc::default(),
    };
    let socket = socket2::Socket::from(std::os::fd::OwnedFd::from(server));
    let turn = Turn::new(Arc::new(limits));
    let connection = Connection::new(socket, peer, 0, turn.into(), Waits::all(Duration::from_secs(10)));
    (Box::new(connection), client)
}

/// What is ready for the client, sent and received.
fn receive(connection: &mut Connection, client: &mut UnixStream) -> String {
    let mut all = Vec::new();
    loop {
        let flushed = connection.flush();
        match client.read_to_end(&mut all) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("a socket that stays open: {other:?}"),
        }
        match flushed {
            Flushed::Full => {}
            Flushed::All => return all.into_iter().map(char::from).collect(),
            Flushed::Gone => panic!("the client is there"),
        }
    }
}

/// An assignment as the config makes it, with one listener.
fn assignment(listen: &str) -> Assignment {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.yaml");
    std::fs::write(&file, format!("apps:\n  hello:\n    wsgi: hello:application\n    listen: {listen:?}\n")).unwrap();
    let config = config::read(&file).unwrap().config;
    let app = config.apps[0].clone();
    let listeners = app.listen.iter().map(|listener| listener.address.to_string()).collect();
    Assignment {
        worker: 3,
        generation: 2,
        app,
        siblings: 4,
        log: config.log,
        output: Output::Inherited,
        listeners,
        purpose: Purpose::Serve,
        report_files: false,
        loss: Loss { then: SupervisorLoss::Drain, patience: Duration::ZERO },
        adoption: None,
    }
}

/// Log records as text.
#[derive(Clone, Default)]
struct Records(Arc<Mutex<String>>);

impl Records {
    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Drain for Records {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let mut line = Line(format!("{} {}", record.level().as_short_str(), record.msg()));
        record.kv().serialize(record, &mut line).unwrap();
        *self.0.lock().unwrap() += &(line.0 + "\n");
        Ok(())
    }
}

struct Line(String);

impl Serializer for Line {
    fn emit_arguments(&mut self, key: slog::Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.0 += &format!(" {key}={value}");
        Ok(())
    }
}
