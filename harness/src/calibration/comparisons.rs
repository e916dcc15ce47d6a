//! Comparisons of equal sides, through the same functions that `compare` and `gate` call.

use std::ops::ControlFlow;
use std::time::Duration;

use super::ALPHA;
use super::cases;
use crate::compare::functions::{self, Contest};
use crate::compare::workers::{self, Pairing, Source};
use crate::compare::{Outcome, Plan, Standing};
use crate::exit::{Exit, Failure};
use crate::measure::stats::{Rules, Sequential};
use crate::measure::{Pace, SplitMix64, Verdict};
use crate::suite::{Blueprint, CaseId};

/// One comparison.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Position of the case.
    pub case: usize,
    /// Log-ratios of its placements.
    pub log_ratios: Vec<f64>,
    /// Seconds of measuring.
    pub seconds: f64,
    /// Whether its number of placements was fixed beforehand.
    pub fixed: bool,
}

impl Comparison {
    /// What these rules say, with a look after each placement.
    pub fn verdict(&self, rules: &Rules) -> Verdict {
        let mut test = Sequential::new(rules);
        for &log_ratio in &self.log_ratios {
            if test.push(log_ratio) != Verdict::Unclear {
                break;
            }
        }
        test.verdict()
    }
}

/// Rules with this margin, as `compare` has them for one case.
pub fn rules(margin: f64) -> Rules {
    Rules::new(margin, ALPHA, 0.95).expect("margins of calibrations are in range")
}

/// Rules that decide nothing: comparisons of fixed length are judged afterwards.
fn undecided() -> Rules {
    Rules::new(0.0, f64::MIN_POSITIVE * 4.0, 0.95).expect("above 0 and below 1")
}

/// A comparison that is not settled by then is left undecided.
const PATIENCE: usize = 96;

/// One turn of a path.
pub trait Turns {
    /// The cases, by position.
    fn cases(&self) -> &[CaseId];

    /// How long its placements are.
    fn pace(&self) -> Pace;

    /// How many turns make a round of all cases.
    fn round(&self) -> usize;

    /// The next comparisons, of fixed length or until they are settled.
    ///
    /// # Errors
    /// When a side can't be had, or answers wrongly.
    fn next(&mut self, fixed: bool) -> Result<Vec<Comparison>, Failure>;
}

/// Functions of this process.
pub struct Functions {
    ids: Vec<CaseId>,
    contests: Vec<Contest>,
    order: Vec<usize>,
    at: usize,
    rng: SplitMix64,
}

/// Placements of a comparison of fixed length, at the pace of functions: enough for the rules to
/// raise an alarm where signs do not quite agree.
const FUNCTIONS_FIXED: usize = 32;
/// The same at the pace of workers, whose placements cost more.
const WORKERS_FIXED: usize = 24;

impl Functions {
    /// Makes the cases.
    ///
    /// # Errors
    /// When one can't be made.
    pub fn new(ids: Vec<CaseId>, seed: u64) -> Result<Self, Failure> {
        let contest = |id: &CaseId| -> Result<Contest, Failure> {
            let (before, after) = (Blueprint::new(id)?, Blueprint::new(id)?);
            Ok(Contest::new(id.to_string(), before, after))
        };
        Ok(Self {
            contests: ids.iter().map(contest).collect::<Result<_, _>>()?,
            order: cases::turn(ids.len()),
            ids,
            at: 0,
            rng: SplitMix64::new(seed),
        })
    }
}

impl Turns for Functions {
    fn cases(&self) -> &[CaseId] {
        &self.ids
    }

    fn pace(&self) -> Pace {
        Pace::FUNCTIONS
    }

    fn round(&self) -> usize {
        self.order.len()
    }

    fn next(&mut self, fixed: bool) -> Result<Vec<Comparison>, Failure> {
        let case = self.order[self.at];
        self.at = (self.at + 1) % self.order.len();
        let placements = if fixed { FUNCTIONS_FIXED } else { PATIENCE };
        let contest = std::slice::from_ref(&self.contests[case]);
        let plan = plan(fixed, 1, self.rng.next_u64());
        let outcome = functions::run(contest, ["A", "A"], &plan, &mut at_most(placements));
        comparisons(outcome, &self.ids, fixed)
    }
}

/// Two workers.
pub struct Pairs {
    ids: Vec<CaseId>,
    sides: [Source; 2],
    rng: SplitMix64,
}

impl Pairs {
    /// Both sides serve `ids`.
    pub fn new(ids: Vec<CaseId>, sides: [Source; 2], seed: u64) -> Self {
        Self {
            ids,
            sides,
            rng: SplitMix64::new(seed),
        }
    }

    /// Looks at the clock that a round of placements of all cases takes: one before each pair of
    /// processes, of which there is one for cases on one thread and one for the others, and one
    /// before each placement.
    fn looks(&self) -> usize {
        let many = self.ids.iter().any(|id| id.threads() > 1);
        let one = self.ids.iter().any(|id| id.threads() == 1);
        self.ids.len() + usize::from(many) + usize::from(one)
    }
}

impl Turns for Pairs {
    fn cases(&self) -> &[CaseId] {
        &self.ids
    }

    fn pace(&self) -> Pace {
        Pace::WORKERS
    }

    fn round(&self) -> usize {
        1
    }

    fn next(&mut self, fixed: bool) -> Result<Vec<Comparison>, Failure> {
        let rounds = if fixed { WORKERS_FIXED } else { PATIENCE };
        let pairing = Pairing {
            plan: plan(fixed, self.ids.len(), self.rng.next_u64()),
            timeout: Duration::from_secs(60),
            allow_different_output: false,
            cases: Some(self.ids.iter().map(CaseId::to_string).collect()),
            filters: Vec::new(),
        };
        let [before, after] = &self.sides;
        let mut watch = at_most(rounds * self.looks());
        let paired = workers::run(before, after, &pairing, &mut watch)?;
        comparisons(paired.outcome, &self.ids, fixed)
    }
}

/// The plan under which each of `cases` has an alpha of its own: they share the plan's.
fn plan(fixed: bool, cases: usize, seed: u64) -> Plan {
    let rules = match fixed {
        true => undecided(),
        false => {
            let one = rules(super::DEFAULT_MARGIN);
            Rules::new(one.margin(), ALPHA * cases as f64, one.level())
                .and_then(|all| all.with_equivalence(one.equivalence()))
                .expect("a few cases of a small alpha")
        }
    };
    Plan {
        rules,
        seed,
        max_time: Duration::from_secs(120),
    }
}

/// Ends a comparison after so many looks.
fn at_most(looks: usize) -> impl FnMut(&Standing<'_>) -> ControlFlow<()> {
    let mut left = looks;
    move |_| match left {
        0 => ControlFlow::Break(()),
        _ => {
            left -= 1;
            ControlFlow::Continue(())
        }
    }
}

fn comparisons(outcome: Outcome, ids: &[CaseId], fixed: bool) -> Result<Vec<Comparison>, Failure> {
    if let Some(failed) = outcome.not_checked.into_iter().next() {
        let exit = match failed.exit {
            exit if exit == Exit::WrongAnswers as u8 => Exit::WrongAnswers,
            _ => Exit::CouldNotRun,
        };
        return Err(Failure {
            exit,
            message: format!("{}: {}", failed.case, failed.why),
        });
    }
    let found = outcome.cases.into_iter().zip(outcome.log_ratios);
    let comparison = |(case, log_ratios): (crate::verdicts::CaseVerdict, Vec<f64>)| {
        let case_at = ids.iter().position(|id| id.to_string() == case.case)?;
        Some(Comparison {
            case: case_at,
            log_ratios,
            seconds: case.seconds,
            fixed,
        })
    };
    Ok(found.filter_map(comparison).collect())
}
