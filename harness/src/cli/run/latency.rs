//! The suite `latency`: single tokens.

use super::measuring::Measuring;
use crate::exit::Failure;
use crate::latency;
use crate::run::{Section, SectionName};

/// Times single tokens.
///
/// # Errors
/// As [`latency::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Latency) {
        return Ok(());
    }
    let packed = m.packed_or_tenth()?;
    let progress = m.progress;
    let found = latency::run(
        &m.plan(&packed),
        &|title, steps| progress.stage(title, steps),
        &|| progress.step(),
    )?;
    m.record(Section::Latency(found))
}
