//! How a map of the file becomes a struct, and how its keys are known to everyone who asks.
//!
//! One table per map, written with [`section!`], says each key's name, type, default, range and meaning. The reading, the
//! suggestions for a typo, the defaults and the reference all come from that table, so they cannot disagree: a default
//! is text and is read as if it stood in the file, and so are the ends of a range.

use super::Place;
use super::fault::{Fault, shown};
use super::raw::keys;
use super::tree::{self, Kind, Node, Value};

/// One key of the file, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The map that it stands in, `apps.NAME.timeouts`; empty for the top level.
    pub section: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What is written behind it: `a duration`.
    pub form: &'static str,
    /// What holds when it is left out: a value as one would write it, or words. `None` when it cannot be left out.
    pub default: Option<&'static str>,
    /// Whether that default is words.
    pub default_is_words: bool,
    /// The smallest and the largest value, as one would write them.
    pub range: Option<(&'static str, &'static str)>,
    /// What it does, in a sentence or two.
    pub about: &'static str,
}

/// A value of the file as it was written, typed but not checked against anything else.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    /// Where; of a default, the place of the map that it is missing in.
    pub place: Place,
    /// Whether it stands in the file.
    pub given: bool,
    /// What.
    pub value: T,
}

impl<T> At<T> {
    /// Another value, at the place of this one.
    pub fn like<U>(&self, value: U) -> At<U> {
        At { place: self.place, given: self.given, value }
    }
}

/// A type that a value of the file can have.
pub(super) trait Read: Sized {
    /// What is to be written, with its article: `a duration`.
    const FORM: &'static str;

    /// The value of a node, or the fault at its place.
    fn read(node: &Node) -> Result<Self, Fault>;

    /// What a range compares; `None` for what has no size.
    fn magnitude(&self) -> Option<i128> {
        None
    }
}

/// A field of a section: one that always has a value, or an `Option` of one.
pub(super) trait Field: Sized {
    /// The form of what is written.
    const FORM: &'static str;
    /// Whether it may be missing, and its default is words.
    const OPTIONAL: bool;

    /// From the value that stands behind the key.
    fn given(key: &Key, node: &Node) -> Result<Self, Fault>;

    /// When the map at `place` does not have the key.
    fn missing(key: &Key, place: Place) -> Result<Self, Fault>;
}

impl<T: Read> Field for At<T> {
    const FORM: &'static str = T::FORM;
    const OPTIONAL: bool = false;

    fn given(key: &Key, node: &Node) -> Result<Self, Fault> {
        let value = T::read(node).and_then(|value| within(key, node, value)).map_err(|fault| fault.of_key(key.name))?;
        Ok(At { place: node.place, given: true, value })
    }

    fn missing(key: &Key, place: Place) -> Result<Self, Fault> {
        let Some(default) = key.default else {
            return Err(Fault::whole(place, format!("missing key `{}`: add it, with {}", key.name, key.form)));
        };
        let node = Node { place, value: Value::Scalar(Kind::Expanded, default.to_owned()) };
        Ok(At { given: false, ..Self::given(key, &node)? })
    }
}

impl<T: Read> Field for Option<At<T>> {
    const FORM: &'static str = T::FORM;
    const OPTIONAL: bool = true;

    fn given(key: &Key, node: &Node) -> Result<Self, Fault> {
        At::given(key, node).map(Some)
    }

    fn missing(_: &Key, _: Place) -> Result<Self, Fault> {
        Ok(None)
    }
}

/// The section, or what it is when nobody wrote it: the default of each of its keys.
pub(super) fn or_defaults<T: Read>(section: Option<At<T>>, place: Place) -> Result<T, Fault> {
    match section {
        Some(section) => Ok(section.value),
        None => T::read(&Node { place, value: Value::Map(Vec::new()) }),
    }
}

/// The value, if the key's range has it.
fn within<T: Read>(key: &Key, node: &Node, value: T) -> Result<T, Fault> {
    let (Some((min, max)), Some(magnitude)) = (key.range, value.magnitude()) else {
        return Ok(value);
    };
    let end = |text: &str| {
        let value = Value::Scalar(Kind::Expanded, text.to_owned());
        Ok(T::read(&Node { place: node.place, value })?.magnitude().unwrap_or_default())
    };
    if (end(min)?..=end(max)?).contains(&magnitude) {
        return Ok(value);
    }
    Err(Fault::at(node.place, format!("{} is out of range: {min} to {max}", written(node))))
}

/// A scalar as it was written, for errors about its value.
pub(super) fn written(node: &Node) -> String {
    match &node.value {
        Value::Scalar(_, text) => shown(text),
        Value::List(_) | Value::Map(_) => node.found(),
    }
}

impl Node {
    /// The fault of a value of the wrong kind.
    pub fn expected(&self, form: &str) -> Fault {
        let advice = match &self.value {
            Value::Scalar(Kind::Null, _) => ": give it a value, or remove the key",
            Value::Scalar(Kind::Boolean | Kind::Number, _) if form.contains("text") => ": write it in quotes",
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => "",
        };
        Fault::at(self.place, format!("expected {form}, found {}{advice}", self.found()))
    }

    /// The text of a scalar that YAML takes for text.
    pub fn text(&self, form: &str) -> Result<&str, Fault> {
        match &self.value {
            Value::Scalar(Kind::Text | Kind::Expanded, text) => Ok(text),
            Value::Scalar(..) | Value::List(_) | Value::Map(_) => Err(self.expected(form)),
        }
    }

    /// The entries of a map.
    pub fn map(&self) -> Result<&[(tree::Key, Node)], Fault> {
        match &self.value {
            Value::Map(entries) => Ok(entries),
            Value::Scalar(..) | Value::List(_) => Err(self.expected("a map")),
        }
    }
}

/// The fault of a key that its section does not have: not yet, not here, or not at all.
pub(super) fn unknown_key(key: &tree::Key, known: &[Key], later: &[&str]) -> Fault {
    let name = key.text.as_str();
    let names: Vec<_> = known.iter().map(|key| key.name).collect();
    let text = if later.contains(&name) {
        format!("`{name}`: this version does not have it yet: remove it")
    } else if name == "<<" {
        "`<<`: merge keys are not supported: use an alias for a whole value".into()
    } else if let Some(home) = keys().iter().find(|key| key.name == name) {
        let home = if home.section.is_empty() { "the top level" } else { home.section };
        format!("unknown key `{name}`: it belongs to {home}")
    } else {
        format!("unknown key {}: {}", shown(name), instead(name, &names))
    };
    Fault::whole(key.place, text)
}

/// What to write instead of a word that is none of `known`.
pub(super) fn instead(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("expected one of {}", list(known)),
    }
}

/// The known word that `word` is most likely a slip or the beginning of: at most a third of its letters wrong.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    // Beyond the longest key there is nothing near, and comparing takes time by the product of the lengths.
    const LONGEST: usize = 40;
    if word.len() > LONGEST {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    if let Some(whole) = known.iter().find(|known| word.len() >= 3 && known.starts_with(&word)) {
        return Some(whole);
    }
    let distance = |known: &&&str| strsim::damerau_levenshtein(&word, known);
    let near = known.iter().min_by_key(distance);
    near.filter(|known| distance(known) * 3 <= known.len().max(3)).copied()
}

/// `a, b, c`, each in backticks.
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Declares a map of the file: a struct with a field for each key, which can be read and lists its keys.
///
/// A field is an `At<T>`, required unless it has a default, or an `Option<At<T>>`, whose default is words. A key whose name Rust
/// keeps to itself is written `field as "name"`.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $section:ident at $path:literal, later $later:tt {
            $(
                $(#[doc = $key_about:literal])+
                $key:ident $(as $name:literal)?: $field:ty $(= $default:literal)? $(, $min:literal to $max:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(super) struct $section {
            $($(#[doc = $key_about])+ pub $key: $field,)+
        }

        impl $section {
            /// Every key that it has.
            pub const KEYS: &[Key] = &[$(Key {
                section: $path,
                name: section!(@name $key $($name)?),
                form: <$field as Field>::FORM,
                default: section!(@optional $($default)?),
                default_is_words: <$field as Field>::OPTIONAL,
                range: section!(@optional $(($min, $max))?),
                about: concat!($($key_about),+).trim_ascii(),
            }),+];
        }

        impl Read for $section {
            const FORM: &'static str = "a map";

            fn read(node: &Node) -> Result<Self, Fault> {
                $(let mut $key = None;)+
                for (key, value) in node.map()? {
                    let known = Self::KEYS.iter().find(|known| known.name == key.text);
                    let known = known.ok_or_else(|| unknown_key(key, Self::KEYS, &$later))?;
                    match known.name {
                        $(section!(@name $key $($name)?) => $key = Some(<$field as Field>::given(known, value)?),)+
                        _ => unreachable!("every known key has its arm"),
                    }
                }
                let mut keys = Self::KEYS.iter();
                Ok($section {
                    $($key: match (keys.next(), $key) {
                        (_, Some(value)) => value,
                        (Some(key), None) => <$field as Field>::missing(key, node.place)?,
                        (None, None) => unreachable!("there are as many keys as fields"),
                    },)+
                })
            }
        }
    };
    (@name $key:ident) => { stringify!($key) };
    (@name $key:ident $name:literal) => { $name };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
}
pub(super) use section;
