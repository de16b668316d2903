//! The JSON Schema, held to what the reading takes: every config that any test here has accepted is held to it too.
//!
//! The validator is of these tests alone and knows only the keywords that the schema has; the whole language, by a validator of
//! others, is asked in `tests/schema.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};

use regex::Regex;
use serde_json::Value;

use super::super::{Key, keys, schema};
use super::*;

/// What an editor would mark in a file: nothing, or the path of it and why.
pub(super) fn marked(text: &str) -> Option<String> {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let value: Value = serde_yaml::from_str(text.trim_start_matches('\u{feff}')).expect("YAML whose keys are text");
    validate(SCHEMA.get_or_init(schema), &value, "").err()
}

/// Draft 7, as far as the schema goes.
fn validate(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (keyword, rule) in schema.as_object().expect("a schema is a map") {
        let is_well = match keyword.as_str() {
            "$schema" | "title" | "description" | "default" | "examples" => true,
            "type" => is_of_type(rule, value),
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|value| value >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|value| value <= rule.as_f64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| text.chars().count() as u64 >= rule.as_u64().unwrap()),
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= rule.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().unwrap(), text)),
            "required" => value
                .as_object()
                .is_none_or(|map| rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))),
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| validate(schema, value, at).is_ok()),
            "items" | "properties" | "additionalProperties" | "propertyNames" => {
                within(keyword, schema, value, at)?;
                true
            }
            other => panic!("the validator of these tests does not know {other}"),
        };
        if !is_well {
            return Err(format!("{at}: {value} does not fit {keyword}: {rule}"));
        }
    }
    Ok(())
}

/// Whether a text matches a pattern. To compile one takes longer than all the rest, and each is asked thousands of times.
fn matches(pattern: &str, text: &str) -> bool {
    static PATTERNS: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());
    let mut patterns = PATTERNS.lock().unwrap();
    patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).unwrap()).is_match(text)
}

fn is_of_type(rule: &Value, value: &Value) -> bool {
    let types = rule.as_array().map_or_else(|| vec![rule], |types| types.iter().collect());
    types.into_iter().any(|name| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the validator of these tests does not know {other}"),
    })
}

/// The rules for what is within a map or a list.
fn within(keyword: &str, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let rule = &schema[keyword];
    match (keyword, value) {
        ("items", Value::Array(items)) => items.iter().try_for_each(|item| validate(rule, item, &format!("{at}[]"))),
        ("propertyNames", Value::Object(map)) => {
            map.keys().try_for_each(|name| validate(rule, &name.as_str().into(), &format!("{at}, the name {name}")))
        }
        ("properties", Value::Object(map)) => map.iter().try_for_each(|(name, value)| match rule.get(name) {
            Some(rule) => validate(rule, value, &format!("{at}.{name}")),
            None => Ok(()),
        }),
        ("additionalProperties", Value::Object(map)) => map
            .iter()
            .filter(|(name, _)| schema["properties"].get(name).is_none())
            .try_for_each(|(name, value)| match rule {
                Value::Bool(false) => Err(format!("{at}: unknown key {name}")),
                rule => validate(rule, value, &format!("{at}.{name}")),
            }),
        _ => Ok(()),
    }
}

#[test]
fn an_editor_marks_what_would_be_refused() {
    for lines in [
        "worker: 2",
        "workers: 0",
        "workers: 513",
        "workers: many",
        "workers: 1.5",
        "workers: \"2\"",
        "workers:",
        "threads: 0",
        "threads: {maximum: 3}",
        "threads: {min: 3}",
        "engine: thread",
        "body: lazy",
        "limits: 3",
        "limits: {body_bytes_max: 0}",
        "limits: {body_bytes_max: 8K}",
        "limits: {body_bytes_max: 8kb}",
        "timeouts: {boot: 3}",
        "timeouts: {boot: 3x}",
        "timeouts: {boot: 1.5s}",
        "timeouts: {boots: 3s}",
        "umask: 27",
        "umask: \"0787\"",
        "no_new_privileges: maybe",
        "hooks: shop/hooks.py",
        "mount: shop",
        "trusted_proxies: proxy.example",
        "trusted_proxies: 10",
        "forwarded: {for: Forwarded}",
        "forwarded: {client: X Y}",
        "scheme_headers: [X-Ssl]",
        "reload: {ready: healthz}",
        "reload: {ready: {path: /, status: 100}}",
        "reload: {on_change: []}",
        "reload: {on_change: /srv/*.py}",
        "static: {static: ./static}",
        "static: {/static: {cache_control: x}}",
        "environment: {A: [1]}",
        "environment: {A: }",
        "request_id: X Y",
        "recycle: {requests: 0}",
        "backlog: 70000",
        "python_path: []",
        "wsgi: hello:application",
    ] {
        let text = match lines.strip_prefix("wsgi") {
            // A key that is required, missing.
            Some(_) => format!("apps: {{a: {{{lines}}}}}"),
            None => app_with(lines),
        };
        let refused = Folder::new().check(&text).expect_err(lines);
        assert!(marked(&text).is_some(), "{lines}: {refused}");
    }
}

#[test]
fn an_editor_marks_what_would_be_refused_of_a_whole_file() {
    for text in [
        "apps: {}",
        "app: {}",
        "log: {}",
        "apps: {a b: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "apps: {a: {wsgi: a, listen: \"localhost:1\"}}",
        "apps: {a: {wsgi: \"a:b\", listen: localhost}}",
        "apps: {a: {wsgi: \"a:b\", listen: []}}",
        "apps: {a: {wsgi: \"a:b\", listen: {address: \"localhost:1\", protocol: ftp}}}",
        "apps: {a: {wsgi: \"a:b\", listen: {address: \"localhost:1\", tls: {key: k}}}}",
        "apps: {a: {wsgi: \"a:b\", listen: {address: \"localhost:1\", tls: {certificate: c, min_version: 1.1}}}}",
        "log: {access: maybe}\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "log: {access: {format: short}}\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "commands: {ready: touch}\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "commands: {ready: []}\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "commands: {readiness: [a]}\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
        "watch: 1\napps: {a: {wsgi: \"a:b\", listen: \"localhost:1\"}}",
    ] {
        Folder::new().check(text).expect_err(text);
        assert!(marked(text).is_some(), "{text}");
    }
}

/// The schema of a key.
fn of_key<'a>(schema: &'a Value, key: &Key) -> &'a Value {
    let mut found = schema;
    for name in key.section.split('.').filter(|name| !name.is_empty()).chain([key.name]) {
        let is_name = matches!(name, "NAME" | "PATH");
        let maps = |schema: &'a Value| {
            let alternatives = schema.get("anyOf").and_then(Value::as_array);
            std::iter::once(schema).chain(alternatives.into_iter().flatten())
        };
        let inner =
            |map: &'a Value| if is_name { map.get("additionalProperties") } else { map.get("properties")?.get(name) };
        found = maps(found).find_map(inner).unwrap_or_else(|| panic!("no {name} for {key:?}"));
    }
    found
}

#[test]
fn every_key_is_explained_and_its_default_fits() {
    let schema = schema();
    for key in keys() {
        let of_key = of_key(&schema, &key);
        let description = of_key["description"].as_str().unwrap();
        assert!(description.starts_with(key.about), "{key:?}: {description}");
        assert!(
            key.range.is_none_or(|(min, max)| description.contains(&format!("From {min} to {max}."))),
            "{description}"
        );
        match of_key.get("default") {
            Some(default) => validate(of_key, default, key.name).unwrap(),
            None => assert!(key.default.is_none() || key.default_is_words, "{key:?}"),
        }
    }
}

#[test]
fn the_schema_has_no_key_that_the_file_has_not() {
    // What may stand alone or in a list stands in the schema twice.
    fn gather(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => map.values().for_each(|value| gather(value, found)),
            Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
            _ => {}
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            found.extend(properties.iter().map(|(name, value)| format!("{name}: {}", value["description"])));
        }
    }
    let mut found = BTreeSet::new();
    gather(&schema(), &mut found);
    assert_eq!(found.len(), keys().len(), "{found:?}");
}
