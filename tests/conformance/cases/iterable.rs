//! What an application returns: asked for item by item, sent at once, closed in the end (PEP 3333, The Application/Framework Side to
//! Optional Platform-Specific File Handling).

use crate::conformance::case::Check::{Body, Counted, Cut, Status};
use crate::conformance::case::{Allowed, Case, Step, get, head, must};

/// Iterables and `write()`.
#[rustfmt::skip]
pub fn iterables() -> Vec<Case> {
    let gives = |name: &str, word: &str, allowed: Allowed| must("PEP 3333, The Application/Framework Side", name, get(&format!("/answer/{word}")), allowed);
    let writes = |name: &str, word: &str, allowed: Allowed| must("PEP 3333, The write() Callable", name, get(&format!("/answer/{word}")), allowed);
    vec![
        gives("a list", "single", &[&[Body("a list of one tells its length")]]),
        gives("an empty list", "nothing", &[&[Status(200), Body("")]]),
        gives("a tuple", "a_tuple", &[&[Body("a tuple")]]),
        gives("an iterator", "pieces", &[&[Body("one two three")]]),
        gives("a generator", "lazy", &[&[Body("lazy")]]),
        gives("a generator expression", "a_generator_expression", &[&[Body("by expression")]]),
        gives("an object with __getitem__ alone", "custom_iterable", &[&[Body("by index")]]),
        writes("write() comes before the iterable", "written", &[&[Body("written before returned")]]),
        writes("write() alone", "written_only", &[&[Body("written")]]),
        writes("write() up to the length", "written_counted", &[&[Body("written")], &[Status(500)]]),
        Case::new("PEP 3333, The write() Callable", "what is written is sent at once").send(get("/answer/written_stepwise"))
            .then(Step::Part("the first")).then(Step::Touch("go")).then(Step::Part("the second")).then(Step::Part("the last")).over(),
        Case::new("PEP 3333, Buffering and Streaming", "an item is sent before the next is asked for").send(get("/answer/stepwise"))
            .then(Step::Part("the first")).then(Step::Touch("go")).then(Step::Part("the second")).over(),
    ]
}

/// `close()`, once in every path.
#[rustfmt::skip]
pub fn closing() -> Vec<Case> {
    const ONCE: &[&str] = &["closed"];
    let closes = |name: &str, word: &str, allowed: Allowed| {
        must("PEP 3333, The Server/Gateway Side", name, get(&format!("/answer/{word}")), allowed).recorded(ONCE)
    };
    vec![
        closes("at the end", "closed", &[&[Body("closed")]]),
        closes("behind an exception", "raises_after", &[&[Cut]]).over(),
        closes("behind an exception by iter()", "raises_on_iter", &[&[Status(500)]]),
        closes("when there is more than the length", "too_long", &[&[Body("long")], &[Status(500)]]),
        closes("when close() raises itself", "raises_in_close", &[&[Body("angry")], &[Cut]]),
        closes("of a file", "file_in_memory", &[&[Body("in memory")]]),
        must("PEP 3333, The Server/Gateway Side", "for HEAD", head("/answer/closed"), &[&[Status(200)]]).recorded(ONCE),
        Case::new("PEP 3333, The Server/Gateway Side", "when the client goes away").send(get("/answer/endless_recorded"))
            .then(Step::Part("\r\n\r\n")).then(Step::Vanish).then(Step::Recorded(ONCE)),
    ]
}

/// Files, by `wsgi.file_wrapper` where a server has it.
#[rustfmt::skip]
pub fn files() -> Vec<Case> {
    let sends = |name: &str, word: &str, allowed: Allowed| must("PEP 3333, File Handling", name, get(&format!("/answer/{word}")), allowed);
    vec![
        sends("a file", "file_whole", &[&[Counted(0, 2_000_000)]]),
        sends("a file with its length", "file_counted", &[&[Counted(0, 2_000_000)]]),
        sends("a file from where it stands", "file_middle", &[&[Counted(1_000_000, 1_000_000)]]),
        sends("a part of a file", "file_middle_counted", &[&[Counted(1_000_000, 300_000)]]),
        sends("a pipe", "file_pipe", &[&[Body("through a pipe")]]),
        sends("an object in memory", "file_in_memory", &[&[Body("in memory")]]),
    ]
}
