//! The hooks module: functions of the application's that are called where a worker begins and ends, around requests, and when one
//! takes too long.
//!
//! ```text
//!   its import -> worker_start -> the application's import -> worker_ready -> ( request_start .. request_end )* -> worker_exit
//!                                                                              worker_timeout, on a thread of its own
//! ```
//!
//! Rules
//! * Without hooks nothing is different: requests are hooked by calling a function of ours (`hooks.py`) in the application's place.
//! * Before the worker has said that it is loaded an exception is a failed boot, with its traceback, as the application's own.
//!   Later it is a line of the log, and harms nobody else.
//!
//! Known fault: an application of tornado's own is no function that could be called in another's place, so its requests are not hooked.

use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use monoceros_shared::config::App;
use monoceros_shared::link::{Assignment, Failure, Part};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyList, PyTuple};
use slog::{Logger, error, warn};

use super::file::FileWrapper;
use super::{deadline, error as exception, foreign, tornado};

/// Timeouts that may wait for `worker_timeout`. A hook that is slow is told of so many; more would pile up without end.
const TIMEOUTS_MAX: usize = 100;

/// The hooks of an application.
pub struct Hooks {
    /// `hooks.py`.
    ours: Py<PyAny>,
    /// The module's name.
    name: String,
    /// Each function by the hook's name.
    functions: Py<PyDict>,
    /// What hooks are told of the worker.
    worker: Py<PyAny>,
    log: Logger,
}

/// A request that has taken too long, for `worker_timeout`.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// Its method and target.
    pub request: String,
    /// Milliseconds since the application has it.
    pub age: u64,
    /// Who asked.
    pub client: String,
    /// What its thread was at.
    pub stack: String,
}

static OVERDUE: OnceLock<SyncSender<Overdue>> = OnceLock::new();

/// Has `worker_timeout` told, if there is one.
pub fn tell_overdue(overdue: impl FnOnce() -> Overdue) {
    if let Some(hook) = OVERDUE.get() {
        // Who is slower than timeouts come is not told of each.
        let _ = hook.try_send(overdue());
    }
}

impl Hooks {
    /// Imports the module that the config names, if it names one.
    ///
    /// # Errors
    /// When it cannot be imported, or has a hook that cannot be called.
    pub fn load(py: Python<'_>, assignment: &Assignment, log: &Logger) -> Result<Option<Hooks>, Failure> {
        let Some(name) = &assignment.app.hooks else { return Ok(None) };
        let load = || -> PyResult<Hooks> {
            let ours = foreign::module(py, include_str!("hooks.py"), "monoceros/hooks.py")?;
            let loaded = ours.call_method1("load", (name,))?;
            let (functions, slips): (Bound<'_, PyDict>, Vec<(String, String)>) = loaded.extract()?;
            for (slip, hook) in slips {
                warn!(log, "a function of the hooks module is no hook"; "module" => name, "function" => slip, "meant" => hook);
            }
            if functions.is_empty() {
                warn!(log, "the hooks module has no hook"; "module" => name);
            }
            let worker = worker(py, assignment)?;
            let (name, log) = (name.clone(), log.clone());
            Ok(Hooks { ours: ours.into_any().unbind(), name, functions: functions.unbind(), worker, log })
        };
        load().map(Some).map_err(|raised| {
            let why = format!("cannot import hooks {name}: {}", exception::one_line(py, &raised));
            Failure::new(why, exception::traceback(py, &raised)).of(Part::Hooks)
        })
    }

    /// The application is to be imported next.
    ///
    /// # Errors
    /// When `worker_start` raises.
    pub fn start(&self, py: Python<'_>) -> Result<(), Failure> {
        self.call_in_boot(py, "worker_start")
    }

    /// The application is imported.
    ///
    /// # Errors
    /// When `worker_ready` raises, or there can be no thread for `worker_timeout`.
    pub fn ready(&self, py: Python<'_>) -> Result<(), Failure> {
        self.call_in_boot(py, "worker_ready")?;
        self.await_timeouts(py)
            .map_err(|why| Failure::new(format!("cannot start a thread for worker_timeout: {why}"), ""))
    }

    /// The worker has no request left, and ends.
    pub fn exit(&self, py: Python<'_>) {
        if let Err(raised) = self.call(py, "worker_exit") {
            error!(self.log, "a hook failed"; "hook" => "worker_exit", "traceback" => exception::traceback(py, &raised));
        }
    }

    /// What is called in the application's place.
    ///
    /// # Errors
    /// When Python has no memory.
    pub fn around(&self, py: Python<'_>, application: Py<PyAny>, app: &App) -> PyResult<Py<PyAny>> {
        let (start, end) = (self.function(py, "request_start"), self.function(py, "request_end"));
        if start.is_none() && end.is_none() {
            return Ok(application);
        }
        if tornado::is_native(application.bind(py)) {
            warn!(self.log, "hooks of requests are not called for an application of tornado's own"; "wsgi" => %app.wsgi);
            return Ok(application);
        }
        let at_once =
            PyTuple::new(py, [py.get_type::<PyList>(), py.get_type::<PyTuple>(), py.get_type::<FileWrapper>()])?;
        let late = deadline::request_timeout_class(py);
        let log = self.log.clone();
        let failed = PyCFunction::new_closure(py, None, None, move |arguments, _| -> PyResult<()> {
            let (hook, raised): (String, Bound<'_, PyAny>) = arguments.extract()?;
            let traceback = exception::traceback(arguments.py(), &PyErr::from_value(raised));
            error!(log, "a hook failed"; "hook" => hook, "traceback" => traceback);
            Ok(())
        })?;
        self.ours.call_method1(py, "around", (application, start, end, (at_once, late, failed)))
    }

    fn function<'py>(&self, py: Python<'py>, hook: &str) -> Option<Bound<'py, PyAny>> {
        self.functions.bind(py).get_item(hook).ok().flatten()
    }

    fn call(&self, py: Python<'_>, hook: &str) -> PyResult<()> {
        self.function(py, hook).map_or(Ok(()), |function| function.call1((&self.worker,)).map(drop))
    }

    fn call_in_boot(&self, py: Python<'_>, hook: &str) -> Result<(), Failure> {
        self.call(py, hook).map_err(|raised| {
            let why = format!("cannot begin: {hook} of {} raised {}", self.name, exception::one_line(py, &raised));
            Failure::new(why, exception::traceback(py, &raised)).of(Part::Hooks)
        })
    }

    /// Starts the thread that calls `worker_timeout`, if there is such a hook. It is none of the application's requests', for those may
    /// all be stuck.
    fn await_timeouts(&self, py: Python<'_>) -> std::io::Result<()> {
        let Some(function) = self.function(py, "worker_timeout") else { return Ok(()) };
        let (sender, receiver) = sync_channel(TIMEOUTS_MAX);
        let (function, worker, log) = (function.unbind(), self.worker.clone_ref(py), self.log.clone());
        if OVERDUE.set(sender).is_ok() {
            thread::Builder::new().name("hook".into()).spawn(move || {
                Python::attach(|py| {
                    call_for_each(py, receiver, |overdue| tell(py, (&function, &worker), overdue, &log))
                });
            })?;
        }
        Ok(())
    }
}

/// Waits without the GIL for each of them.
fn call_for_each(py: Python<'_>, mut receiver: Receiver<Overdue>, call: impl Fn(Overdue)) {
    loop {
        let (overdue, back) = py.detach(move || (receiver.recv(), receiver));
        let Ok(overdue) = overdue else { return };
        call(overdue);
        receiver = back;
    }
}

fn tell(py: Python<'_>, (function, worker): (&Py<PyAny>, &Py<PyAny>), overdue: Overdue, log: &Logger) {
    let told = || -> PyResult<()> {
        let request = PyDict::new(py);
        request.set_item("line", overdue.request)?;
        request.set_item("seconds", overdue.age as f64 / 1000.0)?;
        request.set_item("client", overdue.client)?;
        request.set_item("stack", overdue.stack)?;
        function.call1(py, (worker, namespace(&request)?)).map(drop)
    };
    if let Err(raised) = told() {
        error!(log, "a hook failed"; "hook" => "worker_timeout", "traceback" => exception::traceback(py, &raised));
    }
}

/// What hooks are told of their worker.
fn worker(py: Python<'_>, assignment: &Assignment) -> PyResult<Py<PyAny>> {
    let worker = PyDict::new(py);
    worker.set_item("app", &assignment.app.name)?;
    worker.set_item("number", assignment.worker)?;
    worker.set_item("generation", assignment.generation)?;
    worker.set_item("pid", std::process::id())?;
    namespace(&worker).map(Bound::unbind)
}

fn namespace<'py>(values: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    values.py().import("types")?.getattr("SimpleNamespace")?.call((), Some(values))
}
