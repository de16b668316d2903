//! Values of which there are a few words.

use super::engine::EngineName;
use super::fault::{Fault, shown};
use super::request::Scheme;
use super::schema::{self, Range};
use super::section::{Read, instead, list};
use super::tree::Node;
use super::{Bodies, BrokenStart, ClientCertificates, LogFormat, LogLevel, Protocol, SupervisorLoss, Underscores};

/// Makes an enum readable: the words of the file, and those that a later version will have.
macro_rules! choice {
    ($type:ty: $first:literal => $first_value:expr $(, $word:literal => $value:expr)*; later $later:expr) => {
        impl Read for $type {
            const FORM: &'static str = concat!($first $(, " | ", $word)*);

            fn schema(_: Range) -> serde_json::Value {
                schema::words(&[$first $(, $word)*])
            }

            fn read(node: &Node) -> Result<Self, Fault> {
                let words = [$first $(, $word)*];
                match node.text(&format!("one of {}", list(&words)))? {
                    $first => Ok($first_value),
                    $($word => Ok($value),)*
                    word => Err(Fault::at(node.place, no_such_word(word, &words, &$later))),
                }
            }
        }
    };
}

fn no_such_word(word: &str, words: &[&str], later: &[&str]) -> String {
    if later.contains(&word) {
        return format!("this version does not have `{word}` yet: {}", instead("", words));
    }
    format!("unknown value {}: {}", shown(word), instead(word, words))
}

choice!(LogFormat: "text" => LogFormat::Text, "json" => LogFormat::Json; later []);
choice!(LogLevel:
    "critical" => LogLevel::Critical,
    "error" => LogLevel::Error,
    "warning" => LogLevel::Warning,
    "info" => LogLevel::Info,
    "debug" => LogLevel::Debug;
    later []);
choice!(EngineName:
    "threads" => EngineName::Threads,
    "sync" => EngineName::Sync,
    "gevent" => EngineName::Gevent,
    "eventlet" => EngineName::Eventlet,
    "tornado" => EngineName::Tornado;
    later []);
choice!(BrokenStart: "apologise" => BrokenStart::Apologise, "exit" => BrokenStart::Exit; later []);
choice!(Bodies: "buffer" => Bodies::Buffer, "stream" => Bodies::Stream; later []);
choice!(Underscores:
    "drop" => Underscores::Drop,
    "refuse" => Underscores::Refuse,
    "keep" => Underscores::Keep;
    later []);
choice!(SupervisorLoss: "adopt" => SupervisorLoss::Adopt, "drain" => SupervisorLoss::Drain; later []);
choice!(ClientCertificates:
    "none" => ClientCertificates::None,
    "optional" => ClientCertificates::Optional,
    "required" => ClientCertificates::Required;
    later []);
choice!(Scheme: "http" => Scheme("http"), "https" => Scheme("https"); later []);
choice!(Protocol:
    "http" => Protocol::Http,
    "fastcgi" => Protocol::FastCgi,
    "scgi" => Protocol::Scgi,
    "ajp" => Protocol::Ajp,
    "uwsgi" => Protocol::Uwsgi;
    later []);
