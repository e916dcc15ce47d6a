//! Ladders
pub mod definition;
pub mod verdict;
