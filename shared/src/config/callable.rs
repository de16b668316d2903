//! What to import and call: `module:attribute` or `module:factory()`; or what PasteDeploy makes of an ini file.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use serde::{Deserialize, Serialize};

use super::Place;
use super::fault::{Fault, shown};
use super::raw;
use super::section::{At, Read};
use super::tree::Node;

/// Where an application comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A module has it, or makes it.
    Callable(Callable),
    /// PasteDeploy makes it.
    Paste(Paste),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Callable(callable) => write!(f, "{callable}"),
            Source::Paste(paste) => write!(f, "{}#{}", paste.file.display(), paste.name),
        }
    }
}

/// An application that PasteDeploy makes from a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paste {
    /// The ini file. Absolute.
    pub file: PathBuf,
    /// The application's name in it: `main` for `[app:main]`, and likewise for pipelines and composites.
    pub name: String,
}

/// `module:attribute`, or `module:factory()`, which is called once without arguments and gives the application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callable {
    /// The dotted module.
    pub module: String,
    /// The dotted attribute within it.
    pub attribute: String,
    /// Whether it was written with `()`.
    pub factory: bool,
}

impl fmt::Display for Callable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = if self.factory { "()" } else { "" };
        write!(f, "{}:{}{call}", self.module, self.attribute)
    }
}

/// The name of an application in an ini file, where none is given.
const MAIN: &str = "main";

/// `production.ini#main`.
#[derive(Clone, Debug)]
pub(super) struct PasteText {
    file: String,
    name: String,
}

impl Read for PasteText {
    const FORM: &'static str = "PATH | PATH#NAME";

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("text such as `production.ini#main`")?;
        let (file, name) = text.split_once('#').unwrap_or((text, MAIN));
        let file = file.strip_prefix("config:").unwrap_or(file);
        if file.is_empty() || name.is_empty() {
            let text = format!("{} names no file and no application in it: write `production.ini#main`", shown(text));
            return Err(Fault::at(node.place, text));
        }
        Ok(PasteText { file: file.to_owned(), name: name.to_owned() })
    }
}

/// What an application's keys say it is; `place` is the application's. With it comes what is odd about that.
pub(super) fn source(raw: &raw::App, directory: &Path, place: Place) -> Result<(At<Source>, Option<Fault>), Fault> {
    match (&raw.wsgi, &raw.paste) {
        (Some(wsgi), None) => Ok((wsgi.like(Source::Callable(wsgi.value.clone())), None)),
        (None, Some(paste)) => {
            let (made, odd) = self::paste(paste, directory)?;
            Ok((paste.like(Source::Paste(made)), odd))
        }
        (Some(wsgi), Some(paste)) => {
            let text =
                format!("what is served stands on line {} already, as `wsgi`: keep one of the two", wsgi.place.line);
            Err(Fault::at(paste.place, text).of_key("paste"))
        }
        (None, None) => {
            let (wsgi, paste) = (<Callable as Read>::FORM, PasteText::FORM);
            Err(Fault::whole(place, format!("missing key `wsgi`: add it, with {wsgi}; or `paste`, with {paste}")))
        }
    }
}

fn paste(written: &At<PasteText>, directory: &Path) -> Result<(Paste, Option<Fault>), Fault> {
    let file = directory.join(&written.value.file);
    let fault = |text: String| Fault::at(written.place, text).of_key("paste");
    let cannot = |why: &str| fault(format!("cannot read {}: {why}", shown(&file.to_string_lossy())));
    let text = match fs::read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) if file.is_dir() => return Err(cannot("it is a folder")),
        Err(error) => return Err(cannot(&super::check::cause(&error))),
    };
    // What `pserve` would read. Nobody who comes from there should believe that it holds here.
    let server = text.lines().map(str::trim).find(|line| line.starts_with("[server:"));
    let odd =
        server.map(|section| fault(format!("{} in it is ignored: this file says how it is served", shown(section))));
    Ok((Paste { file, name: written.value.name.clone() }, odd))
}

impl Read for Callable {
    const FORM: &'static str = "module:attribute | module:factory()";

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("text such as `hello:application`")?;
        callable(text).map_err(|why| Fault::at(node.place, why))
    }
}

fn callable(text: &str) -> Result<Callable, String> {
    let written = shown(text);
    let Some((module, target)) = text.split_once(':') else {
        let example = example_for(text);
        return Err(format!(
            "expected `module:attribute`, found {written} without a colon: write for example `{example}`"
        ));
    };
    let (attribute, factory) = match target.strip_suffix("()") {
        Some(name) => (name, true),
        None => (target, false),
    };
    if !is_dotted_name(module) {
        let example = example_for(module);
        return Err(format!("{written} begins with no dotted module name: write for example `{example}`"));
    }
    if !is_dotted_name(attribute) {
        return Err(format!(
            "{written} names no attribute: write `{module}:application`, or `{module}:factory()` for what makes one"
        ));
    }
    Ok(Callable { module: module.to_owned(), attribute: attribute.to_owned(), factory })
}

/// What was most likely meant by a module that is none: `./shop/wsgi.py` is `wsgi` once its folder is `directory`.
fn example_for(module: &str) -> String {
    let name = module.rsplit('/').next().unwrap_or(module);
    let name = name.strip_suffix(".py").unwrap_or(name);
    let name = if is_dotted_name(name) { name } else { "hello" };
    format!("{name}:application")
}

/// Python's identifiers joined by dots (The Python Language Reference, 2.3), to a good approximation.
fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|name| {
        let mut letters = name.chars();
        letters.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && letters.all(|c| c.is_alphanumeric() || c == '_')
    })
}
