//! The suite `correctness`: checks, and the defects.

use super::super::{summaries, zoo};
use super::measuring::Measuring;
use crate::agreement;
use crate::exit::Failure;
use crate::run::{Checks, Measured, Section, SectionName};
use crate::verify::{self, Options};

/// Judges every kernel and the decoder, and re-enacts the defects.
///
/// # Errors
/// When a fixture can't be read.
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if !m.has(SectionName::Checks) {
        m.progress
            .stage("correctness: every kernel and the decoder", 0);
        let progress = m.progress;
        let done = verify::run(&Options::default(), &mut |check| progress.detail(&check.id))?;
        m.progress.stage("correctness: texts, numbers, depth", 0);
        let agreement = agreement::measure(&m.trained)?;
        let more = agreement::checks(&agreement);
        m.record(Section::Agreement(Measured::Is(agreement)))?;
        let list = done
            .checks
            .iter()
            .chain(&more)
            .map(summaries::check)
            .collect();
        m.record(Section::Checks(Measured::Is(Checks { list })))?;
    }
    if !m.has(SectionName::Defects) {
        m.progress.stage("correctness: the defects, re-enacted", 0);
        m.record(Section::Defects(Measured::Is(zoo::defects()?)))?;
    }
    Ok(())
}
