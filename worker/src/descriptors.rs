//! Which descriptors are ours, so that a child forked by the application can close them.
//!
//! A child that kept a client's socket would keep its connection alive behind our back; one that kept a listener would keep
//! the address. The list is a bitmap of atomics, because in such a child no lock can be trusted: the thread that held it
//! was not copied.
//!
//! Known fault: a descriptor above [`LIMIT`] is not noted; the limit on open files is kept below it at start.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Descriptors below this can be noted. A higher limit costs address space (128 KiB as it is), a lower one clients.
pub const LIMIT: usize = 1 << 20;

static OURS: [AtomicU64; LIMIT / 64] = [const { AtomicU64::new(0) }; LIMIT / 64];

fn place(fd: RawFd) -> Option<(&'static AtomicU64, u64)> {
    let fd = usize::try_from(fd).ok()?;
    Some((OURS.get(fd / 64)?, 1 << (fd % 64)))
}

/// This descriptor is ours from now on.
pub fn note(descriptor: &impl AsRawFd) {
    if let Some((word, bit)) = place(descriptor.as_raw_fd()) {
        word.fetch_or(bit, Ordering::Relaxed);
    }
}

/// This descriptor is about to be closed.
pub fn forget(descriptor: &impl AsRawFd) {
    if let Some((word, bit)) = place(descriptor.as_raw_fd()) {
        word.fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Notes every descriptor that is open above the standard three: called before Python starts, when all of them are ours.
///
/// # Errors
/// When `/proc/self/fd` cannot be read.
pub fn note_all() -> std::io::Result<()> {
    let names = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let open: Vec<RawFd> = names.filter_map(|name| name.parse().ok()).collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // The folder's own descriptor was in the list, and is closed by now.
        if std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok() {
            note(&fd);
        }
    }
    Ok(())
}

/// Closes them all. For a child forked by the application, in which they are copies.
pub fn close_all() {
    for (index, word) in OURS.iter().enumerate() {
        let mut bits = word.swap(0, Ordering::Relaxed);
        while bits != 0 {
            let fd = (index * 64) as RawFd + bits.trailing_zeros() as RawFd;
            let _ = nix::unistd::close(fd);
            bits &= bits - 1;
        }
    }
}

/// Descriptors that somebody else made for us and does not show. To be dropped before they are closed: then their numbers mean
/// something else.
pub struct Noted(Vec<RawFd>);

impl Noted {
    /// Notes the sockets that `connect` makes, while nobody else makes any of their kind.
    ///
    /// # Errors
    /// As `connect`.
    pub fn around<T>(connect: impl FnOnce() -> std::io::Result<T>) -> std::io::Result<(T, Noted)> {
        let before = packet_sockets();
        let made = connect()?;
        let fresh: Vec<_> = packet_sockets().into_iter().filter(|fd| !before.contains(fd)).collect();
        fresh.iter().for_each(note);
        Ok((made, Noted(fresh)))
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.iter().for_each(forget);
    }
}

/// The Unix packet sockets that are open (proc_pid_net(5): type 5).
fn packet_sockets() -> Vec<RawFd> {
    let table = std::fs::read_to_string("/proc/self/net/unix").unwrap_or_default();
    let packets: std::collections::BTreeSet<&str> = table
        .lines()
        .map(|line| line.split_whitespace())
        .filter_map(|mut fields| (fields.nth(4)? == "0005").then(|| fields.nth(1))?)
        .collect();
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return Vec::new() };
    let is_packet = |fd: &RawFd| {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| packets.contains(inode))
    };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(is_packet).collect()
}
