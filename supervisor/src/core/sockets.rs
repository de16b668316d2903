//! Which listeners are bound, and when one is not needed any more.
//!
//! A listener is needed by the plan that serves, by the reload that runs, and by every worker that served it and is not
//! gone: what still waits in its queue is theirs to take. So nothing remembers what is to be closed; it is seen.

use std::collections::BTreeSet;

use monoceros_shared::config::{Address, Listener};

use super::Core;
use super::effect::Effect;
use super::plan::Plan;
use super::reload::Stage;

impl Core {
    /// Gives the listeners that stay what the new plan says of them.
    pub(super) fn adjust_sockets(&mut self, plan: &Plan) {
        let wanted = plan.listeners().into_values();
        let differing = wanted.filter(|wanted| self.bound.get(&wanted.address).is_some_and(|bound| bound != wanted));
        let listeners: Vec<Listener> = differing.collect();
        self.bound.extend(listeners.iter().map(|listener| (listener.address.clone(), listener.clone())));
        if !listeners.is_empty() {
            self.effects.push(Effect::Adjust { listeners });
        }
    }

    /// Closes what nobody needs any more.
    pub(super) fn close_unneeded(&mut self) {
        let serving: usize = self.teams.iter().map(|team| team.plan.app.listen.len()).sum();
        if serving == self.bound.len() {
            return;
        }
        let coming = match self.reload.as_ref().map(|reload| &reload.stage) {
            Some(Stage::Binding(plan, _) | Stage::Loading(plan, _)) => plan.apps.as_slice(),
            Some(Stage::Reading) | None => &[],
        };
        let served = self.lives.values().filter(|life| life.has_served()).map(|life| &life.app);
        let apps = self.teams.iter().map(|team| &team.plan).chain(coming).chain(served);
        let needed: BTreeSet<&Address> =
            apps.flat_map(|app| &app.app.listen).map(|listener| &listener.address).collect();
        let unneeded = self.bound.keys().filter(|address| !needed.contains(address));
        let addresses: Vec<Address> = unneeded.cloned().collect();
        self.bound.retain(|address, _| !addresses.contains(address));
        if !addresses.is_empty() {
            self.effects.push(Effect::Unbind { addresses });
        }
    }
}
