//! tornado's IOLoop, as the loop that waits for our poll; and applications of tornado's own, which its server serves.
//!
//! Known fault: of an application of tornado's own we know what the counts say. Its requests have no rows, no timeouts and no access
//! log of ours; tornado reads and frames them.

use monoceros_shared::config::{App, Engine, Protocol};
use monoceros_shared::link::Failure;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

use super::{Application, foreign};

static LOOP: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Makes the loop, if the engine is tornado's. Call it before the application is imported, on Python's main thread.
///
/// # Errors
/// When there is no such package, or it raises.
pub fn prepare(py: Python<'_>, app: &App) -> Result<(), Failure> {
    match app.engine {
        Engine::Threads | Engine::Gevent | Engine::Eventlet => return Ok(()),
        Engine::Tornado => {}
    }
    let module = foreign::module(py, include_str!("loop.py"), "monoceros/tornado.py");
    let module = module.map_err(|raised| foreign::failure(py, app, &raised))?;
    let _ = LOOP.set(py, module.unbind());
    Ok(())
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
    let asked = foreign::known(py, &LOOP)?.call_method1(py, intern!(py, "ask"), (application, request.as_bytes()))?;
    asked.extract(py)
}

/// Runs the loop on this thread until the crew says that it is done.
///
/// # Errors
/// When the package raises, which is no fault of a request's.
pub fn run(py: Python<'_>, application: &Application, crew: Py<PyAny>) -> PyResult<()> {
    let native = application.is_native(py).then(|| application.callable.clone_ref(py));
    foreign::known(py, &LOOP)?.call_method1(py, intern!(py, "run"), (crew, native)).map(drop)
}

impl Application {
    /// Whether it is an application of tornado's own.
    pub fn is_native(&self, py: Python<'_>) -> bool {
        is_native(self.callable.bind(py))
    }
}
