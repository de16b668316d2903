//! How much memory a process takes, as far as `/proc` tells.
//!
//! PSS counts a page that several processes share in parts, so that workers that were forked or that map the same libraries
//! are not blamed for each other's. Reading it walks the process's page tables, which takes the kernel a few milliseconds
//! for each gigabyte.
//!
//! PSS is told to the process's own user alone. A supervisor that is root, and has kept no capability to trace others, becomes
//! that user for the moment of the reading, as far as files are concerned.
//!
//! Known fault: it is read in the supervisor's one thread, so hundreds of big workers hold up its other work for as long.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

/// Bytes of its PSS, else of its RSS; 0 when neither can be read, as of a process that is gone.
pub fn of(pid: u32) -> u64 {
    field(pid, "smaps_rollup", "Pss:").unwrap_or_else(|| resident(pid))
}

/// Bytes that are in RAM, shared pages counted whole; 0 as above. The kernel has the number at hand, so that it may be asked often.
pub fn resident(pid: u32) -> u64 {
    field(pid, "status", "VmRSS:").unwrap_or(0)
}

/// A field of a file of `/proc`, in bytes.
fn field(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = read(pid, file).ok()?;
    Some(kibibytes(&text, name)? * 1024)
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let owner = fs::metadata(format!("/proc/{pid}"))?;
            as_owner(owner.uid(), owner.gid(), || fs::read_to_string(&path))
        }
        read => read,
    }
}

/// Does something as another user, in this thread alone and as far as files are concerned. Without the power to, it is done as
/// ourselves.
fn as_owner<T>(uid: u32, gid: u32, what: impl FnOnce() -> T) -> T {
    let (was_group, was_user) = (setfsgid(Gid::from_raw(gid)), setfsuid(Uid::from_raw(uid)));
    let done = what();
    setfsuid(was_user);
    setfsgid(was_group);
    done
}

/// The number in a line like `Pss:    1234 kB`.
fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_takes_more_memory_is_seen_to() {
        let before = of(std::process::id());
        let block = vec![1_u8; 64 << 20];
        let after = of(std::process::id());
        assert!(resident(std::process::id()) >= 64 << 20);
        assert!(before > 0 && after >= before + (48 << 20), "{before} bytes, then {after}");
        drop(block);
    }

    #[test]
    fn another_users_process_is_counted_in_parts_too() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let words = ["--pdeathsig=KILL", "--reuid=65534", "--regid=65534", "--clear-groups", "tail", "-f", "/dev/null"];
        let mut other = std::process::Command::new("setpriv").args(words).spawn().unwrap();
        let rollup = format!("/proc/{}/smaps_rollup", other.id());
        let of_field = |name| kibibytes(&fs::read_to_string(&rollup).ok()?, name);
        // Until it is that user, and stands in its libraries, which it shares with half of the machine.
        let shares = || of_field("Rss:").unwrap_or(0) > of_field("Pss:").unwrap_or(0) + 1024;
        while fs::read_to_string(format!("/proc/{}/comm", other.id())).unwrap() != "tail\n" || !shares() {
            std::thread::yield_now();
        }
        let id = other.id();
        let (told, after) = std::thread::spawn(move || {
            crate::capabilities::drop_unneeded(crate::capabilities::Workers::SomeStayRoot).unwrap();
            (of(id), fs::metadata("/root").is_ok())
        })
        .join()
        .unwrap();
        let (pss, rss) = (of_field("Pss:").unwrap() * 1024, of_field("Rss:").unwrap() * 1024);
        assert!(told.abs_diff(pss) < rss.abs_diff(pss) / 2, "{told} bytes, where PSS is {pss} and RSS {rss}");
        assert!(after, "the thread is not who it was");
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_takes_none() {
        assert_eq!((of(u32::MAX), resident(u32::MAX)), (0, 0));
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "Rss:  10 kB\nPss_Anon:  3 kB\nPss:   7 kB\n";
        assert_eq!(kibibytes(text, "Pss:"), Some(7));
        assert_eq!(kibibytes(text, "Swap:"), None);
    }
}
