//! TLS (RFC 8446, RFC 5246) between a socket and a turn: records in, bytes out; bytes in, records out. No socket, no Python.
//!
//! ```text
//!   parcel --Terms--> of a listener, shared by its connections
//!                       \--Session--> one connection's, from its hello to its close_notify
//! ```
//!
//! rustls does the cryptography; here it is bounded, joined to the turn, and told to the application (`variables`).
//!
//! * HTTP/1.1 is what is spoken within it, and said so by ALPN. There is no renegotiation and no early data, which a thief
//!   could send a second time.
//! * A session goes on by its ticket in whichever worker opened the next connection (`tickets`).
//!
//! Known fault: a handshake is computed by the thread that leads, 0.1 ms or so with an ECDSA certificate and ten times that
//! with RSA, while its other clients wait.

mod choice;
mod session;
mod terms;
mod tickets;
mod variables;

pub use session::{CIPHER_BYTES, Session};
pub use terms::Terms;
pub use variables::Variables;
