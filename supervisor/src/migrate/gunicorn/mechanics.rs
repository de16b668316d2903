//! gunicorn's settings of the process, of who it is, and of whom it believes.

use serde_json::Value;

use super::super::draft::{Draft, written, written_list};
use super::super::said::{Dollars, Said, Whole};
use super::super::{application, deployed};
use super::Settings;
use super::sockets::networks;
use super::table::{Fate, Row, Takes};

pub(super) const ROWS: &[Row] = &[
    // First, for paths of others begin there.
    Row::of("chdir", &["--chdir"], Takes::One, Fate::Written(chdir)),
    Row::of("wsgi_app", &[], Takes::One, Fate::Written(wsgi_app)),
    Row::of("config", &["-c", "--config"], Takes::One, Fate::Nothing("it is read here")),
    Row::of(
        "check_config",
        &["--check-config"],
        Takes::Nothing,
        Fate::Nothing("`supervisor check` does it, and every reload"),
    ),
    Row::of("print_config", &["--print-config"], Takes::Nothing, Fate::Nothing("`supervisor check --print` does it")),
    Row::of("reload", &["--reload"], Takes::Nothing, Fate::Written(reload)),
    Row::of(
        "reload_engine",
        &["--reload-engine"],
        Takes::One,
        Fate::Nothing("the supervisor watches by inotify, once for all workers"),
    ),
    Row::of("reload_extra_files", &["--reload-extra-file"], Takes::Many, Fate::Written(reload_extra_files)),
    Row::of(
        "spew",
        &["--spew"],
        Takes::Nothing,
        Fate::Nothing("`supervisor stacks` shows what every thread runs, and stops nothing for it"),
    ),
    Row::of(
        "preload_app",
        &["--preload"],
        Takes::Nothing,
        Fate::Nothing(
            "each worker imports the application itself, so that a reload brings new code; `reload: {surge: 1}` has them boot one at a time \
            where memory is short",
        ),
    ),
    Row::of(
        "sendfile",
        &["--no-sendfile"],
        Takes::Off,
        Fate::Nothing("`wsgi.file_wrapper` is sent by sendfile where that can be"),
    ),
    Row::of(
        "daemon",
        &["-D", "--daemon"],
        Takes::Nothing,
        Fate::Open("it stays in the foreground: a service manager (`examples/systemd`) or a container runs it"),
    ),
    Row::of("raw_env", &["-e", "--env"], Takes::Many, Fate::Written(raw_env)),
    Row::of("pidfile", &["-p", "--pid"], Takes::One, Fate::Written(pidfile)),
    Row::of(
        "worker_tmp_dir",
        &["--worker-tmp-dir"],
        Takes::One,
        Fate::Nothing("heartbeats are in memory, not in files"),
    ),
    Row::of("user", &["-u", "--user"], Takes::One, Fate::Written(user)),
    Row::of("group", &["-g", "--group"], Takes::One, Fate::Written(group)),
    Row::of(
        "initgroups",
        &["--initgroups"],
        Takes::Nothing,
        Fate::Nothing("with `user`, workers have that user's groups always"),
    ),
    Row::of("umask", &["-m", "--umask"], Takes::One, Fate::Written(umask)),
    Row::of(
        "tmp_upload_dir",
        &[],
        Takes::One,
        Fate::Nothing("gunicorn uses it nowhere; here long bodies are files without a name in `$TMPDIR`"),
    ),
    Row::of("secure_scheme_headers", &[], Takes::One, Fate::Written(secure_scheme_headers)),
    Row::of("forwarded_allow_ips", &["--forwarded-allow-ips"], Takes::One, Fate::Written(forwarded_allow_ips)),
    Row::of(
        "forwarder_headers",
        &["--forwarder-headers"],
        Takes::One,
        Fate::Open(
            "a proxy tells the path that it took off in a field that `forwarded: {prefix: X-Forwarded-Prefix}` names; or `mount: /path` says it",
        ),
    ),
    Row::of("header_map", &["--header-map"], Takes::One, Fate::Written(header_map)),
    Row::of("pythonpath", &["--pythonpath"], Takes::One, Fate::Written(pythonpath)),
    Row::of("paste", &["--paste", "--paster"], Takes::One, Fate::Written(paste)),
    Row::of("raw_paste_global_conf", &["--paste-global"], Takes::Many, Fate::Open(deployed::GLOBALS)),
    Row::of(
        "root_path",
        &["--root-path"],
        Takes::One,
        Fate::Nothing("it is ASGI's; a WSGI application under a path says `mount: /path`"),
    ),
    Row::of(
        "control_socket",
        &["--control-socket"],
        Takes::One,
        Fate::Nothing(
            "commands find the server by its file (`supervisor status -c FILE`); `control: PATH` adds a path, and what is spoken there is another language",
        ),
    ),
    Row::of(
        "control_socket_mode",
        &["--control-socket-mode"],
        Takes::One,
        Fate::Nothing("it answers to the server's own user and to root alone"),
    ),
    Row::of(
        "control_socket_disable",
        &["--no-control-socket"],
        Takes::Nothing,
        Fate::Nothing("commands need it; it answers to the server's own user and to root alone"),
    ),
];

fn chdir(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let Some(folder) = said.text().filter(|text| !text.is_empty()) else { return draft.leave(said, "there is none") };
    let yaml = draft.path(&folder, said.dollars);
    draft.put("apps.NAME.directory", yaml, said);
    draft.base = Some(folder);
}

fn paste(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().filter(|text| !text.is_empty()) {
        Some(text) => deployed::write(&text, said, draft),
        None => draft.leave(said, "there is none"),
    }
}

fn wsgi_app(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text() {
        Some(text) => application::write(&text, said, draft),
        None => draft.open(said, "there is no application in it"),
    }
}

const ON_CHANGE: &str = "apps.NAME.reload.on_change";

fn reload(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    if !said.is_on() {
        return draft.leave(said, "no change of code is a reload if nothing is said");
    }
    let more = settings.get("reload_extra_files").map_or_else(Vec::new, Said::list);
    // Globs are relative to the folder of the application.
    let (relative, absolute): (Vec<String>, Vec<String>) = more.into_iter().partition(|path| !path.starts_with('/'));
    let globs: Vec<String> = ["**/*.py".to_owned()].into_iter().chain(relative).collect();
    let how = "a reload that fails leaves the old workers serving; `supervisor dev MODULE:CALLABLE` is more than this, for one's own machine";
    draft.change(ON_CHANGE, written_list(&globs, Dollars::Plain), said, how);
    if !absolute.is_empty() {
        draft.ask(format!("only files under `directory` are watched, not {}", absolute.join(", ")));
    }
}

fn reload_extra_files(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match settings.is_on("reload") && !said.is_empty() {
        true => draft.note(ON_CHANGE, format!("{}: carried over", said.told())),
        false => draft.leave(said, "`reload` is off"),
    }
}

fn raw_env(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let mut pairs = Vec::new();
    for text in said.list() {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                let value = match said.dollars {
                    Dollars::Variables => written(value, Dollars::Variables),
                    Dollars::Plain => written(value, Dollars::Plain),
                };
                pairs.push(format!("{}: {value}", written(name, Dollars::Plain)));
            }
            Some(_) | None => draft.ask(format!("{}: `{text}` is no NAME=VALUE", said.told())),
        }
    }
    match pairs.is_empty() {
        true => draft.leave(said, "there are none"),
        false => draft.put("apps.NAME.environment", format!("{{{}}}", pairs.join(", ")), said),
    }
}

fn pidfile(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().filter(|text| !text.is_empty()) {
        Some(path) => {
            let path = draft.path(&path, said.dollars);
            draft.put("pid_file", path, said);
        }
        None => draft.leave(said, "there is none if nothing is said"),
    }
}

fn user(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().filter(|text| !text.is_empty()) {
        Some(user) if user == "0" || user == "root" => {
            draft.open(said, "workers that are root are told of by a warning here; name another user");
        }
        Some(user) => draft.put("apps.NAME.user", written_id(&user, said), said),
        None => draft.leave(said, "workers are who the supervisor is if nothing is said"),
    }
}

fn group(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let is_user = settings.text("user").is_some_and(|user| user != "0" && user != "root");
    match said.text().filter(|text| !text.is_empty()) {
        Some(group) if is_user => draft.put("apps.NAME.group", written_id(&group, said), said),
        Some(_) => draft.open(said, "a `group` needs a `user` beside it"),
        None => draft.leave(said, "workers have the groups of their user"),
    }
}

/// A number as such, a name as text.
fn written_id(text: &str, said: &Said) -> String {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.to_owned() } else { written(text, said.dollars) }
}

fn umask(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.whole() {
        Ok(Whole::Now(0)) => {
            let how = "files of the workers' are for everybody to write, as under gunicorn; without it the supervisor's umask holds";
            draft.change("apps.NAME.umask", "\"0000\"", said, how);
        }
        Ok(Whole::Now(bits)) if bits <= 0o777 => draft.put("apps.NAME.umask", format!("\"{bits:04o}\""), said),
        Ok(Whole::Now(_) | Whole::Later(_)) => draft.open(said, "it is to be from \"0000\" to \"0777\""),
        Err(why) => draft.open(said, &why),
    }
}

fn secure_scheme_headers(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let Value::Object(map) = &said.value else { return draft.open(said, "it is no dict of names and values") };
    let pairs = map.iter().filter_map(|(name, value)| {
        Some(format!("{}: {}", written(name, Dollars::Plain), written(value.as_str()?, Dollars::Plain)))
    });
    let pairs: Vec<String> = pairs.collect();
    draft.put("apps.NAME.scheme_headers", format!("{{{}}}", pairs.join(", ")), said);
}

fn forwarded_allow_ips(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let how = "clients of a Unix socket are named by `unix`; from others than these the application does not see `X-Forwarded-…` at all";
    match said.dollars == Dollars::Variables && said.text().is_some_and(|text| text.contains("${")) {
        true => draft.open(said, "list the proxies in `trusted_proxies`: a variable is one of them, not a list"),
        false => draft.change("apps.NAME.trusted_proxies", networks(said), said, how),
    }
}

fn header_map(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.underscore_headers";
    match said.text().as_deref() {
        Some(word @ ("drop" | "refuse")) => draft.put(path, word, said),
        Some("dangerous") => {
            draft.change(path, "keep", said, "those that would hide another field are dropped all the same")
        }
        Some(_) | None => draft.open(said, "it is `drop`, `refuse` or `keep` here"),
    }
}

fn pythonpath(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let folders: Vec<String> = said.comma_list().iter().map(|folder| draft.path(folder, said.dollars)).collect();
    match folders.is_empty() {
        true => draft.leave(said, "there is none"),
        false => {
            let how = "they come behind `directory` on sys.path, not before it";
            draft.change("apps.NAME.python_path", format!("[{}]", folders.join(", ")), said, how);
        }
    }
}

/// What no setting says and yet holds.
pub(super) fn finish(draft: &mut Draft) {
    if draft.value("apps.NAME.wsgi").is_none() && draft.value("apps.NAME.paste").is_none() {
        draft.add("apps.NAME.wsgi", "app:application");
        draft.ask("no application was named (gunicorn's APP_MODULE): write it as `wsgi: MODULE:CALLABLE`");
    }
}
