//! uWSGI's settings: its ini file and its command line, and what becomes of those that people use.
//!
//! uWSGI has a thousand options; the table has the hundred that stand in real files. Others are named, for a person to look at.

mod options;
mod sockets;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::table::{Fate, Takes, row};
use super::draft::Draft;
use super::ini;
use super::launch::Launch;
use super::said::{Dollars, Said};
use super::shell::Word;

/// Files that one file may include, one in another: more is a loop.
const FILES_MAX: usize = 20;

/// Puts into the draft what uWSGI would have been.
///
/// # Errors
/// When a file cannot be read, or a flag lacks its value.
pub fn migrate(launch: &Launch, draft: &mut Draft) -> Result<(), String> {
    let mut gathered = Gathered { folder: launch.folder.clone().unwrap_or_default(), ..Gathered::default() };
    if let Some(file) = &launch.file {
        gathered.file(file, "uwsgi")?;
    }
    gathered.line(&launch.flags)?;
    let options = Options::of(gathered.said);
    for said in options.ordered() {
        match row(&said.name) {
            Some(row) => match row.fate {
                Fate::Written(write) => write(&said, &options, draft),
                Fate::Nothing(why) => draft.leave(&said, why),
                Fate::Open(what) => draft.open(&said, what),
            },
            None => draft.open(&said, "it is not known here: look up what it does, and whether that is wanted"),
        }
    }
    options::finish(&options, draft);
    sockets::finish(draft);
    Ok(())
}

/// What was read so far.
#[derive(Debug, Default)]
struct Gathered {
    said: Vec<Said>,
    files: usize,
    folder: PathBuf,
}

impl Gathered {
    /// The options of a section of a file, and of those that it includes.
    fn file(&mut self, file: &Path, section: &str) -> Result<(), String> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(format!("{}: more than {FILES_MAX} files include each other", file.display()));
        }
        let text = fs::read_to_string(file).map_err(|why| format!("cannot read {}: {why}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut own: BTreeMap<String, String> = BTreeMap::new();
        for pair in ini::pairs(&text).into_iter().filter(|pair| pair.section == section) {
            let value = expanded(&pair.value, file, &own);
            own.insert(pair.key.clone(), value.clone());
            let place = format!("{name}:{}", pair.line);
            let key = pair.key.replace('_', "-");
            if matches!(key.as_str(), "ini" | "include" | "inherit") {
                self.include(&value, file)?;
            } else if pair.key != "set" && !(row(&key).is_none() && text.contains(&format!("%({})", pair.key))) {
                // What no option is and is referred to is a name of the file's own.
                let value = if pair.value.is_empty() { json!(true) } else { value.into() };
                self.said.push(Said::new(&key, value, place).with(Dollars::Variables));
            }
        }
        Ok(())
    }

    fn include(&mut self, target: &str, from: &Path) -> Result<(), String> {
        let (path, section) = target.split_once(':').unwrap_or((target, "uwsgi"));
        let section = if section.is_empty() { "uwsgi" } else { section };
        let path = if path.is_empty() { from.to_owned() } else { from.parent().unwrap_or(Path::new("")).join(path) };
        self.file(&path, section)
    }

    /// The options of a command line.
    fn line(&mut self, words: &[Word]) -> Result<(), String> {
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            let (name, inline) = match text.strip_prefix("--") {
                Some(rest) => rest.split_once('=').map_or((rest, None), |(name, value)| (name, Some(value))),
                None if text.starts_with('-') && text.len() > 1 => {
                    let (short, rest) = text.split_at(text.char_indices().nth(2).map_or(text.len(), |(end, _)| end));
                    (&short[1..], Some(rest).filter(|rest| !rest.is_empty()))
                }
                None => {
                    self.argument(text)?;
                    continue;
                }
            };
            let name = name.replace('_', "-");
            let takes = row(&name).map_or(Takes::Perhaps, |row| row.takes);
            let value = match (inline, takes) {
                (Some(value), _) => Value::from(value),
                (None, Takes::Nothing) => json!(true),
                (None, Takes::Value) => {
                    words.next().map(|next| next.text.clone().into()).ok_or(format!("{text} needs a value"))?
                }
                (None, Takes::Perhaps) => words
                    .next_if(|next| !next.text.starts_with('-'))
                    .map_or(json!(true), |next| next.text.clone().into()),
            };
            if matches!(name.as_str(), "ini" | "include" | "inherit") {
                let target = value.as_str().unwrap_or_default().to_owned();
                let base = self.folder.join("x");
                self.include(&target, &base)?;
            } else {
                self.said.push(Said::new(&name, value, text).with(word.dollars));
            }
        }
        Ok(())
    }

    /// An argument that is no flag: a file of options, or an address.
    fn argument(&mut self, text: &str) -> Result<(), String> {
        let path = text.split(':').next().unwrap_or(text);
        match Path::new(path).extension().and_then(|suffix| suffix.to_str()) {
            Some("ini") => {
                let base = self.folder.join("x");
                self.include(text, &base)
            }
            Some("py" | "wsgi") => {
                self.said.push(Said::new("wsgi-file", text, text));
                Ok(())
            }
            Some(_) | None if text.contains(':') => {
                self.said.push(Said::new("socket", text, text));
                Ok(())
            }
            Some(_) | None => Err(format!("`{text}` is no file of options that is read here: an ini file is")),
        }
    }
}

/// A value with uWSGI's placeholders in it replaced: `%(name)`, `%d` and `%n` of the file, `$(NAME)` of the environment.
fn expanded(value: &str, file: &Path, own: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = value;
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    while let Some(at) = rest.find(['%', '$']) {
        text.push_str(&rest[..at]);
        let mark = &rest[at..];
        let inside = |open: &str| mark.strip_prefix(open).and_then(|inside| inside.split_once(')'));
        if let Some((name, after)) = inside("%(") {
            text.push_str(own.get(name).map_or("", String::as_str));
            rest = after;
        } else if let Some((name, after)) = inside("$(") {
            text.push_str(&format!("${{{name}}}"));
            rest = after;
        } else if let Some(after) = mark.strip_prefix("%d") {
            let folder = absolute.parent().unwrap_or(Path::new("/")).display();
            text.push_str(&format!("{folder}/"));
            rest = after.trim_start_matches('/');
        } else if let Some(after) = mark.strip_prefix("%n") {
            text.push_str(&absolute.file_stem().unwrap_or_default().to_string_lossy());
            rest = after;
        } else {
            text.push_str(if mark.starts_with('$') { "$$" } else { "%" });
            rest = &mark[1..];
        }
    }
    text.push_str(rest);
    text
}

/// Every option that was given; one that stands there several times has a list.
#[derive(Debug)]
struct Options {
    names: Vec<String>,
    said: BTreeMap<String, Vec<Said>>,
}

impl Options {
    fn of(all: Vec<Said>) -> Options {
        let mut options = Options { names: Vec::new(), said: BTreeMap::new() };
        for said in all {
            // Short names and synonyms are one option.
            let name = row(&said.name).map_or(said.name.clone(), |row| row.names[0].to_owned());
            if !options.names.contains(&name) {
                options.names.push(name.clone());
            }
            options.said.entry(name).or_default().push(said);
        }
        options
    }

    /// Each in the order of the table, then those that are not in it, as they came.
    fn ordered(&self) -> Vec<Said> {
        let mut names: Vec<&String> = self.names.iter().collect();
        names.sort_by_key(|name| table::rank(name));
        names.into_iter().filter_map(|name| self.get(name)).collect()
    }

    /// One of them, with all that was said.
    fn get(&self, name: &str) -> Option<Said> {
        let said = self.said.get(name)?;
        let last = said.last()?.clone();
        let takes_many = row(name).is_some_and(|row| row.many);
        if !takes_many {
            return Some(last);
        }
        let value: Vec<Value> = said.iter().map(|said| said.value.clone()).collect();
        let places: Vec<&str> = said.iter().map(|said| said.place.as_str()).collect();
        Some(Said { value: value.into(), place: places.join(", "), ..last })
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|said| said.text()).filter(|text| !text.is_empty())
    }

    fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|said| said.is_on())
    }
}
