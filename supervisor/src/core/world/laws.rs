//! What must hold whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use monoceros_shared::config::{Address, BrokenStart};
use monoceros_shared::exit;
use monoceros_shared::link::Purpose;

use super::super::line::{Level, Line, Value};
use super::super::status::{AppState, Reloads, ServerState};
use super::super::{Answer, Effect, Event, Now, Phase, QUIT_GRACE, Word, WorkerId};
use super::{DRAIN, DRAIN_DELAY, Doing, Process, SLOWEST_KILL, World};

/// What the core has said and asked for, as far as laws are about it.
#[derive(Default)]
pub struct Told {
    pub spawns: Vec<(Now, String, Purpose)>,
    /// When a reload began or was adopted, or somebody scaled: each may fill slots.
    fills: Vec<Now>,
    running: Option<u64>,
    /// Reloads that have been decided.
    decided: u64,
    generations: BTreeSet<u64>,
    /// Who is to make room for each generation that was adopted.
    leaving: BTreeMap<u64, Vec<WorkerId>>,
    /// A supervisor knew nothing of what was before.
    lost: bool,
}

impl Told {
    /// Another supervisor has come, with what the last one wrote down or without.
    pub fn forget(&mut self, is_lost: bool) {
        self.running = None;
        if is_lost {
            (self.lost, self.generations, self.decided) = (true, BTreeSet::new(), 0);
            // Who knows of none of them begins anew, with as many as he is told to.
            self.spawns.clear();
        }
    }

    pub fn line(&mut self, now: Now, line: &Line) {
        let generation = || {
            let value = line.keys.iter().find(|(key, _)| *key == "generation").map(|(_, value)| value);
            let Some(Value::Number(number)) = value else { panic!("{line:?} names no generation") };
            *number
        };
        match line.message {
            "reloading" => {
                assert!(self.generations.insert(generation()), "generation {} is used twice", generation());
                assert_eq!(self.running.replace(generation()), None, "two reloads at once");
                self.fills.push(now);
            }
            "reload adopted" | "reload abandoned" => {
                assert!(self.running.take().is_some(), "{} of none", line.message);
                self.decided += 1;
                self.fills.push(now);
            }
            "scaled" | "not parked any more" => self.fills.push(now),
            _ => {}
        }
    }
}

impl World {
    /// What may be asked for, and of whom.
    pub fn law_of_effects(&self, effect: &Effect) {
        assert!(self.exited.is_none(), "{effect:?} after the exit");
        match effect {
            Effect::Spawn(recruit) => {
                let parked = self.core.phase == Phase::Parked && self.told.running.is_none();
                assert!(!parked, "a spawn while parked");
                assert!(self.bound_or_stopping(), "a spawn while stopping");
                assert!(!self.processes.contains_key(&recruit.worker), "worker {} was there before", recruit.worker);
                let missing = recruit.app.app.listen.iter().find(|listener| !self.bound.contains(&listener.address));
                assert!(missing.is_none(), "a worker without its listener: {missing:?}");
            }
            Effect::Say { worker, word } => {
                self.law_of_the_living(*worker, effect);
                assert!(*word != Word::Quit || self.bound.is_empty(), "told to quit while the server is up");
            }
            Effect::Introduce { from, to } => {
                let (old, new) = (&self.processes[from], &self.processes[to]);
                assert!(from != to && old.app() == new.app(), "{effect:?} of strangers");
                let orphaned =
                    old.heir.is_some_and(|heir| self.processes.get(&heir).is_none_or(|heir| heir.doing == Doing::Dead));
                assert!(old.appointed || orphaned, "{effect:?} after it was told to leave");
                assert!(new.counts_for(old.app()) && !new.killed, "{effect:?}, which does not serve");
            }
            Effect::Terminate { worker } | Effect::Inspect { worker } | Effect::Certify { worker, app: _ } => {
                self.law_of_the_living(*worker, effect)
            }
            Effect::Kill { worker } => {
                assert!(self.processes.contains_key(worker), "{effect:?} of a stranger");
                assert!(!self.processes[worker].killed, "worker {worker} is killed twice");
            }
            Effect::CloseListeners => assert!(!self.bound.is_empty() || self.stopped.is_some()),
            Effect::Log(line) => assert!(!line.message.is_empty() && line.level != Level::Warning),
            Effect::Exit(_) => {
                let left = self.processes.values().filter(|process| process.doing != Doing::Dead).count();
                assert_eq!(left, 0, "workers left behind");
            }
            Effect::Preflight => assert!(self.told.running.is_none(), "an upgrade during a reload"),
            Effect::EndPreflight | Effect::Succeed { .. } => {}
            Effect::ReadConfig | Effect::Bind { .. } | Effect::Adjust { .. } | Effect::Answer { .. } => {}
            Effect::Unbind { addresses } => {
                let drains = self
                    .processes
                    .values()
                    .filter(|process| process.served && !process.unknown && process.doing != Doing::Dead);
                let mut left = drains.flat_map(|process| &process.recruit.app.app.listen);
                assert!(left.all(|listener| !addresses.contains(&listener.address)), "{effect:?} before the drain");
            }
        }
    }

    /// The listeners are closed once, when the server begins to leave.
    fn bound_or_stopping(&self) -> bool {
        !self.bound.is_empty()
    }

    fn law_of_the_living(&self, worker: WorkerId, effect: &Effect) {
        let process = self.processes.get(&worker);
        assert!(process.is_some_and(|process| !process.killed), "{effect:?} of a worker that is gone or killed");
    }

    /// How many workers serve each application, but for one that this event is the end of.
    pub fn appointed(&self, event: &Event) -> BTreeMap<String, usize> {
        let ends = |worker: WorkerId| matches!(event, Event::Unreachable { worker: ended, .. } if *ended == worker);
        let mut count = BTreeMap::new();
        for (worker, process) in &self.processes {
            if process.counts_for(process.app()) && !ends(*worker) {
                *count.entry(process.app().to_owned()).or_default() += 1;
            }
        }
        count
    }

    /// Nothing that the core decides takes a worker away that is needed: as many serve as before, or as are wanted.
    pub fn law_of_service(&self, before: &BTreeMap<String, usize>) {
        if self.bound.is_empty() || self.core.phase == Phase::Parked {
            return;
        }
        for team in &self.core.teams {
            let had = before.get(team.name()).copied().unwrap_or_default();
            let have = self.processes.values().filter(|process| process.counts_for(team.name())).count();
            assert!(have >= had.min(team.wanted()), "{} serve {}, of {had}", have, team.name());
            let apologises =
                |process: &&Process| process.apologises() && process.appointed && process.doing != Doing::Dead;
            let apologists = self.processes.values().filter(apologises).filter(|process| process.app() == team.name());
            assert!(have == 0 || apologists.count() == 0, "{} is served and apologised for", team.name());
        }
    }

    /// A reload that is abandoned touches nobody who serves.
    pub fn law_of_abandonment(&self, event: &Event, effects: &[Effect]) {
        let says =
            |message| effects.iter().any(|effect| matches!(effect, Effect::Log(line) if line.message == message));
        // What is unreachable or late is killed for that.
        let other_cause = matches!(event, Event::Unreachable { .. } | Event::Tick | Event::Wanted { .. })
            || self.core.phase != Phase::Up;
        // Another may have been adopted in the same instant.
        if other_cause || says("reload adopted") || !says("reload abandoned") {
            return;
        }
        for effect in effects {
            if let Effect::Kill { worker } | Effect::Say { worker, word: _ } | Effect::Terminate { worker } = effect {
                // One that apologises, and does not know for what, is replaced by one that does.
                let process = &self.processes[worker];
                assert!(!process.served || process.apologises(), "{effect:?} though the reload is abandoned");
            }
            // The heir of another may have died of it.
            let is_mended = matches!((event, effect), (Event::Exited { .. }, Effect::Introduce { .. }));
            assert!(is_mended || !matches!(effect, Effect::Introduce { .. } | Effect::Adjust { .. }), "{effect:?}");
        }
    }

    /// Who is told that a generation serves meets no older one: whoever was to make room for it accepts nothing any more.
    pub fn law_of_relief(&mut self, effects: &[Effect]) {
        for effect in effects {
            if matches!(effect, Effect::Log(line) if line.message == "reload adopted") {
                self.told.leaving.insert(self.core.generation, self.outdated());
            }
        }
        for effect in effects {
            let Effect::Answer { answer: Answer::Done(said), .. } = effect else { continue };
            let Some(generation) = said.strip_prefix("generation ").and_then(|said| said.strip_suffix(" serves"))
            else {
                continue;
            };
            let generation: u64 = generation.parse().expect("a number");
            let leaving = self.told.leaving.get(&generation).expect("it was adopted");
            let late = leaving.iter().find(|worker| self.processes[worker].accepts());
            assert_eq!(late, None, "generation {generation} is said to serve, and this worker still accepts");
        }
    }

    /// Workers that accept, and run what their application does not any more.
    fn outdated(&self) -> Vec<WorkerId> {
        let is_current = |process: &Process| {
            let team = self.core.teams.iter().find(|team| team.name() == process.app());
            team.is_some_and(|team| team.generation == process.recruit.generation)
        };
        let outdated = self.processes.iter().filter(|(_, process)| process.accepts() && !is_current(process));
        outdated.map(|(worker, _)| *worker).collect()
    }

    /// Whoever hands its connections over has an heir that lives, or there is none to be had.
    pub fn law_of_heirs(&self) {
        if self.stopped.is_some() {
            return;
        }
        for (from, heritage) in &self.core.heirs {
            let team = self.core.teams.iter().position(|team| team.name() == heritage.app);
            match heritage.to {
                Some(to) => {
                    assert!(self.core.lives.contains_key(&to), "worker {from} hands over to {to}, which is dead")
                }
                None => assert!(
                    team.is_none_or(|index| self.core.serving(index).is_empty()),
                    "worker {from} has lost its heir and got no other"
                ),
            }
        }
    }

    /// What serves is bound, and nothing is that neither serves, nor is about to, nor did and drains.
    pub fn law_of_listeners(&self) {
        if self.bound.is_empty() {
            return;
        }
        let plans = self.core.teams.iter().map(|team| &team.plan);
        let teams: BTreeSet<&Address> =
            plans.flat_map(|plan| &plan.app.listen).map(|listener| &listener.address).collect();
        for address in &teams {
            assert!(self.bound.contains(*address), "{address} is not bound");
        }
        let drains = self.processes.values().filter(|process| process.served && process.doing != Doing::Dead);
        let drains: BTreeSet<&Address> =
            drains.flat_map(|process| &process.recruit.app.app.listen).map(|listener| &listener.address).collect();
        let unknown = self.processes.values().any(|process| process.unknown && process.doing != Doing::Dead);
        for address in &self.bound {
            let needed = unknown || teams.contains(address) || drains.contains(address) || self.told.running.is_some();
            assert!(needed, "{address} is left open");
        }
    }

    /// Whoever has a place lives, and has one place only; while the server stops, places do not matter.
    pub fn law_of_places(&self) {
        if self.bound.is_empty() {
            return;
        }
        let mut seen = BTreeSet::new();
        for team in &self.core.teams {
            let apologist = team.apology.iter().filter_map(|apology| apology.slot.worker());
            let spare = team.spares.workers();
            for worker in team.occupants().chain(team.elders.iter().copied()).chain(spare).chain(apologist) {
                assert!(self.core.lives.contains_key(&worker), "worker {worker} is gone and has a place");
                assert!(seen.insert(worker), "worker {worker} has two places");
            }
        }
    }

    /// Never many spawns of an application in a short time.
    pub fn law_of_numbers(&self) {
        let since = self.now.saturating_sub(Duration::from_secs(2));
        for team in &self.core.teams {
            let recent = self.told.spawns.iter().rev().take_while(|(at, ..)| *at >= since);
            let (apologists, workers): (Vec<_>, Vec<_>) =
                recent.filter(|(_, app, _)| app == team.name()).partition(|(.., purpose)| *purpose != Purpose::Serve);
            let fills = self.told.fills.iter().rev().take_while(|at| **at >= since).count();
            let recycle = &team.plan.app.recycle;
            let spares = usize::from(recycle.age.is_some() || recycle.requests.is_some());
            // Each that ails, or did, may have one.
            let restarts = team.losses.restarts;
            let ailed = restarts.stuck + restarts.silent > 0 || self.ailing(team.name()) > 0;
            let spares = if ailed { team.wanted() + 1 } else { spares };
            let slots = if fills == 0 { team.wanted() + spares } else { 8 };
            // In two seconds: the first, one at once, and 100, 200, 400, 800 ms after each other, all a fifth shorter.
            assert!(workers.len() <= 7 * slots * (1 + fills), "spawned in a tight loop");
            // One that has more to tell takes the place of one that is well.
            assert!(apologists.len() <= 7 * (1 + fills) + workers.len(), "apologists are spawned in a tight loop");
        }
    }

    fn ailing(&self, app: &str) -> usize {
        let lives = self.core.lives.values().filter(|life| life.app.name() == app);
        lives.filter(|life| life.health.ailment().is_some()).count()
    }

    /// An application that loses too many workers is tried slowly, each of its places twice in ten seconds at most: once as it was
    /// decided before it turned.
    pub fn law_of_patience(&self) {
        for team in &self.core.teams {
            let Some(degraded) = team.losses.degraded() else { continue };
            let since = self.now.saturating_sub(Duration::from_secs(10)).max(degraded.since);
            let recent = self.told.spawns.iter().rev().take_while(|(at, ..)| *at > since);
            let ours = recent.filter(|(_, app, purpose)| app == team.name() && *purpose == Purpose::Serve).count();
            let fills = self.told.fills.iter().rev().take_while(|at| **at >= since).count();
            let spares = 1 + team.wanted();
            assert!(ours <= 2 * (team.wanted() + spares) + 8 * fills, "{ours} spawns of a degraded application");
        }
    }

    /// Once nothing goes wrong any more, every slot serves, after the longest retry and a boot; and nobody else is there.
    pub fn law_of_recovery(&self) {
        let status = self.core.status(self.now);
        let mut wanted = 0;
        for app in &status.apps {
            let serving = self.processes.values().filter(|process| {
                process.app() == app.name && process.doing == Doing::Serving && !process.apologises()
            });
            assert!(serving.count() >= app.wanted, "{} has not recovered", app.name);
            assert_eq!(app.state, AppState::Serving, "{}", app.name);
            wanted += app.wanted;
        }
        let decided = self.told.generations.len() > usize::from(self.told.running.is_some());
        assert!(status.last_reload.is_some() == decided || self.told.lost || self.story.has_kills());
        let Reloads { adopted, abandoned } = status.reloads;
        assert!(adopted + abandoned == self.told.decided || self.told.lost || self.story.has_kills());
        assert!(self.told.running.is_none(), "a reload never ended");
        let ailing = self.core.lives.iter().find(|(_, life)| life.is_serving() && life.health.ailment().is_some());
        assert!(ailing.is_none(), "{ailing:?} ails and was not replaced");
        // One may be about to be recycled, and the others may drain that were before it.
        let aging = self.core.teams.iter().filter(|team| team.plan.app.recycle.age.is_some());
        let recycles: usize = aging.map(|team| 1 + team.wanted()).sum();
        let living = self.processes.values().filter(|process| process.doing != Doing::Dead).count();
        assert!((wanted..=wanted + recycles).contains(&living), "{living} processes for {wanted} workers");
        assert!(recycles > 0 || status.state == ServerState::Up, "{:?}", status.state);
        assert_eq!(self.core.lives.len(), living);
    }

    /// Who asked was answered.
    pub fn law_of_answers(&self) {
        for (asker, answer) in &self.answers {
            assert!(answer.is_some(), "asker {asker} waits for ever");
        }
    }

    /// What serves is what the file says, all of one generation.
    pub fn law_of_newest(&self) {
        let plan = self.file.as_ref().expect("the last file is good");
        let teams: Vec<_> = self.core.teams.iter().map(|team| team.plan.clone()).collect();
        assert_eq!(teams, plan.apps);
        let serving = self.processes.values().filter(|process| process.doing == Doing::Serving);
        for process in serving {
            assert_eq!(process.recruit.generation, self.core.generation);
            assert_eq!(Some(&process.recruit.app), plan.app(process.app()));
        }
        assert_eq!(self.bound, plan.listeners().into_keys().collect());
    }

    /// A stopped server is gone after the delay, the drain, the grace and the kill, whatever the workers do; and it stops for
    /// nothing but a wish, or an application that may not fail.
    pub fn law_of_stopping(&self) {
        let (gone, status) = self.exited.expect("stopped, and still there");
        let may_fail = self.core.teams.iter().any(|team| team.plan.app.on_broken_start == BrokenStart::Exit);
        match self.stopped {
            Some(stopped) => {
                let longest = DRAIN_DELAY + DRAIN + QUIT_GRACE + SLOWEST_KILL;
                assert!(gone <= stopped + longest, "stopping took {:?}", gone - stopped);
                assert!(status == exit::DONE || may_fail);
                self.law_of_answers();
            }
            None => assert!(may_fail && status == exit::FAILED, "exited with {status} for nothing"),
        }
    }
}
