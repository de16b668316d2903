//! How a file looks: what it opens with, how long it and its functions are, what does not stand in it.

use super::hold;
use super::source::{Source, files, rust_sources, words};
use crate::harness::repository;

/// Lines of a file without its tests. Longer files hide a second job; much shorter ones scatter one.
const FILE_LINES_MAX: usize = 400;
/// Lines of a file of tests: a table of cases may be long.
const TEST_FILE_LINES_MAX: usize = 800;
/// Lines of a `main.rs`, which only starts what other files do.
const MAIN_LINES_MAX: usize = 80;
/// Lines of a function, its signature included: more than this is not seen at one look.
const FUNCTION_LINES_MAX: usize = 60;

#[test]
fn every_file_opens_by_saying_what_it_is() {
    let silent = rust_sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    hold(
        "A file opens with //!: its job, its rules, its known fault.",
        silent.map(|source| format!("{}:1: opens with something else", source.path)).collect(),
    );
}

#[test]
fn files_are_short() {
    let too_long = rust_sources().into_iter().filter_map(|source| {
        let (lines, limit) = match () {
            () if source.path.ends_with("/main.rs") => (source.product_lines(), MAIN_LINES_MAX - 1),
            () if source.is_test => (source.text.lines().count(), TEST_FILE_LINES_MAX),
            () => (source.product_lines(), FILE_LINES_MAX),
        };
        (lines > limit).then(|| format!("{}:{limit}: {lines} lines", source.path))
    });
    hold("A file has one job and can be read at one sitting.", too_long.collect());
}

#[test]
fn functions_are_short() {
    let long = |source: Source| {
        let path = source.path.clone();
        let functions = source.functions().into_iter().filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX);
        functions.map(move |(line, name, lines)| format!("{path}:{line}: {name} has {lines} lines")).collect::<Vec<_>>()
    };
    hold(
        "A function is seen at one look: 60 lines at the outside.",
        rust_sources().into_iter().filter(|source| !source.is_test).flat_map(long).collect(),
    );
}

#[test]
fn nothing_is_left_for_later() {
    // Written in two parts, so that this file does not find itself.
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["X", "XX"].concat()];
    let mut broken = Vec::new();
    for path in
        files(&["shared", "supervisor", "worker", "tests", "examples", "docs", "README.md", "CHANGELOG.md", "Makefile"])
    {
        let Ok(text) = std::fs::read_to_string(repository().join(&path)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if let Some((_, mark)) = words(line).find(|(_, word)| marks.iter().any(|mark| mark == word)) {
                broken.push(format!("{path}:{}: {mark}", number + 1));
            }
        }
    }
    hold("What is not done is an issue, not a remark in the code.", broken);
}

#[test]
fn no_test_lets_time_pass() {
    let word = ["sl", "eep"].concat();
    let mut broken = Vec::new();
    for source in rust_sources() {
        let code = if source.is_test { source.text.clone() } else { only_tests(&source) };
        broken.extend(lines_with(&source.path, &code, &word));
    }
    // A benchmark is no test: an application there waits as one for its database does.
    let is_held = |path: &String| path.ends_with(".py") && !path.starts_with("tests/bench/");
    for path in files(&["tests", "examples"]).into_iter().filter(is_held) {
        let text = std::fs::read_to_string(repository().join(&path)).expect("a listed file can be read");
        broken.extend(lines_with(&path, &text, &word));
    }
    hold("A test waits for a fact with a deadline (harness::eventually), for time proves nothing.", broken);
}

/// The text of a product file where its code was blanked as a test.
fn only_tests(source: &Source) -> String {
    let pairs = source.text.lines().zip(source.code.lines());
    pairs.map(|(text, code)| if code.starts_with('~') { text } else { "" }).collect::<Vec<_>>().join("\n")
}

fn lines_with(path: &str, text: &str, word: &str) -> Vec<String> {
    let calls = |line: &str| words(line).any(|(at, found)| found == word && line[at + word.len()..].starts_with('('));
    let numbered = text.lines().enumerate().filter(|(_, line)| calls(line));
    numbered.map(|(number, line)| format!("{path}:{}: {}", number + 1, line.trim())).collect()
}
