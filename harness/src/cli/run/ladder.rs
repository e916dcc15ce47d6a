//! The suite `ladder`: the fixes, one at a time.

use bitgauge_engine::model::Source;

use super::super::summaries;
use super::measuring::Measuring;
use crate::exit::Failure;
use crate::run::{Measured, ModelSummary, Section, SectionName};
use crate::{ladder, yardsticks};

/// Climbs the ladder.
///
/// # Errors
/// As [`ladder::takes`] and [`ladder::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Ladder) {
        return Ok(());
    }
    // It packs models of its own.
    m.let_go();
    let whole = m.source.source().config();
    let cut = m.cut();
    let timed: &dyn Source = cut.as_ref().map_or(m.source.source(), |cut| cut);
    let plan = ladder::Plan {
        definition: m.definition,
        source: timed,
        layers_in_shape: whole.num_hidden_layers,
        trained: &m.trained,
        threads: m.threads,
        quick: m.quick,
        seed: m.seed,
        available_memory: m.machine.memory.available,
        last_level_cache: m.machine.cpu.last_level_cache(),
    };
    ladder::takes(&plan)?;
    let buffer = yardsticks::ReadBuffer::for_machine(m.machine);
    let mut bandwidth = buffer
        .and_then(|b| yardsticks::best_read_bandwidth(&b, m.threads))
        .ok();
    let progress = m.progress;
    let outcome = ladder::run(
        &plan,
        bandwidth.as_mut(),
        &|title, steps| progress.stage(title, steps),
        &|| progress.step(),
    )?;
    let model = ModelSummary {
        name: m.source.name(),
        layers_run: timed.config().num_hidden_layers,
        layers_in_shape: whole.num_hidden_layers,
        weights: summaries::weights(timed.config()),
        bytes_per_token: outcome.bytes_per_token,
    };
    m.record(Section::Model(Measured::Is(model)))?;
    m.record(Section::Selection(Measured::Is(outcome.selection)))?;
    m.record(Section::Profiles(Measured::Is(outcome.profiles)))?;
    m.record(Section::Ladder(Measured::Is(outcome.ladder)))
}
