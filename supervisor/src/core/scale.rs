//! More or fewer workers, while the server runs.
//!
//! Rules
//! * What somebody has scaled stays so over reloads, until the file's own number changes.
//! * Fewer: empty slots go first, then what still boots, then the newest worker, which hands over to one that stays.
//! * Whoever asked is answered when as many serve as were wanted, or when a worker of the application fails to boot; then
//!   it is tried again all the same.

use monoceros_shared::link::Failure;

use super::effect::{Answer, Effect};
use super::event::{Asker, Scale};
use super::line::{Level, Line};
use super::park::PARKED;
use super::{Core, Now, Phase};

/// Workers of one application. The config's own bound.
const WORKERS_MAX: usize = 512;

/// Somebody who waits for applications to have as many workers as they should.
#[derive(Debug)]
pub struct Scaling {
    /// Who.
    pub asker: Asker,
    /// Which.
    pub apps: Vec<String>,
}

impl Core {
    /// Scales one application, or every one.
    pub(super) fn want_scale(&mut self, now: Now, app: Option<String>, to: Scale, asker: Option<Asker>) {
        match self.phase {
            Phase::Up => {}
            Phase::Parked => return self.refuse(asker, PARKED),
            Phase::Lingering { .. } | Phase::Draining | Phase::Quitting | Phase::Gone => {
                return self.refuse(asker, "the server is stopping");
            }
        }
        let meant = |name: &str| app.as_deref().is_none_or(|app| app == name);
        let indexes: Vec<usize> = (0..self.teams.len()).filter(|index| meant(self.teams[*index].name())).collect();
        if indexes.is_empty() {
            let names: Vec<&str> = self.teams.iter().map(|team| team.name()).collect();
            let why = format!("cannot scale {}: the applications are {}", app.unwrap_or_default(), names.join(", "));
            return self.refuse(asker, &why);
        }
        let (mut apps, mut refused) = (Vec::new(), String::new());
        for index in indexes {
            let name = self.teams[index].name().to_owned();
            let had = self.teams[index].wanted();
            let wanted = match to {
                Scale::To(wanted) => wanted,
                Scale::More => had + 1,
                Scale::Less => had - 1,
            };
            if !(1..=WORKERS_MAX).contains(&wanted) {
                refused = format!("cannot scale {name} to {wanted}: 1 to {WORKERS_MAX} workers can be");
                continue;
            }
            self.log(Line::new(Level::Info, "scaled").with("app", name.as_str()).with("from", had).with("to", wanted));
            self.resize(now, index, wanted);
            self.relieve(now, index);
            apps.push(name);
        }
        if refused.is_empty() {
            self.scalings.extend(asker.map(|asker| Scaling { asker, apps }));
        } else {
            self.refuse(asker, &refused);
        }
    }

    /// Gives an application so many slots.
    pub(super) fn resize(&mut self, now: Now, index: usize, wanted: usize) {
        self.teams[index].grow(wanted);
        let lives = &self.lives;
        let serves = |worker| u8::from(lives.get(&worker).is_some_and(|life| life.is_serving()));
        let rank = |worker| (1 + serves(worker), u64::MAX - worker);
        for worker in self.teams[index].shrink(wanted, rank) {
            let spare = self.teams[index].spares.take_for(worker);
            for worker in spare.into_iter().chain([worker]) {
                self.send_off(now, Some(index), worker);
            }
        }
    }

    /// Answers those whose applications have as many workers as they should.
    pub(super) fn answer_scalings(&mut self) {
        for scaling in std::mem::take(&mut self.scalings) {
            let teams = scaling.apps.iter().map(|app| self.teams.iter().position(|team| team.name() == app));
            let Some(teams) = teams.collect::<Option<Vec<usize>>>() else {
                self.refuse(Some(scaling.asker), "a reload has removed the application");
                continue;
            };
            if teams.iter().all(|index| self.serving(*index).len() == self.teams[*index].wanted()) {
                let told = teams.iter().map(|index| (self.teams[*index].name(), self.teams[*index].wanted()));
                let told: Vec<String> = told.map(|(name, wanted)| format!("{name}: {}", count(wanted))).collect();
                let answer = Answer::Done(told.join(", "));
                self.effects.push(Effect::Answer { asker: scaling.asker, answer });
            } else {
                self.scalings.push(scaling);
            }
        }
    }

    /// A worker of an application has failed to boot: whoever waits for its workers should know.
    pub(super) fn fail_scalings(&mut self, app: &str, failure: &Failure) {
        let (failed, waiting) = std::mem::take(&mut self.scalings)
            .into_iter()
            .partition(|scaling| scaling.apps.iter().any(|name| name == app));
        self.scalings = waiting;
        let failed: Vec<Scaling> = failed;
        for Scaling { asker, .. } in failed {
            let Failure { why, detail, part: _ } = failure.clone();
            self.effects.push(Effect::Answer { asker, answer: Answer::Failed { why, detail } });
        }
    }

    /// Ends all waiting.
    pub(super) fn refuse_scalings(&mut self, why: &str) {
        for Scaling { asker, .. } in std::mem::take(&mut self.scalings) {
            self.refuse(Some(asker), why);
        }
    }

    /// Tells somebody that it cannot be, and why.
    pub(super) fn refuse(&mut self, asker: Option<Asker>, why: &str) {
        match asker {
            Some(asker) => {
                let answer = Answer::Failed { why: why.to_owned(), detail: String::new() };
                self.effects.push(Effect::Answer { asker, answer });
            }
            None => self.log(Line::new(Level::Error, "nothing done").with("why", why)),
        }
    }
}

fn count(workers: usize) -> String {
    if workers == 1 { "1 worker".into() } else { format!("{workers} workers") }
}
