//! The fixes, one at a time, and what became of each claim.

use super::{Estimate, Measured};
use serde::{Deserialize, Serialize};

/// A ladder that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// Its name.
    pub name: String,
    /// Claims about the whole set: token/s, ms a token, busy cores.
    #[serde(default)]
    pub targets: Vec<Target>,
    /// The steps, each on top of those before it.
    pub rungs: Vec<Step>,
    /// Each step alone on the original.
    #[serde(default)]
    pub alone: Vec<Isolated>,
    /// Each step left out of the full set: before is without it, after is with it.
    #[serde(default)]
    pub left_out: Vec<Isolated>,
    /// The gain that the defects hid.
    #[serde(default)]
    pub masking: Measured<Masking>,
}

impl Ladder {
    /// Why `masking` is missing where it is measured next.
    pub const MASKING_FOLLOWS: &str = "the run ended before it was measured";

    /// Whether a run that goes on still has to measure `masking`.
    pub fn lacks_masking(&self) -> bool {
        self.masking.why() == Some(Self::MASKING_FOLLOWS)
    }
}

/// What somebody said that a change gains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Lowest speedup that makes it true.
    pub low: f64,
    /// Highest speedup that it names.
    pub high: f64,
    /// Relative error that it promises to stay below, as a fraction.
    #[serde(default)]
    pub error_below: Option<f64>,
}

/// What became of a claim. Wrong answers and steps that did not run are not here but in
/// [`Comparison`], since they have no time that a claim could be held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Confirmed,
    /// It does not hold.
    Refuted {
        /// By how much, as a phrase: "1.2x short of 4x".
        by: String,
    },
    /// It can't be decided here.
    NotMeasurable {
        /// Why.
        why: String,
    },
    /// Nothing was claimed.
    NoClaim,
}

/// A bound that a figure was to keep: of the whole set of fixes, or of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Stable name.
    pub id: String,
    /// The sentence.
    pub text: String,
    /// Unit of the figure.
    pub unit: String,
    /// What was measured.
    pub figure: Measured<Estimate>,
    /// What became of it.
    pub verdict: Verdict,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Stable name.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What is changed.
    pub change: String,
    /// Why it should help.
    pub why: String,
    /// The claim that it tests, if there is one.
    pub claim: Option<Claim>,
    /// What was expected here before measuring.
    pub prediction: String,
    /// What it turns; empty in runs that did not record it.
    #[serde(default)]
    pub knobs: Vec<Knob>,
    /// The state that it is compared with: `original`, or the id of an earlier step.
    pub compared_with: String,
    /// What came out.
    pub comparison: Comparison,
}

/// What a step can turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knob {
    /// How a kernel is selected.
    Dispatch,
    /// What a working dispatch selects.
    Kernel,
    /// How rows are spread over threads.
    Scheduler,
    /// Whether keys and values of earlier tokens are kept.
    Cache,
    /// Who computes attention.
    Attention,
    /// In what keys and values are kept.
    Kv,
    /// How the next token is chosen.
    Head,
    /// On what pages the weights lie.
    Pages,
    /// Tokens of a prompt that go through a layer at once.
    Batch,
}

/// One step away from its place in the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Isolated {
    /// Id of the step.
    pub step: String,
    /// What came out.
    pub comparison: Comparison,
}

/// Two states of the engine, before and after a change.
///
/// Only the variants in which a side's answers are right hold that side's [`Figures`]: a wrong
/// answer has an error and no time, by construction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
// Timed is the common case; boxing it would cost its readers more than the rare others waste.
#[allow(clippy::large_enum_variant)]
pub enum Comparison {
    /// Both sides answer right, and were timed against each other.
    Timed {
        /// The state before.
        before: Figures,
        /// The state after.
        after: Figures,
        /// The part of the work that speedup, samples and verdict speak of; all of a token where
        /// there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<String>,
        /// Before / after in time, from interleaved blocks.
        speedup: Estimate,
        /// The blocks.
        samples: Vec<Block>,
        /// What became of the claim.
        verdict: Verdict,
    },
    /// The change mends wrong answers: there is no time before it, so no speedup.
    Mended {
        /// What was wrong before.
        error_before: WrongAnswer,
        /// The state after.
        after: Figures,
        /// What became of the claim.
        verdict: Verdict,
    },
    /// The state after the change answers wrongly.
    Wrong {
        /// What is wrong.
        error: WrongAnswer,
    },
    /// Both sides run the same kernel and scheduler, so there is nothing to compare.
    NoEffect,
    /// It was not run.
    NotRun {
        /// Why.
        why: String,
    },
}

impl Comparison {
    /// The state after, if it answers right.
    pub fn after(&self) -> Option<&Figures> {
        match self {
            Self::Timed { after, .. } | Self::Mended { after, .. } => Some(after),
            Self::Wrong { .. } | Self::NoEffect | Self::NotRun { .. } => None,
        }
    }

    /// The state before, if it answers right.
    pub fn before(&self) -> Option<&Figures> {
        match self {
            Self::Timed { before, .. } => Some(before),
            _ => None,
        }
    }

    /// The speedup, if both sides answer right.
    pub fn speedup(&self) -> Option<&Estimate> {
        match self {
            Self::Timed { speedup, .. } => Some(speedup),
            _ => None,
        }
    }
}

/// How far a wrong answer is off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrongAnswer {
    /// Relative L2 error against the oracle, as a fraction: 3.13 for 313 %.
    pub relative_error: f64,
    /// On what it was seen, and against what.
    pub seen_on: String,
}

/// The speed of a state whose answers are right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Token/s.
    pub token_s: Estimate,
    /// Milliseconds a token.
    pub ms_token: Estimate,
    /// Bytes of weights and cache read per second, GB/s.
    pub gb_s: Measured<f64>,
    /// The same as per cent of the read bandwidth measured in this run, 0 to 100.
    pub percent_of_bandwidth: Measured<f64>,
    /// Per cent of a token's time spent in matrix products, 0 to 100.
    pub product_share: Measured<f64>,
    /// Per cent of the wall time that each worker was running, 0 to 100.
    pub utilisation: Measured<Vec<f64>>,
    /// Relative L2 error against the oracle, as a fraction.
    pub relative_error: Measured<f64>,
    /// Tokens decoded per sample.
    pub tokens: u64,
    /// Threads.
    pub threads: usize,
}

/// One interleaved block, raw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// Order of the slices, `ABBA` or `BAAB`; A is before.
    pub order: String,
    /// Times of the slices of A, nanoseconds a token.
    pub before_ns: Vec<f64>,
    /// Times of the slices of B, nanoseconds a token.
    pub after_ns: Vec<f64>,
}

/// A gain that is there all along and is seen only once the defects are gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Masking {
    /// What is switched: `KV cache`.
    pub feature: String,
    /// The claim about it.
    pub claim: Option<Claim>,
    /// Tokens generated per sample.
    pub tokens: u64,
    /// Off against on, with every defect in place.
    pub at_bottom: Comparison,
    /// Off against on, with every fix in place.
    pub at_top: Comparison,
    /// Whether the gain was masked.
    pub verdict: Verdict,
}
