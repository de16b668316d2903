//! Clients of TCP are told of when they have said something.
//!
//! Every protocol that we speak begins with the client. A connection that is accepted before its first bytes have come costs a wake and three system
//! calls more: a try to read, a place in the poll, another wait. So the kernel keeps it until then (tcp(7), TCP_DEFER_ACCEPT), as it does for
//! Apache.

use std::io;
use std::os::fd::AsRawFd;

use nix::libc;
use socket2::Socket;

/// How long the kernel waits for them, in seconds, before we are told of the client all the same, and it is our timeouts that count. Longer, and those who
/// only connect would stay among the kernel's half-open connections.
const WAIT: libc::c_int = 1;

/// Has the kernel wait for a client's first bytes. A listener that has what it had before works as well.
#[expect(unsafe_code, reason = "no crate of ours wraps this option")]
pub fn wait_for_bytes(socket: &Socket) -> io::Result<()> {
    let wait = WAIT;
    let (value, size) = ((&raw const wait).cast(), size_of_val(&wait) as libc::socklen_t);
    // SAFETY: the kernel reads `size` bytes at `value`, which is alive and of just that size.
    match unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, value, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
