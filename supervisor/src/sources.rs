//! Where events come from: signals, ends of processes, words of workers, and time.
//!
//! ```text
//!   signals  (signal-hook's pipe) --.
//!   pidfds   (readable at an exit) --+--> mio poll --> Stir
//!   bridges  (threads, by a queue  --'
//!             and mio's waker)
//!   control  (see `control`)        --|
//!   output   (see `stdio`)          --'
//! ```
//!
//! This is the only place where the supervisor waits. It knows what stirred, not what follows from it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use signal_hook::consts::signal::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};
use signal_hook_mio::v1_0::Signals;

use crate::bridge::News;
use crate::control::{Ready, TOKENS};
use crate::core::{Cause, Event, Scale, Stop, Wish, WorkerId};
use crate::metrics::endpoint;
use crate::stdio;

const SIGNALS: Token = Token(usize::MAX - 1);
const NEWS: Token = Token(usize::MAX - 2);
const PREFLIGHT: Token = Token(usize::MAX - 3);

/// The signals that mean something to a supervisor.
const SIGNALS_HEARD: [i32; 10] =
    [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH, SIGCHLD];

/// Things taken up in one round. Fewer only mean more rounds.
const STIRS_MAX: usize = 128;

/// What made the supervisor wake up.
#[derive(Debug)]
pub enum Stir {
    /// A signal came that means this.
    Signal(Event),
    /// A signal came that asks to open the log anew.
    Reopen,
    /// A worker's process is gone.
    Gone(WorkerId),
    /// Some child ended, which may be a worker and may be a stranger.
    Child,
    /// A worker's bridge heard something.
    News(WorkerId, News),
    /// The next supervisor has said whether it can take over.
    Preflown,
    /// A socket of the commands' is ready.
    Control(Ready),
    /// A socket of those who watch is ready.
    Watcher(Ready),
    /// A pipe of a worker's is readable.
    Output(Token),
}

/// The poll and what is registered with it.
pub struct Sources {
    poll: Poll,
    events: Events,
    signals: Signals,
    news: Receiver<(WorkerId, News)>,
    post: Post,
}

/// How a bridge reaches the supervisor.
#[derive(Clone)]
pub struct Post {
    news: Sender<(WorkerId, News)>,
    waker: Arc<Waker>,
}

impl Post {
    /// Leaves news and wakes the supervisor.
    pub fn leave(&self, worker: WorkerId, news: News) {
        // Both fail only when the supervisor is about to be gone.
        let _ = self.news.send((worker, news));
        let _ = self.waker.wake();
    }
}

impl Sources {
    /// Takes over the signals that mean something to a supervisor.
    pub fn new() -> io::Result<Sources> {
        let poll = Poll::new()?;
        let mut signals = Signals::new(SIGNALS_HEARD)?;
        poll.registry().register(&mut signals, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), NEWS)?);
        let (sender, news) = mpsc::channel();
        let post = Post { news: sender, waker };
        Ok(Sources { poll, events: Events::with_capacity(STIRS_MAX), signals, news, post })
    }

    /// What bridges are given.
    pub fn post(&self) -> Post {
        self.post.clone()
    }

    /// What processes are watched with.
    pub fn watch(&self) -> io::Result<Watch> {
        Ok(Watch { registry: self.poll.registry().try_clone()? })
    }

    /// What more sockets are registered with, from the token [`TOKENS`] on.
    pub fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone()
    }

    /// What makes [`Sources::wait`] return, for other threads.
    pub fn wake(&self) -> impl Fn() + Send + Sync + use<> {
        let waker = Arc::clone(&self.post.waker);
        // Fails only when the supervisor is about to be gone.
        move || drop(waker.wake())
    }

    /// Waits for something to stir, no longer than `timeout`.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Stir>> {
        change_mask(SigmaskHow::SIG_UNBLOCK)?;
        let polled = self.poll.poll(&mut self.events, timeout);
        change_mask(SigmaskHow::SIG_BLOCK)?;
        // Whatever the poll says: from here to the next wait none can come, so that none is lost should an exec be next.
        let mut stirs: Vec<Stir> = self.signals.pending().filter_map(stir).collect();
        match polled {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(stirs),
            Err(error) => return Err(error),
        }
        for event in &self.events {
            match event.token() {
                SIGNALS => {}
                PREFLIGHT => stirs.push(Stir::Preflown),
                NEWS => stirs.extend(self.news.try_iter().map(|(worker, news)| Stir::News(worker, news))),
                token if token.0 >= endpoint::TOKENS => {
                    stirs.push(Stir::Watcher(Ready { token, is_over: event.is_write_closed() }));
                }
                token if token.0 >= TOKENS => {
                    stirs.push(Stir::Control(Ready { token, is_over: event.is_write_closed() }));
                }
                token if token.0 >= stdio::TOKENS => stirs.push(Stir::Output(token)),
                Token(worker) => stirs.push(Stir::Gone(worker as WorkerId)),
            }
        }
        Ok(stirs)
    }
}

/// Watches processes for their end.
pub struct Watch {
    registry: Registry,
}

impl Watch {
    /// Begins, with a process's pidfd.
    pub fn begin(&self, worker: WorkerId, pidfd: BorrowedFd<'_>) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&pidfd.as_raw_fd()), Token(worker as usize), Interest::READABLE)
    }

    /// Begins to watch who says whether it can take over.
    pub fn begin_preflight(&self, pidfd: BorrowedFd<'_>) -> io::Result<()> {
        self.registry.register(&mut SourceFd(&pidfd.as_raw_fd()), PREFLIGHT, Interest::READABLE)
    }

    /// Ends, before the pidfd is closed.
    pub fn end(&self, pidfd: BorrowedFd<'_>) {
        // Fails only when it was not watched.
        let _ = self.registry.deregister(&mut SourceFd(&pidfd.as_raw_fd()));
    }
}

/// Lets no signal come that means something to a supervisor but while it waits. To be called before the first thread is made, so
/// that none of them takes one. What is blocked at an exec waits for the next program.
pub fn hold_signals() -> io::Result<()> {
    change_mask(SigmaskHow::SIG_BLOCK)
}

fn change_mask(how: SigmaskHow) -> io::Result<()> {
    let heard = SIGNALS_HEARD.into_iter().filter_map(|signal| Signal::try_from(signal).ok());
    Ok(pthread_sigmask(how, Some(&heard.collect::<SigSet>()), None)?)
}

/// What a signal stirs up.
fn stir(signal: i32) -> Option<Stir> {
    match signal {
        SIGCHLD => Some(Stir::Child),
        SIGUSR1 => Some(Stir::Reopen),
        _ => meaning(signal).map(Stir::Signal),
    }
}

/// What a signal asks of the core.
fn meaning(signal: i32) -> Option<Event> {
    let wanted = |wish| Some(Event::Wanted { wish, asker: None });
    match signal {
        SIGTERM => wanted(Wish::Stop(Stop::Graceful)),
        SIGINT | SIGQUIT => wanted(Wish::Stop(Stop::Quick)),
        SIGHUP => wanted(Wish::Reload { cause: Cause::Signal }),
        SIGTTIN => wanted(Wish::ScaleAll { to: Scale::More }),
        SIGTTOU => wanted(Wish::ScaleAll { to: Scale::Less }),
        SIGUSR2 => wanted(Wish::Upgrade),
        SIGWINCH if has_terminal() => Some(Event::Resized),
        SIGWINCH => wanted(Wish::Park),
        _ => None,
    }
}

/// Whether a terminal controls us; then it is the one that says WINCH, and TERM and HUP are there for the rest.
fn has_terminal() -> bool {
    // Opens whatever terminal controls the process that asks, and fails with ENXIO when none does (tty(4)).
    std::fs::File::open("/dev/tty").is_ok()
}
