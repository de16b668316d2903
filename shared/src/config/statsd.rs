//! What the file says of a statsd server, and whether its names can be sent to one.
//!
//! A line of statsd is `name:value|type|#tag:value,tag:value`, so neither a name nor a tag has these marks in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Address;
use super::address::address;
use super::fault::{Fault, shown};
use super::listen::short_or_long;
use super::schema::{self, Range};
use super::section::{At, Field, Key, Read, section, unknown_key};
use super::tree::{Kind, Node, Value};
use super::value::AddressText;

/// Where numbers are sent to, and how they are called there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statsd {
    /// Where datagrams go: UDP, or a Unix socket.
    pub address: Address,
    /// What every name begins with: empty, or ending in a dot.
    pub prefix: String,
    /// What every line is tagged with, in dogstatsd's way.
    pub tags: BTreeMap<String, String>,
    /// How often.
    pub interval: Duration,
}

section! {
    /// A statsd server, which is sent what gunicorn sends one, by the same names.
    StatsdServer at "statsd", later [] {
        /// Where it takes datagrams: `ADDRESS:PORT` for UDP, `unix:PATH` or `unix:@NAME`. Names of hosts are not looked up.
        address: At<AddressText>;
        /// What every name begins with; a dot follows it.
        prefix: Option<At<Prefix>> = "none: `gunicorn.requests`";
        /// Tags of every line, in the way of dogstatsd, as gunicorn's `dogstatsd_tags`; `app` is added to what an application counts. Servers
        /// that do not know tags want none: then there is no `app` either.
        tags: Option<At<Tags>> = "none";
        /// How often. What came since the last time is one line for each name: counters have their sum, `request.duration` has a line for
        /// each bucket of its histogram, with the sample rate that stands for as many requests.
        // A tenth of a second is more datagrams than anybody looks at; above a minute a graph has gaps.
        interval: At<Duration> = "1s", "100ms" to "1m";
    }
}

/// What the file says, checked; a relative path taken from `folder`.
///
/// # Errors
/// When nobody can be sent anything there.
pub(super) fn check(raw: StatsdServer, folder: &Path) -> Result<Statsd, Fault> {
    let fault = |why: String| Fault::at(raw.address.place, why).of_key("address");
    let address = address(&raw.address.value.0, folder).map_err(fault)?;
    if let Address::Tcp(to) = &address
        && (to.port() == 0 || to.ip().is_unspecified())
    {
        return Err(fault(format!("{} is nowhere to send to", shown(&raw.address.value.0))));
    }
    Ok(Statsd {
        address,
        prefix: raw.prefix.map(|prefix| prefix.value.0).unwrap_or_default(),
        tags: raw.tags.map(|tags| tags.value.0).unwrap_or_default(),
        interval: raw.interval.value,
    })
}

/// A statsd server, written as its address or as a map.
#[derive(Clone, Debug)]
pub(super) struct StatsdOrAddress(pub StatsdServer);

impl Read for StatsdOrAddress {
    const FORM: &'static str = "an address, or a map";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([AddressText::schema(range), StatsdServer::schema(None)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        short_or_long::<AddressText, StatsdServer>(node, "address").map(StatsdOrAddress)
    }
}

/// What names begin with, with its dot.
#[derive(Clone, Debug)]
pub(super) struct Prefix(pub String);

impl Read for Prefix {
    const FORM: &'static str = "text";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^[^ :|@#,]+$", &["shop"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text(Self::FORM)?;
        let name = text.trim_end_matches('.');
        if name.is_empty() || !is_plain(name) || name.contains(':') {
            let text = format!("{} cannot begin a name: it is empty, or has one of ` :|@#,`", shown(text));
            return Err(Fault::at(node.place, text));
        }
        Ok(Prefix(format!("{name}.")))
    }
}

/// Tags and their values; a tag may have none.
#[derive(Clone, Debug)]
pub(super) struct Tags(pub BTreeMap<String, String>);

impl Read for Tags {
    const FORM: &'static str = "a map of names to values";

    fn schema(_: Range) -> serde_json::Value {
        schema::map_of("^[^ :|@#,]+$", json!({"type": ["string", "number", "boolean", "null"]}))
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let mut tags = BTreeMap::new();
        for (name, value) in node.map()? {
            let text = match &value.value {
                Value::Scalar(Kind::Null, _) => "",
                Value::Scalar(_, text) => text,
                Value::List(_) | Value::Map(_) => {
                    return Err(value.expected("text, a number or a boolean").of_key(&name.text));
                }
            };
            if name.text.is_empty() || !is_plain(&name.text) || name.text.contains(':') || !is_plain(text) {
                let text =
                    format!("{} cannot be a tag: neither side has ` |@#,`, and its name no `:`", shown(&name.text));
                return Err(Fault::at(name.place, text));
            }
            tags.insert(name.text.clone(), text.to_owned());
        }
        Ok(Tags(tags))
    }
}

fn is_plain(text: &str) -> bool {
    !text.contains(['|', '@', '#', ',', ' ']) && !text.chars().any(char::is_control)
}
