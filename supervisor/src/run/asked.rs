//! Whoever asks how things are, and the beats that nobody asks for: what the loop answers without the core.

use std::time::Instant;

use super::Server;
use crate::control::words::{Reply, Request};
use crate::core::{Asker, Cause, Event, Scale, Silence, Stop, Wish};
use crate::effects::{last_seen, now_ms};
use crate::inquiry;
use crate::pulse::Verdict;

impl Server<'_> {
    /// Looks at the workers' beats, if it is time.
    pub(super) fn judge(&mut self) -> Vec<Event> {
        let now_ms = now_ms();
        if self.pulse.due_ms(self.workers.shortest_heartbeat()).is_none_or(|due| due > now_ms) {
            return Vec::new();
        }
        let verdicts = self.pulse.round(now_ms, &self.workers.vitals());
        let event = |(worker, verdict)| match verdict {
            Verdict::Silent(organ, length) => {
                let running = self.workers.scoreboard(worker).map(last_seen).unwrap_or_default().running;
                Event::Silent { worker, silence: Silence { organ, length, running } }
            }
            Verdict::Beats => Event::Beats { worker },
        };
        verdicts.into_iter().map(event).collect()
    }

    /// What a request is to the core. Who only wants to know how things are is answered here.
    pub(super) fn asked(&mut self, (asker, request): (Asker, Request)) -> Option<Event> {
        let wish = match request {
            Request::Status => {
                let report = Reply::Status(Box::new(self.report()));
                self.control.answer(asker, &report);
                return None;
            }
            Request::Reopen => {
                let reply = self.reopen();
                self.control.answer(asker, &reply);
                return None;
            }
            Request::Stacks { of } => {
                self.inquire(asker, of.as_deref());
                return None;
            }
            Request::Reload => Wish::Reload { cause: Cause::Command },
            Request::Scale { app, workers } => Wish::Scale { app, to: Scale::To(workers) },
            Request::Upgrade => Wish::Upgrade,
            Request::Stop => Wish::Stop(Stop::Graceful),
        };
        Some(Event::Wanted { wish, asker: Some(asker) })
    }

    fn inquire(&mut self, asker: Asker, of: Option<&str>) {
        match inquiry::meant(&self.core.status(self.began.elapsed()), of) {
            Ok(meant) => {
                let workers = meant.iter().map(|stacks| stacks.worker);
                let asked = workers.filter(|worker| self.workers.inspect(*worker)).collect();
                self.inquiries.open(asker, meant, asked);
            }
            Err(why) => self.control.answer(asker, &Reply::Failed { why, detail: String::new() }),
        }
    }

    /// Tells those who wait what there is to tell.
    pub(super) fn reply(&mut self) {
        for (asker, workers) in self.inquiries.close(Instant::now()) {
            self.control.answer(asker, &Reply::Stacks { workers });
        }
        let core = &self.core;
        self.control.tell(|asker| core.progress(asker));
    }
}
