//! Durations and sizes: whole numbers with their unit, `1h30m`, `8KiB`.
//!
//! Rule: a number without a unit is refused, zero too, for whoever reads the file must not have to know which unit each
//! key takes. No fractions: `1500ms` is as short as `1.5s`, and there is one way to write each unit.

use std::time::Duration;

use super::fault::shown;

/// Durations, the longest unit first. A minute is `m`, as in a duration one never means a month or a metre.
const DURATION_UNITS: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Sizes; those with an `i` are powers of 1024, the others of 1000 (IEC 80000-13).
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

/// A regular expression for durations, for editors.
pub fn pattern_of_durations() -> String {
    format!("^([0-9]+({}))+$", names(DURATION_UNITS, "|"))
}

/// A regular expression for sizes.
pub fn pattern_of_sizes() -> String {
    format!("^[0-9]+({})$", names(SIZE_UNITS, "|"))
}

fn names(units: &[(&str, u64)], between: &str) -> String {
    units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(between)
}

/// A duration of one or more parts, `90s`, `1h30m`; or what is wrong with it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let mut milliseconds: u64 = 0;
    let mut rest = text;
    loop {
        let (part, after) = part(rest, DURATION_UNITS).map_err(|why| {
            format!("expected a duration such as `500ms`, `30s`, `5m` or `1h30m`, found {}: {why}", shown(text))
        })?;
        milliseconds = milliseconds.saturating_add(part);
        if after.is_empty() {
            return Ok(Duration::from_millis(milliseconds));
        }
        rest = after;
    }
}

/// A size in bytes of one part, `8KiB`; or what is wrong with it.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong =
        |why: String| format!("expected a size such as `8KiB`, `100MiB` or `1MB`, found {}: {why}", shown(text));
    match part(text, SIZE_UNITS).map_err(wrong)? {
        (bytes, "") => Ok(bytes),
        (_, rest) => Err(wrong(format!("{} is too much", shown(rest)))),
    }
}

/// A duration as one would write it, in the longest unit that it is a whole number of.
pub fn duration_text(duration: Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, factor): &&(&str, u64)| milliseconds > 0 && milliseconds.is_multiple_of(*factor);
    match DURATION_UNITS.iter().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", milliseconds / factor),
        None => "0s".into(),
    }
}

/// A size as one would write it, in powers of 1024.
pub fn size_text(bytes: u64) -> String {
    let fits = |(unit, factor): &&(&str, u64)| bytes > 0 && unit.contains('i') && bytes.is_multiple_of(*factor);
    match SIZE_UNITS.iter().rev().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// One number and its unit from the start of `text`, and what follows. What does not fit is the largest there is, and
/// so beyond any range.
fn part<'a>(text: &'a str, units: &[(&str, u64)]) -> Result<(u64, &'a str), String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(digits_end);
    let unit_end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    if digits.is_empty() {
        return Err("it does not begin with a whole number".into());
    }
    if rest.starts_with('.') {
        return Err("it is no whole number: use a smaller unit".into());
    }
    if unit.is_empty() {
        return Err(format!("add a unit ({})", names(units, ", ")));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("the units are {}", names(units, ", ")));
    };
    let number: u64 = digits.parse().unwrap_or(u64::MAX);
    Ok((number.saturating_mul(*factor), rest))
}
