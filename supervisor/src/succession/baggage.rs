//! What goes through an exec: a text in sealed memory that says which descriptors are what.
//!
//! ```text
//!   MONOCEROS_SUCCESSION=MEMORY,PROGRAM     two descriptors: this memory, and the program that was before
//!   memory: "monobagg" | form, u32 little endian | JSON
//! ```
//!
//! Rules
//! * Magic and form stand at the same place in every build, so that each can say of another's that it cannot read it.
//! * The memory is sealed: what the preflight has read is what the next program gets.
//! * Descriptors are looked at when it is sure that this program goes on with them, and are owned from then on; until then the
//!   program before can go on with them as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, FdFlag, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use super::state::Place;
use super::{FORM, Record};
use crate::core::{Asker, WorkerId};
use crate::metrics::counts::Counts;
use crate::metrics::endpoint::Packed;

/// What an upgrade's memory begins with.
const MAGIC: &[u8; 8] = b"monobagg";

/// Bytes of it that are read. A config of a thousand applications fills a tenth of it.
const BYTES_MAX: u64 = 64 << 20;

/// Nobody changes what was read.
const SEALS: SealFlag =
    SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW).union(SealFlag::F_SEAL_WRITE).union(SealFlag::F_SEAL_SEAL);

/// All that goes through an exec.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Baggage {
    /// The process that it is for.
    pub pid: u32,
    /// What the next supervisor is to know.
    pub record: Record,
    /// The config that is run, as the build that wrote this writes it.
    pub config: serde_json::Value,
    /// The program that is started at an upgrade.
    pub program: PathBuf,
    /// The worker of the program before.
    pub worker: RawFd,
    /// The listeners, by name.
    pub listeners: BTreeMap<String, RawFd>,
    /// The workers.
    pub workers: BTreeMap<WorkerId, WorkerBaggage>,
    /// The control socket.
    pub control: ControlBaggage,
    /// Where those connect who watch.
    pub endpoint: Option<Packed>,
    /// Those who wait for the upgrade.
    pub askers: Vec<Asker>,
    /// The pid file: its path and what holds its lock.
    pub pid_file: Option<(PathBuf, RawFd)>,
    /// Process groups of which something is left that is to go.
    pub left: Vec<u32>,
    /// Descriptors that whoever started the first supervisor left open in it.
    pub left_open: Vec<RawFd>,
}

/// A worker's descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkerBaggage {
    /// What descriptors travel on.
    pub carrier: RawFd,
    /// Its process.
    pub pidfd: RawFd,
    /// What it shows of its work.
    pub scoreboard: RawFd,
    /// The file of the socket on which it waits for the next supervisor.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Whether it understands our words.
    #[serde(default)]
    pub speaks: bool,
    /// What it has counted: for a program that cannot read what it shows.
    #[serde(default)]
    pub counts: Counts,
    /// More, by name.
    #[serde(default)]
    pub others: BTreeMap<String, RawFd>,
}

/// The control socket's descriptors.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ControlBaggage {
    /// The listening sockets: the file, its identity, the descriptor.
    pub doors: Vec<(PathBuf, (u64, u64), RawFd)>,
    /// Where the server is found.
    pub place: Option<Place>,
    /// Links to them.
    pub links: Vec<PathBuf>,
    /// Locks: the file and the descriptor.
    pub locks: Vec<(PathBuf, RawFd)>,
    /// Who waits for an answer: the number and the descriptor.
    pub clients: Vec<(Asker, RawFd)>,
    /// The last number that was given.
    pub last_asker: Asker,
}

impl Baggage {
    /// Every descriptor in it.
    pub fn descriptors(&self) -> Vec<RawFd> {
        let workers = self.workers.values();
        let of_workers = workers.flat_map(|worker| {
            [worker.carrier, worker.pidfd, worker.scoreboard].into_iter().chain(worker.others.values().copied())
        });
        let control = &self.control;
        let doors = control.doors.iter().map(|(_, _, door)| *door);
        let of_control =
            doors.chain(control.locks.iter().map(|lock| lock.1)).chain(control.clients.iter().map(|c| c.1));
        let all = of_workers.chain(of_control).chain(self.listeners.values().copied());
        let all = all.chain(self.pid_file.iter().map(|file| file.1)).chain(self.endpoint.iter().map(|door| door.raw));
        all.chain([self.worker]).chain(self.left_open.iter().copied()).collect()
    }

    /// Packs it.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn pack(&self) -> io::Result<OwnedFd> {
        let memory = memfd_create("monoceros-succession", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(MAGIC)?;
        file.write_all(&FORM.to_le_bytes())?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.rewind()?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok(file.into())
    }

    /// Reads what was packed.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn unpack(memory: BorrowedFd<'_>, form: u32) -> Result<Baggage, String> {
        let cannot = |why: String| format!("cannot read what the supervisor left: {why}");
        let seals = fcntl(memory, FcntlArg::F_GET_SEALS).map_err(|_| cannot("it is no sealed memory".into()))?;
        if !SealFlag::from_bits_retain(seals).contains(SEALS) {
            return Err(cannot("it is no sealed memory".into()));
        }
        let copy = memory.try_clone_to_owned().map_err(|error| cannot(error.to_string()))?;
        let mut file = File::from(copy);
        let mut bytes = Vec::new();
        let read = file.rewind().and_then(|()| file.take(BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(|error| cannot(error.to_string()))?;
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| cannot("it is another thing".into()))?;
        let Some((found, text)) = rest.split_first_chunk::<4>() else {
            return Err(cannot("it ends too early".into()));
        };
        let found = u32::from_le_bytes(*found);
        if found != form {
            return Err(cannot(format!("it has form {found}, this supervisor reads form {form}")));
        }
        serde_json::from_slice(text).map_err(|error| cannot(error.to_string()))
    }
}

/// Owns a descriptor that came through an exec, and keeps it from the next one.
///
/// # Errors
/// When there is none of this number.
#[expect(unsafe_code, reason = "an exec leaves descriptors as numbers")]
pub fn own(raw: RawFd) -> io::Result<OwnedFd> {
    if raw <= 2 {
        return Err(io::Error::other(format!("descriptor {raw} is nobody's to give")));
    }
    // SAFETY: the program before wrote this number into sealed memory for this process and then became us; nothing of ours has
    // opened or owned it, for each number in there is taken once, at the beginning. One that is not open fails the next call.
    let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
    match fcntl(&descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) => Ok(descriptor),
        Err(errno) => {
            std::mem::forget(descriptor);
            Err(errno.into())
        }
    }
}

/// Lets descriptors go through the next exec.
///
/// # Errors
/// When one of them is not open.
#[expect(unsafe_code, reason = "they are named by their numbers")]
pub fn let_through(descriptors: impl IntoIterator<Item = RawFd>) -> io::Result<()> {
    for raw in descriptors {
        // SAFETY: it is borrowed for this call alone; a number that is not open, or is another's by now, is at worst left open in
        // the next program, and nothing is read from it or closed.
        let descriptor = unsafe { BorrowedFd::borrow_raw(raw) };
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::empty()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_was_packed_is_read_and_cannot_be_changed() {
        let baggage =
            Baggage { pid: 7, askers: vec![3], listeners: BTreeMap::from([("a:1".into(), 9)]), ..Baggage::default() };
        let memory = baggage.pack().unwrap();
        let read = Baggage::unpack(memory.as_fd(), FORM).unwrap();
        assert_eq!((read.pid, read.askers, read.listeners), (7, vec![3], BTreeMap::from([("a:1".to_owned(), 9)])));
        let mut file = File::from(memory);
        file.write_all(b"x").unwrap_err();
        assert!(file.set_len(3).is_err());
    }

    #[test]
    fn what_is_none_is_told_apart() {
        let memory = Baggage::default().pack().unwrap();
        let why = Baggage::unpack(memory.as_fd(), FORM + 1).unwrap_err();
        assert_eq!(why, "cannot read what the supervisor left: it has form 1, this supervisor reads form 2");
        let file = tempfile::tempfile().unwrap();
        assert!(Baggage::unpack(file.as_fd(), FORM).unwrap_err().ends_with("it is no sealed memory"));
    }

    #[test]
    fn a_number_without_a_descriptor_is_not_owned() {
        assert!(own(1).is_err() && own(-1).is_err() && own(100_000).is_err());
    }
}
