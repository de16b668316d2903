//! What passes from one to the next: connections between workers, workers between supervisors.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::PathBuf;

use monoceros_shared::link::channel::Door;
use monoceros_shared::link::fd::Carrier;
use monoceros_shared::link::{CHANNEL, HEIR, INHERITANCE, KEPT, LOG};
use monoceros_shared::stdio::{Kept, Stream};

use super::{Inspection, Words, Worker, Workers};
use crate::bridge;
use crate::core::plan::AppPlan;
use crate::core::{Word, WorkerId};
use crate::listen::cause;
use crate::metrics::counts::Counts;
use crate::stdio::Tags;
use crate::succession::baggage::WorkerBaggage;
use crate::succession::{Kin, Speech};

impl Workers {
    /// Gives two workers the ends of a new pair of sockets.
    ///
    /// # Errors
    /// One line. Then the first of them finishes what it has by itself.
    pub fn introduce(&self, from: WorkerId, to: WorkerId) -> Result<(), String> {
        let (Some(old), Some(new)) = (self.living(from), self.living(to)) else {
            return Ok(());
        };
        let introduce = || {
            let (heir, inheritance) = Carrier::pair()?;
            new.carrier.send(INHERITANCE, inheritance.as_fd())?;
            old.carrier.send(HEIR, heir.as_fd())
        };
        introduce().map_err(|error: io::Error| format!("cannot introduce worker {from} to {to}: {}", cause(&error)))
    }

    /// Takes a worker over. Words reach it when it has connected to a new channel.
    ///
    /// # Errors
    /// When it cannot be watched. When it cannot be given a channel it is spoken to by signals.
    pub fn adopt(&mut self, worker: WorkerId, mut kin: Kin, app: &AppPlan) -> io::Result<()> {
        self.means.watch.begin(worker, kin.process.as_fd())?;
        self.go_on_reading(worker, &mut kin, app)?;
        // What it logs goes to where we do; one that is gone is seen by its pidfd.
        let _ = kin.carrier.send(LOG, self.means.outlet.file().as_fd());
        // The secret of session tickets is ours from now on, and a certificate may have been renewed while nobody looked.
        let _ = self.certifier.send(&app.app, |_| true, &kin.carrier);
        let door = match kin.speech {
            Speech::Words => self.renew(worker, &kin).unwrap_or_default(),
            Speech::Signals => String::new(),
        };
        let known = Worker {
            process: kin.process,
            carrier: kin.carrier,
            words: if door.is_empty() { Words::Mute } else { Words::Signals },
            door,
            scoreboard: kin.scoreboard,
            assignment: None,
            app: app.name().to_owned(),
            generation: kin.generation,
            recycle: app.app.recycle.clone(),
            adoption: kin.file,
            heartbeat: app.app.timeouts.heartbeat,
            inspection: Inspection::None,
            exit: None,
            last_lines: String::new(),
        };
        self.register.insert(worker, known);
        Ok(())
    }

    /// Reads what it prints, and tells what it kept while nobody did.
    fn go_on_reading(&mut self, worker: WorkerId, kin: &mut Kin, app: &AppPlan) -> io::Result<()> {
        let [out, err] = Stream::BOTH.map(|stream| kin.others.remove(stream.name()));
        let (Some(out), Some(err)) = (out, err) else { return Ok(()) };
        let kept = kin.others.remove(KEPT).map(Kept::from_file).transpose();
        // It may say anything: what it kept is then lost, and it is read on.
        let kept = kept.ok().flatten().unwrap_or_default();
        let tags = Tags { app: app.name().to_owned(), worker, generation: kin.generation };
        self.means.outputs.adopt(&tags, [out, err], &kept)
    }

    /// Opens a new channel for a worker, and says where; its name.
    fn renew(&self, worker: WorkerId, kin: &Kin) -> io::Result<String> {
        let door = match kin.process.uid() {
            Some(uid) => Door::open_for(uid)?,
            None => Door::open()?,
        };
        let name = door.name().to_owned();
        bridge::start(worker, door, self.means.post.clone())?;
        kin.carrier.give(format!("{CHANNEL}{name}").as_bytes(), None)?;
        Ok(name)
    }

    /// Says a word by signal to a worker that hears no others; whether it is one.
    pub(super) fn signal(&self, worker: WorkerId, word: Word) -> bool {
        let Some(known) = self.living(worker).filter(|known| matches!(known.words, Words::Signals | Words::Mute))
        else {
            return false;
        };
        match word {
            // It does already.
            Word::Serve => {}
            Word::Drain => known.process.terminate(),
            Word::Quit => known.process.quit(),
        }
        true
    }

    /// Packs those that the next supervisor is to know of, and ends the others: nothing that has served is among them.
    /// Says which those were.
    pub fn pack(&mut self, known: &BTreeSet<WorkerId>) -> (BTreeMap<WorkerId, WorkerBaggage>, Vec<WorkerId>) {
        let strangers: Vec<WorkerId> = self.register.keys().copied().filter(|worker| !known.contains(worker)).collect();
        for worker in strangers.iter().filter_map(|worker| self.register.remove(worker)) {
            worker.adoption.iter().for_each(remove);
            if worker.exit.is_none() {
                worker.process.end();
            }
        }
        let packed = self.register.iter().map(|(worker, known)| (*worker, self.packed(*worker, known)));
        (packed.collect(), strangers)
    }

    /// The worker's binary.
    pub fn program(&self) -> RawFd {
        self.means.program.as_fd().as_raw_fd()
    }

    fn packed(&self, worker: WorkerId, known: &Worker) -> WorkerBaggage {
        let ends = self.means.outputs.ends(worker);
        WorkerBaggage {
            carrier: known.carrier.as_raw_fd(),
            pidfd: known.process.as_fd().as_raw_fd(),
            scoreboard: known.scoreboard.memory().as_raw_fd(),
            file: known.adoption.clone(),
            speaks: !matches!(known.words, Words::Mute),
            counts: Counts::of(&known.scoreboard),
            others: ends.map(|(stream, end)| (stream.name().to_owned(), end.as_raw_fd())).collect(),
        }
    }
}

/// Removes what nobody waits at any more.
pub(super) fn remove(file: &PathBuf) {
    // The worker may have done so itself.
    let _ = std::fs::remove_file(file);
}
