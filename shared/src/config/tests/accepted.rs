//! What a config says, and what it means.

use super::*;

#[test]
fn four_lines_are_enough() {
    let folder = Folder::new();
    let config = folder.check(&app_with("")).unwrap();
    println!("{config:#?}");
}
