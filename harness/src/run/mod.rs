//! A run: everything that was measured, in one folder.
//!
//! `run.json` is the only source. [`Store`] writes it as the run goes on, whole and atomically each
//! time, so that a killed run resumes; [`crate::report::render`] reads it and writes the pages.
//!
//! Two rules shape the types. What could not be had is [`Measured::Unavailable`] with the reason,
//! never a zero. And a step that gives wrong answers has an error figure and *no* time: see
//! [`Comparison`].

mod agreement;
mod cache;
mod correctness;
mod costs;
mod error;
mod finding;
mod generation;
mod ladder;
mod latency;
mod machine;
mod measured;
mod profile;
mod store;

pub use agreement::{Agreement, DepthError, KernelTexts, Likelihood, Scan};
pub use cache::{CacheLevel, CacheStudy, Prefetch, PrefetchDistance, PrefetchSet, Stair};
pub use correctness::{Check, CheckStatus, Checks, Defect, DefectError, DefectOutcome};
pub use costs::{CostStudy, Costs, PartCosts};
pub use error::RunError;
pub use finding::{Decision, ErrorBound, Setting, StepFinding};
pub use generation::{CacheGain, ContextGain, Generation, GenerationTime};
pub use ladder::{
    Block, Claim, Comparison, Figures, Isolated, Knob, Ladder, Masking, Step, Target, Verdict,
    WrongAnswer,
};
pub use latency::{Latency, LatencyTarget, PartTimes, TimedModel, TokenTimes};
pub use machine::{
    KernelRow, MachineSummary, ModelSummary, Origin, Selected, Selection, Settings, Tool,
    Yardstick, Yardsticks, rfc3339, vectors,
};
pub use measured::{Estimate, Measured, Range};
pub use profile::{
    ClaimedEfficiency, Part, Product, Profile, PromptProduct, Scaled, ScalingPoint, Skipped,
    Totals, WholeToken,
};
pub use store::{RUN_FILE, Section, SectionName, Store, read, ready_folder, write_atomically};

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The version of `run.json` that this build reads and writes.
pub const SCHEMA: u64 = 1;

/// Everything that one run measured: the content of `run.json`.
///
/// Fields that this build does not know are tolerated; an unknown `schema` is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Version of this layout, [`SCHEMA`].
    pub schema: u64,
    /// What the run is called in the pages; by default the folder's name.
    pub name: String,
    /// The program that measured.
    pub tool: Tool,
    /// When the run began, RFC 3339, UTC.
    pub started: String,
    /// The command line, one word an element.
    pub command: Vec<String>,
    /// What was asked for. A run resumes only under equal settings.
    pub settings: Settings,
    /// Sections that are complete.
    #[serde(default)]
    pub done: BTreeSet<SectionName>,
    /// The machine.
    #[serde(default)]
    pub machine: Measured<MachineSummary>,
    /// The kernel table.
    #[serde(default)]
    pub kernels: Measured<Vec<KernelRow>>,
    /// Which kernel each linear layer ran.
    #[serde(default)]
    pub selection: Measured<Selection>,
    /// The model that was timed.
    #[serde(default)]
    pub model: Measured<ModelSummary>,
    /// The machine's own limits, measured in this run.
    #[serde(default)]
    pub yardsticks: Measured<Yardsticks>,
    /// Every comparison of an answer with the oracle or a golden file.
    #[serde(default)]
    pub checks: Measured<Checks>,
    /// What the trained model answers by every kernel, held against the oracle.
    #[serde(default)]
    pub agreement: Measured<Agreement>,
    /// Re-enacted defects, and what caught each.
    #[serde(default)]
    pub defects: Measured<Vec<Defect>>,
    /// The fixes, one at a time.
    #[serde(default)]
    pub ladder: Measured<Ladder>,
    /// Speedup by threads.
    #[serde(default)]
    pub scaling: Measured<Vec<ScalingPoint>>,
    /// Where a token's time goes.
    #[serde(default)]
    pub profiles: Measured<Vec<Profile>>,
    /// Each matrix product on its own.
    #[serde(default)]
    pub products: Measured<Vec<Product>>,
    /// Products of a batch against the int8 peaks.
    #[serde(default)]
    pub prompts: Measured<Vec<PromptProduct>>,
    /// Whole tokens against the read bandwidth.
    #[serde(default)]
    pub tokens: Measured<Vec<WholeToken>>,
    /// What was aimed at, held against this machine's own limits.
    #[serde(default)]
    pub targets: Measured<Vec<Target>>,
    /// Single tokens.
    #[serde(default)]
    pub latency: Measured<Latency>,
    /// Whole generations.
    #[serde(default)]
    pub generation: Measured<Generation>,
    /// The machine's caches.
    #[serde(default)]
    pub cache: Measured<CacheStudy>,
    /// What the processor does for a token.
    #[serde(default)]
    pub counters: Measured<CostStudy>,
    /// What the run cost and what it left out.
    #[serde(default)]
    pub totals: Measured<Totals>,
}

impl Run {
    /// A run that has measured nothing yet.
    pub fn new(
        name: impl Into<String>,
        tool: Tool,
        started: impl Into<String>,
        command: Vec<String>,
        settings: Settings,
    ) -> Self {
        Self {
            schema: SCHEMA,
            name: name.into(),
            tool,
            started: started.into(),
            command,
            settings,
            done: BTreeSet::new(),
            machine: Measured::default(),
            kernels: Measured::default(),
            selection: Measured::default(),
            model: Measured::default(),
            yardsticks: Measured::default(),
            checks: Measured::default(),
            agreement: Measured::default(),
            defects: Measured::default(),
            ladder: Measured::default(),
            scaling: Measured::default(),
            profiles: Measured::default(),
            products: Measured::default(),
            prompts: Measured::default(),
            tokens: Measured::default(),
            targets: Measured::default(),
            latency: Measured::default(),
            generation: Measured::default(),
            cache: Measured::default(),
            counters: Measured::default(),
            totals: Measured::default(),
        }
    }
}
