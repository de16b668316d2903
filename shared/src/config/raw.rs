//! The file as it is written: each map of it, each key, with its default, its range and what it is for.
//!
//! This is the one place where a key is made. The reference is printed from here, so the sentences above the keys are
//! for whoever writes the file; why an end of a range is where it is stands in the comment behind the table's key.

use std::time::Duration;

use super::access::{AccessLog, AccessOrNot};
use super::apps::Apps;
use super::callable::{ModuleName, PasteText};
use super::command::Words;
use super::engine::{CountOrThreads, EngineName};
use super::fault::Fault;
use super::gateway::SecretText;
use super::listen::Listeners;
use super::network::{Proxies, ProxyProtocol};
use super::origin::{Forwarded, Mount, SchemeHeaders};
use super::pattern::Patterns;
use super::request::{HostText, PathOrReady, Scheme, TargetText};
use super::section::{At, Field, Key, Read, section, unknown_key};
use super::statics::{StaticFolder, StaticFolders};
use super::statsd::{StatsdOrAddress, StatsdServer};
use super::tree::Node;
use super::value::{
    AddressText, Count, Folders, Mode, PathText, Principal, Principals, Size, Surge, Variables, Workers,
};
use super::{
    Bodies, BrokenStart, Callable, ClientCertificates, LogFormat, LogLevel, Protocol, RequestId, SupervisorLoss,
    TlsVersion, Underscores,
};

section! {
    /// The whole file.
    File at "", later [] {
        /// How the supervisor and the workers log.
        log: Option<At<Log>> = "text from `info` up, no access log";
        /// Whether a change of this file is a reload.
        watch: At<bool> = "false";
        /// A path for the control socket, beside the one in the runtime directory; relative to the file.
        control: Option<At<PathText>> = "none";
        /// Where the supervisor answers `GET /metrics` in the way of Prometheus, `/live` and `/ready`, without asking a worker:
        /// `ADDRESS:PORT` or `unix:PATH`. It is for those who operate it: whoever reaches it sees names, paths and errors.
        metrics: Option<At<AddressText>> = "nowhere";
        /// A statsd server, which is sent numbers: its address, or a map.
        statsd: Option<At<StatsdOrAddress>> = "none";
        /// A file that holds the supervisor's process number, and is locked while it lives; relative to the file.
        pid_file: Option<At<PathText>> = "none";
        /// What workers do when their supervisor is gone: `adopt` serves on and waits for the next one, `drain` finishes what there is.
        on_supervisor_loss: At<SupervisorLoss> = "adopt";
        /// How long workers wait for another supervisor; then they drain.
        // Below a second no supervisor is back in time. Above a year it is for ever.
        orphan_timeout: At<Duration> = "10m", "1s" to "365d";
        /// Programs that are run when something happens to the server, one after another, as the user that the supervisor is.
        commands: Option<At<Commands>> = "none";
        /// The applications, each under a name of your choice.
        apps: At<Apps>;
    }
}

section! {
    /// Programs that are run when something happens. Variables tell what: `MONOCEROS_EVENT`, `MONOCEROS_PID`, `MONOCEROS_FILE`.
    Commands at "commands", later [] {
        /// Before anything is bound. It is waited for, and if it fails the server does not start.
        start: Option<At<Words>> = "none";
        /// Every application is loaded and serves, for the first time.
        ready: Option<At<Words>> = "none";
        /// A reload is decided: `MONOCEROS_OUTCOME` is `adopted` or `abandoned`, and then `MONOCEROS_WHY` says why.
        reload: Option<At<Words>> = "none";
        /// A worker is gone: `MONOCEROS_APP`, `MONOCEROS_WORKER`, `MONOCEROS_WORKER_PID`, `MONOCEROS_GENERATION`, `MONOCEROS_REQUESTS`, and
        /// `MONOCEROS_EXIT`, such as `code 0` or `SIGKILL`.
        worker_exit: Option<At<Words>> = "none";
        /// Every worker is gone. It is waited for.
        stop: Option<At<Words>> = "none";
        /// For each of them; then it is killed.
        // Below a tenth of a second nothing is done; above ten minutes whoever starts or stops the server has lost patience.
        timeout: At<Duration> = "30s", "100ms" to "10m";
    }
}

section! {
    /// How both programs log.
    Log at "log", later [] {
        /// Lines for eyes, or a JSON object a line for programs.
        format: At<LogFormat> = "text";
        /// The least urgent kind of line that is kept.
        level: At<LogLevel> = "info";
        /// Whether each request gets a line, and how it looks.
        access: At<AccessOrNot> = "false";
        /// A file to append lines to, opened anew at USR1 and `supervisor reopen`; relative to the file.
        file: Option<At<PathText>> = "none: standard error";
    }
}

section! {
    /// One application.
    App at "apps.NAME", later [] {
        /// What to import and serve: `module:attribute`, or `module:factory()` for what is called once and gives it.
        wsgi: Option<At<Callable>> = "required, or `paste`";
        /// In its place, an ini file of PasteDeploy's, relative to `directory`, and the name of the application in it: `production.ini#main`.
        paste: Option<At<PasteText>> = "none; `#main` where no name stands behind a file";
        /// Working directory of the workers and first on `sys.path`; relative to the file.
        directory: At<PathText> = ".";
        /// Root folder of the virtualenv to import from; relative to the file.
        virtualenv: Option<At<PathText>> = "the one that the worker is installed in; else none: the packages of the Python that it was built with";
        /// Folders on `sys.path` behind `directory`; relative to the file.
        python_path: Option<At<Folders>> = "none";
        /// A module with functions that are called where a worker begins and ends, around its requests, and when one takes too long:
        /// `worker_start`, `worker_ready`, `request_start`, `request_end`, `worker_timeout`, `worker_exit`.
        hooks: Option<At<ModuleName>> = "none";
        /// Environment variables that the workers get on top of the supervisor's.
        environment: Option<At<Variables>> = "none";
        /// Who the workers run as.
        user: Option<At<Principal>> = "the supervisor's";
        /// The group that they run as; needs `user`.
        group: Option<At<Principal>> = "the group of `user`";
        /// Their supplementary groups; needs `user`.
        groups: Option<At<Principals>> = "those of `user`";
        /// Permission bits that files of theirs are made without: `"0027"`.
        // None are left out at 0000; all are at 0777.
        umask: Option<At<Mode>> = "the supervisor's", "0000" to "0777";
        /// Whether workers, and all that they start, can gain no privileges by an exec: not by `sudo`, not by a set-user-ID `sendmail`.
        no_new_privileges: At<bool> = "true";
        /// Where it is served: `ADDRESS:PORT`, `[IPV6]:PORT`, `localhost:PORT`, `:PORT` (every IPv4 address), `unix:PATH` or `unix:@NAME`;
        /// one, or a list.
        listen: At<Listeners>;
        /// Folders whose files are served without Python, by what their paths begin with: `/static: ./static`; each a path, relative to
        /// the file, or a map.
        statics as "static": Option<At<StaticFolders>> = "none";
        /// Connections that may wait to be accepted, for each of its listeners; the kernel caps it at `net.core.somaxconn`.
        // With fewer than 1 the kernel decides. Above 65535, waiting takes longer than any client waits, and costs memory.
        backlog: At<Count> = "2048", "1" to "65535";
        /// Worker processes; `auto` is as many as the CPU quota allows.
        // None serves nobody. Above 512, processes that wait for each other's processors and memory for as many imports.
        workers: At<Workers> = "1", "1" to "512";
        /// Threads that run Python in each worker, with `engine: threads`; or a map, for as many as are needed.
        // None runs nothing. Above 512, stacks and a lock (GIL) that so many wait for cost more than they serve.
        threads: At<CountOrThreads> = "1", "1" to "512";
        /// How a worker runs its calls; `sync` is `threads` with one thread. The last three need the package of their name.
        engine: At<EngineName> = "threads";
        /// When the body of a request is read: `buffer`, before the application is called, however slowly it comes; `stream`, by the
        /// application, which then waits for its client.
        body: At<Bodies> = "buffer";
        /// How long one thread runs Python's code before another that waits for the GIL has its turn (`sys.setswitchinterval`).
        // Below a millisecond threads do little but take turns; above a second nobody else has one.
        switch_interval: Option<At<Duration>> = "Python's own, 5ms", "1ms" to "1s";
        /// What a client may cost.
        limits: Option<At<Limits>> = "the default of each";
        /// How long each thing may take.
        timeouts: Option<At<Timeouts>> = "the default of each";
        /// How new workers take over from old ones.
        reload: Option<At<Reload>> = "the default of each";
        /// What is done when its first boot fails: `apologise` answers 503 while booting is tried again, `exit` ends the server.
        on_broken_start: At<BrokenStart> = "apologise";
        /// When a worker is replaced for its age, each with a jitter of a tenth.
        recycle: Option<At<Recycle>> = "never";
        /// Proxies whose word on their clients is believed: addresses, networks, `unix` for every client of a Unix socket, `all`. What
        /// others say (`Forwarded`, `X-Forwarded-…`, `X-Real-IP` and the fields named below) the application does not see.
        trusted_proxies: Option<At<Proxies>> = "127.0.0.1, ::1 and `unix`";
        /// Which fields of theirs tell the client, the host and the prefix.
        forwarded: Option<At<Forwarded>> = "none is believed";
        /// Which fields of theirs tell the scheme: each with the value that means https; two that disagree are answered with 400. `Forwarded`
        /// is read by RFC 7239.
        scheme_headers: Option<At<SchemeHeaders>> = "`X-Forwarded-Proto: https`, `X-Forwarded-Protocol: ssl`, `X-Forwarded-Ssl: on`";
        /// The path that it stands under, which becomes `SCRIPT_NAME`; requests for others are answered with 404.
        mount: Option<At<Mount>> = "the root";
        /// Fields with `_` in their name, which in environ look like those with `-`: `drop`, `refuse` with 400, or `keep` those that hide
        /// no other.
        underscore_headers: At<Underscores> = "drop";
        /// The field that tells a request's identifier, which is in `environ["monoceros.request_id"]`, in the access log and in the answer:
        /// taken from a trusted proxy, else made.
        request_id: Option<At<RequestId>> = "`X-Request-ID` if there is an access log";
    }
}

section! {
    /// Threads that are made when they are needed, and stay.
    Threads at "apps.NAME.threads", later [] {
        /// From the start.
        // As the application's own number.
        min: At<Count> = "1", "1" to "512";
        /// At most: one more whenever a request has waited for 20 ms while each of them was in a call.
        // As above.
        max: At<Count>, "1" to "512";
    }
}

section! {
    /// One listening socket, when its address does not say it all.
    Listener at "apps.NAME.listen", later [] {
        /// Where, as in the short form.
        address: At<AddressText>;
        /// What is spoken on it.
        protocol: At<Protocol> = "http";
        /// Connections that may wait to be accepted on it.
        // As the application's own.
        backlog: Option<At<Count>> = "the application's `backlog`", "1" to "65535";
        /// Permission bits of a Unix socket's file: `"0660"`.
        // Fewer than none there are not. Set-user-ID and its like mean nothing on a socket.
        mode: At<Mode> = "0660", "0000" to "0777";
        /// Owner of a Unix socket's file: `user`, `user:group` or `:group`.
        owner: Option<At<Principal>> = "the supervisor's";
        /// Whether each connection begins with a PROXY header, version 1 or 2, that tells its client; from others than these, by default
        /// the trusted proxies, no connection is taken.
        proxy_protocol: At<ProxyProtocol> = "false";
        /// Who may connect to it: addresses, networks, `unix`, `all`. From others no connection is taken.
        allow: Option<At<Proxies>> = "everybody";
        /// With `protocol: ajp`: what the web server before us sends as its `secret`; requests without it are answered with 403. Without
        /// one, those of others than `trusted_proxies` are.
        secret: Option<At<SecretText>> = "none";
        /// How its connections are encrypted.
        tls: Option<At<Tls>> = "they are not";
    }
}

section! {
    /// How the connections of a listener are encrypted.
    Tls at "apps.NAME.listen.tls", later [] {
        /// A PEM file with a certificate and those that lead to its authority; or a list, of which each client is served the first
        /// that is for the host that it names, and else the first of all. Files that change are read again at a reload, which
        /// `watch` begins by itself.
        certificate: At<Folders>;
        /// The PEM file of the certificate's key, not encrypted; or a list of as many.
        key: Option<At<Folders>> = "in the file of the certificate";
        /// Whether clients are asked for certificates of their own, which applications find in `SSL_CLIENT_*`.
        client_certificates: At<ClientCertificates> = "none";
        /// PEM files with the certificates of those who sign clients' certificates.
        client_authorities: Option<At<Folders>> = "none";
        /// The oldest version that is spoken.
        min_version: At<TlsVersion> = "1.2";
    }
}

section! {
    /// What a client may cost.
    Limits at "apps.NAME.limits", later [] {
        /// The request line, by default never more than `header_bytes_max`. A longer one is answered with 414.
        // Below 256 B ordinary paths fail; above 64 KiB one line fills the memory that a whole head should.
        request_line_max: At<Size> = "8KiB", "256B" to "64KiB";
        /// Header fields of a request. More are answered with 431.
        // A browser behind a proxy sends some 30; each costs a slot per request and an entry of environ.
        header_count_max: At<Count> = "100", "16" to "1000";
        /// The whole head of a request, its request line included. A longer one is answered with 431.
        // Below 1 KiB a browser's cookies fail; above 1 MiB a thousand idle clients hold a gigabyte.
        header_bytes_max: At<Size> = "64KiB", "1KiB" to "1MiB";
        /// The body of a request. A longer one is answered with 413; `0B` allows none.
        // Above 1 TiB no disk holds what the body is spooled to.
        body_bytes_max: At<Size> = "100MiB", "0B" to "1TiB";
        /// The part of a body that is kept in memory; a longer body goes to an unlinked file. May exceed `body_bytes_max`.
        // Below 1 KiB every form costs a file; above 1 GiB a few uploads take the machine's memory.
        body_memory_max: At<Size> = "256KiB", "1KiB" to "1GiB";
        /// Connections that one worker holds at once; more wait in the backlog.
        // None serves nobody; a million is what descriptors and memory allow on a large machine.
        connections_max: At<Count> = "10000", "1" to "1000000";
        /// Whole requests that wait for a thread of one worker at once. More are answered with 503 and Retry-After.
        // With fewer than 1 two requests at once are one too many; a million wait longer than anybody does.
        queue_max: At<Count> = "1000", "1" to "1000000";
        /// Bytes of a body that a client sends in a second at least, on average, after `timeouts.body`. Slower, and it is answered with 408;
        /// `0B` allows any.
        // None cannot be checked. Above 1 GiB no network is fast enough.
        body_rate_min: At<Size> = "240B", "0B" to "1GiB";
    }
}

// Below a tenth of a second a timeout ends what works, for a machine under load pauses longer. Above an hour (a day for
// what a person may be waiting in) it protects from nothing.
section! {
    /// How long each thing may take.
    Timeouts at "apps.NAME.timeouts", later [] {
        /// From the start of a worker until its application is imported and, with `reload.ready`, ready; then it is killed.
        boot: At<Duration> = "60s", "100ms" to "1h";
        /// From the first byte of a request to the end of its head, and from the connection to the first byte; then 408.
        head: At<Duration> = "10s", "100ms" to "1h";
        /// Between two reads of a request's body; then 408.
        body: At<Duration> = "30s", "100ms" to "1h";
        /// For the application, to begin its answer, and again for each next piece of it; then 504, or the cut if some of the answer
        /// is out, and `RequestTimeout` is raised in that call; and for a request to wait for a free thread. `environ["monoceros.extend_timeout"](seconds)` grants the call more.
        request: At<Duration> = "60s", "100ms" to "24h";
        /// A whole request that waits for a thread; then 503 with Retry-After. Longer than `request`, and that ends it.
        queue: At<Duration> = "30s", "100ms" to "24h";
        /// A kept-alive connection without a request; then it is closed. Longer than the load balancer's own, or it sees resets.
        keepalive: At<Duration> = "75s", "100ms" to "24h";
        /// Between two writes that moved bytes of an answer; then the connection is cut.
        write: At<Duration> = "30s", "100ms" to "1h";
        /// From the start of a drain to the kill.
        drain: At<Duration> = "30s", "100ms" to "24h";
        /// For a worker to show that its I/O and its Python go on; then it is replaced. Longer than any call into C that keeps the GIL.
        // Below a second a busy machine's pauses end workers.
        heartbeat: At<Duration> = "30s", "1s" to "1h";
        /// From a TERM to the start of the drain, while a load balancer still sends new connections; they are served.
        // Most have no balancer to wait for. Above ten minutes whoever sent the TERM has killed us.
        drain_delay: At<Duration> = "0s", "0s" to "10m";
    }
}

section! {
    /// How new workers take over from old ones.
    Reload at "apps.NAME.reload", later [] {
        /// A request that a new worker's application must answer well before it is adopted: its path, or a map.
        ready: Option<At<PathOrReady>> = "none: to be imported is enough";
        /// Files under `directory` whose change is a reload, with the files of the loaded modules: globs such as `**/*.py`. For
        /// development.
        on_change: Option<At<Patterns>> = "no file is watched";
        /// Files under `directory` whose change is none, whatever `on_change` says.
        ignore: Option<At<Patterns>> = "none";
        /// New workers that may boot at once; fewer need less memory beside the old ones, and more time.
        // None would never be done; there are no more than 512 workers.
        surge: At<Surge> = "all", "1" to "512";
    }
}

section! {
    /// The request that tells whether an application is ready. No network is in it, and no worker takes clients meanwhile.
    Ready at "apps.NAME.reload.ready", later [] {
        /// The path to GET, with a query if it has one.
        path: At<TargetText>;
        /// The Host field, for applications that check it.
        host: At<HostText> = "localhost";
        /// `wsgi.url_scheme`, for applications that redirect http.
        scheme: At<Scheme> = "http";
        /// The status of a good answer.
        // No answer has one below 200 (RFC 9110 15.2) or above 599.
        status: Option<At<Count>> = "any from 200 to 299", "200" to "599";
    }
}

section! {
    /// When a worker is replaced, by a new one that boots first; one at a time.
    Recycle at "apps.NAME.recycle", later [] {
        /// After so many requests.
        // The first request is the first chance; above a billion it is never.
        requests: Option<At<Count>> = "never", "1" to "1000000000";
        /// When its memory, shared pages counted in parts, passes this.
        // Python alone takes more than 8 MiB, so that every worker would be replaced at once; no machine has more than 1 TiB for one.
        memory: Option<At<Size>> = "never", "8MiB" to "1TiB";
        /// After so long.
        // Below a second a worker is replaced before it served; above a year it is never.
        age: Option<At<Duration>> = "never", "1s" to "365d";
    }
}

/// Every key of the file, in the order of the reference.
pub fn keys() -> Vec<Key> {
    [
        File::KEYS,
        Log::KEYS,
        AccessLog::KEYS,
        StatsdServer::KEYS,
        App::KEYS,
        Threads::KEYS,
        Listener::KEYS,
        Tls::KEYS,
        StaticFolder::KEYS,
        Forwarded::KEYS,
        Limits::KEYS,
        Timeouts::KEYS,
        Reload::KEYS,
        Ready::KEYS,
        Recycle::KEYS,
        Commands::KEYS,
    ]
    .concat()
}
