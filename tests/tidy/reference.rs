//! The reference says what the programs say: of the file's keys by the table that the reading itself uses, of the command line by its own
//! help. `make reference` writes both.
//!
//! Each part stands between two remarks in the document: `<!-- begin: KEYS -->` and `<!-- end: KEYS -->`.

use std::fs;
use std::process::Command;

use monoceros_shared::config::reference;

use crate::harness::{program, repository};

/// Where it stands.
const DOCUMENT: &str = "docs/reference.md";

/// The variable that `make reference` sets: what is printed is written into the document.
const WRITES: &str = "MONOCEROS_WRITE_REFERENCE";

#[test]
fn the_reference_has_the_keys_of_the_file() {
    hold_to("keys", &as_sections(&reference()));
}

#[test]
fn the_reference_has_the_commands_and_what_their_help_says() {
    let first = help(&[]);
    let (_, listed) = first.split_once("Commands:\n").expect("it lists its commands");
    let names = listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    let own = names.filter(|name| *name != "help").map(|name| section(&format!("supervisor {name}"), &help(&[name])));
    let text: String = std::iter::once(section("supervisor", &first)).chain(own).collect();
    hold_to("commands", &text);
}

/// Fails unless the part of the document is `printed`, or makes it that.
fn hold_to(part: &str, printed: &str) {
    let path = repository().join(DOCUMENT);
    let document = fs::read_to_string(&path).expect("there is a reference");
    let (begin, end) = (format!("<!-- begin: {part} -->\n"), format!("<!-- end: {part} -->"));
    let (before, rest) = document.split_once(&begin).expect("its beginning is marked");
    let (found, after) = rest.split_once(&end).expect("its end is marked");
    let wanted = format!("\n{}\n\n", printed.trim());
    if std::env::var_os(WRITES).is_some() {
        fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).expect("the document can be written");
        return;
    }
    assert!(found == wanted, "{DOCUMENT} is old: run `make reference`. Its {part} are to be:\n{wanted}");
}

fn help(words: &[&str]) -> String {
    let output = Command::new(program("supervisor")).args(words).arg("--help").output().expect("it can be run");
    let text = String::from_utf8(output.stdout).expect("help is text");
    let lines = text.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

fn section(title: &str, text: &str) -> String {
    format!("### `{title}`\n\n```text\n{}\n```\n\n", text.trim_end())
}

/// The tables under headings of the document's level.
fn as_sections(reference: &str) -> String {
    let is_title = |line: &str| !line.is_empty() && !line.starts_with('|');
    let lines = reference.trim_end().lines();
    let headed = lines.map(|line| if is_title(line) { format!("### {line}\n") } else { format!("{line}\n") });
    headed.collect()
}
