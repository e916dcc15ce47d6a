//! One size of matrix: all kernels, judged, then timed in one interleaved run a phase.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::threads::Scheduler;

use super::choice::{Candidate, Race};
use super::{Entry, Goal, Size};
use crate::exit::Failure;
use crate::measure::pair::{self, Stop};
use crate::measure::round_robin::{self, RoundRobin};
use crate::measure::stats::Rules;
use crate::measure::{Entrant, Schedule, SplitMix64, Stopped, Timed, Verified};
use crate::run::{self, rfc3339};
use crate::suite::{CaseId, Rotation, SuiteError};

/// How sizes are measured.
pub struct Plan<'a> {
    /// Who races; the detected kernel does in any case.
    pub kernels: &'a [Kernel],
    /// How rows are spread, over how many threads.
    pub scheduler: Arc<dyn Scheduler>,
    /// Bytes that a token of the model reads from its matrices: each kernel has copies for so
    /// many, up to `FAR`.
    pub token_bytes: usize,
    /// Whose choice is followed.
    pub goal: Goal,
    /// Time for one race, about; `LEAST_ROUNDS` are run in any case.
    pub budget: Duration,
    /// Seed of the orders.
    pub seed: u64,
}

/// Bytes of the copies of one kernel at most. Two slices of a kernel may follow one another: if they
/// read a copy twice, the second time would come from a cache, and the more so the faster the kernel.
/// Between that pair and the next, all other kernels read theirs.
const FAR: usize = 128 << 20;

/// A slice is so long at least, as threads that have just been woken are slow; and not much longer,
/// so that two read far less than [`FAR`].
const SLICE: Duration = Duration::from_micros(300);

/// Enough for the intervals of up to ten kernels: the range of twelve rounds misses the median with
/// a probability of 2^-11.
const LEAST_ROUNDS: usize = 12;
/// Most rounds worth their time.
const MOST_ROUNDS: usize = 60;

/// The probability that any interval of a race misses its truth, at most.
const MISSED: f64 = 0.05;

/// Judges and races the kernels of `plan` on a size, in both phases.
///
/// # Errors
/// When a kernel answers wrongly, or can't be timed.
pub fn measure(
    size: &Size,
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Entry, Failure> {
    let Size { rows, cols, .. } = *size;
    let threads = plan.scheduler.threads();
    let kernels = with_detected(plan.kernels);
    stage(&format!("tune: judging {rows}x{cols}"), kernels.len());
    let mut sides: [Vec<Verified<Rotation>>; 2] = [Vec::new(), Vec::new()];
    for &kernel in &kernels {
        let name = kernel.spec().name();
        let id = |phase: &str| -> Result<CaseId, SuiteError> {
            Ok(format!("{phase}/{rows}x{cols}/{name}/{threads}t").parse()?)
        };
        let pair = id("decode").and_then(|decode| {
            let ids = [decode, id("prefill")?];
            Rotation::pair(&ids, kernel, copies(size, kernel, plan), &plan.scheduler)
        });
        let pair = pair.map_err(|error| Failure {
            exit: error.exit(),
            message: error.to_string(),
        })?;
        for (side, case) in sides.iter_mut().zip(pair) {
            side.push(case);
        }
        step();
    }
    let mut rng = SplitMix64::new(plan.seed);
    let mut race = |phase: &str, cases: &mut [Verified<Rotation>]| {
        let title = format!("tune: {phase} {rows}x{cols}");
        timed(
            &kernels,
            cases,
            plan,
            rng.next_u64(),
            &|n| stage(&title, n),
            step,
        )
    };
    let [decode, prefill] = &mut sides;
    Ok(Entry {
        rows,
        cols,
        threads,
        measured: rfc3339(SystemTime::now()),
        goal: plan.goal,
        decode: race("decode", decode)?,
        prefill: race("prefill", prefill)?,
    })
}

/// The detected kernel and `kernels`, in the order of the engine's table.
fn with_detected(kernels: &[Kernel]) -> Vec<Kernel> {
    let races = |kernel: &Kernel| *kernel == Kernel::best() || kernels.contains(kernel);
    bitgauge_engine::kernels::available()
        .filter(races)
        .collect()
}

/// Copies of a kernel's matrix: as many bytes as a token of the model reads, up to [`FAR`].
fn copies(size: &Size, kernel: Kernel, plan: &Plan<'_>) -> usize {
    let bits = (size.rows * size.cols) as f64 * kernel.spec().bits_per_weight();
    let bytes = (bits / 8.0).max(1.0) as usize;
    plan.token_bytes.min(FAR).div_ceil(bytes).max(1)
}

/// Races one phase.
fn timed(
    kernels: &[Kernel],
    cases: &mut [Verified<Rotation>],
    plan: &Plan<'_>,
    seed: u64,
    stage: &dyn Fn(usize),
    step: &dyn Fn(),
) -> Result<Race, Failure> {
    let mut entrants: Vec<Entrant<'_>> = kernels
        .iter()
        .zip(cases)
        .map(|(kernel, case)| Entrant::new(kernel.spec().name(), case))
        .collect();
    let mut round = Duration::ZERO;
    for entrant in &mut entrants {
        entrant.time(1)?;
        round += 2 * entrant.time(1)?.max(SLICE);
    }
    // Set before the first of them is seen, as the interval assumes.
    let rounds = (plan.budget.as_secs_f64() / round.as_secs_f64()) as usize;
    let max_rounds = rounds.clamp(LEAST_ROUNDS, MOST_ROUNDS);
    stage(max_rounds);
    let schedule = Schedule {
        seed,
        warmup_rounds: 1,
        max_rounds,
        max_time: Duration::from_secs(3600),
        min_slice: Some(SLICE),
    };
    let mut seen = 0;
    let run = round_robin::run(&mut entrants, &schedule, &mut |progress| {
        if progress.rounds > seen {
            seen = progress.rounds;
            step();
        }
        ControlFlow::Continue(())
    });
    if let Stopped::Failed { case, failure } = &run.stopped {
        return Err(Failure::could_not_run(format!("{case}: {failure}")));
    }
    decide(kernels, &run)
}

fn decide(kernels: &[Kernel], run: &RoundRobin) -> Result<Race, Failure> {
    let detected = Kernel::best();
    let name = |kernel: Kernel| kernel.spec().name().to_owned();
    let before = kernels.iter().position(|k| *k == detected).unwrap_or(0);
    let others = (kernels.len() - 1).max(1);
    let rules = Rules::new(0.0, MISSED, 1.0 - MISSED / others as f64)?;
    let mut candidates = Vec::new();
    for (at, &kernel) in kernels.iter().enumerate() {
        let none = || Failure::could_not_run(format!("{}: no round was timed", name(kernel)));
        let ns = run.ns_per_iteration(at).ok_or_else(none)?;
        let speedup = match at == before {
            true => None,
            false => {
                let found = run.estimate(before, at, &rules, Stop::AfterBlocks);
                Some(estimate(&found).ok_or_else(none)?)
            }
        };
        candidates.push(Candidate {
            kernel: name(kernel),
            us: ns / 1e3,
            speedup,
        });
    }
    Ok(Race::decided(name(detected), candidates))
}

fn estimate(found: &pair::Estimate) -> Option<run::Estimate> {
    Some(run::Estimate {
        value: found.speedup?,
        low: found.low?,
        high: found.high?,
        level: found.level,
        blocks: found.blocks,
    })
}
