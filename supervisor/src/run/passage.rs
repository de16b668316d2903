//! The loop's part in a succession: begins where another supervisor has ended, keeps its record, and leaves to the next one.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Instant;

use monoceros_shared::link::Token;
use slog::{Logger, error, info};

use super::{Ended, Server};
use crate::control::words::Reply;
use crate::control::{Control, Found};
use crate::core::plan::Plan;
use crate::core::{Asker, Cause, Core, Event, Exit, LastSeen, Wish};
use crate::effects::Workers;
use crate::listen::Sockets;
use crate::metrics::ledger::Ledger;
use crate::pid_file::PidFile;
use crate::sources::Sources;
use crate::succession::arrival::{Luggage, Rest};
use crate::succession::baggage::Baggage;
use crate::succession::departure::{Departure, Programs};
use crate::succession::preflight::Preflight;
use crate::succession::state::State;
use crate::succession::{Heritage, Record, claim, new_token};

/// What a server needs for the one that comes after it.
pub(super) struct Passage {
    /// What does not change of the record.
    record: Record,
    /// Where it is kept, if anybody could find it there.
    state: Option<State>,
    programs: Programs,
    preflight: Option<Preflight>,
    /// The next supervisor can take over, and these wait for it.
    pub leaving: Option<Vec<Asker>>,
}

/// How a server begins.
pub(super) struct Origin {
    pub control: Control,
    pub heritage: Option<Heritage>,
    pub rest: Option<Rest>,
}

impl Origin {
    /// Takes up what there is: what came through an exec, or what a supervisor left that has died, or nothing.
    pub fn find(
        luggage: Option<Luggage>,
        found: Found<'_>,
        (plan, sources, listeners): (&Plan, &Sources, &mut Sockets),
        log: &Logger,
    ) -> Result<Origin, String> {
        let registry = sources.registry().map_err(|error| format!("cannot watch the control socket: {error}"))?;
        if let Some(luggage) = luggage {
            let (heritage, mut rest) = luggage.unpack((plan, listeners), log)?;
            let control = Control::resume(std::mem::take(&mut rest.control), registry, log)?;
            return Ok(Origin { control, heritage: Some(heritage), rest: Some(rest) });
        }
        let control = Control::open(found, registry, log)?;
        let heritage =
            control.place().map(|place| claim::inherit(place, (plan, &mut *listeners), log)).transpose()?.flatten();
        Ok(Origin { control, heritage, rest: None })
    }

    /// When the server began, and what its supervisors know of each other.
    pub fn identity(&self) -> Result<(Instant, Token), String> {
        match &self.heritage {
            Some(heritage) => Ok((heritage.began, heritage.token)),
            None => Ok((Instant::now(), new_token()?)),
        }
    }

    /// The pid file, if it came through an exec.
    pub fn pid_file(&mut self) -> Option<Result<PidFile, String>> {
        self.rest.as_mut()?.pid_file.take()
    }

    /// What happens first.
    pub fn first_events(&self, plan: &Plan) -> Vec<Event> {
        let reload = |cause, asker| Event::Wanted { wish: Wish::Reload { cause }, asker };
        let mut events = vec![Event::Start];
        match (&self.rest, &self.heritage) {
            (Some(rest), _) if rest.failed.is_none() => match rest.askers.as_slice() {
                [] => events.push(reload(Cause::Upgraded, None)),
                askers => events.extend(askers.iter().map(|asker| reload(Cause::Upgraded, Some(*asker)))),
            },
            (None, Some(heritage)) => {
                let legacy = &heritage.remains.legacy;
                if !legacy.apps.is_empty() && !legacy.is_of(plan) {
                    events.push(reload(Cause::FileChanged, None));
                }
            }
            (Some(_), _) | (None, None) => {}
        }
        events
    }
}

/// The core, the register and the listeners, as another supervisor left them.
pub(super) fn resume(heritage: Heritage, plan: &Plan, workers: &mut Workers) -> Result<Core, String> {
    let Heritage { began, remains, workers: kin, token: _, ledger } = heritage;
    workers.ledger = ledger;
    let core = Core::resume(plan, &remains, began.elapsed(), u64::from(std::process::id()));
    for (worker, kin) in kin {
        let Some(app) = core.plan_of(worker) else { continue };
        let adopted = workers.adopt(worker, kin, app);
        adopted.map_err(|error| format!("cannot watch worker {worker}: {error}"))?;
    }
    Ok(core)
}

impl Passage {
    pub fn new(programs: Programs, control: &Control, (began, token): (Instant, Token), log: &Logger) -> Passage {
        let state = control.place().map(|place| State::new(place, log));
        Passage { record: Record::new(began, token), state, programs, preflight: None, leaving: None }
    }

    /// What is there for the next supervisor, as things are now.
    fn record(&self, core: &Core, listeners: &Sockets, ledger: &Ledger) -> Record {
        let listeners = listeners.all().map(|bound| (bound.name.clone(), bound.earlier()));
        let ledger = ledger.clone();
        Record { legacy: core.legacy(), listeners: listeners.collect(), ledger, ..self.record.clone() }
    }

    /// Writes down how things are, before what follows from it is done.
    pub fn keep(&mut self, core: &Core, listeners: &Sockets, ledger: &Ledger) {
        if self.state.is_some() {
            let record = self.record(core, listeners, ledger);
            self.state.iter_mut().for_each(|state| state.keep(&record));
        }
    }

    /// The server has ended for good.
    pub fn end(&self) {
        self.state.iter().for_each(State::end);
    }
}

impl Server<'_> {
    /// Goes on with what the program before was at, if there was one: what is left of workers that are gone is to go, and those
    /// who wait for an upgrade that did not come to be are told so.
    pub(super) fn take_up(&mut self, rest: Option<&Rest>) {
        let Some(rest) = rest else { return };
        for group in &rest.left {
            self.workers.strangers.left_by(*group, Instant::now());
        }
        let Some(why) = &rest.failed else { return };
        error!(self.log, "upgrade abandoned"; "why" => why, "next" => "the program before goes on");
        let reply = Reply::Failed { why: format!("upgrade abandoned: {why}"), detail: String::new() };
        for asker in &rest.askers {
            self.control.answer(*asker, &reply);
        }
    }

    /// Asks the next supervisor whether it can take over.
    pub(super) fn begin_preflight(&mut self) -> Option<Event> {
        let passage = &self.passage;
        let baggage = Baggage {
            pid: std::process::id(),
            record: passage.record(&self.core, &self.listeners, &self.workers.ledger),
            config: self.source.written(),
            ..Baggage::default()
        };
        let begun = Preflight::begin(&passage.programs.next, self.source.file.as_deref(), &baggage);
        let watched = begun.and_then(|preflight| {
            let watch = self.sources.watch().and_then(|watch| watch.begin_preflight(preflight.as_fd()));
            watch.map(|()| preflight).map_err(|error| format!("cannot watch the new supervisor: {error}"))
        });
        match watched {
            Ok(preflight) => {
                self.passage.preflight = Some(preflight);
                None
            }
            Err(why) => Some(Event::Preflown(Err(why))),
        }
    }

    /// The next supervisor has said what it had to say.
    pub(super) fn preflown(&mut self) -> Option<Event> {
        self.passage.preflight.take()?.outcome().map(Event::Preflown)
    }

    pub(super) fn end_preflight(&mut self) {
        self.passage.preflight.take().into_iter().for_each(Preflight::end);
    }

    /// Nothing of it is dropped: it belongs to the next program.
    pub(super) fn end_in(self, departure: Departure) -> Ended {
        std::mem::forget(self);
        Ended::Departing(departure)
    }

    /// Packs all that there is for the next supervisor. If that cannot be, the server goes on, and this has happened.
    pub(super) fn leave(&mut self, askers: &[Asker]) -> Result<Departure, Vec<Event>> {
        let record = self.passage.record(&self.core, &self.listeners, &self.workers.ledger);
        let known: BTreeSet<_> = record.legacy.workers.keys().copied().collect();
        self.workers.outputs().tell_all();
        let (workers, ended) = self.workers.pack(&known);
        let baggage = Baggage {
            pid: std::process::id(),
            record,
            config: self.source.written(),
            program: self.passage.programs.next.clone(),
            worker: self.workers.program(),
            listeners: self.listeners.descriptors(),
            workers,
            control: self.control.pack(askers),
            endpoint: self.endpoint.pack(self.source.config.metrics.as_ref()),
            askers: askers.to_vec(),
            pid_file: self.pid_file.as_ref().map(|file| (file.path().to_owned(), file.as_fd().as_raw_fd())),
            left: self.workers.strangers.groups(),
            left_open: self.passage.programs.left_open.clone(),
        };
        match Departure::prepare(&baggage, &self.passage.programs) {
            Ok(departure) => {
                info!(self.log, "upgraded: the new supervisor takes over");
                Ok(departure)
            }
            Err(why) => {
                error!(self.log, "upgrade abandoned"; "why" => &why, "next" => "this supervisor goes on");
                let reply = Reply::Failed { why: format!("upgrade abandoned: {why}"), detail: String::new() };
                for asker in askers {
                    self.control.answer(*asker, &reply);
                }
                let gone = |worker| Event::Exited { worker, exit: Exit::Signal("SIGKILL"), last: LastSeen::default() };
                Err(ended.into_iter().map(gone).collect())
            }
        }
    }
}

/// Where the next program is looked for, if it is not to be found anew.
pub(super) fn programs(found: Programs, rest: Option<&mut Rest>) -> Programs {
    match rest {
        Some(rest) => Programs {
            next: std::mem::take(&mut rest.next),
            left_open: std::mem::take(&mut rest.left_open),
            own: found.own,
        },
        None => found,
    }
}

/// A file's name as the log says it.
pub(super) fn named(file: Option<&Path>) -> String {
    file.map_or_else(|| "command line".into(), |file| file.display().to_string())
}
