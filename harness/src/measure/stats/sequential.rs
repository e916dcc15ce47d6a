//! The three-way verdict that may be asked for after every block.

use super::sign::{Boundary, ln_e_value};
use serde::{Deserialize, Serialize};

/// What the blocks prove about "after" against "before".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Faster by more than the margin.
    Improved,
    /// Slower by more than the margin.
    Regressed,
    /// Equivalent: neither faster nor slower by as much as the margin.
    Unchanged,
    /// Not decided by the blocks seen.
    Unclear,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Improved => "improved",
            Self::Regressed => "regressed",
            Self::Unchanged => "unchanged",
            Self::Unclear => "unclear",
        })
    }
}

/// Margin, error probability and interval level of a comparison, checked when made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "UncheckedRules")]
pub struct Rules {
    margin: f64,
    alpha: f64,
    equivalence: f64,
    level: f64,
}

#[derive(Deserialize)]
struct UncheckedRules {
    margin: f64,
    alpha: f64,
    equivalence: f64,
    level: f64,
}

impl TryFrom<UncheckedRules> for Rules {
    type Error = RulesError;

    fn try_from(raw: UncheckedRules) -> Result<Self, RulesError> {
        Self::new(raw.margin, raw.alpha, raw.level)?.with_equivalence(raw.equivalence)
    }
}

/// A gate that misses is less of a nuisance than one that cries wolf, and settles sooner.
const EQUIVALENCE: f64 = 0.01;

/// A rule that no comparison can be held to.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum RulesError {
    /// The margin is negative, infinite or not a number.
    #[error("margin {0} must be a finite fraction of at least 0 (0.02 is 2 %)")]
    Margin(f64),
    /// The error probability is not one.
    #[error("alpha {0} must lie strictly between 0 and 1")]
    Alpha(f64),
    /// The interval level is not a probability.
    #[error("level {0} must lie strictly between 0 and 1 (0.95 is 95 %)")]
    Level(f64),
}

impl Rules {
    /// `margin` is a fraction: 0.02 means that a speedup between 1/1.02 and 1.02 counts as
    /// unchanged. `alpha` bounds the probability of a false alarm, `level` is the probability
    /// that the interval holds the truth. A false [`Verdict::Unchanged`] has probability at most
    /// 1 %, or `alpha` where that is more: [`Rules::with_equivalence`] sets another bound.
    ///
    /// # Errors
    /// Names the value that is out of range.
    pub fn new(margin: f64, alpha: f64, level: f64) -> Result<Self, RulesError> {
        let inside = |p: f64| p > 0.0 && p < 1.0;
        if !(margin.is_finite() && margin >= 0.0) {
            return Err(RulesError::Margin(margin));
        }
        if !inside(alpha) {
            return Err(RulesError::Alpha(alpha));
        }
        if !inside(level) {
            return Err(RulesError::Level(level));
        }
        Ok(Self {
            margin,
            alpha,
            equivalence: alpha.max(EQUIVALENCE),
            level,
        })
    }

    /// The same rules with another bound on the probability of a false [`Verdict::Unchanged`].
    ///
    /// # Errors
    /// When it is not a probability.
    pub fn with_equivalence(self, equivalence: f64) -> Result<Self, RulesError> {
        if equivalence > 0.0 && equivalence < 1.0 {
            Ok(Self {
                equivalence,
                ..self
            })
        } else {
            Err(RulesError::Alpha(equivalence))
        }
    }

    /// The margin as a fraction of speedup.
    pub fn margin(&self) -> f64 {
        self.margin
    }

    /// The margin on the scale of log-ratios, `ln(1 + margin)`.
    pub fn log_margin(&self) -> f64 {
        self.margin.ln_1p()
    }

    /// The bound on the probability of a false alarm.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// The bound on the probability of calling a change that exceeds the margin unchanged.
    pub fn equivalence(&self) -> f64 {
        self.equivalence
    }

    /// The level of the interval.
    pub fn level(&self) -> f64 {
        self.level
    }
}

impl Default for Rules {
    /// Margin 2 %, alpha 0.001, intervals of 95 %.
    fn default() -> Self {
        Self {
            margin: 0.02,
            alpha: 0.001,
            equivalence: EQUIVALENCE,
            level: 0.95,
        }
    }
}

/// How strong the evidence is: natural logs of e-values, for combining over many cases.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Against "median <= margin".
    pub ln_improved: f64,
    /// Against "median >= -margin".
    pub ln_regressed: f64,
    /// Against "median outside the margin": the weaker of the two one-sided tests.
    pub ln_unchanged: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Side {
    above: u64,
    below: u64,
}

impl Side {
    fn add(&mut self, value: f64, threshold: f64) {
        // A tie is a head for nobody, which can only delay a decision.
        self.above += u64::from(value > threshold);
        self.below += u64::from(value < threshold);
    }
}

/// The verdict on a stream of block log-ratios. The first decision stands.
///
/// Constant time and memory a block, up to a sum of about `sqrt(blocks)` terms.
#[derive(Debug, Clone)]
pub struct Sequential {
    log_margin: f64,
    blocks: u64,
    at_upper: Side,
    at_lower: Side,
    alarm: Boundary,
    equivalence: Boundary,
    verdict: Verdict,
    decided_at: Option<u64>,
}

impl Sequential {
    /// A verdict on no blocks yet: [`Verdict::Unclear`].
    pub fn new(rules: &Rules) -> Self {
        Self {
            log_margin: rules.log_margin(),
            blocks: 0,
            at_upper: Side::default(),
            at_lower: Side::default(),
            alarm: Boundary::at_level(rules.alpha() / 2.0),
            equivalence: Boundary::at_level(rules.equivalence()),
            verdict: Verdict::Unclear,
            decided_at: None,
        }
    }

    /// Takes the log-ratio of the next block. One that is not finite counts as a block that
    /// speaks for nothing.
    pub fn push(&mut self, log_ratio: f64) -> Verdict {
        self.blocks += 1;
        self.alarm.advance();
        self.equivalence.advance();
        if log_ratio.is_finite() {
            self.at_upper.add(log_ratio, self.log_margin);
            self.at_lower.add(log_ratio, -self.log_margin);
        }
        if self.verdict == Verdict::Unclear {
            self.verdict = self.decide();
            if self.verdict != Verdict::Unclear {
                self.decided_at = Some(self.blocks);
            }
        }
        self.verdict
    }

    fn decide(&self) -> Verdict {
        if self.alarm.rejects(self.at_upper.above) {
            Verdict::Improved
        } else if self.alarm.rejects(self.at_lower.below) {
            Verdict::Regressed
        } else if self.equivalence.rejects(self.at_upper.below)
            && self.equivalence.rejects(self.at_lower.above)
        {
            Verdict::Unchanged
        } else {
            Verdict::Unclear
        }
    }

    /// The first decision, or [`Verdict::Unclear`].
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The number of blocks at which the verdict was reached.
    pub fn decided_at(&self) -> Option<u64> {
        self.decided_at
    }

    /// Blocks taken so far.
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// The evidence in all blocks so far, those after the decision included.
    pub fn evidence(&self) -> Evidence {
        let ln_e = |heads| ln_e_value(self.blocks, heads);
        Evidence {
            ln_improved: ln_e(self.at_upper.above),
            ln_regressed: ln_e(self.at_lower.below),
            ln_unchanged: ln_e(self.at_upper.below).min(ln_e(self.at_lower.above)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict_on(blocks: impl IntoIterator<Item = f64>, margin: f64, alpha: f64) -> Sequential {
        let mut test = Sequential::new(&Rules::new(margin, alpha, 0.95).unwrap());
        for r in blocks {
            test.push(r);
        }
        test
    }

    #[test]
    fn blocks_that_agree_decide_in_the_number_the_formula_gives() {
        // All heads: capital 2^(n+1)/(n+1) - 1/(n+1); 2/alpha = 40 is first passed at n = 8.
        let faster = verdict_on([0.1; 30], 0.02, 0.05);
        assert_eq!(
            (faster.verdict(), faster.decided_at()),
            (Verdict::Improved, Some(8))
        );
        let slower = verdict_on([-0.1; 30], 0.02, 0.05);
        assert_eq!(
            (slower.verdict(), slower.decided_at()),
            (Verdict::Regressed, Some(8))
        );
        // 1/alpha = 20 is first passed at n = 7: (2^8 - 1)/8 = 31.9, before it 127/7 = 18.1.
        let same = verdict_on([0.001; 30], 0.02, 0.05);
        assert_eq!(
            (same.verdict(), same.decided_at()),
            (Verdict::Unchanged, Some(7))
        );
    }

    #[test]
    fn a_change_inside_the_margin_is_unchanged() {
        assert_eq!(
            verdict_on([0.015; 50], 0.02, 0.001).verdict(),
            Verdict::Unchanged
        );
        assert_eq!(
            verdict_on([-0.015; 50], 0.02, 0.001).verdict(),
            Verdict::Unchanged
        );
    }

    #[test]
    fn the_first_decision_stands() {
        let test = verdict_on([0.1; 30].into_iter().chain([-0.1; 500]), 0.02, 0.05);
        assert_eq!(test.verdict(), Verdict::Improved);
        assert_eq!(test.blocks(), 530);
    }

    #[test]
    fn ties_and_values_that_are_no_numbers_decide_nothing() {
        assert_eq!(
            verdict_on([0.0; 500], 0.0, 0.05).verdict(),
            Verdict::Unclear
        );
        let log_margin = f64::ln_1p(0.02);
        assert_eq!(
            verdict_on([log_margin; 500], 0.02, 0.05).verdict(),
            Verdict::Unclear
        );
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(
                verdict_on([value; 500], 0.02, 0.05).verdict(),
                Verdict::Unclear
            );
        }
    }

    #[test]
    fn no_blocks_are_unclear() {
        assert_eq!(verdict_on([], 0.02, 0.05).verdict(), Verdict::Unclear);
        assert_eq!(verdict_on([], 0.02, 0.999).decided_at(), None);
    }

    #[test]
    fn one_outlier_of_any_size_moves_the_evidence_by_one_sign() {
        let quiet = verdict_on((0..20).map(|_| 0.0).chain([0.03]), 0.02, 0.001);
        let wild = verdict_on((0..20).map(|_| 0.0).chain([1e300]), 0.02, 0.001);
        assert_eq!(quiet.evidence(), wild.evidence());
    }

    #[test]
    fn rules_out_of_range_are_refused_by_name() {
        assert_eq!(Rules::new(-0.1, 0.1, 0.9), Err(RulesError::Margin(-0.1)));
        assert!(Rules::new(f64::NAN, 0.1, 0.9).is_err());
        assert_eq!(Rules::new(0.1, 0.0, 0.9), Err(RulesError::Alpha(0.0)));
        assert_eq!(Rules::new(0.1, 0.1, 1.0), Err(RulesError::Level(1.0)));
        let read = serde_json::from_str::<Rules>(
            r#"{"margin":0.1,"alpha":2.0,"equivalence":0.1,"level":0.9}"#,
        );
        assert!(read.unwrap_err().to_string().contains("alpha 2"));
    }
}
