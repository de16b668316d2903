//! The beginning of a program that another one has become: takes up what is there, or goes back.
//!
//! ```text
//!   environment -> memory -> baggage -> config -> (all is understood) -> descriptors are owned -> Heritage
//!                     \----------\---------\--> back to the program before, which goes on and says why
//! ```

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use monoceros_shared::config::Config;
use monoceros_shared::link::VERSION;
use monoceros_shared::link::adoption::{Doing, Kinship};
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::scoreboard::{Scoreboard, Size};
use slog::Logger;

use super::baggage::{Baggage, ControlBaggage, WorkerBaggage, let_through, own};
use super::departure::{self, FAILED, SUCCESSION};
use super::preflight::config_of;
use super::{FORM, Heritage, Kin, Speech, gather};
use crate::core::Asker;
use crate::core::legacy::{Found, Remains, Seat};
use crate::core::plan::Plan;
use crate::listen::Sockets;
use crate::metrics::endpoint::Packed;
use crate::pid_file::PidFile;
use crate::spawn::{Process, Program};

/// The form that this program reads, if it is to be another than it is: for tests of what an older build would do.
const PRETENDED_FORM: &str = "MONOCEROS_SUCCESSION_FORM";

/// How a program begins.
pub enum Arrival {
    /// As any does.
    Fresh,
    /// As what another one has become.
    With(Box<Luggage>),
    /// Not at all: this is the exit status.
    Ended(i32),
}

/// What came through the exec, understood and not yet owned.
pub struct Luggage {
    baggage: Baggage,
    /// The config that was run, if this build reads what the one before wrote.
    pub config: Option<Config>,
    memory: OwnedFd,
    program: OwnedFd,
    mark: String,
    /// Why it is the program before that goes on, if so.
    pub failed: Option<String>,
}

/// What is left of it when the workers and the listeners are cared for.
pub struct Rest {
    /// The control socket.
    pub control: ControlBaggage,
    /// Who waits for the upgrade.
    pub askers: Vec<Asker>,
    /// Why it is the program before that goes on, if so.
    pub failed: Option<String>,
    /// The worker, if it is that of the program before.
    pub worker: Option<Program>,
    /// Where the next program is looked for.
    pub next: std::path::PathBuf,
    /// What whoever started the first supervisor left open.
    pub left_open: Vec<RawFd>,
    /// The pid file.
    pub pid_file: Option<Result<PidFile, String>>,
    /// Where those connect who watch.
    pub endpoint: Option<Packed>,
    /// Process groups of which something is left that is to go.
    pub left: Vec<u32>,
}

/// Finds out. To be called before anything is opened.
pub fn arrive() -> Arrival {
    let Some(mark) = std::env::var(SUCCESSION).ok() else { return Arrival::Fresh };
    let Some((memory, program)) = owned(&mark) else { return Arrival::Fresh };
    let failed = std::env::var(FAILED).ok();
    match understand(&memory, failed.is_some()) {
        Ok(baggage) => {
            let config = config_of(&baggage).ok();
            Arrival::With(Box::new(Luggage { baggage, config, memory, program, mark, failed }))
        }
        Err(why) if failed.is_none() => Arrival::Ended(back((&memory, &program), &mark, &why)),
        Err(why) => {
            eprintln!("supervisor: {why}. Workers serve on");
            Arrival::Ended(monoceros_shared::exit::FAILED)
        }
    }
}

/// The two descriptors that the environment names. A name that somebody set who is no supervisor names none.
fn owned(mark: &str) -> Option<(OwnedFd, OwnedFd)> {
    let (memory, program) = mark.split_once(',')?;
    Some((own(memory.parse().ok()?).ok()?, own(program.parse().ok()?).ok()?))
}

/// Has the program before go on; the exit status if that cannot be.
fn back((memory, program): (&OwnedFd, &OwnedFd), mark: &str, why: &str) -> i32 {
    eprintln!("supervisor: {why}; next: the program before goes on");
    let through = let_through([memory, program].map(AsRawFd::as_raw_fd));
    let why = through.map_or_else(|error| error.to_string(), |()| why.to_owned());
    departure::back(program.as_fd(), mark, &why)
}

/// Reads what came; it is understood in any case by the program that wrote it.
fn understand(memory: &OwnedFd, is_back: bool) -> Result<Baggage, String> {
    let pretended = || std::env::var(PRETENDED_FORM).ok()?.parse().ok();
    let form = if is_back { FORM } else { pretended().unwrap_or(FORM) };
    let baggage = Baggage::unpack(memory.as_fd(), form)?;
    if baggage.pid != std::process::id() {
        return Err("what the supervisor left is for another process".into());
    }
    Ok(baggage)
}

impl Luggage {
    /// Has the program before go on after all; the exit status if that cannot be.
    pub fn back(&self, why: &str) -> i32 {
        back((&self.memory, &self.program), &self.mark, why)
    }

    /// Owns what came, and sorts it.
    ///
    /// # Errors
    /// One line.
    pub fn unpack(self, (plan, sockets): (&Plan, &mut Sockets), log: &Logger) -> Result<(Heritage, Rest), String> {
        let Luggage { baggage, failed, .. } = self;
        let cannot = |error: io::Error| format!("cannot take up what the supervisor left: {error}");
        let mut record = baggage.record;
        let mut workers = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (worker, packed) in baggage.workers {
            let Some(known) = record.legacy.workers.get(&worker) else { continue };
            let kinship = if record.link == VERSION { Kinship::Kin } else { Kinship::Stranger };
            let doing = if matches!(known.place, Seat::Leaving { .. }) { Doing::Draining } else { Doing::Serving };
            let (app, generation) = (record.legacy.app_of(known).to_owned(), known.generation);
            let counts = packed.counts.clone();
            let kin = kin((known.pid, generation), packed, record.link).map_err(cannot)?;
            record.ledger.enter_unseen(&app, &counts, &kin.scoreboard);
            workers.insert(worker, kin);
            found.insert(worker, Found { pid: known.pid, app, generation, doing, kinship });
        }
        let mut given = BTreeMap::new();
        for (name, raw) in baggage.listeners {
            given.insert(name, own(raw).map_err(cannot)?);
        }
        let old_worker = own(baggage.worker).map_err(cannot)?;
        let worker = failed.is_some().then(|| Program::of(old_worker));
        let bound = gather(&record, given, (plan, sockets), log)?;
        let heritage = Heritage {
            began: record.began(),
            token: record.token,
            remains: Remains { legacy: record.legacy, found, bound },
            workers,
            ledger: record.ledger,
        };
        let pid_file = baggage.pid_file.map(|(path, raw)| {
            let file = own(raw).map_err(|error| format!("cannot take over {}: {error}", path.display()))?;
            PidFile::adopt(path, file)
        });
        let rest = Rest {
            control: baggage.control,
            askers: baggage.askers,
            failed,
            worker,
            next: baggage.program,
            left_open: baggage.left_open,
            pid_file,
            endpoint: baggage.endpoint,
            left: baggage.left,
        };
        Ok((heritage, rest))
    }
}

fn kin((pid, generation): (u32, u64), packed: WorkerBaggage, link: u16) -> io::Result<Kin> {
    let process = Process::with(pid, own(packed.pidfd)?)?;
    let carrier = Carrier::adopt(own(packed.carrier)?)?;
    let memory = own(packed.scoreboard)?;
    let scoreboard = Scoreboard::open(memory).or_else(|_| Scoreboard::create(Size::BLANK).map(|(blank, _)| blank))?;
    let speech = if link == VERSION && packed.speaks { Speech::Words } else { Speech::Signals };
    let others = packed.others.into_iter().map(|(name, raw)| Ok((name, own(raw)?))).collect::<io::Result<_>>()?;
    Ok(Kin { generation, process, carrier, scoreboard, file: packed.file, speech, others })
}
