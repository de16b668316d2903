//! Children of ours that we did not make: what workers leave behind, and, as PID 1 of a container, everybody's orphans.
//!
//! ```text
//!   a worker is gone, somebody of its process group lives:   TERM -> (GRACE) -> KILL
//!   a child ended that is no worker:                         reaped, and that is all
//! ```
//!
//! We are a subreaper, so whoever loses its parent below us becomes our child instead of init's: nobody escapes unseen, and
//! nobody stays a zombie.
//!
//! Rules
//! * A worker's end belongs to whoever watches its pidfd ([`spawn::is_ours`]); it is never taken from there.
//! * What an application starts ends with its worker: it would hold memory, locks and connections of a generation that is gone, a
//!   few more with each reload. What is meant to outlive its worker says so as a daemon does, by a session of its own
//!   (`subprocess.Popen(..., start_new_session=True)`), which is another process group.
//! * A group is signalled only while an unreaped child of ours is in it: then its number cannot have come to mean another.
//!
//! Known faults: a process of a group whose parent lives, and left the group itself, is not seen to be left. A worker that was taken
//! over from a supervisor that died is no child of ours, so what it leaves behind goes to init and stays.

use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::num::NonZeroI32;
use std::time::{Duration, Instant};

use nix::libc;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, set_child_subreaper, waitid};

use crate::spawn;

/// From the TERM to the KILL. Shorter, and what tidies up after itself cannot; longer, and a few fast reloads pile up what does
/// not hear.
pub const GRACE: Duration = Duration::from_secs(5);

/// Has orphans below us come to us.
///
/// # Errors
/// When the kernel does not know how; then they go to init.
pub fn adopt_orphans() -> io::Result<()> {
    // Any number but 0 means yes.
    Ok(set_child_subreaper(Some(Pid::INIT))?)
}

/// Who is left of workers that are gone.
#[derive(Debug, Default)]
pub struct Strangers {
    /// Process groups, by when they are killed.
    left: BTreeMap<NonZeroI32, Instant>,
    /// Whether a child ended that was not reaped, because a worker's end stood before it.
    is_behind: bool,
}

impl Strangers {
    /// A worker was reaped that led this group: what is left of it is to go.
    pub fn left_by(&mut self, leader: u32, now: Instant) {
        let Some(group) = i32::try_from(leader).ok().and_then(Pid::from_raw) else {
            return;
        };
        if is_there(group) {
            // Fails when all of it belongs to somebody whom we may not signal; the KILL then fails as well.
            let _ = kill_process_group(group, Signal::TERM);
            self.left.insert(group.as_raw_nonzero(), now + GRACE);
        }
    }

    /// The groups of which something is left.
    pub fn groups(&self) -> Vec<u32> {
        self.left.keys().map(|group| group.get().unsigned_abs()).collect()
    }

    /// Reaps the children that are nobody's; how many. To be called after the ends of workers were taken in.
    pub fn reap(&mut self) -> usize {
        let mut reaped = 0;
        self.is_behind = false;
        while let Ok(Some(pid)) = next_zombie() {
            if spawn::is_ours(pid) {
                // Its pidfd is ready too, so there is another round soon.
                self.is_behind = true;
                break;
            }
            // Nobody else waits for it.
            if waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).is_err() {
                break;
            }
            reaped += 1;
        }
        self.left.retain(|group, _| named(*group).is_some_and(is_there));
        reaped
    }

    /// Whether there is a child to reap although nothing stirs.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Kills who has had the time to go.
    pub fn tick(&mut self, now: Instant) {
        self.kill(now, |at| at <= now);
    }

    /// Kills who is left.
    pub fn kill_all(&mut self, now: Instant) {
        self.kill(now, |_| true);
    }

    fn kill(&mut self, now: Instant, is_due: impl Fn(Instant) -> bool) {
        self.left.retain(|group, _| named(*group).is_some_and(is_there));
        for (group, at) in self.left.iter_mut().filter(|(_, at)| is_due(**at)) {
            if let Some(group) = named(*group) {
                // Fails when all of it belongs to somebody whom we may not signal.
                let _ = kill_process_group(group, Signal::KILL);
            }
            // Until it is gone: it may be in the kernel's hands, or make children faster than they die.
            *at = now + GRACE;
        }
    }

    /// When [`Strangers::tick`] is due next.
    pub fn deadline(&self) -> Option<Instant> {
        self.left.values().min().copied()
    }
}

fn named(number: NonZeroI32) -> Option<Pid> {
    Pid::from_raw(number.get())
}

/// Whether a child of ours, living or not reaped, is in this group.
fn is_there(group: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::Pgid(Some(group)), look).is_ok()
}

/// A child that ended and is not reaped; it stays so.
#[expect(unsafe_code, reason = "rustix does not tell whose end it is, and nix not of all signals")]
fn next_zombie() -> io::Result<Option<Pid>> {
    let mut told = MaybeUninit::<libc::siginfo_t>::zeroed();
    let look = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes a siginfo_t or nothing, and zeros are one.
    let (status, told) = unsafe { (libc::waitid(libc::P_ALL, 0, told.as_mut_ptr(), look), told.assume_init()) };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: what waitid tells is of SIGCHLD's form; when it tells nothing the number is the zero from above.
    Ok(Pid::from_raw(unsafe { told.si_pid() }))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::process::{ChildStdout, Command, Stdio};

    use super::*;

    /// A process group whose leader ends at once and leaves a child that does as `script` says. Gives the leader's number and what
    /// the child says. Each test is a process of its own, so nobody else's children are in the way.
    fn group(script: &str) -> (u32, BufReader<ChildStdout>) {
        use std::os::unix::process::CommandExt;
        adopt_orphans().unwrap();
        let mut leader = Command::new("/bin/sh")
            .args(["-c", &format!("( {script} ) & exit 0")])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut heard = BufReader::new(leader.stdout.take().unwrap());
        let mut line = String::new();
        heard.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
        leader.wait().unwrap();
        (leader.id(), heard)
    }

    /// Waits until nobody holds the group's output.
    fn until_it_is_gone(mut heard: BufReader<ChildStdout>) -> String {
        let mut rest = String::new();
        heard.read_to_string(&mut rest).unwrap();
        rest
    }

    /// Reaps until so many children have been.
    fn reap(strangers: &mut Strangers, wanted: usize) {
        let mut reaped = 0;
        while reaped < wanted {
            reaped += strangers.reap();
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_worker_leaves_is_asked_to_go_and_reaped() {
        let (leader, heard) = group("trap 'echo bye; exit' TERM; echo up; while :; do :; done");
        let mut strangers = Strangers::default();
        strangers.left_by(leader, Instant::now());
        assert!(strangers.deadline().is_some());
        assert_eq!(until_it_is_gone(heard), "bye\n");
        reap(&mut strangers, 1);
        assert_eq!(strangers.deadline(), None, "nothing is left to be killed");
    }

    #[test]
    fn who_does_not_hear_is_killed_when_its_time_is_up() {
        let (leader, heard) = group("trap '' TERM; echo up; while :; do read -r x; done </dev/zero");
        let mut strangers = Strangers::default();
        let now = Instant::now();
        strangers.left_by(leader, now);
        strangers.tick(now + GRACE - Duration::from_millis(1));
        assert!(strangers.deadline().is_some(), "too early");
        strangers.tick(now + GRACE);
        until_it_is_gone(heard);
        reap(&mut strangers, 1);
    }

    #[test]
    fn a_daemon_stays() {
        let (leader, heard) = group("exec setsid sh -c 'echo up; while :; do read -r x; done </dev/zero'");
        let mut strangers = Strangers::default();
        strangers.left_by(leader, Instant::now());
        assert_eq!(strangers.deadline(), None);
        strangers.kill_all(Instant::now());
        // It came to us, who have not made it; only its own end ends it.
        assert!(next_zombie().unwrap().is_none());
        for child in children() {
            kill_process_group(child, Signal::KILL).unwrap();
        }
        until_it_is_gone(heard);
        reap(&mut strangers, 1);
    }

    /// Our children, from `/proc`.
    fn children() -> Vec<Pid> {
        let entries = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        let is_ours = |pid: &i32| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
            parent == Some(std::process::id())
        };
        pids.filter(is_ours).filter_map(Pid::from_raw).collect()
    }

    #[test]
    fn a_workers_end_is_not_taken_from_who_watches_it() {
        use std::collections::BTreeMap;
        use std::os::fd::AsFd;
        let program = spawn::Program::open(std::path::Path::new("/bin/sh")).unwrap();
        let (_ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let title = ["-c".to_owned(), "exit 7".to_owned()];
        let process =
            program.spawn(&title, &BTreeMap::new(), spawn::Standard { input: theirs.into(), output: None }).unwrap();
        let mut fds = [nix::poll::PollFd::new(process.as_fd(), nix::poll::PollFlags::POLLIN)];
        nix::poll::poll(&mut fds, nix::poll::PollTimeout::NONE).unwrap();
        let (leader, heard) = group("echo up");
        until_it_is_gone(heard);
        let mut strangers = Strangers::default();
        // The worker's zombie stands before the stranger's, or behind it.
        while !strangers.is_behind() {
            strangers.reap();
        }
        assert_eq!(process.reap(), Some(crate::core::Exit::Code(7)));
        while next_zombie().is_ok() {
            strangers.reap();
        }
        assert!(!strangers.is_behind() && !is_there(Pid::from_raw(leader as i32).unwrap()));
    }
}
