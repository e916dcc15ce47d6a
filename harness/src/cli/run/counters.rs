//! The suite `counters`: what the processor does for a token.

use super::measuring::Measuring;
use crate::costs;
use crate::exit::Failure;
use crate::run::{Measured, Section, SectionName};

/// Counts and simulates.
///
/// # Errors
/// As [`costs::run`].
pub fn measure(m: &mut Measuring<'_>) -> Result<(), Failure> {
    if m.has(SectionName::Counters) {
        return Ok(());
    }
    let progress = m.progress;
    let stage = |title: &str, steps| progress.stage(title, steps);
    let packed = match costs::granted() {
        true => Some(m.packed_or_tenth()?),
        false => None,
    };
    let plan = packed.as_ref().map(|packed| m.plan(packed));
    let found = costs::run(plan.as_ref(), &m.trained, m.quick, &stage)?;
    m.record(Section::Counters(Measured::Is(found)))
}
