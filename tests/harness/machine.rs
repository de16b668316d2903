//! A copy of this machine for one test: what is installed in it, changed or removed is gone with it.
//!
//! ```text
//!   a copy        a mount namespace of its own: / below an overlay whose upper half is memory; /proc, /dev, /sys and /tmp are this
//!                 machine's, /run is empty. Its processes, its network and its folder for temporary files are this machine's.
//!   booted        every namespace is its own, and a real systemd is PID 1: /tmp, /run, /dev and the loopback are its own, /sys and
//!                 /proc/sys cannot be written. What it is to have of this machine's /tmp is brought there.
//! ```
//!
//! Only root can have one. This machine's /tmp is never in one that is booted: a systemd that boots empties it.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::client::Client;
use super::process::{Process, within};

/// Makes the copy at `$1`, and holds it.
const HOLD: &str = r#"
set -e
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for folder in proc dev sys tmp; do mount --rbind "/$folder" "$1/root/$folder"; done
mount -t tmpfs tmpfs "$1/root/run"
echo "the copy is made"
exec tail -f /dev/null
"#;

/// Makes the copy at `$1`, boots it, and clears up when it is gone.
const BOOT: &str = include_str!("boot.sh");

/// Where Debian and others have systemd itself.
const SYSTEMD: &str = "/lib/systemd/systemd";

/// The oldest systemd whose `systemctl` does all that is asked of it.
const SYSTEMD_MIN: u32 = 249;

/// How long a boot may take, of which half a second is usual. Less gives up on a busy machine; more holds up each test where a systemd
/// starts and hangs.
const BOOT_PATIENCE: Duration = Duration::from_secs(20);

/// How long a machine may take to be cleared up. Less leaves its folders on a busy machine; more holds up a test that is over.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A copy of this machine.
pub struct Machine {
    /// Ends last, when its machine has.
    holder: Process,
    place: TempDir,
    /// The number here of a process that is in all of its namespaces.
    inhabitant: Pid,
    /// Its `/`, as `inhabitant` sees it.
    root: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Copied,
    Booted,
}

impl Machine {
    /// One, where one can be had.
    ///
    /// # Errors
    /// Why not.
    pub fn copy() -> Result<Machine, String> {
        let (holder, place) = hold(HOLD, &[])?;
        said(&holder, "the copy is made").ok_or_else(|| holder.whole_output())?;
        let root = place.path().join("root");
        Ok(Machine { inhabitant: holder.pid(), holder, place, root, kind: Kind::Copied })
    }

    /// One with a real systemd as PID 1 that is up, where one can be had.
    ///
    /// # Errors
    /// Why not.
    pub fn boot() -> Result<Machine, String> {
        let version = std::process::Command::new(SYSTEMD).arg("--version").output();
        let version = String::from_utf8(version.map_err(|why| format!("{SYSTEMD}: {why}"))?.stdout).unwrap_or_default();
        let number = version.split_whitespace().nth(1).and_then(|number| number.parse::<u32>().ok());
        if number.is_none_or(|number| number < SYSTEMD_MIN) {
            return Err(format!("systemd {SYSTEMD_MIN} or newer is needed, not {version:?}"));
        }
        let (holder, place) = hold(BOOT, &[SYSTEMD])?;
        let inhabitant = said(&holder, "booting as ").and_then(|line| line.parse().ok()).map(Pid::from_raw);
        let inhabitant = inhabitant.ok_or_else(|| holder.whole_output())?;
        let machine = Machine { holder, place, inhabitant, root: "/".into(), kind: Kind::Booted };
        let up = within(BOOT_PATIENCE, || {
            let (code, state) = machine.run(&["systemctl", "is-system-running", "--wait"]);
            let is_up = code == 0 || state.contains("degraded");
            if is_up || machine.holder.status().is_some() { Ok(()) } else { Err(state) }
        });
        // One that has died while it booted, or hangs, is one that this machine does not let us have.
        match up {
            Ok(()) if machine.holder.status().is_none() => Ok(machine),
            Ok(()) => Err(machine.holder.whole_output()),
            Err(state) => Err(format!("a systemd was started and is not up: {state}\n{}", machine.holder.output())),
        }
    }

    /// Whether a real systemd is its PID 1, and its network its own.
    pub fn is_booted(&self) -> bool {
        self.kind == Kind::Booted
    }

    /// The command that runs another one in it.
    pub fn inside(&self, words: &[&str]) -> Vec<String> {
        let (target, root) = (self.inhabitant.to_string(), self.root.to_string_lossy());
        let enter = match self.kind {
            Kind::Copied => vec!["nsenter", "--target", &target, "--mount", "chroot", &root],
            Kind::Booted => vec!["nsenter", "--target", &target, "--all", "--root", "--wd"],
        };
        enter.iter().chain(words).map(|word| (*word).to_owned()).collect()
    }

    /// Starts a command in it.
    pub fn start(&self, words: &[&str], variables: &[(String, String)]) -> Process {
        let command = self.inside(words);
        Process::start(Path::new(&command[0]), &command[1..], self.place.path(), variables)
    }

    /// Runs a command in it to its end; gives its exit status and all that it printed.
    pub fn run(&self, words: &[&str]) -> (i32, String) {
        let process = self.start(words, &[]);
        (process.exit_code(), process.whole_output())
    }

    /// The same for a command that must succeed; gives what it printed.
    pub fn done(&self, words: &[&str]) -> String {
        let (code, output) = self.run(words);
        assert_eq!(code, 0, "{words:?}: {output}");
        output
    }

    /// A path in it, as it is seen from outside.
    pub fn path(&self, path: &str) -> PathBuf {
        let root = self.root.to_string_lossy();
        PathBuf::from(format!("/proc/{}/root{}{path}", self.inhabitant, root.trim_end_matches('/')))
    }

    /// Makes a file or a folder of this machine's /tmp be where it is there too.
    pub fn bring(&self, path: &Path) {
        if self.kind == Kind::Copied {
            return;
        }
        let folder = path.parent().and_then(Path::to_str).expect("a path in UTF-8");
        fs::create_dir_all(self.path(folder)).expect("a folder can be made there");
        let copied = std::process::Command::new("cp").arg("--archive").arg(path).arg(self.path(folder)).status();
        assert!(copied.is_ok_and(|status| status.success()), "cannot bring {} there", path.display());
    }

    /// Lets each of its users go through the folders that a path lies in.
    pub fn open_way_to(&self, path: &Path) {
        for folder in path.ancestors().skip(1).filter(|path| *path != Path::new("/")) {
            self.done(&["chmod", "a+rx", folder.to_str().expect("a path in UTF-8")]);
        }
    }

    /// A connection to an address on its network.
    pub fn connect(&self, address: SocketAddr) -> Client {
        let network = File::open(format!("/proc/{}/ns/net", self.inhabitant)).expect("it has a network");
        let connect = || {
            setns(&network, CloneFlags::CLONE_NEWNET).expect("root can go there");
            Client::connect(address)
        };
        // In a thread of its own, which ends there: the network is its threads', one by one.
        thread::scope(|scope| scope.spawn(connect).join()).expect("somebody listens there")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.kind == Kind::Booted {
            // With PID 1 the kernel ends everything in it; then its holder clears up, and ends.
            let _ = kill(self.inhabitant, Signal::SIGKILL);
            let _ = within(END_PATIENCE, || self.holder.status());
        }
    }
}

/// Somebody who makes a copy at a place of its own, and holds it there.
fn hold(script: &str, more: &[&str]) -> Result<(Process, TempDir), String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("only root can have a copy of the machine".to_owned());
    }
    let place = tempfile::Builder::new().prefix("monoceros-machine-").tempdir().expect("a folder can be made");
    let path = place.path().to_str().expect("a path in UTF-8");
    // A test that is itself killed leaves no machine: TERM is what its holder clears up at.
    let words =
        ["--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", path];
    let words: Vec<&str> = words.iter().chain(more).copied().collect();
    let holder = Process::start(Path::new("setpriv"), &words, Path::new("/"), &[]);
    Ok((holder, place))
}

/// What stands behind these words in a line of a holder's; nothing if it ends without.
fn said(holder: &Process, words: &str) -> Option<String> {
    holder.wait("a copy of the machine", |lines, status| {
        let rest = lines.iter().find_map(|line| line.strip_prefix(words)).map(|rest| Some(rest.to_owned()));
        rest.or(status.map(|_| None))
    })
}
