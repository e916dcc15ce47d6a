//! Two sides against each other over many cases: functions of this process, workers, or whole
//! command lines. Each case is a [`Trial`]; what differs is how a placement is made.

pub mod commands;
pub mod functions;
pub mod reported;
pub mod workers;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::measure::stats::Rules;
use crate::measure::trial::Placement;
use crate::measure::{Trial, Verdict};
use crate::verdicts::{CaseVerdict, NotChecked};

/// What every comparison is held to.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The margin, and the bounds on errors: `alpha` bounds the probability of any false alarm in
    /// the whole comparison.
    pub rules: Rules,
    /// Draws every order and place.
    pub seed: u64,
    /// Wall time for all cases together, set-up included. Looked at before each placement.
    pub max_time: Duration,
}

/// The rules of each single case where `cases` share the `alpha` of `rules`: the probability of
/// any false alarm is then at most that (Bonferroni's inequality, which needs no independence;
/// cases on one machine have none).
fn single(rules: &Rules, cases: usize) -> Rules {
    let alpha = rules.alpha() / cases.max(1) as f64;
    Rules::new(rules.margin(), alpha, rules.level())
        .and_then(|single| single.with_equivalence(rules.equivalence()))
        .expect("a part of a valid alpha is valid")
}

/// Where a comparison of many cases stands.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Cases with a verdict, or that failed.
    pub settled: usize,
    /// All cases.
    pub cases: usize,
    /// The case that is being measured.
    pub case: &'a str,
    /// Since the start.
    pub elapsed: Duration,
}

/// Told between placements; may end the comparison, which keeps what it has.
pub type Watch<'a> = dyn FnMut(&Standing<'_>) -> ControlFlow<()> + 'a;

/// Every slice of a case, from which its verdict can be made again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaseSamples {
    /// Its id.
    pub case: String,
    /// Iterations a slice of "before" and of "after".
    pub iterations: Option<[u64; 2]>,
    /// Its placements, in order.
    pub placements: Vec<Placement>,
}

/// What was found, in the order of the cases.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Cases that were measured, decided or not.
    pub cases: Vec<CaseVerdict>,
    /// Cases without a placement, or whose sides failed.
    pub not_checked: Vec<NotChecked>,
    /// What the verdicts were made from.
    pub samples: Vec<CaseSamples>,
}

/// A case on its way to a verdict.
struct Open {
    case: String,
    trial: Trial,
    check: Option<String>,
    /// Whether `check` is that of a judged answer.
    judged: bool,
    failed: Option<NotChecked>,
}

impl Open {
    fn new(case: String, trial: Trial) -> Self {
        Self {
            case,
            trial,
            check: None,
            judged: false,
            failed: None,
        }
    }

    fn is_open(&self) -> bool {
        self.failed.is_none() && self.trial.verdict() == Verdict::Unclear
    }

    fn fail(&mut self, exit: Exit, why: String) {
        self.failed = Some(NotChecked {
            case: self.case.clone(),
            why,
            exit: exit as u8,
        });
    }
}

/// All cases of a comparison, and its clock.
struct Field {
    open: Vec<Open>,
    begin: Instant,
    max_time: Duration,
}

impl Field {
    fn new(open: Vec<Open>, max_time: Duration) -> Self {
        Self {
            open,
            begin: Instant::now(),
            max_time,
        }
    }

    /// Tells where the comparison stands before `case` gets a placement; breaks when the time is
    /// spent or the caller has had enough.
    fn go_on(&self, case: &str, watch: &mut Watch<'_>) -> ControlFlow<()> {
        let elapsed = self.begin.elapsed();
        if elapsed >= self.max_time {
            return ControlFlow::Break(());
        }
        watch(&Standing {
            settled: self.open.iter().filter(|o| !o.is_open()).count(),
            cases: self.open.len(),
            case,
            elapsed,
        })
    }

    /// Positions of the cases without a verdict: those that look most like a regression first,
    /// so that they get their time before the budget ends.
    fn doubtful(&self) -> Vec<usize> {
        let mut open: Vec<usize> = (0..self.open.len())
            .filter(|&at| self.open[at].is_open())
            .collect();
        let doubt = |at: &usize| -self.open[*at].trial.evidence().ln_regressed;
        open.sort_by(|a, b| doubt(a).total_cmp(&doubt(b)));
        open
    }

    fn outcome(self) -> Outcome {
        let mut outcome = Outcome::default();
        for mut open in self.open {
            let unmeasured = open.trial.placements().is_empty();
            match open.failed.take() {
                Some(failed) => outcome.not_checked.push(failed),
                None if unmeasured => outcome.not_checked.push(NotChecked {
                    case: open.case.clone(),
                    why: "it ended before the first placement of this case".to_owned(),
                    exit: Exit::CouldNotRun as u8,
                }),
                None => {}
            }
            if !unmeasured {
                outcome.samples.push(CaseSamples {
                    case: open.case.clone(),
                    iterations: open.trial.iterations(),
                    placements: open.trial.placements().to_vec(),
                });
                outcome.cases.push(case_verdict(open));
            }
        }
        outcome
    }
}

fn case_verdict(open: Open) -> CaseVerdict {
    let trial = &open.trial;
    let interval = trial.interval();
    let ns = trial.ns();
    CaseVerdict {
        case: open.case,
        verdict: trial.verdict(),
        speedup: trial.speedup(),
        low: interval.low,
        high: interval.high,
        blocks: trial.blocks_run(),
        placements: trial.placements().len() as u64,
        seconds: trial.measuring().as_secs_f64(),
        before_ns: ns.map(|[before, _]| before),
        after_ns: ns.map(|[_, after]| after),
        check: open.check,
        judged: open.judged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_share_the_alpha_of_a_comparison_and_nothing_else() {
        let rules = Rules::new(0.03, 0.01, 0.9).unwrap();
        for cases in [1, 2, 62] {
            let single = single(&rules, cases);
            assert!(
                single.alpha() * cases as f64 <= rules.alpha() * (1.0 + 1e-12),
                "{cases}"
            );
            assert_eq!(single.equivalence(), rules.equivalence());
            assert_eq!(
                [single.margin(), single.level()],
                [rules.margin(), rules.level()]
            );
        }
    }
}
