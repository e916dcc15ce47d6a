//! Timing setups against each other.
//!
//! All of them, and the memory's read bandwidth with them, run in one interleaved race, which gives
//! each its token/s and every comparison with a slow side. Two setups that are both fast then get
//! a duel of their own, with more and shorter blocks.

use std::ops::ControlFlow;
use std::time::Duration;

use crate::decoder::cases::Decode;
use crate::exit::Failure;
use crate::limits::YARDSTICK_SLICE;
use crate::measure::pair::{self, Stop};
use crate::measure::round_robin::{self, RoundRobin};
use crate::measure::stats::{Rules, fixed_blocks_interval, range_interval};
use crate::measure::{Entrant, Samples, Schedule, Stopped, Verified};
use crate::run::{self, Block, Estimate};
use crate::yardsticks::Yardstick;

/// What a race may cost.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Time for the race of all.
    pub race: Duration,
    /// Time for each duel.
    pub duel: Duration,
    /// Seed of the orders.
    pub seed: u64,
}

/// Fewest blocks for an interval at 95 %: the range of six covers the median with 97 %.
const LEAST_ROUNDS: usize = 6;
/// Most blocks worth their time.
const MOST_ROUNDS: usize = 60;
/// Confidence level of every interval of a ladder.
pub const LEVEL: f64 = 0.95;
/// A setup whose token takes longer is not worth duels of its own.
const SLOW: f64 = 0.3;

/// A finished race.
pub struct Race {
    run: RoundRobin,
    contestants: usize,
    bandwidth: Option<f64>,
}

/// How many rounds fit into a budget, set before the first of them: 6 to 60.
pub fn rounds(budget: Duration, seconds_a_round: f64) -> usize {
    ((budget.as_secs_f64() / seconds_a_round) as usize).clamp(LEAST_ROUNDS, MOST_ROUNDS)
}

/// Races `cases`, whose tokens take about `seconds` each, beside the read bandwidth.
///
/// # Errors
/// When a case fails.
pub fn race(
    cases: &mut [Verified<Decode<'_>>],
    seconds: &[f64],
    bandwidth: Option<&mut Verified<Yardstick>>,
    budget: Budget,
    step: &dyn Fn(usize, usize),
) -> Result<Race, Failure> {
    let contestants = cases.len();
    let work = bandwidth
        .as_ref()
        .map(|y| y.case().giga_work_per_iteration());
    let mut entrants: Vec<Entrant<'_>> = cases
        .iter_mut()
        .enumerate()
        .map(|(i, c)| Entrant::new(format!("setup {i}"), c))
        .collect();
    entrants.extend(bandwidth.map(|y| Entrant::new("read bandwidth", y)));
    let max_rounds = rounds(budget.race, 2.0 * seconds.iter().sum::<f64>());
    let schedule = Schedule {
        seed: budget.seed,
        warmup_rounds: 1,
        max_rounds,
        max_time: Duration::from_secs(3600),
        min_slice: Some(YARDSTICK_SLICE),
    };
    let run = round_robin::run(&mut entrants, &schedule, &mut |p| {
        step(p.rounds, max_rounds);
        ControlFlow::Continue(())
    });
    whole(&run.stopped)?;
    Ok(Race {
        run,
        contestants,
        bandwidth: work,
    })
}

fn whole(stopped: &Stopped) -> Result<(), Failure> {
    match stopped {
        Stopped::Failed { case, failure } => {
            Err(Failure::could_not_run(format!("{case}: {failure}")))
        }
        _ => Ok(()),
    }
}

impl Race {
    /// Seconds a token of setup `case`, one value a round.
    fn seconds(&self, case: usize) -> Vec<f64> {
        self.run
            .samples
            .ns_per_iteration(case)
            .into_iter()
            .map(|ns| ns * 1e-9)
            .collect()
    }

    /// Token/s of setup `case`.
    pub fn token_s(&self, case: usize) -> Option<Estimate> {
        estimate(
            &self
                .seconds(case)
                .iter()
                .map(|s| 1.0 / s)
                .collect::<Vec<_>>(),
        )
    }

    /// Milliseconds a token of setup `case`.
    pub fn ms_token(&self, case: usize) -> Option<Estimate> {
        estimate(
            &self
                .seconds(case)
                .iter()
                .map(|s| 1e3 * s)
                .collect::<Vec<_>>(),
        )
    }

    /// The read bandwidth in GB/s, from the same rounds.
    pub fn bandwidth(&self) -> Option<Estimate> {
        estimate(&self.run.samples.rates(self.contestants, self.bandwidth?))
    }

    /// Per cent of the read bandwidth at which setup `case` reads `bytes` a token: the median over
    /// rounds of the ratio within the round.
    pub fn percent_of_bandwidth(&self, case: usize, bytes: u64) -> Option<f64> {
        let limit = self.run.samples.rates(self.contestants, self.bandwidth?);
        let read = self
            .seconds(case)
            .into_iter()
            .map(|s| bytes as f64 * 1e-9 / s);
        Some(
            estimate(
                &read
                    .zip(limit)
                    .map(|(r, l)| 100.0 * r / l)
                    .collect::<Vec<_>>(),
            )?
            .value,
        )
    }

    /// Setup `before` against setup `after`: from the race, or from a duel when both are fast.
    ///
    /// # Errors
    /// When a case fails.
    pub fn compare(
        &self,
        cases: &mut [Verified<Decode<'_>>],
        before: usize,
        after: usize,
        budget: Budget,
    ) -> Result<(Estimate, Vec<Block>), Failure> {
        let median = |case| {
            self.run
                .ns_per_iteration(case)
                .map_or(f64::INFINITY, |ns| ns * 1e-9)
        };
        let rules = rules();
        if median(before).max(median(after)) > SLOW {
            let found = self.run.estimate(before, after, &rules, Stop::AfterBlocks);
            return Ok((bounded(&found)?, blocks(&self.run.samples, before, after)));
        }
        let Ok([a, b]) = cases.get_disjoint_mut([before, after]) else {
            return Err(Failure::could_not_run(
                "a setup can't be compared with itself",
            ));
        };
        duel(a, b, 2.0 * (median(before) + median(after)), budget)
    }
}

/// Two cases against each other, with the number of blocks set beforehand.
///
/// # Errors
/// When a case fails.
pub fn duel<T: crate::measure::Timed>(
    before: &mut Verified<T>,
    after: &mut Verified<T>,
    seconds_a_block: f64,
    budget: Budget,
) -> Result<(Estimate, Vec<Block>), Failure> {
    let schedule = Schedule {
        seed: budget.seed,
        warmup_rounds: 1,
        max_rounds: rounds(budget.duel, seconds_a_block),
        max_time: Duration::from_secs(3600),
        min_slice: None,
    };
    let (before, after) = (Entrant::new("before", before), Entrant::new("after", after));
    let go_on = &mut |_: &crate::measure::Progress| ControlFlow::Continue(());
    let done = pair::compare(before, after, &rules(), &schedule, Stop::AfterBlocks, go_on);
    whole(&done.stopped)?;
    Ok((bounded(&done.estimate)?, blocks(&done.samples, 0, 1)))
}

fn rules() -> Rules {
    Rules::default()
}

/// An estimate whose interval has both ends.
fn bounded(estimate: &crate::measure::Estimate) -> Result<Estimate, Failure> {
    match (estimate.speedup, estimate.low, estimate.high) {
        (Some(value), Some(low), Some(high)) => Ok(Estimate {
            value,
            low,
            high,
            level: LEVEL,
            blocks: estimate.blocks,
        }),
        _ => Err(Failure::could_not_run(format!(
            "{} blocks are too few for an interval; at least {LEAST_ROUNDS} are needed",
            estimate.blocks
        ))),
    }
}

/// Median and interval of values, one a round; `None` without rounds.
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let interval = fixed_blocks_interval(values, LEVEL).or_else(|| range_interval(values))?;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let value = match sorted.len() % 2 {
        0 => 0.5 * (sorted[middle - 1] + sorted[middle]),
        _ => sorted[middle],
    };
    let (low, high) = (interval.low, interval.high);
    Some(Estimate {
        value,
        low,
        high,
        level: LEVEL,
        blocks: values.len() as u64,
    })
}

/// The raw slices of two cases, block by block, in nanoseconds an iteration.
fn blocks(samples: &Samples, before: usize, after: usize) -> Vec<Block> {
    let slices = |round: &crate::measure::samples::Round, case: usize| {
        let at = round
            .order
            .iter()
            .position(|&c| c == case)
            .unwrap_or_default();
        let iterations = samples.cases()[case].iterations as f64;
        let ns = [round.ns[at], round.ns[round.ns.len() - 1 - at]];
        (at, ns.map(|ns| ns as f64 / iterations).to_vec())
    };
    let block = |round| {
        let (first, before_ns) = slices(round, before);
        let (second, after_ns) = slices(round, after);
        let order = if first < second { "ABBA" } else { "BAAB" };
        run::Block {
            order: order.into(),
            before_ns,
            after_ns,
        }
    };
    samples.rounds().iter().map(block).collect()
}
