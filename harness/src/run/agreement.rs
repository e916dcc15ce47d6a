//! What the trained model answers by every kernel, held against the oracle.

use super::{Estimate, Measured};
use serde::{Deserialize, Serialize};

/// Texts, numbers, likelihood and depth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Greedy texts, one row a kernel that can run here, `naive` first.
    pub texts: Vec<KernelTexts>,
    /// Numbers looked at for NaN and infinity.
    pub scans: Vec<Scan>,
    /// How well the evaluation text is predicted.
    pub likelihood: Measured<Likelihood>,
    /// Distance from the oracle after each layer, in their order; the output head last.
    pub depth: Measured<Vec<DepthError>>,
}

/// The texts that one kernel wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelTexts {
    /// The kernel.
    pub kernel: String,
    /// Instruction set that it needs.
    pub isa: String,
    /// Texts.
    pub texts: usize,
    /// Tokens of all texts.
    pub tokens: usize,
    /// Tokens that are not those of `naive`.
    pub unlike_naive: usize,
    /// Tokens before the first that is not the oracle's, text by text, added up.
    pub as_oracle: usize,
    /// Tokens that every right decoder must choose: the golden files' strict prefixes.
    pub strict: usize,
    /// Those of them that it did not choose.
    pub strict_missed: usize,
}

/// A search for numbers that are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scan {
    /// What was looked at.
    pub what: String,
    /// Kernels that computed it.
    pub kernels: usize,
    /// Numbers looked at.
    pub numbers: u64,
    /// NaN or infinite ones.
    pub not_finite: u64,
    /// Numbers whose bits are not those of `naive`.
    pub unlike_naive: u64,
}

/// How well a text is predicted, beside the oracle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// The kernel that read the whole text.
    pub kernel: String,
    /// Bytes predicted.
    pub predicted: usize,
    /// Bits a byte, by the engine.
    pub bits_a_byte: f64,
    /// The same by the oracle.
    pub oracle_bits_a_byte: f64,
    /// exp(nats a byte), by the engine.
    pub perplexity: f64,
    /// The same by the oracle.
    pub oracle_perplexity: f64,
    /// Engine less oracle in bits a byte, window by window: the median window, with the interval
    /// between two order statistics.
    pub difference: Measured<Estimate>,
    /// How far the whole text's bits a byte may be from the oracle's.
    pub tolerance: f64,
}

/// How far the engine is from the oracle at one depth of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DepthError {
    /// `layer 0`, ..., `output head`.
    pub at: String,
    /// Tokens compared.
    pub tokens: usize,
    /// Relative L2 error of the median token, as a fraction.
    pub median: f64,
    /// Of the worst token.
    pub worst: f64,
    /// Of the token that nine in ten are not above, nearest rank.
    pub p90: f64,
}
