//! What is written for uWSGI's options.

use std::path::Path;

use super::super::draft::{Draft, written, written_list};
use super::super::ranges::{self, Fitted};
use super::super::said::{Dollars, Said, Whole};
use super::super::{app_name, deployed};
use super::Options;

/// Writes what was brought into a range.
fn fitted(path: &str, fitted: Result<Fitted, String>, said: &Said, draft: &mut Draft) {
    match fitted {
        Ok(Fitted { yaml, why: None }) => draft.put(path, yaml, said),
        Ok(Fitted { yaml, why: Some(why) }) => draft.change(path, yaml, said, &why),
        Err(why) => draft.open(said, &why),
    }
}

fn count(said: &Said, path: &str, draft: &mut Draft) {
    fitted(path, ranges::count(said, path), said, draft);
}

fn seconds(said: &Said, path: &str, how: &str, draft: &mut Draft) {
    match ranges::seconds(said, path) {
        Ok(Fitted { yaml, why }) => {
            let why = why.map_or(String::new(), |why| format!("{why}; "));
            draft.change(path, yaml, said, &format!("{why}{how}"));
        }
        Err(why) => draft.open(said, &why),
    }
}

pub(super) fn chdir(said: &Said, _: &Options, draft: &mut Draft) {
    let Some(folder) = said.text() else { return draft.open(said, "a folder is to be named") };
    let yaml = draft.path(&folder, said.dollars);
    draft.put("apps.NAME.directory", yaml, said);
    draft.base = Some(folder);
}

pub(super) fn home(said: &Said, _: &Options, draft: &mut Draft) {
    let Some(folder) = said.text() else { return draft.open(said, "a folder is to be named") };
    let yaml = draft.path(&folder, said.dollars);
    draft.put("apps.NAME.virtualenv", yaml, said);
}

pub(super) fn pythonpath(said: &Said, options: &Options, draft: &mut Draft) {
    // `directory` is on sys.path by itself.
    let own = options.text("chdir").unwrap_or_else(|| ".".into());
    let folders: Vec<String> =
        said.list().into_iter().filter(|folder| *folder != own && folder != "." && folder != "./").collect();
    match folders.is_empty() {
        true => draft.leave(said, "`directory` is on sys.path by itself"),
        false => {
            let folders: Vec<String> = folders.iter().map(|folder| draft.path(folder, said.dollars)).collect();
            draft.put("apps.NAME.python_path", format!("[{}]", folders.join(", ")), said);
        }
    }
}

const WSGI: &str = "apps.NAME.wsgi";

pub(super) fn module(said: &Said, options: &Options, draft: &mut Draft) {
    let Some(text) = said.text() else { return draft.open(said, "a module is to be named") };
    let (module, attribute) = text.split_once(':').unwrap_or((&text, ""));
    let callable = options.text("callable").filter(|_| attribute.is_empty());
    let attribute =
        callable.unwrap_or_else(|| if attribute.is_empty() { "application".into() } else { attribute.into() });
    draft.name = Some(app_name(module.split('.').next().unwrap_or(module)));
    draft.put(WSGI, written(&format!("{module}:{attribute}"), said.dollars), said);
}

/// A file is a module in a folder.
pub(super) fn wsgi_file(said: &Said, options: &Options, draft: &mut Draft) {
    let Some(text) = said.text() else { return draft.open(said, "a file is to be named") };
    let (file, attribute) = text.rsplit_once(':').unwrap_or((&text, ""));
    let attribute = options
        .text("callable")
        .unwrap_or_else(|| if attribute.is_empty() { "application".into() } else { attribute.into() });
    let path = Path::new(file);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let is_module = stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && file.ends_with(".py");
    if !is_module {
        return draft
            .open(said, "no module has such a name: rename the file to one that Python can import, such as `wsgi.py`");
    }
    if draft.name.is_none() {
        draft.name = Some(app_name(&stem));
    }
    let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned()).filter(|folder| !folder.is_empty());
    match folder {
        Some(folder) if draft.value("apps.NAME.directory").is_none() => {
            let folder = written(&folder, said.dollars);
            draft.add("apps.NAME.directory", folder);
        }
        Some(folder) if draft.value("apps.NAME.python_path").is_none() => {
            let folder = draft.path(&folder, said.dollars);
            draft.add("apps.NAME.python_path", format!("[{folder}]"));
        }
        Some(_) | None => {}
    }
    draft.change(
        WSGI,
        written(&format!("{stem}:{attribute}"), said.dollars),
        said,
        "a file is a module, in a folder that is on sys.path",
    );
}

pub(super) fn paste(said: &Said, _: &Options, draft: &mut Draft) {
    match said.text() {
        Some(text) => deployed::write(&text, said, draft),
        None => draft.open(said, "a file is to be named"),
    }
}

pub(super) fn callable(said: &Said, options: &Options, draft: &mut Draft) {
    let is_used = options.get("module").is_some() || options.get("wsgi-file").is_some();
    match is_used {
        true => draft.note(WSGI, format!("{}: carried over", said.told())),
        false => draft.open(said, "no module was named with it"),
    }
}

pub(super) fn listen(said: &Said, _: &Options, draft: &mut Draft) {
    count(said, "apps.NAME.backlog", draft);
}

pub(super) fn processes(said: &Said, _: &Options, draft: &mut Draft) {
    let is_auto = said.text().is_some_and(|text| text == "auto" || text.contains("%k"));
    match is_auto {
        true => draft.put("apps.NAME.workers", "auto", said),
        false => count(said, "apps.NAME.workers", draft),
    }
}

pub(super) fn threads(said: &Said, options: &Options, draft: &mut Draft) {
    match options.get("gevent").is_some() {
        true => draft.leave(said, "with `engine: gevent` a worker has one thread"),
        false => count(said, "apps.NAME.threads", draft),
    }
}

pub(super) fn gevent(said: &Said, _: &Options, draft: &mut Draft) {
    draft.add("apps.NAME.engine", "gevent");
    count(said, "apps.NAME.limits.connections_max", draft);
}

fn id(said: &Said) -> Option<String> {
    let text = said.text()?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    Some(if is_number { text } else { written(&text, said.dollars) })
}

fn is_root(text: &str) -> bool {
    matches!(text, "0" | "root")
}

pub(super) fn uid(said: &Said, _: &Options, draft: &mut Draft) {
    match id(said) {
        Some(user) if !is_root(&user) => draft.put("apps.NAME.user", user, said),
        Some(_) | None => draft.open(said, "workers that are root are told of by a warning here; name another user"),
    }
}

pub(super) fn gid(said: &Said, options: &Options, draft: &mut Draft) {
    let has_user = options.text("uid").is_some_and(|user| !is_root(&user));
    match id(said) {
        Some(group) if has_user => draft.put("apps.NAME.group", group, said),
        Some(_) | None => draft.open(said, "a `group` needs a `user` beside it"),
    }
}

pub(super) fn umask(said: &Said, _: &Options, draft: &mut Draft) {
    match said.text().and_then(|text| u32::from_str_radix(&text, 8).ok()).filter(|bits| *bits <= 0o777) {
        Some(bits) => draft.put("apps.NAME.umask", format!("\"{bits:04o}\""), said),
        None => draft.open(said, "it is to be from \"0000\" to \"0777\""),
    }
}

pub(super) fn harakiri(said: &Said, _: &Options, draft: &mut Draft) {
    let how = "under uWSGI the worker of such a request is killed; here its client gets a 504, the call a RequestTimeout, and the worker stays";
    seconds(said, "apps.NAME.timeouts.request", how, draft);
}

pub(super) fn max_requests(said: &Said, _: &Options, draft: &mut Draft) {
    count(said, "apps.NAME.recycle.requests", draft);
}

pub(super) fn max_worker_lifetime(said: &Said, _: &Options, draft: &mut Draft) {
    fitted("apps.NAME.recycle.age", ranges::seconds(said, "apps.NAME.recycle.age"), said, draft);
}

/// uWSGI counts megabytes.
pub(super) fn reload_on_memory(said: &Said, _: &Options, draft: &mut Draft) {
    let path = "apps.NAME.recycle.memory";
    match said.whole() {
        Ok(Whole::Now(megabytes)) => {
            let bytes = Said::new(&said.name, megabytes.saturating_mul(1 << 20), said.place.clone());
            match ranges::bytes(&bytes, path) {
                Ok(Fitted { why: None, .. }) => {
                    draft.change(
                        path,
                        format!("{megabytes}MiB"),
                        said,
                        "shared pages are counted in parts (PSS), and the replacement boots first",
                    );
                }
                Ok(Fitted { yaml, why: Some(why) }) => draft.change(path, yaml, said, &why),
                Err(why) => draft.open(said, &why),
            }
        }
        Ok(Whole::Later(text)) => draft.put(path, written(&format!("{text}MiB"), Dollars::Variables), said),
        Err(why) => draft.open(said, &why),
    }
}

pub(super) fn buffer_size(said: &Said, _: &Options, draft: &mut Draft) {
    let path = "apps.NAME.limits.header_bytes_max";
    // Ours if nothing is said; uWSGI's own is 4096, and whoever writes it wants more.
    const USUAL: u64 = 64 << 10;
    match said.whole() {
        Ok(Whole::Now(size)) if size <= USUAL => {
            draft.leave(said, "the head of a request may have 64 KiB if nothing is said")
        }
        Ok(_) | Err(_) => fitted(path, ranges::bytes(said, path), said, draft),
    }
}

pub(super) fn limit_post(said: &Said, _: &Options, draft: &mut Draft) {
    let path = "apps.NAME.limits.body_bytes_max";
    fitted(path, ranges::bytes(said, path), said, draft);
}

pub(super) fn env(said: &Said, _: &Options, draft: &mut Draft) {
    let pairs = said.list().into_iter().filter_map(|text| {
        let (name, value) = text.split_once('=')?;
        Some(format!("{}: {}", written(name, Dollars::Plain), written(value, said.dollars)))
    });
    let pairs: Vec<String> = pairs.collect();
    draft.put("apps.NAME.environment", format!("{{{}}}", pairs.join(", ")), said);
}

pub(super) fn static_map(said: &Said, _: &Options, draft: &mut Draft) {
    let mut maps = Vec::new();
    for text in said.list() {
        match text.split_once('=') {
            Some((prefix, folder)) if prefix.starts_with('/') => {
                let prefix = if prefix == "/" { prefix } else { prefix.trim_end_matches('/') };
                maps.push(format!("{}: {}", written(prefix, Dollars::Plain), draft.path(folder, said.dollars)));
            }
            Some(_) | None => draft.ask(format!("{}: `{text}` is no /PATH=FOLDER", said.told())),
        }
    }
    draft.put("apps.NAME.static", format!("{{{}}}", maps.join(", ")), said);
}

pub(super) fn reload_mercy(said: &Said, _: &Options, draft: &mut Draft) {
    seconds(
        said,
        "apps.NAME.timeouts.drain",
        "the old workers drain after the new ones serve, and hand their connections over",
        draft,
    );
}

pub(super) fn http_keepalive(said: &Said, _: &Options, draft: &mut Draft) {
    match said.whole() {
        Ok(Whole::Now(0 | 1)) | Err(_) => draft.leave(said, "connections are kept always, for `timeouts.keepalive`"),
        Ok(_) => {
            fitted("apps.NAME.timeouts.keepalive", ranges::seconds(said, "apps.NAME.timeouts.keepalive"), said, draft)
        }
    }
}

pub(super) fn http_timeout(said: &Said, options: &Options, draft: &mut Draft) {
    match options.get("harakiri").is_some() {
        true => draft.leave(said, "`harakiri` says how long a request may take"),
        false => {
            seconds(said, "apps.NAME.timeouts.request", "its client gets a 504, and the call a RequestTimeout", draft)
        }
    }
}

pub(super) fn socket_timeout(said: &Said, _: &Options, draft: &mut Draft) {
    for path in ["apps.NAME.timeouts.body", "apps.NAME.timeouts.write"] {
        if let Ok(Fitted { yaml, .. }) = ranges::seconds(said, path) {
            draft.add(path, yaml);
        }
    }
    draft.note("apps.NAME.timeouts", format!("{}: carried over: `body` and `write`", said.told()));
}

fn log_file(said: &Said, draft: &mut Draft) {
    match said.text().filter(|text| text.starts_with(['/', '$']) || !text.contains(':')) {
        Some(path) => {
            let path = draft.path(&path, said.dollars);
            draft.put("log.file", path, said);
        }
        None => draft.open(said, "the log goes to standard error, or to a file"),
    }
}

pub(super) fn logto(said: &Said, _: &Options, draft: &mut Draft) {
    log_file(said, draft);
}

pub(super) fn daemonize(said: &Said, _: &Options, draft: &mut Draft) {
    log_file(said, draft);
    draft.open(said, "it stays in the foreground: a service manager (`examples/systemd`) or a container runs it");
}

pub(super) fn disable_logging(said: &Said, _: &Options, draft: &mut Draft) {
    draft.leave(said, "no line is written for a request if nothing is said");
}

pub(super) fn need_app(said: &Said, _: &Options, draft: &mut Draft) {
    match said.is_on() {
        true => draft.put("apps.NAME.on_broken_start", "exit", said),
        false => draft.leave(said, "503 is answered while booting is tried again if nothing is said"),
    }
}

pub(super) fn no_orphans(said: &Said, _: &Options, draft: &mut Draft) {
    match said.is_on() {
        true => draft.change("on_supervisor_loss", "drain", said, "workers finish what they have, and exit"),
        false => draft.leave(said, "workers wait for the next supervisor if nothing is said"),
    }
}

pub(super) fn pidfile(said: &Said, _: &Options, draft: &mut Draft) {
    match said.text() {
        Some(path) => {
            let path = draft.path(&path, said.dollars);
            draft.put("pid_file", path, said);
        }
        None => draft.open(said, "a file is to be named"),
    }
}

pub(super) fn py_autoreload(said: &Said, _: &Options, draft: &mut Draft) {
    let globs = written_list(&["**/*.py".to_owned()], Dollars::Plain);
    let how = "a reload that fails leaves the old workers serving; `supervisor dev MODULE:CALLABLE` is more than this, for one's own machine";
    match said.is_on() {
        true => draft.change("apps.NAME.reload.on_change", globs, said, how),
        false => draft.leave(said, "no change of code is a reload if nothing is said"),
    }
}

/// What no option says and yet holds.
pub(super) fn finish(options: &Options, draft: &mut Draft) {
    if draft.value(WSGI).is_none() && draft.value("apps.NAME.paste").is_none() {
        draft.add(WSGI, written("app:application", Dollars::Plain));
        draft.ask("no application that can be imported was named: write it as `wsgi: MODULE:CALLABLE`");
    }
    if !options.is_on("disable-logging") && options.get("log-format").is_none() {
        draft.add("log.access", "true");
        draft.note("log.access", "uWSGI writes a line for each request unless `disable-logging` is set");
    }
}
