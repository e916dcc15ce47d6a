//! Checks of answers, and the defects that show that the checks can fail.

use super::{Measured, Range};
use serde::{Deserialize, Serialize};

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// The figure is within the limit.
    Pass,
    /// It is not.
    Fail,
    /// It was not judged; the note says why.
    Skipped,
}

/// One comparison of an answer with the oracle or a golden file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Stable name.
    pub id: String,
    /// Kernel that was judged.
    pub kernel: String,
    /// Threads.
    pub threads: usize,
    /// How it went.
    pub status: CheckStatus,
    /// What was measured; `None` only when skipped.
    pub figure: Option<f64>,
    /// The largest figure that passes.
    pub limit: Option<f64>,
    /// Unit of figure and limit: `tolerances`, `%`, `values that differ`, ...
    #[serde(default)]
    pub unit: String,
    /// Where it failed, or why it was skipped.
    #[serde(default)]
    pub note: String,
}

/// Every check of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// The checks, in the order in which they ran.
    pub list: Vec<Check>,
}

impl Checks {
    /// How many checks have this status.
    pub fn count(&self, status: CheckStatus) -> usize {
        self.list.iter().filter(|c| c.status == status).count()
    }
}

/// A re-enacted defect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Defect {
    /// Stable name.
    pub id: String,
    /// What is wrong.
    pub what: String,
    /// Where it was seen in public.
    pub seen_in: String,
    /// Whether the checks found it.
    pub outcome: DefectOutcome,
    /// Its relative errors, by kind of data.
    #[serde(default)]
    pub errors: Vec<DefectError>,
    /// Relative error that was claimed for it, as a fraction: 2.91 for 291 %.
    #[serde(default)]
    pub claimed: Option<Range>,
}

/// Whether a defect was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectOutcome {
    /// Found.
    Caught {
        /// By this check.
        by: String,
    },
    /// Nothing found it: the checks have a hole.
    Missed,
    /// It could not be re-enacted here.
    NotRun {
        /// Why.
        why: String,
    },
}

/// How wrong a defect's answers are on one kind of data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DefectError {
    /// Kind of activations: `gaussian`, `trained`, ...
    pub data: String,
    /// Columns of the matrix.
    pub k: usize,
    /// Relative L2 error against the correct output, as a fraction.
    pub relative_error: Measured<f64>,
}
