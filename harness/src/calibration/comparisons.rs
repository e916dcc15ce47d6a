//! Comparisons of equal sides, through the same functions that `compare` and `gate` call.

use std::ops::ControlFlow;
use std::time::Duration;

use super::ALPHA;
use super::cases;
use crate::compare::functions::{self, Contest};
use crate::compare::workers::{self, Pairing, Source};
use crate::compare::{CaseSamples, Outcome, Plan, Standing};
use crate::exit::{Exit, Failure};
use crate::measure::stats::{Rules, Sequential};
use crate::measure::{Pace, SplitMix64, Verdict};
use crate::suite::{Blueprint, CaseId};
use crate::verdicts::CaseVerdict;

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
const PATIENCE: usize = 64;

/// One turn of a path.
pub trait Turns {
    /// The cases, by position.
    fn cases(&self) -> &[CaseId];

    /// How long its placements are.
    fn pace(&self) -> Pace;

    /// The next comparisons. Of a case's first ones and then some, the length is fixed.
    ///
    /// # Errors
    /// When a side can't be had, or answers wrongly.
    fn next(&mut self) -> Result<Vec<Comparison>, Failure>;
}

/// Functions of this process.
pub struct Functions {
    ids: Vec<CaseId>,
    contests: Vec<Contest>,
    order: Vec<usize>,
    at: usize,
    /// Comparisons so far, by case.
    done: Vec<usize>,
    lengths: Lengths,
    rng: SplitMix64,
}

/// Placements of the comparisons whose length is fixed.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    /// Of the first of each case, which shows what long placements are worth.
    first: usize,
    /// Of the others: enough for the rules to raise an alarm where signs do not quite agree.
    others: usize,
    /// Of so many comparisons of a case, one is of fixed length.
    every: usize,
    /// Time for a comparison of fixed length, of one case or of all at once.
    fixed: Duration,
    /// Time until one is settled.
    settled: Duration,
}

impl Lengths {
    fn of(pace: Pace, quick: bool) -> Self {
        let (first, others, every, fixed, settled) = match (pace == Pace::FUNCTIONS, quick) {
            (true, false) => (96, 32, 4, 5.0, 1.0),
            (true, true) => (48, 32, 4, 1.0, 0.5),
            (false, false) => (48, 24, 3, 15.0, 5.0),
            (false, true) => (24, 24, 4, 4.0, 2.0),
        };
        Self {
            first,
            others,
            every,
            fixed: Duration::from_secs_f64(fixed),
            settled: Duration::from_secs_f64(settled),
        }
    }

    fn time(self, fixed: bool) -> Duration {
        match fixed {
            true => self.fixed,
            false => self.settled,
        }
    }

    /// Placements of the comparison that so many were before, if that is fixed.
    fn placements(self, done: usize) -> Option<usize> {
        match done {
            0 => Some(self.first),
            n if n.is_multiple_of(self.every) => Some(self.others),
            _ => None,
        }
    }
}

impl Functions {
    /// Makes the cases.
    ///
    /// # Errors
    /// When one can't be made.
    pub fn new(ids: Vec<CaseId>, quick: bool, seed: u64) -> Result<Self, Failure> {
        let contest = |id: &CaseId| -> Result<Contest, Failure> {
            let (before, after) = (Blueprint::new(id)?, Blueprint::new(id)?);
            Ok(Contest::new(id.to_string(), before, after))
        };
        Ok(Self {
            contests: ids.iter().map(contest).collect::<Result<_, _>>()?,
            order: cases::turn(ids.len()),
            done: vec![0; ids.len()],
            lengths: Lengths::of(Pace::FUNCTIONS, quick),
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

    fn next(&mut self) -> Result<Vec<Comparison>, Failure> {
        let case = self.order[self.at];
        self.at = (self.at + 1) % self.order.len();
        let fixed = self.lengths.placements(self.done[case]);
        self.done[case] += 1;
        let placements = fixed.unwrap_or(PATIENCE);
        let fixed = fixed.is_some();
        let contest = std::slice::from_ref(&self.contests[case]);
        let plan = plan(fixed, 1, self.rng.next_u64());
        let end = End {
            looks: placements,
            round: 1,
            time: self.lengths.time(fixed),
        };
        let outcome = functions::run(contest, ["A", "A"], &plan, &mut end.watch());
        comparisons(outcome, &self.ids, fixed)
    }
}

/// Two workers.
pub struct Pairs {
    ids: Vec<CaseId>,
    sides: [Source; 2],
    done: usize,
    lengths: Lengths,
    rng: SplitMix64,
}

impl Pairs {
    /// Both sides serve `ids`.
    pub fn new(ids: Vec<CaseId>, sides: [Source; 2], quick: bool, seed: u64) -> Self {
        Self {
            ids,
            sides,
            done: 0,
            lengths: Lengths::of(Pace::WORKERS, quick),
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

    fn next(&mut self) -> Result<Vec<Comparison>, Failure> {
        let fixed = self.lengths.placements(self.done);
        self.done += 1;
        let rounds = fixed.unwrap_or(PATIENCE);
        let fixed = fixed.is_some();
        let pairing = Pairing {
            plan: plan(fixed, self.ids.len(), self.rng.next_u64()),
            timeout: Duration::from_secs(60),
            allow_different_output: false,
            cases: Some(self.ids.iter().map(CaseId::to_string).collect()),
            filters: Vec::new(),
            judged_by: None,
        };
        let [before, after] = &self.sides;
        let end = End {
            looks: rounds * self.looks(),
            round: self.looks(),
            time: self.lengths.time(fixed),
        };
        let mut watch = end.watch();
        let paired = workers::run(before, after, &pairing, &mut watch)?;
        comparisons(paired.outcome, &self.ids, fixed)
    }
}

/// One comparison of a case with itself, of so many placements or of as many as end in the time.
///
/// # Errors
/// When the case can't be made, or answers wrongly.
pub fn with_itself(
    id: &CaseId,
    placements: usize,
    time: Duration,
    seed: u64,
) -> Result<Comparison, Failure> {
    let (before, after) = (Blueprint::new(id)?, Blueprint::new(id)?);
    let contest = [Contest::new(id.to_string(), before, after)];
    let end = End {
        looks: placements,
        round: 1,
        time,
    };
    let plan = plan(true, 1, seed);
    let outcome = functions::run(&contest, ["A", "A"], &plan, &mut end.watch());
    comparisons(outcome, std::slice::from_ref(id), true)?
        .pop()
        .ok_or_else(|| Failure::could_not_run(format!("{id}: nothing was compared")))
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

/// When comparisons end that no verdict ends.
#[derive(Debug, Clone, Copy)]
struct End {
    /// Looks at the clock, of which there is one before each placement.
    looks: usize,
    /// Looks of a round of all cases. One round is made in any case.
    round: usize,
    /// Time for all cases together. A machine that is too busy to come to an end in it leaves
    /// comparisons undecided, or shorter than they were meant to be.
    time: Duration,
}

impl End {
    fn watch(self) -> impl FnMut(&Standing<'_>) -> ControlFlow<()> {
        let mut looks = 0;
        move |standing: &Standing<'_>| {
            let late = looks >= self.round && standing.elapsed >= self.time;
            if looks >= self.looks || late {
                return ControlFlow::Break(());
            }
            looks += 1;
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
    let found = outcome.cases.into_iter().zip(outcome.samples);
    let comparison = |(case, samples): (CaseVerdict, CaseSamples)| {
        let at = ids.iter().position(|id| id.to_string() == case.case)?;
        Some(Comparison {
            case: at,
            log_ratios: samples.placements.iter().map(|p| p.log_ratio).collect(),
            seconds: case.seconds,
            fixed,
        })
    };
    Ok(found.filter_map(comparison).collect())
}
