//! One request, as a CGI program has it (RFC 3875): from environment and standard input to standard output, and the end.
//!
//! ```text
//!   environment -> head, standard input -> body -> the turn of any other request -> a socket pair -> a thread -> standard output
//! ```
//!
//! What is logged, and what the application writes to `wsgi.errors`, goes to standard error, which the web server has in its log.
//!
//! Known fault: no timeout ends the call, for the web server has one of its own for what it started.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use monoceros_shared::config::{Bodies, CommandLine, from_command_line};
use monoceros_shared::exit;
use monoceros_shared::link::{Assignment, Failure, Loss, Output, Purpose};
use monoceros_shared::log::{self, Outlet};
use slog::Logger;
use socket2::Socket;

use crate::clock::Clock;
use crate::conn::{Connection, Peer, Waits};
use crate::origin::Policy;
use crate::python;
use crate::turn::{Farewell, Limits, Next, Turn};
use crate::wire::gateway::Protocol;
use crate::wire::http::{body, head};

/// How long standard output may take nothing. The web server ends the program long before.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Variables and bytes of an environment, more than any kernel lets a program have.
const ENVIRONMENT_MAX: usize = 1 << 23;

/// Answers the request that this process was started for with the application of this name; the exit status.
pub fn run(wsgi: &str) -> i32 {
    match answer(wsgi) {
        Ok(()) => exit::DONE,
        Err(failure) => {
            let detail = if failure.detail.is_empty() { String::new() } else { format!("\n{}", failure.detail) };
            eprintln!("worker: {}{detail}", failure.why);
            // Whoever asked is told too, though not why.
            let sorry = "Status: 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nInternal Server Error\n";
            let _ = io::stdout().write_all(sorry.as_bytes());
            exit::FAILED
        }
    }
}

fn answer(wsgi: &str) -> Result<(), Failure> {
    let cannot = |why: io::Error| Failure::new(format!("cannot answer a CGI request: {why}"), "");
    let line = CommandLine { wsgi: wsgi.to_owned(), listen: vec!["unix:@none".to_owned()], ..CommandLine::default() };
    let checked = from_command_line(line).map_err(|error| Failure::new(error.to_string(), ""))?;
    let app = checked.config.apps.into_iter().next().ok_or(Failure::new("cannot find the application", ""))?;
    let outlet = Outlet::new(io::stderr().as_fd().try_clone_to_owned().map_err(cannot)?);
    let (logger, _guard) = log::start(&checked.config.log, &outlet);
    let policy = Arc::new(Policy::new(&app, &checked.config.log.access));
    let assignment = Assignment {
        worker: 1,
        generation: 1,
        app,
        // Others run beside this one as a rule.
        siblings: 2,
        log: checked.config.log,
        output: Output::Inherited,
        listeners: vec![String::new()],
        purpose: Purpose::Serve,
        report_files: false,
        loss: Loss { then: checked.config.on_supervisor_loss, patience: Duration::ZERO },
        adoption: None,
    };
    let mut request = environment();
    let gathered = gather(&mut request, assignment.app.limits.body_bytes_max).map_err(cannot)?;
    let application = python::load_once(&assignment, &logger)?;
    let (mut connection, client) = connect(&assignment, &policy).map_err(cannot)?;
    let writer = thread::Builder::new().name("output".into()).spawn(move || write(client)).map_err(cannot)?;
    receive(&mut connection.turn, &request, gathered).map_err(cannot)?;
    serve(&application, connection, &logger);
    // A panic ends the process.
    let _ = writer.join();
    python::finish(&logger);
    Ok(())
}

/// The environment as the wire reads it: each variable with its NUL, and one more at the end.
fn environment() -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in std::env::vars_os() {
        block.extend_from_slice(name.as_bytes());
        block.push(b'=');
        block.extend_from_slice(value.as_bytes());
        block.push(0);
    }
    block.push(0);
    block
}

/// A connection whose client is standard input and output.
fn connect(assignment: &Assignment, policy: &Arc<Policy>) -> io::Result<(Box<Connection>, UnixStream)> {
    let (server, client) = UnixStream::pair()?;
    server.set_nonblocking(true)?;
    let limits = &assignment.app.limits;
    let limits = Limits {
        head: head::Limits {
            request_line_max: limits.request_line_max,
            header_count_max: ENVIRONMENT_MAX,
            header_bytes_max: ENVIRONMENT_MAX,
        },
        body: body::Limits { body_bytes_max: limits.body_bytes_max, trailer_bytes_max: 0 },
        bodies: Bodies::Buffer,
        body_memory_max: limits.body_memory_max,
        kept_buffer_max: 0,
        ending: Arc::default(),
    };
    let mut turn = Turn::new(Arc::new(limits));
    turn.come_by(policy.way(None));
    turn.speak(Protocol::Cgi);
    let connection =
        Connection::new(Socket::from(OwnedFd::from(server)), Peer::Unix, 0, turn.into(), Waits::all(PATIENCE));
    Ok((Box::new(connection), client))
}

/// The body of a request that came in chunks: the web server has decoded them, and does not know their length (`mod_cgid`). So it is all
/// that there is on standard input, and then its length is told here. No more is read than may be.
fn gather(request: &mut Vec<u8>, body_bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let has = |name: &[u8]| request.split(|&byte| byte == 0).any(|variable| variable.starts_with(name));
    if has(b"HTTP_TRANSFER_ENCODING=") && !has(b"CONTENT_LENGTH=") {
        io::stdin().take(body_bytes_max.saturating_add(1)).read_to_end(&mut body)?;
        // In front of the end of the environment.
        request.pop();
        request.extend_from_slice(format!("CONTENT_LENGTH={}\0\0", body.len()).as_bytes());
    }
    Ok(body)
}

/// Reads the request: its head is the environment's, its body what was gathered of it and standard input up to CONTENT_LENGTH.
fn receive(turn: &mut Turn, request: &[u8], gathered: Vec<u8>) -> io::Result<()> {
    let moment = Clock::new().moment();
    turn.receive(request, &moment);
    if !gathered.is_empty() && turn.is_reading() {
        turn.receive(&gathered, &moment);
    }
    drop(gathered);
    let mut buffer = vec![0; 64 * 1024];
    while turn.is_reading() {
        match io::stdin().read(&mut buffer)? {
            0 => turn.end_of_input(&moment),
            count => turn.receive(&buffer[..count], &moment),
        }
    }
    Ok(())
}

/// Has the application answer, or says why it does not see the request.
fn serve(application: &python::Application, mut connection: Box<Connection>, log: &Logger) {
    if let Some(refusal) = connection.turn.take_refusal() {
        slog::warn!(log, "the request was refused"; "status" => refusal.status, "why" => refusal.why);
    }
    if connection.turn.next() == Next::Call {
        connection.turn.run(&Clock::new().moment());
        connection = application.answer_whole(connection);
    }
    // Nobody is left to be told when standard output is gone.
    let _ = connection.flush_waiting();
    connection.say(Farewell::Close);
}

/// Passes on what is answered, to its end.
fn write(mut client: UnixStream) {
    let _ = io::copy(&mut client, &mut io::stdout().lock());
    let _ = io::stdout().flush();
    // The application is not to write for nobody.
    let _ = client.shutdown(Shutdown::Both);
}
