//! Plain sending: what is ready to leave, into a socket that does not block.

use std::fs::File;
use std::io::{self, ErrorKind};

use nix::sys::sendfile::sendfile;
use socket2::Socket;

use super::Flushed;
use crate::output::{Output, Piece};

/// What comes behind the bytes that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// That is not known.
    Anything,
    /// More, or the end of the connection, at once: one packet has room for both. TCP keeps the bytes back for some 200 ms if it does not come.
    More,
}

impl Behind {
    pub(super) fn flags(self) -> i32 {
        match self {
            Behind::Anything => libc::MSG_NOSIGNAL,
            Behind::More => libc::MSG_NOSIGNAL | libc::MSG_MORE,
        }
    }
}

/// Sends bytes and files as far as the socket takes them. Says whether any went.
pub(super) fn send(socket: &Socket, output: &mut Output, behind: Behind) -> (Flushed, bool) {
    let mut moved = false;
    loop {
        let flags = if output.has_file_behind() { Behind::More.flags() } else { behind.flags() };
        let sent = if let Some(two) = output.front_two() {
            socket.send_vectored_with_flags(&two, flags)
        } else {
            match output.front() {
                Piece::Nothing => return (Flushed::All, moved),
                Piece::Broken => return (Flushed::Gone, moved),
                Piece::Bytes(bytes) => socket.send_with_flags(bytes, flags),
                Piece::Stretch(stretch) => send_file(socket, &stretch.file, stretch.offset, stretch.length),
            }
        };
        match sent {
            Ok(count) => {
                moved = true;
                output.sent(count);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (Flushed::Full, moved),
            Err(_) => return (Flushed::Gone, moved),
        }
    }
}

fn send_file(socket: &Socket, file: &File, offset: u64, length: u64) -> io::Result<usize> {
    /// What Linux moves at most in one call.
    const ONCE: u64 = 0x7fff_f000;
    let mut offset = offset as libc::off_t;
    match sendfile(socket, file, Some(&mut offset), length.min(ONCE) as usize) {
        // The file is shorter than it was: the answer cannot be completed.
        Ok(0) => Err(io::Error::from(ErrorKind::UnexpectedEof)),
        Ok(count) => Ok(count),
        Err(error) => Err(error.into()),
    }
}
