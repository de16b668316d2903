//! The last lines that a worker printed, for the line that tells of its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Lines: enough for the end of a traceback, or the thread that died of a fatal error. All stand in the log before.
const LINES_MAX: usize = 20;

/// Bytes of them. Less cuts a traceback; more makes the line longer than what a pipe takes at once.
const BYTES_MAX: usize = 3 * 1024;

/// How old they may be to have to do with the end. Less loses what a worker said that then took its time to die; more shows
/// what was printed for another reason.
const AGE_MAX: Duration = Duration::from_secs(2);

/// What stands in a record that says by itself why the process ended.
const FATAL: &str = "Fatal Python error: ";

/// Lines before such a record: what a library had to say before it gave up.
const REASON_LINES: usize = 5;

/// What stands where something was left out.
const MARK: &str = "[...]";

#[derive(Debug, Default)]
pub(super) struct Tail {
    records: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl Tail {
    pub(super) fn push(&mut self, now: Instant, record: &str) {
        let record = shortened(record);
        self.bytes += record.len();
        self.records.push_back((now, record));
        while self.bytes > BYTES_MAX + MARK.len() || self.records.len() > LINES_MAX {
            let Some((_, oldest)) = self.records.pop_front() else { return };
            self.bytes -= oldest.len();
        }
    }

    /// The last lines as one text; empty when there are none. Where there is a fatal error of Python's, that is the last of it.
    pub(super) fn text(&self, now: Instant) -> String {
        let recent = self.records.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= AGE_MAX);
        let mut records: Vec<&str> = recent.map(|(_, record)| record.as_str()).collect();
        let Some(fatal) = records.iter().rposition(|record| record.contains(FATAL)) else {
            return last_lines(&records, LINES_MAX);
        };
        // What else was said stands before it, though it may be told after it: two pipes have no common order.
        let fatal = records.remove(fatal);
        let reason = last_lines(&records, REASON_LINES);
        if reason.is_empty() { fatal.to_owned() } else { format!("{reason}\n{fatal}") }
    }
}

fn last_lines(records: &[&str], count: usize) -> String {
    let lines: Vec<&str> = records.iter().flat_map(|record| record.lines()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// A record that is too long without its middle: its first line says what it is, and its end what happened.
fn shortened(record: &str) -> String {
    let count = record.lines().count();
    if record.len() <= BYTES_MAX && count <= LINES_MAX {
        return record.to_owned();
    }
    let first = record.lines().next().unwrap_or_default();
    let first = &first[..first.floor_char_boundary(BYTES_MAX / 4)];
    let skip = (count + 2).saturating_sub(LINES_MAX).min(count - 1);
    let rest = record.lines().skip(skip).collect::<Vec<_>>().join("\n");
    let room = BYTES_MAX - first.len() - MARK.len();
    format!("{first}\n{MARK}\n{}", &rest[rest.ceil_char_boundary(rest.len().saturating_sub(room))..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lines_are_told_as_they_are_and_old_ones_not() {
        let (mut tail, now) = (Tail::default(), Instant::now());
        assert_eq!(tail.text(now), "");
        tail.push(now, "old");
        let later = now + AGE_MAX + Duration::from_millis(1);
        tail.push(later, "Traceback:\n  line");
        tail.push(later, "Error: x");
        assert_eq!(tail.text(later), "Traceback:\n  line\nError: x");
    }

    #[test]
    fn of_many_lines_the_last_are_told() {
        let (mut tail, now) = (Tail::default(), Instant::now());
        (0..1000).for_each(|number| tail.push(now, &format!("line {number}\n  more")));
        let text = tail.text(now);
        assert!(text.lines().count() == LINES_MAX && text.ends_with("  more\nline 999\n  more"), "{text}");
    }

    #[test]
    fn a_fatal_error_is_told_without_its_middle_and_with_the_few_lines_before_it() {
        let (mut tail, now) = (Tail::default(), Instant::now());
        (0..10).for_each(|number| tail.push(now, &format!("line {number}")));
        tail.push(now, "out of luck");
        let stack: String = (0..100).map(|number| format!("\n  frame {number}")).collect();
        tail.push(now, &format!("{FATAL}Segmentation fault{stack}"));
        tail.push(now, "after");
        let text = tail.text(now);
        let expected =
            "line 7\nline 8\nline 9\nout of luck\nafter\nFatal Python error: Segmentation fault\n[...]\n  frame 8";
        assert!(text.starts_with(expected) && text.ends_with("  frame 98\n  frame 99"), "{text}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        let (mut tail, now) = (Tail::default(), Instant::now());
        for text in ["ü".repeat(100_000), format!("x{}\n{}", "ü".repeat(9_999), "ü".repeat(9_999))] {
            tail.push(now, &text);
            let told = tail.text(now);
            assert!(told.len() <= BYTES_MAX + MARK.len() && told.ends_with('ü'), "{}", told.len());
        }
    }
}
