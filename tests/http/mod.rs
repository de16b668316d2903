//! HTTP/1.1 over a socket: what is refused, what is odd and right, and how an answer is framed.
//!
//! The wire's own tests try every cut of every rule without a socket; here is what strangers see.

pub mod refused;

mod answered;
mod framed;
