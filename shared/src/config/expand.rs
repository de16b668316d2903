//! `${NAME}`, `${NAME:-default}` and `$$` in the text of one value.
//!
//! Rule: it works on a scalar that YAML has already parsed, so no variable's content can add a key, a list item or a
//! comment. The result is not expanded again, and a default is taken as it is written: nothing nests, and what looks as
//! if it did is refused. So is a `$` before anything else than `{` or `$`: it is most likely `$NAME`, which would reach
//! the program unexpanded.

use std::ffi::OsString;

use super::fault::shown;

/// Looks a variable up; the process's environment, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The text with every `${…}` replaced, or what is wrong with it in words that stand after the value's place.
///
/// `${NAME:-default}` takes the default when the variable is unset or empty, as the shell does (POSIX, XCU 2.6.2);
/// `${NAME}` takes an empty variable as it is.
pub fn expand(text: &str, environment: Environment) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (reference, after) = after.split_once('}').ok_or_else(|| {
                let reference = shown(&format!("${{{after}"));
                format!("{reference} is not closed: write `${{NAME}}`, or `$$` for a `$`")
            })?;
            expanded.push_str(&value(reference, environment)?);
            after
        } else {
            return Err("a single `$`: write `${NAME}` for a variable, or `$$` for a `$`".into());
        };
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The variables that a text which can be expanded names, each with its default.
pub fn names(text: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = match after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some((reference, after)) => {
                found.push(match reference.split_once(":-") {
                    Some((name, default)) => (name, Some(default)),
                    None => (reference, None),
                });
                after
            }
            None => after.strip_prefix('$').unwrap_or(after),
        };
    }
    found
}

/// What stands for `reference`, the text between the braces.
fn value(reference: &str, environment: Environment) -> Result<String, String> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let written = || shown(&format!("${{{reference}}}"));
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!("{} has a variable within its default, which is not expanded", written()));
    }
    if !is_name(name) {
        return Err(format!("{} names no variable: write `${{NAME}}` or `${{NAME:-default}}`", written()));
    }
    let set = environment(name).filter(|value| default.is_none() || !value.is_empty());
    match (set, default) {
        (Some(value), _) => value.into_string().map_err(|_| format!("the environment variable `{name}` is not UTF-8")),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment variable `{name}` is not set: set it, or write `${{{name}:-default}}`"))
        }
    }
}

fn is_name(name: &str) -> bool {
    let first_is_a_digit = name.starts_with(|c: char| c.is_ascii_digit());
    !name.is_empty() && !first_is_a_digit && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
