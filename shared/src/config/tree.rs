//! A config file as a tree in which every value knows its place.

use super::Place;
use super::expand::{Environment, expand};
use super::fault::{Fault, shown};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Its first character, or its key's (see above).
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A scalar: its kind, and its text as written or, when it had a `${…}`, as expanded.
    Scalar(Kind, String),
    /// A list.
    List(Vec<Node>),
    /// A map; no key is twice in it.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    /// Its first character.
    pub place: Place,
    /// Its text.
    pub text: String,
}

/// What YAML takes a scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing at all, `~` or `null`.
    Null,
    /// `true` or `false`.
    Boolean,
    /// Any number.
    Number,
    /// Text, quoted or not.
    Text,
    /// Digits that YAML 1.1 reads as octal, 1.2 as decimal and serde_yaml as text: `0660` without quotes.
    Ambiguous,
    /// The result of an expansion, which may stand for any of the others.
    Expanded,
}

impl Node {
    /// What it is, in YAML's words.
    pub fn found(&self) -> String {
        match &self.value {
            Value::Scalar(Kind::Null, _) => "nothing".into(),
            Value::Scalar(Kind::Boolean, text) => format!("the boolean {}", shown(text)),
            Value::Scalar(Kind::Number, text) => format!("the number {}", shown(text)),
            Value::Scalar(Kind::Ambiguous, text) => {
                format!("{}, which some programs read as octal", shown(text))
            }
            Value::Scalar(Kind::Text | Kind::Expanded, text) => format!("the text {}", shown(text)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }

    /// The same with every `${…}` in it expanded.
    pub fn expanded(self, environment: Environment) -> Result<Node, Fault> {
        let place = self.place;
        let value = match self.value {
            Value::Scalar(Kind::Text, text) if text.contains('$') => {
                Value::Scalar(Kind::Expanded, expand(&text, environment).map_err(|why| Fault::whole(place, why))?)
            }
            Value::Scalar(kind, text) => Value::Scalar(kind, text),
            Value::List(items) => {
                Value::List(items.into_iter().map(|item| item.expanded(environment)).collect::<Result<_, _>>()?)
            }
            Value::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Ok((key, value.expanded(environment)?)))
                    .collect::<Result<_, Fault>>()?,
            ),
        };
        Ok(Node { place, value })
    }
}
