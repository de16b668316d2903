//! A worker's life, told once: adopt the link, load, say so, serve when told to, drain, exit.
//!
//! The main thread starts Python, imports the application and is then the first runner. A bridge thread listens for the
//! supervisor's words. The end of the descriptor socket means that the supervisor is gone: the worker then finishes what it
//! has and exits, for nobody would replace it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use monoceros_shared::config::RunAs;
use monoceros_shared::exit;
use monoceros_shared::link::channel::{self, Receiver, Sender};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::link::{Assignment, Failure, FromWorker, Purpose, ToWorker, VERSION};
use monoceros_shared::log;
use monoceros_shared::scoreboard::Scoreboard;
use monoceros_shared::tls::Parcel;
use nix::unistd::{Gid, Uid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use slog::{Logger, o};

use crate::engine::{Engine, Entrance, Mode, Parts, apology, threads};
use crate::python::Application;
use crate::tls::Terms;
use crate::{descriptors, python};

/// Lives the whole life; gives the exit status.
pub fn run() -> i32 {
    end_with_any_panic();
    match live() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("worker: {error}");
            exit::FAILED
        }
    }
}

fn live() -> io::Result<i32> {
    let Ok(carrier) = Carrier::adopt_stdin() else {
        eprintln!(
            "worker: the supervisor starts me; run `supervisor run -c FILE`, or `supervisor run MODULE:CALLABLE`"
        );
        return Ok(exit::USAGE);
    };
    // It was exec'd by way of a descriptor, which is no name to be seen under.
    nix::sys::prctl::set_name(c"worker")?;
    let greeting = carrier.greeting()?;
    let (sender, receiver) = channel::connect(&greeting.channel)?;
    let ToWorker::Assignment(assignment) = receiver.receive()? else {
        return Err(io::Error::other(format!(
            "cannot begin: the first word was no assignment (link version {VERSION})"
        )));
    };
    let (logger, guard) = log::start(&assignment.log);
    let logger = logger.new(
        o!("app" => assignment.app.name.clone(), "worker" => assignment.worker, "generation" => assignment.generation),
    );
    let worker = Worker { carrier, sender, receiver, assignment: *assignment, log: logger };
    let status = worker.serve();
    drop(guard);
    status
}

/// A panic is a bug of ours. One thread less would go unseen for long, so the whole worker ends, and the supervisor replaces it.
fn end_with_any_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// A worker that knows what it is to run.
struct Worker {
    carrier: Carrier,
    sender: Sender<FromWorker>,
    receiver: Receiver<ToWorker>,
    assignment: Assignment,
    log: Logger,
}

impl Worker {
    fn serve(self) -> io::Result<i32> {
        let (scoreboard, listeners) = self.receive_descriptors()?;
        if let Some(run_as) = &self.assignment.app.run_as {
            become_user(run_as)?;
        }
        let parts = Parts {
            listeners,
            carrier: self.carrier,
            scoreboard,
            log: self.log.clone(),
            access: self.assignment.log.access,
            alarm: on_signals()?,
        };
        let engine = Arc::new(Engine::new(&self.assignment.app, self.assignment.siblings, parts)?);
        descriptors::note_all()?;
        let bridge = engine.clone();
        let receiver = self.receiver;
        thread::Builder::new().name("bridge".into()).spawn(move || listen(&receiver, &bridge))?;
        if let Purpose::Apologise(why) = &self.assignment.purpose {
            self.sender.send(&FromWorker::Loaded { files: Vec::new() })?;
            apology::run(&engine, why);
        } else {
            let application = match load(&self.assignment, &self.log) {
                Ok(application) => Arc::new(application),
                Err(failure) => {
                    self.sender.send(&FromWorker::Failed(failure))?;
                    return Ok(exit::FAILED);
                }
            };
            let files = if self.assignment.report_files { python::files(&self.assignment.app) } else { Vec::new() };
            self.sender.send(&FromWorker::Loaded { files })?;
            threads::run(&engine, &application)?;
        }
        Ok(if engine.is_broken() { exit::FAILED } else { exit::DONE })
    }

    /// The scoreboard and the listeners, in the assignment's order, and behind them what those of TLS need.
    fn receive_descriptors(&self) -> io::Result<(Arc<Scoreboard>, Vec<Entrance>)> {
        let scoreboard = Scoreboard::open(self.receive("scoreboard")?)?;
        let names = &self.assignment.listeners;
        let entrance = |name: &String| Ok(Entrance { name: name.clone(), socket: self.receive(name)?, terms: None });
        let mut entrances = names.iter().map(entrance).collect::<io::Result<Vec<_>>>()?;
        for listener in self.assignment.app.listen.iter().filter(|listener| listener.tls.is_some()) {
            let name = listener.address.to_string();
            if let Some(entrance) = entrances.iter_mut().find(|entrance| entrance.name == name) {
                entrance.terms =
                    Terms::open(listener, self.receive(&Parcel::name(&name))?).map_err(io::Error::other)?;
            }
        }
        Ok((Arc::new(scoreboard), entrances))
    }

    fn receive(&self, name: &str) -> io::Result<OwnedFd> {
        match self.carrier.receive()? {
            Some((received, descriptor)) if received == name => Ok(descriptor),
            Some((received, _)) => {
                Err(io::Error::other(format!("cannot take descriptors: expected {name}, not {received}")))
            }
            None => Err(io::Error::other("cannot take descriptors: the supervisor is gone")),
        }
    }
}

/// The application, imported and ready. A check does not ask it whether it is ready, for what that needs may be elsewhere.
fn load(assignment: &Assignment, log: &Logger) -> Result<Application, Failure> {
    let application = python::load(assignment, log)?;
    python::on_fork(descriptors::close_all);
    if assignment.purpose == Purpose::Serve {
        python::check(&application, assignment, log)?;
    }
    Ok(application)
}

/// The bridge from the supervisor's words to the engine.
fn listen(receiver: &Receiver<ToWorker>, engine: &Engine) {
    loop {
        match receiver.receive() {
            Ok(ToWorker::Serve) => engine.enter(Mode::Serve),
            Ok(ToWorker::Drain) => engine.enter(Mode::Drain),
            Ok(ToWorker::Notice(why)) => engine.show(&why),
            // Nothing is to be finished, so nothing is waited for: not a call, not an import.
            Ok(ToWorker::Quit) => signal_hook::low_level::exit(exit::DONE),
            Ok(ToWorker::Assignment(_) | ToWorker::Stacks) => {}
            // Nobody can tell it to serve any more, and an import that hangs would keep it, and the listeners, for ever.
            Err(_) if !engine.is_adopted() => signal_hook::low_level::exit(exit::FAILED),
            // By itself this means nothing: the end of the descriptor socket says whether the supervisor is gone.
            Err(_) => return,
        }
    }
}

/// TERM drains and INT and QUIT end a worker at once; the other signals are the supervisor's, and sent to a worker by
/// mistake (`pkill -HUP`) must not kill it. Gives a descriptor that is readable after a TERM.
fn on_signals() -> io::Result<OwnedFd> {
    let (readable, written) = UnixStream::pair()?;
    readable.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(SIGTERM, written)?;
    for signal in [SIGINT, SIGQUIT] {
        signal_hook::flag::register_conditional_shutdown(signal, exit::DONE, Arc::new(true.into()))?;
    }
    for signal in [SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH] {
        signal_hook::flag::register(signal, Arc::new(false.into()))?;
    }
    Ok(readable.into())
}

/// Becomes this user for good, with the supplementary groups that it has.
fn become_user(run_as: &RunAs) -> io::Result<()> {
    let cannot = |error: nix::errno::Errno| io::Error::other(format!("cannot become user {}: {error}", run_as.user));
    let name = std::ffi::CString::new(run_as.user.as_str())?;
    let gid = Gid::from_raw(run_as.gid);
    let uid = Uid::from_raw(run_as.uid);
    if nix::unistd::geteuid().is_root() {
        nix::unistd::initgroups(&name, gid).map_err(cannot)?;
    }
    nix::unistd::setgid(gid).map_err(cannot)?;
    nix::unistd::setuid(uid).map_err(cannot)
}
