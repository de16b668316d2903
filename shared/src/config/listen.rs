//! Listeners of a file, short or long, one or many; and other maps that may be written by one of their values.

use super::fault::Fault;
use super::raw::Listener;
use super::schema::{self, Range};
use super::section::{At, Read};
use super::tree::{self, Node, Value};
use super::value::{AddressText, one_or_more};

/// One listener or a list of them. Never empty.
#[derive(Clone, Debug)]
pub(super) struct Listeners(pub Vec<At<Listener>>);

impl Read for Listeners {
    const FORM: &'static str = "an address, a map, or a list of them";

    fn schema(range: Range) -> serde_json::Value {
        schema::one_or_more(ShortOrLong::schema(range))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        one_or_more::<ShortOrLong>(node).map(|listeners| {
            Listeners(
                listeners.into_iter().map(|At { place, given, value }| At { place, given, value: value.0 }).collect(),
            )
        })
    }
}

/// A listener, written as its address alone or as a map.
struct ShortOrLong(Listener);

impl Read for ShortOrLong {
    const FORM: &'static str = "an address, or a map";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([AddressText::schema(range), Listener::schema(None)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        short_or_long::<AddressText, Listener>(node, "address").map(ShortOrLong)
    }
}

/// A map, or the value of its one required key in its place.
pub(super) fn short_or_long<Short: Read, Long: Read>(node: &Node, key: &str) -> Result<Long, Fault> {
    match &node.value {
        Value::Map(_) => Long::read(node),
        Value::List(_) => Err(node.expected(Short::FORM)),
        Value::Scalar(..) => {
            // Read on its own first, so that what is wrong with it is not said of a key that nobody wrote.
            Short::read(node)?;
            let key = tree::Key { place: node.place, text: key.into() };
            Long::read(&Node { place: node.place, value: Value::Map(vec![(key, node.clone())]) })
        }
    }
}
