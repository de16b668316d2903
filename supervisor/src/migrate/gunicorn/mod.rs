//! gunicorn's settings: where they come from, and what becomes of each of them.
//!
//! ```text
//!   config file < GUNICORN_CMD_ARGS < command line     (weakest first, as gunicorn has it)
//!        each a Said, the strongest of a name --table--> Draft
//! ```
//!
//! The config file is a program, so Python runs it (`evaluate`); gunicorn itself need not be installed. One row of the table is
//! one setting of gunicorn 27; a test holds the table to gunicorn's own list.

mod evaluate;
mod flags;
mod hooks;
mod limits;
mod logging;
mod mechanics;
mod sockets;
mod table;
mod workers;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::evaluate::Evaluated;
use self::flags::{Line, parse};
use self::table::{Row, rows};
use super::deployed;
use super::draft::Draft;
use super::said::{Dollars, Said};
use super::shell::{self, Word};

/// How gunicorn is started.
#[derive(Debug, Default)]
pub struct Start {
    /// Its config file, if one is named beside its command line.
    pub file: Option<PathBuf>,
    /// Its flags.
    pub flags: Vec<Word>,
    /// `GUNICORN_CMD_ARGS`.
    pub variable: Option<String>,
    /// Where it is started: the folder that its config file and paths are relative to.
    pub folder: PathBuf,
    /// The Python that runs its config file.
    pub python: PathBuf,
    /// Settings that are stronger than flags.
    pub settings: Vec<Said>,
    /// Variables that it is started with, beside ours.
    pub environment: BTreeMap<String, String>,
}

/// Puts into the draft what gunicorn would have been.
///
/// # Errors
/// With a line for a person, when a flag is unknown or the config file cannot be read.
pub fn migrate(start: &Start, draft: &mut Draft) -> Result<(), String> {
    let line = parse(&start.flags)?;
    let variable = match &start.variable {
        Some(text) => {
            let why = |why| format!("GUNICORN_CMD_ARGS: {why}");
            parse(&shell::plain_words(text).map_err(why)?).map_err(why)?.renamed("GUNICORN_CMD_ARGS")
        }
        None => Line::default(),
    };
    let mut said: BTreeMap<String, Said> = BTreeMap::new();
    if let Some(location) = location(start, &line, &variable) {
        let evaluated = evaluate::evaluate(start, &location)?;
        if start.file.is_none() {
            draft.head.push(format!("gunicorn's config file is {location}."));
        }
        read(evaluated, &mut said, draft);
    }
    said.extend(variable.settings);
    said.extend(line.settings);
    let known = rows();
    for setting in &start.settings {
        match known.iter().any(|row| row.name == setting.name) {
            true => drop(said.insert(setting.name.clone(), setting.clone())),
            false => deployed::stranger(setting, draft),
        }
    }
    if let Some(app) = line.application.or(variable.application) {
        said.insert("wsgi_app".into(), app);
    }
    ambient(start, &mut said);
    answer(&said, draft);
    Ok(())
}

/// Where the config file is, as `-c` has it: on the command line, in the variable, else the one that gunicorn looks for.
fn location(start: &Start, line: &Line, variable: &Line) -> Option<String> {
    let named = start.file.as_ref().map(|file| file.to_string_lossy().into_owned());
    let asked = || [line, variable].iter().find_map(|line| line.settings.get("config")?.text());
    let usual = || {
        let usual = "gunicorn.conf.py";
        start.folder.join(usual).exists().then(|| usual.to_owned())
    };
    named.or_else(asked).or_else(usual)
}

/// Settings and names that a config file has.
fn read(evaluated: Evaluated, said: &mut BTreeMap<String, Said>, draft: &mut Draft) {
    if !evaluated.environment.is_empty() {
        let names = evaluated.environment.join(", ");
        draft.ask(format!(
            "{} asks the environment for {names}: what is written here is what it came to just now. `${{NAME}}` is a variable of the \
            supervisor's in any value",
            evaluated.file
        ));
    }
    let known = rows();
    for found in evaluated.settings {
        match known.iter().any(|row| row.name == found.name) {
            true => {
                said.insert(found.name.clone(), found);
            }
            false => stranger(&found, &known, draft),
        }
    }
}

/// A name that is no setting. Helpers of the file are none either, so only what looks like a slip is told.
fn stranger(found: &Said, known: &[Row], draft: &mut Draft) {
    let distance = |row: &&Row| strsim::damerau_levenshtein(&found.name.to_lowercase(), row.name);
    let near = known.iter().min_by_key(distance).filter(|row| distance(row) * 3 <= row.name.len().max(3));
    if let Some(near) = near {
        draft.open(found, &format!("it is no setting of gunicorn's, which ignores it: was `{}` meant?", near.name));
    } else if !found.value.is_object() && found.name.chars().any(char::is_lowercase) {
        draft.leave(found, "it is no setting of gunicorn's either");
    }
}

/// What gunicorn takes from its environment where nobody says it.
fn ambient(start: &Start, said: &mut BTreeMap<String, Said>) {
    let is_set = |name: &str| {
        let found = start.environment.get(name).cloned().or_else(|| std::env::var(name).ok());
        found.is_some_and(|value| !value.is_empty())
    };
    for (name, variable, value) in [
        ("bind", "PORT", "0.0.0.0:${PORT}"),
        ("workers", "WEB_CONCURRENCY", "${WEB_CONCURRENCY}"),
        ("forwarded_allow_ips", "FORWARDED_ALLOW_IPS", "${FORWARDED_ALLOW_IPS}"),
    ] {
        if is_set(variable) && !said.contains_key(name) {
            let place = format!("the environment, {variable}");
            said.insert(name.into(), Said::new(name, value, place).with(Dollars::Variables));
        }
    }
}

/// Asks every row, in the order of the table, so that what one leaves for another is there.
fn answer(said: &BTreeMap<String, Said>, draft: &mut Draft) {
    let settings = Settings(said);
    for row in rows() {
        if let Some(of_row) = said.get(row.name) {
            row.answer(of_row, &settings, draft);
        }
    }
    sockets::finish(&settings, draft);
    workers::finish(&settings, draft);
    mechanics::finish(draft);
}

/// Everything that was said, by name.
#[derive(Clone, Copy, Debug)]
struct Settings<'a>(&'a BTreeMap<String, Said>);

impl Settings<'_> {
    fn get(&self, name: &str) -> Option<&Said> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Said::text).filter(|text| !text.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(Said::is_on)
    }
}
