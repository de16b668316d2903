//! The wire by bytes: every message whole, byte by byte and cut at every place; what comes out is the same.
