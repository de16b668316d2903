//! Who has a TCP port that we cannot have, as far as `/proc` tells us: a hint for a person, so any failure is silence.

use std::fs;
use std::net::SocketAddr;

/// Processes looked at. A machine with more of them gets no hint rather than a slow refusal.
const PROCESSES_MAX: usize = 10_000;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENING: &str = "0A";

/// `process 123, nginx`, when it can be seen.
pub fn of(address: SocketAddr) -> Option<String> {
    let links: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_on(&table, address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten().take(PROCESSES_MAX);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let pid = pids.find(|pid| has_one_of(*pid, &links))?;
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    Some(format!("process {pid}, {}", name.trim_end().escape_debug()))
}

/// The inodes of the sockets that listen on a port: columns 2 (local address), 4 (state) and 10 of the table.
fn listening_on(table: &str, port: u16) -> Vec<String> {
    let port = format!(":{port:04X}");
    let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = lines.filter(|fields| fields.len() > 9 && fields[1].ends_with(&port) && fields[3] == LISTENING);
    ours.map(|fields| fields[9].to_owned()).collect()
}

fn has_one_of(pid: u32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}
