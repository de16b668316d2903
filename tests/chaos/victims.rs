//! Workers that are killed, and what each of them held.
//!
//! The victim is stopped first, so that what it holds does not change while it is written down. A connection that is on
//! its way to a worker, sent and not yet taken, is in nobody's descriptors: it counts to the one that was killed.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Server, descriptors, eventually, stands_still};

/// A worker that was killed.
#[derive(Clone, Debug)]
pub struct Victim {
    /// The clients' ports of the connections that it held.
    held: BTreeSet<u16>,
    at: Instant,
}

impl Victim {
    /// Kills a worker; nothing when it was gone before.
    pub fn kill(server: &Server, pid: i32) -> Option<Victim> {
        let process = Pid::from_raw(pid);
        kill(process, Signal::SIGSTOP).ok()?;
        // The signal is not there at once, and meanwhile it may accept.
        eventually("the victim to stand still", || stands_still(pid).then_some(()));
        let at = Instant::now();
        let held = held_by(server, pid);
        kill(process, Signal::SIGKILL).ok()?;
        Some(Victim { held, at })
    }

    /// Whether it may be the cause of a loss on this connection at that time.
    pub fn accounts_for(&self, port: u16, at: Instant) -> bool {
        self.held.contains(&port) && self.at <= at
    }
}

/// The clients' ports of the connections that a worker holds or that are on their way to one.
fn held_by(server: &Server, pid: i32) -> BTreeSet<u16> {
    let others: BTreeSet<u64> =
        server.process().session().into_iter().filter(|&other| other != pid).flat_map(sockets).collect();
    let connections = connections(pid, server.address());
    let ours = sockets(pid);
    let is_held = |inode: &u64| ours.contains(inode) || !others.contains(inode);
    connections.into_iter().filter(|(_, inode)| is_held(inode)).map(|(port, _)| port).collect()
}

fn sockets(pid: i32) -> BTreeSet<u64> {
    if fs::metadata(format!("/proc/{pid}/fd")).is_err() {
        return BTreeSet::new();
    }
    let number = |(_, target): (i32, String)| target.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    descriptors(pid).into_iter().filter_map(number).collect()
}

/// Accepted connections to an address: the other side's port, and the socket's inode (proc_pid_net(5)).
fn connections(pid: i32, address: SocketAddr) -> Vec<(u16, u64)> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let port = format!(":{:04X}", address.port());
    let accepted = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode: u64 = fields.get(9)?.parse().ok()?;
        let (_, remote) = fields[2].split_once(':')?;
        let remote = u16::from_str_radix(remote, 16).ok()?;
        (fields[1].ends_with(&port) && remote != 0 && inode != 0).then_some((remote, inode))
    });
    accepted.collect()
}
