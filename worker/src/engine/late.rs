//! What becomes of a call that outlives its deadline: `timeouts.request`, or the end of a drain.
//!
//! ```text
//!   deadline            the watch claims the lease: 504 to the client, or the cut; counted; the stack and the line in the log;
//!                       RequestTimeout raised in that call
//!   a second later      it has returned: nothing more
//!                       it has not: the supervisor is told, and replaces this worker
//! ```
//!
//! The log line and the exception come from the probe, which has the GIL for both. When it does not get the GIL the watch writes the line, with
//! the stack as it stands; the exception is raised when the GIL is let go of.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monoceros_shared::link::FromWorker;
use rustix::net::connect_unspec;
use socket2::Socket;

use super::Engine;
use super::runner::HANDS;
use super::watch::Watchman;
use crate::access::Memo;
use crate::clock::Clock;
use crate::conn::{Voice, say};
use crate::lease::{Call, Heard, Lease};
use crate::python::hooks::Overdue;
use crate::python::{self, probe, stacks};
use crate::turn::Farewell;
use crate::wire::Version;
use crate::wire::http::answer::{self, Asked, Plain};

/// What its client is answered.
pub(super) const TIMED_OUT: u16 = 504;
const SORRY: Plain<'_> = Plain { status: TIMED_OUT, text: "the application did not answer in time", id: None };

/// How long RequestTimeout may take to end a call, in milliseconds. Less replaces workers whose calls would have ended; more keeps
/// a thread from its other clients.
const GRACE: u64 = 1_000;

/// How long the probe may wait for the GIL before the watch tells without it, in milliseconds: fifty times what Python's code keeps it.
/// Less takes a busy machine for a held GIL, more tells later.
pub(super) const PROBE_PATIENCE: u64 = 250;

/// A call that was claimed, for people.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// Method and target.
    pub request: String,
    /// Milliseconds since it was given to the application.
    pub age: u64,
    /// Who asked.
    pub client: String,
    /// What the client was told.
    pub answer: &'static str,
    /// Which timeout it was.
    pub limit: &'static str,
    /// What its access line says of it.
    pub memo: Option<Arc<Memo>>,
}

/// A call that was claimed.
pub(super) struct Late {
    runner: usize,
    call: Call,
    claimed: u64,
    /// Whether a client waited for it.
    has_client: bool,
    account: Account,
    stage: Stage,
    /// The line that the probe is to write, since when.
    telling: Option<(Line, u64, Arc<AtomicBool>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It may still return.
    Ending,
    /// Nobody believes in that any more.
    GivenUp,
    /// It has.
    Returned,
}

/// What there is to tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Its client was told without it.
    TimedOut,
    /// It does not return.
    CannotBeEnded,
}

impl Late {
    /// When to look at it again.
    pub fn next(&self) -> Option<u64> {
        let telling = self.telling.as_ref().map(|(_, since, _)| since + PROBE_PATIENCE);
        let giving_up = (self.stage == Stage::Ending).then_some(self.claimed + GRACE);
        telling.into_iter().chain(giving_up).min()
    }

    /// Whether it is given up.
    pub fn is_given_up(&self) -> bool {
        self.stage == Stage::GivenUp
    }
}

impl Watchman {
    /// Claims every call whose time is up.
    pub(super) fn claim_due(&mut self, now: u64) {
        let limit = self.engine.limit(now);
        let horizon = if limit == DRAIN { u64::MAX } else { now };
        for (runner, lease) in self.engine.watch.leases().enumerate() {
            let Some(call) = lease.claim(horizon) else { continue };
            let late = self.engine.end_for_client(lease, (runner, call), limit);
            lease.release();
            self.late.push(Late { claimed: now, ..late });
            self.tell(self.late.len() - 1, Line::TimedOut, now);
        }
    }

    /// Looks what has become of those that were claimed.
    pub(super) fn follow_late(&mut self, now: u64) {
        for index in 0..self.late.len() {
            let late = &mut self.late[index];
            let lease = self.engine.watch.lease(late.runner);
            if late.stage != Stage::Returned && !lease.is_late(late.call) {
                late.stage = Stage::Returned;
            }
            if late.stage == Stage::Ending && now >= late.claimed + GRACE && self.engine.give_up(lease, late) {
                late.stage = Stage::GivenUp;
                if !self.has_said_stuck && !self.engine.is_leaving() {
                    self.has_said_stuck = true;
                    let Account { request, client, .. } = &late.account;
                    (self.engine.say)(FromWorker::Stuck(format!(
                        "{request} from {client}, {}",
                        self.engine.who(late.runner)
                    )));
                }
                self.tell(index, Line::CannotBeEnded, now);
            }
            self.tell_without_gil(index, now);
        }
        self.late.retain(|late| late.stage != Stage::Returned || late.telling.is_some());
    }

    /// Has the probe write a line, with the stack of the thread.
    fn tell(&mut self, index: usize, line: Line, now: u64) {
        let late = &mut self.late[index];
        let told = Arc::new(AtomicBool::new(false));
        let (engine, runner, call) = (self.engine.clone(), late.runner, late.call);
        let (account, is_told) = (late.account.clone(), told.clone());
        probe::ask(move |py| {
            let lease = engine.watch.lease(runner);
            let stack = lease.is_late(call).then(|| engine.stack_of(py, runner));
            // Looked at again: the GIL may have been elsewhere since, as it may whenever Python code runs. From this look to the
            // exception none does, so its thread cannot return between them.
            if line == Line::TimedOut && lease.is_late(call) {
                engine.raise_in(py, (runner, call));
            }
            if !is_told.swap(true, Ordering::AcqRel) {
                let stack = stack.unwrap_or_else(|| "it returned just now".to_owned());
                py.detach(|| engine.write_late(line, runner, (&account, &stack)));
            }
        });
        late.telling = Some((line, now, told));
    }

    /// Writes the lines that the probe has not yet, for the process ends.
    pub(super) fn tell_the_rest(&mut self, now: u64) {
        let how = self.stands_still(now).then_some("looked at without the GIL");
        for index in 0..self.late.len() {
            self.write_without_gil(index, how);
        }
    }

    /// Writes the line that the probe could not, for want of the GIL.
    fn tell_without_gil(&mut self, index: usize, now: u64) {
        let stands_still = self.stands_still(now);
        let late = &mut self.late[index];
        let Some((_, since, told)) = &late.telling else { return };
        if told.load(Ordering::Acquire) {
            late.telling = None;
        } else if now >= since + PROBE_PATIENCE && stands_still {
            self.write_without_gil(index, Some("the GIL is held"));
        }
    }

    /// Whether no call has begun or ended for so long that Python's frames can be looked at, if the GIL is not to be had.
    fn stands_still(&self, now: u64) -> bool {
        now >= self.moved + PROBE_PATIENCE
    }

    fn write_without_gil(&mut self, index: usize, how: Option<&str>) {
        let late = &mut self.late[index];
        let Some((line, _, told)) = late.telling.take() else { return };
        if told.swap(true, Ordering::AcqRel) {
            return;
        }
        let thread = self.engine.watch.lease(late.runner).thread();
        let stack = match how.and_then(|how| Some((how, stacks::without_gil()?))) {
            Some((how, text)) => format!("{how}:\n{}", stacks::part_of(&text, thread).unwrap_or(&text)),
            None => "Python was too busy to tell it".to_owned(),
        };
        self.engine.write_late(line, late.runner, (&late.account, &stack));
    }
}

/// Which timeouts end a call.
const REQUEST: &str = "timeouts.request";
const DRAIN: &str = "timeouts.drain";

impl Engine {
    /// Which timeout ends calls now.
    pub(super) fn limit(&self, now: u64) -> &'static str {
        if self.drain_ends().is_some_and(|end| end <= now) { DRAIN } else { REQUEST }
    }

    /// Tells the client of a claimed call that nothing comes, and counts it.
    fn end_for_client(&self, lease: &Lease, call: (usize, Call), limit: &'static str) -> Late {
        let (runner, call) = call;
        let now = crate::clock::now();
        let (request, since) = self.scoreboard.threads()[runner].current().unwrap_or_else(|| ("-".to_owned(), now));
        let (place, heard) = lease.client();
        let voice = place.and_then(|place| self.slots.voice(place));
        let memo: Option<Arc<Memo>> = place.and_then(|place| self.slots.take_memo(place)).map(Arc::from);
        let client = match (&memo, &voice) {
            (Some(memo), _) => memo.client.clone(),
            (None, Some(voice)) => client_of(&voice.socket),
            (None, None) => "-".to_owned(),
        };
        let id = memo.as_ref().and_then(|memo| memo.id.as_deref());
        let sorry = Plain { id: self.settings.id_field.as_deref().zip(id), ..SORRY };
        let answer = voice.as_ref().map_or("nobody waits", |voice| end(voice, heard, (&request, sorry)));
        let account = Account { request, age: now.saturating_sub(since), client, answer, limit, memo };
        if voice.is_some() && heard != Heard::All {
            self.count_late(HANDS, &account);
        }
        Late { runner, call, claimed: now, has_client: voice.is_some(), account, stage: Stage::Ending, telling: None }
    }

    /// Gives up on a call: the worker is to be replaced. Says whether it had not returned.
    fn give_up(&self, lease: &Lease, late: &Late) -> bool {
        let count = usize::from(late.has_client);
        // Counted before its thread can find out, which takes it back.
        self.stuck.fetch_add(count, Ordering::SeqCst);
        if !lease.give_up(late.call) {
            self.stuck.fetch_sub(count, Ordering::SeqCst);
            return false;
        }
        self.end_if_empty();
        true
    }

    /// The application's `worker_timeout`, if it has one.
    fn tell_hook(&self, account: &Account, stack: &str) {
        python::hooks::tell_overdue(|| Overdue {
            request: account.request.clone(),
            age: account.age,
            client: account.client.clone(),
            stack: stack.to_owned(),
        });
    }

    pub(super) fn write_late(&self, line: Line, runner: usize, what: (&Account, &str)) {
        let (account, stack) = what;
        let thread = self.who(runner);
        match line {
            Line::TimedOut => {
                self.tell_hook(account, stack);
                slog::warn!(self.log, "request timed out";
                "request" => &account.request, "ms" => account.age, "client" => &account.client, "status" => TIMED_OUT,
                "answer" => account.answer, "limit" => account.limit, "thread" => thread, "stack" => stack);
            }
            Line::CannotBeEnded => slog::error!(self.log, "request cannot be ended";
                "request" => &account.request, "client" => &account.client, "thread" => thread,
                "next" => if self.is_leaving() { "this worker ends without it" } else { "this worker is replaced" },
                "stack" => stack),
        }
    }
}

/// Tells a client that has heard so much that nothing more comes, without waiting for it. Says what that was.
fn end(voice: &Voice, heard: Heard, (request, sorry): (&str, Plain<'_>)) -> &'static str {
    match heard {
        Heard::Nothing => {
            let mut text = Vec::new();
            let is_head = request.starts_with("HEAD ");
            let asked = Asked { version: Version::Http11, head: is_head, keep_alive: false, manner: voice.manner() };
            answer::plain(sorry, asked, &Clock::new().moment().date, &mut text);
            // Its client may be sending still: what comes is thrown away when the call returns.
            voice.say(if voice.tell(&text) { Farewell::Linger } else { Farewell::Close });
            "504"
        }
        Heard::Part(Farewell::Reset) if !voice.is_shared() => {
            reset(&voice.socket);
            "cut"
        }
        Heard::Part(farewell) => {
            voice.cut(farewell);
            "cut"
        }
        // Only close() is late, which is no concern of the client's.
        Heard::All => "complete",
    }
}

/// Resets a connection whose descriptor is still somebody's, so that it cannot be closed: to connect to nobody is to reset (tcp(7) has
/// it from RFC 793, ABORT).
fn reset(socket: &Socket) {
    say(socket, Farewell::Reset);
    if connect_unspec(socket).is_err() {
        say(socket, Farewell::Close);
    }
}

fn client_of(socket: &Socket) -> String {
    let address = socket.peer_addr().ok().and_then(|address| address.as_socket());
    address.map_or_else(|| "unix".to_owned(), |address| address.ip().to_string())
}
