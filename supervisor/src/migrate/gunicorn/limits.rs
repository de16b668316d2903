//! gunicorn's settings of what a request may be.

use super::super::draft::Draft;
use super::super::ranges::{self, Fitted};
use super::super::said::{Said, Whole};
use super::Settings;
use super::sockets::fitted;
use super::table::{Fate, Row, Takes};

const SMUGGLING: &str =
    "what two servers may read in two ways is refused here, whoever wants it: requests are smuggled by it";

pub(super) const ROWS: &[Row] = &[
    Row::of("limit_request_line", &["--limit-request-line"], Takes::One, Fate::Written(limit_request_line)),
    Row::of("limit_request_fields", &["--limit-request-fields"], Takes::One, Fate::Written(limit_request_fields)),
    Row::of(
        "limit_request_field_size",
        &["--limit-request-field_size"],
        Takes::One,
        Fate::Written(limit_request_field_size),
    ),
    Row::of("permit_obsolete_folding", &["--permit-obsolete-folding"], Takes::Nothing, Fate::Open(SMUGGLING)),
    Row::of("strip_header_spaces", &["--strip-header-spaces"], Takes::Nothing, Fate::Open(SMUGGLING)),
    Row::of(
        "permit_unconventional_http_method",
        &["--permit-unconventional-http-method"],
        Takes::Nothing,
        Fate::Nothing("every token is a method here (RFC 9110 9.1), in whichever case it came"),
    ),
    Row::of(
        "permit_unconventional_http_version",
        &["--permit-unconventional-http-version"],
        Takes::Nothing,
        Fate::Open(SMUGGLING),
    ),
    Row::of(
        "casefold_http_method",
        &["--casefold-http-method"],
        Takes::Nothing,
        Fate::Open("methods are case-sensitive (RFC 9110 9.1), and the application sees them as they came"),
    ),
];

fn limit_request_line(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.limits.request_line_max";
    match said.whole() {
        Ok(Whole::Now(0)) => draft.leave(said, "8 KiB, which are gunicorn's most, are the limit if nothing is said"),
        Ok(Whole::Now(_) | Whole::Later(_)) | Err(_) => fitted(path, ranges::bytes(said, path), said, draft),
    }
}

fn limit_request_fields(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.limits.header_count_max";
    match said.whole() {
        Ok(Whole::Now(0)) => draft.change(path, "1000", said, "there is no head without any limit: 1000 are the most"),
        Ok(Whole::Now(_) | Whole::Later(_)) | Err(_) => fitted(path, ranges::count(said, path), said, draft),
    }
}

fn limit_request_field_size(said: &Said, _: &Settings<'_>, draft: &mut Draft) {
    let path = "apps.NAME.limits.header_bytes_max";
    // Ours if nothing is said; every field of gunicorn's usual size fits.
    const USUAL: u64 = 64 << 10;
    match (said.whole(), ranges::bytes(said, path)) {
        (Ok(Whole::Now(size)), Ok(Fitted { yaml, .. })) if size > USUAL => {
            draft.change(path, yaml, said, "the limit is on the whole head, not on one field");
        }
        (Ok(Whole::Now(_) | Whole::Later(_)), _) => {
            draft.leave(said, "the limit is on the whole head, 64 KiB if nothing is said, not on one field");
        }
        (Err(why), _) => draft.open(said, &why),
    }
}
