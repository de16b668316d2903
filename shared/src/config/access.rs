//! The access log's form: gunicorn's `%(x)s` formats, taken apart once.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::{Fault, shown};
use super::schema::{self, Range};
use super::section::{At, Field, Key, Read, instead, section, unknown_key};
use super::tree::{Kind, Node, Value};

/// Whether and how each request is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Not at all.
    #[default]
    Off,
    /// By a line as the log's own are.
    Lines,
    /// By a JSON object, whatever the log's own lines are.
    Json,
    /// By a line of these pieces and nothing else.
    Format(Vec<Piece>),
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// What it is of the request.
    Atom(Atom),
}

/// What a line can tell, by gunicorn's letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Atom {
    /// `h`: REMOTE_ADDR.
    Client,
    /// `l`: a dash.
    Dash,
    /// `u`: the user of HTTP Basic authentication.
    User,
    /// `t`: the time of the request, `[26/Nov/2026:04:44:17 +0000]`.
    Time,
    /// `r`: the request line.
    Line,
    /// `s`
    Status,
    /// `m`
    Method,
    /// `U`: PATH_INFO.
    Path,
    /// `q`: QUERY_STRING.
    Query,
    /// `H`: SERVER_PROTOCOL.
    Protocol,
    /// `b`, `B`: bytes of content.
    Bytes,
    /// `f`
    Referer,
    /// `a`
    Agent,
    /// `T`: whole seconds.
    Seconds,
    /// `M`: whole milliseconds.
    Milliseconds,
    /// `D`: microseconds.
    Microseconds,
    /// `L`: seconds with six digits behind the point.
    Decimal,
    /// `p`: the process, `<4711>`.
    Process,
    /// `{name}i`: a field of the request.
    Asked(String),
    /// `{name}o`: a field of the answer.
    Answered(String),
    /// `{NAME}e`: a variable of environ.
    Variable(String),
}

impl fmt::Display for Piece {
    /// As it stands in a format.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let atom = match self {
            Piece::Text(text) => return f.write_str(&text.replace('%', "%%")),
            Piece::Atom(atom) => atom,
        };
        let letter = match atom {
            Atom::Client => "h",
            Atom::Dash => "l",
            Atom::User => "u",
            Atom::Time => "t",
            Atom::Line => "r",
            Atom::Status => "s",
            Atom::Method => "m",
            Atom::Path => "U",
            Atom::Query => "q",
            Atom::Protocol => "H",
            Atom::Bytes => "b",
            Atom::Referer => "f",
            Atom::Agent => "a",
            Atom::Seconds => "T",
            Atom::Milliseconds => "M",
            Atom::Microseconds => "D",
            Atom::Decimal => "L",
            Atom::Process => "p",
            Atom::Asked(name) => return write!(f, "%({{{name}}}i)s"),
            Atom::Answered(name) => return write!(f, "%({{{name}}}o)s"),
            Atom::Variable(name) => return write!(f, "%({{{name}}}e)s"),
        };
        write!(f, "%({letter})s")
    }
}

/// gunicorn's own default.
const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// The letters, for whoever wrote another.
const LETTERS: &str = "`h`, `l`, `u`, `t`, `r`, `s`, `m`, `U`, `q`, `H`, `b`, `B`, `f`, `a`, `T`, `D`, `M`, `L`, `p`, `{field}i`, `{field}o` and `{VARIABLE}e`";

section! {
    /// How the access log tells each request.
    AccessLog at "log.access", later [] {
        /// `lines` as the log's own, `json` objects, `combined` lines as web servers write them, or a format with gunicorn's atoms such
        /// as `'%(h)s "%(r)s" %(s)s %(L)s'`.
        format: At<Access> = "lines";
    }
}

impl Read for Access {
    const FORM: &'static str = "lines | json | combined | a format";

    fn schema(_: Range) -> serde_json::Value {
        schema::any_of([schema::words(&["lines", "json", "combined"]), schema::matching("%", &[])])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match node.text("`lines`, `json`, `combined` or a format such as `%(h)s \"%(r)s\" %(s)s`")? {
            "lines" => Ok(Access::Lines),
            "json" => Ok(Access::Json),
            "combined" => Ok(Access::Format(format(COMBINED).map_err(|why| Fault::at(node.place, why))?)),
            text if text.contains('%') => format(text).map(Access::Format).map_err(|why| Fault::at(node.place, why)),
            text => {
                let why = format!("unknown format {}: {}", shown(text), instead(text, &["lines", "json", "combined"]));
                Err(Fault::at(node.place, why))
            }
        }
    }
}

/// Whether there is an access log, or how.
#[derive(Clone, Debug)]
pub(super) struct AccessOrNot(pub Access);

impl Read for AccessOrNot {
    const FORM: &'static str = "true | false | a map";

    fn schema(_: Range) -> serde_json::Value {
        schema::any_of([schema::boolean(), AccessLog::schema(None)])
    }

    fn read(node: &Node) -> Result<Self, Fault> {
        match &node.value {
            Value::Map(_) => AccessLog::read(node).map(|log| AccessOrNot(log.format.value)),
            Value::Scalar(Kind::Boolean | Kind::Expanded, _) => {
                bool::read(node).map(|is_on| AccessOrNot(if is_on { Access::Lines } else { Access::Off }))
            }
            Value::Scalar(..) | Value::List(_) => Err(node.expected("true, false or a map")),
        }
    }
}

/// Whether a format is one.
///
/// # Errors
/// What is wrong with it.
pub fn access_format(text: &str) -> Result<(), String> {
    format(text).map(drop)
}

/// The pieces of a format, or what is wrong with it.
fn format(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(mark) = rest.find('%') {
        literal.push_str(&rest[..mark]);
        rest = &rest[mark + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            literal.push('%');
            rest = after;
            continue;
        }
        let (atom, after) = atom(rest).ok_or_else(|| {
            format!("{} begins no atom: write `%(h)s`, or `%%` for a `%`", shown(&format!("%{rest}")))
        })?;
        if !literal.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
        }
        pieces.push(Piece::Atom(meaning(atom)?));
        rest = after;
    }
    literal.push_str(rest);
    if text.chars().any(|letter| letter.is_control() && letter != '\t') {
        return Err("it has a control character: a request is one line".into());
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

/// The name in `(name)s` at the start, and what follows. Numbers may be written `(name)d`, as Python lets them.
fn atom(rest: &str) -> Option<(&str, &str)> {
    let (name, after) = rest.strip_prefix('(')?.split_once(')')?;
    let after = after.strip_prefix('s').or_else(|| {
        let is_number = matches!(name, "s" | "B" | "T" | "D" | "M");
        after.strip_prefix('d').filter(|_| is_number)
    })?;
    Some((name, after))
}

fn meaning(name: &str) -> Result<Atom, String> {
    let unknown = || format!("{} is no atom: the atoms are {LETTERS}", shown(name));
    if let Some((inner, kind)) = name.strip_prefix('{').and_then(|rest| rest.rsplit_once('}')) {
        let lower = inner.to_ascii_lowercase();
        return match kind {
            _ if inner.is_empty() => Err(unknown()),
            "i" => Ok(Atom::Asked(lower)),
            "o" => Ok(Atom::Answered(lower)),
            "e" => Ok(Atom::Variable(inner.to_owned())),
            _ => Err(unknown()),
        };
    }
    Ok(match name {
        "h" => Atom::Client,
        "l" => Atom::Dash,
        "u" => Atom::User,
        "t" => Atom::Time,
        "r" => Atom::Line,
        "s" => Atom::Status,
        "m" => Atom::Method,
        "U" => Atom::Path,
        "q" => Atom::Query,
        "H" => Atom::Protocol,
        "b" | "B" => Atom::Bytes,
        "f" => Atom::Referer,
        "a" => Atom::Agent,
        "T" => Atom::Seconds,
        "M" => Atom::Milliseconds,
        "D" => Atom::Microseconds,
        "L" => Atom::Decimal,
        "p" => Atom::Process,
        _ => return Err(unknown()),
    })
}
