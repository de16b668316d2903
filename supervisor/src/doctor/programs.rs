//! The two programs: are both there, of one version, does the worker start, and does it find its Python?
//!
//! The worker is asked (`worker --about`), for only the loader knows what it finds. It is given nothing and serves nobody.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use monoceros_shared::about::{About, Python};
use monoceros_shared::link;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::finding::Finding;
use crate::core::Exit;
use crate::listen::cause;
use crate::spawn::{self, Process};

/// How long a worker may take to say what it is. It starts Python for that, which takes a second on a cold disk; who waits longer
/// than this believes that the doctor hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of what it may say: a wrong program may say anything. Less cuts off what the loader says of a long path; more is read by nobody.
const SAID_BYTES_MAX: u64 = 64 * 1024;

/// What is known of the programs.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Our own file, links resolved.
    pub own: PathBuf,
    /// The name under which we were started.
    pub name: String,
    /// What a shell finds under that name, links resolved.
    pub on_path: Option<PathBuf>,
    /// Where the worker should be.
    pub worker: PathBuf,
    /// What came of asking it.
    pub account: Account,
}

/// What came of asking a worker what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// It is not there, or cannot be executed: the system's words.
    None(String),
    /// It does not end.
    Silence,
    /// It ended so, and said this instead.
    Odd(String, String),
    /// It told.
    Told(About),
}

impl Programs {
    /// Looks at them.
    pub fn look() -> Programs {
        let own = env::current_exe().unwrap_or_default();
        let worker = own.with_file_name("worker");
        let first = env::args_os().next().map(PathBuf::from).unwrap_or_default();
        let name = first.file_name().map_or_else(|| "supervisor".into(), |name| name.to_string_lossy().into_owned());
        Programs { on_path: on_path(&name), account: ask(&worker), own, name, worker }
    }

    /// The Python that the worker starts, if it does.
    pub fn python(&self) -> Option<&Python> {
        match &self.account {
            Account::Told(About { python: Some(Ok(python)), .. }) => Some(python),
            Account::Told(_) | Account::None(_) | Account::Silence | Account::Odd(..) => None,
        }
    }

    /// The version of Python that the worker is for, if it told.
    pub fn built_for(&self) -> Option<&str> {
        match &self.account {
            Account::Told(about) => Some(&about.built_for),
            Account::None(_) | Account::Silence | Account::Odd(..) => None,
        }
    }

    /// What is to be said of them.
    pub fn findings(&self) -> Vec<Finding> {
        let mut found = vec![self.own_finding(), self.path_finding(), self.worker_finding()];
        if let Account::Told(about) = &self.account {
            found.push(python_finding(about));
        }
        found
    }

    fn own_finding(&self) -> Finding {
        let shown = self.own.display().to_string();
        match shown.strip_suffix(" (deleted)") {
            // proc_pid_exe(5).
            Some(path) => Finding::warn(
                "supervisor",
                format!("{path} was replaced while this runs"),
                "ask again: the new one answers",
            ),
            None => Finding::ok("supervisor", format!("{} {shown}", env!("CARGO_PKG_VERSION"))),
        }
    }

    fn path_finding(&self) -> Finding {
        let folder = self.own.parent().unwrap_or(Path::new("")).display();
        match &self.on_path {
            Some(found) if *found == self.own => Finding::ok("PATH", format!("{} is found", self.name)),
            Some(other) => Finding::warn(
                "PATH",
                format!("{} is another one: {}", self.name, other.display()),
                format!("name this one by its whole path, or put its folder first: export PATH=\"{folder}:$PATH\""),
            ),
            None => Finding::warn(
                "PATH",
                format!("{} is not found", self.name),
                format!(
                    "export PATH=\"{folder}:$PATH\" in ~/.profile; service managers and containers want the whole path"
                ),
            ),
        }
    }

    fn worker_finding(&self) -> Finding {
        let path = self.worker.display();
        let own = env!("CARGO_PKG_VERSION");
        let anew = "install both programs anew, from one build and into one folder";
        let wrong = |found: String, advice: &str| Finding::wrong("worker", found, advice);
        match &self.account {
            Account::None(why) => wrong(format!("cannot execute {path}: {why}"), advice_on(why)),
            Account::Silence => wrong(format!("{path} does not say what it is within {} s", PATIENCE.as_secs()), anew),
            Account::Odd(exit, said) => match missing_library(said) {
                Some(library) => {
                    wrong(format!("{path} does not start: it finds no {library}"), &library_advice(&library))
                }
                None => {
                    wrong(format!("{path} does not say what it is: it ended with {exit}\n{}", said.trim_end()), anew)
                }
            },
            Account::Told(about) if about.version != own => {
                wrong(format!("{path} is of version {}, this is {own}", about.version), anew)
            }
            Account::Told(about) if about.link != link::VERSION => {
                let (theirs, ours) = (about.link, link::VERSION);
                wrong(format!("{path} is of another build: it speaks version {theirs} and this one {ours}"), anew)
            }
            Account::Told(about) => Finding::ok("worker", format!("{} {path}", about.version)),
        }
    }
}

fn python_finding(about: &About) -> Finding {
    let library = about.library.as_ref().map_or_else(String::new, |library| format!(", {}", library.display()));
    match &about.python {
        Some(Ok(python)) => {
            let shown = format!("{} {}{library}", python.version, python.executable.display());
            match python.version.starts_with(&format!("{}.", about.built_for)) {
                true => Finding::ok("python", shown),
                false => Finding::wrong(
                    "python",
                    format!("{shown}; the worker was built for {}", about.built_for),
                    "build the worker for the Python of this machine: make build PYTHON=/path/to/python3",
                ),
            }
        }
        Some(Err(why)) => Finding::wrong(
            "python",
            format!("it does not start: {why}{library}"),
            format!(
                "its standard library must lie where it was at the build: install Python {}, and unset PYTHONHOME",
                about.built_for
            ),
        ),
        None => Finding::wrong(
            "python",
            format!("it ends the worker where it starts{library}"),
            format!("try that Python alone: python{} -c pass", about.built_for),
        ),
    }
}

fn advice_on(why: &str) -> &'static str {
    match why {
        "Permission denied" => "chmod a+rx it and its folders; is its file system mounted with noexec?",
        "Exec format error" => "it is for another processor, or cut off: install both programs anew",
        // The kernel's words where the loader that a program names is missing, too: an Alpine without gcompat.
        "No such file or directory" => {
            "`supervisor` and `worker` are installed together, into one folder; if it is there, its loader (ld-linux, glibc) is not"
        }
        _ => "install both programs anew, from one build and into one folder",
    }
}

/// The library that the loader says is missing: `worker: error while loading shared libraries: libpython3.11.so.1.0: cannot open …`.
fn missing_library(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("error while loading shared libraries: ")?;
    rest.split_once(':').map(|(library, _)| library.to_owned())
}

fn library_advice(library: &str) -> String {
    let version = library.strip_prefix("libpython").and_then(|rest| rest.split_once(".so")).map(|(version, _)| version);
    match version {
        Some(version) => format!(
            "install it where the loader looks: on Debian and Ubuntu `apt install libpython{version}`\n\
            or build the worker against a Python of this machine: make build PYTHON=/path/to/python3"
        ),
        None => format!("install the package that has {library}, or build the programs on this machine"),
    }
}

/// What a shell would find under a name, links resolved.
fn on_path(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    let found = env::split_paths(&folders).map(|folder| folder.join(name)).find(|file| is_executable(file))?;
    fs::canonicalize(found).ok()
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn ask(worker: &Path) -> Account {
    asked(worker).unwrap_or_else(|error| Account::None(cause(&error)))
}

fn asked(worker: &Path) -> io::Result<Account> {
    let mut said = slate()?;
    let nothing = File::open("/dev/null")?.into();
    let process = spawn::ask(worker, &[OsString::from("--about")], (nothing, said.try_clone()?.into()))?;
    let Some(exit) = end_of(&process) else {
        process.end();
        return Ok(Account::Silence);
    };
    said.rewind()?;
    let mut bytes = Vec::new();
    said.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
    Ok(About::read(&text).map_or_else(|| Account::Odd(exit.to_string(), text), Account::Told))
}

/// Memory to write on, of a size that stays: a program that says the same for ever is stopped by its end.
fn slate() -> io::Result<File> {
    let memory = File::from(memfd_create("monoceros-about", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    memory.set_len(SAID_BYTES_MAX)?;
    fcntl(&memory, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SHRINK))?;
    Ok(memory)
}

fn end_of(process: &Process) -> Option<Exit> {
    let patience = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::NONE);
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    // An interruption is nobody's business here; the doctor has no handlers.
    let _ = poll(&mut fds, patience);
    process.reap()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn about() -> About {
        let python = Python {
            version: "3.11.7".into(),
            executable: "/usr/bin/python3".into(),
            prefix: "/usr".into(),
            base: "/usr".into(),
        };
        About {
            version: env!("CARGO_PKG_VERSION").into(),
            link: link::VERSION,
            built_for: "3.11".into(),
            library: Some("/usr/lib/libpython3.11.so.1.0".into()),
            python: Some(Ok(python)),
        }
    }

    fn programs(account: Account) -> Programs {
        Programs {
            own: "/opt/bin/supervisor".into(),
            name: "supervisor".into(),
            on_path: Some("/opt/bin/supervisor".into()),
            worker: "/opt/bin/worker".into(),
            account,
        }
    }

    /// What is found of the worker or, if that is well, of its Python.
    fn found(account: Account) -> Finding {
        let mut findings = programs(account).findings();
        let last = findings.pop().unwrap();
        assert!(last.advice.is_some() != (last.verdict == Verdict::Ok), "{last:?}");
        last
    }

    #[test]
    fn nothing_is_wrong_where_nothing_is() {
        let findings = programs(Account::Told(about())).findings();
        assert!(findings.iter().all(|finding| finding.verdict == Verdict::Ok), "{findings:?}");
        assert!(findings[3].found.contains("3.11.7 /usr/bin/python3, /usr/lib/libpython3.11.so.1.0"), "{findings:?}");
    }

    #[test]
    fn a_missing_libpython_is_named_with_the_package_that_has_it() {
        let said = "/opt/bin/worker: error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file: \
            No such file or directory\n";
        let finding = found(Account::Odd("code 127".into(), said.into()));
        assert_eq!(finding.verdict, Verdict::Wrong);
        assert_eq!(finding.found, "/opt/bin/worker does not start: it finds no libpython3.11.so.1.0");
        assert!(finding.advice.unwrap().contains("apt install libpython3.11`"));
    }

    #[test]
    fn a_worker_that_is_not_there_or_is_none_is_said() {
        let finding = found(Account::None("No such file or directory".into()));
        assert_eq!(finding.found, "cannot execute /opt/bin/worker: No such file or directory");
        let finding = found(Account::Odd("code 2".into(), "worker: the supervisor starts me\n".into()));
        assert!(finding.found.contains("code 2\nworker: the supervisor starts me"), "{finding:?}");
        assert!(found(Account::Silence).found.contains("within 20 s"));
    }

    #[test]
    fn two_versions_are_told_apart() {
        let old = About { version: "0.0.9".into(), ..about() };
        let account = programs(Account::Told(old)).findings();
        assert_eq!(account[2].verdict, Verdict::Wrong);
        assert!(account[2].found.contains("0.0.9") && account[2].found.contains(env!("CARGO_PKG_VERSION")));
        let strange = About { link: link::VERSION + 1, ..about() };
        assert_eq!(programs(Account::Told(strange)).findings()[2].verdict, Verdict::Wrong);
    }

    #[test]
    fn a_python_that_does_not_start_or_is_another_is_wrong() {
        let failed = About { python: Some(Err("cannot start Python: no encodings".into())), ..about() };
        assert!(found(Account::Told(failed)).found.contains("no encodings"));
        assert!(found(Account::Told(About { python: None, ..about() })).found.contains("ends the worker"));
        let other = Python { version: "3.1.4".into(), ..Python::default() };
        let finding = found(Account::Told(About { python: Some(Ok(other)), ..about() }));
        assert!(finding.found.contains("built for 3.11"), "{finding:?}");
    }

    #[test]
    fn another_program_of_the_name_on_the_path_is_a_warning() {
        let account = Account::Told(about());
        let other = Programs { on_path: Some("/usr/bin/supervisor".into()), ..programs(account.clone()) };
        assert_eq!(other.findings()[1].verdict, Verdict::Warn);
        let none = Programs { on_path: None, ..programs(account.clone()) };
        assert!(none.findings()[1].advice.as_ref().unwrap().contains("PATH=\"/opt/bin:$PATH\""));
        let replaced = Programs { own: "/opt/bin/supervisor (deleted)".into(), ..programs(account) };
        assert_eq!(replaced.findings()[0].verdict, Verdict::Warn);
    }

    #[test]
    fn a_program_that_says_nothing_of_the_kind_is_asked_all_the_same() {
        assert_eq!(ask(Path::new("/nowhere/worker")), Account::None("No such file or directory".into()));
        let Account::Odd(exit, said) = ask(Path::new("/bin/echo")) else { panic!() };
        assert_eq!((exit.as_str(), said.as_str()), ("code 0", "--about\n"));
    }

    #[test]
    fn a_program_that_talks_for_ever_is_stopped_by_the_end_of_what_it_may_say() {
        let folder = tempfile::tempdir().unwrap();
        let talker = folder.path().join("worker");
        fs::write(&talker, "#!/bin/sh\nwhile echo 'version none'; do :; done\n").unwrap();
        fs::set_permissions(&talker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let Account::Odd(_, said) = ask(&talker) else { panic!() };
        assert!(said.len() as u64 <= SAID_BYTES_MAX && said.starts_with("version none\n"), "{}", said.len());
    }
}
