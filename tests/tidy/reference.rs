//! The README's reference of the config says what the code says: it is printed from the same table.

use std::fs;

use monoceros_shared::config::{Key, keys};

use crate::harness::repository;

#[test]
fn the_readme_has_the_reference_that_the_keys_print() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("there is a README");
    let printed = reference();
    assert!(readme.contains(&printed), "the README's reference is to be:\n\n{printed}");
}

/// Every key in a table of its section, in the order of the file.
fn reference() -> String {
    let mut text = String::new();
    let mut section = None;
    for key in keys() {
        if section != Some(key.section) {
            let title = if key.section.is_empty() { "The top level".to_owned() } else { format!("`{}`", key.section) };
            text += &format!("\n### {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n");
            section = Some(key.section);
        }
        text += &row(&key);
    }
    text.trim_start().to_owned()
}

fn row(key: &Key) -> String {
    let range = key.range.map_or(String::new(), |(min, max)| format!(", {min} to {max}"));
    let default = match key.default {
        None => "required".to_owned(),
        // Such a default tells in words what holds, and is not a value.
        Some(words) if words == "none" || words.contains(' ') => words.to_owned(),
        Some(value) => format!("`{value}`"),
    };
    format!(
        "| `{}` | {}{range} | {default} | {} |\n",
        key.name,
        key.form.replace('|', "\\|"),
        key.about.replace('|', "\\|")
    )
}
