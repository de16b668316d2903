//! Addresses as other servers write them.

use super::draft::written;
use super::said::Dollars;

/// What an address comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The same, as it stands in our file.
    Address(String),
    /// Another, and why.
    Changed(String, String),
    /// None: why, and what to do.
    None(String),
}

/// The address that gunicorn or uWSGI would bind for `text`, with this port if it names none.
pub fn of(text: &str, port: &str, dollars: Dollars) -> Found {
    let text = text.strip_prefix("tcp://").unwrap_or(text);
    if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
        return match path.strip_prefix(['\0', '@']) {
            Some(name) => Found::Address(written(&format!("unix:@{name}"), dollars)),
            None => Found::Address(written(&format!("unix:{path}"), dollars)),
        };
    }
    if text.starts_with("fd://") {
        let why = "a socket of a socket unit is taken by its address, or by the application's name: write the address of the unit";
        return Found::None(why.into());
    }
    let (host, port) = host_and_port(text).unwrap_or((text, port));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    match host {
        "" | "*" => Found::Address(written(&format!("0.0.0.0:{port}"), dollars)),
        "localhost" => Found::Address(written(&address, dollars)),
        _ if host.contains("${") || host.parse::<std::net::IpAddr>().is_ok() => {
            Found::Address(written(&address, dollars))
        }
        _ => {
            let why = format!(
                "host names are not looked up here: write the address of `{host}`; until then it is every address"
            );
            Found::Changed(written(&format!("0.0.0.0:{port}"), dollars), why)
        }
    }
}

/// A host and what stands behind its last colon, if that is a port and no part of a variable or of an IPv6 address.
fn host_and_port(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    let mut last = None;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ':' if depth == 0 => last = Some(at),
            _ => {}
        }
    }
    let at = last?;
    let (host, port) = (&text[..at], &text[at + 1..]);
    let is_bare_v6 = host.contains(':') && !host.contains(['[', '$']);
    Some((host, port)).filter(|_| !is_bare_v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_as_gunicorn_binds_them() {
        for (text, expected) in [
            ("127.0.0.1:80", "\"127.0.0.1:80\""),
            ("127.0.0.1", "\"127.0.0.1:8000\""),
            (":80", "\"0.0.0.0:80\""),
            ("[::1]:80", "\"[::1]:80\""),
            ("[::]", "\"[::]:8000\""),
            ("::1", "\"[::1]:8000\""),
            ("localhost", "localhost:8000"),
            ("tcp://0.0.0.0:1", "\"0.0.0.0:1\""),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
            ("unix:a.sock", "unix:a.sock"),
            ("unix:\0a", "unix:@a"),
        ] {
            assert_eq!(of(text, "8000", Dollars::Plain), Found::Address(expected.into()), "{text}");
        }
        let later = of("0.0.0.0:${PORT:-80}", "8000", Dollars::Variables);
        assert_eq!(later, Found::Address("\"0.0.0.0:${PORT:-80}\"".into()));
        assert_eq!(of(":${PORT}", "8000", Dollars::Variables), Found::Address("\"0.0.0.0:${PORT}\"".into()));
        assert!(matches!(of("fd://3", "8000", Dollars::Plain), Found::None(_)));
        assert!(matches!(of("shop.example:80", "8000", Dollars::Plain), Found::Changed(..)));
    }
}
