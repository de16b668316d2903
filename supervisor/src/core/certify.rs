//! Certificates that were renewed reach the workers that stay: no worker is replaced for one, and no connection is closed.

use super::Core;
use super::effect::Effect;
use super::line::{Level, Line};
use super::plan::AppPlan;

impl Core {
    /// An application's workers stay, and its plan is now this one instead of that before.
    pub(super) fn certify(&mut self, app: &AppPlan, before: &AppPlan) {
        if app.has_certificates_of(before) {
            return;
        }
        self.log(Line::new(Level::Info, "certificates renewed").with("app", app.name()));
        let workers = self.lives.iter().filter(|(_, life)| life.app.name() == app.name() && !life.is_draining());
        let effects = workers.map(|(worker, _)| Effect::Certify { worker: *worker, app: app.clone() });
        self.effects.extend(effects.collect::<Vec<_>>());
    }
}
