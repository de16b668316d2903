//! HTTP/1.1 and 1.0 (RFC 9110, RFC 9112).
//!
//! ```text
//!   head    bytes -> Head                head -> line, authority, fields
//!   body    bytes -> pieces of content
//!   answer  status, fields, lengths -> bytes    answer -> content
//! ```
//!
//! The rule behind all rules: a message has one reading or none. Where a specification lets a recipient choose between
//! refusing and repairing, we refuse, for whoever stands before us may repair it another way (RFC 9112 11.2).
//! Two leniencies remain because they change no framing: bytes that a URI may not have, in the path and the query,
//! are passed on as they came (browsers and curl send them), and a few empty lines before a request are skipped.

pub mod answer;
pub mod authority;
pub mod body;
mod content;
mod fields;
pub mod grammar;
pub mod head;
pub mod hints;
mod line;
mod plain;

#[cfg(test)]
mod tests;
