//! tornado's IOLoop, as the loop that waits for our poll; and applications of tornado's own, which its server serves.
//!
//! Known fault: an application of tornado's own is seen by the seams of tornado's server, which reads and frames its requests: what that
//! refuses by itself is not told of, and the limits of heads and bodies are kept in its way.

use std::collections::HashMap;

use monoceros_shared::config::{App, Engine, Protocol};
use monoceros_shared::link::Failure;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use super::foreign::known;
use super::{Application, foreign, stacks};
use crate::access::{Fields, Memo};

static LOOP: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
/// The module with tornado's server, and the server that this worker runs, if it does.
static NATIVE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
static SERVER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Method, target and version of a request, as tornado has them: strings of latin-1.
pub type StartLine = (String, String, String);

/// Makes the loop, if the engine is tornado's. Call it before the application is imported, on Python's main thread.
///
/// # Errors
/// When there is no such package, or it raises.
pub fn prepare(py: Python<'_>, app: &App) -> Result<(), Failure> {
    match app.engine {
        Engine::Threads | Engine::Gevent | Engine::Eventlet => return Ok(()),
        Engine::Tornado => {}
    }
    let load = || -> PyResult<()> {
        let own = foreign::module(py, include_str!("loop.py"), "monoceros/tornado.py")?;
        let native = foreign::module(py, include_str!("native.py"), "monoceros/native.py")?;
        let _ = LOOP.set(py, own.unbind());
        let _ = NATIVE.set(py, native.unbind());
        Ok(())
    };
    load().map_err(|raised| foreign::failure(py, app, &raised))
}

/// Whether it is an application of tornado's own.
pub fn is_native(application: &Bound<'_, PyAny>) -> bool {
    let py = application.py();
    let asked = || LOOP.get(py)?.call_method1(py, intern!(py, "is_native"), (application,)).ok()?.extract(py).ok();
    asked().unwrap_or(false)
}

/// Whether it is an application of tornado's own, which can be called but is no WSGI application, and the engine is another.
pub fn is_meant_for_it(application: &Bound<'_, PyAny>, app: &App) -> bool {
    if app.engine == Engine::Tornado {
        return false;
    }
    let asked = || -> PyResult<bool> {
        let modules = application.py().import("sys")?.getattr("modules")?;
        let class = modules.get_item("tornado.httputil")?.getattr("HTTPServerConnectionDelegate")?;
        application.is_instance(&class)
    };
    asked().unwrap_or(false)
}

/// Whether tornado's server can do what the config asks of it.
///
/// # Errors
/// When it cannot.
pub fn expect_servable(application: &Bound<'_, PyAny>, app: &App) -> Result<(), Failure> {
    if !is_native(application) {
        return Ok(());
    }
    let sealed = app.listen.iter().any(|listener| listener.tls.is_some()).then_some("tls");
    let relayed = app.listen.iter().any(|listener| listener.proxy_protocol.is_some()).then_some("proxy_protocol");
    let foreign = app.listen.iter().any(|listener| listener.protocol != Protocol::Http).then_some("protocol");
    match sealed.or(relayed).or(foreign) {
        None => Ok(()),
        Some(key) => {
            let why = format!(
                "cannot serve an application of tornado's own with `{key}`: its listeners are tornado's, which has no such \
                thing: put a proxy before it"
            );
            Err(Failure::new(why, ""))
        }
    }
}

/// What an application of tornado's own answers to these bytes.
///
/// # Errors
/// When it raises beyond what tornado answers.
pub fn ask(py: Python<'_>, application: &Py<PyAny>, request: &str) -> PyResult<Vec<u8>> {
    let asked = known(py, &LOOP)?.call_method1(py, intern!(py, "ask"), (application, request.as_bytes()))?;
    asked.extract(py)
}

/// Runs the loop on this thread until the crew says that it is done.
///
/// # Errors
/// When the package raises, which is no fault of a request's.
pub fn run(py: Python<'_>, application: &Application, crew: Py<PyAny>) -> PyResult<()> {
    let native = match application.is_native(py) {
        false => None,
        true => {
            let parts = (crew.bind(py), application.callable.bind(py));
            let server = known(py, &NATIVE)?.call_method1(py, intern!(py, "Native"), parts)?;
            let _ = SERVER.set(py, server.clone_ref(py));
            Some(server)
        }
    };
    known(py, &LOOP)?.call_method1(py, intern!(py, "run"), (crew, native)).map(drop)
}

/// What an access line is to tell of a request that tornado has read.
///
/// # Errors
/// When Python raises.
pub fn memo(line: &StartLine, headers: &Bound<'_, PyAny>, client: String) -> PyResult<Memo> {
    let (method, target, version) = line;
    let parts = [method, target, version].map(|part| bytes(part));
    Ok(Memo::of([&parts[0], &parts[1], &parts[2]], &fields(headers)?, client))
}

/// Fields as tornado has them.
///
/// # Errors
/// When Python raises.
pub fn fields(headers: &Bound<'_, PyAny>) -> PyResult<Fields> {
    let all = headers.call_method0(intern!(headers.py(), "get_all"))?;
    let field = |pair: PyResult<Bound<'_, PyAny>>| {
        let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
        PyResult::Ok((bytes(&name.str()?.to_string_lossy()), bytes(&value.str()?.to_string_lossy())))
    };
    all.try_iter()?.map(field).collect()
}

/// The bytes that a string of latin-1 stands for.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect()
}

/// The stack of a handler whose coroutines wait in these frames, the outermost first.
pub fn stack(py: Python<'_>, frames: Option<Vec<Bound<'_, PyAny>>>) -> String {
    let Some(frames) = frames else { return "no coroutine of a handler's is known to wait".to_owned() };
    let told = frames.into_iter().map(|frame| stacks::of_frame(py, frame)).collect::<PyResult<Vec<String>>>();
    told.map_or_else(|error| format!("cannot take the stack: {error}"), |parts| parts.concat())
}

/// The stacks of the requests at these places, each under what is known of it.
pub fn every(py: Python<'_>, calls: Vec<(usize, String)>) -> String {
    let asked = || -> PyResult<HashMap<usize, Option<Vec<Bound<'_, PyAny>>>>> {
        known(py, &SERVER)?.call_method0(py, intern!(py, "frames"))?.into_bound(py).extract()
    };
    let mut frames = asked().unwrap_or_default();
    let of = |(place, about): (usize, String)| {
        format!("\n{about} (most recent call last):\n{}", stack(py, frames.remove(&place).flatten()))
    };
    calls.into_iter().map(of).collect()
}

impl Application {
    /// Whether it is an application of tornado's own.
    pub fn is_native(&self, py: Python<'_>) -> bool {
        is_native(self.callable.bind(py))
    }
}
