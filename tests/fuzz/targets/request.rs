//! Requests of one connection: no panic, no limit passed, cut anywhere the same, and read in exactly one way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monoceros_fuzz::connection::understand;
use monoceros_fuzz::{oracle, pieces};

fuzz_target!(|bytes: &[u8]| {
    let whole = understand(&[bytes]);
    assert_eq!(understand(&pieces(bytes)), whole, "cut in pieces");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(understand(&single), whole, "byte by byte");
    let mut start = 0;
    for request in whole.requests.iter().filter(|request| request.complete) {
        assert_eq!(oracle::request(bytes, start).as_ref(), Ok(request), "there is another reading");
        start = request.end;
    }
});
