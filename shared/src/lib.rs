//! What both programs name, and nothing else: the config, the link between them, the scoreboard, the table, the log, the exit codes.
//!
//! A thing that only one program needs lives in that program. The tidy test holds this.

pub mod about;
pub mod config;
pub mod exit;
pub mod link;
pub mod log;
pub mod scoreboard;
mod sealed;
pub mod stdio;
pub mod table;
pub mod tls;
pub mod virtualenv;
