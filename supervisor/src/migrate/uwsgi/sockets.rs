//! uWSGI's sockets: each protocol has options of its own.

use super::super::addresses::{self, Found};
use super::super::draft::{Draft, written};
use super::super::said::Said;
use super::Options;

const LISTEN: &str = "apps.NAME.listen";

pub(super) fn http(said: &Said, _: &Options, draft: &mut Draft) {
    listeners(said, &[], draft);
}

pub(super) fn uwsgi(said: &Said, _: &Options, draft: &mut Draft) {
    listeners(said, &[("protocol", "uwsgi")], draft);
}

pub(super) fn fastcgi(said: &Said, _: &Options, draft: &mut Draft) {
    listeners(said, &[("protocol", "fastcgi")], draft);
}

pub(super) fn scgi(said: &Said, _: &Options, draft: &mut Draft) {
    listeners(said, &[("protocol", "scgi")], draft);
}

/// `address,certificate,key[,ciphers[,authority]]`.
pub(super) fn https(said: &Said, _: &Options, draft: &mut Draft) {
    for text in said.list() {
        let mut parts = text.split(',');
        let (address, certificate, key) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let (Some(certificate), Some(key)) = (certificate, key) else {
            return draft.open(said, "a certificate and a key are to be named: `tls: {certificate: …, key: …}`");
        };
        let authority = parts.nth(1).map(|authority| authority.trim_start_matches('!'));
        let mut tls = vec![
            format!("certificate: {}", draft.path(certificate, said.dollars)),
            format!("key: {}", draft.path(key, said.dollars)),
        ];
        if let Some(authority) = authority {
            tls.push(format!("client_authorities: {}", draft.path(authority, said.dollars)));
            tls.push("client_certificates: required".into());
        }
        listener(said, address, &[("tls", &format!("{{{}}}", tls.join(", ")))], draft);
    }
    draft.note(LISTEN, format!("{}: carried over", said.told()));
}

fn listeners(said: &Said, keys: &[(&'static str, &str)], draft: &mut Draft) {
    for text in said.list() {
        listener(said, &text, keys, draft);
    }
    draft.note(LISTEN, format!("{}: carried over", said.told()));
}

fn listener(said: &Said, text: &str, keys: &[(&'static str, &str)], draft: &mut Draft) {
    let keys: Vec<(&'static str, String)> = keys.iter().map(|(key, yaml)| (*key, (*yaml).to_owned())).collect();
    match addresses::of(&as_address(text, draft), "8000", said.dollars) {
        Found::Address(address) => draft.listen_with(address, keys),
        Found::Changed(address, why) => {
            draft.listen_with(address, keys);
            draft.ask(format!("{}: {why}", said.told()));
        }
        Found::None(why) => draft.ask(format!("{}: {why}", said.told())),
    }
}

/// uWSGI takes what has no colon for a path.
fn as_address(text: &str, draft: &Draft) -> String {
    match (text.strip_prefix('@'), text.contains(':')) {
        (Some(name), _) => format!("unix:@{name}"),
        (None, true) => text.to_owned(),
        (None, false) => match &draft.base {
            Some(base) if !text.starts_with(['/', '$']) => format!("unix:{}/{text}", base.trim_end_matches('/')),
            Some(_) | None => format!("unix:{text}"),
        },
    }
}

pub(super) fn chmod_socket(said: &Said, _: &Options, draft: &mut Draft) {
    // Without a number everybody may.
    let digits = said.text().unwrap_or_else(|| "666".into());
    match u32::from_str_radix(&digits, 8) {
        Ok(bits) if bits <= 0o777 => {
            draft.on_unix_listeners("mode", format!("\"{bits:04o}\""));
            draft.note(LISTEN, format!("{}: carried over", said.told()));
        }
        Ok(_) | Err(_) => draft.open(said, "it is to be from \"0000\" to \"0777\""),
    }
}

pub(super) fn chown_socket(said: &Said, _: &Options, draft: &mut Draft) {
    match said.text() {
        Some(owner) => {
            draft.on_unix_listeners("owner", written(&owner, said.dollars));
            draft.note(LISTEN, format!("{}: carried over", said.told()));
        }
        None => draft.open(said, "it is `user`, `user:group` or `:group`"),
    }
}

/// What holds where nothing is said.
pub(super) fn finish(draft: &mut Draft) {
    if !draft.has_listener() {
        draft.listen("\"127.0.0.1:8000\"".into());
        draft.ask("no socket was named: write the addresses to `listen`");
    }
}
