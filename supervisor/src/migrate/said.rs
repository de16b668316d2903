//! A setting of another server, as somebody gave it: its value, and where it stands.

use serde_json::Value;

/// What another server was told.
#[derive(Clone, Debug)]
pub struct Said {
    /// The setting's name, in that server's words.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Where it stands: `gunicorn.conf.py:3`, `--bind`.
    pub place: String,
    /// The expression that gave it, if it is no literal.
    pub computed: Option<String>,
    /// What a `$` in it means.
    pub dollars: Dollars,
}

/// What a `$` in a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dollars {
    /// Itself.
    Plain,
    /// `${NAME}` is a variable, as in our files, and `$$` is a `$`: the text came through a shell.
    Variables,
}

/// A whole number, or one that a variable will tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whole {
    /// This one.
    Now(u64),
    /// What this text comes to.
    Later(String),
}

impl Said {
    /// A setting of a command line or a plain file.
    pub fn new(name: &str, value: impl Into<Value>, place: impl Into<String>) -> Said {
        let (value, place) = (value.into(), place.into());
        Said { name: name.to_owned(), value, place, computed: None, dollars: Dollars::Plain }
    }

    /// The same where `${NAME}` is a variable.
    pub fn with(mut self, dollars: Dollars) -> Said {
        self.dollars = dollars;
        self
    }

    /// Its value for people, on one line and not long.
    pub fn shown(&self) -> String {
        // What is longer would hide what follows it.
        const LONGEST: usize = 60;
        let text = match &self.value {
            Value::Object(kind) => ["repr", "class", "function"]
                .iter()
                .find_map(|name| Some(kind.get(&format!("__{name}__"))?.as_str()?.to_owned()))
                .unwrap_or_else(|| self.value.to_string()),
            Value::Bool(true) => "True".into(),
            Value::Bool(false) => "False".into(),
            Value::Null => "None".into(),
            Value::Number(_) | Value::String(_) | Value::Array(_) => self.value.to_string(),
        };
        let mut letters = text.chars();
        let short: String = letters.by_ref().take(LONGEST).collect();
        if letters.next().is_some() { format!("{short}…") } else { short }
    }

    /// `NAME = VALUE (PLACE)`, with the expression that gave it.
    pub fn told(&self) -> String {
        let computed = self.computed.as_deref().map_or(String::new(), |source| format!(", computed by `{source}`"));
        format!("{} = {} ({}{computed})", self.name, self.shown(), self.place)
    }

    /// Its text; of a number its digits.
    pub fn text(&self) -> Option<String> {
        match &self.value {
            Value::String(text) => Some(text.trim().to_owned()),
            Value::Number(number) => Some(number.to_string()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether nothing, or an empty text, was said.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::String(text) => text.trim().is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// Whether it is on. Text counts as Python's configparser and uWSGI take it.
    pub fn is_on(&self) -> bool {
        match &self.value {
            Value::Bool(is_on) => *is_on,
            Value::String(text) => matches!(text.trim().to_lowercase().as_str(), "true" | "1" | "yes" | "on"),
            Value::Number(number) => number.as_i64() != Some(0),
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        }
    }

    /// Its whole number, written as Python's `int(text, 0)` takes it.
    ///
    /// # Errors
    /// When it is none.
    pub fn whole(&self) -> Result<Whole, String> {
        let wrong = || format!("{} is no whole number", self.shown());
        match &self.value {
            Value::Number(number) => number.as_u64().map(Whole::Now).ok_or_else(wrong),
            Value::Bool(is_on) => Ok(Whole::Now((*is_on).into())),
            Value::String(text) if self.dollars == Dollars::Variables && text.contains("${") => {
                Ok(Whole::Later(text.trim().to_owned()))
            }
            Value::String(text) => python_int(text.trim()).map(Whole::Now).ok_or_else(wrong),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(wrong()),
        }
    }

    /// Its texts: of a list each, of a text that one.
    pub fn list(&self) -> Vec<String> {
        match &self.value {
            Value::Array(items) => items.iter().filter_map(Value::as_str).map(|item| item.trim().to_owned()).collect(),
            Value::String(text) if !text.trim().is_empty() => vec![text.trim().to_owned()],
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => Vec::new(),
        }
    }

    /// Its texts, each of them with commas between.
    pub fn comma_list(&self) -> Vec<String> {
        let split = |text: String| text.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>();
        self.list().into_iter().flat_map(split).filter(|part| !part.is_empty()).collect()
    }
}

fn python_int(text: &str) -> Option<u64> {
    let digits = text.replace('_', "");
    let based = [("0o", 8), ("0x", 16), ("0b", 2)];
    let lower = digits.to_lowercase();
    match based.iter().find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, *base))) {
        Some((digits, base)) => u64::from_str_radix(digits, base).ok(),
        None if digits.len() > 1 && digits.starts_with('0') && digits.bytes().any(|digit| digit != b'0') => None,
        None => digits.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(value: Value) -> Said {
        Said::new("x", value, "f:1")
    }

    #[test]
    fn whole_numbers_are_as_pythons() {
        for (value, expected) in [
            (json!(4), Some(4)),
            (json!("4"), Some(4)),
            (json!(" 0o17 "), Some(15)),
            (json!("0x1f"), Some(31)),
            (json!("1_000"), Some(1000)),
            (json!(true), Some(1)),
            (json!("00"), Some(0)),
            (json!("007"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("many"), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(said(value.clone()).whole().ok(), expected.map(Whole::Now), "{value}");
        }
        let later = said(json!("${N:-2}"));
        assert!(later.whole().is_err());
        assert_eq!(later.with(Dollars::Variables).whole(), Ok(Whole::Later("${N:-2}".into())));
    }

    #[test]
    fn a_list_may_be_one_text_and_a_text_a_list_with_commas() {
        assert_eq!(said(json!("a, b")).list(), ["a, b"]);
        assert_eq!(said(json!(["a", " b "])).list(), ["a", "b"]);
        assert_eq!(said(json!("a, b,")).comma_list(), ["a", "b"]);
        assert!(said(json!("")).list().is_empty() && said(json!(null)).list().is_empty());
    }

    #[test]
    fn a_setting_is_told_with_its_place_and_not_at_length() {
        assert_eq!(said(json!(["a"])).told(), "x = [\"a\"] (f:1)");
        assert_eq!(said(json!({"__class__": "shop.Worker"})).told(), "x = shop.Worker (f:1)");
        let mut computed = said(json!(5));
        computed.computed = Some("cpu_count() * 2 + 1".into());
        assert_eq!(computed.told(), "x = 5 (f:1, computed by `cpu_count() * 2 + 1`)");
        assert!(said(json!("a".repeat(100))).shown().chars().count() < 70);
    }
}
