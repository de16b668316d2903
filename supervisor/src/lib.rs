//! The supervisor: owns the sockets and every process.
//!
//! ```text
//!   sources (+ bridge) -> Event -> core -> Effect -> effects (+ listen, spawn)
//!                                  pure
//! ```
//!
//! `run` is the loop that joins them; it decides nothing.

pub mod bridge;
pub mod capabilities;
mod certify;
pub mod check;
pub mod command;
pub mod commands;
pub mod control;
pub mod core;
pub mod dev;
pub mod doctor;
pub mod effects;
pub mod environment;
pub mod errand;
pub mod inquiry;
pub mod journal;
pub mod kernel;
pub mod lessons;
pub mod listen;
pub mod logs;
pub mod manual;
pub mod memory;
pub mod metrics;
pub mod migrate;
pub mod pid_file;
pub mod printed;
pub mod pulse;
pub mod run;
pub mod serve;
pub mod sources;
pub mod spawn;
pub mod standard_input;
pub mod status;
pub mod stdio;
pub mod strangers;
pub mod succession;
pub mod systemd;
pub mod watch;
