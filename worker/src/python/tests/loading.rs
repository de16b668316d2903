//! Python started and applications imported, each in a process of its own, for a process has one interpreter.

use std::path::Path;
use std::process::Command;

use super::*;

/// Runs `body` in a process of its own: this test once more, told so by the environment. Gives that process's output.
fn alone(test: &str, body: impl FnOnce()) -> Option<String> {
    if std::env::var_os("MONOCEROS_TEST_ALONE").is_some() {
        body();
        return None;
    }
    let name = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env("MONOCEROS_TEST_ALONE", "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(text)
}

/// An assignment for `wsgi` in a folder that has this `hello.py`.
fn hello(folder: &Path, wsgi: &str, source: &str) -> Assignment {
    std::fs::write(folder.join("hello.py"), source).unwrap();
    let mut assignment = assignment("127.0.0.1:8000");
    let (module, attribute) = wsgi.split_once(':').unwrap();
    let factory = attribute.ends_with("()");
    let attribute = attribute.trim_end_matches("()").to_owned();
    assignment.app.wsgi = config::Source::Callable(config::Callable { module: module.to_owned(), attribute, factory });
    assignment.app.directory = folder.to_owned();
    assignment
}

fn load_failure(wsgi: &str, source: &str) -> Failure {
    let folder = tempfile::tempdir().unwrap();
    let log = Logger::root(slog::Discard, o!());
    match load(&hello(folder.path(), wsgi, source), &log) {
        Ok(_) => panic!("{wsgi} of {source:?} loaded"),
        Err(failure) => failure,
    }
}

#[test]
fn python_starts_as_the_python_it_was_built_with() {
    alone("python_starts_as_the_python_it_was_built_with", || {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        let source = "import sys, os, threading, signal\napplication = lambda e, s: []\nseen = (sys.path[0], os.getcwd(), '' in sys.path, sys.argv, threading.current_thread() is threading.main_thread())\n";
        let mut assignment = hello(&real, "hello:application", source);
        assignment.app.python_path = vec!["/nowhere/behind".into()];
        let log = Logger::root(slog::Discard, o!());
        load(&assignment, &log).unwrap_or_else(|failure| panic!("{failure:?}"));
        Python::attach(|py| {
            let seen = py.import("hello").unwrap().getattr("seen").unwrap().repr().unwrap().to_string();
            let here = real.display();
            assert_eq!(seen, format!("('{here}', '{here}', False, ['monoceros', 'hello:application'], True)"));
            let sys = py.import("sys").unwrap();
            let executable: String = sys.getattr("executable").unwrap().extract().unwrap();
            let output = Command::new(&executable).args(["-c", "import sys; print(sys.prefix)"]).output().unwrap();
            let prefix: String = sys.getattr("prefix").unwrap().extract().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), prefix);
            let path: Vec<String> = sys.getattr("path").unwrap().extract().unwrap();
            assert_eq!(path[1], "/nowhere/behind");
        });
    });
}

#[test]
fn a_virtualenv_is_the_prefix_and_its_packages_are_found() {
    alone("a_virtualenv_is_the_prefix_and_its_packages_are_found", || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("venv");
        let made =
            Command::new(env!("MONOCEROS_PYTHON")).args(["-m", "venv", "--without-pip"]).arg(&root).status().unwrap();
        assert!(made.success());
        let packages = root.join(format!("lib/python{}/site-packages", interpreter::VERSION));
        std::fs::write(packages.join("only_here.py"), "").unwrap();
        let source = "import sys, only_here\napplication = lambda e, s: []\nseen = sys.prefix, sys.executable\n";
        let mut assignment = hello(folder.path(), "hello:application", source);
        assignment.app.virtualenv = Some(root.clone());
        let log = Logger::root(slog::Discard, o!());
        load(&assignment, &log).unwrap_or_else(|failure| panic!("{failure:?}"));
        Python::attach(|py| {
            let seen = py.import("hello").unwrap().getattr("seen").unwrap().repr().unwrap().to_string();
            assert_eq!(seen, format!("('{}', '{}/bin/python')", root.display(), root.display()));
        });
    });
}

/// What the failure of each says in its one line, and what its detail has.
fn refused(test: &str, case: (&str, &str), expected: (&str, &[&str])) {
    alone(test, || {
        let failure = load_failure(case.0, case.1);
        assert_eq!(failure.why, expected.0, "{}", failure.detail);
        for part in expected.1.iter().chain(&["sys.path was:\n  /", "sys.executable was: /", "\nPython 3."]) {
            assert!(failure.detail.contains(part), "{part:?} in {}", failure.detail);
        }
        assert!(!failure.detail.contains("importlib"), "{}", failure.detail);
    });
}

#[test]
fn a_missing_module_is_named() {
    let why = "cannot import nothere:application: ModuleNotFoundError: No module named 'nothere'";
    refused("a_missing_module_is_named", ("nothere:application", ""), (why, &["ModuleNotFoundError"]));
}

#[test]
fn a_module_that_raises_shows_where() {
    let why = "cannot import hello:application: ZeroDivisionError: division by zero";
    refused("a_module_that_raises_shows_where", ("hello:application", "x = 1\n1/0\n"), (why, &["hello.py\", line 2"]));
}

#[test]
fn a_syntax_error_is_one_line_and_its_place() {
    let test = "a_syntax_error_is_one_line_and_its_place";
    alone(test, || {
        let failure = load_failure("hello:application", "x = = 1\n");
        assert!(
            failure.why.starts_with("cannot import hello:application: SyntaxError: invalid syntax"),
            "{}",
            failure.why
        );
        assert!(failure.detail.contains("x = = 1"), "{}", failure.detail);
    });
}

#[test]
fn a_module_that_exits_is_no_end_of_the_worker() {
    let why = "cannot import hello:application: the module exited by SystemExit: 3";
    refused(
        "a_module_that_exits_is_no_end_of_the_worker",
        ("hello:application", "import sys\nsys.exit(3)\n"),
        (why, &["line 2"]),
    );
}

#[test]
fn a_missing_attribute_is_told_from_a_missing_module() {
    let source = "import sys\nfrom os.path import join\nclass K: pass\ndef main(e, s): pass\napplication = main\n_hidden = main\n";
    let why = "cannot import hello:app: module hello has no attribute app; it has: application, main, join";
    refused("a_missing_attribute_is_told_from_a_missing_module", ("hello:app", source), (why, &["module hello is /"]));
}

#[test]
fn a_factory_that_raises_is_named() {
    let why = "cannot import hello:make(): the factory raised KeyError: 'DB'";
    refused(
        "a_factory_that_raises_is_named",
        ("hello:make()", "def make(): raise KeyError('DB')\n"),
        (why, &["in make"]),
    );
}

#[test]
fn what_cannot_be_called_is_no_application() {
    let why = "cannot import hello:application: it is of type str, which cannot be called";
    refused("what_cannot_be_called_is_no_application", ("hello:application", "application = 'text'\n"), (why, &[]));
}

#[test]
fn a_long_traceback_is_cut_in_its_middle() {
    alone("a_long_traceback_is_cut_in_its_middle", || {
        let failure = load_failure("hello:application", "raise ValueError('start' + 'x\\n' * 100000 + 'end')\n");
        assert!(failure.detail.len() <= 48 * 1024, "{}", failure.detail.len());
        for part in ["Traceback", "start", "\n[...]\n", "end", "sys.path was"] {
            assert!(failure.detail.contains(part), "{part}");
        }
        assert_eq!(failure.why, "cannot import hello:application: ValueError: startx");
    });
}

#[test]
fn a_forked_child_that_comes_back_ends_there() {
    let output = alone("a_forked_child_that_comes_back_ends_there", || {
        on_fork(|| assert!(has_forked()));
        let source = "import os, sys\nstatuses = []\ndef application(environ, start_response):\n    for end in (lambda: None, lambda: sys.exit(7), lambda: 1/0):\n        pid = os.fork()\n        if pid == 0:\n            end()\n            start_response('200 OK', [])\n            return [b'from the child']\n        statuses.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n    start_response('200 OK', [])\n    return [b'from the parent']\n";
        let exchange = exchange(source, GET);
        assert_eq!(exchange.value("statuses"), "[0, 7, 1]");
        assert_eq!(exchange.content(), "from the parent");
        assert!(!has_forked());
    });
    assert!(output.is_none_or(|output| output.contains("ZeroDivisionError")));
}

#[test]
fn the_end_runs_what_a_program_expects_at_its_exit() {
    let output = alone("the_end_runs_what_a_program_expects_at_its_exit", || {
        let folder = tempfile::tempdir().unwrap();
        let source = "import atexit, threading, time, sys\nfrom concurrent.futures import ThreadPoolExecutor\nexecutor = ThreadPoolExecutor()\nexecutor.submit(print, 'pooled')\natexit.register(print, 'at exit')\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nevent = threading.Event()\ndef work():\n    event.wait(0.05)\n    print('worked')\nthreading.Thread(target=work).start()\napplication = print\n";
        let log = Logger::root(slog::Discard, o!());
        load(&hello(folder.path(), "hello:application", source), &log).unwrap_or_else(|failure| panic!("{failure:?}"));
        let before = std::time::Instant::now();
        Python::attach(|py| finalize(py, Duration::from_secs(60), &log));
        assert!(before.elapsed() < Duration::from_secs(50), "it waited for what does not end");
    });
    if let Some(output) = output {
        let place = |text: &str| output.find(text).unwrap_or_else(|| panic!("{text}: {output}"));
        assert!(place("pooled") < place("at exit") && place("worked") < place("at exit"), "{output}");
    }
}

#[test]
fn the_end_does_not_wait_for_ever_for_a_stuck_thread() {
    alone("the_end_does_not_wait_for_ever_for_a_stuck_thread", || {
        let folder = tempfile::tempdir().unwrap();
        let source = "import threading\nthreading.Thread(target=threading.Event().wait).start()\napplication = print\n";
        let log = Logger::root(slog::Discard, o!());
        load(&hello(folder.path(), "hello:application", source), &log).unwrap_or_else(|failure| panic!("{failure:?}"));
        Python::attach(|py| finalize(py, Duration::from_millis(50), &log));
    });
}

#[test]
fn the_files_of_the_applications_own_modules_are_known() {
    alone("the_files_of_the_applications_own_modules_are_known", || {
        let folder = tempfile::tempdir().unwrap();
        let (app, elsewhere) = (folder.path().join("app"), folder.path().join("elsewhere"));
        for package in [app.join("shop"), elsewhere.join("site-packages")] {
            std::fs::create_dir_all(package).unwrap();
        }
        std::fs::write(app.join("shop/__init__.py"), "").unwrap();
        std::fs::write(app.join("not_imported.py"), "").unwrap();
        std::fs::write(elsewhere.join("edited.py"), "").unwrap();
        std::fs::write(elsewhere.join("site-packages/installed.py"), "").unwrap();
        let source = "import json, types, sys, edited, installed, shop\ngone = types.ModuleType('gone')\ngone.__file__ = '/nowhere/gone.py'\nsys.modules['gone'] = gone\nsys.modules['odd'] = object()\nsys.modules['none'] = None\napplication = print\n";
        let mut assignment = hello(&app, "hello:application", source);
        assignment.app.python_path = vec![elsewhere.clone(), elsewhere.join("site-packages")];
        let log = Logger::root(slog::Discard, o!());
        load(&assignment, &log).unwrap_or_else(|failure| panic!("{failure:?}"));
        let expected = [app.join("hello.py"), app.join("shop/__init__.py"), elsewhere.join("edited.py")];
        assert_eq!(files(&assignment.app), expected);
    });
}
