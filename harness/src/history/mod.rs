//! What this machine did run after run, so that a drift is seen that no single gate catches.
//!
//! A [`mod@file`] holds a line a run: the ratios of a [`crate::baseline::Baseline`], without the slices
//! that they were made of. [`trend`] puts the lines of each class of machine in the order of their
//! times, and looks for changes of level in every case.

pub mod file;
pub mod line;
pub mod page;
pub mod trend;

pub use file::{Appended, HistoryError};
pub use line::Line;
pub use trend::Trends;
