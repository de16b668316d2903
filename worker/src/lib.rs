//! A worker: moves bytes between clients and a Python WSGI application.
//!
//! ```text
//!   bytes -> wire -> items -> turn -> python -> turn -> wire -> bytes
//!            pure            pure     the only folder that knows Python (beside the engines)
//! ```
//!
//! `conn` moves the bytes and decides nothing; `engine` decides who runs what.

pub mod about;
pub mod access;
pub mod body;
pub mod clock;
pub mod conn;
pub mod descriptors;
pub mod engine;
pub mod heap;
pub mod identity;
pub mod keeper;
pub mod lease;
pub mod once;
pub mod origin;
pub mod output;
pub mod privileges;
pub mod python;
pub mod relay;
pub mod run;
pub mod statics;
pub mod succession;
pub mod tls;
pub mod turn;
pub mod wire;
