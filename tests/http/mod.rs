//! HTTP/1.1 over a socket, where the config or our own choice decides what is right. What the standards decide is in `conformance`.

mod answered;
mod limits;
