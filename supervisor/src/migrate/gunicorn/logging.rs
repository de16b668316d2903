//! gunicorn's settings of logs, metrics and names.

use monoceros_shared::config;

use super::super::addresses::{self, Found};
use super::super::draft::{Draft, written};
use super::super::said::{Dollars, Said};
use super::Settings;
use super::table::{Fate, Row, Takes};

const NO_SYSLOG: &str =
    "lines go to standard error, where journald or the container takes them, or to `log: {file: …}`";
const PYTHON_LOGGING: &str = "the server logs without Python (`log: {format: json}` for programs); loggers of the application are configured \
    by the application, or in `worker_start` of a hooks module";

pub(super) const ROWS: &[Row] = &[
    Row::of("accesslog", &["--access-logfile"], Takes::One, Fate::Written(accesslog)),
    Row::of("access_log_format", &["--access-logformat"], Takes::One, Fate::Written(access_log_format)),
    Row::of(
        "disable_redirect_access_to_syslog",
        &["--disable-redirect-access-to-syslog"],
        Takes::Nothing,
        Fate::Nothing(NO_SYSLOG),
    ),
    Row::of("errorlog", &["--error-logfile", "--log-file"], Takes::One, Fate::Written(errorlog)),
    Row::of("loglevel", &["--log-level"], Takes::One, Fate::Written(loglevel)),
    Row::of(
        "capture_output",
        &["--capture-output"],
        Takes::Nothing,
        Fate::Nothing("what an application prints becomes lines of the log always"),
    ),
    Row::of("logger_class", &["--logger-class"], Takes::One, Fate::Open(PYTHON_LOGGING)),
    Row::of("logconfig", &["--log-config"], Takes::One, Fate::Open(PYTHON_LOGGING)),
    Row::of("logconfig_dict", &[], Takes::One, Fate::Open(PYTHON_LOGGING)),
    Row::of("logconfig_json", &["--log-config-json"], Takes::One, Fate::Open(PYTHON_LOGGING)),
    Row::of("syslog", &["--log-syslog"], Takes::Nothing, Fate::Open(NO_SYSLOG)),
    Row::of("syslog_addr", &["--log-syslog-to"], Takes::One, Fate::Nothing(NO_SYSLOG)),
    Row::of("syslog_prefix", &["--log-syslog-prefix"], Takes::One, Fate::Nothing(NO_SYSLOG)),
    Row::of("syslog_facility", &["--log-syslog-facility"], Takes::One, Fate::Nothing(NO_SYSLOG)),
    Row::of(
        "enable_stdio_inheritance",
        &["-R", "--enable-stdio-inheritance"],
        Takes::Nothing,
        Fate::Nothing("what an application prints becomes lines of the log always"),
    ),
    Row::of("statsd_host", &["--statsd-host"], Takes::One, Fate::Written(statsd_host)),
    Row::of("statsd_prefix", &["--statsd-prefix"], Takes::One, Fate::Written(statsd_prefix)),
    Row::of("dogstatsd_tags", &["--dogstatsd-tags"], Takes::One, Fate::Written(dogstatsd_tags)),
    Row::of("enable_backlog_metric", &["--enable-backlog-metric"], Takes::Nothing, Fate::Nothing(NO_STATSD)),
    Row::of("proc_name", &["-n", "--name"], Takes::One, Fate::Written(proc_name)),
    Row::of(
        "default_proc_name",
        &[],
        Takes::One,
        Fate::Nothing("`ps` shows the application's name, its generation and state"),
    ),
];

const NO_STATSD: &str = "`supervisor status --json` has what it counts";

const ACCESS: &str = "log.access.format";

fn accesslog(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let Some(target) = said.text().filter(|text| !text.is_empty()) else {
        return draft.leave(said, "no line is written for a request if nothing is said");
    };
    if settings.text("access_log_format").is_none() {
        draft.add(ACCESS, "combined");
    }
    let told = match target.as_str() {
        "-" => "changed: its lines stand in the log, on standard error; `lines` or `json` in the place of the format tell more".to_owned(),
        _ => format!("changed: there is one log, and these lines go where it goes, not to `{target}`; `json` can be told apart by programs"),
    };
    draft.note(ACCESS, format!("{}: {told}", said.told()));
}

fn access_log_format(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let Some(format) = said.text().filter(|text| !text.is_empty()) else {
        return draft.leave(said, "there is none");
    };
    if settings.text("accesslog").is_none() {
        return draft.leave(said, "without `accesslog` no line is written for a request");
    }
    let yaml = written(&format, said.dollars);
    match config::access_format(&format) {
        Ok(()) => draft.put(ACCESS, yaml, said),
        Err(why) => {
            draft.add(ACCESS, "combined");
            draft.open(said, &format!("it is `combined` until then: {why}"));
        }
    }
}

fn errorlog(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().as_deref() {
        Some("-" | "") | None => draft.leave(said, "the log goes to standard error if nothing is said"),
        Some(path) => {
            let path = draft.path(path, said.dollars);
            draft.put("log.file", path, said);
        }
    }
}

fn loglevel(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().map(|level| level.to_lowercase()).as_deref() {
        Some(level @ ("debug" | "info" | "warning" | "error" | "critical")) => draft.put("log.level", level, said),
        Some(_) | None => draft.change("log.level", "info", said, "gunicorn takes what it does not know for info"),
    }
}

/// Whether this version sends numbers to a statsd server.
fn has_statsd() -> bool {
    config::keys().iter().any(|key| key.section == "statsd")
}

fn statsd_host(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let Some(text) = said.text().filter(|text| !text.is_empty()) else {
        return draft.leave(said, "no numbers are sent if nothing is said");
    };
    match addresses::of(&text, "8125", said.dollars) {
        _ if !has_statsd() => draft.open(said, NO_STATSD),
        Found::Address(address) => draft.put("statsd.address", address, said),
        Found::Changed(..) | Found::None(_) => {
            draft.open(said, "host names are not looked up: write `statsd: ADDRESS:PORT`")
        }
    }
}

fn statsd_prefix(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let prefix = said.text().map(|text| text.trim_end_matches('.').to_owned()).filter(|text| !text.is_empty());
    match (prefix, settings.text("statsd_host")) {
        (Some(prefix), Some(_)) if has_statsd() => draft.put("statsd.prefix", written(&prefix, said.dollars), said),
        (Some(_), Some(_)) => draft.leave(said, NO_STATSD),
        (None, _) | (_, None) => draft.leave(said, "no numbers are sent by another name"),
    }
}

fn dogstatsd_tags(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let pair = |tag: &String| {
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        format!("{}: {}", written(name, said.dollars), written(value, said.dollars))
    };
    let tags: Vec<String> = said.comma_list().iter().map(pair).collect();
    match settings.text("statsd_host") {
        Some(_) if has_statsd() && !tags.is_empty() => {
            draft.change(
                "statsd.tags",
                format!("{{{}}}", tags.join(", ")),
                said,
                "`app` is a tag too, with the application's name",
            );
        }
        Some(_) | None => draft.leave(said, "no numbers are sent with tags"),
    }
}

/// The application's name is what processes are called by.
fn proc_name(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let Some(name) = said.text().filter(|name| !name.is_empty() && said.dollars == Dollars::Plain) else {
        return draft.leave(said, "processes are called by the application's name under `apps:`");
    };
    let known = super::super::app_name(&name);
    draft.note("apps", format!("{}: carried over: the application's name is what `ps` shows", said.told()));
    draft.name = Some(known);
}
