//! A worker's life, told once: adopt the link, load, say so, serve when told to, drain, exit.
//!
//! The main thread starts Python, imports the application and is then the first runner. A bridge thread listens for the
//! supervisor's words. The end of the descriptor socket means that the supervisor is gone: see `succession`.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use monoceros_shared::link::channel::{self, Receiver, Sender};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::link::{
    ADOPTION, Adoption, Assignment, BELL, Failure, FromWorker, LOG, OFFERS, Output, Purpose, SCOREBOARD, TABLE, TAKES,
    ToWorker, VERSION, fitting,
};
use monoceros_shared::log::{self, Outlet};
use monoceros_shared::scoreboard::Scoreboard;
use monoceros_shared::stdio::Stream;
use monoceros_shared::tls::Parcel;
use monoceros_shared::{config, exit};
use nix::sys::signal::SigSet;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use slog::{Logger, o};

use crate::access::Access;
use crate::access::line::Form;
use crate::descriptors::Noted;
use crate::engine::offers::Offers;
use crate::engine::pulse::Heart;
use crate::engine::siblings::Siblings;
use crate::engine::{Engine, Entrance, Leave, Mode, Parts, Say, apology, greenlets, threads, tornado};
use crate::keeper::Keeper;
use crate::origin::Policy;
use crate::python::Application;
use crate::succession::{self, Estate};
use crate::tls::Terms;
use crate::{descriptors, heap, privileges, python};

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
            "worker: the supervisor starts me; run `supervisor run -c FILE`, or `supervisor run MODULE:CALLABLE`; \
            `worker --cgi MODULE:CALLABLE` answers one CGI request"
        );
        return Ok(exit::USAGE);
    };
    heap::learn();
    // It was exec'd by way of a descriptor, which is no name to be seen under.
    nix::sys::prctl::set_name(c"worker")?;
    // The supervisor blocks its signals but while it waits, and this was inherited.
    SigSet::empty().thread_set_mask()?;
    let greeting = carrier.greeting()?;
    let ((sender, receiver), noted) = Noted::around(|| channel::connect(&greeting.channel))?;
    let ToWorker::Assignment(assignment) = receiver.receive()? else {
        return Err(io::Error::other(format!(
            "cannot begin: the first word was no assignment (link version {VERSION})"
        )));
    };
    let uid = nix::unistd::geteuid().as_raw();
    // Before anything of ours or of the application's starts: a thread would keep some of who it was.
    if let Err(failure) = privileges::settle(&assignment.app, &assignment.purpose) {
        sender.send(&FromWorker::Failed(failure))?;
        return Ok(exit::FAILED);
    }
    let outlet = Outlet::new(receive(&carrier, LOG)?);
    let (logger, guard) = log::start(&assignment.log, &outlet);
    let guard = Arc::new(Mutex::new(Some(guard)));
    let logger = logger.new(
        o!("app" => assignment.app.name.clone(), "worker" => assignment.worker, "generation" => assignment.generation),
    );
    let worker = Worker {
        carrier: Arc::new(carrier),
        uid,
        sender: Arc::new(Mutex::new(sender)),
        bridge: (noted, receiver),
        assignment: *assignment,
        log: logger,
        guard: guard.clone(),
        outlet,
    };
    let status = worker.serve();
    flush(&guard);
    status
}

/// What is logged is written, once.
fn flush(guard: &Mutex<Option<log::Guard>>) {
    drop(guard.lock().unwrap_or_else(PoisonError::into_inner).take());
}

/// A panic is a bug of ours. One thread less would go unseen for long, so the whole worker ends, and the supervisor replaces it.
fn end_with_any_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// How every thread speaks to the supervisor.
type Voice = Arc<Mutex<Sender<FromWorker>>>;

fn say(voice: &Voice, word: &FromWorker) -> io::Result<()> {
    voice.lock().unwrap_or_else(PoisonError::into_inner).send(word)
}

/// A worker that knows what it is to run.
struct Worker {
    carrier: Arc<Carrier>,
    /// The user that the supervisor is.
    uid: u32,
    sender: Voice,
    /// Dropped in this order.
    bridge: (Noted, Receiver<ToWorker>),
    assignment: Assignment,
    log: Logger,
    guard: Arc<Mutex<Option<log::Guard>>>,
    outlet: Outlet,
}

impl Worker {
    fn serve(self) -> io::Result<i32> {
        let keeper = Keeper::new(self.receive_output()?)?;
        let scoreboard = Arc::new(Scoreboard::open(receive(&self.carrier, SCOREBOARD)?)?);
        self.outlet.count_on(&scoreboard);
        let (siblings, offers) = self.receive_siblings()?;
        let listeners = self.receive_listeners()?;
        let form = Form::new(&self.assignment);
        let access = form.map(|form| Access::start(form, &self.outlet, &self.log)).transpose()?;
        let door = self.assignment.adoption.as_ref().map(|_| receive(&self.carrier, ADOPTION)).transpose()?;
        let estate = Estate { carrier: self.carrier.clone(), door, uid: self.uid };
        let (channels, renewals) = mpsc::channel();
        let (word, leave) = (self.say_or_log(), self.leave());
        let parts = Parts {
            listeners,
            carrier: self.carrier,
            channels,
            scoreboard,
            siblings,
            offers,
            log: self.log.clone(),
            outlet: self.outlet,
            keeper,
            access,
            policy: Arc::new(Policy::new(&self.assignment.app, &self.assignment.log.access)),
            alarm: on_signals()?,
            say: word,
            leave,
        };
        let engine = Arc::new(Engine::new(&self.assignment.app, self.assignment.siblings, parts)?);
        descriptors::note_all()?;
        let bridge = Bridge { engine: engine.clone(), voice: self.sender.clone(), renewals, log: self.log.clone() };
        let channel = self.bridge;
        thread::Builder::new().name("bridge".into()).spawn(move || bridge.listen(channel))?;
        succession::start(estate, &self.assignment, &engine, &self.log)?;
        if let Purpose::Apologise(why) = &self.assignment.purpose {
            engine.begin_to_beat(Heart::IoAlone);
            say(&self.sender, &FromWorker::Loaded { files: Vec::new() })?;
            apology::run(&engine, why)?;
        } else {
            let application = match load(&self.assignment, &self.log) {
                Ok(application) => Arc::new(application),
                Err(failure) => {
                    say(&self.sender, &FromWorker::Failed(failure))?;
                    return Ok(exit::FAILED);
                }
            };
            let files = if self.assignment.report_files { python::files(&self.assignment.app) } else { Vec::new() };
            engine.begin_to_beat(Heart::Python);
            say(&self.sender, &FromWorker::Loaded { files })?;
            match self.assignment.app.engine {
                config::Engine::Threads => threads::run(&engine, &application)?,
                config::Engine::Tornado => tornado::run(&engine, &application)?,
                config::Engine::Gevent | config::Engine::Eventlet => greenlets::run(&engine, &application)?,
            }
        }
        engine.finish();
        self.assignment.adoption.iter().for_each(Adoption::remove);
        engine.keeper().finish(&self.log);
        Ok(if engine.is_broken() { exit::FAILED } else { exit::DONE })
    }

    fn say_or_log(&self) -> Say {
        let (voice, log) = (self.sender.clone(), self.log.clone());
        Box::new(move |word| {
            // That it has left is told to the next supervisor too, so one that is gone needs no line.
            let is_repeated = matches!(word, FromWorker::Left);
            if let Err(error) = say(&voice, &word)
                && !is_repeated
            {
                slog::warn!(log, "cannot speak to the supervisor"; "why" => %error);
            }
        })
    }

    fn leave(&self) -> Leave {
        let guard = self.guard.clone();
        Box::new(move |status| {
            flush(&guard);
            signal_hook::low_level::exit(status);
        })
    }

    /// The read ends of what we print to, if those are pipes.
    fn receive_output(&self) -> io::Result<Option<[OwnedFd; 2]>> {
        match self.assignment.output {
            Output::Inherited => Ok(None),
            Output::Piped => {
                let [out, err] = Stream::BOTH.map(|stream| receive(&self.carrier, stream.name()));
                Ok(Some([out?, err?]))
            }
        }
    }

    /// How it shares clients with the others, and, if it is to serve the application, requests.
    fn receive_siblings(&self) -> io::Result<(Siblings, Option<Offers>)> {
        let get = |name| receive(&self.carrier, name);
        let siblings = Siblings::new(get(TABLE)?, get(BELL)?)?;
        let offers = Offers::new(get(OFFERS)?, get(TAKES)?)?;
        Ok((siblings, matches!(self.assignment.purpose, Purpose::Serve).then_some(offers)))
    }

    /// The listeners, in the assignment's order, and behind them what those of TLS need.
    fn receive_listeners(&self) -> io::Result<Vec<Entrance>> {
        let names = &self.assignment.listeners;
        let entrance =
            |name: &String| Ok(Entrance { name: name.clone(), socket: receive(&self.carrier, name)?, terms: None });
        let mut entrances = names.iter().map(entrance).collect::<io::Result<Vec<_>>>()?;
        for listener in self.assignment.app.listen.iter().filter(|listener| listener.tls.is_some()) {
            let name = listener.address.to_string();
            if let Some(entrance) = entrances.iter_mut().find(|entrance| entrance.name == name) {
                entrance.terms =
                    Terms::open(listener, receive(&self.carrier, &Parcel::name(&name))?).map_err(io::Error::other)?;
            }
        }
        Ok(entrances)
    }
}

fn receive(carrier: &Carrier, name: &str) -> io::Result<OwnedFd> {
    match carrier.receive()? {
        Some((received, descriptor)) if received == name => Ok(descriptor),
        Some((received, _)) => {
            Err(io::Error::other(format!("cannot take descriptors: expected {name}, not {received}")))
        }
        None => Err(io::Error::other("cannot take descriptors: the supervisor is gone")),
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

/// The bridge from the supervisor's words to the engine, from one channel to the next.
struct Bridge {
    engine: Arc<Engine>,
    voice: Voice,
    /// The names of channels that take the place of the one before.
    renewals: mpsc::Receiver<String>,
    log: Logger,
}

impl Bridge {
    fn listen(self, first: (Noted, Receiver<ToWorker>)) {
        self.listen_to(&first.1);
        drop(first);
        while let Ok(name) = self.renewals.recv() {
            match Noted::around(|| channel::connect(&name)) {
                Ok(((sender, receiver), noted)) => {
                    *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = sender;
                    self.repeat();
                    self.listen_to(&receiver);
                    // Before the receiver is closed, which it is next.
                    drop(noted);
                }
                Err(why) => slog::warn!(self.log, "the supervisor's words do not reach this worker"; "why" => %why),
            }
        }
    }

    /// Tells the next supervisor what it may not have heard from the one before.
    fn repeat(&self) {
        if self.engine.has_left() {
            // A supervisor that is gone by now does not want to know.
            drop(say(&self.voice, &FromWorker::Left));
        }
    }

    /// Until the channel ends.
    fn listen_to(&self, receiver: &Receiver<ToWorker>) {
        let engine = &self.engine;
        loop {
            match receiver.receive() {
                Ok(ToWorker::Serve) => engine.enter(Mode::Serve),
                Ok(ToWorker::Drain) => engine.enter(Mode::Drain),
                Ok(ToWorker::Notice(why)) => engine.show(&why),
                // Nothing is to be finished, so nothing is waited for: not a call, not an import.
                Ok(ToWorker::Quit) => signal_hook::low_level::exit(exit::DONE),
                // A supervisor that is gone meanwhile does not want to know.
                Ok(ToWorker::Stacks) => drop(say(&self.voice, &FromWorker::Stacks(fitting(engine.stacks())))),
                Ok(ToWorker::Assignment(_)) => {}
                // Nobody can tell it to serve any more, and an import that hangs would keep it, and the listeners, for ever.
                Err(_) if !engine.is_adopted() => signal_hook::low_level::exit(exit::FAILED),
                // By itself this means nothing: the end of the descriptor socket says whether the supervisor is gone.
                Err(_) => return,
            }
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
