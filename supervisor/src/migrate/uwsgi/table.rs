//! One row for each option of uWSGI's that stands in real files: its names, and what becomes of it.

use super::super::draft::Draft;
use super::super::said::Said;
use super::options::{self as to};
use super::{Options, sockets};

/// An option.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its names, short ones too; the first is the one that it goes by here.
    pub names: &'static [&'static str],
    /// What stands behind it on a command line.
    pub takes: Takes,
    /// Whether it may stand there several times.
    pub many: bool,
    /// What becomes of it.
    pub fate: Fate,
}

/// What stands behind an option on a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// A value.
    Value,
    /// Nothing.
    Nothing,
    /// A value or nothing.
    Perhaps,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It is written by this.
    Written(fn(&Said, &Options, &mut Draft)),
    /// There is nothing like it, and that is well.
    Nothing(&'static str),
    /// There is nothing like it: a person has to look.
    Open(&'static str),
}

const fn value(names: &'static [&'static str], write: fn(&Said, &Options, &mut Draft)) -> Row {
    Row { names, takes: Takes::Value, many: false, fate: Fate::Written(write) }
}

const fn many(names: &'static [&'static str], write: fn(&Said, &Options, &mut Draft)) -> Row {
    Row { names, takes: Takes::Value, many: true, fate: Fate::Written(write) }
}

const fn flag(names: &'static [&'static str], write: fn(&Said, &Options, &mut Draft)) -> Row {
    Row { names, takes: Takes::Nothing, many: false, fate: Fate::Written(write) }
}

const fn needless(names: &'static [&'static str], takes: Takes, why: &'static str) -> Row {
    Row { names, takes, many: false, fate: Fate::Nothing(why) }
}

const fn open(names: &'static [&'static str], takes: Takes, what: &'static str) -> Row {
    Row { names, takes, many: false, fate: Fate::Open(what) }
}

const ALWAYS: &str = "it is so here always";
const ONE_PROGRAM: &str = "the supervisor serves applications and nothing else: a service manager runs the rest";
const HOOK: &str = "a program is run by `commands:` (start, ready, reload, worker_exit, stop); Python within a worker is a hooks module's";
const LOADED: &str = "the worker has Python built in: no plugin is loaded";
const NAMES: &str = "`ps` shows the application's name, its generation and state";
const STATUS: &str = "`supervisor status`, `--json` for programs, says how workers are";
const BODY: &str = "a body is read before the application is called, whatever its length; `body: stream` leaves that to the application";
const CHEAPER: &str = "the number of workers is what the file says; `threads: {min: 1, max: 16}` grows with need, `supervisor scale` changes it by hand";
const ROUTES: &str = "there is no routing here: the web server before it, or the application, does it";

/// Where paths and names begin stands first, for others follow them.
const ROWS: &[Row] = &[
    value(&["chdir"], to::chdir),
    value(&["home", "virtualenv", "venv", "pyhome", "H"], to::home),
    many(&["pythonpath", "python-path", "pp"], to::pythonpath),
    value(&["module", "wsgi", "w"], to::module),
    value(&["wsgi-file", "file"], to::wsgi_file),
    value(&["callable"], to::callable),
    open(
        &["mount"],
        Takes::Value,
        "one application stands under one path, `mount: /path`; each further one is an application of its own under `apps:`",
    ),
    needless(&["manage-script-name"], Takes::Nothing, "`mount` of the application does it"),
    many(&["http", "http-socket"], sockets::http),
    many(&["socket", "uwsgi-socket", "s"], sockets::uwsgi),
    many(&["fastcgi-socket"], sockets::fastcgi),
    many(&["scgi-socket"], sockets::scgi),
    many(&["https", "https-socket"], sockets::https),
    Row {
        names: &["chmod-socket", "chmod", "C"],
        takes: Takes::Perhaps,
        many: false,
        fate: Fate::Written(sockets::chmod_socket),
    },
    value(&["chown-socket"], sockets::chown_socket),
    value(&["listen", "l"], to::listen),
    value(&["processes", "workers", "p"], to::processes),
    value(&["threads"], to::threads),
    needless(&["enable-threads", "T"], Takes::Nothing, "threads of the application's run always"),
    value(&["gevent"], to::gevent),
    needless(
        &["gevent-monkey-patch", "gevent-early-monkey-patch"],
        Takes::Nothing,
        "with `engine: gevent` the standard library is patched before the application is imported",
    ),
    open(
        &["async", "ugreen", "asyncio", "coroae"],
        Takes::Perhaps,
        "the engines are `threads`, `gevent`, `eventlet` and `tornado`",
    ),
    value(&["uid"], to::uid),
    value(&["gid"], to::gid),
    value(&["umask"], to::umask),
    value(&["harakiri", "t"], to::harakiri),
    needless(&["harakiri-verbose"], Takes::Nothing, "the request and the stack of its thread are in the log always"),
    value(&["max-requests", "R"], to::max_requests),
    needless(&["max-requests-delta"], Takes::Value, "each worker has a jitter of a tenth"),
    value(&["max-worker-lifetime"], to::max_worker_lifetime),
    needless(&["min-worker-lifetime"], Takes::Value, "a worker that dies young is replaced after a pause that grows"),
    value(&["reload-on-rss", "evil-reload-on-rss"], to::reload_on_memory),
    value(&["reload-on-as", "evil-reload-on-as"], to::reload_on_memory),
    value(&["buffer-size", "b"], to::buffer_size),
    value(&["limit-post"], to::limit_post),
    needless(&["post-buffering", "post-buffering-bufsize"], Takes::Value, BODY),
    needless(&["body-read-warning"], Takes::Value, BODY),
    many(&["env"], to::env),
    many(&["static-map", "static-map2"], to::static_map),
    open(
        &["check-static", "static-index", "static-expires", "static-expires-uri", "static-gzip-all"],
        Takes::Perhaps,
        "`static: {/PATH: {path: FOLDER, cache_control: …}}` serves folders, with ETag, ranges and FILE.gz",
    ),
    value(&["worker-reload-mercy", "reload-mercy"], to::reload_mercy),
    value(&["http-keepalive"], to::http_keepalive),
    value(&["http-timeout"], to::http_timeout),
    value(&["socket-timeout"], to::socket_timeout),
    value(&["logto", "logto2", "logger", "req-logger"], to::logto),
    Row { names: &["daemonize", "d"], takes: Takes::Value, many: false, fate: Fate::Written(to::daemonize) },
    flag(&["disable-logging", "L"], to::disable_logging),
    open(
        &["log-format", "log-encoder", "logformat"],
        Takes::Value,
        "`log: {access: {format: …}}` takes `lines`, `json`, `combined` or a format with gunicorn's atoms",
    ),
    needless(
        &["log-maxsize", "log-backupname", "log-reopen"],
        Takes::Perhaps,
        "logrotate turns the file over, and `supervisor reopen` follows",
    ),
    needless(
        &[
            "log-date",
            "log-master",
            "log-x-forwarded-for",
            "log-4xx",
            "log-5xx",
            "log-slow",
            "log-big",
            "log-zero",
            "threaded-logger",
        ],
        Takes::Perhaps,
        "every line has its time; `log: {access: true}` has a line for each request",
    ),
    flag(&["need-app"], to::need_app),
    flag(&["no-orphans"], to::no_orphans),
    value(&["pidfile", "pidfile2", "safe-pidfile"], to::pidfile),
    flag(&["py-autoreload", "python-autoreload"], to::py_autoreload),
    open(
        &["touch-reload", "touch-chain-reload", "touch-workers-reload", "fs-reload"],
        Takes::Value,
        "`supervisor reload` does it, or `watch: true` when the config itself changes; `reload: {on_change: [GLOB]}` watches files below `directory`",
    ),
    needless(&["master", "M"], Takes::Perhaps, "there is a supervisor always"),
    needless(&["vacuum"], Takes::Perhaps, "the files of sockets go with the server"),
    needless(&["die-on-term"], Takes::Perhaps, "TERM stops the server, and finishes its requests first"),
    needless(&["lazy", "lazy-apps"], Takes::Perhaps, "each worker imports the application itself"),
    needless(&["single-interpreter", "i"], Takes::Perhaps, ALWAYS),
    needless(&["thunder-lock"], Takes::Perhaps, "one connection wakes one worker (EPOLLEXCLUSIVE)"),
    needless(&["strict"], Takes::Perhaps, "unknown keys are errors always"),
    needless(&["close-on-exec", "close-on-exec2"], Takes::Perhaps, ALWAYS),
    needless(&["no-default-app"], Takes::Perhaps, ALWAYS),
    needless(&["offload-threads"], Takes::Value, "static files and slow readers take no thread of the application's"),
    needless(
        &["ignore-sigpipe", "ignore-write-errors", "disable-write-exception", "write-errors-tolerance"],
        Takes::Perhaps,
        "a client that leaves is no error",
    ),
    needless(&["memory-report", "m"], Takes::Perhaps, STATUS),
    open(&["stats", "stats-server"], Takes::Value, STATUS),
    needless(&["stats-http", "stats-no-cores"], Takes::Perhaps, STATUS),
    needless(
        &[
            "procname",
            "procname-prefix",
            "procname-prefix-spaced",
            "procname-append",
            "procname-master",
            "auto-procname",
        ],
        Takes::Perhaps,
        NAMES,
    ),
    needless(&["plugin", "plugins", "need-plugin", "plugins-dir"], Takes::Value, LOADED),
    needless(&["no-site"], Takes::Perhaps, "`virtualenv` says whose packages there are"),
    needless(
        &["reaper", "reap"],
        Takes::Perhaps,
        "the supervisor reaps whatever is orphaned to it, and ends what a worker leaves behind",
    ),
    needless(&["reuse-port"], Takes::Perhaps, "the supervisor owns the sockets and all workers share them"),
    needless(&["tcp-nodelay", "so-keepalive"], Takes::Perhaps, ALWAYS),
    needless(&["add-header"], Takes::Value, "fields of answers are the application's, or the web server's"),
    needless(
        &["cpu-affinity"],
        Takes::Value,
        "the kernel places workers; `CPUAffinity=` of a unit holds for all of them",
    ),
    needless(
        &["max-fd"],
        Takes::Value,
        "as many files may be open as the hard limit allows (`LimitNOFILE=` of a unit)",
    ),
    open(
        &[
            "cheaper",
            "cheaper-initial",
            "cheaper-step",
            "cheaper-algo",
            "cheaper-overload",
            "cheaper-rss-limit-soft",
            "idle",
            "cheap",
        ],
        Takes::Perhaps,
        CHEAPER,
    ),
    open(
        &["emperor", "vassals-include", "zerg", "zerg-server", "legion", "subscribe-to", "fastrouter"],
        Takes::Value,
        "each application is one under `apps:`, and `watch: true` reads the file again when it changes",
    ),
    open(
        &[
            "attach-daemon",
            "attach-daemon2",
            "smart-attach-daemon",
            "mule",
            "mules",
            "farm",
            "spooler",
            "spooler-processes",
            "cron",
            "unique-cron",
            "timer",
            "import",
            "shared-import",
            "queue",
            "cache",
            "cache2",
            "sharedarea",
            "locks",
        ],
        Takes::Value,
        ONE_PROGRAM,
    ),
    open(
        &[
            "hook-master-start",
            "hook-post-fork",
            "hook-as-root",
            "hook-as-user",
            "exec-asap",
            "exec-pre-jail",
            "exec-post-jail",
            "exec-in-jail",
            "exec-as-root",
            "exec-as-user",
            "exec-as-user-atexit",
            "exec-pre-app",
            "exec-post-app",
            "post-buffering-hook",
        ],
        Takes::Value,
        HOOK,
    ),
    open(
        &[
            "route",
            "route-host",
            "route-uri",
            "route-if",
            "route-run",
            "final-route",
            "error-route",
            "response-route",
            "http-to",
            "http-auto-chunked",
            "http-chunked-input",
            "http-raw-body",
            "http-to-https",
        ],
        Takes::Perhaps,
        ROUTES,
    ),
    value(&["paste", "ini-paste", "ini-paste-logged"], to::paste),
    needless(&["paste-logger"], Takes::Perhaps, "the loggers of the file are configured with the application"),
    open(
        &["pyargv", "eval", "set-placeholder", "if-env", "if-exists", "endif", "for", "endfor"],
        Takes::Value,
        "write out what it comes to: `${NAME:-default}` in a value is what there is of conditions",
    ),
];

/// The row of an option, by any of its names.
pub(super) fn row(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.names.contains(&name))
}

/// Where an option stands in the table; those that are not in it come last.
pub(super) fn rank(name: &str) -> usize {
    ROWS.iter().position(|row| row.names.contains(&name)).unwrap_or(ROWS.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_stands_in_one_row() {
        let names: Vec<&str> = ROWS.iter().flat_map(|row| row.names).copied().collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len(), "{names:?}");
    }
}
