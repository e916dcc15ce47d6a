//! Where the time goes: by threads, by part of a token, by product.

use super::{Estimate, Measured, Origin};
use serde::{Deserialize, Serialize};

/// Speedup with some number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScalingPoint {
    /// `decode`, `prefill` or `product`.
    pub phase: String,
    /// Scheduler of the rows.
    pub scheduler: String,
    /// Threads.
    pub threads: usize,
    /// What is known about this point.
    pub speedup: Scaled,
    /// Efficiency that was claimed, as a fraction: 0.95.
    #[serde(default)]
    pub claimed_efficiency: Option<f64>,
}

/// What became of a claimed efficiency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimedEfficiency {
    /// The whole interval lies at or above the claim.
    Held,
    /// The whole interval lies below it.
    Missed,
    /// The claim lies within the interval.
    Undecided,
    /// It was not measured: why.
    NotMeasured(String),
}

impl ScalingPoint {
    /// Efficiency, speedup / threads, as value, low, high; measured or projected.
    pub fn efficiency(&self) -> Option<(f64, f64, f64)> {
        let share = |speedup: f64| speedup / self.threads as f64;
        let (value, low, high) = self.speedup.interval()?;
        Some((share(value), share(low), share(high)))
    }

    /// Holds the claim against what was measured; a projection proves nothing. `None` without a
    /// claim.
    pub fn claim(&self) -> Option<ClaimedEfficiency> {
        let claimed = self.claimed_efficiency?;
        Some(match (&self.speedup, self.efficiency()) {
            (Scaled::Projected { model, .. }, _) => {
                ClaimedEfficiency::NotMeasured(format!("projected only ({model})"))
            }
            (Scaled::Unavailable { why }, _) => ClaimedEfficiency::NotMeasured(why.clone()),
            (Scaled::Measured { .. }, Some((_, low, _))) if low >= claimed => {
                ClaimedEfficiency::Held
            }
            (Scaled::Measured { .. }, Some((_, _, high))) if high < claimed => {
                ClaimedEfficiency::Missed
            }
            (Scaled::Measured { .. }, _) => ClaimedEfficiency::Undecided,
        })
    }
}

/// A point of a scaling curve, measured or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaled {
    /// Measured here.
    Measured {
        /// Time with one thread / time with these.
        speedup: Estimate,
        /// Per cent of the wall time that each worker was running, 0 to 100.
        utilisation: Measured<Vec<f64>>,
    },
    /// Computed from the measured points.
    Projected {
        /// Time with one thread / time with these.
        value: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// The law that was fitted.
        model: String,
    },
    /// Neither.
    Unavailable {
        /// Why.
        why: String,
    },
}

impl Scaled {
    /// Speedup as value, low, high.
    pub fn interval(&self) -> Option<(f64, f64, f64)> {
        match self {
            Self::Measured { speedup: s, .. } => Some((s.value, s.low, s.high)),
            Self::Projected {
                value, low, high, ..
            } => Some((*value, *low, *high)),
            Self::Unavailable { .. } => None,
        }
    }
}

/// A token's time by part, in one state of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The state: `original`, a step's id, ...
    pub state: String,
    /// The parts.
    pub parts: Vec<Part>,
}

/// One part of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Its name.
    pub part: String,
    /// Microseconds a token.
    pub us: f64,
    /// Per cent of the token's time, 0 to 100.
    pub share: f64,
}

/// One matrix product, timed on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Product {
    /// The linear: `gate_proj`, ...
    pub name: String,
    /// Rows of the matrix: outputs.
    pub n: usize,
    /// Columns of the matrix: inputs.
    pub k: usize,
    /// Kernel.
    pub kernel: String,
    /// What selected it; `None` where nothing did, and in runs that did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Threads.
    pub threads: usize,
    /// Microseconds a product with one vector.
    pub us: Measured<Estimate>,
    /// Bytes of weights read per second, GB/s.
    pub gb_s: Measured<f64>,
    /// 10^9 weights per second.
    pub gweights_s: Measured<f64>,
    /// Per cent of the read bandwidth with as many threads, measured in this run, 0 to 100.
    pub percent_of_bandwidth: Measured<f64>,
    /// Bytes of weights per second, GB/s, for which as many threads issue the vector instructions of
    /// the kernel's [mix](bitgauge_engine::kernels::Mix), were there nothing else to do.
    #[serde(default)]
    pub issue_gb_s: Measured<Estimate>,
    /// 10^9 operations per second (a multiply-add is 2).
    pub gops: Measured<f64>,
    /// Bits per weight as packed.
    pub bits_per_weight: f64,
}

impl Product {
    /// Whether the kernel's instructions allow less than reading its weights at `bandwidth` GB/s.
    pub fn is_bound_by_issue(&self, bandwidth: &Estimate) -> bool {
        let issue = self.issue_gb_s.get();
        issue.is_some_and(|issue| issue.value < bandwidth.value)
    }

    /// The lower of both, GB/s.
    pub fn limit<'a>(&'a self, bandwidth: &'a Estimate) -> &'a Estimate {
        let issue = self.issue_gb_s.get();
        issue
            .filter(|_| self.is_bound_by_issue(bandwidth))
            .unwrap_or(bandwidth)
    }
}

/// One product of a batch of tokens, on one thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptProduct {
    /// The linear: `gate_proj`, ...
    pub name: String,
    /// Rows of the matrix: outputs.
    pub n: usize,
    /// Columns of the matrix: inputs.
    pub k: usize,
    /// Tokens of the batch.
    pub tokens: usize,
    /// Kernel.
    pub kernel: String,
    /// The instruction whose peak it is held against.
    pub instruction: String,
    /// 10^9 operations per second (a multiply-add is 2).
    pub gops: Measured<f64>,
    /// Per cent of that peak, measured in the same rounds.
    pub percent_of_peak: Measured<Estimate>,
}

/// One decoded token, whole, whose answers were right: a wrong one has no place here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholeToken {
    /// How the next token is chosen: `all logits`, `greedy, quantised head`.
    pub choice: String,
    /// Threads.
    pub threads: usize,
    /// Tokens a second.
    pub token_s: Measured<Estimate>,
    /// Bytes that it reads: ternary weights, the output head, norms, keys and values.
    pub bytes: u64,
    /// Those of the output head.
    pub head_bytes: u64,
    /// Bytes read a second, GB/s.
    pub gb_s: Measured<f64>,
    /// Per cent of the read bandwidth with as many threads, measured in this run, 0 to 100.
    pub percent_of_bandwidth: Measured<f64>,
    /// Per cent of its time that its parts, each timed on its own, add up to.
    pub parts_percent: Measured<f64>,
}

/// What the run cost and what it left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Wall time of the run, seconds, resumed parts added up.
    pub seconds: f64,
    /// What was left out.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}
