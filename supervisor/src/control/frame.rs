//! Bytes in, lines out, with a bound.

/// Bytes of a line. Every request is below a hundred; without a bound a stranger's line would fill the memory, with
/// a much smaller one the protocol could not grow.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What has come and is no whole line yet.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// How much of it is known to hold no line end, so that a line that comes byte by byte is not searched each time.
    searched: usize,
}

/// A line that is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Inbox {
    /// Takes in what came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line without its end (a line feed, be it with a carriage return), if there is a whole one.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        let end = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        let Some(end) = end.filter(|end| *end <= LINE_BYTES_MAX) else {
            self.searched = self.bytes.len();
            return if self.bytes.len() > LINE_BYTES_MAX { Err(TooLong) } else { Ok(None) };
        };
        self.searched = 0;
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Bytes of it.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        self.bytes.len()
    }

    /// The last line, which the end of the connection ended.
    pub fn rest(&mut self) -> Option<Vec<u8>> {
        self.searched = 0;
        Some(std::mem::take(&mut self.bytes)).filter(|rest| !rest.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(inbox: &mut Inbox) -> Vec<String> {
        std::iter::from_fn(|| inbox.line().unwrap()).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    #[test]
    fn lines_are_the_same_wherever_they_are_cut() {
        let text = b"one\ntwo\r\n\nthree\n";
        for cut in 0..=text.len() {
            let mut inbox = Inbox::default();
            let mut found = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                inbox.push(part);
                found.extend(lines(&mut inbox));
            }
            assert_eq!(found, ["one", "two", "", "three"], "cut at {cut}");
        }
    }

    #[test]
    fn the_end_of_the_connection_ends_a_line() {
        let mut inbox = Inbox::default();
        inbox.push(b"one\ntwo");
        assert_eq!(lines(&mut inbox), ["one"]);
        assert_eq!(inbox.rest(), Some(b"two".to_vec()));
        assert_eq!(inbox.rest(), None);
    }

    #[test]
    fn a_line_is_bounded_with_and_without_an_end() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let mut inbox = Inbox::default();
        inbox.push(longest.as_bytes());
        assert_eq!(inbox.line(), Ok(None));
        inbox.push(b"\n");
        assert_eq!(lines(&mut inbox), [longest.as_str()]);
        inbox.push(longest.as_bytes());
        inbox.push(b"x");
        assert_eq!(inbox.line(), Err(TooLong));
        let mut inbox = Inbox::default();
        inbox.push(longest.as_bytes());
        inbox.push(b"x\n");
        assert_eq!(inbox.line(), Err(TooLong));
    }
}
