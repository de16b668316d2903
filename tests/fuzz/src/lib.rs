//! What the fuzz targets share: the worker's pure parts, and a second reading of what they read.
//!
//! ```text
//!   targets/request   heads and bodies, one connection: cut anywhere the same, and read in the one way that `oracle` reads
//!   targets/chunks    a chunked body alone, where noise gets deeper
//!   targets/answer    whatever an application says: the answer has one head, one framing, and nothing of the application's in it
//!   targets/turn      requests and answers of one connection: cut anywhere the same bytes leave
//!   targets/proxy     a PROXY header: cut anywhere the same, and written in one way
//!   targets/forwarded what proxies say of their clients: no element reaches into another
//!   targets/uwsgi     a packet: cut anywhere the same, and written in one way
//!   targets/scgi      a netstring: as much
//!   targets/ajp       a connection's packets: cut anywhere the same
//!   targets/fastcgi   a connection's records: cut anywhere the same for each of its requests
//!   targets/variables what a gateway says of a request: a head within its limits, decoded once
//!   targets/gateway   requests and answers of one connection by any of them: cut anywhere the same bytes leave
//!   targets/config    a file
//! ```
//!
//! The parts are taken by their path and not as a crate, so that no target needs Python. Where the cuts are follows from the bytes
//! themselves: so the corpora are messages as they are.

#[path = "../../../worker/src/body.rs"]
pub mod body;
#[path = "../../../worker/src/heap.rs"]
pub mod heap;
#[path = "../../../worker/src/identity.rs"]
pub mod identity;
#[path = "../../../worker/src/origin/mod.rs"]
pub mod origin;
#[path = "../../../worker/src/output.rs"]
pub mod output;
#[path = "../../../worker/src/turn/mod.rs"]
pub mod turn;
#[path = "../../../worker/src/wire/mod.rs"]
pub mod wire;

pub mod application;
pub mod connection;
pub mod oracle;

/// The bytes in up to five pieces that follow from them.
pub fn pieces(bytes: &[u8]) -> Vec<&[u8]> {
    // FNV-1a: any byte changes all cuts.
    let mut dice = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mut ends = vec![bytes.len()];
    for _ in 0..dice % 5 {
        dice = dice.rotate_left(13).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ends.push((dice % (bytes.len() as u64 + 1)) as usize);
    }
    ends.sort_unstable();
    let starts = [0].into_iter().chain(ends.iter().copied());
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}
