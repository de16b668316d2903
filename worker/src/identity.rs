//! The identifier of a request: a trusted proxy's, or 128 random bits of ours.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use crate::wire::Span;

/// Hexadecimal digits of an identifier of ours.
pub const DIGITS: usize = 32;

/// A request's identifier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Identity {
    /// Nobody has asked for one.
    #[default]
    None,
    /// A proxy's; a span of the head.
    Taken(Span),
    /// Ours.
    Made([u8; DIGITS]),
}

impl Identity {
    /// Its text; `bytes` are those of the head.
    pub fn of<'a>(&'a self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Identity::None => None,
            Identity::Taken(span) => Some(span.of(bytes)),
            Identity::Made(digits) => Some(digits),
        }
    }
}

thread_local! {
    static MAKER: RefCell<Maker> = RefCell::new(Maker::new());
}

/// Another identifier of ours.
pub fn make() -> [u8; DIGITS] {
    MAKER.with_borrow_mut(Maker::make)
}

/// Makes identifiers, without a system call for each: xoshiro256++ (Blackman and Vigna, 2019), seeded by the kernel. They tell requests
/// apart and keep no secret.
#[derive(Clone, Debug)]
pub struct Maker {
    state: [u64; 4],
}

impl Maker {
    /// A maker of its own sequence.
    pub fn new() -> Maker {
        // The library's hasher has keys of the kernel's random bytes.
        let seed = RandomState::new();
        // Not all of it may be zero, for that gives nothing but zeros.
        Maker { state: [0_u64, 1, 2, 3].map(|word| seed.hash_one(word) | 1 << word) }
    }

    /// The next.
    pub fn make(&mut self) -> [u8; DIGITS] {
        let bits = u128::from(self.next()) << 64 | u128::from(self.next());
        let mut digits = [0; DIGITS];
        for (at, pair) in digits.chunks_exact_mut(2).enumerate() {
            let byte = (bits >> (120 - 8 * at)) as u8;
            pair.copy_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        digits
    }

    fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        result
    }
}

impl Default for Maker {
    fn default() -> Maker {
        Maker::new()
    }
}

static HEX: [u8; 16] = *b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_are_32_digits_and_each_another() {
        let mut makers = [Maker::new(), Maker::new()];
        let made: BTreeSet<String> =
            (0..2000).map(|number| String::from_utf8(makers[number % 2].make().to_vec()).unwrap()).collect();
        assert_eq!(made.len(), 2000);
        assert!(made.iter().all(|id| id.len() == 32 && id.bytes().all(|digit| b"0123456789abcdef".contains(&digit))));
        // Every digit is used in every place, near enough as often as the others.
        for place in 0..32 {
            for digit in b"0123456789abcdef" {
                let count = made.iter().filter(|id| id.as_bytes()[place] == *digit).count();
                assert!((60..200).contains(&count), "{count} times {} at {place}", *digit as char);
            }
        }
    }

    #[test]
    fn the_sequence_is_that_of_its_authors() {
        // xoshiro256++ from the state 1, 2, 3, 4: 41943041, 58720359.
        let mut maker = Maker { state: [1, 2, 3, 4] };
        assert_eq!([maker.next(), maker.next()], [41_943_041, 58_720_359]);
    }
}
