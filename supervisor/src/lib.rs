//! The supervisor: owns the sockets and every process.
//!
//! ```text
//!   sources -> Event -> core -> Effect -> effects
//! ```

pub mod core;
pub mod listen;
pub mod spawn;
