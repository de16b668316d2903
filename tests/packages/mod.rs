//! What is installed from a package works, is what documents say it is, and is gone when it is removed.

mod debian;
mod python;
