//! The README's reference of the config says what the code says: it is printed from the same table.

use std::fs;

use monoceros_shared::config::reference;

use crate::harness::repository;

#[test]
fn the_readme_has_the_reference_that_the_keys_print() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let printed = as_sections(&reference());
    assert!(readme.contains(&printed), "the README's reference is to be:\n\n{printed}");
}

/// The tables under headings of the README's level.
fn as_sections(reference: &str) -> String {
    let is_title = |line: &str| !line.is_empty() && !line.starts_with('|');
    let lines = reference.trim_end().lines();
    let headed = lines.map(|line| if is_title(line) { format!("### {line}\n") } else { format!("{line}\n") });
    headed.collect()
}
