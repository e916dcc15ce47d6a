//! Two functions of this process. For every placement both sides are copied into fresh memory,
//! in an order drawn at random.

use std::time::{Duration, Instant};

use super::{Field, Open, Outcome, Plan, Watch};
use crate::counters::{CountedPair, Counters};
use crate::exit::Exit;
use crate::measure::{Entrant, Failure, Pace, SplitMix64, Timed, Trial, Verified};
use crate::suite::{Blueprint, Placement, SuiteCase, SuiteError};

/// A case, as both sides do it.
pub struct Contest {
    /// What verdicts call it.
    pub case: String,
    /// "Before".
    pub before: Blueprint,
    /// "After".
    pub after: Blueprint,
    /// How long its slices and placements are.
    pub pace: Pace,
}

impl Contest {
    /// A case at the pace of functions.
    pub fn new(case: impl Into<String>, before: Blueprint, after: Blueprint) -> Self {
        Self {
            case: case.into(),
            before,
            after,
            pace: Pace::FUNCTIONS,
        }
    }
}

/// Compares functions, case by case; `names` are those of "before" and "after". What fails, or
/// answers wrongly, is kept with its case.
pub fn run(contests: &[Contest], names: [&str; 2], plan: &Plan, watch: &mut Watch<'_>) -> Outcome {
    let mut rng = SplitMix64::new(plan.seed);
    let rules = super::single(&plan.rules, contests.len());
    let open = contests
        .iter()
        .map(|c| {
            let trial = Trial::new(rules, c.pace, rng.next_u64());
            Open::new(c.case.clone(), trial)
        })
        .collect();
    let mut field = Field::new(open, plan.max_time);
    for (contest, open) in contests.iter().zip(&mut field.open) {
        judge(contest, open);
    }
    // Judging is no measuring.
    field.begin = Instant::now();
    'placements: while field.open.iter().any(Open::is_open) {
        for at in field.doubtful() {
            if field.go_on(&field.open[at].case, watch).is_break() {
                break 'placements;
            }
            place(&contests[at], &mut field.open[at], names, &mut rng);
        }
    }
    field.outcome()
}

/// Lets the oracle judge both sides, which must answer the same bits.
fn judge(contest: &Contest, open: &mut Open) {
    let judged = (contest.before.judge(), contest.after.judge());
    match judged {
        (Ok(before), Ok(after)) if before == after => {
            open.check = Some(before.to_string());
            open.judged = true;
        }
        (Ok(before), Ok(after)) => open.fail(
            Exit::WrongAnswers,
            format!("before answers {before}, after {after}: only equal work can be compared"),
        ),
        (Err(error), _) | (_, Err(error)) => refuse(open, &error),
    }
}

fn refuse(open: &mut Open, error: &SuiteError) {
    open.fail(error.exit(), error.to_string());
}

/// Both sides in fresh memory, made in an order drawn at random.
fn sides(contest: &Contest, rng: &mut SplitMix64) -> Result<[Side; 2], SuiteError> {
    let mut made = [None, None];
    let first = rng.below(2);
    for side in [first, 1 - first] {
        let blueprint = [&contest.before, &contest.after][side];
        made[side] = Some(blueprint.verified(&mut Placement::new(rng.next_u64()))?);
    }
    match made {
        [Some(before), Some(after)] => Ok([before, after]),
        _ => unreachable!("both sides were made"),
    }
}

type Side = Verified<Box<dyn SuiteCase>>;

fn place(contest: &Contest, open: &mut Open, names: [&str; 2], rng: &mut SplitMix64) {
    let begin = Instant::now();
    let [mut before, mut after] = match sides(contest, rng) {
        Ok(sides) => sides,
        Err(error) => return refuse(open, &error),
    };
    open.trial.spend(begin.elapsed());
    let placed = open.trial.place(
        Entrant::new(names[0], &mut before),
        Entrant::new(names[1], &mut after),
    );
    if let Err(failed) = placed {
        open.fail(Exit::CouldNotRun, failed.to_string());
    }
}

/// Blocks that are counted, and the time that each of their slices takes about: a counter is read
/// by a call of the system, which a slice for timing would be too short for.
const COUNTED_BLOCKS: u64 = 8;
const COUNTED_SLICE: Duration = Duration::from_millis(2);

/// Counts what the processor does in both sides of a case.
///
/// # Errors
/// When a side can't be made or fails.
pub fn count(
    contest: &Contest,
    counters: &mut Counters,
    seed: u64,
) -> Result<CountedPair, Failure> {
    let failed = |error: SuiteError| Failure::new(error.to_string());
    let [mut before, mut after] = sides(contest, &mut SplitMix64::new(seed)).map_err(failed)?;
    let mut before = Entrant::new("before", &mut before);
    let mut after = Entrant::new("after", &mut after);
    let slower = before.time(1)?.max(after.time(1)?).as_secs_f64();
    let iterations = (COUNTED_SLICE.as_secs_f64() / slower.max(1e-9)).max(1.0) as u64;
    CountedPair::count(
        counters,
        &mut before,
        &mut after,
        iterations,
        COUNTED_BLOCKS,
    )
}
