//! What is installed from a package works, is what documents say it is, and is gone when it is removed.

mod booted;
mod debian;
mod python;
