//! What the file says of proxies: whom to believe where a request comes from, and on which fields' word.

use serde::{Deserialize, Serialize};

use super::Place;
use super::fault::{Fault, shown};
use super::network::Proxies;
use super::raw;
use super::section::{At, Field, Key, Read, or_defaults, section, unknown_key};
use super::tree::{Kind, Node, Value};

/// Where a request comes from, as far as others are believed. Names of fields are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whose word counts.
    pub proxies: Proxies,
    /// The field that tells the client, which then is REMOTE_ADDR.
    pub client: Option<String>,
    /// The field that tells the host that the client asked for.
    pub host: Option<String>,
    /// The field that tells what a proxy took off the front of the path.
    pub prefix: Option<String>,
    /// Fields that tell the client's scheme, each with the value that means https, in lower case.
    pub https: Vec<(String, String)>,
    /// The path that the application stands under; it begins with a slash and ends without one. Empty: the root.
    pub mount: String,
    /// What becomes of fields with an underscore in their name.
    pub underscores: Underscores,
    /// Where the identifier of a request comes from.
    pub request_id: RequestId,
}

/// What becomes of fields with an underscore in their name, which environ cannot tell from those with a hyphen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Underscores {
    /// The application does not see them.
    #[default]
    Drop,
    /// A request with one is answered with 400.
    Refuse,
    /// The application sees those that hide no other field.
    Keep,
}

/// Where the identifier of a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestId {
    /// Requests have one when there is an access log to tell it, under the usual name.
    WithAccessLog,
    /// They have none.
    None,
    /// From this field of a trusted proxy's, and made where there is none.
    Field(String),
}

/// The field that tells it where the file names none.
pub const REQUEST_ID: &str = "X-Request-ID";

section! {
    /// Fields of trusted proxies that are believed: name the ones that your proxy sets, for it passes on all others as its clients sent
    /// them. `Forwarded` is read by RFC 7239, any other as a list like `X-Forwarded-For`.
    Forwarded at "apps.NAME.forwarded", later [] {
        /// Tells the client, which then is `REMOTE_ADDR`: `X-Forwarded-For`, `Forwarded`, `X-Real-IP`. Read from its end: the last address
        /// that is no trusted proxy's.
        client: Option<At<FieldName>> = "none: `REMOTE_ADDR` is the connection's";
        /// Tells the host that the client asked for, which then is `HTTP_HOST`: `X-Forwarded-Host`, `Forwarded`.
        host: Option<At<FieldName>> = "none: `HTTP_HOST` is as it came";
        /// Tells what the proxy took off the front of the path, which then begins `SCRIPT_NAME`: `X-Forwarded-Prefix`.
        prefix: Option<At<FieldName>> = "none";
    }
}

/// What an application's keys come to; `place` is the application's.
pub(super) fn origin(raw: &raw::App, place: Place) -> Result<Origin, Fault> {
    let forwarded = or_defaults(raw.forwarded.clone(), place)?;
    let name = |field: Option<At<FieldName>>| field.map(|field| field.value.0.to_ascii_lowercase());
    if let Some(prefix) = forwarded.prefix.as_ref().filter(|prefix| prefix.value.0.eq_ignore_ascii_case("forwarded")) {
        return Err(Fault::at(prefix.place, "`Forwarded` does not tell it (RFC 7239 5)").of_key("prefix"));
    }
    Ok(Origin {
        proxies: raw.trusted_proxies.as_ref().map_or_else(Proxies::default, |proxies| proxies.value.clone()),
        client: name(forwarded.client),
        host: name(forwarded.host),
        prefix: name(forwarded.prefix),
        https: raw.scheme_headers.as_ref().map_or_else(usual_scheme_headers, |headers| headers.value.0.clone()),
        mount: raw.mount.as_ref().map_or_else(String::new, |mount| mount.value.0.clone()),
        underscores: raw.underscore_headers.value,
        request_id: raw.request_id.as_ref().map_or(RequestId::WithAccessLog, |field| field.value.clone()),
    })
}

/// gunicorn's.
fn usual_scheme_headers() -> Vec<(String, String)> {
    let usual = [("x-forwarded-proto", "https"), ("x-forwarded-protocol", "ssl"), ("x-forwarded-ssl", "on")];
    usual.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// The name of a header field, a token (RFC 9110 5.1).
#[derive(Clone, Debug)]
pub(super) struct FieldName(pub String);

impl Read for FieldName {
    const FORM: &'static str = "a field's name";

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("the name of a header field, such as `X-Forwarded-For`")?;
        field_name(text).map(|()| FieldName(text.to_owned())).map_err(|why| Fault::at(node.place, why))
    }
}

fn field_name(text: &str) -> Result<(), String> {
    // Longer ones no proxy has, and they would be looked for in every request.
    const LONGEST: usize = 63;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > LONGEST || !text.bytes().all(is_token) {
        return Err(format!("{} cannot name a header field: write for example `X-Forwarded-For`", shown(text)));
    }
    // What frames the message and names the host is read by other rules.
    let own = ["connection", "content-length", "content-type", "cookie", "host", "transfer-encoding"];
    if own.iter().any(|own| text.eq_ignore_ascii_case(own)) {
        return Err(format!("{} tells no proxy's word: name a field that the proxy sets", shown(text)));
    }
    Ok(())
}

impl Read for RequestId {
    const FORM: &'static str = "a field's name | none";

    fn read(node: &Node) -> Result<Self, Fault> {
        match node.text("the name of a header field, such as `X-Request-ID`, or `none`")? {
            "none" => Ok(RequestId::None),
            _ => FieldName::read(node).map(|name| RequestId::Field(name.0)),
        }
    }
}

/// Fields that tell the scheme, and the values that mean https.
#[derive(Clone, Debug)]
pub(super) struct SchemeHeaders(Vec<(String, String)>);

impl Read for SchemeHeaders {
    const FORM: &'static str = "a map of fields' names to values";

    fn read(node: &Node) -> Result<Self, Fault> {
        let entry = |(name, value): &(super::tree::Key, Node)| {
            field_name(&name.text).map_err(|why| Fault::at(name.place, why))?;
            match &value.value {
                // `on` is a boolean to some, and means itself here.
                Value::Scalar(kind, text) if *kind != Kind::Null && !text.is_empty() => {
                    Ok((name.text.to_ascii_lowercase(), text.to_ascii_lowercase()))
                }
                Value::Scalar(..) | Value::List(_) | Value::Map(_) => {
                    Err(value.expected("the value that means https").of_key(&name.text))
                }
            }
        };
        node.map()?.iter().map(entry).collect::<Result<_, _>>().map(SchemeHeaders)
    }
}

/// The path that an application stands under.
#[derive(Clone, Debug)]
pub(super) struct Mount(String);

impl Read for Mount {
    const FORM: &'static str = "a path";

    fn read(node: &Node) -> Result<Self, Fault> {
        let text = node.text("a path such as `/shop`")?;
        let wrong = |why: &str| Err(Fault::at(node.place, format!("{} is no path to stand under: {why}", shown(text))));
        if !text.starts_with('/') {
            return wrong("it begins with `/`");
        }
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) && !path.is_empty() {
            return wrong("a part of it is empty or made of dots");
        }
        match path.chars().find(|letter| letter.is_control() || matches!(letter, '?' | '#' | '%')) {
            Some('%') => wrong("write it decoded, as the application sees it"),
            Some(letter) => wrong(&format!("it has no {}", shown(&letter.to_string()))),
            None => Ok(Mount(path.to_owned())),
        }
    }
}
