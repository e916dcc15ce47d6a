//! Single tokens, timed one by one.

use super::{Measured, Verdict};
use crate::measure::stats::Percentile;
use serde::{Deserialize, Serialize};

/// The model of one section, and how much of it ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedModel {
    /// Name of the shape, or the folder's name.
    pub name: String,
    /// Decoder layers that were run.
    pub layers_run: usize,
    /// Decoder layers of the shape.
    pub layers_in_shape: usize,
    /// Kernel of every ternary product.
    pub kernel: String,
    /// Threads.
    pub threads: usize,
}

impl TimedModel {
    /// `3 of 30 layers`, when not all layers of the shape ran.
    pub fn cut(&self) -> Option<String> {
        (self.layers_run < self.layers_in_shape)
            .then(|| format!("{} of {} layers", self.layers_run, self.layers_in_shape))
    }
}

/// Tokens decoded one after the other, each with a clock of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// What ran.
    pub model: TimedModel,
    /// Positions before the first token that counts: the prompt, and tokens that were discarded.
    pub context: usize,
    /// By how the next token is chosen; the first is how a user would run it.
    pub choices: Vec<TokenTimes>,
    /// Where the time of the first choice's tokens goes.
    pub parts: Vec<PartTimes>,
    /// What was aimed at.
    pub targets: Vec<LatencyTarget>,
}

/// The times of one way to choose the next token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenTimes {
    /// `greedy, quantised head`, `all logits`.
    pub choice: String,
    /// Nanoseconds of every token, in the order of the text.
    pub ns: Vec<u64>,
    /// 50, 90 and 99 %, in milliseconds, nearest rank.
    pub percentiles: Vec<Percentile>,
    /// The slowest token, milliseconds.
    pub max_ms: f64,
}

impl TokenTimes {
    /// A percentile of the times.
    pub fn percentile(&self, percent: u32) -> Option<&Percentile> {
        self.percentiles.iter().find(|p| p.percent == percent)
    }
}

/// One part of the tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartTimes {
    /// Its name.
    pub part: String,
    /// Mean microseconds a token; means add up.
    pub mean_us: f64,
    /// Median, microseconds.
    pub p50_us: f64,
    /// 99 %, microseconds, nearest rank.
    pub p99_us: f64,
    /// Per cent of the mean token, 0 to 100.
    pub share: f64,
}

/// A latency that was aimed at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyTarget {
    /// As it was stated.
    pub text: String,
    /// The percentile that it is held against.
    pub percent: u32,
    /// Milliseconds that it must stay below.
    pub below_ms: f64,
    /// The percentile of this run, milliseconds.
    pub measured_ms: Measured<f64>,
    /// What became of it.
    pub verdict: Verdict,
}
