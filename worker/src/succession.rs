//! What becomes of a worker whose supervisor is gone.
//!
//! ```text
//!   attended --the descriptor socket ends--> orphaned --a rightful claim--> attended by the next supervisor
//!                                               | orphan_timeout, TERM; or at once: on_supervisor_loss is drain
//!                                               v
//!                                            draining, by its own clock --timeouts.drain--> exits
//! ```
//!
//! Rules
//! * A thread of its own waits for all this, for the leader of the poll may be in a call; nothing of it costs a request anything.
//! * Only root and the user that the first supervisor was may claim, by the kernel's word; and only while nobody else attends.
//! * Whoever claims while the worker drains is taken too: it has the listeners still, and somebody sees to its end.
//! * While nobody attends, nobody would kill a drain that takes too long, so the worker ends it itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use monoceros_shared::config::SupervisorLoss;
use monoceros_shared::exit;
use monoceros_shared::link::adoption::{self, Doing, Kinship, Reply};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::link::{Adoption, Assignment, KEPT, Loss, Purpose, VERSION};
use monoceros_shared::stdio::Stream;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slog::{Logger, error, info, warn};

use crate::engine::{Engine, Mode};

/// How long who connects may take to say what it claims. Less fails on a busy machine; more lets who says nothing keep the next
/// one out.
const CLAIM_PATIENCE: Duration = Duration::from_secs(1);

/// How often an orphan looks whether it drains by now. Less wakes it for nothing; more makes its end that much later.
const GLANCE: Duration = Duration::from_millis(250);

/// Who waits for the next supervisor.
pub struct Succession {
    carrier: Arc<Carrier>,
    /// Where it can come, if it can.
    door: Option<(OwnedFd, Adoption)>,
    /// The user that the first supervisor was.
    uid: u32,
    loss: Loss,
    drain: Duration,
    worker: u64,
    generation: u64,
    app: String,
    /// What it is at, unless it drains.
    doing: Doing,
    engine: Arc<Engine>,
    log: Logger,
}

/// What of a worker concerns its supervisors.
pub struct Estate {
    /// The first supervisor's descriptor socket.
    pub carrier: Arc<Carrier>,
    /// The socket on which the next one can come.
    pub door: Option<OwnedFd>,
    /// The user that the first supervisor was.
    pub uid: u32,
}

/// Begins to wait.
///
/// # Errors
/// When the thread cannot be made.
pub fn start(estate: Estate, assignment: &Assignment, engine: &Arc<Engine>, log: &Logger) -> io::Result<()> {
    let succession = Succession {
        carrier: estate.carrier,
        door: estate.door.zip(assignment.adoption.clone()),
        uid: estate.uid,
        loss: assignment.loss,
        drain: assignment.app.timeouts.drain,
        worker: assignment.worker,
        generation: assignment.generation,
        app: assignment.app.name.clone(),
        doing: match assignment.purpose {
            Purpose::Apologise(_) => Doing::Apologising,
            Purpose::Serve | Purpose::Check => Doing::Serving,
        },
        engine: engine.clone(),
        log: log.clone(),
    };
    if let Some((door, _)) = &succession.door {
        // From now on the kernel names this process to whoever connects.
        adoption::listen(door.as_fd())?;
    }
    thread::Builder::new().name("succession".into()).spawn(move || succession.go_on())?;
    Ok(())
}

impl Succession {
    fn go_on(mut self) {
        loop {
            self.attend();
            match self.await_successor() {
                Some(next) => self.carrier = next,
                None => self.end(),
            }
        }
    }

    /// Waits until the supervisor is gone; whoever claims meanwhile is refused.
    fn attend(&self) {
        loop {
            let door = self.door.as_ref().map(|(door, _)| door.as_fd());
            let gone = PollFd::new(self.carrier.as_fd(), PollFlags::empty());
            let mut fds: Vec<PollFd<'_>> =
                [gone].into_iter().chain(door.map(|door| PollFd::new(door, PollFlags::POLLIN))).collect();
            if !matches!(poll(&mut fds, PollTimeout::NONE), Ok(_) | Err(Errno::EINTR)) {
                return;
            }
            if fds[0].any().unwrap_or(false) {
                return;
            }
            if let Some((door, _)) = self.door.as_ref().filter(|_| fds[1].any().unwrap_or(false))
                && let Ok(Some(claimant)) = adoption::accept(door.as_fd())
            {
                self.refuse(&claimant, "its supervisor lives");
            }
        }
    }

    fn refuse(&self, claimant: &Carrier, why: &str) {
        warn!(self.log, "a claim to this worker was refused"; "why" => why);
        // A claim that stays unread would be told as a reset, in the place of the reply; and who is refused may be gone already.
        let _ = adoption::claimed(claimant, GLANCE);
        let _ = claimant.give(&Reply::Refused(why.to_owned()).packed(), None);
    }

    /// Waits for the next supervisor; `None` when the time for a drain has passed in vain.
    fn await_successor(&self) -> Option<Arc<Carrier>> {
        let waits = self.loss.then == SupervisorLoss::Adopt && self.door.is_some();
        let patience = if waits { self.loss.patience } else { Duration::ZERO };
        let next = if waits { "it serves on, and waits for the next one" } else { "it drains" };
        warn!(self.log, "the supervisor is gone"; "next" => next);
        self.engine.keep_output();
        let lonely = Instant::now() + patience;
        let mut end = None;
        loop {
            let now = Instant::now();
            if end.is_none() && (lonely <= now || self.engine.is_draining()) {
                if !self.engine.is_draining() && waits {
                    warn!(self.log, "no supervisor has come within orphan_timeout"; "next" => "it drains");
                }
                self.engine.enter(Mode::Drain);
                end = Some(now + self.drain);
            }
            if end.is_some_and(|end| end <= now) {
                return None;
            }
            let until = end.unwrap_or(lonely).saturating_duration_since(now).min(GLANCE);
            if let Some(next) =
                self.door.as_ref().and_then(|(door, adoption)| self.claimed(door.as_fd(), adoption, until))
            {
                return Some(next);
            }
            if self.door.is_none() {
                thread::park_timeout(until);
            }
        }
    }

    /// Takes a claim, if one comes and is rightful.
    fn claimed(&self, door: BorrowedFd<'_>, adoption: &Adoption, patience: Duration) -> Option<Arc<Carrier>> {
        adoption::wait(door, patience).ok()?;
        let claimant = adoption::accept(door).unwrap_or_else(|error| {
            warn!(self.log, "cannot take a claim to this worker"; "why" => %error);
            // Trying again at once would only spin.
            thread::park_timeout(GLANCE);
            None
        })?;
        match self.admit(&claimant, adoption) {
            Ok(()) => {
                let next = Arc::new(claimant);
                self.engine.succeed(next.clone());
                Some(next)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => {
                self.refuse(&claimant, &error.to_string());
                None
            }
        }
    }

    fn admit(&self, claimant: &Carrier, adoption: &Adoption) -> io::Result<()> {
        let peer = adoption::peer(claimant)?;
        if peer.uid != 0 && peer.uid != self.uid {
            return Err(io::Error::other(format!("permission denied to user {}", peer.uid)));
        }
        let token = adoption::claimed(claimant, CLAIM_PATIENCE)?;
        let reply = Reply::Taken {
            version: VERSION,
            worker: self.worker,
            generation: self.generation,
            doing: if self.engine.is_draining() { Doing::Draining } else { self.doing },
            kinship: if token == Some(adoption.token) { Kinship::Kin } else { Kinship::Stranger },
            app: self.app.clone(),
        };
        claimant.give(&reply.packed(), None)?;
        self.engine.bequeath(|name, descriptor| claimant.send(name, descriptor))?;
        self.hand_output_over(claimant)?;
        claimant.give(adoption::END.as_bytes(), None)?;
        info!(self.log, "another supervisor attends to this worker"; "supervisor" => peer.pid);
        Ok(())
    }

    /// What is printed is read by the next supervisor from now on, with what was kept.
    fn hand_output_over(&self, claimant: &Carrier) -> io::Result<()> {
        let Some(handed) = self.engine.keeper().hand_over()? else { return Ok(()) };
        let passed = Stream::BOTH
            .into_iter()
            .zip(&handed.ends)
            .try_for_each(|(stream, end)| claimant.send(stream.name(), end.as_fd()));
        let passed = passed.and_then(|()| claimant.send(KEPT, handed.kept.as_fd()));
        if passed.is_err() {
            self.engine.keep_output();
        }
        passed
    }

    /// The drain has taken too long, and nobody else sees to it.
    fn end(&self) -> ! {
        error!(self.log, "worker not drained within timeouts.drain"; "next" => "it exits");
        self.leave_no_file();
        signal_hook::low_level::exit(exit::FAILED);
    }

    fn leave_no_file(&self) {
        if let Some((_, adoption)) = &self.door {
            adoption.remove();
        }
    }
}
