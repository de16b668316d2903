//! Files of sections, keys and values, as systemd's units and uWSGI's configs are.

/// A key, where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The section that it is in.
    pub section: String,
    /// Its name.
    pub key: String,
    /// What stands behind it; empty if nothing does.
    pub value: String,
    /// Its line, counted from 1.
    pub line: usize,
}

/// Every key of a file, in its order. A line that ends with a backslash goes on in the next.
pub fn pairs(text: &str) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut section = String::new();
    let mut lines = text.lines().zip(1..);
    while let Some((first, number)) = lines.next() {
        let mut whole = first.trim().to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            let Some((next, _)) = lines.next() else { break };
            whole = format!("{} {}", whole.trim_end(), next.trim());
        }
        let line = whole.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => section = name.trim().to_owned(),
            None => {
                let (key, value) = line.split_once('=').unwrap_or((line, ""));
                let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
                pairs.push(Pair { section: section.clone(), key, value, line: number });
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_its_keys_in_their_sections() {
        let text = "# a\n[Unit]\nA = b=c\n; x\n\n[Service]\nExecStart=/bin/x \\\n  -y\nmaster\n";
        let found: Vec<(String, String, String, usize)> =
            pairs(text).into_iter().map(|pair| (pair.section, pair.key, pair.value, pair.line)).collect();
        let expected =
            [("Unit", "A", "b=c", 3), ("Service", "ExecStart", "/bin/x -y", 7), ("Service", "master", "", 9)];
        let expected = expected.map(|(section, key, value, line)| (section.into(), key.into(), value.into(), line));
        assert_eq!(found, expected);
    }
}
