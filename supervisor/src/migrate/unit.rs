//! A unit of systemd's that starts one of the servers.

use std::path::PathBuf;

use super::draft::{Draft, written};
use super::ini::pairs;
use super::launch::{self, Launch};
use super::said::{Dollars, Said};
use super::shell;

/// The start that a unit has.
///
/// # Errors
/// When it starts none of the servers.
pub fn launch(text: &str, name: &str, draft: &mut Draft) -> Result<Launch, String> {
    let pairs = pairs(text);
    let service = |key: &'static str| pairs.iter().filter(move |pair| pair.section == "Service" && pair.key == key);
    let start = service("ExecStart").next_back().ok_or_else(|| format!("{name}: there is no ExecStart in it"))?;
    // A prefix says how systemd itself is to start it; `%%` is a percent sign, and other specifiers stay.
    let command = start.value.trim_start_matches(['@', '-', ':', '+', '!']).replace("%%", "%");
    let (mut launch, around) = launch::of_command(&command).map_err(|why| format!("{name}:{}: {why}", start.line))?;
    launch::tell(around, draft);
    draft.head.push(format!(
        "It is the ExecStart of {name}; `examples/systemd` has a unit for the supervisor, with its reasons."
    ));
    for pair in service("Environment") {
        for word in shell::plain_words(&pair.value)? {
            if let Some((variable, value)) = word.text.split_once('=') {
                launch.environment.entry(variable.to_owned()).or_insert_with(|| value.to_owned());
            }
        }
    }
    if let Some(folder) = service("WorkingDirectory").next_back() {
        let said = Said::new("WorkingDirectory", folder.value.clone(), format!("{name}:{}", folder.line));
        let folder = folder.value.trim_start_matches('-');
        draft.put("apps.NAME.directory", written(folder, Dollars::Plain), &said);
        draft.base = Some(folder.to_owned());
        launch.folder = Some(PathBuf::from(folder)).filter(|folder| folder.is_dir());
    }
    for key in ["User", "Group", "UMask", "Environment", "EnvironmentFile", "PIDFile", "LimitNOFILE"] {
        for pair in service(key) {
            let said = Said::new(key, pair.value.clone(), format!("{name}:{}", pair.line));
            draft.leave(&said, "it stays in the unit, and holds for the supervisor and its workers");
        }
    }
    for key in ["ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop"] {
        for pair in service(key) {
            let said = Said::new(key, pair.value.clone(), format!("{name}:{}", pair.line));
            draft.leave(
                &said,
                "it is the unit's: HUP reloads and TERM stops here too; `supervisor reload --wait` says how it went",
            );
        }
    }
    Ok(launch)
}
