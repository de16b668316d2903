//! Lets `worker` find the libpython that it was built against, wherever that is, and tells it which `python` that was.

use std::path::{Path, PathBuf};

/// Where the loader looks by itself. A path to there in the program would keep it from a library that somebody puts before it.
const SEARCHED: [&str; 2] = ["/usr/lib", "/lib"];

fn main() {
    let python = pyo3_build_config::get();
    let version = python.version().to_string();
    if !python.lib_dir().is_some_and(|folder| SEARCHED.iter().any(|searched| Path::new(folder).starts_with(searched))) {
        pyo3_build_config::add_libpython_rpath_link_args();
    }
    println!("cargo::rustc-env=MONOCEROS_PYTHON={}", executable(python.executable(), &version).display());
    println!("cargo::rustc-env=MONOCEROS_PYTHON_VERSION={version}");
}

/// By the name with its version, where it has one: `python3` may come to mean another.
fn executable(given: Option<&str>, version: &str) -> PathBuf {
    let given = PathBuf::from(given.unwrap_or("python3"));
    let versioned = given.with_file_name(format!("python{version}"));
    if versioned.exists() { versioned } else { given }
}
