//! The body of a request on its way to Python: in memory up to a bound, then in an unlinked file.

use std::fs::File;

/// A whole request body.
#[derive(Debug, Default)]
pub enum Body {
    /// There was none.
    #[default]
    Empty,
    /// It fitted.
    Memory(Vec<u8>),
    /// It did not; the file stands at its start and has no name.
    File(File, u64),
}
