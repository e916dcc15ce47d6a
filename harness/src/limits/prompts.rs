//! Products of a batch of tokens against the int8 peak of their instructions, in one interleaved run.

use std::time::Duration;

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::{Kernel, available};
use bitgauge_engine::model::Group;
use bitgauge_engine::session::BATCH;

use super::{Plan, YARDSTICK_SLICE};
use crate::exit::Failure;
use crate::measure::{Entrant, Schedule};
use crate::run::{Measured, PromptProduct};
use crate::scaling;
use crate::suite::{Blueprint, CaseId, Placement};
use crate::yardsticks::{Instruction, dot_peak};

struct Row {
    instruction: Instruction,
    /// Which of the peaks is its.
    peak: usize,
    group: Group,
    /// N and K.
    shape: (usize, usize),
    kernel: Kernel,
}

/// The matrices of the model's first layer, by the fastest kernel of every instruction that can run
/// here, on one thread.
///
/// # Errors
/// When a product is wrong, or a case fails.
pub fn measure(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Vec<PromptProduct>, Failure> {
    let mut peaks = Vec::new();
    let mut table = Vec::new();
    let mut cases = Vec::new();
    let config = plan.model.config();
    for instruction in Instruction::ALL {
        let Some(kernel) = fastest(instruction) else {
            continue;
        };
        // Where its instruction runs, the kernel can't be had without it.
        let Ok(peak) = dot_peak(instruction, 1) else {
            continue;
        };
        stage(
            &format!("limits: judging prompts by {}", kernel.spec().name()),
            0,
        );
        for group in Group::ALL {
            let (n, k) = group.shape(config);
            let id = format!("prefill-{BATCH}/{n}x{k}/{}/1t", kernel.spec().name());
            let id: CaseId = id
                .parse()
                .map_err(|e: crate::suite::IdError| Failure::could_not_run(e.to_string()))?;
            let case = Blueprint::new(&id).and_then(|b| b.verified(&mut Placement::fresh()));
            cases.push(case.map_err(|error| Failure {
                exit: error.exit(),
                message: error.to_string(),
            })?);
            table.push(Row {
                instruction,
                peak: peaks.len(),
                group,
                shape: (n, k),
                kernel,
            });
        }
        peaks.push(peak);
    }
    let rounds = if plan.quick { 6 } else { 12 };
    stage("limits: prompts beside the int8 peaks", rounds);
    let operations: Vec<f64> = peaks
        .iter()
        .map(|peak| peak.case().giga_work_per_iteration())
        .collect();
    let names: Vec<String> = peaks.iter().map(|p| p.case().name().to_owned()).collect();
    let mut entrants: Vec<Entrant<'_>> = peaks
        .iter_mut()
        .zip(names)
        .map(|(peak, name)| Entrant::new(name, peak))
        .collect();
    for case in &mut cases {
        let name = case.case().id().to_string();
        entrants.push(Entrant::new(name, case));
    }
    let schedule = Schedule {
        seed: plan.seed,
        warmup_rounds: 1,
        max_rounds: rounds,
        max_time: Duration::MAX,
        min_slice: Some(YARDSTICK_SLICE),
    };
    let race = scaling::race(&mut entrants, &schedule, step)?;
    let row = |(i, row): (usize, Row)| {
        let (n, k) = row.shape;
        let giga = (2 * n * k * BATCH) as f64 * 1e-9;
        // What the peak takes for its operations, over what the product takes for its own.
        let share = 100.0 * giga / operations[row.peak];
        let case = operations.len() + i;
        PromptProduct {
            name: row.group.name().into(),
            n,
            k,
            tokens: BATCH,
            kernel: row.kernel.spec().name().into(),
            instruction: row.instruction.name().into(),
            gops: Measured::or(race.rate(case, giga), "no round was measured"),
            percent_of_peak: scaling::speedup(&race, row.peak, case).map(|e| e.scaled(share)),
        }
    };
    Ok(table.into_iter().enumerate().map(row).collect())
}

/// The fastest kernel that is made of `instruction`. One with vectors of 512 bits and without VNNI
/// has no peak of its own here, and the AVX2 one is not its.
fn fastest(instruction: Instruction) -> Option<Kernel> {
    let isa = |kernel: &Kernel| kernel.spec().isa();
    let own = |kernel: &Kernel| isa(kernel) != Isa::Avx512;
    let of = |kernel: &Kernel| Instruction::of(isa(kernel)) == Some(instruction);
    available().filter(own).filter(of).last()
}
