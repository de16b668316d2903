//! What to import and call: `module:attribute`, or `module:factory()`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, shown};
use super::schema::{self, Range};
use super::section::Read;
use super::tree::Node;

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

impl Read for Callable {
    const FORM: &'static str = "module:attribute | module:factory()";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^[^:/]+:[^:]+$", &["shop.wsgi:application", "shop:create_app()"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("text such as `hello:application`")?;
        callable(text).map_err(|why| Fault::at(node.place, why))
    }
}

/// The name of a module, to be imported.
#[derive(Clone, Debug)]
pub(super) struct ModuleName(pub String);

impl Read for ModuleName {
    const FORM: &'static str = "a module";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^[^:/ ]+$", &["shop.hooks"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("a module such as `shop.hooks`")?;
        if is_dotted_name(text) {
            return Ok(ModuleName(text.to_owned()));
        }
        let text = format!("{} is no dotted module name: write for example `shop.hooks`", shown(text));
        Err(Fault::at(node.place, text))
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
