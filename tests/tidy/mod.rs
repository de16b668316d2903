//! The house rules as tests: each failure names the place and the reason.
//!
//! `source` reads the tree; `shape` holds how files look, `crossings` what a part must not know, `tree` what lies
//! where, `reference` that the documents say of the file and of the command line what the code does.

mod crossings;
mod reference;
mod shape;
mod source;
mod tree;

/// Fails with every line of `broken`, under the rule that they break.
fn hold(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}\n  {}\n", broken.join("\n  "));
}
