//! Finds the workers whose supervisor is gone, and takes them over.
//!
//! ```text
//!   NAME.worker-N.sock --connect--> refused: nobody is there any more, the file is removed
//!                      \-> claim -> reply, scoreboard, listeners, end     all at once, within PATIENCE
//!                                   \-> silence: known by the record and the kernel alone
//! ```
//!
//! Rule: which process a worker is, the kernel says (`SO_PEERCRED` of a socket on which that process listens) and never the worker:
//! what runs in it may want another one killed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use monoceros_shared::link::adoption::{self, Doing, END, Kinship, Reply};
use monoceros_shared::link::fd::{Carrier, Taken};
use monoceros_shared::link::{SCOREBOARD, VERSION};
use monoceros_shared::scoreboard::{Scoreboard, Size};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use slog::{Logger, info, warn};

use super::state::Place;
use super::{Heritage, Kin, Record, Speech, gather, new_token};
use crate::core::WorkerId;
use crate::core::legacy::{Found, Legacy, Remains, Seat};
use crate::core::plan::Plan;
use crate::listen::{Sockets, cause};
use crate::spawn::Process;

/// How long workers may take to answer a claim. A thread of theirs waits for nothing else, so a tenth of it is long; less takes one
/// on a busy machine for one that hangs, more keeps a start waiting for one that does.
const PATIENCE: Duration = Duration::from_secs(3);

/// A worker that is being claimed.
struct Claim {
    worker: WorkerId,
    file: PathBuf,
    carrier: Carrier,
    process: Process,
    reply: Option<Reply>,
    given: BTreeMap<String, OwnedFd>,
    state: Answer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Awaited,
    Whole,
    Broken,
}

/// What an earlier supervisor of this server left, if any of its workers lives.
///
/// # Errors
/// As [`gather`].
pub fn inherit(
    place: &Place,
    (plan, sockets): (&Plan, &mut Sockets),
    log: &Logger,
) -> Result<Option<Heritage>, String> {
    let record = place.record();
    let mut claims = connect(place, record.as_ref().ok(), log);
    if claims.is_empty() {
        return Ok(None);
    }
    if let Err(why) = &record {
        let why = if why.is_empty() { "its record is not there" } else { why };
        warn!(log, "workers of an earlier supervisor serve until others do: nothing is known of them"; "why" => why);
    }
    let record = record.or_else(|_| new_token().map(|token| Record::new(Instant::now(), token)))?;
    hear_all(&mut claims);
    let mut listeners = BTreeMap::new();
    let mut found = BTreeMap::new();
    let mut workers = BTreeMap::new();
    for claim in claims {
        let worker = claim.worker;
        if let Some((it, kin)) = claim.settle(&record.legacy, &mut listeners, log) {
            found.insert(worker, it);
            workers.insert(worker, kin);
        }
    }
    let bound = gather(&record, listeners, (plan, sockets), log)?;
    info!(log, "workers of an earlier supervisor are taken over"; "workers" => workers.len());
    let remains = Remains { legacy: record.legacy.clone(), found, bound };
    Ok(Some(Heritage { began: record.began(), token: record.token, remains, workers, ledger: record.ledger }))
}

/// Claims every worker that is there.
fn connect(place: &Place, record: Option<&Record>, log: &Logger) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (worker, file) in place.workers() {
        let claimed = adoption::connect(&file).and_then(|carrier| {
            let process = Process::of(adoption::peer(&carrier)?.pid)?;
            adoption::claim(&carrier, record.map(|record| &record.token))?;
            Ok((carrier, process))
        });
        match claimed {
            Ok((carrier, process)) => claims.push(Claim {
                worker,
                file,
                carrier,
                process,
                reply: None,
                given: BTreeMap::new(),
                state: Answer::Awaited,
            }),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                // It cannot be removed only where nothing can be made either.
                let _ = fs::remove_file(&file);
            }
            Err(error) => warn!(log, "a worker cannot be claimed"; "worker" => worker, "why" => cause(&error)),
        }
    }
    claims
}

/// Waits for all answers at once.
fn hear_all(claims: &mut [Claim]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        claims.iter_mut().for_each(Claim::hear);
        let awaited = claims.iter().filter(|claim| claim.state == Answer::Awaited);
        let mut fds: Vec<_> = awaited.map(|claim| PollFd::new(claim.carrier.as_fd(), PollFlags::POLLIN)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if fds.is_empty() || left.is_zero() {
            return;
        }
        let left = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        // Whatever it says, the claims are looked at, and the deadline holds.
        let _ = poll(&mut fds, left);
    }
}

impl Claim {
    /// Takes what has come.
    fn hear(&mut self) {
        while self.state == Answer::Awaited {
            match self.hear_one() {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => self.state = Answer::Broken,
            }
        }
    }

    /// Whether something was there.
    fn hear_one(&mut self) -> io::Result<bool> {
        if self.reply.is_none() {
            self.reply = Reply::take(&self.carrier)?;
            return Ok(self.reply.is_some());
        }
        match self.carrier.try_receive()? {
            Taken::Nothing => return Ok(false),
            Taken::End => self.state = Answer::Broken,
            Taken::Packet((name, Some(descriptor))) => {
                self.given.insert(name, descriptor);
            }
            Taken::Packet((name, None)) if name == END => self.state = Answer::Whole,
            Taken::Packet((_, None)) => {}
        }
        Ok(true)
    }

    /// What it came to. The listeners that it gave go to the others'.
    fn settle(
        mut self,
        legacy: &Legacy,
        listeners: &mut BTreeMap<String, OwnedFd>,
        log: &Logger,
    ) -> Option<(Found, Kin)> {
        let worker = self.worker;
        let pid = self.process.pid();
        let board = self.given.remove(SCOREBOARD).and_then(|memory| Scoreboard::open(memory).ok());
        let scoreboard = board.map_or_else(|| Scoreboard::create(Size::BLANK).map(|(blank, _)| blank), Ok).ok()?;
        let is_listener = |name: &String| name.contains(':');
        let (given, others): (BTreeMap<_, _>, _) =
            std::mem::take(&mut self.given).into_iter().partition(|(name, _)| is_listener(name));
        given.into_iter().for_each(|(name, socket)| {
            listeners.entry(name).or_insert(socket);
        });
        let known = legacy.workers.get(&worker).filter(|known| known.pid == pid);
        let (found, speech) = match self.reply.take() {
            Some(Reply::Taken { version, generation, doing, kinship, app, .. }) => {
                let kin = version == VERSION && known.is_some() && kinship == Kinship::Kin;
                let kinship = if kin { Kinship::Kin } else { Kinship::Stranger };
                let speech = if version == VERSION { Speech::Words } else { Speech::Signals };
                (Found { pid, app, generation, doing, kinship }, speech)
            }
            Some(Reply::Refused(why)) => {
                warn!(log, "a worker cannot be claimed"; "worker" => worker, "pid" => pid, "why" => why);
                return None;
            }
            // Somebody lives there, and says nothing: it is attended to like one that hangs.
            None => {
                warn!(log, "a worker does not answer: it is replaced"; "worker" => worker, "pid" => pid);
                let (app, generation) =
                    known.map(|known| (legacy.app_of(known).to_owned(), known.generation)).unwrap_or_default();
                let apologises = known.is_some_and(|known| known.place == Seat::Apology);
                let doing = if apologises { Doing::Apologising } else { Doing::Serving };
                (Found { pid, app, generation, doing, kinship: Kinship::Stranger }, Speech::Signals)
            }
        };
        let Claim { carrier, process, file, .. } = self;
        let generation = found.generation;
        Some((found, Kin { generation, process, carrier, scoreboard, file: Some(file), speech, others }))
    }
}
