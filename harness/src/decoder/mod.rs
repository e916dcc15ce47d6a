//! The engine's decoder as something to judge and to time.

pub mod cases;
pub mod clock;
pub mod judge;
pub mod plan;
