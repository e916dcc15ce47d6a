//! Timing two or more verified cases against each other, and saying what the times prove.
//!
//! The way of a number: an oracle's comparison makes a [`Verified`] case; [`pair::compare`] and
//! [`round_robin::run`] take only such cases, time them in interleaved slices and keep every
//! slice as [`Samples`]; [`stats`] turns block log-ratios into an interval and a verdict.

mod batch;
pub mod calibrate;
mod digest;
pub mod interleave;
pub mod pair;
mod rng;
pub mod round_robin;
pub mod samples;
#[cfg(test)]
mod simulation;
pub mod stats;
pub mod timed;
pub mod trial;
pub mod verified;

pub use batch::Batch;
pub use digest::Digest;
pub use interleave::{Entrant, Progress, Schedule, Stage, Stopped};
pub use pair::Estimate;
pub(crate) use rng::SplitMix64;
pub use rng::fresh_seed;
pub use samples::Samples;
pub use stats::Verdict;
pub use timed::{Failure, Timed};
pub use trial::{Pace, Trial};
pub use verified::{Answer, Tolerance, Verified, Wrong};
