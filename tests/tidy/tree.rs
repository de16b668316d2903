//! What lies where, what it is called, and that the map says so.

use std::fs;

use super::hold;
use super::source::files;
use crate::harness::repository;

/// All that may lie at the top, beside files whose name begins with a dot.
const TOP: &[&str] = &[
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "docs",
    "examples",
    "packaging",
    "shared",
    "supervisor",
    "target",
    "tests",
    "worker",
];

/// Where the map stands.
const MAP: &str = "docs/CONTRIBUTING.md";

/// Names that tell a kind of code instead of a thing.
const EMPTY_NAMES: &[&str] = &["common", "helper", "helpers", "manager", "misc", "types", "util", "utils"];

#[test]
fn the_top_level_holds_only_what_it_should() {
    let entries = fs::read_dir(repository()).expect("the repository can be listed");
    let names = entries.map(|entry| entry.expect("an entry can be read").file_name().to_string_lossy().into_owned());
    let strange = names.filter(|name| !name.starts_with('.') && !TOP.contains(&name.as_str()));
    hold(
        "The top level is a table of contents.",
        strange.map(|name| format!("{name}:1: does not belong there")).collect(),
    );
}

#[test]
fn files_are_named_for_things() {
    let empty = files(&["docs", "shared", "supervisor", "worker", "tests", "examples"]).into_iter().filter(|path| {
        let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or_default());
        parts.any(|part| EMPTY_NAMES.contains(&part))
    });
    hold(
        "A file is named for a thing of the domain.",
        empty.map(|path| format!("{path}:1: names a kind of code")).collect(),
    );
}

#[test]
fn the_map_shows_the_tree_as_it_is() {
    let mapped = mapped();
    let real = landmarks();
    let missing =
        real.iter().filter(|path| !mapped.contains(path)).map(|path| format!("{MAP}:1: the map lacks {path}"));
    let gone = mapped.iter().filter(|path| !repository().join(path).exists());
    hold(
        "The map names what is there.",
        missing.chain(gone.map(|path| format!("{MAP}:1: there is no {path}"))).collect(),
    );
}

/// Every path in the map: the fenced block under `## The tree`, two spaces deeper for each folder.
fn mapped() -> Vec<String> {
    let document = fs::read_to_string(repository().join(MAP)).expect("there is a document with the map");
    let section = document.split("\n## The tree\n").nth(1).expect("it has a section `The tree`");
    let block = section.split("```").nth(1).expect("the section has a fenced block");
    let mut folders: Vec<&str> = Vec::new();
    let mut paths = Vec::new();
    for line in block.lines().skip(1).filter(|line| !line.trim().is_empty()) {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let name = line.split_whitespace().next().unwrap_or_default();
        folders.truncate(depth);
        folders.push(name.trim_end_matches('/'));
        paths.push(folders.join("/"));
    }
    paths
}

/// What the map must name: every Rust file of the product but `mod.rs` and `lib.rs`, every folder of those, of the
/// examples and of the tests.
fn landmarks() -> Vec<String> {
    let product = files(&["shared/src", "supervisor/src", "worker/src"]);
    // A folder's own file is named by the folder, and so are the files of a folder of tests.
    let is_named = |path: &str| {
        path.ends_with(".rs")
            && !["/mod.rs", "/lib.rs"].iter().any(|own| path.ends_with(own))
            && !path.contains("/tests/")
    };
    let mut found: Vec<String> = product.iter().filter(|path| is_named(path)).cloned().collect();
    for path in product.iter().chain(&files(&["examples", "tests"])) {
        let depth = if path.starts_with("examples/") || path.starts_with("tests/") { 2 } else { usize::MAX };
        let folders = path.match_indices('/').take(depth);
        found.extend(folders.map(|(at, _)| path[..at].to_owned()));
    }
    found.sort();
    found.dedup();
    found
}
