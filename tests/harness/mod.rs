//! What the tests stand on: a server in a folder of its own, a client that believes nothing, facts waited for.
//!
//! ```text
//!   Site: a temporary folder with an app, a YAML and an address     (site)
//!     └─ Server: the real programs, started there                    (server, process)
//!          └─ Client: bytes out, bytes in, every rule checked        (client, answer)
//! ```
//!
//! Web servers before it are played by `gateway`. Every failure prints what was seen: the server's log, or the bytes on the wire.

pub mod answer;
mod client;
mod dice;
pub mod gateway;
mod machine;
mod process;
mod server;
mod site;
mod systemd;

pub use answer::{Answer, Broken, Ending, Framing};
pub use client::Client;
pub use dice::Dice;
pub use machine::Machine;
pub use process::{Process, eventually, installed, profile_folder, program, python, stat, target_folder, within};
pub use server::{Server, command_line, descriptors, living, stands_still, stop};
pub use site::{Site, repository};
pub use systemd::{Manager, launch_with, with_sockets};
