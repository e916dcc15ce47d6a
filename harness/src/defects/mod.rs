//! Defects that were really shipped, re-enacted at the engine's public seams.
//!
//! The engine holds none of them: a wrong kernel is a [`Spec`](bitgauge_engine::kernels::Spec) of
//! safe functions, a wrong choice is a [`Dispatch`](bitgauge_engine::model::Dispatch), a bad way
//! to spread rows is a [`Scheduler`](bitgauge_engine::threads::Scheduler), a slow attention is an
//! [`Attend`](bitgauge_engine::attention::Attend). [`zoo`] lists those that give wrong answers or
//! hide a missing kernel, and shows each caught by the checks of [`verify`](crate::verify); the
//! contended scheduler and the slow attentions are right, so only the ladder shows them.

mod accumulators;
mod attention;
mod bytes;
mod dispatch;
pub mod error;
mod groups;
mod native;
mod one_value;
mod scheduler;
mod sign_tables;
mod tails;

pub mod zoo;

pub use accumulators::{FLOAT_SUM, I16_OVERFLOW};
pub use attention::{ScalarSoftmax, SerialAttention};
pub use dispatch::NeverSimd;
pub use groups::{BOTH_BUGS, GROUPED, TWICE_CORRECTED, WRONG_GROUP};
pub use native::{AS_COMPILED, NATIVE_BODY, NATIVE_BUILD};
pub use one_value::ONE_VALUE;
pub use scheduler::Contended;
pub use sign_tables::{SIGNS_OF_ACTIVATIONS, SIGNS_OF_BOTH, SIGNS_OF_WEIGHTS};
pub use tails::{DROPPED_COLUMNS, DROPPED_ROWS, EMPTY_BODY};
