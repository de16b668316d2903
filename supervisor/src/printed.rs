//! What a command prints as its result, which may go into a file: all of it, or the command has failed.

use std::io::{self, ErrorKind, Write};

use monoceros_shared::exit;

use crate::listen::cause;

/// Prints it on standard output; the exit status. Whoever reads no further, as `head` does, has what was wanted.
pub fn print(text: &str) -> i32 {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("supervisor: cannot print the result: {}", cause(&error));
            exit::FAILED
        }
        Ok(()) | Err(_) => exit::DONE,
    }
}
