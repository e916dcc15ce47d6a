//! The rule of another tool on the same cases, in the same run: see
//! [`crate::measure::stats::criterion_rule`].

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::measure::stats::{CriterionRule, Rate};
use crate::measure::{Batch, Entrant, SplitMix64};
use crate::suite::{Blueprint, CaseId, Placement};

/// Both rules on the same cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Against {
    /// The rule's settings; all but `resamples` as criterion comes.
    pub rule: CriterionRule,
    /// Samples a batch, as criterion comes.
    pub samples: u64,
    /// Seconds of warming up before each batch: scaled down from criterion's 3.
    pub warm_up: f64,
    /// Seconds of each batch: scaled down from criterion's 5.
    pub measuring: f64,
    /// One row a load.
    pub rows: Vec<AgainstRow>,
}

/// One load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgainstRow {
    /// Busy processes beside it.
    pub load: usize,
    /// False alarms of our rule at its default margin.
    pub ours: Rate,
    /// Seconds that these comparisons took.
    pub ours_seconds: f64,
    /// False alarms of criterion's rule.
    pub criterion: Rate,
    /// Seconds that these took; resampling not counted.
    pub criterion_seconds: f64,
}

/// Both times are a tenth or less of what the tool comes with.
const BATCH: Batch = Batch {
    warm_up: Duration::from_millis(100),
    measuring: Duration::from_millis(400),
    samples: 100,
};

/// The settings, without a row yet.
pub fn settings() -> Against {
    Against {
        rule: CriterionRule {
            resamples: 10_000,
            ..CriterionRule::default()
        },
        samples: BATCH.samples,
        warm_up: BATCH.warm_up.as_secs_f64(),
        measuring: BATCH.measuring.as_secs_f64(),
        rows: Vec::new(),
    }
}

/// Has criterion's rule compare each case with itself until the time is spent: all cases one after
/// the other, again and again, each batch against the one before of the same case, as when a suite
/// of benchmarks is run again. At least one comparison of each case.
///
/// # Errors
/// When a case can't be made or timed.
pub fn compare(
    ids: &[CaseId],
    time: Duration,
    seed: u64,
    told: &mut dyn FnMut(f64),
) -> Result<(Rate, f64), Failure> {
    let rule = settings().rule;
    let mut rng = SplitMix64::new(seed);
    let blueprints: Vec<Blueprint> = ids.iter().map(Blueprint::new).collect::<Result<_, _>>()?;
    let mut earlier: Vec<Option<Vec<f64>>> = vec![None; ids.len()];
    let (mut hits, mut trials, mut seconds) = (0, 0, 0.0);
    let begin = Instant::now();
    for round in 0.. {
        if round > 1 && begin.elapsed() >= time {
            break;
        }
        for (blueprint, earlier) in blueprints.iter().zip(&mut earlier) {
            told(begin.elapsed().as_secs_f64());
            let mut case = blueprint.verified(&mut Placement::new(rng.next_u64()))?;
            let started = Instant::now();
            let entrant = Entrant::new("the only side", &mut case);
            let batch = BATCH
                .take(entrant)
                .map_err(|failure| Failure::could_not_run(failure.message))?;
            seconds += started.elapsed().as_secs_f64();
            if let Some(earlier) = earlier {
                let called = rule.compare(earlier, &batch, rng.next_u64());
                let called = called.ok_or_else(|| {
                    Failure::could_not_run(format!("{}: a sample took no time", blueprint.id()))
                })?;
                trials += 1;
                hits += u64::from(called.changed);
            }
            *earlier = Some(batch);
        }
    }
    Ok((Rate::of(hits, trials), seconds))
}
