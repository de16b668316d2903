//! Rust source as the rules see it: code without comments, strings and tests, and the paths that it names.
//!
//! It is no parser. Comments and literals are blanked, so that braces can be counted and words mean code; a macro that
//! builds a path from pieces would escape it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::repository;

/// One file, read.
pub struct Source {
    /// Relative to the repository.
    pub path: String,
    /// As written.
    pub text: String,
    /// As written, with spaces for comments, literals and what is under `#[cfg(test)]`; lines and columns are kept.
    pub code: String,
    /// Whether the whole file is compiled for tests only.
    pub is_test: bool,
}

impl Source {
    /// The line, counted from 1, of an offset into the text.
    pub fn line(&self, offset: usize) -> usize {
        self.code[..offset].matches('\n').count() + 1
    }

    /// How many lines are not tests.
    pub fn product_lines(&self) -> usize {
        let pairs = self.text.lines().zip(self.code.lines());
        let is_blanked = |text: &str, code: &str| code.trim() == HOLE.to_string() && !text.trim().is_empty();
        pairs.filter(|(text, code)| !is_blanked(text, code)).count()
    }

    /// Every function with a body: its line, its name, and how many lines it has.
    pub fn functions(&self) -> Vec<(usize, String, usize)> {
        let starts = words(&self.code).filter(|(_, word)| *word == "fn");
        starts.filter_map(|(at, _)| self.function(at)).collect()
    }

    fn function(&self, at: usize) -> Option<(usize, String, usize)> {
        let (_, name) = words(&self.code[at + 2..]).next()?;
        let body = at + self.code[at..].find(['{', ';'])?;
        if self.code.as_bytes()[body] == b';' && !self.code[at..body].contains('[') {
            return None;
        }
        let open = at + self.code[at..].find('{')?;
        let (first, last) = (self.line(at), self.line(close_of(&self.code, open)?));
        Some((first, name.to_owned(), last - first + 1))
    }

    /// Every path that the code names, with its line: each `a::b::c`, and each leaf of a `use` tree.
    pub fn paths(&self) -> Vec<(usize, Vec<String>)> {
        let mut found = Vec::new();
        let (mut line, mut counted) = (1, 0);
        for (at, word) in words(&self.code) {
            line += self.code[counted..at].matches('\n').count();
            counted = at;
            if word == "use" && !self.code[at + 3..].trim_start().starts_with('<') {
                let end = self.code[at..].find(';').map_or(self.code.len(), |end| at + end);
                leaves(&self.code[at + 3..end], &[], &mut |path| found.push((line, path)));
            } else if !self.code[..at].ends_with("::") {
                found.push((line, path_at(&self.code[at..])));
            }
        }
        found
    }
}

/// Stands at the start of each line that was blanked because it is a test.
const HOLE: char = '~';

/// Every `.rs` file of the repository, in the order of their paths.
pub fn rust_sources() -> Vec<Source> {
    let mut sources: Vec<Source> = files(&["shared", "supervisor", "worker", "tests"])
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .map(|path| {
            let text = fs::read_to_string(repository().join(&path)).expect("a listed file can be read");
            let code = without_tests(&without_literals(&text));
            let is_test = path.starts_with("tests/") || path.contains("/tests/") || path.contains("/benches/");
            Source { path, text, code, is_test }
        })
        .collect();
    let test_modules: BTreeSet<String> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        source.is_test |= test_modules.iter().any(|module| source.path.starts_with(module));
    }
    sources
}

/// Every file below these folders, and these files, relative to the repository, sorted; nothing that git ignores by our `.gitignore`.
pub fn files(folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        descend(&repository().join(folder), &mut found);
    }
    let root = repository();
    let relative =
        |path: PathBuf| path.strip_prefix(&root).expect("a file of the repository").to_string_lossy().into_owned();
    let mut found: Vec<String> = found.into_iter().map(relative).collect();
    found.sort();
    found
}

fn descend(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        found.push(folder.to_owned());
        return;
    }
    let entries = fs::read_dir(folder).unwrap_or_else(|why| panic!("cannot list {}: {why}", folder.display()));
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let ignored = ["target", "__pycache__", "static"].contains(&&*name) || name.starts_with(".venv");
        match path.is_dir() {
            true if !ignored => descend(&path, found),
            false if !name.ends_with(".pyc") && !name.ends_with(".sqlite3") => found.push(path.clone()),
            true | false => {}
        }
    }
}

/// The files and folders that `#[cfg(test)] mod NAME;` in a source names.
fn test_modules(source: &Source) -> Vec<String> {
    let bare = without_literals(&source.text);
    let folder = match source.path.strip_suffix("/mod.rs").or(source.path.strip_suffix("/lib.rs")) {
        Some(folder) => folder.to_owned(),
        None => source.path.trim_end_matches(".rs").trim_end_matches("/main").to_owned(),
    };
    let marked = bare.split("#[cfg(test)]").skip(1);
    let declared = marked.filter_map(|rest| {
        let (item, _) = rest.split_once([';', '{'])?;
        let is_declaration = rest.as_bytes()[item.len()] == b';';
        let name = item
            .trim()
            .trim_start_matches("pub(crate)")
            .trim_start_matches("pub(super)")
            .trim()
            .strip_prefix("mod ")?;
        is_declaration.then(|| format!("{folder}/{}", name.trim()))
    });
    declared.flat_map(|module| [format!("{module}.rs"), format!("{module}/")]).collect()
}

/// The offset of the brace that closes the one at `open`.
fn close_of(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Blanks each item under `#[cfg(test)]`, and marks the lines where it stood.
fn without_tests(code: &str) -> String {
    let mut code = code.to_owned();
    while let Some(at) = code.find("#[cfg(test)]") {
        let Some(first) = code[at..].find(['{', ';']).map(|first| at + first) else {
            break;
        };
        let end = if code.as_bytes()[first] == b'{' { close_of(&code, first).unwrap_or(code.len() - 1) } else { first };
        let hole: String = code[at..=end].lines().map(|_| HOLE.to_string()).collect::<Vec<_>>().join("\n");
        code.replace_range(at..=end, &hole);
    }
    code
}

/// Blanks comments, strings and characters; keeps every line end.
fn without_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = literal(rest, code.chars().next_back());
        let taken = length.max(rest.chars().next().map_or(1, char::len_utf8));
        let (part, after) = rest.split_at(taken);
        if length == 0 {
            code.push_str(if part.is_ascii() { part } else { "_" });
        } else {
            code.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    code
}

/// How many bytes at the start of `rest` are a comment or a literal.
fn literal(rest: &str, before: Option<char>) -> usize {
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return rest.find("*/").map_or(rest.len(), |end| end + 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    if let Some(quoted_part) = rest.strip_prefix('\'') {
        let c = quoted_part.chars().next().unwrap_or('\'');
        let is_lifetime = c != '\\' && !quoted_part[c.len_utf8()..].starts_with('\'');
        return if is_lifetime { 0 } else { quoted(rest, '\'') };
    }
    let raw = rest.strip_prefix("br").or(rest.strip_prefix('r')).filter(|_| !in_word);
    let Some(raw) = raw else { return 0 };
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    if !raw[hashes..].starts_with('"') {
        return 0;
    }
    let mark = format!("\"{}", "#".repeat(hashes));
    let from = rest.len() - raw.len() + hashes + 1;
    rest[from..].find(&mark).map_or(rest.len(), |end| from + end + mark.len())
}

/// The length of a literal with escapes, its quotes included.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + quote.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Every identifier and keyword, with its offset.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + code[at..].find(is_part)?;
        at = code[start..].find(|c| !is_part(c)).map_or(code.len(), |end| start + end);
        Some((start, &code[start..at]))
    })
}

/// The path that starts here: `a::b::c`.
fn path_at(code: &str) -> Vec<String> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let end = code.find(|c| !is_path(c)).unwrap_or(code.len());
    code[..end].split("::").map(str::to_owned).filter(|part| !part.is_empty()).collect()
}

/// Calls `give` with every leaf of a `use` tree.
fn leaves(tree: &str, before: &[String], give: &mut impl FnMut(Vec<String>)) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let name = tree.split(" as ").next().unwrap_or_default().trim();
        give(before.iter().cloned().chain(path_at(name)).collect());
        return;
    };
    let prefix: Vec<String> = before.iter().cloned().chain(path_at(&tree[..open])).collect();
    let inner = &tree[open + 1..close_of(tree, open).unwrap_or(tree.len())];
    let (mut depth, mut start) = (0, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    leaves(&inner[start..at], &prefix, give);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn code_is_what_is_left_without_comments_literals_and_tests() {
    let text = "let a = \"}\"; // }\nlet c = '}'; let d: &'a str = r#\"}\"#;\n#[cfg(test)]\nmod tests {\n  fn x() {}\n}\nfn y() {}\n";
    let code = without_tests(&without_literals(text));
    assert!(!code.contains('x'), "the test is still there: {code}");
    assert_eq!(code.matches('}').count(), 1, "only the brace of y is left: {code}");
    assert_eq!(code.lines().count(), text.lines().count(), "lines are kept: {code}");
}

#[test]
fn a_use_tree_gives_each_of_its_leaves() {
    let source = Source {
        path: "x.rs".to_owned(),
        text: String::new(),
        code: "use std::{fs, net::{self, TcpStream}};\nfn x() { mio::Poll::new() }".to_owned(),
        is_test: false,
    };
    let paths: Vec<String> = source.paths().into_iter().map(|(_, path)| path.join("::")).collect();
    for expected in ["std::fs", "std::net::TcpStream", "mio::Poll::new"] {
        assert!(paths.iter().any(|path| path == expected), "{expected} is not among {paths:?}");
    }
}
