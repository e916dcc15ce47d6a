//! The suite `generation`: whole generations, and what the KV cache is worth to them.

use super::measuring::Measuring;
use crate::exit::Failure;
use crate::generation;
use crate::run::{Section, SectionName};

/// Times generations.
///
/// # Errors
/// As [`generation::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Generation) {
        return Ok(());
    }
    let packed = m.packed_or_tenth()?;
    let progress = m.progress;
    let found = generation::run(
        &m.plan(&packed),
        &|title, steps| progress.stage(title, steps),
        &|| progress.step(),
    )?;
    m.record(Section::Generation(found))
}
