//! Plain receiving: from a socket that does not block, into the thread's scratch or straight into a body.

use std::io::{self, ErrorKind, Read};

use rustix::buffer::spare_capacity;
use rustix::io::retry_on_intr;
use rustix::net::{RecvFlags, recv};

use super::{Connection, Standing};
use crate::turn::{Farewell, Moment};

/// Bytes read at first of a request. Fewer cost a read more for forms and for requests that come together, more are copied where the rest
/// of a body is read into its place.
const FIRST_BYTES: usize = 16 * 1024;

impl Connection {
    /// Reads some of what the turn wants; where the connection stands if it cannot go on with that.
    pub(super) fn read_on(&mut self, scratch: &mut [u8], moment: &Moment) -> Option<Standing> {
        let direct = match (&self.place, &self.session) {
            (Some(_), _) => Some(self.receive_on_trunk(scratch, moment)),
            (None, None) => self.receive_into_body(moment),
            (None, Some(_)) => None,
        };
        if let Some(read) = direct {
            let is_broken = read.is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
            return is_broken.then_some(Standing::End(Farewell::Reset));
        }
        let came = match self.session {
            _ if self.awaits_introduction() => self.receive_introduction(scratch, moment),
            None => self.receive(self.part_of(scratch)).map(|count| 0..count),
            Some(_) => self.receive_sealed(scratch, moment),
        };
        match came {
            Ok(bytes) if bytes.is_empty() => self.turn.end_of_input(moment),
            Ok(bytes) => self.turn.receive(&scratch[bytes], moment),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Our side first: a reset would overtake the alert that says why.
            Err(error) if error.kind() == ErrorKind::InvalidData => return Some(Standing::End(Farewell::Linger)),
            Err(_) => return Some(Standing::End(Farewell::Reset)),
        }
        None
    }

    /// Reads some bytes; none: the client sends no more.
    pub(super) fn receive(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        let received = loop {
            match (&*self.socket).read(scratch) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        self.note_received(received, scratch.len())
    }

    /// What a read of up to `size` bytes came to, and what that says of the socket.
    fn note_received(&mut self, received: io::Result<usize>, size: usize) -> io::Result<usize> {
        self.moved |= received.is_ok();
        // A read that did not fill the buffer emptied the socket (epoll(7), Q&A 9), but for an end behind its bytes.
        self.readable = received.as_ref().is_ok_and(|count| *count == size || self.hangup);
        received
    }

    /// What is to be read into next: what comes of a new request's body may have a better place.
    fn part_of<'a>(&self, scratch: &'a mut [u8]) -> &'a mut [u8] {
        let end = if self.turn.is_idle() { FIRST_BYTES.min(scratch.len()) } else { scratch.len() };
        &mut scratch[..end]
    }

    /// Reads straight into the body, where that has room for all of it; `None` where it has not. Only where bytes are as they come.
    fn receive_into_body(&mut self, moment: &Moment) -> Option<io::Result<()>> {
        let room = self.turn.room()?;
        let (before, size) = (room.len(), room.capacity() - room.len());
        let received = retry_on_intr(|| recv(&*self.socket, spare_capacity(room), RecvFlags::empty()));
        let received = self.note_received(received.map(|(_, count)| count).map_err(io::Error::from), size);
        Some(received.map(|count| match count {
            0 => self.turn.end_of_input(moment),
            _ => self.turn.came_into_room(before, moment),
        }))
    }
}
