//! Plain receiving: from a socket that does not block, into the thread's scratch or straight into a body.

use std::io::{self, ErrorKind, Read};

use rustix::buffer::spare_capacity;
use rustix::net::{RecvFlags, recv};

use super::{Connection, Standing};
use crate::turn::{Farewell, Moment};

/// Bytes read at first of a request. Fewer cost a read more for forms and for requests that come together, more are copied where the rest
/// of a body is read into its place.
const FIRST_BYTES: usize = 16 * 1024;

impl Connection {
    /// Reads some of what the turn wants; where the connection stands if it cannot go on with that.
    pub(super) fn read_on(&mut self, scratch: &mut [u8], moment: &Moment) -> Option<Standing> {
        let direct = if self.place.is_some() {
            Some(self.receive_on_trunk(scratch, moment))
        } else {
            self.receive_into_body(moment)
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
        loop {
            match (&*self.socket).read(scratch) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(count) => {
                    self.moved = true;
                    // A read that did not fill the buffer emptied the socket (epoll(7), Q&A 9), but for an end behind its bytes.
                    self.readable = count == scratch.len() || self.hangup;
                    return Ok(count);
                }
                Err(error) => {
                    self.readable = false;
                    return Err(error);
                }
            }
        }
    }

    /// What is to be read into next: what comes of a new request's body may have a better place.
    fn part_of<'a>(&self, scratch: &'a mut [u8]) -> &'a mut [u8] {
        let end = if self.turn.is_idle() { FIRST_BYTES.min(scratch.len()) } else { scratch.len() };
        &mut scratch[..end]
    }

    /// Reads straight into the body, where that has room for all of it; `None` where it has not, or the bytes are not as they come.
    fn receive_into_body(&mut self, moment: &Moment) -> Option<io::Result<()>> {
        if self.session.is_some() || self.place.is_some() {
            return None;
        }
        let room = self.turn.room()?;
        let (before, size) = (room.len(), room.capacity() - room.len());
        let received = loop {
            match recv(&*self.socket, spare_capacity(room), RecvFlags::empty()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        Some(match received {
            Ok((_, count)) => {
                self.moved = true;
                self.readable = count == size || self.hangup;
                if count == 0 {
                    self.turn.end_of_input(moment);
                } else {
                    self.turn.came_into_room(before, moment);
                }
                Ok(())
            }
            Err(error) => {
                self.readable = false;
                Err(error.into())
            }
        })
    }
}
