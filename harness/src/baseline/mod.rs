//! What this machine did before, as far as it can be held against what it does now.
//!
//! Two runs on two days can't be interleaved, so a stored time proves nothing: the machine itself
//! was another. What travels is a *ratio*: the time of a case over the time of a [`yardstick`] that
//! ran beside it, in the same blocks. A [`file::Baseline`] holds the ratios of the suite's cases,
//! every slice that they were made of, and the efficiencies of [`crate::scaling`]. [`held`] makes
//! the ratios anew and holds them against the stored ones.

mod efficiency;
pub mod file;
mod format;
pub mod held;
pub mod measure;
pub mod provenance;
#[cfg(test)]
pub(crate) mod tests;
pub mod yardstick;

pub use efficiency::{BUDGET, Efficiencies};
pub use file::{Baseline, BaselineError};
pub use format::to_json;
pub use yardstick::{Bench, Kind};
