//! The rules, one file for each kind, as data.
//!
//! Where a text leaves a choice, every choice is allowed; a reaction that is not listed is one that the text forbids.

pub mod answers;
pub mod chunks;
pub mod connection;
pub mod environ;
pub mod errors;
pub mod fields;
pub mod heads;
pub mod host;
pub mod iterable;
pub mod length;
pub mod limits;
pub mod line;
