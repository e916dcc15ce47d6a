//! Two functions of this process. For every placement both sides are copied into fresh memory,
//! in an order drawn at random.

use std::time::Instant;

use super::{Field, Open, Outcome, Plan, Watch};
use crate::exit::Exit;
use crate::measure::{Entrant, Pace, SplitMix64, Trial, Verified};
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
        (Ok(before), Ok(after)) if before == after => open.check = Some(before.to_string()),
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

fn place(contest: &Contest, open: &mut Open, names: [&str; 2], rng: &mut SplitMix64) {
    let begin = Instant::now();
    let mut made = [None, None];
    let first = rng.below(2);
    for side in [first, 1 - first] {
        let blueprint = [&contest.before, &contest.after][side];
        match blueprint.verified(&mut Placement::new(rng.next_u64())) {
            Ok(case) => made[side] = Some(case),
            Err(error) => return refuse(open, &error),
        }
    }
    let [Some(mut before), Some(mut after)]: [Option<Verified<Box<dyn SuiteCase>>>; 2] = made
    else {
        unreachable!("both sides were made");
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
