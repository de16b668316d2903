//! What is answered for a file that was found: all of it, a part, or that the client has it (RFC 9110 13, 14).
//!
//! Several ranges are answered with the whole, as RFC 9110 14.2 allows: what asks for many small ones is an attack as a rule,
//! and what needs them copes.

use std::fs::Metadata;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What is known of a file, as fields have it.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// Bytes.
    pub length: u64,
    /// An entity tag, a strong one: a file that was changed has another time, size or inode.
    pub tag: String,
    /// When it was changed, in whole seconds.
    pub date: String,
    modified: SystemTime,
}

impl Facts {
    /// Those of a file.
    pub fn of(metadata: &Metadata) -> Facts {
        let (seconds, rest) = (metadata.mtime().max(0) as u64, metadata.mtime_nsec());
        let tag = format!("\"{:x}-{:x}-{:x}{:08x}\"", metadata.ino(), metadata.len(), seconds, rest);
        Facts::new(metadata.len(), tag, seconds)
    }

    fn new(length: u64, tag: String, seconds: u64) -> Facts {
        // The last second that such a date can say.
        const LAST: u64 = 253_402_300_799;
        let modified = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
        Facts { length, tag, date: httpdate::fmt_http_date(modified), modified }
    }
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 200.
    Whole,
    /// 206, with these bytes.
    Part(Range<u64>),
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// Judges a GET or HEAD by its fields, in the order of RFC 9110 13.2.2. `field` gives a field's value, empty if there is none.
pub fn judge(facts: &Facts, field: impl Fn(&[u8]) -> Vec<u8>) -> Verdict {
    let (matches, unmodified) = (field(b"if-match"), field(b"if-unmodified-since"));
    if !matches.is_empty() {
        if !lists(&matches, &facts.tag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if date(&unmodified).is_some_and(|since| facts.modified > since) {
        return Verdict::Failed;
    }
    let (differs, modified) = (field(b"if-none-match"), field(b"if-modified-since"));
    if !differs.is_empty() {
        if lists(&differs, &facts.tag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if date(&modified).is_some_and(|since| facts.modified <= since) {
        return Verdict::NotModified;
    }
    let range = field(b"range");
    if range.is_empty() || !is_for_this(&field(b"if-range"), facts) {
        return Verdict::Whole;
    }
    part(&range, facts.length)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags has this one, which is strong (RFC 9110 8.8.3.2).
fn lists(field: &[u8], tag: &str, comparison: Comparison) -> bool {
    let text = String::from_utf8_lossy(field);
    // A comma may stand within a tag, but in none of ours.
    text.trim() == "*"
        || text.split(',').map(str::trim).any(|member| match member.strip_prefix("W/") {
            Some(weak) => comparison == Comparison::Weak && weak == tag,
            None => member == tag,
        })
}

/// RFC 9110 13.1.5: the tag to the letter, or the date to the second.
fn is_for_this(field: &[u8], facts: &Facts) -> bool {
    field.is_empty() || field == facts.tag.as_bytes() || field == facts.date.as_bytes()
}

fn date(field: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(field).ok()?.trim()).ok()
}

/// RFC 9110 14.1.2. What is no range of bytes, or several, asks for nothing.
fn part(field: &[u8], length: u64) -> Verdict {
    let text = String::from_utf8_lossy(field).to_ascii_lowercase();
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|range| range.trim().split_once('-')) else {
        return Verdict::Whole;
    };
    match (number(first), number(last)) {
        (Some(Some(first)), Some(last)) => {
            let last = last.unwrap_or(u64::MAX);
            match () {
                () if last < first => Verdict::Whole,
                () if first >= length => Verdict::Unsatisfiable,
                () => Verdict::Part(first..last.saturating_add(1).min(length)),
            }
        }
        // The last bytes of it; none of nothing.
        (Some(None), Some(Some(count))) if count == 0 || length == 0 => Verdict::Unsatisfiable,
        (Some(None), Some(Some(count))) => Verdict::Part(length.saturating_sub(count)..length),
        (Some(None), Some(None)) | (None, _) | (_, None) => Verdict::Whole,
    }
}

/// Digits as a number, or the largest if they say more; nothing as `Some(None)`; `None` for what is neither.
fn number(text: &str) -> Option<Option<u64>> {
    match text.trim() {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(Some(digits.parse().unwrap_or(u64::MAX))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten bytes, changed at 1994-11-06 08:49:37.
    fn verdict(fields: &[(&str, &str)]) -> Verdict {
        let facts = Facts::new(10, "\"a\"".into(), 784_111_777);
        assert_eq!(facts.date, "Sun, 06 Nov 1994 08:49:37 GMT");
        judge(&facts, |name| {
            let known = fields.iter().find(|(known, _)| known.as_bytes() == name);
            known.map_or_else(Vec::new, |(_, value)| value.as_bytes().to_vec())
        })
    }

    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    #[test]
    fn conditions_count_in_their_order() {
        for (fields, expected) in [
            (&[][..], Verdict::Whole),
            (&[("if-none-match", "\"a\"")], Verdict::NotModified),
            (&[("if-none-match", "W/\"a\"")], Verdict::NotModified),
            (&[("if-none-match", "\"b\" , \"a\"")], Verdict::NotModified),
            (&[("if-none-match", "*")], Verdict::NotModified),
            (&[("if-none-match", "\"b\"")], Verdict::Whole),
            (&[("if-none-match", "\"b\""), ("if-modified-since", THEN)], Verdict::Whole),
            (&[("if-modified-since", THEN)], Verdict::NotModified),
            (&[("if-modified-since", BEFORE)], Verdict::Whole),
            (&[("if-modified-since", "yesterday")], Verdict::Whole),
            (&[("if-match", "\"a\"")], Verdict::Whole),
            (&[("if-match", "*")], Verdict::Whole),
            (&[("if-match", "W/\"a\"")], Verdict::Failed),
            (&[("if-match", "\"b\"")], Verdict::Failed),
            (&[("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Verdict::Whole),
            (&[("if-unmodified-since", BEFORE)], Verdict::Failed),
            (&[("if-unmodified-since", THEN)], Verdict::Whole),
            (&[("if-match", "\"a\""), ("if-none-match", "\"a\"")], Verdict::NotModified),
            (&[("if-none-match", "\"a\""), ("range", "bytes=0-1")], Verdict::NotModified),
        ] {
            assert_eq!(verdict(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn ranges_are_of_bytes_that_are_there() {
        for (range, expected) in [
            ("bytes=0-0", Verdict::Part(0..1)),
            ("bytes=2-4", Verdict::Part(2..5)),
            ("bytes=2-", Verdict::Part(2..10)),
            ("bytes=0-99999999999999999999999", Verdict::Part(0..10)),
            ("bytes=-3", Verdict::Part(7..10)),
            ("bytes=-30", Verdict::Part(0..10)),
            ("Bytes=9-9", Verdict::Part(9..10)),
            ("bytes=10-", Verdict::Unsatisfiable),
            ("bytes=99999999999999999999-", Verdict::Unsatisfiable),
            ("bytes=-0", Verdict::Unsatisfiable),
            ("bytes=4-2", Verdict::Whole),
            ("bytes=-", Verdict::Whole),
            ("bytes=0-1,3-4", Verdict::Whole),
            ("bytes=a-b", Verdict::Whole),
            ("bytes=+1-2", Verdict::Whole),
            ("lines=0-1", Verdict::Whole),
            ("bytes", Verdict::Whole),
        ] {
            assert_eq!(verdict(&[("range", range)]), expected, "{range}");
        }
    }

    #[test]
    fn a_range_for_another_version_is_none() {
        for (of, expected) in [
            ("\"a\"", Verdict::Part(0..1)),
            (THEN, Verdict::Part(0..1)),
            ("\"b\"", Verdict::Whole),
            ("W/\"a\"", Verdict::Whole),
            (BEFORE, Verdict::Whole),
        ] {
            assert_eq!(verdict(&[("range", "bytes=0-0"), ("if-range", of)]), expected, "{of}");
        }
    }
}
