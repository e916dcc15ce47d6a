//! How far the engine is from what the machine can do: the yardsticks, decoding over threads, and
//! each product's distance from the read bandwidth, all from one interleaved run; the other phases
//! over threads each in one of their own.

mod products;
mod prompts;
mod taken;
mod targets;
mod tokens;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Model, Source};

use crate::decoder::cases::Choice;
use crate::decoder::clock::watch;
use crate::decoder::judge::Judge;
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::machine::Machine;
use crate::measure::{Entrant, Schedule, Verified};
use crate::run::{self, Measured, Yardsticks};
use crate::scaling::{self, Curve, Phase, Rival, Team, thread_counts};
use crate::tuning::Chosen;
use crate::yardsticks::{self, Instruction, ReadBuffer, Yardstick};
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
    let buffer = ReadBuffer::for_machine(plan.machine);
    let mut bandwidth = Vec::new();
    for &threads in &counts {
        bandwidth.push(match &buffer {
            Ok(buffer) => yardsticks::best_read_bandwidth(&Arc::clone(buffer), threads),
            Err(unavailable) => Err(unavailable.clone()),
        });
        step();
    }
    let mut peaks: Vec<_> = Instruction::ALL
        .into_iter()
        .map(|i| (i, yardsticks::dot_peak(i, 1)))
        .collect();

    let teams = Team::all(&counts, Some(Rival::Contended), plan.model, plan.judge)?;
    let mut busy = Vec::new();
    for team in &teams {
        busy.push(watch(plan.model, &*team.scheduler)?.utilisation);
    }
    let mut cases = Cases::new(plan, &teams, counts.len())?;

    let mut naive = products::small(plan, "naive")?;
    let mut tables = products::small(plan, "tmac-scalar")?;

    let max_rounds = if plan.quick { 12 } else { 30 };
    stage(
        "limits: decoding on every number of threads, beside the yardsticks",
        max_rounds,
    );
    let mut entrants: Vec<Entrant<'_>> = cases
        .full
        .iter_mut()
        .zip(&teams)
        .map(|(c, t)| Entrant::new(t.name(), c))
        .collect();
    let greedy = cases.greedy.iter_mut().zip(&teams);
    entrants.extend(greedy.map(|(c, t)| Entrant::new(format!("{}, greedy", t.name()), c)));
    let first_yardstick = entrants.len();
    let yard = bandwidth
        .iter_mut()
        .chain(peaks.iter_mut().map(|(_, p)| p))
        .flatten();
    let mut giga = Vec::new();
    for yardstick in yard {
        giga.push(yardstick.case().giga_work_per_iteration());
        let name = yardstick.case().name().to_owned();
        entrants.push(Entrant::new(name, yardstick));
    }
    let naive_at = entrants.len();
    entrants.push(Entrant::new("naive", &mut naive));
    giga.push(products::small_work(plan));
    entrants.push(Entrant::new("tmac-scalar", &mut tables));
    let schedule = Schedule {
        seed: plan.seed,
        warmup_rounds: 1,
        max_rounds,
        max_time: Duration::from_secs(3600),
        min_slice: Some(YARDSTICK_SLICE),
    };
    let race = scaling::race(&mut entrants, &schedule, step)?;

    let mut rates = giga
        .iter()
        .enumerate()
        .map(|(i, work)| estimate(&race.samples.rates(first_yardstick + i, *work)));
    let mut next_rate = || {
        let none = || Measured::unavailable("no round was measured");
        rates.next().flatten().map_or_else(none, Measured::Is)
    };
    let mut rate = |result: &Result<Verified<Yardstick>, yardsticks::Unavailable>| match result {
        Err(unavailable) => Measured::unavailable(unavailable.why.clone()),
        Ok(_) => next_rate(),
    };
    let read_bandwidth: Vec<run::Yardstick> = counts
        .iter()
        .zip(&bandwidth)
        .map(|(&threads, result)| run::Yardstick {
            isa: result
                .as_ref()
                .map_or("any".into(), |y| y.case().name().to_owned()),
            threads,
            value: rate(result),
        })
        .collect();
    let int8_peak: Vec<run::Yardstick> = peaks
        .iter()
        .map(|(instruction, result)| run::Yardstick {
            isa: instruction.name().to_owned(),
            threads: 1,
            value: rate(result),
        })
        .collect();
    let naive = vec![run::Yardstick {
        isa: "portable".into(),
        threads: 1,
        value: next_rate(),
    }];
    let yardsticks = Yardsticks {
        read_bandwidth,
        int8_peak,
        naive,
    };
    let mut scaling = Curve::new(Phase::Decode, &race, &teams, &busy, plan.seed).points;
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
    // What the contended scheduler costs is seen in decoding.
    let pools = &teams[..counts.len()];
    let curves = scaling::measure(&others, pools, stage, step)?;
    scaling.extend(curves.into_iter().flat_map(|c| c.points));
    let products = products::table(plan, &cases.full, &teams, &yardsticks);
    let rates = |choice: Choice, pool: usize| match choice {
        Choice::Full => race.samples.rates(pool, 1.0),
        Choice::Greedy => race.samples.rates(teams.len() + pool, 1.0),
    };
    let tokens = tokens::table(plan, &cases, &teams, &rates, &yardsticks);
    let prompts = prompts::measure(plan, stage, step)?;
    let config = plan.model.config();
    let targets = targets::all(&targets::Seen {
        products: &products,
        prompts: &prompts,
        tokens: &tokens,
        yardsticks: &yardsticks,
        tables: scaling::speedup(&race, naive_at, naive_at + 1),
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
