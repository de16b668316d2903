//! The types of single values in the file: how each is written and what is wrong when it is written otherwise.
//!
//! Rule: a type here knows only its own text. What depends on another key, on a folder or on the machine is for `check`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::TlsVersion;
use super::fault::{Fault, shown};
use super::quantity;
use super::schema::{self, Range};
use super::section::{At, Read, written};
use super::tree::{Kind, Node, Value};

impl Read for String {
    const FORM: &'static str = "text";

    fn schema(_: Range) -> serde_json::Value {
        schema::text()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match node.text(Self::FORM)? {
            "" => Err(Fault::at(node.place, "it is empty: give it a value, or remove the key")),
            text => Ok(text.to_owned()),
        }
    }
}

impl Read for bool {
    const FORM: &'static str = "true | false";

    fn schema(_: Range) -> serde_json::Value {
        schema::boolean()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let wrong = || node.expected("true or false");
        match &node.value {
            Value::Scalar(Kind::Boolean | Kind::Expanded, text) => text.to_lowercase().parse().map_err(|_| wrong()),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => Err(wrong()),
        }
    }
}

/// A whole number that counts something. What does not fit is the nearest that does, and so beyond any range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Count(i64);

impl Count {
    /// The number, once its range is checked; no range has negative ones.
    pub fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or_default()
    }
}

impl Read for Count {
    const FORM: &'static str = "a whole number";

    fn schema(range: Range) -> serde_json::Value {
        schema::number(range)
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let wrong = || node.expected("a whole number in decimal digits");
        let Value::Scalar(Kind::Number | Kind::Expanded, text) = &node.value else {
            return Err(wrong());
        };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong());
        }
        let beyond = if digits.len() < text.len() { i64::MIN } else { i64::MAX };
        Ok(Count(text.parse().unwrap_or(beyond)))
    }

    fn magnitude(&self) -> Option<i128> {
        Some(self.0.into())
    }
}

/// A number of processes, or as many as the machine has processors for us.
#[derive(Clone, Copy, Debug)]
pub(super) enum Workers {
    /// One for each processor that the affinity mask and the CPU quota leave us.
    Auto,
    /// So many.
    Exactly(Count),
}

impl Read for Workers {
    const FORM: &'static str = "a whole number | auto";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([schema::words(&["auto"]), schema::number(range)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        Ok(count_or(node, "auto")?.map_or(Workers::Auto, Workers::Exactly))
    }

    fn magnitude(&self) -> Option<i128> {
        match self {
            Workers::Auto => None,
            Workers::Exactly(count) => count.magnitude(),
        }
    }
}

/// How many at once.
#[derive(Clone, Copy, Debug)]
pub(super) enum Surge {
    /// As many as there are.
    All,
    /// So many.
    Exactly(Count),
}

impl Read for Surge {
    const FORM: &'static str = "a whole number | all";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([schema::words(&["all"]), schema::number(range)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        Ok(count_or(node, "all")?.map_or(Surge::All, Surge::Exactly))
    }

    fn magnitude(&self) -> Option<i128> {
        match self {
            Surge::All => None,
            Surge::Exactly(count) => count.magnitude(),
        }
    }
}

/// A number, or `None` for the one word that may stand in its place.
fn count_or(node: &Node, word: &str) -> Result<Option<Count>, Fault> {
    match &node.value {
        Value::Scalar(Kind::Text | Kind::Expanded, text) if text == word => Ok(None),
        Value::Scalar(Kind::Number, _) => Count::read(node).map(Some),
        Value::Scalar(..) | Value::List(_) | Value::Map(_) => {
            Count::read(node).map(Some).map_err(|_| node.expected(&format!("a whole number or `{word}`")))
        }
    }
}

impl Read for Duration {
    const FORM: &'static str = "a duration";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching(&quantity::pattern_of_durations(), &["30s", "1h30m"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = quantity_text(node, "a duration such as `30s`")?;
        quantity::duration(text).map_err(|why| Fault::at(node.place, why))
    }

    fn magnitude(&self) -> Option<i128> {
        i128::try_from(self.as_millis()).ok()
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub u64);

impl Read for Size {
    const FORM: &'static str = "a size";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching(&quantity::pattern_of_sizes(), &["64KiB", "100MiB"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = quantity_text(node, "a size such as `8KiB`")?;
        quantity::size(text).map(Size).map_err(|why| Fault::at(node.place, why))
    }

    fn magnitude(&self) -> Option<i128> {
        Some(self.0.into())
    }
}

/// The text of a quantity; a bare number passes too, for the unit that it lacks is the better error.
fn quantity_text<'a>(node: &'a Node, form: &str) -> Result<&'a str, Fault> {
    match &node.value {
        Value::Scalar(Kind::Number | Kind::Ambiguous, text) => Ok(text),
        Value::Scalar(..) | Value::List(_) | Value::Map(_) => node.text(form),
    }
}

/// The items of a list, or the one value that stands in its place. Never empty.
pub(super) fn one_or_more<T: Read>(node: &Node) -> Result<Vec<At<T>>, Fault> {
    let item = |node: &Node| Ok(At { place: node.place, given: true, value: T::read(node)? });
    match &node.value {
        Value::List(items) if items.is_empty() => Err(Fault::at(node.place, "the list is empty")),
        Value::List(items) => items.iter().map(item).collect(),
        Value::Scalar(..) | Value::Map(_) => Ok(vec![item(node)?]),
    }
}

/// A path as it was written, not yet absolute.
#[derive(Clone, Debug)]
pub(super) struct PathText(pub String);

impl Read for PathText {
    const FORM: &'static str = "a path";

    fn schema(_: Range) -> serde_json::Value {
        schema::text()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        String::read(node).map(PathText)
    }
}

/// The value of a header field (RFC 9110 5.5).
#[derive(Clone, Debug)]
pub(super) struct FieldText(pub String);

impl Read for FieldText {
    const FORM: &'static str = "text";

    fn schema(_: Range) -> serde_json::Value {
        schema::text()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = String::read(node)?;
        if text.trim() != text || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            let text = format!("{} cannot stand in a header field: use printable ASCII", shown(&text));
            return Err(Fault::at(node.place, text));
        }
        Ok(FieldText(text))
    }
}

/// Folders, one or a list.
#[derive(Clone, Debug)]
pub(super) struct Folders(pub Vec<At<PathText>>);

impl Read for Folders {
    const FORM: &'static str = "a path, or a list of them";

    fn schema(_: Range) -> serde_json::Value {
        schema::one_or_more(schema::text())
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        one_or_more(node).map(Folders)
    }
}

/// Environment variables.
#[derive(Clone, Debug)]
pub(super) struct Variables(pub BTreeMap<String, String>);

impl Read for Variables {
    const FORM: &'static str = "a map of names to values";

    fn schema(_: Range) -> serde_json::Value {
        schema::map_of("^[^=]+$", json!({"type": ["string", "number", "boolean"]}))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let mut variables = BTreeMap::new();
        for (name, value) in node.map()? {
            if name.text.is_empty() || name.text.contains('=') {
                let text = format!("{} cannot name a variable: a name has no `=` and is not empty", shown(&name.text));
                return Err(Fault::at(name.place, text));
            }
            let text = match &value.value {
                Value::Scalar(Kind::Null, _) => {
                    let text = "expected a value, found nothing: write `\"\"` for an empty one".to_owned();
                    return Err(Fault::at(value.place, text).of_key(&name.text));
                }
                Value::Scalar(_, text) => text.clone(),
                Value::List(_) | Value::Map(_) => {
                    return Err(value.expected("text, a number or a boolean").of_key(&name.text));
                }
            };
            variables.insert(name.text.clone(), text);
        }
        Ok(Variables(variables))
    }
}

/// The text of an address, as it was written.
#[derive(Clone, Debug)]
pub(super) struct AddressText(pub String);

impl Read for AddressText {
    const FORM: &'static str = "an address";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^unix:.+|:[0-9]+$", &["127.0.0.1:8000", "unix:/run/shop.sock"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("an address such as `127.0.0.1:8000` or `unix:/run/shop.sock`")?;
        Ok(AddressText(text.to_owned()))
    }
}

/// Permission bits of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode(pub u32);

impl Read for Mode {
    const FORM: &'static str = "octal digits in quotes";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^[0-7]{3,4}$", &["0660"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let quotes =
            || Fault::at(node.place, format!("{} is a number to YAML: write \"0660\", in quotes", written(node)));
        let text = match &node.value {
            Value::Scalar(Kind::Number | Kind::Ambiguous, _) => return Err(quotes()),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => node.text("octal digits such as \"0660\"")?,
        };
        let octal = (3..=4).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if octal => Ok(Mode(mode)),
            Ok(_) | Err(_) => Err(Fault::at(
                node.place,
                format!("expected three or four octal digits such as \"0660\", found {}", written(node)),
            )),
        }
    }

    fn magnitude(&self) -> Option<i128> {
        Some(self.0.into())
    }
}

/// A user or a group: its name or its number, as text.
#[derive(Clone, Debug)]
pub(super) struct Principal(pub String);

impl Read for Principal {
    const FORM: &'static str = "a name or a number";

    fn schema(_: Range) -> serde_json::Value {
        schema::any_of([schema::text(), json!({"type": "integer"})])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::Scalar(Kind::Number, text) => Ok(Principal(text.clone())),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => String::read(node).map(Principal),
        }
    }
}

/// Users or groups: one, a list, or an empty list.
#[derive(Clone, Debug)]
pub(super) struct Principals(pub Vec<At<Principal>>);

impl Read for Principals {
    const FORM: &'static str = "a name or a number, or a list of them";

    fn schema(range: Range) -> serde_json::Value {
        schema::one_or_any(Principal::schema(range))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::List(items) if items.is_empty() => Ok(Principals(Vec::new())),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => one_or_more(node).map(Principals),
        }
    }
}

impl Read for TlsVersion {
    const FORM: &'static str = "1.2 | 1.3";

    fn schema(_: Range) -> serde_json::Value {
        schema::any_of([json!({"enum": [1.2, 1.3, "1.2", "1.3"]}), schema::variable()])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::Scalar(Kind::Number | Kind::Text | Kind::Expanded, text) if text == "1.2" => Ok(TlsVersion::Tls12),
            Value::Scalar(Kind::Number | Kind::Text | Kind::Expanded, text) if text == "1.3" => Ok(TlsVersion::Tls13),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => Err(node.expected("1.2 or 1.3")),
        }
    }
}
