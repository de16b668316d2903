//! The text of a YAML file as a tree in which every value knows its place.
//!
//! ```text
//!   text --shape--> which values there are, and of which kind  --fill--> the same tree with texts and places
//! ```
//!
//! serde_yaml tells a place only in its errors, and a value's text only to who already knows that it is no map. So the
//! text is read twice, and in the second reading each scalar is taken by an error raised at it: the error says the place,
//! and the parser stands behind the scalar as if nothing had happened. Both readings take linear time.
//!
//! Known fault: lists and maps tell no place that way. One under a key has the key's place, one in a list that of the
//! first scalar in it; a value behind an alias has the place of what the alias stands for.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Deserializer as Yaml, Error};

use super::Place;
use super::fault::{Fault, shown};
use super::syntax;
use super::tree::{Key, Kind, Node, Value};

/// Values a file may have, those behind aliases counted each time. A large honest config has some thousands; a file of
/// nested aliases has billions, and would take the machine's memory before it ended.
const NODES_MAX: usize = 100_000;

/// The tree of a text; `None` when it has nothing but comments.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Fault> {
    // Each open bracket makes the parser slower, so a file of nothing else would keep it busy for half a minute.
    if text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() > NODES_MAX {
        return Err(Fault::whole(None, too_many()));
    }
    let reading = Reading {
        lines: text.lines().map(|line| Some(line).filter(|line| line.is_ascii())).collect(),
        left: Cell::new(NODES_MAX),
        fault: RefCell::default(),
    };
    let told = |error: Error| match reading.fault.take() {
        Some(fault) => fault.or_at(syntax::location(&error)),
        None => syntax::fault(&error, text),
    };
    let shape = Outline(&reading).deserialize(Yaml::from_str(text)).map_err(told)?;
    let Some(shape) = shape else { return Ok(None) };
    let top = Place { line: 1, column: 1 };
    let fill = Fill { reading: &reading, shape: &shape, place: top };
    fill.deserialize(Yaml::from_str(text)).map(Some).map_err(told)
}

/// What both readings share: the budget, and a fault on its way out, for serde's errors carry only text.
struct Reading<'a> {
    /// Where a column is a byte; `None` for other lines.
    lines: Vec<Option<&'a str>>,
    left: Cell<usize>,
    fault: RefCell<Option<Fault>>,
}

impl Reading<'_> {
    fn fail<E: de::Error>(&self, place: Option<Place>, text: String) -> E {
        self.fault.replace(Some(Fault::whole(place, text)));
        E::custom("")
    }

    fn count<E: de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| self.fail(None, too_many()))?);
        Ok(())
    }

    /// Whether the scalar there is digits without quotes. On a line that is not ASCII it passes for text.
    fn starts_with_a_digit(&self, place: Place) -> bool {
        let line = self.lines.get(place.line - 1).copied().flatten();
        line.and_then(|line| line.as_bytes().get(place.column - 1)).is_some_and(u8::is_ascii_digit)
    }
}

/// The tree without its texts.
enum Shape {
    Scalar(Kind),
    List(Vec<Shape>),
    Map(Vec<Shape>),
}

/// The first reading; `None` for an empty document.
#[derive(Clone, Copy)]
struct Outline<'a>(&'a Reading<'a>);

impl<'de> DeserializeSeed<'de> for Outline<'_> {
    type Value = Option<Shape>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Outline<'_> {
    type Value = Option<Shape>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Null)))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Boolean)))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Number)))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Number)))
    }

    fn visit_i128<E: de::Error>(self, _: i128) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Number)))
    }

    fn visit_u128<E: de::Error>(self, _: u128) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Number)))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Number)))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Some(Shape::Scalar(Kind::Text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.extend(item);
        }
        Ok(Some(Shape::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key_seed(self)? {
            if !matches!(key, Some(Shape::Scalar(_))) {
                return Err(self.0.fail(None, "a key must be text, not a list or a map".into()));
            }
            map.extend(entries.next_value_seed(self)?);
        }
        Ok(Some(Shape::Map(map)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        Err(self.0.fail(None, "tags such as `!name` mean nothing here: remove it".into()))
    }
}

/// The second reading of the value that has this shape.
#[derive(Clone, Copy)]
struct Fill<'a> {
    reading: &'a Reading<'a>,
    shape: &'a Shape,
    /// The place of the key or list that it stands in.
    place: Place,
}

impl<'de> DeserializeSeed<'de> for Fill<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        match self.shape {
            Shape::List(_) => deserializer.deserialize_seq(self),
            Shape::Map(_) => deserializer.deserialize_map(self),
            Shape::Scalar(kind) => {
                let (place, text) = self.reading.scalar(deserializer)?;
                let digits = *kind == Kind::Text && text.bytes().all(|b| b.is_ascii_digit());
                let ambiguous = digits && self.reading.starts_with_a_digit(place);
                let kind = if ambiguous { Kind::Ambiguous } else { *kind };
                Ok(Node { place, value: Value::Scalar(kind, text) })
            }
        }
    }
}

impl<'de> Visitor<'de> for Fill<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was there before")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let Shape::List(shapes) = self.shape else { unreachable!("a list was read before") };
        let mut list = Vec::with_capacity(shapes.len());
        for shape in shapes {
            list.extend(items.next_element_seed(Fill { shape, ..self })?.map(at_its_first));
        }
        Ok(Node { place: self.place, value: Value::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let Shape::Map(shapes) = self.shape else { unreachable!("a map was read before") };
        let mut map = Vec::with_capacity(shapes.len());
        let mut seen = HashMap::with_capacity(shapes.len());
        for shape in shapes {
            let Some(key) = entries.next_key_seed(KeySeed(self.reading))? else {
                break;
            };
            if let Some(first) = seen.insert(key.text.clone(), key.place) {
                let text = format!("duplicate key {}: it is already on line {}", shown(&key.text), first.line);
                return Err(self.reading.fail(Some(key.place), text));
            }
            let value = entries.next_value_seed(Fill { shape, place: key.place, ..self })?;
            map.push((key, value));
        }
        Ok(Node { place: self.place, value: Value::Map(map) })
    }
}

/// An item of a list, at the place of the first thing in it.
fn at_its_first(item: Node) -> Node {
    let place = match &item.value {
        Value::Scalar(..) => None,
        Value::List(items) => items.first().map(|first| first.place),
        Value::Map(entries) => entries.first().map(|(key, _)| key.place),
    };
    Node { place: place.unwrap_or(item.place), ..item }
}

struct KeySeed<'a>(&'a Reading<'a>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        let (place, text) = self.0.scalar(deserializer)?;
        Ok(Key { place, text })
    }
}

impl Reading<'_> {
    /// The text of a scalar and its place, by an error raised at it.
    fn scalar<'de, D: Deserializer<'de>>(&self, deserializer: D) -> Result<(Place, String), D::Error> {
        let mut text = None;
        let error = match deserializer.deserialize_str(Raise(&mut text)) {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let Some(text) = text else { return Err(error) };
        let place = place_told_by(&error.to_string());
        if text.contains('\0') {
            return Err(self.fail(Some(place), "a NUL character, which no value can have".into()));
        }
        Ok((place, text))
    }
}

/// Keeps the text and fails.
struct Raise<'a>(&'a mut Option<String>);

impl Visitor<'_> for Raise<'_> {
    type Value = Infallible;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Infallible, E> {
        *self.0 = Some(text.to_owned());
        Err(E::custom(""))
    }
}

/// The place at the end of serde_yaml's error text, for a seed sees the error only as text. The first character of a
/// file is the one place that it does not tell.
fn place_told_by(error: &str) -> Place {
    let numbers = error.rsplit_once(" at line ").and_then(|(_, place)| place.split_once(" column "));
    let place = numbers.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    let (line, column) = place.unwrap_or((1, 1));
    Place { line, column }
}

fn too_many() -> String {
    format!("more than {NODES_MAX} values: make it smaller")
}
