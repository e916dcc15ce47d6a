//! Verdicts in the forms that people paste and that other tools read.
//!
//! Every form is a function of [`Verdicts`] alone. A figure that is not known is left out, or marked
//! by what the form offers for that; it is never written as 0. Case names come from outside and may
//! hold anything: each form escapes them by its own rules.

pub mod action_benchmark;
pub mod annotations;
pub mod bmf;
mod csv;
mod folder;
mod html;
pub mod junit;
mod markdown;
mod words;

pub use csv::table as csv;
pub use folder::{ExportError, VERDICTS_FILE, documents, folder, read};
pub use html::page as html;
pub use markdown::report as markdown;
pub use words::{figures, headline, quoted};

use crate::measure::Verdict;
use crate::verdicts::{CaseVerdict, Times, Verdicts};

/// The cases with this verdict; the largest change comes first.
pub(crate) fn with(v: &Verdicts, verdict: Verdict) -> Vec<&CaseVerdict> {
    let mut cases: Vec<_> = v.cases.iter().filter(|c| c.verdict == verdict).collect();
    let size = |c: &CaseVerdict| {
        let speedup = c.speedup.filter(|s| s.is_finite() && *s > 0.0);
        speedup.map_or(0.0, |s| s.max(1.0 / s))
    };
    cases.sort_by(|a, b| size(b).total_cmp(&size(a)));
    cases
}

/// What a reader of these verdicts must know about how they came to be.
///
/// Imported figures come from two runs of a foreign tool, one after the other, and no interval of
/// theirs covers what the machine did in between. Times that programs report are their own word.
pub fn caveat(v: &Verdicts) -> Option<&'static str> {
    match (interleaved(v), v.times) {
        (false, _) => Some(
            "The two sides were measured apart and not interleaved: a drift of the machine between \
             the two runs is not covered by the intervals.",
        ),
        (true, Times::Reported) => Some(
            "Times are seconds a token, as reported by the programs: their word is believed, and \
             what they leave out is not seen.",
        ),
        (true, Times::Taken) => None,
    }
}

/// Whether the sides took turns, so that there are blocks to count.
fn interleaved(v: &Verdicts) -> bool {
    v.command.split_whitespace().next() != Some(IMPORT)
}

/// [`Verdicts::command`] of verdicts on imported figures begins so.
pub const IMPORT: &str = "import";
