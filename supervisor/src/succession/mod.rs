//! From one supervisor to the next: in the same process, by an exec, or after the death of the first.
//!
//! ```text
//!                  upgrade                                     death
//!   record, fds -> baggage (sealed memory) -> exec      state (a file) + workers, each with its socket
//!                            |                                   |
//!                         arrival                              claim
//!                            +---------> Heritage <--------------+
//!                                            |
//!                              Core::resume, the register, the listeners
//! ```
//!
//! Rules
//! * What is written is a [`Record`]: it says of itself which form it has, unknown keys are ignored, missing ones have defaults.
//! * After a death nothing that is wrong keeps the next supervisor from starting: a record that cannot be read, a worker that does
//!   not answer, one of another build. Whoever is found serves until others do.
//! * In an upgrade whatever is wrong leaves the old program in charge: before the exec by doing nothing, after it by another one.
//!
//! Known faults: as PID 1 of a container a supervisor takes its workers with it, for the kernel ends what its PID 1 leaves. A server
//! without a file has no name to be found by: its workers drain when their supervisor is gone. Which modules a worker has loaded is
//! told once: after a death, `reload.on_change` looks at its own globs alone until the next reload.

pub mod arrival;
pub mod baggage;
pub mod claim;
pub mod departure;
pub mod orphans;
pub mod preflight;
pub mod state;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use monoceros_shared::config::Listener;
use monoceros_shared::link::Token;
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::scoreboard::Scoreboard;
use serde::{Deserialize, Serialize};
use slog::{Logger, warn};

use crate::core::WorkerId;
use crate::core::legacy::{Legacy, Remains};
use crate::core::plan::Plan;
use crate::effects::now_ms;
use crate::listen::{Bound, Earlier, Sockets};
use crate::metrics::ledger::Ledger;
use crate::spawn::Process;

/// The form of what is written. Raised when an old key changes its meaning; then builds of both sides do not read each other's.
pub const FORM: u32 = 1;

/// What one supervisor writes down for the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// See [`FORM`].
    pub form: u32,
    /// The version of the link that its workers speak.
    pub link: u16,
    /// What the kernel calls this run of the machine: a record of another one is about nobody.
    pub boot: String,
    /// When the server began: milliseconds of the monotonic clock.
    pub began_ms: u64,
    /// What the supervisors of this server know of each other.
    pub token: Token,
    /// What the core knows.
    pub legacy: Legacy,
    /// What is known of each listener, by its name.
    pub listeners: BTreeMap<String, Earlier>,
    /// What those workers have counted that are gone.
    pub ledger: Ledger,
}

impl Record {
    /// One of a server that began then.
    pub fn new(began: Instant, token: Token) -> Record {
        Record {
            form: FORM,
            link: monoceros_shared::link::VERSION,
            boot: boot(),
            began_ms: now_ms().saturating_sub(began.elapsed().as_millis() as u64),
            token,
            legacy: Legacy::default(),
            listeners: BTreeMap::new(),
            ledger: Ledger::default(),
        }
    }

    /// When the server began.
    pub fn began(&self) -> Instant {
        let age = Duration::from_millis(now_ms().saturating_sub(self.began_ms));
        Instant::now().checked_sub(age).unwrap_or_else(Instant::now)
    }

    /// From its text.
    ///
    /// # Errors
    /// Why it says nothing to us.
    pub fn read(text: &[u8]) -> Result<Record, String> {
        let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        if record.form != FORM {
            return Err(format!("it has form {}, this supervisor reads form {FORM}", record.form));
        }
        if record.boot != boot() {
            return Err("it is from before the machine was started".into());
        }
        Ok(record)
    }
}

fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A worker that another supervisor had.
pub struct Kin {
    /// Its generation.
    pub generation: u64,
    /// Its process.
    pub process: Process,
    /// What descriptors travel on.
    pub carrier: Carrier,
    /// What it shows of its work; a blank one if it cannot be read.
    pub scoreboard: Scoreboard,
    /// The file of the socket on which it waits for the next supervisor.
    pub file: Option<PathBuf>,
    /// Whether it understands our words.
    pub speech: Speech,
    /// Descriptors of other names that came with it.
    pub others: BTreeMap<String, OwnedFd>,
}

/// How a worker that another supervisor had can be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// By words, once it has connected to a new channel.
    Words,
    /// It is of another build: by signals.
    Signals,
}

/// All that there is of a server whose supervisor has ended.
pub struct Heritage {
    /// When it began.
    pub began: Instant,
    /// What its supervisors know of each other.
    pub token: Token,
    /// What the core begins with.
    pub remains: Remains,
    /// The workers.
    pub workers: BTreeMap<WorkerId, Kin>,
    /// What those have counted that are gone.
    pub ledger: Ledger,
}

/// Makes listeners of descriptors, and binds what nobody gave.
///
/// # Errors
/// When nothing at all is known and something cannot be bound: then this is a start like any other.
pub fn gather(
    record: &Record,
    mut given: BTreeMap<String, OwnedFd>,
    (plan, sockets): (&Plan, &mut Sockets),
    log: &Logger,
) -> Result<Vec<Listener>, String> {
    let mut bound = Vec::new();
    let planned = plan.listeners();
    let known = record.legacy.bound.iter().chain(planned.values());
    for listener in known {
        let name = listener.address.to_string();
        let Some(socket) = given.remove(&name) else { continue };
        let known = record.listeners.get(&name).copied().unwrap_or(Earlier::Ours(None));
        sockets.adopt(listener, Bound::adopt(listener, socket, known));
        bound.push(listener.clone());
    }
    for name in given.into_keys() {
        warn!(log, "a listener of an earlier supervisor is closed: nothing is known of it"; "listen" => name);
    }
    let lost = record.legacy.apps.is_empty();
    let needed = if lost { planned.into_values().collect() } else { record.legacy.needs() };
    for listener in needed {
        if bound.iter().any(|bound: &Listener| bound.address == listener.address) {
            continue;
        }
        match sockets.bind(std::slice::from_ref(&listener)) {
            Ok(()) => bound.push(listener),
            Err(why) if lost => return Err(why),
            Err(why) => warn!(log, "a listener is lost"; "why" => why),
        }
    }
    Ok(bound)
}

/// A token that nobody can guess.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn new_token() -> Result<Token, String> {
    use std::io::Read;
    let mut token = Token::default();
    let read = std::fs::File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut token));
    read.map(|()| token).map_err(|error| format!("cannot make a token: {}", crate::listen::cause(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_another_form_or_another_boot_is_not_read() {
        let record = Record::new(Instant::now(), [1; 16]);
        let text = |record: &Record| serde_json::to_vec(record).unwrap();
        assert_eq!(Record::read(&text(&record)), Ok(record.clone()));
        let other = Record { form: 2, ..record.clone() };
        assert_eq!(Record::read(&text(&other)).unwrap_err(), "it has form 2, this supervisor reads form 1");
        let other = Record { boot: "another".into(), ..record };
        assert!(Record::read(&text(&other)).unwrap_err().contains("before the machine was started"));
        assert!(Record::read(b"{}").is_err() && Record::read(b"").is_err() && Record::read(b"[1").is_err());
    }

    #[test]
    fn what_another_build_says_more_or_less_is_no_matter() {
        let mut value = serde_json::to_value(Record::new(Instant::now(), [1; 16])).unwrap();
        value["news"] = "from a newer build".into();
        value["legacy"]["news"] = 7.into();
        value["legacy"]["last_reload"] = serde_json::json!({"outcome": "Exploded"});
        value["legacy"].as_object_mut().unwrap().remove("heirs");
        let record = Record::read(&serde_json::to_vec(&value).unwrap()).unwrap();
        assert_eq!((record.token, record.legacy), ([1; 16], Legacy::default()));
    }
}
