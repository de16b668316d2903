//! What a worker's process writes to its standard output and error, on its way into the log.
//!
//! ```text
//!   bytes off a pipe -> Lines -> records -> write -> log        message `output`; keys app, worker, generation, stream, text
//!                                 pure
//!   without a supervisor:  bytes -> Kept -> memfd -> the next supervisor
//! ```

mod kept;
mod lines;

use std::panic::RefUnwindSafe;

use slog::{Logger, Value, info, o, warn};

use serde::{Deserialize, Serialize};

pub use kept::{KEPT_BYTES_MAX, Kept};
pub use lines::Lines;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, descriptor 1.
    Out,
    /// Standard error, descriptor 2.
    Err,
}

impl Stream {
    /// Both, in the order of their numbers.
    pub const BOTH: [Stream; 2] = [Stream::Out, Stream::Err];

    /// Its name, as a key's value and as its read end is passed under.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Out => "stdout",
            Stream::Err => "stderr",
        }
    }
}

/// Writes a record: standard output as `info`; standard error as `warning`, for what goes there is meant to be seen, and
/// `level: warning` must not silence the application's own warnings with the server's news.
pub fn write(log: &Logger, stream: Stream, text: impl Value + Send + Sync + RefUnwindSafe + 'static) {
    // A value of the logger's, not of the line's: it then lives until the line is written, which whoever counts what waits
    // can see by its end.
    let log = log.new(o!("stream" => stream.name(), "text" => text));
    match stream {
        Stream::Out => info!(log, "output"),
        Stream::Err => warn!(log, "output"),
    }
}

/// Says that there was more than could be kept while there was no supervisor.
pub fn tell_lost(log: &Logger, bytes: u64) {
    if bytes > 0 {
        warn!(log, "output was lost: there was no supervisor to read it"; "bytes" => bytes);
    }
}
