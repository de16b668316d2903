//! Which files the loaded modules come from, for whoever watches them.
//!
//! The application's own only: not Python's library, and nothing in a `site-packages`, which changes by an installation and
//! not by a save. A package that is installed to be edited lies outside of it, and so is named.
//!
//! A load that fails names no files: the modules of the one before are still watched, and the globs of `reload.on_change`
//! find those that are new. So what is worth watching from the first boot on must match a glob.

use std::path::{Path, PathBuf, absolute};

use monoceros_shared::config::{App, Source};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule};

/// Bytes that the paths may have in a message. With what else it says it stays below a message's 64 KiB.
const BYTES_MAX: usize = 60 * 1024;
/// Bytes that a path costs beside its own: its length.
const LENGTH_BYTES: usize = 3;

/// The regular files that the application's modules were loaded from, those in its directory first; as many as fit one message.
///
/// Call it without the GIL.
pub fn files(app: &App) -> Vec<PathBuf> {
    // An interpreter in which this fails has no modules worth watching.
    let found = Python::attach(|py| Some((names(py).ok()?, library(py).ok()?)));
    let (names, library) = found.unwrap_or_default();
    let mut files: Vec<PathBuf> = names
        .iter()
        .filter_map(|name| absolute(app.directory.join(name)).ok())
        .filter(|file| !is_installed(file, &library) && file.is_file())
        .collect();
    // What makes an application belongs to its code.
    if let Source::Paste(paste) = &app.wsgi {
        files.push(paste.file.clone());
    }
    files.sort_by_cached_key(|file| (!file.starts_with(&app.directory), file.clone()));
    files.dedup();
    fitting(files)
}

/// Each module's `__file__`, as it says it. Nothing of the application's runs for it, not even a lazy module's import.
fn names(py: Python<'_>) -> PyResult<Vec<String>> {
    let modules = py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?;
    let file = |module: Bound<'_, PyAny>| -> Option<String> {
        let file = module.cast_into::<PyModule>().ok()?.dict().get_item("__file__").ok()??;
        // A name that is not UTF-8 cannot be said in a message.
        file.extract().ok()
    };
    Ok(modules.values().iter().filter_map(file).collect())
}

/// The folders of Python's library and of what is installed beside it.
fn library(py: Python<'_>) -> PyResult<Vec<PathBuf>> {
    let paths = py.import("sysconfig")?.call_method0("get_paths")?;
    let folder = |name: &str| paths.get_item(name).and_then(|path| path.extract());
    ["stdlib", "platstdlib", "purelib", "platlib"].into_iter().map(folder).collect()
}

fn is_installed(file: &Path, library: &[PathBuf]) -> bool {
    // Debian's own packages lie in a `dist-packages` that sysconfig does not name.
    let is_packages = |name: &std::ffi::OsStr| name == "site-packages" || name == "dist-packages";
    library.iter().any(|folder| file.starts_with(folder)) || file.iter().any(is_packages)
}

/// As many of the first as fit one message.
fn fitting(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut room = BYTES_MAX;
    let end = files.iter().position(|file| {
        let left = room.checked_sub(file.as_os_str().len() + LENGTH_BYTES);
        room = left.unwrap_or(0);
        left.is_none()
    });
    files.truncate(end.unwrap_or(files.len()));
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_files_are_cut_as_to_fit_one_message() {
        let files: Vec<PathBuf> = (0..10_000).map(|number| format!("/srv/app/module{number:05}.py").into()).collect();
        let fitting = fitting(files.clone());
        assert!(fitting.len() > 1000 && files.starts_with(&fitting), "{}", fitting.len());
        let bytes: usize = fitting.iter().map(|file| file.as_os_str().len() + LENGTH_BYTES).sum();
        assert!((BYTES_MAX - 100..=BYTES_MAX).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_is_installed_is_not_the_applications() {
        let library = [PathBuf::from("/usr/lib/python3.11")];
        for installed in ["/usr/lib/python3.11/os.py", "/a/site-packages/b.py", "/usr/lib/python3/dist-packages/c/d.py"]
        {
            assert!(is_installed(Path::new(installed), &library), "{installed}");
        }
        for own in ["/usr/lib/python3.11x/os.py", "/srv/app/site_packages/b.py"] {
            assert!(!is_installed(Path::new(own), &library), "{own}");
        }
    }
}
