//! What an exit status of ours means, for both programs.

/// Everything asked for was done.
pub const DONE: i32 = 0;
/// Something failed; whatever served before still serves.
pub const FAILED: i32 = 1;
/// The command line or the config is wrong; nothing was started.
pub const USAGE: i32 = 2;
/// No server runs for this file.
pub const NOT_RUNNING: i32 = 3;
/// The server runs, but not as its config asks.
pub const DEGRADED: i32 = 4;
