//! A BitNet b1.58 decoder: `Checkpoint -> Model -> Session -> token`.
//!
//! The engine never times itself and never decides what "faster" means; the
//! `bitgauge` harness does both from outside, through five public seams:
//!
//! - [`kernels::Spec`]: how a ternary matrix is packed and multiplied;
//! - [`model::Dispatch`]: which kernel a layer gets;
//! - [`threads::Scheduler`]: how rows are spread over threads;
//! - [`attention::Attend`]: how attention is computed;
//! - [`session::Observer`]: what is told when a part of a token is done.

pub mod aligned;
pub mod attention;
pub mod buffer;
pub mod checkpoint;
pub mod error;
pub mod float;
pub mod float_matrix;
pub mod head;
pub mod input;
pub mod isa;
pub mod kernels;
pub mod matrix;
pub mod model;
pub mod ops;
mod packing;
pub mod prefetch;
pub mod sampler;
pub mod session;
mod streams;
pub mod synthetic;
#[cfg(feature = "text")]
pub mod text;
pub mod threads;
pub mod tiled;
pub mod trits;

pub use error::Error;

/// Sixteen hexadecimal digits of this engine's sources and of how they were compiled: builds that
/// run alike have the same.
pub const FINGERPRINT: &str = env!("BITGAUGE_ENGINE_FINGERPRINT");

/// A token id, below the vocabulary size of the model that reads it.
pub type Token = u32;
