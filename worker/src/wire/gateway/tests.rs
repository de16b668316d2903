//! Heads from variables.
