//! Whole generations, and what the KV cache is worth to them.

use super::{Block, Claim, Estimate, Measured, TimedModel, Verdict};
use serde::{Deserialize, Serialize};

/// Texts generated token by token from a prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// What ran.
    pub model: TimedModel,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens generated from it.
    pub tokens: usize,
    /// Every generation.
    pub samples: Vec<GenerationTime>,
    /// Milliseconds from the prompt to the first token.
    pub first_token_ms: Measured<Estimate>,
    /// Milliseconds from the first token to the last.
    pub rest_ms: Measured<Estimate>,
    /// Tokens a second after the first.
    pub token_s: Measured<Estimate>,
    /// Bytes of keys and values at the end.
    pub kv_bytes: u64,
    /// The most memory that the process had held at once when the generations were done, bytes.
    pub peak_resident_bytes: Measured<u64>,
    /// One generation, every token with the cache and without.
    pub gain: Measured<CacheGain>,
    /// One token with the cache and without, by positions of context.
    pub contexts: Vec<ContextGain>,
}

/// One generation's times, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GenerationTime {
    /// From the prompt to the first token.
    pub first_ns: u64,
    /// From the first token to the last.
    pub rest_ns: u64,
}

/// A generation with the cache against one that reads its whole text for every token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CacheGain {
    /// What was claimed.
    pub claim: Claim,
    /// Seconds of all tokens with the cache.
    pub with_s: f64,
    /// Seconds of all tokens without.
    pub without_s: f64,
    /// Time without / time with, from blocks of equal mean context.
    pub speedup: Estimate,
    /// Two tokens a block, the first with the last and so on inwards: `before` is without the
    /// cache, `after` with it.
    pub blocks: Vec<Block>,
    /// What became of the claim.
    pub verdict: Verdict,
}

/// One token after some context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContextGain {
    /// Positions read when the token is chosen.
    pub positions: usize,
    /// Nanoseconds with the cache, one value a round.
    pub with_ns: Vec<u64>,
    /// Nanoseconds without, in the same rounds.
    pub without_ns: Vec<u64>,
    /// Milliseconds a token with the cache.
    pub with_ms: Measured<Estimate>,
    /// Milliseconds a token without.
    pub without_ms: Measured<Estimate>,
    /// Time without / time with, round by round.
    pub speedup: Measured<Estimate>,
}
