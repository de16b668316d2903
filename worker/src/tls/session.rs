//! One connection's TLS, from the client's hello to its close_notify.
//!
//! rustls buffers at most 16 KiB of what came and 64 KiB of what is to go, so a client costs no more than that.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

use rustls::ServerConnection;

use super::Terms;
use super::variables::{Variables, variables};
use crate::output::{Output, Piece};

/// Bytes of a file made into records before those are sent; with what surrounds them rustls holds no more. Less costs a call to
/// the kernel more often, more costs memory for each slow reader.
const WRAPPED_MAX: usize = 63 * 1024;

/// Bytes of records that fit one read, so that what they hold fits [`Session::plain_bytes_max`].
pub const CIPHER_BYTES: usize = 16 * 1024;

/// Bytes of a record at most, with all that surrounds its content (RFC 5246 6.2.3).
const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;

/// One connection's TLS.
pub struct Session {
    connection: ServerConnection,
    /// Whether anything has come.
    has_begun: bool,
    /// The client has said that it sends no more.
    is_over: bool,
    /// What the application is told of it is still to be taken.
    is_news: bool,
    /// Bytes made into records since none waited to be sent.
    wrapped: usize,
    file_piece: Vec<u8>,
}

impl Session {
    /// Bytes that [`Session::receive`] may give at once.
    pub const PLAIN_BYTES_MAX: usize = CIPHER_BYTES + RECORD_BYTES_MAX;

    /// A session that waits for the client's hello.
    ///
    /// # Errors
    /// When rustls finds the terms wanting, which a listener's never are.
    pub fn new(terms: &Terms) -> Result<Session, rustls::Error> {
        let connection = ServerConnection::new(terms.0.clone())?;
        let fresh =
            Session { connection, has_begun: false, is_over: false, is_news: true, wrapped: 0, file_piece: Vec::new() };
        Ok(fresh)
    }

    /// Whether these first bytes are no TLS but an HTTP request: a method begins with a letter, a record with 22.
    pub fn is_plain_http(&self, bytes: &[u8]) -> bool {
        !self.has_begun && bytes.first().is_some_and(u8::is_ascii_uppercase)
    }

    /// Takes what came, at most [`CIPHER_BYTES`], and puts what it held into `plain`, which has room for
    /// [`Session::PLAIN_BYTES_MAX`]: how many bytes.
    ///
    /// # Errors
    /// When it breaks the protocol or cannot be verified. What is to be sent then says so to the client.
    pub fn receive(&mut self, mut cipher: &[u8], plain: &mut [u8]) -> io::Result<usize> {
        self.has_begun = true;
        let mut filled = 0;
        while !cipher.is_empty() && !self.is_over {
            self.connection.read_tls(&mut cipher)?;
            let state = self.connection.process_new_packets();
            let state = state.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
            self.is_over = state.peer_has_closed();
            let held = state.plaintext_bytes_to_read();
            self.connection.reader().read_exact(&mut plain[filled..filled + held])?;
            filled += held;
        }
        Ok(filled)
    }

    /// Whether the client has said that it sends no more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the handshake is still to be completed.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether records wait to be sent.
    pub fn owes(&self) -> bool {
        self.connection.wants_write()
    }

    /// Makes records of what is ready to leave, as much as there is room for.
    ///
    /// # Errors
    /// When a file cannot be read, or is shorter than it was.
    pub fn wrap(&mut self, output: &mut Output) -> io::Result<()> {
        if !self.owes() {
            self.wrapped = 0;
        }
        loop {
            let taken = match output.front() {
                Piece::Nothing => {
                    self.file_piece = Vec::new();
                    return Ok(());
                }
                Piece::Broken => return Err(ErrorKind::UnexpectedEof.into()),
                Piece::Bytes(bytes) => self.connection.writer().write(bytes)?,
                Piece::Stretch(stretch) => {
                    // The piece is read no longer than there is room for, or it would be read again.
                    let room = WRAPPED_MAX.saturating_sub(self.wrapped) as u64;
                    self.wrap_file(&stretch.file, stretch.offset, stretch.length.min(room) as usize)?
                }
            };
            if taken == 0 {
                return Ok(());
            }
            self.wrapped += taken;
            output.sent(taken);
        }
    }

    fn wrap_file(&mut self, file: &File, offset: u64, length: usize) -> io::Result<usize> {
        if length == 0 {
            return Ok(0);
        }
        self.file_piece.resize(length, 0);
        match file.read_at(&mut self.file_piece, offset)? {
            0 => Err(io::Error::from(ErrorKind::UnexpectedEof)),
            count => self.connection.writer().write(&self.file_piece[..count]),
        }
    }

    /// Sends records as far as the socket takes them: how many bytes.
    ///
    /// # Errors
    /// The socket's.
    pub fn send(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        self.connection.write_tls(socket)
    }

    /// Says that we send no more (RFC 8446 6.1).
    pub fn finish(&mut self) {
        self.connection.send_close_notify();
    }

    /// What the application is told of it, once, when the handshake is complete.
    pub fn take_variables(&mut self) -> Option<Box<Variables>> {
        let is_ready = self.is_news && !self.connection.is_handshaking();
        self.is_news &= !is_ready;
        is_ready.then(|| Box::new(variables(&self.connection)))
    }

    /// Makes records of a short answer: whether there was room for all of it.
    pub fn say(&mut self, answer: &[u8]) -> bool {
        self.connection.writer().write(answer).is_ok_and(|count| count == answer.len())
    }
}
