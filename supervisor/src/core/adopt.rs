//! How new workers take over from old ones: the instant of a reload, and what rolls on behind it.
//!
//! ```text
//!   Serve to all new workers, then, for each application:
//!     seats      new workers sit in the slots; what is missing is spawned, `reload.surge` at a time
//!     elders     old workers that serve; as many stay as slots do not serve yet, the others go
//!     go         introduced to a new worker each in turn, then told to drain; whoever has not served is killed
//! ```
//!
//! Rule: an old worker goes only when enough new ones serve. It is never missed: nobody replaces an elder that dies.
//!
//! Known fault: where `reload.surge` is 1, a worker that hangs while it boots keeps the others waiting for `timeouts.boot`.

use super::plan::Plan;
use super::reload::Squad;
use super::team::Team;
use super::worker::Happening;
use super::{Core, Now, WorkerId};

impl Core {
    pub(super) fn adopt(&mut self, now: Now, generation: u64, plan: Plan, mut squads: Vec<Squad>) {
        if !squads.is_empty() {
            self.generation = generation;
        }
        self.adjust_sockets(&plan);
        self.manner = plan.manner;
        let mut leaving = Vec::new();
        let mut recruits = Vec::new();
        let mut teams = Vec::new();
        for app in plan.apps {
            let wanted = self.wanted_of(&app);
            let old = self.teams.iter().position(|team| team.name() == app.name());
            let mut old = old.map(|index| self.teams.remove(index));
            let team = match squads.iter().position(|squad| squad.app.name() == app.name()) {
                Some(index) => {
                    let mut team = Team::new(app, generation, wanted);
                    leaving.extend(team.seat(squads.swap_remove(index).workers));
                    recruits.extend(team.occupants().map(|worker| (teams.len(), worker)));
                    leaving.extend(old.map(|old| self.succeed(&mut team, old)).into_iter().flatten());
                    Some(team)
                }
                None => old.take().map(|mut old| {
                    self.certify(&app, &old.plan);
                    old.plan = app;
                    old
                }),
            };
            teams.extend(team.map(|team| (team, wanted)));
        }
        let removed = std::mem::take(&mut self.teams);
        let wanted: Vec<usize> = teams.iter().map(|(_, wanted)| *wanted).collect();
        self.teams = teams.into_iter().map(|(team, _)| team).collect();
        for (index, worker) in recruits {
            self.is_well(now, index, "a reload has brought other workers");
            self.serve(now, index, worker);
        }
        leaving.into_iter().for_each(|worker| self.step(now, worker, Happening::Quit));
        for (index, wanted) in wanted.into_iter().enumerate() {
            self.resize(now, index, wanted);
            self.relieve(now, index);
        }
        removed.into_iter().for_each(|team| self.dissolve(now, team));
    }

    /// Hands over what an application's old team leaves to its new one. Answers who is of no use to it.
    fn succeed(&self, team: &mut Team, mut old: Team) -> Vec<WorkerId> {
        let (serving, others) = old.occupants().partition(|worker| self.is_serving(*worker));
        team.elders = old.elders;
        team.elders.extend::<Vec<WorkerId>>(serving);
        team.apology = old.apology;
        team.announced = old.announced;
        team.has_served = old.has_served;
        team.losses = old.losses;
        let mut others: Vec<WorkerId> = others;
        others.extend(old.spares.clear());
        others
    }

    /// Lets an application's workers go that has no heir.
    fn dissolve(&mut self, now: Now, team: Team) {
        let apology = team.apology.iter().filter_map(|apology| apology.slot.worker());
        let spares = team.spares.workers();
        let all: Vec<WorkerId> =
            team.occupants().chain(team.elders.iter().copied()).chain(apology).chain(spares).collect();
        all.into_iter().for_each(|worker| self.send_off(now, None, worker));
    }

    /// A worker that has loaded is to serve: whoever was there in its place may go.
    pub(super) fn serve(&mut self, now: Now, index: usize, worker: WorkerId) {
        self.step(now, worker, Happening::Adopted);
        self.teams[index].has_served = true;
        self.teams[index].losses.forget_told();
        self.introduce_orphans(index);
        self.announce(now, index, worker);
    }

    /// Lets those go whose place is taken: elders and whoever apologises.
    pub(super) fn relieve(&mut self, now: Now, index: usize) {
        let serving = self.serving(index).len();
        if serving > 0
            && let Some(apologist) = self.teams[index].apology.take().and_then(|apology| apology.slot.worker())
        {
            self.send_off(now, Some(index), apologist);
        }
        let stay = self.teams[index].wanted().saturating_sub(serving);
        while self.teams[index].elders.len() > stay {
            let elder = self.teams[index].elders.remove(0);
            self.send_off(now, Some(index), elder);
        }
    }

    /// Lets a worker go: by a drain, with an heir if its team has one; or by a kill, if it never served.
    pub(super) fn send_off(&mut self, now: Now, team: Option<usize>, worker: WorkerId) {
        if let Some(index) = team
            && self.is_serving(worker)
        {
            // It sits in no slot any more.
            self.introduce(index, worker);
        }
        self.step(now, worker, Happening::Drain);
    }
}
