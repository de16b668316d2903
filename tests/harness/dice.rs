//! Numbers that look random and are the same for the same seed (xorshift64*), so that what failed can be done again.

/// A source of them.
pub struct Dice(u64);

impl Dice {
    /// From a seed; 0 counts as 1, for 0 would give nothing else.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.max(1))
    }

    /// The next, from 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }
}
