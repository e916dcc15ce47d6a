//! What a comparison of many cases says: the document that `compare` and `gate` print, and that
//! exports are made from.

use std::ops::Not;

use serde::{Deserialize, Serialize};

use crate::counters::CountedPair;
use crate::exit::Exit;
use crate::measure::Verdict;
use crate::run::Measured;

/// Version of the document's shape. A reader refuses any other.
pub const SCHEMA: u32 = 1;

/// The verdicts on all cases of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdicts {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The command that made it, such as `compare` or `gate`.
    pub command: String,
    /// What "before" is.
    pub before: Side,
    /// What "after" is.
    pub after: Side,
    /// [`crate::machine::Machine::class`] of the machine that measured.
    pub machine: String,
    /// When, as RFC 3339 in UTC.
    pub started: String,
    /// Whose clock took the times.
    #[serde(default, skip_serializing_if = "Times::are_taken")]
    pub times: Times,
    /// Seed of every random order and placement.
    pub seed: u64,
    /// Fraction of speedup within which a case counts as unchanged: 0.02 is 2 %.
    pub margin: f64,
    /// Where the margin comes from, such as `default` or a calibration.
    pub margin_from: String,
    /// Bound on the probability of any false alarm in this document, efficiencies over threads aside.
    pub alpha: f64,
    /// One entry a case, in the order of the suite.
    pub cases: Vec<CaseVerdict>,
    /// Cases that were asked for and have no verdict, and why.
    pub not_checked: Vec<NotChecked>,
    /// What the processor counted, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Measured<Vec<CaseCounters>>>,
    /// Exit status: the contract in [`crate::exit::Exit`].
    pub exit: u8,
}

/// Whose clock took the times of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Times {
    /// This program's, or that of a tool whose results were imported.
    #[default]
    #[serde(rename = "taken")]
    Taken,
    /// The compared programs' own, which is believed.
    #[serde(rename = "as reported by the programs")]
    Reported,
}

impl Times {
    fn are_taken(&self) -> bool {
        *self == Self::Taken
    }
}

/// Counts of one case. They are evidence of why, and decide nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseCounters {
    /// Its id.
    pub case: String,
    /// Both sides, per iteration.
    pub counts: Measured<CountedPair>,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// A kernel, a command line, or a revision.
    pub name: String,
    /// Revision of the source, where there is one.
    pub revision: Option<String>,
    /// The instruction set that it used, where it says.
    pub isa: Option<String>,
}

/// The verdict on one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseVerdict {
    /// Its id.
    pub case: String,
    /// Of "after" against "before".
    pub verdict: Verdict,
    /// Time of before / time of after; `None` without a block.
    pub speedup: Option<f64>,
    /// Lower end of the confidence sequence; `None` while the blocks give no bound.
    pub low: Option<f64>,
    /// Its upper end.
    pub high: Option<f64>,
    /// A B B A blocks that count.
    pub blocks: u64,
    /// Times that both sides were made anew: the units of the statistics.
    pub placements: u64,
    /// Seconds of measuring this case, restarts included.
    pub seconds: f64,
    /// Nanoseconds an iteration of "before": the median over blocks. For information only.
    pub before_ns: Option<f64>,
    /// The same of "after".
    pub after_ns: Option<f64>,
    /// Digest of the results, equal on both sides unless different output was allowed.
    pub check: Option<String>,
    /// Whether a reference judged these results, and not the other side alone.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub judged: bool,
}

/// A case without a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotChecked {
    /// Its id.
    pub case: String,
    /// Why, as a sentence.
    pub why: String,
    /// What its failure amounts to.
    pub exit: u8,
}

impl Verdicts {
    /// The exit status that these verdicts amount to. The gravest counts: wrong answers, then
    /// what could not run, then a regression, then what is unclear. No case at all could not run.
    pub fn exit(&self) -> Exit {
        let failed = |exit: Exit| self.not_checked.iter().any(|c| c.exit == exit as u8);
        let any = |verdict| self.cases.iter().any(|c| c.verdict == verdict);
        if failed(Exit::WrongAnswers) {
            Exit::WrongAnswers
        } else if self.cases.is_empty() || !self.not_checked.is_empty() {
            Exit::CouldNotRun
        } else if any(Verdict::Regressed) {
            Exit::Regressed
        } else if any(Verdict::Unclear) {
            Exit::Unclear
        } else {
            Exit::Held
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(cases: &[Verdict], not_checked: &[Exit]) -> Verdicts {
        let side = || Side {
            name: "side".into(),
            revision: None,
            isa: None,
        };
        let case = |verdict: &Verdict| CaseVerdict {
            case: "case".into(),
            verdict: *verdict,
            speedup: Some(1.0),
            low: None,
            high: None,
            blocks: 1,
            placements: 1,
            seconds: 0.1,
            before_ns: None,
            after_ns: None,
            check: None,
            judged: false,
        };
        let failure = |exit: &Exit| NotChecked {
            case: "other".into(),
            why: "it died".into(),
            exit: *exit as u8,
        };
        Verdicts {
            schema: SCHEMA,
            command: "compare".into(),
            before: side(),
            after: side(),
            machine: "machine".into(),
            started: "2026-01-01T00:00:00Z".into(),
            times: Times::Taken,
            seed: 1,
            margin: 0.02,
            margin_from: "default".into(),
            alpha: 0.001,
            cases: cases.iter().map(case).collect(),
            not_checked: not_checked.iter().map(failure).collect(),
            counters: None,
            exit: 0,
        }
    }

    #[test]
    fn the_gravest_case_decides_the_exit_status() {
        use Verdict::{Improved, Regressed, Unchanged, Unclear};
        for (cases, not_checked, want) in [
            (&[Unchanged, Improved][..], &[][..], Exit::Held),
            (&[Unchanged, Unclear], &[], Exit::Unclear),
            (&[Unclear, Regressed], &[], Exit::Regressed),
            (&[Improved, Regressed, Improved], &[], Exit::Regressed),
            (&[Improved, Unclear], &[], Exit::Unclear),
            (&[Regressed], &[Exit::CouldNotRun], Exit::CouldNotRun),
            (
                &[Regressed],
                &[Exit::CouldNotRun, Exit::WrongAnswers],
                Exit::WrongAnswers,
            ),
            (&[], &[], Exit::CouldNotRun),
        ] {
            assert_eq!(verdicts(cases, not_checked).exit(), want, "{cases:?}");
        }
    }
}
