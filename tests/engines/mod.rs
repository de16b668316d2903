//! The engines that need a package: what every engine promises holds in each, and what each is chosen for.

mod greenlets;
mod missing;
mod native;
mod tornado;
