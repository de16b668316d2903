//! An ini file of PasteDeploy's, as `pserve` starts it: the application that it makes, and what it says of a server.

use std::path::Path;

use super::draft::{Draft, written};
use super::ini::{self, Pair};
use super::launch::{Launch, Program};
use super::said::{Dollars, Said};

/// The start that it describes, if it describes one: its server's settings are gunicorn's, or what others have in common with those.
pub fn launch(text: &str, file: &Path, draft: &mut Draft) -> Option<Launch> {
    let pairs = ini::pairs(text);
    let section = pairs.iter().find(|pair| pair.section.starts_with("server:"))?.section.clone();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    draft.head.push(format!("It is what `pserve` starts by [{section}] of {name}."));
    let place = |pair: &Pair| format!("{name}:{}", pair.line);
    let server: Vec<&Pair> = pairs.iter().filter(|pair| pair.section == section).collect();
    let mut settings = vec![Said::new("paste", name.clone(), name.clone())];
    let value = |key: &str| server.iter().find(|pair| pair.key == key);
    if let Some(host) = value("host") {
        let bind = value("port").map_or(host.value.clone(), |port| format!("{}:{}", host.value, port.value));
        settings.push(Said::new("bind", bind, place(host)));
    } else if let Some(port) = value("port") {
        settings.push(Said::new("bind", format!("127.0.0.1:{}", port.value), place(port)));
    }
    for pair in server.iter().filter(|pair| !["use", "host", "port"].contains(&pair.key.as_str())) {
        // waitress has a list with spaces between.
        let (name, value) = match pair.key.as_str() {
            "listen" => ("bind", pair.value.split_whitespace().collect::<Vec<_>>().join(",")),
            other => (other, pair.value.clone()),
        };
        settings.push(Said::new(name, value, place(pair)));
    }
    Some(Launch { settings, ..Launch::of(Program::Gunicorn, None, Vec::new()) })
}

/// Writes an application that PasteDeploy makes: `production.ini`, or `production.ini#name`.
pub fn write(text: &str, said: &Said, draft: &mut Draft) {
    let text = text.strip_prefix("config:").unwrap_or(text);
    if draft.name.is_none() {
        let stem = Path::new(text.split('#').next().unwrap_or(text)).file_stem().unwrap_or_default();
        draft.name = Some(super::app_name(&stem.to_string_lossy()));
    }
    draft.put("apps.NAME.paste", written(text, said.dollars), said);
}

/// What no key can say: variables for the file.
pub const GLOBALS: &str = "write them into the file's [DEFAULT] section: `paste` has no variables beside it";

/// Says that a setting of a server's is none of gunicorn's.
pub fn stranger(said: &Said, draft: &mut Draft) {
    let said = said.clone().with(Dollars::Plain);
    draft.open(&said, "it is not known here: look up what it does, and whether that is wanted");
}
