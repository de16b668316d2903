//! What the file says of a request that the server makes itself, to ask an application whether it is ready.

use super::fault::{Fault, shown};
use super::listen::short_or_long;
use super::raw::Ready;
use super::schema::{self, Range};
use super::section::Read;
use super::tree::Node;

/// A readiness request, written as its path alone or as a map.
#[derive(Clone, Debug)]
pub(super) struct PathOrReady(pub Ready);

impl Read for PathOrReady {
    const FORM: &'static str = "a path, or a map";

    fn schema(range: Range) -> serde_json::Value {
        schema::any_of([TargetText::schema(range), Ready::schema(None)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        short_or_long::<TargetText, Ready>(node, "path").map(PathOrReady)
    }
}

/// The origin-form of a request's target: a path, with a query if it has one (RFC 9112 3.2.1).
#[derive(Clone, Debug)]
pub(super) struct TargetText(pub String);

impl Read for TargetText {
    const FORM: &'static str = "a path";

    fn schema(_: Range) -> serde_json::Value {
        schema::matching("^/", &["/healthz"])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("a path such as `/healthz`")?;
        let wrong = |why: &str| Err(Fault::at(node.place, format!("{} is no path of a request: {why}", shown(text))));
        if !text.starts_with('/') {
            return wrong("it begins with `/`");
        }
        match text.chars().find(|letter| !letter.is_ascii_graphic() || matches!(letter, '#' | '"' | '<' | '>' | '\\')) {
            Some('#') => wrong("a fragment is not sent"),
            Some(letter) => wrong(&format!("write {} percent-encoded", shown(&letter.to_string()))),
            None => Ok(TargetText(text.to_owned())),
        }
    }
}

/// The value of a Host field: a name or an address, with a port if it has one (RFC 9110 7.2).
#[derive(Clone, Debug)]
pub(super) struct HostText(pub String);

impl Read for HostText {
    const FORM: &'static str = "a host";

    fn schema(_: Range) -> serde_json::Value {
        schema::text()
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("a host such as `example.com` or `example.com:8000`")?;
        // The whole grammar is the worker's matter; this is what people write by mistake.
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-._~:[]".contains(letter);
        if text.is_empty() || !text.chars().all(is_part) {
            let text = format!("{} is no host: write a name or an address, without `http://` and path", shown(text));
            return Err(Fault::at(node.place, text));
        }
        Ok(HostText(text.to_owned()))
    }
}

/// The scheme that the application is to believe in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme(pub &'static str);
