//! The file as a JSON Schema (draft 7, which editors know best), for whoever writes it in one of them.
//!
//! ```text
//!   section! --a property for each key--> this, around what each type says of itself (`Read::schema`) --> `supervisor schema`
//! ```
//!
//! Rule: what the reading takes, the schema takes, for an editor that marks what is right teaches nobody. The other way round it
//! may be generous: a range of durations, a file that is missing, two keys that contradict each other are told by
//! `supervisor check`. In the place of any value may stand a text with `${NAME}`.

use serde_json::{Map, Value, json};

use super::raw::File;
use super::section::{Key, Read};

/// The smallest and the largest value of a key, as one would write them.
pub(super) type Range<'a> = Option<(&'a str, &'a str)>;

/// What matches a text with a variable in it, whatever it stands for.
const VARIABLE: &str = r"\$\{";

/// The schema of the whole file.
pub fn schema() -> Value {
    let mut schema = File::schema(None);
    if let Value::Object(schema) = &mut schema {
        schema.insert("$schema".into(), "http://json-schema.org/draft-07/schema#".into());
        schema.insert("title".into(), "Monoceros".into());
    }
    schema
}

/// A map of the file with these keys and no others.
pub(super) fn section(about: &str, keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = keys.iter().filter(|key| key.default.is_none()).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// What may stand behind a key, with all that an editor can tell of it.
fn property(key: &Key) -> Value {
    let mut schema = (key.schema)(key.range);
    let range = key.range.map_or(String::new(), |(min, max)| format!(" From {min} to {max}."));
    let default = match (key.default, key.default_is_words) {
        (None, _) => " Required.".to_owned(),
        (Some(default), _) => format!(" Default: {default}."),
    };
    schema["description"] = format!("{}{range}{default}", key.about).into();
    if let (Some(default), false) = (key.default, key.default_is_words) {
        schema["default"] = scalar(default);
    }
    schema
}

/// A value as the file has it: a number and a boolean are not text.
fn scalar(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Bool(_) | Value::Number(_))) => value,
        Ok(_) | Err(_) => text.into(),
    }
}

/// Any text but an empty one.
pub(super) fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

/// Text that matches a regular expression (ECMA 262), or has a variable in it.
pub(super) fn matching(pattern: &str, examples: &[&str]) -> Value {
    json!({"type": "string", "pattern": format!("{pattern}|{VARIABLE}"), "examples": examples})
}

/// One of these words.
pub(super) fn words(words: &[&str]) -> Value {
    any_of([json!({"enum": words}), variable()])
}

/// True or false.
pub(super) fn boolean() -> Value {
    any_of([json!({"type": "boolean"}), variable()])
}

/// A whole number, within its range.
pub(super) fn number(range: Range) -> Value {
    let mut number = json!({"type": "integer"});
    if let Some((min, max)) = range {
        (number["minimum"], number["maximum"]) = (scalar(min), scalar(max));
    }
    any_of([number, variable()])
}

/// A text that a variable stands in.
pub(super) fn variable() -> Value {
    json!({"type": "string", "pattern": VARIABLE})
}

/// This, or a list of at least one of it.
pub(super) fn one_or_more(item: Value) -> Value {
    any_of([item.clone(), json!({"type": "array", "items": item, "minItems": 1})])
}

/// This, or a list of it, which may be empty.
pub(super) fn one_or_any(item: Value) -> Value {
    any_of([item.clone(), json!({"type": "array", "items": item})])
}

/// A map from names that match to this.
pub(super) fn map_of(names: &str, value: Value) -> Value {
    json!({"type": "object", "propertyNames": {"pattern": names}, "additionalProperties": value})
}

/// One of these.
pub(super) fn any_of<const N: usize>(alternatives: [Value; N]) -> Value {
    let flat = alternatives.into_iter().flat_map(|mut schema| match schema.get_mut("anyOf").map(Value::take) {
        Some(Value::Array(inner)) => inner,
        Some(_) | None => vec![schema],
    });
    let mut distinct: Vec<Value> = Vec::new();
    flat.for_each(|schema| {
        if !distinct.contains(&schema) {
            distinct.push(schema);
        }
    });
    json!({"anyOf": distinct})
}
