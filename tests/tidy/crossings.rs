//! What each part must not know. A dependency that is not there cannot be seen; so it is written down here.

use std::process::Command;

use super::hold;
use super::source::{Source, rust_sources, words};
use crate::harness::repository;

/// Paths that some files must not name, and why.
struct Crossing {
    /// The files: those whose path starts with one of these…
    within: &'static [&'static str],
    /// …but not with one of these.
    except: &'static [&'static str],
    /// Prefixes of paths, or (of two parts and more) any part of a path.
    forbidden: &'static [&'static str],
    /// Why.
    reason: &'static str,
}

#[rustfmt::skip]
const CROSSINGS: &[Crossing] = &[
    Crossing {
        within: &["supervisor/src/core"],
        except: &[],
        forbidden: &[
            "std::fs", "std::process", "std::net::TcpListener", "std::net::TcpStream", "std::os", "Instant::now", "SystemTime::now", "slog",
            "mio", "nix", "rustix", "socket2",
        ],
        reason: "the core is told what happened and answers what to do; a simulator runs it without a system under it",
    },
    Crossing {
        within: &["worker/src/wire"],
        except: &[],
        forbidden: &[
            "std::net::TcpListener", "std::net::TcpStream", "std::net::UdpSocket", "std::fs", "std::os", "mio", "socket2", "nix", "libc",
            "pyo3", "Instant::now", "SystemTime::now", "slog", "monoceros_shared",
        ],
        reason: "a wire is bytes in, items out: no socket, no clock, no Python, no config",
    },
    Crossing {
        within: &["worker/src/turn"],
        except: &[],
        forbidden: &["mio", "pyo3", "socket2", "Instant::now", "SystemTime::now"],
        reason: "a request's life is the same for every protocol and engine, so it knows neither sockets nor Python",
    },
    Crossing {
        within: &["worker/src/python"],
        except: &[],
        forbidden: &["mio"],
        reason: "Python's side sees requests and answers, never readiness",
    },
    Crossing {
        within: &["shared/", "supervisor/", "worker/src"],
        except: &["worker/src/python", "worker/src/engine"],
        forbidden: &["pyo3"],
        reason: "one folder names Python, beside the engines",
    },
    Crossing {
        within: &["supervisor/"],
        except: &[],
        forbidden: &["monoceros_worker"],
        reason: "the programs meet only in shared::link",
    },
    Crossing {
        within: &["worker/"],
        except: &[],
        forbidden: &["monoceros_supervisor"],
        reason: "the programs meet only in shared::link",
    },
    Crossing {
        within: &["shared/", "supervisor/", "worker/"],
        except: &["shared/src/link/channel.rs"],
        forbidden: &["ipc_channel"],
        reason: "ipc-channel blocks where one does not expect it; one file knows where",
    },
    Crossing {
        within: &["shared/", "supervisor/", "worker/"],
        except: &["shared/src/link/fd.rs"],
        forbidden: &[
            "ControlMessage::ScmRights",
            "ControlMessageOwned::ScmRights",
            "ScmRights",
        ],
        reason: "one file passes descriptors",
    },
    Crossing {
        within: &["shared/src", "supervisor/src", "worker/src"],
        except: &["supervisor/src/spawn.rs"],
        forbidden: &["Command::new"],
        reason: "one file starts processes",
    },
    Crossing {
        within: &["shared/src/config"],
        except: &[],
        forbidden: &["mio", "slog", "ipc_channel", "std::process"],
        reason: "a config is read and checked; nothing is started by it",
    },
];

/// The files that may hold `unsafe`, and what for.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("shared/src/link/adoption.rs", "the kernel gives an accepted socket as a number"),
    ("shared/src/link/fd.rs", "the kernel gives received descriptors as numbers"),
    ("shared/src/scoreboard.rs", "a typed view of memory that two processes share"),
    ("shared/src/table.rs", "a typed view of memory that workers share"),
    ("supervisor/src/succession/baggage.rs", "an exec leaves descriptors as numbers"),
    ("supervisor/src/listen/deferral.rs", "TCP_DEFER_ACCEPT is wrapped by no crate of ours"),
    ("supervisor/src/spawn.rs", "close_range is wrapped by no crate of ours"),
    ("supervisor/src/strangers.rs", "whose end waitid tells is wrapped by no crate of ours"),
    ("supervisor/src/systemd/given.rs", "the service manager gives descriptors as numbers"),
    ("worker/src/python/deadline.rs", "pyo3 cannot raise an exception in another thread"),
    ("worker/src/python/file.rs", "Python gives a file's descriptor as a number"),
    ("worker/src/python/fork.rs", "a child forked by the application leaves by _exit"),
    ("worker/src/python/interpreter.rs", "PyConfig is C's way to start an embedded Python"),
    ("worker/src/python/latin1.rs", "pyo3 offers no latin-1 decoder"),
];

/// The crates that are built in two versions, and why.
const TWICE: &[(&str, &str)] = &[
    ("getrandom", "ring wants the older one, tempfile the newer; both only ask the kernel"),
    ("syn", "of the macros that run while this is built, some want the older one"),
];

#[test]
fn nothing_crosses_where_the_design_draws_a_line() {
    let sources = rust_sources();
    let product: Vec<&Source> = sources.iter().filter(|source| !source.is_test).collect();
    let mut broken = Vec::new();
    for crossing in CROSSINGS {
        let starts = |prefixes: &[&str], path: &str| prefixes.iter().any(|prefix| path.starts_with(prefix));
        let inside =
            |source: &&&Source| starts(crossing.within, &source.path) && !starts(crossing.except, &source.path);
        for source in product.iter().filter(inside) {
            for (line, path) in source.paths() {
                if let Some(forbidden) = crossing.forbidden.iter().find(|forbidden| names(&path, forbidden)) {
                    broken.push(format!("{}:{line}: names {forbidden}, but {}", source.path, crossing.reason));
                }
            }
        }
    }
    broken.dedup();
    hold("Some things must stay absent (DESIGN: crossings).", broken);
}

/// Whether a path begins with `pattern`, or has it within when it is of several parts.
fn names(path: &[String], pattern: &str) -> bool {
    let pattern: Vec<&str> = pattern.split("::").collect();
    let starts = |path: &[String]| path.iter().map(String::as_str).take(pattern.len()).eq(pattern.iter().copied());
    starts(path) || (pattern.len() > 1 && (0..path.len()).any(|at| starts(&path[at..])))
}

#[test]
fn every_crossing_is_about_files_that_exist() {
    let sources = rust_sources();
    let exists = |prefix: &&str| sources.iter().any(|source| source.path.starts_with(*prefix));
    let named = CROSSINGS.iter().flat_map(|crossing| crossing.within.iter().chain(crossing.except));
    hold(
        "A rule about no file holds nothing.",
        named.filter(|prefix| !exists(prefix)).map(|p| (*p).to_owned()).collect(),
    );
}

#[test]
fn unsafe_stands_only_in_the_files_listed_for_it() {
    let sources = rust_sources();
    let has_unsafe = |source: &&Source| words(&source.code).any(|(_, word)| word == "unsafe");
    let product = sources.iter().filter(|source| !source.is_test);
    let found: Vec<&str> = product.filter(has_unsafe).map(|source| source.path.as_str()).collect();
    let listed: Vec<&str> = UNSAFE_FILES.iter().map(|(path, _)| *path).collect();
    let unlisted = found.iter().filter(|path| !listed.contains(path)).map(|path| format!("{path}:1: is not listed"));
    let stale =
        listed.iter().filter(|path| !found.contains(path)).map(|path| format!("{path}:1: is listed and has none"));
    hold("unsafe has an address (tests/tidy/crossings.rs lists it).", unlisted.chain(stale).collect());
}

#[test]
fn the_supervisor_is_built_without_python() {
    let tree = cargo_tree(&["--package", "monoceros-supervisor", "--edges", "normal"]);
    let of_python = tree.lines().filter(|line| line.starts_with("pyo3") || line.starts_with("monoceros-worker"));
    hold(
        "The supervisor must start, and say what is wrong, where no libpython is.",
        of_python.map(str::to_owned).collect(),
    );
}

#[test]
fn the_worker_is_built_without_the_supervisor() {
    let tree = cargo_tree(&["--package", "monoceros-worker", "--edges", "normal"]);
    let crossing = tree.lines().filter(|line| line.starts_with("monoceros-supervisor"));
    hold("The programs meet only in shared::link.", crossing.map(str::to_owned).collect());
}

#[test]
fn each_crate_is_built_in_one_version() {
    let twice = cargo_tree(&["--workspace", "--duplicates", "--depth", "0"]);
    let listed = |line: &&str| TWICE.iter().any(|(name, _)| line.split(' ').next() == Some(name));
    hold(
        "Two versions of a crate are two sets of types and twice the faults (tests/tidy/crossings.rs lists those that cannot be helped).",
        twice.lines().filter(|line| !listed(line)).map(str::to_owned).collect(),
    );
}

/// What `cargo tree` says of crates that are built here, one a line.
fn cargo_tree(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--offline", "--prefix", "none"])
        .args(arguments)
        .current_dir(repository())
        .output()
        .expect("cargo runs the tests, so it can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cannot list the dependencies: {errors}");
    let text = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn each_module_of_shared_is_named_by_both_programs() {
    let sources = rust_sources();
    let library = sources.iter().find(|source| source.path == "shared/src/lib.rs").expect("shared has a library");
    let modules = library.code.split("pub mod ").skip(1).filter_map(|rest| rest.split(';').next());
    let mut broken = Vec::new();
    for module in modules {
        for program in ["supervisor/src", "worker/src"] {
            let mut paths = sources.iter().filter(|source| source.path.starts_with(program)).flat_map(Source::paths);
            if !paths.any(|(_, path)| names(&path, &format!("monoceros_shared::{module}"))) {
                broken.push(format!("shared/src/lib.rs:1: {program} never names {module}"));
            }
        }
    }
    hold("What only one program needs lives in that program.", broken);
}
