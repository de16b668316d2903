//! How things are, in numbers, for programs that watch: asked for on `metrics:`, sent to `statsd:`.
//!
//! ```text
//!   scoreboards, ledger --> Counts --\
//!   core, /proc, netlink ------------+--> Report --> exposition (Prometheus), health --> answer --> endpoint, client
//!                                                \-> statsd: lines of what has come since the last time
//! ```
//!
//! Rules
//! * No worker is asked and no Python is entered: what is told is seen from outside, be the workers as stuck as they like.
//! * What is told is a function of a [`Report`](crate::status::Report), so that it is the same everywhere.

pub mod answer;
pub mod backlog;
mod client;
pub mod counts;
pub mod endpoint;
pub mod exposition;
pub mod health;
pub mod ledger;
mod lines;
pub mod request;
pub mod statsd;
#[cfg(test)]
mod tests;
