//! Starts Python in this process, as the `python` of the virtualenv or of the build would have started it.
//!
//! * `sys.executable` is that `python`, never `worker`: what the application spawns with it must be a Python.
//! * The `PYTHON*` variables are honoured and the locale is coerced as `python` does it. Standard output is written line by line,
//!   as to a terminal, though it is none: what a program prints is there when it has printed it, and when it then dies.
//! * `sys.argv` is `['monoceros', 'module:attribute']`, and `sys.path` has no `''`: nothing depends on a command line.
//! * No signal handler is installed but those of `faulthandler` for fatal signals. SIGINT stays the worker's (Python takes it over only where it finds the default
//!   action, so the worker sets its own handlers before this), and nothing raises KeyboardInterrupt. SIGPIPE stays
//!   ignored, as Rust's runtime leaves it; SIGXFSZ is ignored here, so that a file limit is an OSError and no death.
//!
//! Known fault: a process has one interpreter, once; what this returns cannot be started again.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, ptr};

use monoceros_shared::config::App;
use monoceros_shared::link::Failure;
use monoceros_shared::{about, virtualenv};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::error;

/// The Python that this worker was built against.
const BUILT_WITH: &str = env!("MONOCEROS_PYTHON");
/// Its version, `3.11`.
pub const VERSION: &str = env!("MONOCEROS_PYTHON_VERSION");

/// Starts the interpreter for this application on the calling thread, which becomes Python's main thread, and lets go of the GIL.
///
/// # Errors
/// When Python refuses to start: it says why in one line, and more on stderr.
pub fn start(app: &App) -> Result<(), Failure> {
    ignore_sigxfsz();
    leave_faults_to_python();
    let python = executable(app);
    let argv = [c"monoceros".to_owned(), c_string(app.wsgi.to_string().as_bytes())?];
    initialize(&c_string(python.as_os_str().as_bytes())?, &argv).map_err(|cause| {
        let detail = format!("sys.executable was to be {}\nbuilt for Python {VERSION}", python.display());
        Failure::new(format!("cannot start Python: {cause}"), detail)
    })
}

/// The `python` to appear as: that of the virtualenv which the config names or this program is installed in, else the one built
/// against, else one of that name found on PATH.
fn executable(app: &App) -> PathBuf {
    if let Some(root) = app.virtualenv.clone().or_else(home) {
        return root.join("bin/python");
    }
    let built = PathBuf::from(BUILT_WITH);
    if built.exists() {
        return built;
    }
    let on_path = |name: String| {
        env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(&name)).find(|file| file.exists())
    };
    on_path(format!("python{VERSION}")).or_else(|| on_path("python3".to_owned())).unwrap_or(built)
}

/// The virtualenv that this program is installed in (`pip install` put it beside its `python`), if it is one of this version.
fn home() -> Option<PathBuf> {
    let own = env::current_exe().ok()?;
    let root = own.parent().filter(|folder| folder.ends_with("bin"))?.parent()?;
    let text = std::fs::read_to_string(root.join("pyvenv.cfg")).ok()?;
    (virtualenv::version(&text)? == VERSION && root.join("bin/python").exists()).then(|| root.to_owned())
}

fn c_string(bytes: &[u8]) -> Result<CString, Failure> {
    CString::new(bytes).map_err(|_| {
        Failure::new(format!("cannot start Python: {} has a NUL in it", String::from_utf8_lossy(bytes)), "")
    })
}

#[expect(unsafe_code, reason = "nix wraps no plain signal disposition without unsafe")]
fn ignore_sigxfsz() {
    // SAFETY: SIG_IGN runs no code of ours, so no handler can be unsafe to call.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// Rust's runtime has handlers for these, to tell an overflow of the stack, which swallow the first such signal that is sent
/// instead of caused. Python's tell the stack of every thread, and must find the default behind them.
#[expect(unsafe_code, reason = "nix wraps no plain signal disposition without unsafe")]
fn leave_faults_to_python() {
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: SIG_DFL runs no code of ours, so no handler can be unsafe to call.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// A PyConfig that is cleared when it goes out of scope.
struct Config(Box<ffi::PyConfig>);

impl Config {
    #[expect(unsafe_code, reason = "PyConfig is filled in by C")]
    fn new() -> Config {
        let mut config = Box::new(MaybeUninit::<ffi::PyConfig>::zeroed());
        // SAFETY: the pointer is to room for a PyConfig, which the call fills; all of its fields are integers and pointers,
        // for which zero is valid even where the call sets none.
        let config = unsafe {
            ffi::PyConfig_InitPythonConfig(config.as_mut_ptr());
            config.assume_init()
        };
        Config(config)
    }
}

impl Drop for Config {
    #[expect(unsafe_code, reason = "PyConfig is cleared by C")]
    fn drop(&mut self) {
        // SAFETY: `new` initialised it, and only this clears it.
        unsafe { ffi::PyConfig_Clear(&mut *self.0) };
    }
}

#[expect(unsafe_code, reason = "PyConfig is C's way to start an embedded Python with a configuration")]
fn initialize(executable: &CString, argv: &[CString]) -> Result<(), String> {
    // SAFETY: it has no argument and only reads a flag.
    let is_running = unsafe { ffi::Py_IsInitialized() } != 0;
    assert!(!is_running, "Python is started once");
    let mut config = Config::new();
    let config = &mut *config.0;
    config.parse_argv = 0;
    config.install_signal_handlers = 0;
    let mut arguments: Vec<*const libc::c_char> = argv.iter().map(|argument| argument.as_ptr()).collect();
    let program_name: *mut _ = &raw mut config.program_name;
    let executable_field: *mut _ = &raw mut config.executable;
    // SAFETY: `config` is initialised, the field pointers are its own, every string is NUL-terminated and outlives the call,
    // and Python is not running yet; `load` is the process's only caller. The thread state saved at the end is Python's
    // own for this thread, which pyo3 finds again when it attaches.
    unsafe {
        check(ffi::PyConfig_SetBytesString(config, program_name, executable.as_ptr()))?;
        check(ffi::PyConfig_SetBytesString(config, executable_field, executable.as_ptr()))?;
        check(ffi::PyConfig_SetBytesArgv(config, arguments.len() as ffi::Py_ssize_t, arguments.as_mut_ptr()))?;
        check(ffi::Py_InitializeFromConfig(ptr::from_ref(config)))?;
        ffi::PyEval_SaveThread();
    }
    Ok(())
}

#[expect(unsafe_code, reason = "a PyStatus carries C strings")]
fn check(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: `status` is what a PyConfig function returned, so its strings are NULL or static C strings.
    unsafe {
        if ffi::PyStatus_Exception(status) == 0 {
            return Ok(());
        }
        if status.err_msg.is_null() {
            return Err(format!("it asked to exit with {}", status.exitcode));
        }
        Err(std::ffi::CStr::from_ptr(status.err_msg).to_string_lossy().into_owned())
    }
}

/// What Python says of itself, once it runs.
///
/// # Errors
/// When something in its environment has taken these away.
pub fn describe(py: Python<'_>) -> PyResult<about::Python> {
    let sys = py.import("sys")?;
    let path = |name: &str| sys.getattr(name)?.extract::<PathBuf>();
    let version = Python::version_str().split_whitespace().next().unwrap_or(VERSION).to_owned();
    Ok(about::Python { version, executable: path("executable")?, prefix: path("prefix")?, base: path("base_prefix")? })
}

/// Has `sys.stdout` write each line at its end. Its standard error does so by itself.
///
/// # Errors
/// When `sys.stdout` is not Python's own: something in the environment has replaced it.
pub fn write_line_by_line(py: Python<'_>) -> PyResult<()> {
    let stdout = py.import("sys")?.getattr("stdout")?;
    // There is none when descriptor 1 was closed.
    if stdout.is_none() {
        return Ok(());
    }
    let arguments = PyDict::new(py);
    arguments.set_item("line_buffering", true)?;
    stdout.call_method("reconfigure", (), Some(&arguments)).map(drop)
}

/// Has threads take their turns so often.
///
/// # Errors
/// When Python refuses it, which it does for no value of the config's.
pub fn set_switch_interval(py: Python<'_>, app: &App) -> Result<(), Failure> {
    let Some(interval) = app.switch_interval else { return Ok(()) };
    let set = || py.import("sys")?.call_method1("setswitchinterval", (interval.as_secs_f64(),));
    let set = set().map(drop);
    set.map_err(|raised| Failure::new(format!("cannot set switch_interval: {}", error::one_line(py, &raised)), ""))
}

/// Checks, before Python starts, that a virtualenv is one of this worker's Python: another version's would fail later and strangely.
///
/// # Errors
/// When the folder is no virtualenv, or one of another `major.minor`.
pub fn check_virtualenv(root: &Path) -> Result<(), Failure> {
    let failure = |cause: String, detail: String| {
        Failure::new(format!("cannot use virtualenv {}: {cause}", root.display()), detail)
    };
    let text = std::fs::read_to_string(root.join("pyvenv.cfg"))
        .map_err(|error| failure(format!("cannot read its pyvenv.cfg: {error}"), remedy(root, VERSION)))?;
    if let Some(theirs) = virtualenv::version(&text).filter(|theirs| theirs != VERSION) {
        let cause = format!("it is for Python {theirs}, and this worker was built for Python {VERSION}");
        return Err(failure(cause, remedy(root, &theirs)));
    }
    if !root.join("bin/python").exists() {
        return Err(failure("its bin/python is missing or leads nowhere".to_owned(), remedy(root, VERSION)));
    }
    Ok(())
}

fn remedy(root: &Path, theirs: &str) -> String {
    let root = root.display();
    let anew = format!("make it anew: python{VERSION} -m venv --clear {root}");
    if theirs == VERSION {
        return anew;
    }
    format!(
        "{anew}\nor build the worker for Python {theirs}: PYO3_PYTHON={root}/bin/python cargo build --release --workspace --bins"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_virtualenv_of_another_version_is_refused_by_both_names() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("pyvenv.cfg"), "version = 2.7.1\n").unwrap();
        let failure = check_virtualenv(folder.path()).unwrap_err();
        let expected = format!(
            "cannot use virtualenv {}: it is for Python 2.7, and this worker was built for Python {VERSION}",
            folder.path().display()
        );
        assert_eq!(failure.why, expected);
        assert!(failure.detail.contains("-m venv"), "{}", failure.detail);
    }

    #[test]
    fn a_folder_without_pyvenv_cfg_is_no_virtualenv() {
        let folder = tempfile::tempdir().unwrap();
        let failure = check_virtualenv(folder.path()).unwrap_err();
        assert!(failure.why.contains("cannot read its pyvenv.cfg"), "{}", failure.why);
    }
}
