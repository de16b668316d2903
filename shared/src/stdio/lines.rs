//! From the bytes of a pipe to records of the log: what belongs together stays together.
//!
//! ```text
//!   bytes -> lines -> a line that continues the one before joins its record: it is indented, ends a traceback, goes on with
//!                     a chain of them, closes a bracket, or a fatal error goes before it
//! ```
//!
//! Rules
//! * A record is ready when a line comes that does not continue it, or when nothing has come for a while: [`HOLD`];
//!   [`LONG_HOLD`] in the middle of a line, of a traceback or of a fatal error, which come in many writes.
//! * Nothing here grows without a bound: a line is cut at [`LINE_BYTES_MAX`], a record at [`RECORD_BYTES_MAX`].
//! * Bytes that are no UTF-8 are shown as U+FFFD; a cut never makes such bytes out of good ones. What else is strange in a
//!   text is for the log to escape.
//! * Empty lines stay within a record; a record of nothing else is none.
//!
//! Pure: time is an argument.
//!
//! Known fault: an exception whose message has lines of its own that are not indented ends its record at the first of them.

use std::time::{Duration, Instant};

use memchr::memchr;

/// Bytes of a line. A longer one is told in pieces. Less would cut the JSON that some applications print; more would let one
/// print fill the log's queue.
const LINE_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a record, to which its last line may add. Less would cut deep tracebacks; more fills the queue.
const RECORD_BYTES_MAX: usize = 32 * 1024;

/// How long a record waits for a line that continues it. Less tears apart what is written by several writes on a busy machine;
/// more makes lines late, to whom they are followed live.
const HOLD: Duration = Duration::from_millis(25);

/// The same in the middle of something, where more is sure to come unless its writer hangs. Less tears it apart; more hides
/// for as long what a prompt without a line end says.
const LONG_HOLD: Duration = Duration::from_millis(500);

const TRACEBACK: &str = "Traceback (most recent call last):";
const CHAINS: [&str; 2] = [
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
];
/// Behind what was written without a line end, if need be.
const FATAL: &str = "Fatal Python error: ";

/// What is to be expected behind the last line of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    /// Nothing in particular.
    #[default]
    Text,
    /// Frames, and then the exception's line.
    Traceback,
    /// Another traceback, which led to this one or came of it.
    Chain,
    /// All that comes, for the process dies: stacks of its threads, its modules.
    Fatal,
}

/// One stream's lines.
#[derive(Debug, Default)]
pub struct Lines {
    /// The line that has no end yet.
    unfinished: Vec<u8>,
    /// The record that may still go on.
    record: String,
    /// Empty lines behind it, which belong to it if something follows.
    blanks: usize,
    within: Within,
    /// Whether all of the record came with the bytes that are looked at.
    fresh: bool,
    /// When something came last.
    touched: Option<Instant>,
}

impl Lines {
    /// Takes in what was read, and gives the records that it made ready.
    pub fn add(&mut self, mut bytes: &[u8], now: Instant, ready: &mut Vec<String>) {
        if bytes.is_empty() {
            return;
        }
        self.touched = Some(now);
        self.fresh = false;
        while let Some(end) = memchr(b'\n', bytes) {
            self.extend(&bytes[..end], ready);
            self.end_line(ready);
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes, ready);
    }

    /// When what is held is told, if nothing more comes.
    pub fn deadline(&self) -> Option<Instant> {
        let touched = self.touched?;
        let is_midway = !self.unfinished.is_empty() || self.within != Within::Text;
        Some(touched + if is_midway { LONG_HOLD } else { HOLD })
    }

    /// Gives what was held for long enough.
    pub fn tell_due(&mut self, now: Instant, ready: &mut Vec<String>) {
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            self.finish(ready);
        }
    }

    /// Gives all that is held: the stream has ended, or nobody will go on with it.
    pub fn finish(&mut self, ready: &mut Vec<String>) {
        if !self.unfinished.is_empty() {
            self.end_line(ready);
        }
        self.tell(ready);
        self.touched = None;
    }

    /// More of the line; what is too long of it is told at once.
    fn extend(&mut self, mut bytes: &[u8], ready: &mut Vec<String>) {
        while self.unfinished.len() + bytes.len() > LINE_BYTES_MAX {
            let (part, rest) = bytes.split_at(LINE_BYTES_MAX - self.unfinished.len());
            self.unfinished.extend_from_slice(part);
            let begun = self.unfinished.split_off(whole_characters(&self.unfinished));
            self.end_line(ready);
            self.tell(ready);
            self.unfinished = begun;
            bytes = rest;
        }
        self.unfinished.extend_from_slice(bytes);
    }

    fn end_line(&mut self, ready: &mut Vec<String>) {
        let bytes = std::mem::take(&mut self.unfinished);
        let line = String::from_utf8_lossy(bytes.strip_suffix(b"\r").unwrap_or(&bytes));
        if line.trim().is_empty() {
            self.blanks += usize::from(!self.record.is_empty());
        } else {
            if !self.is_continued_by(&line) {
                self.tell(ready);
            }
            self.push(&line);
        }
        // The room is used again: most lines are short.
        self.unfinished = bytes;
        self.unfinished.clear();
    }

    fn is_continued_by(&self, line: &str) -> bool {
        let is_indented = line.starts_with([' ', '\t']);
        if self.record.is_empty() || self.record.len() + line.len() > RECORD_BYTES_MAX {
            return false;
        }
        match self.within {
            Within::Fatal => true,
            Within::Traceback => true,
            Within::Chain => line == TRACEBACK || is_indented,
            Within::Text if is_indented || CHAINS.contains(&line) => true,
            // `logging.exception` writes its line and the traceback at once; threads and destructors announce theirs.
            Within::Text if line == TRACEBACK => self.fresh || self.record.starts_with("Exception "),
            Within::Text => line.starts_with([')', ']', '}']) && self.record.contains('\n'),
        }
    }

    fn push(&mut self, line: &str) {
        if self.record.is_empty() {
            self.fresh = true;
        } else {
            self.record.extend(std::iter::repeat_n('\n', self.blanks + 1));
        }
        self.blanks = 0;
        self.record.push_str(line);
        let is_indented = line.starts_with([' ', '\t']);
        self.within = match self.within {
            Within::Fatal => Within::Fatal,
            _ if line.contains(FATAL) => Within::Fatal,
            _ if line == TRACEBACK => Within::Traceback,
            _ if CHAINS.contains(&line) => Within::Chain,
            Within::Traceback if is_indented => Within::Traceback,
            Within::Chain if is_indented => Within::Chain,
            Within::Traceback | Within::Chain | Within::Text => Within::Text,
        };
    }

    fn tell(&mut self, ready: &mut Vec<String>) {
        if !self.record.is_empty() {
            ready.push(std::mem::take(&mut self.record));
        }
        self.blanks = 0;
        self.within = Within::Text;
    }
}

/// How many of these bytes can be told without cutting a character in two.
fn whole_characters(bytes: &[u8]) -> usize {
    // A character has four bytes at most, the first of which says how many.
    let is_first = |byte: u8| byte & 0b1100_0000 != 0b1000_0000;
    let Some(back) = bytes.iter().rev().take(4).position(|byte| is_first(*byte)) else {
        return bytes.len();
    };
    let first = bytes.len() - 1 - back;
    let length = match bytes[first] {
        0b1100_0000..=0b1101_1111 => 2,
        0b1110_0000..=0b1110_1111 => 3,
        0b1111_0000..=0b1111_0111 => 4,
        _ => 1,
    };
    if first > 0 && first + length > bytes.len() { first } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAINED: &str = "\
Traceback (most recent call last):
  File \"a.py\", line 1, in f
    {}[1]
    ~~^^^
KeyError: 1

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File \"a.py\", line 3, in <module>
    f()
ValueError: two words";

    const CRASH: &str = "\
Fatal Python error: Segmentation fault

Current thread 0x00007f2a (most recent call first):
  File \"/usr/lib/python3.11/ctypes/__init__.py\", line 517 in string_at

Thread 0x00007f2b (most recent call first):
  <no Python frame>

Extension modules: _ctypes (total: 1)";

    fn records(text: &str) -> Vec<String> {
        let (mut lines, mut ready) = (Lines::default(), Vec::new());
        lines.add(text.as_bytes(), Instant::now(), &mut ready);
        lines.finish(&mut ready);
        ready
    }

    /// The same, however the bytes are cut.
    fn records_bytewise(text: &str) -> Vec<String> {
        let (mut lines, mut ready) = (Lines::default(), Vec::new());
        let now = Instant::now();
        for byte in text.as_bytes() {
            lines.add(&[*byte], now, &mut ready);
        }
        lines.finish(&mut ready);
        ready
    }

    #[test]
    fn each_line_is_a_record() {
        for records in [records("one\ntwo\r\n\nthree"), records_bytewise("one\ntwo\r\n\nthree")] {
            assert_eq!(records, ["one", "two", "three"]);
        }
        assert!(records("\n \n\r\n\n").is_empty());
    }

    #[test]
    fn a_chain_of_tracebacks_is_one_record_however_it_comes() {
        let text = format!("before\nException in thread A:\n{CHAINED}\nafter\n");
        let expected = ["before".to_owned(), format!("Exception in thread A:\n{CHAINED}"), "after".to_owned()];
        assert_eq!(records(&text), expected);
        assert_eq!(records_bytewise(&text), expected);
    }

    #[test]
    fn a_line_written_together_with_its_traceback_is_one_record_with_it() {
        let text = format!("ERROR:root:it failed\n{CHAINED}\n");
        assert_eq!(records(&text), [text.trim_end()]);
    }

    #[test]
    fn a_fatal_error_takes_all_that_follows() {
        let text = format!("before\n{CRASH}\n");
        for records in [records(&text), records_bytewise(&text)] {
            assert_eq!(records, ["before", CRASH]);
        }
        let text = format!("out of luck{CRASH}");
        assert_eq!(records(&text), [text]);
    }

    #[test]
    fn what_is_indented_or_closes_a_bracket_continues() {
        let text = "{\n  \"a\": [\n    1\n  ]\n}\n} alone\nitem:\n\n\tmore\nnext\n";
        let expected = ["{\n  \"a\": [\n    1\n  ]\n}\n} alone", "item:\n\n\tmore", "next"];
        assert_eq!(records(text), expected);
    }

    #[test]
    fn a_record_is_told_when_nothing_more_comes_and_later_in_the_middle_of_something() {
        for (text, hold) in [("line\n", HOLD), ("lin", LONG_HOLD), (&CHAINED[..60], LONG_HOLD), (FATAL, LONG_HOLD)] {
            let (mut lines, mut ready, now) = (Lines::default(), Vec::new(), Instant::now());
            lines.add(text.as_bytes(), now, &mut ready);
            assert_eq!(lines.deadline(), Some(now + hold), "{text}");
            lines.tell_due(now + hold - Duration::from_millis(1), &mut ready);
            assert!(ready.is_empty(), "{text}");
            lines.tell_due(now + hold, &mut ready);
            assert_eq!(ready, [text.trim_end_matches('\n')]);
            assert_eq!(lines.deadline(), None);
        }
    }

    #[test]
    fn what_comes_after_a_record_was_told_is_another() {
        let (mut lines, mut ready, now) = (Lines::default(), Vec::new(), Instant::now());
        lines.add(b"one\n", now, &mut ready);
        lines.tell_due(now + HOLD, &mut ready);
        lines.add(b"  two\n", now + HOLD, &mut ready);
        lines.finish(&mut ready);
        assert_eq!(ready, ["one", "  two"]);
    }

    #[test]
    fn a_line_without_an_end_is_cut_between_characters() {
        let text = "ü".repeat(LINE_BYTES_MAX);
        let shifted = format!("x{text}");
        for text in [&text, &shifted] {
            let records = records(text);
            assert!(records.len() >= 2 && records.iter().all(|record| record.len() <= LINE_BYTES_MAX));
            assert_eq!(&records.concat(), text);
        }
        // What is no UTF-8 anyway is cut anywhere, and all of it is told.
        let (mut lines, mut ready) = (Lines::default(), Vec::new());
        lines.add(&[0x80; 2 * LINE_BYTES_MAX], Instant::now(), &mut ready);
        lines.finish(&mut ready);
        assert_eq!(ready.concat().chars().count(), 2 * LINE_BYTES_MAX);
    }

    #[test]
    fn a_record_that_never_ends_is_cut() {
        let text = format!("first\n{}", "  indented\n".repeat(RECORD_BYTES_MAX / 5));
        let records = records(&text);
        assert!(records.len() >= 2 && records.iter().all(|record| record.len() <= RECORD_BYTES_MAX + 16));
        let lines: usize = records.iter().map(|record| record.lines().count()).sum();
        assert_eq!(lines, 1 + RECORD_BYTES_MAX / 5);
    }
}
