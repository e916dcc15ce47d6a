//! A BitNet b1.58 decoder: `Checkpoint -> Model -> Session -> token`.
//!
//! The engine never times itself and never decides what "faster" means; the
//! `bitgauge` harness does both from outside, through the seams named here.

pub mod checkpoint;
#[cfg(feature = "text")]
pub mod text;
