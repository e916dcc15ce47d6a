//! The suite `cache`: prefetching, and the staircase of the machine's memory.

use bitgauge_engine::model::{Dispatch, Group, Place};

use super::super::selection;
use super::measuring::Measuring;
use crate::cache;
use crate::exit::Failure;
use crate::run::{Measured, Section, SectionName};
use crate::tuning;

/// Measures caches with the kernel of the model's largest product.
///
/// # Errors
/// As [`cache::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Cache) {
        return Ok(());
    }
    let chosen = selection::choose(None, m.no_tune, m.threads)?;
    let sizes = tuning::sizes(m.source.source().config());
    let largest = sizes.iter().max_by_key(|s| s.rows * s.cols);
    let Some(largest) = largest else {
        return m.record(Section::Cache(Measured::unavailable(
            "the model has no product",
        )));
    };
    let place = Place {
        layer: 0,
        group: Group::GateUp,
        rows: largest.rows,
        cols: largest.cols,
    };
    let plan = cache::Plan {
        machine: m.machine,
        kernel: chosen.choose(&place),
        cols: largest.cols,
        quick: m.quick,
        seed: m.seed,
    };
    let progress = m.progress;
    let found = cache::run(&plan, &|title, steps| progress.stage(title, steps), &|| {
        progress.step()
    })?;
    m.record(Section::Cache(Measured::Is(found)))
}
