//! `supervisor migrate`: from another server's config to ours, with what became of each of its settings.
//!
//! ```text
//!   gunicorn.conf.py, flags, GUNICORN_CMD_ARGS ──┐
//!   Procfile, a unit's ExecStart (which say how ─┼─ Said ── a table ──> Draft ── render ──> YAML with comments
//!   one of the two is started)                  ─┤
//!   production.ini (PasteDeploy) ────────────────┤
//!   uwsgi.ini, its flags ────────────────────────┘
//! ```
//!
//! Rules: each setting is told once, with its place and its verdict: carried over, changed (and how), without counterpart (and why),
//! or to be looked at by a person. What is written, `supervisor check` takes. Nothing is changed and no application is imported;
//! but a gunicorn config file is a program and is run.

mod addresses;
mod application;
mod deployed;
mod draft;
mod gunicorn;
mod ini;
mod launch;
mod ranges;
mod said;
mod shell;
mod unit;
mod uwsgi;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use monoceros_shared::exit;

use crate::printed::print;
use draft::{Draft, written};
use launch::{Launch, Program};
use said::Dollars;
use shell::Word;

/// What another server was started with.
#[derive(Debug, Args)]
pub struct Migrate {
    /// A config file of gunicorn's (*.py) or uWSGI's (*.ini), a Procfile, or a unit (*.service).
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The virtualenv that the application runs in; its Python runs a config file that is a program.
    #[arg(long, value_name = "FOLDER")]
    pub virtualenv: Option<PathBuf>,
    /// Flags that the other server was started with, behind `--`.
    #[arg(last = true, value_name = "FLAGS")]
    pub flags: Vec<String>,
}

/// Prints the YAML; the exit status.
pub fn migrate(asked: &Migrate) -> i32 {
    match draft(asked) {
        Ok(draft) => {
            let status = print(&draft.render());
            if draft.open_count() > 0 {
                eprintln!("{} to be looked at by a person: see the end of what was printed", draft.open_count());
            }
            status
        }
        Err(why) => {
            eprintln!("cannot migrate: {why}");
            exit::USAGE
        }
    }
}

fn draft(asked: &Migrate) -> Result<Draft, String> {
    let mut draft = Draft::default();
    let told =
        asked.file.as_ref().map_or_else(|| "a command line of gunicorn's".into(), |file| file.display().to_string());
    draft.head.push(format!("Written by `supervisor migrate` from {told}."));
    draft.head.push(
        "Put it into the folder that the other server was started in: relative paths begin at the folder of this file. Then \
        `supervisor check -c FILE`."
            .into(),
    );
    let flags: Vec<Word> =
        asked.flags.iter().map(|flag| Word { text: flag.clone(), dollars: Dollars::Plain }).collect();
    let launch = match &asked.file {
        // Whoever copies the whole line has the program's name in it.
        None => match flags.split_first().and_then(|(first, rest)| Some((launch::server(first)?, rest.to_vec()))) {
            Some((program, rest)) => Launch::of(program, None, rest),
            None => Launch::of(Program::Gunicorn, None, flags),
        },
        Some(file) => launch_of(file, flags, &mut draft)?,
    };
    start(launch, asked, &mut draft)?;
    Ok(draft)
}

/// What a file says of how which server is started.
fn launch_of(file: &Path, flags: Vec<Word>, draft: &mut Draft) -> Result<Launch, String> {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let suffix = file.extension().unwrap_or_default().to_string_lossy().into_owned();
    let text = fs::read_to_string(file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).map(Path::to_owned);
    let mut launch = match suffix.as_str() {
        "py" => Launch::of(Program::Gunicorn, Some(file.to_owned()), Vec::new()),
        "service" => unit::launch(&text, &name, draft)?,
        "ini" => deployed::launch(&text, file, draft)
            .unwrap_or_else(|| Launch::of(Program::Uwsgi, Some(file.to_owned()), Vec::new())),
        _ if name.starts_with("Procfile") => Launch { folder, ..launch::of_procfile(&text, &name, draft)? },
        "xml" | "yaml" | "yml" | "json" => {
            return Err(format!(
                "{name}: of uWSGI's formats this reads ini; `uwsgi --show-config` prints any of them as ini"
            ));
        }
        _ => {
            return Err(format!(
                "{name}: expected a `*.py` of gunicorn's, a `*.ini` of uWSGI's or PasteDeploy's, a Procfile or a `*.service`"
            ));
        }
    };
    launch.flags.extend(flags);
    Ok(launch)
}

/// Puts into the draft what that start comes to.
fn start(launch: Launch, asked: &Migrate, draft: &mut Draft) -> Result<(), String> {
    let virtualenv = asked.virtualenv.clone().or_else(|| launch.virtualenv.clone());
    if let Some(folder) = &virtualenv {
        draft.add("apps.NAME.virtualenv", written(&folder.to_string_lossy(), Dollars::Plain));
    }
    match launch.program {
        Program::Uwsgi => uwsgi::migrate(&launch, draft),
        Program::Gunicorn => {
            let own = launch.environment.get("GUNICORN_CMD_ARGS").cloned();
            let variable = own.or_else(|| std::env::var("GUNICORN_CMD_ARGS").ok());
            let python =
                virtualenv.map_or_else(|| PathBuf::from("python3"), |folder| absolute(&folder.join("bin/python")));
            let start = gunicorn::Start {
                file: launch.file,
                flags: launch.flags,
                variable: variable.filter(|text| !text.trim().is_empty()),
                folder: launch.folder.unwrap_or_else(|| PathBuf::from(".")),
                python,
                environment: launch.environment,
                settings: launch.settings,
            };
            gunicorn::migrate(&start, draft)
        }
    }
}

/// The same from wherever it is started.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// A name for an application, of what another server called it.
fn app_name(text: &str) -> String {
    // As a config takes it: at most 64 letters, digits, `-`, `_` and `.`, a letter or digit first.
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = text.chars().map(|letter| if is_part(letter) { letter } else { '-' }).take(64).collect();
    let name = name.trim_start_matches(|first: char| !first.is_ascii_alphanumeric());
    if name.is_empty() { "app".into() } else { name.to_owned() }
}
