//! The supervisor: owns the sockets and every process.
//!
//! ```text
//!   sources (+ bridge) -> Event -> core -> Effect -> effects (+ listen, spawn)
//!                                  pure
//! ```
//!
//! `run` is the loop that joins them; it decides nothing.

pub mod bridge;
mod certify;
pub mod check;
pub mod command;
pub mod control;
pub mod core;
pub mod dev;
pub mod effects;
pub mod journal;
pub mod listen;
pub mod memory;
pub mod run;
pub mod sources;
pub mod spawn;
pub mod status;
pub mod watch;
