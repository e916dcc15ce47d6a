//! Estimates of the smallest effect, checked: that effect is planted, and how often it is found is
//! counted.

use std::ops::ControlFlow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::comparisons::{Comparison, rules};
use super::effects::Scatter;
use crate::compare::functions::{self, Contest};
use crate::compare::{Plan, Standing};
use crate::exit::Failure;
use crate::measure::stats::Rate;
use crate::measure::{Pace, SplitMix64, Verdict};
use crate::suite::{Blueprint, CaseId, Work};

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

/// The time for which the estimate of a case is checked: short, so that many comparisons can be
/// made. `None` for cases in which extra work can't be planted exactly.
pub fn budget(id: &CaseId) -> Option<Duration> {
    match id.work() {
        Work::Lcg { .. } => Some(Duration::from_millis(250)),
        // Filling both buffers takes most of the time.
        Work::Walk { .. } => Some(Duration::from_secs(1)),
        _ => None,
    }
}

/// Plants in a case what its comparisons say is found within a time, and compares `times` over.
/// `None` where they say nothing of it.
///
/// # Errors
/// When the case can't be made or timed.
pub fn check<'a>(
    id: &CaseId,
    of_case: impl Iterator<Item = &'a Comparison>,
    within: Duration,
    times: u64,
    seed: u64,
) -> Result<Option<Planted>, Failure> {
    let mut rng = SplitMix64::new(seed);
    let smallest = Scatter::of(of_case, Pace::FUNCTIONS)
        .and_then(|scatter| scatter.smallest_effect(within, rng.next_u64()));
    let Some(smallest) = smallest else {
        return Ok(None);
    };
    let after = Blueprint::new(id)?.with_extra(smallest)?;
    let fraction = after.planted().unwrap_or(smallest);
    let contest = [Contest::new(id.to_string(), Blueprint::new(id)?, after)];
    let mut found = 0;
    for _ in 0..times {
        let plan = Plan {
            rules: rules(0.5 * fraction),
            seed: rng.next_u64(),
            max_time: within,
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
        case: id.to_string(),
        within: within.as_secs_f64(),
        fraction,
        found: Rate::of(found, times),
    }))
}
