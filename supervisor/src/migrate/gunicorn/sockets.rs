//! gunicorn's settings of sockets, TLS and HTTP/2, all of which hold for each address that it binds.

use super::super::addresses::{self, Found};
use super::super::draft::{Draft, written, written_list};
use super::super::ranges;
use super::super::said::{Dollars, Said, Whole};
use super::Settings;
use super::table::{Fate, Row, Takes};

const NO_HTTP2: &str = "HTTP/1.1 is spoken here; a proxy before it speaks HTTP/2 with clients";
const OF_OPENSSL: &str = "it is a knob of Python's ssl module; TLS is rustls's here, which has no such";

pub(super) const ROWS: &[Row] = &[
    Row::of("bind", &["-b", "--bind"], Takes::Many, Fate::Written(bind)),
    Row::of("backlog", &["--backlog"], Takes::One, Fate::Written(backlog)),
    Row::of(
        "reuse_port",
        &["--reuse-port"],
        Takes::Nothing,
        Fate::Nothing(
            "the supervisor owns the sockets and all workers share them, so that no client is lost with a worker",
        ),
    ),
    Row::of("protocol", &["--protocol"], Takes::One, Fate::Written(protocol)),
    Row::of("uwsgi_allow_ips", &["--uwsgi-allow-from"], Takes::One, Fate::Written(uwsgi_allow_ips)),
    Row::of("proxy_protocol", &["--proxy-protocol"], Takes::Perhaps("auto"), Fate::Written(proxy_protocol)),
    Row::of("proxy_allow_ips", &["--proxy-allow-from"], Takes::One, Fate::Written(proxy_allow_ips)),
    Row::of("certfile", &["--certfile"], Takes::One, Fate::Written(certfile)),
    Row::of("keyfile", &["--keyfile"], Takes::One, Fate::Written(keyfile)),
    Row::of("ca_certs", &["--ca-certs"], Takes::One, Fate::Written(ca_certs)),
    Row::of("cert_reqs", &["--cert-reqs"], Takes::One, Fate::Written(cert_reqs)),
    Row::of(
        "ciphers",
        &["--ciphers"],
        Takes::One,
        Fate::Open(
            "rustls chooses among the suites of TLS 1.2 with forward secrecy and those of 1.3; `tls: {min_version: 1.3}` leaves 1.2 out",
        ),
    ),
    Row::of(
        "ssl_version",
        &["--ssl-version"],
        Takes::One,
        Fate::Nothing(
            "gunicorn ignores it since 21; here TLS 1.2 and 1.3 are spoken, `tls: {min_version: 1.3}` leaves 1.2 out",
        ),
    ),
    Row::of("suppress_ragged_eofs", &["--suppress-ragged-eofs"], Takes::Nothing, Fate::Nothing(OF_OPENSSL)),
    Row::of("do_handshake_on_connect", &["--do-handshake-on-connect"], Takes::Nothing, Fate::Nothing(OF_OPENSSL)),
    Row::of("http_protocols", &["--http-protocols"], Takes::One, Fate::Written(http_protocols)),
    Row::of("http2_cleartext", &["--http2-cleartext"], Takes::One, Fate::Nothing(NO_HTTP2)),
    Row::of("http2_max_concurrent_streams", &["--http2-max-concurrent-streams"], Takes::One, Fate::Nothing(NO_HTTP2)),
    Row::of("http2_initial_window_size", &["--http2-initial-window-size"], Takes::One, Fate::Nothing(NO_HTTP2)),
    Row::of("http2_max_frame_size", &["--http2-max-frame-size"], Takes::One, Fate::Nothing(NO_HTTP2)),
    Row::of("http2_max_header_list_size", &["--http2-max-header-list-size"], Takes::One, Fate::Nothing(NO_HTTP2)),
];

const LISTEN: &str = "apps.NAME.listen";

fn bind(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    if said.comma_list().is_empty() {
        return draft.leave(said, "it names no address");
    }
    let mut how = Vec::new();
    for text in said.comma_list() {
        match addresses::of(&text, "8000", said.dollars) {
            Found::Address(address) => draft.listen(address),
            Found::Changed(address, why) => {
                draft.listen(address);
                how.push(why);
            }
            Found::None(why) => draft.ask(format!("{}: `{text}`: {why}", said.told())),
        }
    }
    let how = if how.is_empty() { "carried over".to_owned() } else { format!("changed: {}", how.join("; ")) };
    draft.note(LISTEN, format!("{}: {how}", said.told()));
}

fn backlog(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    fitted("apps.NAME.backlog", ranges::count(said, "apps.NAME.backlog"), said, draft);
}

/// Writes what was brought into a range.
pub(super) fn fitted(path: &str, fitted: Result<ranges::Fitted, String>, said: &Said, draft: &mut Draft) {
    match fitted {
        Ok(ranges::Fitted { yaml, why: None }) => draft.put(path, yaml, said),
        Ok(ranges::Fitted { yaml, why: Some(why) }) => draft.change(path, yaml, said, &why),
        Err(why) => draft.open(said, &why),
    }
}

fn protocol(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().as_deref() {
        Some("uwsgi") => draft.on_listeners("protocol", "uwsgi".into(), said, ""),
        Some("http") | None => draft.leave(said, "HTTP is what is spoken if nothing is said"),
        Some(_) => {
            draft.open(said, "there is no such protocol: `http`, `fastcgi`, `scgi`, `ajp` and `uwsgi` are spoken here")
        }
    }
}

fn uwsgi_allow_ips(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match settings.text("protocol").as_deref() {
        Some("uwsgi") => {
            draft.on_listeners("allow", networks(said), said, "clients of a Unix socket are named by `unix`")
        }
        Some(_) | None => draft.leave(said, "uwsgi is not spoken"),
    }
}

fn proxy_protocol(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let is_off =
        matches!(said.text().as_deref(), Some("off" | "false" | "")) || (!said.is_on() && said.text().is_none());
    if is_off {
        return draft.leave(said, "no PROXY header is expected if nothing is said");
    }
    let how = "here every connection must begin with a header, of either version, as gunicorn demands it too of proxies that are allowed";
    // With `proxy_allow_ips`, that says who.
    if settings.get("proxy_allow_ips").is_none() {
        let own = "[127.0.0.1, \"::1\", unix]".to_owned();
        draft.on_listeners("proxy_protocol", own, said, how);
    } else {
        draft.note(LISTEN, format!("{}: changed: {how}", said.told()));
    }
}

fn proxy_allow_ips(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    let is_on =
        settings.get("proxy_protocol").is_some_and(|said| said.text().map_or(said.is_on(), |text| text != "off"));
    match is_on {
        true => draft.on_listeners(
            "proxy_protocol",
            networks(said),
            said,
            "from others than these no connection is taken at all",
        ),
        false => draft.leave(said, "`proxy_protocol` is off"),
    }
}

/// Addresses that are trusted, as a list of ours. gunicorn trusts every client of a Unix socket.
pub(super) fn networks(said: &Said) -> String {
    let list = said.comma_list();
    if list.iter().any(|network| network == "*") {
        return "all".into();
    }
    let mut list: Vec<String> = list.into_iter().map(|network| without_host_bits(&network)).collect();
    list.push("unix".into());
    written_list(&list, said.dollars)
}

/// A network as we take it; one that is none stays, and is told by the check.
fn without_host_bits(network: &str) -> String {
    network.strip_suffix("/32").filter(|address| address.contains('.')).unwrap_or(network).to_owned()
}

const TLS: &str = "`tls` of each listener says it here";

fn certfile(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    tls(said, "certificate", draft);
}

fn keyfile(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match settings.text("certfile") {
        Some(_) => tls(said, "key", draft),
        None => draft.leave(said, "without `certfile` nothing is encrypted"),
    }
}

fn ca_certs(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    match settings.get("cert_reqs").and_then(|said| said.whole().ok()) {
        None | Some(Whole::Now(0)) => draft.leave(said, "without `cert_reqs` clients are not asked for certificates"),
        Some(_) => tls(said, "client_authorities", draft),
    }
}

fn tls(said: &Said, key: &str, draft: &mut Draft) {
    match said.text().filter(|text| !text.is_empty()) {
        Some(path) => {
            let path = draft.path(&path, said.dollars);
            draft.add(&format!("tls.{key}"), path);
            draft.note(LISTEN, format!("{}: carried over: {TLS}", said.told()));
        }
        None => draft.leave(said, "connections are not encrypted"),
    }
}

fn cert_reqs(said: &Said, settings: &Settings<'_>, draft: &mut Draft) {
    // ssl.CERT_NONE, CERT_OPTIONAL, CERT_REQUIRED.
    let word = match said.whole() {
        Ok(Whole::Now(0)) => return draft.leave(said, "clients are not asked for certificates if nothing is said"),
        Ok(Whole::Now(1)) => "optional",
        Ok(Whole::Now(2)) => "required",
        Ok(Whole::Now(_) | Whole::Later(_)) | Err(_) => {
            return draft.open(said, "0, 1 and 2 are what Python's ssl has");
        }
    };
    if settings.text("ca_certs").is_none() {
        return draft.open(
            said,
            "name who signs clients' certificates: `tls: {client_authorities: FILE}`, with `client_certificates`",
        );
    }
    draft.add("tls.client_certificates", word);
    let more = "and the application finds who it is in `SSL_CLIENT_S_DN` and its like";
    draft.note(LISTEN, format!("{}: carried over: `client_certificates: {word}`, {more}", said.told()));
}

fn http_protocols(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    match said.text().is_some_and(|text| text.split(',').any(|protocol| protocol.trim() != "h1")) {
        true => draft.open(said, NO_HTTP2),
        false => draft.leave(said, "HTTP/1.1 is spoken"),
    }
}

/// What several settings say together: TLS of the listeners, and whose files sockets are.
pub(super) fn finish(settings: &Settings<'_>, draft: &mut Draft) {
    if !draft.has_listener() {
        draft.listen(written("127.0.0.1:8000", Dollars::Plain));
        draft.note(LISTEN, "gunicorn's own default");
    }
    if let Some(certificate) = draft.value("tls.certificate") {
        let mut parts = vec![format!("certificate: {certificate}")];
        for key in ["key", "client_authorities", "client_certificates"] {
            parts.extend(draft.value(&format!("tls.{key}")).map(|value| format!("{key}: {value}")));
        }
        draft.of_each("tls", format!("{{{}}}", parts.join(", ")));
    }
    if draft.has_unix_listener() {
        of_socket_files(settings, draft);
    }
}

/// gunicorn makes the files of its sockets for everybody, less its umask, and gives them to who its workers are.
fn of_socket_files(settings: &Settings<'_>, draft: &mut Draft) {
    let umask = settings.get("umask").and_then(|said| said.whole().ok());
    let bits = match umask {
        Some(Whole::Now(umask)) => 0o777 & !umask,
        Some(Whole::Later(_)) | None => 0o777,
    };
    draft.on_unix_listeners("mode", format!("\"{bits:04o}\""));
    let told = format!(
        "the socket's file has the mode {bits:04o} as under gunicorn (0777 less `umask`); without `mode` it has 0660 here, which with \
        `owner: \":www-data\"` is enough for a web server"
    );
    draft.note(LISTEN, told);
    let name = |setting: &str| settings.text(setting).filter(|name| name != "0" && name != "root");
    let owner = match (name("user"), name("group")) {
        (None, None) => return,
        (Some(user), None) => user,
        (user, Some(group)) => format!("{}:{group}", user.unwrap_or_default()),
    };
    let numbers = owner.bytes().all(|byte| byte.is_ascii_digit());
    draft.on_unix_listeners("owner", if numbers { format!("\"{owner}\"") } else { written(&owner, Dollars::Plain) });
}
