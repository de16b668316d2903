//! `start_response`: when it may be called, with what, and what of it reaches the client (PEP 3333, The start_response() Callable).

use crate::conformance::case::Check::{Body, Cut, Field, NoField, NoText, Nothing, Reason, Status, Values, WellFormed};
use crate::conformance::case::{Allowed, Case, get, must};

const SECTION: &str = "PEP 3333, start_response()";

/// Heads that are malformed: an error, or one that has been made harmless.
const HARMLESS: Allowed = &[&[Status(500)], &[Nothing], &[WellFormed, NoField("X-B")]];

/// What `apps/answers.py` calls them, and what is wrong.
const MALFORMED: &[(&str, &str)] = &[
    ("cr", "CR in a value"),
    ("lf", "LF in a value"),
    ("nul", "NUL in a value"),
    ("beyond_latin1", "a value beyond latin-1, whose low byte is LF"),
    ("beyond_latin1_cr", "a value beyond latin-1, whose low byte is CR"),
    ("crlf_name", "CR LF in a name"),
    ("name", "a space in a name"),
    ("name_lf", "LF in a name"),
    ("name_colon", "a colon in a name"),
    ("empty_name", "an empty name"),
    ("status_lf", "LF in a status"),
    ("status_crlf", "CR LF in a status"),
    ("status_long", "a status of four digits"),
    ("status_short", "a status of two digits"),
    ("status_word", "a status without digits"),
    ("status_empty", "an empty status"),
    ("status_number", "a status that is a number"),
    ("value_number", "a value that is a number"),
    ("bytes", "bytes instead of strings"),
    ("pair", "a field of one part"),
    ("none", "None instead of a list"),
];

/// Every rule of the callable.
#[rustfmt::skip]
pub fn start_response() -> Vec<Case> {
    let mut cases = vec![
        must(SECTION, "a status, fields, an iterable", get("/answer/plain"), &[&[Status(200), Reason("OK"), Field("Content-Type", "text/plain"), Body("plain")]]),
        must(SECTION, "the reason is the application's, in latin-1", get("/answer/repeated_fields"), &[&[Reason("All \u{e9} right")]]),
        must(SECTION, "values are in latin-1", get("/answer/repeated_fields"), &[&[Values("X-Latin", &["caf\u{e9}"])]]),
        must(SECTION, "it may be called in the first iteration", get("/answer/lazy"), &[&[Status(200), Field("X-Lazy", "yes"), Body("lazy")]]),
        must(SECTION, "a second call without exc_info raises", get("/answer/starts_twice"), &[&[Status(200), NoText("went through")], &[Status(500)]]),
        must(SECTION, "exc_info before the first byte replaces all", get("/answer/exc_info_before"), &[&[Status(503), NoField("X-First"), Field("X-Second", "yes"), Body("replaced")]]),
        must(SECTION, "an empty item sends nothing: exc_info replaces all", get("/answer/replaced_after_empty"), &[&[Status(503), NoField("X-First"), Field("X-Second", "yes"), Body("replaced")]]),
        must(SECTION, "exc_info behind the first byte is raised again", get("/answer/exc_info_after"), &[&[Cut]]).recorded(&["raised again"]).over(),
        must(SECTION, "never called", get("/answer/never_starts"), &[&[Status(500)], &[Nothing]]),
        must(SECTION, "called behind the first item", get("/answer/starts_late"), &[&[Status(500), NoText("too late")], &[Nothing]]),
        must(SECTION, "a malformed head with exc_info", get("/answer/bad_exc_info"), HARMLESS),
    ];
    cases.extend(MALFORMED.iter().map(|(word, name)| must(SECTION, *name, get(&format!("/answer/bad_head?{word}")), HARMLESS)));
    cases
}
