//! Real frameworks, as their users use them, and what depends on processes and threads around them.
//!
//! Each framework has the same small site in its own idioms (`apps/`), and each is asked the same by a client that believes nothing.

mod measured;
mod pasted;
mod reported;
mod tour;
