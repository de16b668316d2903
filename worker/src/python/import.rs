//! Imports the application, and says what a person needs to know where that fails.

use std::fmt::Write;

use monoceros_shared::config::{App, Callable, Paste, Source};
use monoceros_shared::link::Failure;
use pyo3::exceptions::{PyAttributeError, PySystemExit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyModule, PyType};

use super::interpreter::VERSION;
use super::{error, foreign, paste};

/// Bytes of a failure's detail: with its frame it must stay below the 64 KiB of a message to the supervisor.
const DETAIL_BYTES_MAX: usize = 48 * 1024;
/// Callables named where the wanted one is missing.
const NAMED_MAX: usize = 10;

/// Imports the module and gives its application.
///
/// # Errors
/// When the import raises or exits, the attribute is missing, the factory raises, or there is nothing callable in the end.
pub fn application(py: Python<'_>, app: &App) -> Result<Py<PyAny>, Failure> {
    find(py, app).map_err(|fault| {
        Failure::new(format!("cannot import {}: {}", app.wsgi, fault.cause), cut(&detail(py, fault.traceback)))
    })
}

/// What went wrong: one line, and the traceback if something was raised.
struct Fault {
    cause: String,
    traceback: Option<String>,
}

impl Fault {
    fn raised(py: Python<'_>, doing: &str, error: &PyErr) -> Fault {
        let exit = error.is_instance_of::<PySystemExit>(py);
        let what = if exit { "exited by " } else { "raised " };
        let prefix = if doing.is_empty() { String::new() } else { format!("{doing} {what}") };
        Fault { cause: format!("{prefix}{}", error::one_line(py, error)), traceback: Some(error::traceback(py, error)) }
    }
}

fn find(py: Python<'_>, app: &App) -> Result<Py<PyAny>, Fault> {
    let (found, made_by) = match &app.wsgi {
        Source::Callable(callable) => (named(py, callable)?, callable.factory.then_some("the factory")),
        Source::Paste(paste) => (deployed(py, app, paste)?, Some("PasteDeploy")),
    };
    if super::tornado::is_meant_for_it(&found, app) {
        let cause = "it is an application of tornado's own, which `engine: tornado` serves".to_owned();
        return Err(Fault { cause, traceback: None });
    }
    if found.is_callable() || super::tornado::is_native(&found) {
        return Ok(found.unbind());
    }
    let kind = super::respond::type_name(&found);
    let subject = made_by.map_or_else(|| "it".to_owned(), |maker| format!("what {maker} gave"));
    Err(Fault { cause: format!("{subject} is of type {kind}, which cannot be called"), traceback: None })
}

/// What a module has under a name, or makes.
fn named<'py>(py: Python<'py>, callable: &Callable) -> Result<Bound<'py, PyAny>, Fault> {
    let module = py.import(callable.module.as_str()).map_err(|error| {
        let exited = error.is_instance_of::<PySystemExit>(py);
        Fault::raised(py, if exited { "the module" } else { "" }, &error)
    })?;
    let mut found = module.clone().into_any();
    for name in callable.attribute.split('.') {
        found = found.getattr(name).map_err(|error| missing(py, (&module, &found), (name, &error)))?;
    }
    if callable.factory {
        found = found.call0().map_err(|error| Fault::raised(py, "the factory", &error))?;
    }
    Ok(found)
}

/// What PasteDeploy makes.
fn deployed<'py>(py: Python<'py>, app: &App, paste: &Paste) -> Result<Bound<'py, PyAny>, Fault> {
    let loader = paste::loader(py).map_err(|error| match foreign::is_missing(py, &error, "paste") {
        true => Fault { cause: foreign::absence(app, "PasteDeploy"), traceback: None },
        false => Fault::raised(py, "", &error),
    })?;
    paste::load(&loader, app, paste).map_err(|error| Fault::raised(py, "", &error))
}

/// Puts `directory` first on `sys.path` and `python_path` behind it, and has `threading` take this thread for the main one.
///
/// # Errors
/// When Python cannot.
pub fn prepare(py: Python<'_>, app: &App) -> PyResult<()> {
    py.import("threading")?;
    let path = py.import("sys")?.getattr("path")?;
    for (place, folder) in std::iter::once(&app.directory).chain(&app.python_path).enumerate() {
        path.call_method1("insert", (place, folder.as_os_str()))?;
    }
    Ok(())
}

fn missing(py: Python<'_>, holders: (&Bound<'_, PyModule>, &Bound<'_, PyAny>), what: (&str, &PyErr)) -> Fault {
    let ((module, holder), (name, error)) = (holders, what);
    if !error.is_instance_of::<PyAttributeError>(py) {
        return Fault::raised(py, "", error);
    }
    let module_name = module.name().map_or_else(|_| String::new(), |name| name.to_string());
    if !holder.is(module) {
        let kind = super::respond::type_name(holder);
        return Fault {
            cause: format!("an object of type {kind} in module {module_name} has no attribute {name}"),
            traceback: None,
        };
    }
    let others = callables(module);
    let instead = if others.is_empty() {
        "it has nothing that can be called".to_owned()
    } else {
        format!("it has: {}", others.join(", "))
    };
    let place = module.filename().map_or_else(|_| String::new(), |file| format!("module {module_name} is {file}"));
    Fault {
        cause: format!("module {module_name} has no attribute {name}; {instead}"),
        traceback: (!place.is_empty()).then_some(place),
    }
}

/// The public callables of a module that could be meant, without classes, those defined in it first.
fn callables(module: &Bound<'_, PyModule>) -> Vec<String> {
    let is_own = |value: &Bound<'_, PyAny>| {
        let home = value.getattr("__module__").ok();
        home.zip(module.name().ok()).is_some_and(|(home, name)| home.eq(name).unwrap_or(false))
    };
    let mut found: Vec<(bool, String)> = module
        .dict()
        .iter()
        .filter(|(_, value)| value.is_callable() && !value.is_instance_of::<PyType>())
        .filter_map(|(name, value)| Some((!is_own(&value), name.extract::<String>().ok()?)))
        .filter(|(_, name)| !name.starts_with('_'))
        .collect();
    found.sort();
    found.into_iter().map(|(_, name)| name).take(NAMED_MAX).collect()
}

/// The traceback, and what Python it was.
fn detail(py: Python<'_>, traceback: Option<String>) -> String {
    let mut text = traceback.map_or_else(String::new, |traceback| traceback + "\n");
    let sys = py.import("sys").map(|sys| sys.dict()).unwrap_or_else(|_| PyDict::new(py));
    let get = |name: &str| sys.get_item(name).ok().flatten();
    text.push_str("sys.path was:\n");
    for entry in get("path").iter().flat_map(|path| path.try_iter()).flatten().flatten() {
        let _ = writeln!(text, "  {entry}");
    }
    if let Some(executable) = get("executable") {
        let _ = writeln!(text, "sys.executable was: {executable}");
    }
    let version = get("version").map_or_else(|| VERSION.to_owned(), |version| version.to_string());
    let _ = write!(text, "Python {}", version.split_whitespace().next().unwrap_or(VERSION));
    text
}

/// The text without lines from its middle, if it is too long for a message.
fn cut(text: &str) -> String {
    if text.len() <= DETAIL_BYTES_MAX {
        return text.to_owned();
    }
    let half = DETAIL_BYTES_MAX / 2 - 16;
    let is_end = |place: &usize| text.is_char_boundary(*place);
    let head = &text[..(0..=half).rev().find(is_end).unwrap_or(0)];
    let tail = &text[(text.len() - half..).find(is_end).unwrap_or(text.len())..];
    let head = head.rfind('\n').map_or(head, |end| &head[..end]);
    let tail = tail.find('\n').map_or(tail, |start| &tail[start + 1..]);
    format!("{head}\n[...]\n{tail}")
}
