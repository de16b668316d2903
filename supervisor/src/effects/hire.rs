//! How a process of a worker is made, with all that it gets from us.
//!
//! ```text
//!   door + carrier + scoreboard + pipes -> process
//!   on the carrier: greeting, log, read ends of the pipes, scoreboard, table, bell and where siblings leave requests for each other, listeners, their certificates, where it waits for the next supervisor
//! ```

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use monoceros_shared::config::App;
use monoceros_shared::link::channel::Door;
use monoceros_shared::link::fd::{Carrier, Greeting};
use monoceros_shared::link::{ADOPTION, Adoption, Assignment, BELL, LOG, OFFERS, SCOREBOARD, TABLE, TAKES};
use monoceros_shared::scoreboard::{Scoreboard, Size};
use monoceros_shared::stdio::Stream;
use monoceros_shared::table;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Inspection, Words, Worker, Workers};
use crate::core::Recruit;
use crate::listen::Bound;
use crate::spawn::Standard;
use crate::stdio::Tags;
use crate::{bridge, environment};

/// What all workers of one application have in common: how many connections each holds, and a bell. And those of one generation: where
/// requests pass between them, for another may have other listeners.
pub(super) struct Common {
    table: OwnedFd,
    bell: EventFd,
    offers: BTreeMap<u64, (Carrier, Carrier)>,
}

impl Common {
    fn new() -> io::Result<Common> {
        let bell = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Common { table: table::create()?, bell, offers: BTreeMap::new() })
    }

    fn pass_on(&mut self, generation: u64, carrier: &Carrier) -> io::Result<()> {
        let offers = match self.offers.entry(generation) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(Carrier::pair()?),
        };
        carrier.send(TABLE, self.table.as_fd())?;
        carrier.send(BELL, self.bell.as_fd())?;
        carrier.send(OFFERS, offers.0.as_fd())?;
        carrier.send(TAKES, offers.1.as_fd())?;
        Ok(())
    }
}

impl Workers {
    fn common(&mut self, app: &str) -> io::Result<&mut Common> {
        match self.commons.entry(app.to_owned()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Common::new()?)),
        }
    }

    /// Forgets where requests passed between the workers of a generation of which none is left, or came to be. What the last of them has
    /// offered, and nobody has taken, is closed by that, so that its client hears of it.
    pub(super) fn forget_offers(&mut self) {
        for (app, common) in &mut self.commons {
            let is_of = |known: &Worker, generation: u64| known.app == *app && known.generation == generation;
            common.offers.retain(|generation, _| self.register.values().any(|known| is_of(known, *generation)));
        }
    }

    pub(super) fn try_spawn(&mut self, recruit: &Recruit, listeners: &[&Bound]) -> io::Result<u32> {
        let (worker, app) = (recruit.worker, &recruit.app.app);
        let (scoreboard, memory) = Scoreboard::create(Size::of(app))?;
        let (carrier, theirs) = Carrier::pair()?;
        let adoption = self.means.adoptions.as_ref().and_then(|adoptions| adoptions.open(worker));
        let door = Door::open()?;
        let name = door.name().to_owned();
        carrier.greet(&Greeting::new(&name))?;
        carrier.send(LOG, self.means.outlet.file().as_fd())?;
        let pipes = self.means.outputs.make(app.run_as.as_ref())?;
        for (stream, end) in pipes.iter().flat_map(|pipes| Stream::BOTH.into_iter().zip(&pipes.read)) {
            carrier.send(stream.name(), end.as_fd())?;
        }
        carrier.send(SCOREBOARD, memory.as_fd())?;
        self.common(&app.name)?.pass_on(recruit.generation, &carrier)?;
        for listener in listeners {
            carrier.send(&listener.name, listener.as_fd())?;
        }
        let has_listener = |name: &str| listeners.iter().any(|listener| listener.name == name);
        self.certifier.send(app, has_listener, &carrier)?;
        if let Some((_, socket)) = &adoption {
            carrier.send(ADOPTION, socket.as_fd())?;
        }
        let adoption = adoption.map(|(adoption, _)| adoption);
        let title = [app.name.clone(), "generation".to_owned(), recruit.generation.to_string()];
        let (read, write) = pipes.map(|pipes| (pipes.read, pipes.write)).unzip();
        let standard = Standard { input: theirs.into(), output: write };
        let process = self.means.program.spawn(&title, &environment::of(app), standard)?;
        let pid = process.pid();
        let tags = Tags { app: app.name.clone(), worker, generation: recruit.generation };
        let begun = self.means.watch.begin(worker, process.as_fd());
        let begun = begun.and_then(|()| read.map_or(Ok(()), |ends| self.means.outputs.begin(&tags, ends)));
        if let Err(error) = begun.and_then(|()| bridge::start(worker, door, self.means.post.clone())) {
            process.end();
            self.means.outputs.end(worker);
            return Err(error);
        }
        let assignment = self.assignment(recruit, listeners, adoption.clone());
        let known = Worker {
            process,
            carrier,
            door: name,
            scoreboard,
            assignment: Some(assignment),
            words: Words::NotYet,
            app: app.name.clone(),
            generation: recruit.generation,
            recycle: app.recycle.clone(),
            adoption: adoption.map(|adoption| adoption.file),
            heartbeat: app.timeouts.heartbeat,
            inspection: Inspection::None,
            exit: None,
            last_lines: String::new(),
        };
        self.register.insert(worker, known);
        Ok(pid)
    }

    fn assignment(&self, recruit: &Recruit, listeners: &[&Bound], adoption: Option<Adoption>) -> Assignment {
        let app = &recruit.app.app;
        Assignment {
            worker: recruit.worker,
            generation: recruit.generation,
            app: App { environment: BTreeMap::new(), ..App::clone(app) },
            siblings: recruit.siblings,
            log: recruit.app.log.clone(),
            output: self.means.outputs.leads(),
            listeners: listeners.iter().map(|listener| listener.name.clone()).collect(),
            purpose: recruit.purpose.clone(),
            report_files: !app.reload.on_change.is_empty(),
            loss: recruit.app.loss,
            adoption,
        }
    }
}
