//! The suite `scaling`: the machine's limits, and how far the engine is from them.

use super::super::selection;
use super::Suite;
use super::measuring::Measuring;
use crate::exit::Failure;
use crate::limits;
use crate::run::{Measured, Section, SectionName, Selection};

/// Measures yardsticks, scaling, products and whole tokens.
///
/// # Errors
/// As [`limits::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Targets) {
        return Ok(());
    }
    let packed = m.packed()?;
    let plan = limits::Plan {
        model: &packed.model,
        source: m.source.source(),
        chosen: &packed.chosen,
        judge: &packed.judge,
        machine: m.machine,
        program: &std::env::current_exe()?,
        threads: m.threads,
        quick: m.quick,
        seed: m.seed,
    };
    let progress = m.progress;
    let limits = limits::run(&plan, &|title, steps| progress.stage(title, steps), &|| {
        progress.step()
    })?;
    if !m.suite.has(Suite::Ladder) {
        let selection = Selection {
            rows: selection::rows(&packed.model, &|n, k| packed.chosen.origin(n, k)),
            fallbacks: packed.model.fallbacks(),
        };
        m.record(Section::Selection(Measured::Is(selection)))?;
    }
    m.record(Section::Yardsticks(Measured::Is(limits.yardsticks)))?;
    m.record(Section::Scaling(Measured::Is(limits.scaling)))?;
    m.record(Section::Products(Measured::Is(limits.products)))?;
    m.record(Section::Prompts(Measured::Is(limits.prompts)))?;
    m.record(Section::Tokens(Measured::Is(limits.tokens)))?;
    m.record(Section::Targets(Measured::Is(limits.targets)))
}
