//! A config read from a file: the file itself, and what its folder means.

use std::fs;
use std::os::unix::fs::symlink;

use super::super::read;
use super::*;

fn refused(path: &Path) -> String {
    let error = read(path).expect_err("a file that is refused").to_string();
    error.strip_prefix(&format!("{}:", path.display())).expect("the file's name first").to_owned()
}

#[test]
fn a_file_is_read_and_its_real_path_kept() {
    let folder = Folder::new();
    fs::create_dir(folder.path().join("release")).unwrap();
    fs::write(folder.path().join("release/server.yaml"), app_with("")).unwrap();
    let link = folder.path().join("server.yaml");
    symlink("release/server.yaml", &link).unwrap();
    let config = read(&link).unwrap().config;
    assert_eq!(config.file, Some(link.canonicalize().unwrap()));
    assert_eq!(
        config.apps[0].directory,
        folder.path(),
        "the folder that was named, not the one that the link leads to"
    );
}

#[test]
fn a_file_that_is_not_there_is_said_to_be_missing() {
    let folder = Folder::new();
    assert_eq!(refused(&folder.path().join("no.yaml")), " cannot read the file: it does not exist");
}

#[test]
fn a_folder_is_no_file() {
    assert_eq!(refused(Folder::new().path()), " cannot read the file: it is a folder");
}

#[test]
fn bytes_that_are_no_text_are_refused_where_they_stand() {
    let folder = Folder::new();
    let path = folder.path().join("f");
    fs::write(&path, b"apps:\n  a\xc3\xa9\xff: x").unwrap();
    assert_eq!(refused(&path), "2:5: cannot read the file: it is not UTF-8 from here");
}

#[test]
fn an_empty_file_is_refused() {
    let folder = Folder::new();
    let path = folder.path().join("f");
    fs::write(&path, "").unwrap();
    assert_eq!(refused(&path), "1:1: the file is empty: it needs at least `apps:`");
}

#[test]
fn a_file_above_a_mebibyte_is_refused_and_one_of_it_is_not() {
    let folder = Folder::new();
    let path = folder.path().join("f");
    let mut text = app_with("");
    text.push_str(&"#".repeat((1 << 20) - text.len()));
    fs::write(&path, &text).unwrap();
    assert!(read(&path).is_ok());
    fs::write(&path, text + "#").unwrap();
    assert_eq!(refused(&path), " cannot read the file: it is larger than 1 MiB");
}

#[test]
fn an_error_in_a_file_begins_with_the_file_as_it_was_named() {
    let folder = Folder::new();
    let path = folder.path().join("f");
    fs::write(&path, app_with("worker: 2")).unwrap();
    assert_eq!(refused(&path), "5:5: unknown key `worker`: did you mean `workers`?");
    assert_eq!(read(&path).unwrap_err().place(), Some(super::super::Place { line: 5, column: 5 }));
}
