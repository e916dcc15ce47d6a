//! What the processor did for a token, counted or simulated.

use super::Measured;
use serde::{Deserialize, Serialize};

/// What decoding costs, by where the figures come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CostStudy {
    /// Counted by the processor.
    pub hardware: Measured<Costs>,
    /// The command that would grant hardware counters, where one would.
    pub grant: Measured<String>,
    /// Simulated.
    pub simulated: Measured<Costs>,
}

/// Costs from one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Where they come from, and what they can't say.
    pub source: String,
    /// What ran: model, kernel, threads.
    pub on: String,
    /// Tokens that they are a mean of.
    pub tokens: u64,
    /// Parts of a token.
    pub parts: Vec<PartCosts>,
}

/// One part of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartCosts {
    /// Its name.
    pub part: String,
    /// Instructions a token.
    pub instructions: Measured<f64>,
    /// Cycles an instruction.
    pub cpi: Measured<f64>,
    /// Branches that were predicted wrongly, per cent of all.
    pub branch_miss_percent: Measured<f64>,
    /// Accesses that the first-level data cache had, per cent.
    pub l1_hit_percent: Measured<f64>,
    /// Accesses beyond the first level that the second had, per cent.
    pub l2_hit_percent: Measured<f64>,
    /// Accesses of the last-level cache that it had, per cent.
    pub llc_hit_percent: Measured<f64>,
    /// Bytes of weights read a second, GB/s.
    pub gb_s: Measured<f64>,
}
