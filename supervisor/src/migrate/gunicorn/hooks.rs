//! gunicorn's hooks: functions of its config file, and where each of them goes.

use super::super::draft::Draft;
use super::super::said::Said;
use super::table::{Fate, Row, Takes};

const NO_DIRTY: &str = "there are no dirty workers";

const fn hook(name: &'static str, whither: &'static str) -> Row {
    Row::of(name, &[], Takes::One, Fate::Hook(whither))
}

pub(super) const ROWS: &[Row] = &[
    hook("on_starting", "a command: `commands: {start: [PROGRAM, …]}`"),
    hook(
        "when_ready",
        "a command: `commands: {ready: [PROGRAM, …]}`, run when clients are answered; `READY=1` to systemd needs none",
    ),
    hook("on_reload", "a command: `commands: {reload: [PROGRAM, …]}`, run when a reload is decided, with how it ended"),
    hook("on_exit", "a command: `commands: {stop: [PROGRAM, …]}`"),
    hook("pre_exec", "an upgrade needs none: the next program is tried before anything happens"),
    hook("nworkers_changed", "`supervisor status` has the number"),
    hook(
        "pre_fork",
        "workers are not forked: what was prepared before goes into `worker_start(worker)` of a hooks module",
    ),
    hook(
        "child_exit",
        "a command: `commands: {worker_exit: [PROGRAM, …]}`, with the worker's process number and how it ended",
    ),
    hook("post_fork", "`worker_start(worker)` of a hooks module, called before the application is imported"),
    hook("post_worker_init", "`worker_ready(worker)` of a hooks module, called when the application is imported"),
    hook("worker_int", "`worker_exit(worker)` of a hooks module, called on the way out, whatever the reason"),
    hook(
        "worker_abort",
        "`worker_timeout(worker, request)` of a hooks module, called with the request that took too long; its stack is in the log",
    ),
    hook("worker_exit", "`worker_exit(worker)` of a hooks module"),
    hook("pre_request", "`request_start(environ)` of a hooks module"),
    hook("post_request", "`request_end(environ, status, seconds)` of a hooks module, called when the answer is out"),
    Row::of(
        "ssl_context",
        &[],
        Takes::One,
        Fate::Hook(
            "`tls` of a listener says which certificates, which clients' and which oldest version; there is no context of Python's",
        ),
    ),
    hook("on_dirty_starting", NO_DIRTY),
    hook("dirty_post_fork", NO_DIRTY),
    hook("dirty_worker_init", NO_DIRTY),
    hook("dirty_worker_exit", NO_DIRTY),
];

/// Says where a hook goes.
pub(super) fn told(said: &Said, whither: &str, draft: &mut Draft) {
    draft.ask(format!("{} ({}) is code: {whither}", said.name, said.place));
}
