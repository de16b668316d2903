//! More requests than threads: how long one waits, how many may, and whose are not worth a call any more.
//!
//! ```text
//!   whole request --queue--> a thread        as a rule
//!                    |--> beyond limits.queue_max: 503, Retry-After, at once
//!                    |--> longer than timeouts.queue: the same, when the watch looks (see `deputy`)
//!                    \--> its client has left meanwhile: nobody is answered, and the application is not called
//! ```
//!
//! Known fault: a client that closes a TCP connection in good order looks like one that has only finished sending, and its request is
//! run; one that resets it, or leaves a Unix socket, does not.

use monoceros_shared::config::Timeouts;

use super::Task;
use super::guest::Guest;
use super::runner::Runner;
use crate::turn::Farewell;
use crate::wire::Refusal;

/// How long a request has waited, in milliseconds, when it is looked whether its client is still there. Less asks the kernel for
/// requests that hardly waited, more runs some for nobody.
const LOOK_AFTER: u64 = 100;

const QUEUE_FULL: Refusal = Refusal { status: 503, why: "too many requests wait already" };
const NOBODY_FREE_YET: Refusal = Refusal { status: 503, why: "no thread was free for the request in time" };
const NOBODY_FREE: Refusal = Refusal { status: 504, why: "no thread was free for the request in time" };
/// Nobody reads it; the number is what nginx has in its log for it.
const LEFT: Refusal = Refusal { status: 499, why: "the client left before a thread was free" };

/// How long a request waits for a thread, in milliseconds, and what it is told then: whichever of the two timeouts is the shorter.
pub(super) fn patience(timeouts: &Timeouts) -> (u64, Refusal) {
    let (queue, request) = (timeouts.queue.as_millis() as u64, timeouts.request.as_millis() as u64);
    if queue < request { (queue, NOBODY_FREE_YET) } else { (request, NOBODY_FREE) }
}

impl Runner {
    /// Tells the client of a request that there is no room for it to wait.
    pub(super) fn turn_away(&mut self, task: Task) {
        if let Task::Serve(mut guest) = task {
            guest.connection.turn.give_up(QUEUE_FULL, &self.moment);
            self.settle(guest);
        }
    }

    /// Gives a request back that is to be served, or forgets it, because it waited so long that its client has left.
    pub(super) fn still_there(&mut self, mut guest: Box<Guest>) -> Option<Box<Guest>> {
        if self.heed_abort(&mut guest) {
            self.settle(guest);
            return None;
        }
        let queued = guest.deadline.saturating_sub(self.engine.settings.wait.0);
        // As of the end of the call before, if there was one: whoever comes from a rest finds nobody waiting.
        if guest.rest.is_some() || self.moment.now <= queued + LOOK_AFTER || !guest.connection.has_left() {
            return Some(guest);
        }
        self.count_refusal(&mut guest, LEFT);
        self.close(guest, Farewell::Reset);
        None
    }
}
