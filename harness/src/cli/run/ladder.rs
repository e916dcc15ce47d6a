//! The suite `ladder`: the fixes, one at a time.

use bitgauge_engine::model::Source;

use super::super::summaries;
use super::measuring::Measuring;
use crate::exit::Failure;
use crate::machine::Surroundings;
use crate::run::{Ladder, Measured, ModelSummary, Section, SectionName};
use crate::{ladder, yardsticks};

/// Climbs the ladder, and records it before the masking matrix, which takes as long again.
///
/// # Errors
/// As [`ladder::takes`], [`ladder::run()`] and [`ladder::masking`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    let climbed = |m: &Measuring<'_>| m.store.run().ladder.get().cloned();
    let lacks_masking = climbed(m).is_some_and(|ladder| ladder.lacks_masking());
    if m.has(SectionName::Ladder) && !lacks_masking {
        return Ok(());
    }
    // It packs models of its own.
    m.let_go();
    let cut = m.cut();
    let named = m.source;
    let timed: &dyn Source = cut.as_ref().map_or(named.source(), |cut| cut);
    let trained = m.trained.clone();
    let plan = ladder::Plan {
        definition: m.definition,
        source: timed,
        layers_in_shape: named.source().config().num_hidden_layers,
        trained: &trained,
        threads: m.threads,
        quick: m.quick,
        seed: m.seed,
        available_memory: Surroundings::detect().obtainable(m.machine.memory.available),
        last_level_cache: m.machine.cpu.last_level_cache(),
    };
    ladder::takes(&plan)?;
    if !m.has(SectionName::Ladder) {
        climb(m, &plan)?;
    }
    let progress = m.progress;
    let masking = ladder::masking(&plan, &|title, steps| progress.stage(title, steps), &|| {
        progress.step()
    })?;
    match (masking, climbed(m)) {
        (Some(masking), Some(ladder)) => m.record(Section::Ladder(Measured::Is(Ladder {
            masking: Measured::Is(masking),
            ..ladder
        }))),
        _ => Ok(()),
    }
}

fn climb(m: &mut Measuring<'_>, plan: &ladder::Plan<'_>) -> Result<(), Failure> {
    let buffer = yardsticks::ReadBuffer::for_machine(m.machine);
    let mut bandwidth = buffer.and_then(|b| yardsticks::best_read_bandwidth(&b, m.threads));
    let progress = m.progress;
    let outcome = ladder::run(
        plan,
        bandwidth.as_mut().map_err(|why| why.to_string()),
        &|title, steps| progress.stage(title, steps),
        &|| progress.step(),
    )?;
    let model = ModelSummary {
        name: m.source.name(),
        layers_run: plan.source.config().num_hidden_layers,
        layers_in_shape: plan.layers_in_shape,
        weights: summaries::weights(plan.source.config()),
        bytes_per_token: outcome.bytes_per_token,
    };
    m.record(Section::Model(Measured::Is(model)))?;
    m.record(Section::Selection(outcome.selection))?;
    m.record(Section::Profiles(Measured::Is(outcome.profiles)))?;
    m.record(Section::Ladder(Measured::Is(outcome.ladder)))
}
