//! gunicorn's settings of workers: how many, of which class, and for how long.

use super::super::draft::Draft;
use super::super::ranges;
use super::super::said::{Said, Whole};
use super::Settings;
use super::sockets::fitted;
use super::table::{Fate, Row, Takes};

const NO_ASGI: &str = "ASGI is not served here: WSGI is";

pub(super) const ROWS: &[Row] = &[
    Row::of("worker_class", &["-k", "--worker-class"], Takes::One, Fate::Written(worker_class)),
    Row::of("workers", &["-w", "--workers"], Takes::One, Fate::Written(workers)),
    Row::of("threads", &["--threads"], Takes::One, Fate::Written(threads)),
    Row::of("worker_connections", &["--worker-connections"], Takes::One, Fate::Written(worker_connections)),
    Row::of("max_requests", &["--max-requests"], Takes::One, Fate::Written(max_requests)),
    Row::of(
        "max_requests_jitter",
        &["--max-requests-jitter"],
        Takes::One,
        Fate::Nothing(
            "each worker has a jitter of a tenth, and they are replaced one at a time, the replacement first",
        ),
    ),
    Row::of("timeout", &["-t", "--timeout"], Takes::One, Fate::Written(timeout)),
    Row::of("graceful_timeout", &["--graceful-timeout"], Takes::One, Fate::Written(graceful_timeout)),
    Row::of("keepalive", &["--keep-alive"], Takes::One, Fate::Written(keepalive)),
    Row::of(
        "http_parser",
        &["--http-parser"],
        Takes::One,
        Fate::Nothing("there is one parser, and it is the fast one"),
    ),
    Row::of("asgi_loop", &["--asgi-loop"], Takes::One, Fate::Nothing(NO_ASGI)),
    Row::of("asgi_lifespan", &["--asgi-lifespan"], Takes::One, Fate::Nothing(NO_ASGI)),
    Row::of("asgi_disconnect_grace_period", &["--asgi-disconnect-grace-period"], Takes::One, Fate::Nothing(NO_ASGI)),
    Row::of("websocket_max_message_size", &["--websocket-max-message-size"], Takes::One, Fate::Nothing(NO_ASGI)),
    Row::of("dirty_apps", &["--dirty-app"], Takes::Many, Fate::Open(NO_DIRTY)),
    Row::of("dirty_workers", &["--dirty-workers"], Takes::One, Fate::Nothing(NO_DIRTY)),
    Row::of("dirty_timeout", &["--dirty-timeout"], Takes::One, Fate::Nothing(NO_DIRTY)),
    Row::of("dirty_threads", &["--dirty-threads"], Takes::One, Fate::Nothing(NO_DIRTY)),
    Row::of("dirty_graceful_timeout", &["--dirty-graceful-timeout"], Takes::One, Fate::Nothing(NO_DIRTY)),
];

const NO_DIRTY: &str = "there are no dirty workers: a task queue, or a second application under `apps:` that the first one asks, does their work";

/// The families of gunicorn's workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Sync,
    Threads,
    Gevent,
    Eventlet,
    Tornado,
    Asgi,
    Own,
}

/// The class that gunicorn would take: more than one thread turns sync into gthread.
fn class(settings: &Settings<'_>) -> Class {
    let Some(said) = settings.get("worker_class").filter(|said| !said.is_empty()) else {
        return sync_or_threads(settings);
    };
    let named = said.text().unwrap_or_else(|| said.shown());
    let word = named.rsplit(['#', '.', ':']).next().unwrap_or_default().to_lowercase();
    match word.trim_end_matches("worker") {
        "sync" => sync_or_threads(settings),
        "gthread" | "thread" => Class::Threads,
        "gevent" | "geventwsgi" | "geventpywsgi" | "gevent_wsgi" | "gevent_pywsgi" => Class::Gevent,
        "eventlet" => Class::Eventlet,
        "tornado" => Class::Tornado,
        "asgi" | "uvicorn" | "uvicornh11" | "hypercorn" | "aiohttp" | "aiohttpwebworker" => Class::Asgi,
        _ => Class::Own,
    }
}

fn sync_or_threads(settings: &Settings<'_>) -> Class {
    let one = settings.get("threads").is_none_or(|said| matches!(said.whole(), Ok(Whole::Now(0 | 1))));
    if one { Class::Sync } else { Class::Threads }
}

const ENGINE: &str = "apps.NAME.engine";

fn worker_class(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match class(settings) {
        Class::Sync => draft.put(ENGINE, "sync", said),
        Class::Threads => draft.put(ENGINE, "threads", said),
        Class::Gevent => draft.put(ENGINE, "gevent", said),
        Class::Eventlet => draft.put(ENGINE, "eventlet", said),
        Class::Tornado => draft.put(ENGINE, "tornado", said),
        Class::Asgi => draft.open(said, "ASGI is not served here: an application that speaks WSGI too can be"),
        Class::Own => draft.open(
            said,
            "there are no workers of one's own: `threads`, `gevent`, `eventlet` and `tornado` are the engines; what the class did around \
            requests may be a hook",
        ),
    }
}

fn workers(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.workers";
    if said.computed.as_deref().is_some_and(|source| source.contains("cpu_count")) {
        draft.note(
            path,
            "`workers: auto` is as many as the CPU quota allows, in a container too; threads then add to that",
        );
    }
    fitted(path, ranges::count(said, path), said, draft);
}

fn threads(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match class(settings) {
        Class::Sync | Class::Threads | Class::Own | Class::Asgi => {
            fitted("apps.NAME.threads", ranges::count(said, "apps.NAME.threads"), said, draft);
        }
        Class::Gevent | Class::Eventlet | Class::Tornado => {
            draft.leave(said, "this class of workers has one thread under gunicorn too")
        }
    }
}

fn worker_connections(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.limits.connections_max";
    match class(settings) {
        Class::Sync => {
            draft.leave(said, "gunicorn's sync workers ignore it; here a worker holds 10000 connections at most")
        }
        Class::Threads | Class::Gevent | Class::Eventlet | Class::Tornado | Class::Asgi | Class::Own => {
            fitted(path, ranges::count(said, path), said, draft);
        }
    }
}

fn max_requests(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.whole() {
        Ok(Whole::Now(0)) => draft.leave(said, "no worker is replaced for its requests if nothing is said"),
        Ok(Whole::Now(_) | Whole::Later(_)) | Err(_) => {
            let path = "apps.NAME.recycle.requests";
            fitted(path, ranges::count(said, path), said, draft);
        }
    }
}

const REQUEST: &str = "apps.NAME.timeouts.request";
const HEARTBEAT: &str = "apps.NAME.timeouts.heartbeat";

/// gunicorn has one timeout for what are three here: of a request, of a silent worker, and (which it does not keep) of a boot.
fn timeout(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let seconds = match said.whole() {
        Ok(Whole::Now(0)) => {
            draft.change(REQUEST, "24h", said, "there is no request without any limit: a day is the most");
            return draft.add(HEARTBEAT, "1h");
        }
        Ok(whole) => whole,
        Err(why) => return draft.open(said, &why),
    };
    let how = match class(settings) {
        Class::Sync => {
            "under gunicorn the worker of such a request is killed; here its client gets a 504, the call a RequestTimeout, and the \
            worker stays"
        }
        Class::Threads | Class::Gevent | Class::Eventlet | Class::Tornado | Class::Asgi | Class::Own => {
            "under gunicorn, workers of this class are only looked at for whether they live, and no request is ever ended; here it is, \
            with a 504. One that needs longer says so: `environ[\"monoceros.extend_timeout\"](seconds)`"
        }
    };
    match ranges::seconds(said, REQUEST) {
        Ok(fitted) => draft.change(REQUEST, fitted.yaml, said, how),
        Err(why) => return draft.open(said, &why),
    }
    // A call into C that keeps the GIL was allowed to take so long.
    let is_short = matches!(seconds, Whole::Now(..=30));
    if let (false, Ok(fitted)) = (is_short, ranges::seconds(said, HEARTBEAT)) {
        draft.add(HEARTBEAT, fitted.yaml);
        draft.note(
            HEARTBEAT,
            "as `timeout`: how long a worker may show no sign of life, because of a call that keeps the GIL",
        );
    }
}

fn graceful_timeout(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.timeouts.drain";
    match ranges::seconds(said, path) {
        Ok(ranges::Fitted { yaml, why }) => {
            let why = why.map_or(String::new(), |why| format!("{why}; "));
            let how = format!(
                "{why}it holds at a reload too, where gunicorn waits without end, and counts from `drain_delay` on"
            );
            draft.change(path, yaml, said, &how);
        }
        Err(why) => draft.open(said, &why),
    }
}

fn keepalive(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.timeouts.keepalive";
    if class(settings) == Class::Sync {
        return draft.leave(
            said,
            "gunicorn's sync workers keep no connection; here they are kept for 75 s, and cost no thread",
        );
    }
    match ranges::seconds(said, path) {
        Ok(ranges::Fitted { yaml, why: Some(why) }) => {
            draft.change(path, yaml, said, &format!("{why}; a `Connection: close` is the application's to send"))
        }
        Ok(ranges::Fitted { yaml, why: None }) => {
            let is_short = matches!(said.whole(), Ok(Whole::Now(seconds)) if seconds < 60);
            draft.put(path, yaml, said);
            if is_short {
                let told = "behind a load balancer it is to be longer than the balancer's own (60 s at many), or clients see a 502 now and then";
                draft.note(path, told);
            }
        }
        Err(why) => draft.open(said, &why),
    }
}

/// What no setting says and yet holds.
pub(super) fn finish(settings: &Settings<'_>, draft: &mut Draft) {
    if settings.get("timeout").is_none() {
        let told = "gunicorn's default for `timeout` is 30 s; here a request has `timeouts.request`, a minute";
        draft.note("apps.NAME.timeouts", told);
    }
}
