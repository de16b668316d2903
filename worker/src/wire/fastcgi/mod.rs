//! FastCGI (FastCGI Specification 1.0, <https://fastcgi-archives.github.io/FastCGI_Specification.html>): the records of one request, and the
//! records that answer it. [`demux`](super::demux) has taken the connection apart into its requests before.
//!
//! ```text
//!   BEGIN_REQUEST  PARAMS … PARAMS (empty)      head  -> variables
//!   STDIN … STDIN (empty)                       body  -> pieces of content
//!   STDOUT … STDERR … END_REQUEST           <-  answer
//!   GET_VALUES -> GET_VALUES_RESULT, others -> UNKNOWN_TYPE      answer; of the connection itself
//! ```
//!
//! Rules: a stream's pairs and content may be split over its records anywhere, and its end is an empty record. Records come in that order;
//! of another type, or another request, none stands between them. The one role that we have is that of a responder.

pub mod answer;
pub mod body;
mod head;
mod pairs;
mod record;

#[cfg(test)]
mod tests;

pub use head::{Reader, Request, Role};
