//! What is written for each value of a config. Every field is named, so that a new key cannot be forgotten.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::access::Access;
use super::super::callable::{Paste, Source};
use super::super::network::Proxies;
use super::super::origin::{Origin, RequestId, Underscores};
use super::super::quantity::{duration_text, size_text};
use super::super::statsd::Statsd;
use super::super::tls::{ClientCertificates, Tls, TlsVersion};
use super::super::{
    App, Bodies, BrokenStart, Commands, Config, Limits, Listener, Log, LogFormat, LogLevel, Protocol, Ready, Recycle,
    Reload, RunAs, StaticFiles, SupervisorLoss, Timeouts,
};
use super::{Entry, Shown, scalar};

/// The whole file.
pub(super) fn of(config: &Config) -> Vec<Entry> {
    let Config {
        file: _,
        log,
        watch,
        control,
        metrics,
        statsd,
        pid_file,
        on_supervisor_loss,
        orphan_timeout,
        commands,
        apps,
    } = config;
    let apps = apps.iter().map(|app| entry(&app.name, Shown::Map(of_app(app)))).collect();
    vec![
        entry("log", Shown::Map(of_log(log))),
        entry("watch", plain(watch)),
        entry("control", path_or_none(control.as_ref())),
        entry("metrics", or_none(metrics.as_ref().map(|address| text(&address.to_string())))),
        entry("statsd", or_none(statsd.as_ref().map(of_statsd))),
        entry("pid_file", path_or_none(pid_file.as_ref())),
        entry(
            "on_supervisor_loss",
            plain(match on_supervisor_loss {
                SupervisorLoss::Adopt => "adopt",
                SupervisorLoss::Drain => "drain",
            }),
        ),
        entry("orphan_timeout", span(*orphan_timeout)),
        entry("commands", Shown::Map(of_commands(commands))),
        entry("apps", Shown::Map(apps)),
    ]
}

fn of_commands(commands: &Commands) -> Vec<Entry> {
    let Commands { start, ready, reload, worker_exit, stop, timeout } = commands;
    let words = |words: &[String]| match words {
        [] => Shown::Absent,
        words => Shown::List(words.iter().map(|word| scalar(word)).collect()),
    };
    pairs([
        ("start", words(start)),
        ("ready", words(ready)),
        ("reload", words(reload)),
        ("worker_exit", words(worker_exit)),
        ("stop", words(stop)),
        ("timeout", span(*timeout)),
    ])
}

fn of_statsd(statsd: &Statsd) -> Shown {
    let Statsd { address, prefix, tags, interval } = statsd;
    let tags = tags.iter().map(|(name, value)| entry(name, text(value))).collect();
    let prefix = (!prefix.is_empty()).then(|| text(prefix));
    map([
        ("address", text(&address.to_string())),
        ("prefix", or_none(prefix)),
        ("tags", map_or_none(tags)),
        ("interval", span(*interval)),
    ])
}

fn of_log(log: &Log) -> Vec<Entry> {
    let Log { format, level, access, file } = log;
    let format = match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let level = match level {
        LogLevel::Critical => "critical",
        LogLevel::Error => "error",
        LogLevel::Warning => "warning",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    let access = match access {
        Access::Off => plain("false"),
        Access::Lines => map([("format", plain("lines"))]),
        Access::Json => map([("format", plain("json"))]),
        Access::Format(pieces) => {
            let format: String = pieces.iter().map(ToString::to_string).collect();
            map([("format", text(&format))])
        }
    };
    let file = path_or_none(file.as_ref());
    pairs([("format", plain(format)), ("level", plain(level)), ("access", access), ("file", file)])
}

fn of_app(app: &App) -> Vec<Entry> {
    let App { name: _, wsgi, wsgi_place: _, directory, virtualenv, python_path, hooks, environment, .. } = app;
    let App { run_as, umask, .. } = app;
    let App {
        no_new_privileges, listen, statics, workers, threads, threads_min, switch_interval, engine, body, ..
    } = app;
    let App { limits, timeouts, reload, on_broken_start, recycle, origin, .. } = app;
    let (callable, deployed) = match wsgi {
        Source::Callable(callable) => (text(&callable.to_string()), Shown::Absent),
        Source::Paste(Paste { file, name }) => (Shown::Absent, text(&format!("{}#{name}", file.display()))),
    };
    let environment = environment.iter().map(|(name, value)| entry(name, text(value))).collect();
    let threads = if threads_min == threads {
        plain(threads)
    } else {
        map([("min", plain(threads_min)), ("max", plain(threads))])
    };
    let mut entries = pairs([
        ("wsgi", callable),
        ("paste", deployed),
        ("directory", path(directory)),
        ("virtualenv", path_or_none(virtualenv.as_ref())),
        ("python_path", if python_path.is_empty() { Shown::Absent } else { paths(python_path) }),
        ("hooks", or_none(hooks.as_deref().map(text))),
        ("environment", map_or_none(environment)),
    ]);
    entries.extend(of_user(run_as.as_ref()));
    entries.extend(pairs([
        ("umask", or_none(umask.map(mode))),
        ("no_new_privileges", plain(no_new_privileges)),
        ("listen", Shown::Items(listen.iter().map(of_listener).collect())),
        ("static", map_or_none(statics.iter().map(of_static).collect())),
        ("workers", plain(workers)),
        ("threads", threads),
        ("engine", plain(engine.word())),
        (
            "body",
            plain(match body {
                Bodies::Buffer => "buffer",
                Bodies::Stream => "stream",
            }),
        ),
        ("switch_interval", or_none(switch_interval.map(span))),
        ("limits", Shown::Map(of_limits(limits))),
        ("timeouts", Shown::Map(of_timeouts(timeouts))),
        ("reload", Shown::Map(of_reload(reload))),
        (
            "on_broken_start",
            plain(match on_broken_start {
                BrokenStart::Apologise => "apologise",
                BrokenStart::Exit => "exit",
            }),
        ),
        ("recycle", Shown::Map(of_recycle(recycle))),
    ]));
    entries.extend(of_origin(origin));
    entries
}

fn of_user(run_as: Option<&RunAs>) -> Vec<Entry> {
    let Some(RunAs { user, uid: _, gid, groups, home: _ }) = run_as else {
        return pairs([("user", Shown::Absent), ("group", Shown::Absent), ("groups", Shown::Absent)]);
    };
    let groups = groups.as_ref().map(|groups| Shown::List(groups.iter().map(ToString::to_string).collect()));
    pairs([("user", text(user)), ("group", plain(gid)), ("groups", or_none(groups))])
}

fn of_listener(listener: &Listener) -> Vec<Entry> {
    let Listener { address, protocol, backlog, mode: bits, owner, proxy_protocol, allow, secret, tls } = listener;
    let protocol = match protocol {
        Protocol::Http => "http",
        Protocol::FastCgi => "fastcgi",
        Protocol::Scgi => "scgi",
        Protocol::Ajp => "ajp",
        Protocol::Uwsgi => "uwsgi",
    };
    let number = |number: Option<u32>| number.map_or(String::new(), |number| number.to_string());
    let owner = match owner {
        (None, None) => Shown::Absent,
        (Some(user), None) => Shown::Scalar(format!("\"{user}\"")),
        (user, Some(group)) => text(&format!("{}:{group}", number(*user))),
    };
    let is_file = matches!(address, super::super::Address::Unix(_));
    let mut entries =
        pairs([("address", text(&address.to_string())), ("protocol", plain(protocol)), ("backlog", plain(backlog))]);
    if is_file {
        entries.extend(pairs([("mode", mode(*bits)), ("owner", owner)]));
    }
    entries.extend(pairs([
        ("proxy_protocol", proxy_protocol.as_ref().map_or(plain("false"), proxies)),
        ("allow", or_none(allow.as_ref().map(proxies))),
        ("secret", secret.as_ref().map_or(Shown::Absent, |_| Shown::Hidden)),
        ("tls", or_none(tls.as_ref().map(of_tls))),
    ]));
    entries
}

fn of_tls(tls: &Tls) -> Shown {
    let Tls { certificates, client_certificates, client_authorities, min_version, material: _ } = tls;
    let (files, keys): (Vec<PathBuf>, Vec<PathBuf>) = certificates.iter().cloned().unzip();
    map([
        ("certificate", paths(&files)),
        ("key", paths(&keys)),
        (
            "client_certificates",
            plain(match client_certificates {
                ClientCertificates::None => "none",
                ClientCertificates::Optional => "optional",
                ClientCertificates::Required => "required",
            }),
        ),
        ("client_authorities", if client_authorities.is_empty() { Shown::Absent } else { paths(client_authorities) }),
        (
            "min_version",
            plain(match min_version {
                TlsVersion::Tls12 => "1.2",
                TlsVersion::Tls13 => "1.3",
            }),
        ),
    ])
}

fn of_static(files: &StaticFiles) -> Entry {
    let StaticFiles { prefix, folder, cache_control } = files;
    let cache_control = or_none(cache_control.as_deref().map(text));
    entry(prefix, map([("path", path(folder)), ("cache_control", cache_control)]))
}

fn of_limits(limits: &Limits) -> Vec<Entry> {
    let Limits { request_line_max, header_count_max, header_bytes_max, .. } = limits;
    let Limits { body_bytes_max, body_memory_max, connections_max, queue_max, body_rate_min, .. } = limits;
    pairs([
        ("request_line_max", size(*request_line_max as u64)),
        ("header_count_max", plain(header_count_max)),
        ("header_bytes_max", size(*header_bytes_max as u64)),
        ("body_bytes_max", size(*body_bytes_max)),
        ("body_memory_max", size(*body_memory_max as u64)),
        ("connections_max", plain(connections_max)),
        ("queue_max", plain(queue_max)),
        ("body_rate_min", size(*body_rate_min)),
    ])
}

fn of_timeouts(timeouts: &Timeouts) -> Vec<Entry> {
    let Timeouts { boot, head, body, request, queue, keepalive, write, drain, heartbeat, drain_delay } = timeouts;
    pairs([
        ("boot", span(*boot)),
        ("head", span(*head)),
        ("body", span(*body)),
        ("request", span(*request)),
        ("queue", span(*queue)),
        ("keepalive", span(*keepalive)),
        ("write", span(*write)),
        ("drain", span(*drain)),
        ("heartbeat", span(*heartbeat)),
        ("drain_delay", span(*drain_delay)),
    ])
}

fn of_reload(reload: &Reload) -> Vec<Entry> {
    let Reload { ready, on_change, ignore, surge } = reload;
    let globs = |globs: &[String]| match globs {
        [] => Shown::Absent,
        globs => Shown::List(globs.iter().map(|glob| scalar(glob)).collect()),
    };
    let ready = ready.as_ref().map(|Ready { path, host, scheme, status }| {
        let status = or_none(status.map(plain));
        map([("path", text(path)), ("host", text(host)), ("scheme", text(scheme)), ("status", status)])
    });
    let surge = surge.map_or(plain("all"), plain);
    pairs([("ready", or_none(ready)), ("on_change", globs(on_change)), ("ignore", globs(ignore)), ("surge", surge)])
}

fn of_recycle(recycle: &Recycle) -> Vec<Entry> {
    let Recycle { requests, memory, age } = recycle;
    pairs([
        ("requests", or_none(requests.map(plain))),
        ("memory", or_none(memory.map(size))),
        ("age", or_none(age.map(span))),
    ])
}

fn of_origin(origin: &Origin) -> Vec<Entry> {
    let Origin { proxies: trusted, client, host, prefix, https, mount, underscores, request_id } = origin;
    let field = |field: &Option<String>| or_none(field.as_deref().map(text));
    pairs([
        ("trusted_proxies", proxies(trusted)),
        ("forwarded", map([("client", field(client)), ("host", field(host)), ("prefix", field(prefix))])),
        ("scheme_headers", Shown::Map(https.iter().map(|(name, value)| entry(name, text(value))).collect())),
        ("mount", if mount.is_empty() { plain("/") } else { text(mount) }),
        (
            "underscore_headers",
            plain(match underscores {
                Underscores::Drop => "drop",
                Underscores::Refuse => "refuse",
                Underscores::Keep => "keep",
            }),
        ),
        (
            "request_id",
            match request_id {
                RequestId::WithAccessLog => Shown::Absent,
                RequestId::None => plain("none"),
                RequestId::Field(name) => text(name),
            },
        ),
    ])
}

fn entry(key: &str, shown: Shown) -> Entry {
    Entry { key: key.to_owned(), shown }
}

fn pairs<const N: usize>(pairs: [(&str, Shown); N]) -> Vec<Entry> {
    pairs.map(|(key, shown)| entry(key, shown)).into()
}

fn map<const N: usize>(entries: [(&str, Shown); N]) -> Shown {
    Shown::Map(pairs(entries))
}

fn map_or_none(entries: Vec<Entry>) -> Shown {
    if entries.is_empty() { Shown::Absent } else { Shown::Map(entries) }
}

fn or_none(shown: Option<Shown>) -> Shown {
    shown.unwrap_or(Shown::Absent)
}

/// What is no text to YAML, or a word of ours.
fn plain(value: impl Display) -> Shown {
    Shown::Scalar(value.to_string())
}

fn text(text: &str) -> Shown {
    Shown::Scalar(scalar(text))
}

fn path(path: &Path) -> Shown {
    text(&path.to_string_lossy())
}

fn path_or_none(found: Option<&PathBuf>) -> Shown {
    or_none(found.map(|found| path(found)))
}

fn paths(paths: &[PathBuf]) -> Shown {
    Shown::List(paths.iter().map(|path| scalar(&path.to_string_lossy())).collect())
}

fn span(span: Duration) -> Shown {
    plain(duration_text(span))
}

fn size(bytes: u64) -> Shown {
    plain(size_text(bytes))
}

fn mode(bits: u32) -> Shown {
    Shown::Scalar(format!("\"{bits:04o}\""))
}

fn proxies(proxies: &Proxies) -> Shown {
    let unix = proxies.unix.then(|| "unix".to_owned());
    Shown::List(unix.into_iter().chain(proxies.networks.iter().map(|network| scalar(&network.to_string()))).collect())
}
