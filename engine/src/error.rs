//! What can go wrong between a checkpoint and a token.

use crate::Token;
use crate::checkpoint::{CheckpointError, Linear};
use crate::input::NonFinite;
use crate::kernels::KernelError;
use crate::threads::PoolError;
use crate::trits::TritsError;

/// Any error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A checkpoint was refused.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A kernel can't be had.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A thread pool can't be had.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A weight source gave something that is no ternary matrix.
    #[error("layer {layer}, {}: {source}", .linear.name())]
    Trits {
        /// The layer.
        layer: usize,
        /// The linear.
        linear: Linear,
        /// What is wrong.
        source: TritsError,
    },
    /// No token to read.
    #[error("the prompt is empty; at least one token is needed")]
    EmptyPrompt,
    /// A token id outside of the vocabulary.
    #[error("token {index} is id {token}; the model's ids are 0 to {}", .vocabulary - 1)]
    TokenId {
        /// Which token of those given.
        index: usize,
        /// Its id.
        token: Token,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// More positions than the session or the model holds.
    #[error("{wanted} positions are needed; {limit} is the limit ({what})")]
    Context {
        /// Positions needed in all.
        wanted: usize,
        /// The limit.
        limit: usize,
        /// Whose limit it is.
        what: &'static str,
    },
    /// The KV cache does not fit into memory.
    #[error("there is no memory for a KV cache of {positions} positions; ask for fewer")]
    CacheMemory {
        /// Positions asked for.
        positions: usize,
    },
    /// A NaN or infinity reached a quantiser.
    #[error("layer {layer}, input of {}: {source}", .linear.name())]
    NonFinite {
        /// The layer.
        layer: usize,
        /// The linear whose input it was.
        linear: Linear,
        /// The value.
        source: NonFinite,
    },
    /// Logits with a NaN, or none, have no largest.
    #[error("the logits hold a NaN: no token can be chosen")]
    NanLogits,
    /// A sampling parameter outside of its range.
    #[error("{name} = {value}: {rule}")]
    Sampling {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right.
        rule: &'static str,
    },
}
