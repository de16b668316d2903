//! Work that stands ready for the application, in a queue that all runners share, and the runners that wait for some.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use super::guest::Guest;
use super::slots::lock;
use super::{Engine, Mode};
use crate::python::Rest;

/// Work for a thread that has Python.
pub enum Task {
    /// Call the application for a whole request, or pull the next piece of its answer.
    Serve(Box<Guest>),
    /// Close what is left of an answer whose client is gone.
    Abandon(Rest),
}

/// A request that the application has not seen.
pub(super) fn unbegun(task: &Task) -> Option<&Guest> {
    match task {
        Task::Serve(guest) if guest.rest.is_none() => Some(guest),
        Task::Serve(_) | Task::Abandon(_) => None,
    }
}

/// Work that any runner may take.
#[derive(Default)]
pub(super) struct Ready {
    pub now: VecDeque<Task>,
    /// Answers that go on and on: their next pieces come after everybody else, and after a look at the poll.
    pub later: VecDeque<Task>,
}

impl Ready {
    /// Puts work behind the rest, and before requests that came later: it may have waited elsewhere before.
    fn put(&mut self, task: Task) {
        let Some(deadline) = unbegun(&task).map(|guest| guest.deadline) else { return self.now.push_back(task) };
        let came_later = |other: &Task| unbegun(other).is_some_and(|guest| guest.deadline > deadline);
        let later = self.now.iter().rev().take_while(|other| came_later(other)).count();
        self.now.insert(self.now.len() - later, task);
    }

    fn is_empty(&self) -> bool {
        self.now.is_empty() && self.later.is_empty()
    }
}

impl Engine {
    /// Puts work into the queue that all runners share. Gives back what is beyond `limits.queue_max`: requests that the application has
    /// not seen, the last to come.
    pub(super) fn queue(&self, tasks: impl IntoIterator<Item = Task>) -> Vec<Task> {
        let mut ready = lock(&self.ready);
        tasks.into_iter().for_each(|task| ready.put(task));
        if ready.now.len() <= self.settings.queue_max {
            self.show_queue(&ready);
            return Vec::new();
        }
        let beyond = ready.now.split_off(self.settings.queue_max);
        let (surplus, stay): (Vec<Task>, Vec<Task>) = beyond.into_iter().partition(|task| unbegun(task).is_some());
        ready.now.extend(stay);
        self.show_queue(&ready);
        surplus
    }

    /// Puts the next piece of a long answer behind all other work.
    pub(super) fn queue_later(&self, task: Task) {
        lock(&self.ready).later.push_back(task);
    }

    /// Puts work before all other: little, and it sets something free.
    pub(super) fn queue_first(&self, task: Task) {
        let mut ready = lock(&self.ready);
        ready.now.push_front(task);
        self.show_queue(&ready);
    }

    /// The next piece of work, if one stands ready.
    pub(super) fn pop(&self) -> Option<Task> {
        let mut ready = lock(&self.ready);
        let task = ready.now.pop_front()?;
        self.show_queue(&ready);
        Some(task)
    }

    /// Shows how many wait, for whoever looks from outside.
    pub(super) fn show_queue(&self, ready: &Ready) {
        self.scoreboard.counters().queued.store(ready.now.len() as u64, Ordering::Relaxed);
    }

    /// The next request that the application has not seen and of which this is so.
    pub(super) fn pop_unbegun(&self, is_so: impl Fn(&Guest) -> bool) -> Option<Box<Guest>> {
        let mut ready = lock(&self.ready);
        let place = ready.now.iter().position(|task| unbegun(task).is_some_and(&is_so))?;
        let task = ready.now.remove(place);
        self.show_queue(&ready);
        match task {
            Some(Task::Serve(guest)) => Some(guest),
            Some(Task::Abandon(_)) | None => unreachable!("it was looked at"),
        }
    }

    /// How many of them there are.
    pub(super) fn unbegun(&self) -> usize {
        lock(&self.ready).now.iter().filter(|task| unbegun(task).is_some()).count()
    }

    /// Everything else that stands ready.
    pub(super) fn take_begun(&self) -> Vec<Task> {
        let mut ready = lock(&self.ready);
        let later: Vec<Task> = ready.later.drain(..).collect();
        if ready.now.iter().all(|task| unbegun(task).is_some()) {
            return later;
        }
        let (stay, begun): (Vec<Task>, Vec<Task>) = ready.now.drain(..).partition(|task| unbegun(task).is_some());
        ready.now = stay.into();
        self.show_queue(&ready);
        begun.into_iter().chain(later).collect()
    }

    pub(super) fn has_later(&self) -> bool {
        !lock(&self.ready).later.is_empty()
    }

    pub(super) fn pop_later(&self) -> Option<Task> {
        lock(&self.ready).later.pop_front()
    }

    /// Whether no other work waits for a thread.
    pub(super) fn is_queue_empty(&self) -> bool {
        lock(&self.ready).is_empty()
    }

    /// Whether work stands in the queue, or the poll has nobody.
    pub(super) fn wants_runner(&self) -> bool {
        !self.led.load(Ordering::Acquire) || !lock(&self.ready).is_empty()
    }

    /// Wakes an idle runner, if there is one.
    pub(super) fn wake_idle(&self) {
        if self.idlers.load(Ordering::Acquire) > 0 {
            drop(lock(&self.ready));
            self.idle.notify_one();
        }
    }

    /// Whether a thread leads that need not be asked to step down.
    pub(super) fn is_led(&self) -> bool {
        self.led.load(Ordering::Acquire) && !self.deputy.load(Ordering::SeqCst)
    }

    /// Waits until there may be something to do for an idle runner.
    pub(super) fn rest(&self) {
        let ready = lock(&self.ready);
        self.idlers.fetch_add(1, Ordering::AcqRel);
        if ready.is_empty() && self.is_led() && !self.mode_is(Mode::Done) {
            drop(self.idle.wait(ready).expect("no thread panics while it holds a lock"));
        } else {
            drop(ready);
        }
        self.idlers.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::conn::{Connection, Peer, Waits};
    use crate::engine::slots::Key;
    use crate::turn::Seat;
    use crate::turn::tests::limits;

    fn request(deadline: u64) -> Task {
        let socket = UnixStream::pair().unwrap().0.into();
        let connection =
            Connection::new(socket, Peer::Unix, 0, Seat::new(Arc::new(limits()), 0), Waits::all(Duration::ZERO));
        let mut guest = Guest::new(Key::default(), connection);
        guest.deadline = deadline;
        Task::Serve(guest)
    }

    #[test]
    fn a_request_that_has_waited_elsewhere_comes_before_those_that_came_later() {
        let mut ready = Ready::default();
        for deadline in [3, 5, 5, 1, 4, 5, 9] {
            ready.put(request(deadline));
        }
        let order: Vec<u64> = ready.now.iter().filter_map(unbegun).map(|guest| guest.deadline).collect();
        assert_eq!(order, [1, 3, 4, 5, 5, 5, 9]);
    }
}
