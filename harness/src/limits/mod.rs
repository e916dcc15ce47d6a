//! How far the engine is from what the machine can do: the yardsticks, decoding over threads, and
//! each product's distance from the read bandwidth, all from one interleaved run; the other phases
//! over threads each in one of their own.

mod products;
mod prompts;
mod race;
mod taken;
mod targets;
mod tokens;

use std::path::Path;
use std::time::Duration;

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source};

use crate::decoder::cases::Choice;
use crate::decoder::clock::watch;
use crate::decoder::judge::Judge;
use crate::exit::Failure;
use crate::machine::Machine;
use crate::run::{self, Yardsticks};
use crate::scaling::{self, Curve, Phase, Rival, Team, thread_counts};
use crate::tuning::Chosen;
use race::{Contestants, MachineLimits};
use tokens::Cases;

/// What to measure, and on what.
pub struct Plan<'a> {
    /// The model, with a quantised head.
    pub model: &'a Model,
    /// Its weights, for the oracle.
    pub source: &'a dyn Source,
    /// What selected the kernels that it was packed for.
    pub chosen: &'a Chosen,
    /// Who judges them.
    pub judge: &'a Judge,
    /// This machine.
    pub machine: &'a Machine,
    /// The program whose busy process takes a processor: this one.
    pub program: &'a Path,
    /// The most threads.
    pub threads: usize,
    /// Whether the short form was asked for.
    pub quick: bool,
    /// Seed of the orders.
    pub seed: u64,
}

/// What was measured.
pub struct Limits {
    /// The machine's own limits.
    pub yardsticks: Yardsticks,
    /// Speed over threads, phase by phase.
    pub scaling: Vec<run::ScalingPoint>,
    /// Each product's distance from the read bandwidth.
    pub products: Vec<run::Product>,
    /// Products of a batch against the int8 peaks.
    pub prompts: Vec<run::PromptProduct>,
    /// Whole tokens against the read bandwidth.
    pub tokens: Vec<run::WholeToken>,
    /// What was aimed at.
    pub targets: Vec<run::Target>,
}

/// Yardsticks run this long at a time at least: a thread that has just been woken reads slowly.
pub const YARDSTICK_SLICE: Duration = Duration::from_millis(20);

/// Measures everything.
///
/// # Errors
/// When the kernel answers wrongly, threads can't be had, or a case fails.
pub fn run(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Limits, Failure> {
    let counts = thread_counts(plan.threads);
    stage(
        "limits: read bandwidth and dot-product peak of this machine",
        counts.len(),
    );
    let machine = MachineLimits::find(plan, &counts, step);

    let teams = Team::all(&counts, Some(Rival::Contended), plan.model, plan.judge)?;
    let mut busy = Vec::new();
    for team in &teams {
        busy.push(watch(plan.model, &*team.scheduler)?.utilisation);
    }
    let cases = Cases::new(plan, &teams, counts.len())?;
    let mut contestants = Contestants::new(plan, machine, cases)?;

    let max_rounds = if plan.quick { 12 } else { 30 };
    stage(
        "limits: decoding on every number of threads, beside the yardsticks",
        max_rounds,
    );
    let (race, places) = contestants.race(plan, &teams, max_rounds, step)?;

    let yardsticks = contestants.yardsticks(&race, &places);
    let mut scaling = Curve::new(Phase::Decode, &race, &teams, &busy, plan.seed).points;
    // What the contended scheduler costs is seen in decoding.
    let pools = &teams[..counts.len()];
    scaling.extend(other_phases(plan, pools, stage, step)?);
    let cases = &contestants.cases;
    let products = products::table(plan, &cases.full, &teams, &yardsticks);
    let rates = |choice: Choice, pool: usize| match choice {
        Choice::Full => places.full[pool].rates(&race),
        Choice::Greedy => places.greedy[pool].rates(&race),
    };
    let tokens = tokens::table(plan, cases, &teams, &rates, &yardsticks);
    let prompts = prompts::measure(plan, stage, step)?;
    let config = plan.model.config();
    let targets = targets::all(&targets::Seen {
        products: &products,
        prompts: &prompts,
        tokens: &tokens,
        yardsticks: &yardsticks,
        tables: scaling::speedup(&race, places.naive.at, places.tables.at),
        taken: taken::measure(plan, stage, step)?,
        threads: plan.threads,
        head_weights: config.vocab_size * config.hidden_size,
        wide: Kernel::best().spec().isa() >= Isa::Avx512,
    });
    Ok(Limits {
        yardsticks,
        scaling,
        products,
        prompts,
        tokens,
        targets,
    })
}

/// Speed over threads of the phases other than decoding.
fn other_phases(
    plan: &Plan<'_>,
    pools: &[Team],
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<impl Iterator<Item = run::ScalingPoint>, Failure> {
    // A batch on the whole model takes a second and more: not for the short form.
    let phases = match plan.quick {
        true => &[Phase::Product][..],
        false => &[Phase::Prefill, Phase::Product],
    };
    let others = scaling::Plan {
        model: plan.model,
        source: plan.source,
        judge: plan.judge,
        phases,
        threads: plan.threads,
        rival: None,
        budget: Duration::from_secs(if plan.quick { 4 } else { 40 }),
        seed: plan.seed,
    };
    let curves = scaling::measure(&others, pools, stage, step)?;
    Ok(curves.into_iter().flat_map(|c| c.points))
}
