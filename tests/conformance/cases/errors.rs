//! Applications that fail (PEP 3333, Error Handling), and that the server outlives.

use crate::conformance::case::Check::{Cut, NoField, NoText, Nothing, Status};
use crate::conformance::case::{Allowed, Case, Step, get, must};

const SECTION: &str = "PEP 3333, Error Handling";

/// An error of the server's, which keeps the application's secrets.
const APOLOGY: Allowed = &[&[Status(500), NoField("X-Of-The-App"), NoText("Traceback"), NoText("ValueError")]];

/// Exceptions at each moment, and what is no answer at all.
#[rustfmt::skip]
pub fn errors() -> Vec<Case> {
    let fails = |name: &str, word: &str, allowed| must(SECTION, name, get(&format!("/answer/{word}")), allowed);
    vec![
        fails("an exception before start_response", "raises_before", APOLOGY),
        fails("an exception behind start_response", "raises_after_start", APOLOGY),
        fails("an exception in the first iteration", "raises_in_first", APOLOGY),
        fails("an exception behind an empty item", "raises_after_empty", APOLOGY),
        fails("an exception by iter()", "raises_on_iter", APOLOGY),
        fails("an exception behind the first item does not look complete", "raises_after", &[&[Cut]]).over(),
        fails("an exception short of the length does not look complete", "raises_counted", &[&[Cut]]).over(),
        fails("an exception behind write() does not look complete", "raises_after_write", &[&[Cut], &[Status(500), NoText("the beginning")]]),
        fails("None is returned", "returns_none", FAILED),
        fails("text is returned", "returns_text", FAILED),
        fails("SystemExit", "exits", FAILED).then(Step::Alive),
        fails("KeyboardInterrupt", "raises_base", FAILED).then(Step::Alive),
        must("PEP 3333, Input and Error Streams", "wsgi.errors takes any text", get("/answer/error_text"), &[&[Status(200)]]),
    ]
}

const FAILED: Allowed = &[&[Status(500)], &[Nothing], &[Cut]];
