//! One estimate of the smallest effect, checked: that effect is planted, and counted.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cases::LOOP;
use super::comparisons::{Comparison, rules};
use super::effects::Scatter;
use crate::compare::functions::{self, Contest};
use crate::compare::{Plan, Standing};
use crate::exit::Failure;
use crate::measure::stats::Rate;
use crate::measure::{Pace, SplitMix64, Verdict};
use crate::suite::{Blueprint, CaseId};

/// An effect of known size, and how often it was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planted {
    /// The case.
    pub case: String,
    /// Seconds that each comparison had.
    pub within: f64,
    /// The slowdown that was planted: the smallest that should be found in that time.
    pub fraction: f64,
    /// Comparisons, and how many were called "regressed", at a margin of half the slowdown.
    pub found: Rate,
}

/// Short, so that many comparisons can be made.
const BUDGET: Duration = Duration::from_millis(250);

/// Plants in the loop what its comparisons say is found in a quarter of a second, and compares
/// `times` over. `None` where they say nothing of it.
///
/// # Errors
/// When the case can't be made or timed.
pub fn check<'a>(
    of_loop: impl Iterator<Item = &'a Comparison>,
    times: u64,
    seed: u64,
) -> Result<Option<Planted>, Failure> {
    let mut rng = SplitMix64::new(seed);
    let smallest = Scatter::of(of_loop, Pace::FUNCTIONS)
        .and_then(|scatter| scatter.smallest_effect(BUDGET, rng.next_u64()));
    let Some(smallest) = smallest else {
        return Ok(None);
    };
    let id: CaseId = LOOP.parse()?;
    let after = Blueprint::new(&id)?.with_extra(smallest)?;
    let fraction = after.planted().unwrap_or(smallest);
    let contest = [Contest::new(LOOP, Blueprint::new(&id)?, after)];
    let mut found = 0;
    for _ in 0..times {
        let plan = Plan {
            rules: rules(0.5 * fraction),
            seed: rng.next_u64(),
            max_time: BUDGET,
        };
        let mut watch = |_: &Standing<'_>| ControlFlow::Continue(());
        let outcome = functions::run(&contest, ["plain", "planted"], &plan, &mut watch);
        if let Some(failed) = outcome.not_checked.first() {
            return Err(Failure::could_not_run(failed.why.clone()));
        }
        let regressed = |c: &crate::verdicts::CaseVerdict| c.verdict == Verdict::Regressed;
        found += u64::from(outcome.cases.iter().any(regressed));
    }
    Ok(Some(Planted {
        case: LOOP.to_owned(),
        within: BUDGET.as_secs_f64(),
        fraction,
        found: Rate::of(found, times),
    }))
}
