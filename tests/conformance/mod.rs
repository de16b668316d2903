//! The conformance suite: RFC 9110, RFC 9112 and PEP 3333 as a table of cases, held to ours and told of its peers.
//!
//! ```text
//!   cases (data: a section, bytes, every reaction that the text allows)
//!     └─ judge: has the conversation with a server at an address
//!          ├─ ours, whole and byte by byte: all of it, in every test run
//!          └─ peers: `make conformance` prints the table that stands in docs/explanation/to-the-letter.md
//! ```
//!
//! Ours is held to more than a case's own rule: in each answer to every rule of the harness's client. A peer fails by what the case is
//! about and by nothing else. What depends on settings (our limits, our time-outs) is not here but in `http`.

pub mod case;
pub mod cases;
mod differ;
mod judge;
mod peers;
mod reply;
mod table;
mod tried;

use std::fs;
use std::time::Duration;

use self::case::{Case, Step};
use self::judge::{Judge, Manner, Measure};
use crate::harness::{Server, Site, repository, target_folder};

/// Cases of one kind.
pub type Cases = fn() -> Vec<Case>;

/// Every kind, in the order of the table.
pub const CATEGORIES: &[(&str, Cases)] = &[
    ("request line and version", cases::line::request_line),
    ("request target", cases::line::target),
    ("Host", cases::host::host),
    ("header fields: syntax", cases::fields::syntax),
    ("header fields: meaning", cases::fields::meaning),
    ("Content-Length", cases::length::length),
    ("Transfer-Encoding", cases::length::coding),
    ("chunks that are right", cases::chunks::decoded),
    ("chunks that are broken", cases::chunks::broken),
    ("Expect: 100-continue", cases::connection::expect),
    ("keep-alive and close", cases::connection::keep_alive),
    ("pipelining", cases::connection::pipelining),
    ("slow and vanishing clients", cases::connection::slow),
    ("limits", cases::limits::limits),
    ("framing of answers", cases::answers::framing),
    ("heads of answers", cases::answers::heads),
    ("WSGI: environ", cases::environ::environ),
    ("WSGI: input", cases::environ::input),
    ("WSGI: start_response", cases::heads::start_response),
    ("WSGI: errors", cases::errors::errors),
    ("WSGI: iterables and write()", cases::iterable::iterables),
    ("WSGI: close()", cases::iterable::closing),
    ("WSGI: files", cases::iterable::files),
];

/// Every case.
pub fn all() -> impl Iterator<Item = Case> {
    CATEGORIES.iter().flat_map(|(_, cases)| cases())
}

/// What the cases of HTTP send first, where that is short.
pub fn openings() -> impl Iterator<Item = Vec<u8>> {
    let first = |case: Case| match case.talk.into_iter().next() {
        Some(Step::Send(bytes)) if (1..2000).contains(&bytes.len()) => Some(bytes),
        Some(_) | None => None,
    };
    all().filter_map(first)
}

/// A site with the application that the cases ask.
fn site() -> Site {
    let site = Site::new("conformance:application");
    for module in ["answers.py", "mirror.py", "readers.py"] {
        let source = repository().join("tests/apps").join(module);
        fs::copy(source, site.path(module)).expect("an app can be copied");
    }
    site
}

fn judge(server: &Server, patience: Duration, manner: Manner, measure: Measure) -> Judge {
    Judge { address: server.address(), folder: server.site().path(""), patience, manner, measure }
}

/// What ours breaks when it is asked in this manner.
fn broken(manner: Manner, settings: &str) -> Vec<String> {
    let server = site().app(settings).serve();
    let judge = judge(&server, Duration::from_secs(10), manner, Measure::EveryRule);
    let verdict = |case: Case| judge.hear(&case).err().map(|why| format!("{}, {}: {why}", case.section, case.name));
    all().filter_map(verdict).collect()
}

#[test]
fn every_rule_is_kept() {
    let broken = broken(Manner::Whole, "threads: 1");
    assert!(broken.is_empty(), "{} rules are broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_is_kept_when_the_bytes_come_one_by_one_and_by_several_threads() {
    let broken = broken(Manner::Slowly, "threads: 4");
    assert!(broken.is_empty(), "{} rules are broken:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_rule_is_kept_by_every_engine() {
    for engine in ["gevent", "eventlet", "tornado"] {
        let environment = target_folder().join("venv");
        let settings = format!("engine: {engine}\nvirtualenv: {}", environment.display());
        let mut broken = broken(Manner::Whole, &settings);
        // gevent closes descriptors in its hub, so that a pipe which is read without the hub has no end, and its thread is kept.
        broken
            .retain(|case| engine != "gevent" || !(case.contains("a pipe:") || case.contains("an object in memory:")));
        assert!(broken.is_empty(), "{engine}: {} rules are broken:\n{}", broken.len(), broken.join("\n"));
    }
}

/// The long one, for `make conformance`.
#[test]
#[ignore = "needs the peers: `make conformance`"]
fn the_table_beside_the_peers() {
    table::print();
}
