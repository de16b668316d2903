//! A copy of this machine for one test: what is installed in it, changed or removed is gone with it.
//!
//! ```text
//!   a mount namespace of its own: / below an overlay whose upper half is memory; /proc, /dev, /sys and /tmp are this machine's, /run is empty
//! ```
//!
//! Its processes, its network and its folder for temporary files are this machine's. Only root can have one.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::process::Process;

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

/// A copy of this machine.
pub struct Machine {
    holder: Process,
    place: TempDir,
}

impl Machine {
    /// One, where one can be had.
    ///
    /// # Errors
    /// Why not.
    pub fn copy() -> Result<Machine, String> {
        if !nix::unistd::geteuid().is_root() {
            return Err("only root can have a copy of the machine".to_owned());
        }
        let place = tempfile::Builder::new().prefix("monoceros-machine-").tempdir().expect("a folder can be made");
        let path = place.path().to_str().expect("a path in UTF-8");
        let words = ["--mount", "--propagation", "private", "sh", "-c", HOLD, "sh", path];
        let holder = Process::start(Path::new("unshare"), &words, place.path(), &[]);
        let is_made = holder.wait("a copy of the machine", |lines, status| {
            let made = lines.iter().any(|line| line == "the copy is made").then_some(true);
            made.or(status.map(|_| false))
        });
        if is_made { Ok(Machine { holder, place }) } else { Err(holder.whole_output()) }
    }

    /// The command that runs another one in it.
    pub fn inside(&self, words: &[&str]) -> Vec<String> {
        let root = self.place.path().join("root");
        let enter =
            ["nsenter", "--target", &self.holder.pid().to_string(), "--mount", "chroot", &root.to_string_lossy()];
        enter.iter().copied().chain(words.iter().copied()).map(str::to_owned).collect()
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
        let root = self.place.path().join("root");
        PathBuf::from(format!("/proc/{}/root{}{path}", self.holder.pid(), root.display()))
    }
}
