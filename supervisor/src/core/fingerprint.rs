//! A number that tells one thing from another, the same in every build of ours, unlike the standard library's.

use serde::Serialize;

/// Of a value, by what is written of it.
pub fn of(value: &impl Serialize) -> u64 {
    // What cannot be written is like nothing that was; the configs of ours all can be.
    serde_json::to_vec(value).map_or(0, |written| fnv(&written))
}

/// FNV-1a of 64 bits.
pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_in_every_build() {
        // The test vector that FNV's authors publish.
        assert_eq!(fnv(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(of(&"foobar"), fnv(b"\"foobar\""));
    }
}
