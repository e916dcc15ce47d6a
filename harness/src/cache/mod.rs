//! What the caches of this machine are to a product: prefetch distances over working sets from the
//! first level to memory, and the staircase of bandwidth and latency. One thread.

mod prefetch;
mod sets;
mod stairs;

use std::ops::ControlFlow;
use std::time::Duration;

use bitgauge_engine::kernels::Kernel;

use crate::exit::Failure;
use crate::machine::{CacheKind, Machine};
use crate::measure::{Entrant, Samples, Schedule, Stopped, round_robin};
use crate::run::{CacheLevel, CacheStudy, Measured};

/// What to measure.
pub struct Plan<'a> {
    /// This machine.
    pub machine: &'a Machine,
    /// The kernel of the product.
    pub kernel: Kernel,
    /// Columns of the product.
    pub cols: usize,
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Seed of values and orders.
    pub seed: u64,
}

/// Measures both.
///
/// # Errors
/// When a product or a yardstick is wrong.
pub fn run(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<CacheStudy, Failure> {
    let levels = levels(plan.machine);
    let prefetch = prefetch::measure(plan, &levels, stage, step)?;
    Ok(CacheStudy {
        prefetch,
        stairs: stairs::measure(plan, stage, step)?,
        levels: match levels.is_empty() {
            true => Measured::unavailable("the system does not say which caches there are"),
            false => Measured::Is(levels),
        },
    })
}

fn levels(machine: &Machine) -> Vec<CacheLevel> {
    let caches = machine.cpu.caches.iter().flatten();
    let mut levels: Vec<CacheLevel> = caches
        .filter(|c| c.kind != CacheKind::Instruction)
        .map(|c| CacheLevel {
            level: c.level,
            bytes: c.bytes,
            shared_by: Measured::or(c.shared_by, "the system does not say who shares it"),
        })
        .collect();
    levels.sort_by_key(|c| c.level);
    levels
}

/// Interleaved rounds over all entrants.
fn race(
    plan: &Plan<'_>,
    entrants: &mut [Entrant<'_>],
    step: &dyn Fn(),
) -> Result<Samples, Failure> {
    let schedule = Schedule {
        seed: plan.seed,
        warmup_rounds: 1,
        max_rounds: rounds(plan.quick),
        max_time: Duration::from_secs(3600),
        min_slice: Some(Duration::from_millis(if plan.quick { 2 } else { 6 })),
    };
    let run = round_robin::run(entrants, &schedule, &mut |_| {
        step();
        ControlFlow::Continue(())
    });
    match run.stopped {
        Stopped::Failed { case, failure } => {
            Err(Failure::could_not_run(format!("{case}: {failure}")))
        }
        _ => Ok(run.samples),
    }
}

/// Rounds of a race; six are the fewest whose range covers the median with 95 %.
fn rounds(quick: bool) -> usize {
    if quick { 6 } else { 13 }
}

/// The most bytes of a working set: a power of two, and no more than an eighth of the free memory.
/// Making large sets is what the short form has no time for.
fn most_bytes(plan: &Plan<'_>) -> u64 {
    let most = if plan.quick { 256 << 20 } else { 1 << 30 };
    let free = plan.machine.memory.available;
    let affordable = free.map_or(64 << 20, |free| free / 8);
    match affordable.min(most) {
        0 => 0,
        bytes => 1 << bytes.ilog2(),
    }
}
