//! The machine: what a server would run into, whatever it serves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use monoceros_shared::config::{App, Config};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::AccessFlags;

use super::finding::Finding;
use super::writable;
use crate::control::place;
use crate::listen::cause;
use crate::spawn::{Process, keep_strangers_from_workers};

/// Descriptors that a process has beside connections and their bodies: listeners, the link, the log, what an application opens. With
/// fewer spare ones an application's own files are what fails under load; more would be asked for that few have.
const SPARE_DESCRIPTORS: u64 = 256;

/// The limit on open files below which any server is warned about: with less a worker holds fewer connections than one browser test
/// opens. Most systems give 1024 at least.
const DESCRIPTORS_MIN: u64 = 1024;

/// The backlog that an application has unless it says otherwise.
const BACKLOG: u64 = 2048;

/// Bytes that should be free where bodies are spooled, if no file says how long a body may be.
const FREE_MIN: u64 = 100 << 20;

/// What is known of it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Open files a process may have: the hard limit, up to which the supervisor raises its own.
    pub descriptors: u64,
    /// `net.core.somaxconn`, if it can be read.
    pub somaxconn: Option<u64>,
    /// What the kernel lacks, with the version that has it.
    pub lacks: Vec<&'static str>,
    /// Where bodies are spooled, and how many bytes are free; or why nothing can be written there.
    pub temporary: (PathBuf, Result<u64, String>),
    /// Where the control socket is to be; or why it cannot.
    pub runtime: (PathBuf, Result<(), String>),
}

impl Machine {
    /// Looks at it, as the server of this process finds it if one runs: a service manager may give it other limits than a shell does.
    pub fn look(server: Option<u32>) -> Machine {
        let temporary = std::env::temp_dir();
        let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").ok();
        Machine {
            descriptors: server.and_then(descriptors_of).unwrap_or_else(own_descriptors),
            somaxconn: somaxconn.and_then(|text| text.trim().parse().ok()),
            lacks: lacks(),
            temporary: (temporary.clone(), free(&temporary)),
            runtime: (place::own_folder(), place::usable()),
        }
    }

    /// What is to be said of it, when this is to be served.
    pub fn findings(&self, config: Option<&Config>) -> Vec<Finding> {
        let apps = config.map_or(&[][..], |config| &config.apps);
        vec![
            self.kernel(),
            self.open_files(apps),
            self.backlog(apps),
            self.folder_of_bodies(apps),
            self.runtime_folder(),
        ]
    }

    fn kernel(&self) -> Finding {
        if self.lacks.is_empty() {
            return Finding::ok("kernel", "has all that is needed");
        }
        let advice =
            "Linux 5.11 or later has all of it; a sandbox such as gVisor or an old seccomp profile may hide it";
        Finding::wrong("kernel", format!("lacks {}", self.lacks.join(", ")), advice)
    }

    fn open_files(&self, apps: &[App]) -> Finding {
        let limit = self.descriptors;
        let advice = |wanted: u64| {
            format!(
                "raise the hard limit to {wanted}: LimitNOFILE={wanted} in the unit, `ulimit -Hn {wanted}` in a shell, \
                --ulimit nofile={wanted} for a container"
            )
        };
        let needed = |app: &App| app.limits.connections_max as u64 + SPARE_DESCRIPTORS;
        match apps.iter().max_by_key(|app| app.limits.connections_max).filter(|app| needed(app) > limit) {
            Some(app) => Finding::warn(
                "open files",
                format!(
                    "{limit} for each process, and {} may hold {} connections in one",
                    app.name, app.limits.connections_max
                ),
                format!("{}\nor lower limits.connections_max", advice(needed(app))),
            ),
            None if limit < DESCRIPTORS_MIN => {
                Finding::warn("open files", format!("{limit} for each process"), advice(65_536))
            }
            None => Finding::ok("open files", format!("{limit} for each process")),
        }
    }

    fn backlog(&self, apps: &[App]) -> Finding {
        let wanted = apps.iter().flat_map(|app| &app.listen).map(|listener| u64::from(listener.backlog)).max();
        let wanted = wanted.unwrap_or(BACKLOG);
        match self.somaxconn {
            Some(most) if most < wanted => Finding::warn(
                "backlog",
                format!("net.core.somaxconn is {most}, and {wanted} connections are to wait at most"),
                format!("sysctl -w net.core.somaxconn={wanted}, and in /etc/sysctl.d to keep it; or lower `backlog`"),
            ),
            Some(most) => Finding::ok("backlog", format!("net.core.somaxconn is {most}")),
            None => Finding::warn(
                "backlog",
                "net.core.somaxconn cannot be read",
                "mount /proc; what the kernel cuts a backlog to is not known",
            ),
        }
    }

    fn folder_of_bodies(&self, apps: &[App]) -> Finding {
        let (folder, state) = &self.temporary;
        let largest = apps.iter().map(|app| app.limits.body_bytes_max).max().unwrap_or(FREE_MIN);
        let shown = folder.display();
        match state {
            Ok(free) if *free < largest => Finding::warn(
                "temporary folder",
                format!("{shown} has {} free, and one body may have {}", megabytes(*free), megabytes(largest)),
                "make room, set TMPDIR to a folder with more, or lower limits.body_bytes_max",
            ),
            Ok(free) => Finding::ok("temporary folder", format!("{shown}, {} free", megabytes(*free))),
            Err(why) => Finding::wrong(
                "temporary folder",
                format!("{shown}: {why}"),
                "bodies above limits.body_memory_max are written there: make it writable, or set TMPDIR",
            ),
        }
    }

    fn runtime_folder(&self) -> Finding {
        let (folder, state) = &self.runtime;
        match state {
            Ok(()) => Finding::ok("runtime folder", folder.display().to_string()),
            Err(why) => Finding::warn(
                "runtime folder",
                format!("{}: {why}", folder.display()),
                "without it no command finds the server: make it a folder of this user's alone, mode 0700",
            ),
        }
    }
}

fn own_descriptors() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard)
}

/// The hard limit of another process, where that can be seen (proc_pid_limits(5)).
fn descriptors_of(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// Asked of the kernel itself: what a version number promises, a sandbox may not give.
fn lacks() -> Vec<&'static str> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let tried = [
        (Path::new("/proc/self/fd").is_dir(), "/proc"),
        (Process::of(own).is_ok(), "pidfd_open (Linux 5.3)"),
        (keep_strangers_from_workers().is_ok(), "close_range with CLOEXEC (Linux 5.11)"),
    ];
    tried.into_iter().filter(|(is_there, _)| !is_there).map(|(_, what)| what).collect()
}

/// Bytes that we may still write in a folder.
fn free(folder: &Path) -> Result<u64, String> {
    let words = |error: nix::errno::Errno| cause(&io::Error::from(error));
    writable(folder, AccessFlags::W_OK | AccessFlags::X_OK)?;
    let found = statvfs(folder).map_err(words)?;
    Ok(found.blocks_available() as u64 * found.fragment_size() as u64)
}

#[cfg(test)]
mod tests {
    use monoceros_shared::config::{CommandLine, from_command_line};

    use super::super::finding::Verdict;
    use super::*;

    fn good() -> Machine {
        Machine {
            descriptors: 65_536,
            somaxconn: Some(4096),
            lacks: Vec::new(),
            temporary: ("/tmp".into(), Ok(1 << 40)),
            runtime: ("/run/monoceros".into(), Ok(())),
        }
    }

    fn config() -> Config {
        let line = CommandLine { wsgi: "shop:app".into(), ..CommandLine::default() };
        from_command_line(line).unwrap().config
    }

    /// What stands out.
    fn odd(machine: &Machine) -> Vec<Finding> {
        let findings = machine.findings(Some(&config()));
        findings.into_iter().filter(|finding| finding.verdict != Verdict::Ok).collect()
    }

    #[test]
    fn nothing_stands_out_of_a_good_machine() {
        assert_eq!(odd(&good()), []);
        assert!(good().findings(None).iter().all(|finding| finding.advice.is_none()));
    }

    #[test]
    fn too_few_descriptors_are_counted_against_what_the_file_allows() {
        let few = Machine { descriptors: 10_000, ..good() };
        let findings = odd(&few);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].found, "10000 for each process, and app may hold 10000 connections in one");
        assert!(findings[0].advice.as_ref().unwrap().contains("LimitNOFILE=10256"), "{findings:?}");
        assert_eq!(few.findings(None)[1].verdict, Verdict::Ok, "without a file nobody wants so many");
        assert_eq!(Machine { descriptors: 1023, ..good() }.findings(None)[1].verdict, Verdict::Warn);
    }

    #[test]
    fn a_backlog_that_the_kernel_cuts_is_said_with_both_numbers() {
        let findings = odd(&Machine { somaxconn: Some(128), ..good() });
        assert!(findings[0].found.contains("128") && findings[0].found.contains("2048"), "{findings:?}");
        assert_eq!(odd(&Machine { somaxconn: None, ..good() }).len(), 1);
    }

    #[test]
    fn a_folder_for_bodies_must_be_writable_and_have_room_for_one() {
        let findings = odd(&Machine { temporary: ("/tmp".into(), Ok(5 << 20)), ..good() });
        assert!(findings[0].found.contains("5 MiB free, and one body may have 100 MiB"), "{findings:?}");
        let findings = odd(&Machine { temporary: ("/tmp".into(), Err("Read-only file system".into())), ..good() });
        assert_eq!(findings[0].verdict, Verdict::Wrong);
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        let findings = odd(&Machine { lacks: vec!["pidfd_open (Linux 5.3)"], ..good() });
        assert_eq!((findings[0].verdict, findings[0].found.as_str()), (Verdict::Wrong, "lacks pidfd_open (Linux 5.3)"));
    }

    #[test]
    fn this_machine_is_looked_at_without_a_fault() {
        let machine = Machine::look(None);
        assert!(machine.descriptors > 0);
        assert_eq!(descriptors_of(std::process::id()), Some(machine.descriptors), "as /proc tells it");
        assert_eq!(descriptors_of(u32::MAX), None);
        assert_eq!(machine.lacks, Vec::<&str>::new());
    }
}
