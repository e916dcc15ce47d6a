//! Verdicts as lines of text.

use crate::exit::Failure;
use crate::export;
use crate::measure::Verdict;
use crate::report::wording::fixed;
use crate::run::Measured;
use crate::verdicts::{CaseVerdict, Verdicts};

use super::output::Output;

/// Writes a table, gravest cases last where the eye ends, and a sentence that sums it up.
///
/// # Errors
/// When the output is closed.
pub fn write(verdicts: &Verdicts, output: Output) -> Result<(), Failure> {
    let mut cases: Vec<&CaseVerdict> = verdicts.cases.iter().collect();
    cases.sort_by_key(|c| gravity(c.verdict));
    let width = cases.iter().map(|c| c.case.len()).max().unwrap_or(4).max(4);
    output.line(format!("before: {}", verdicts.before.name))?;
    output.line(format!("after:  {}", verdicts.after.name))?;
    if !cases.is_empty() {
        output.line(format!(
            "{:<width$}  {:<9}  {:>8}  {:<17}  {:>6}  {:>7}",
            "case", "verdict", "speedup", "95 % interval", "blocks", "seconds"
        ))?;
    }
    for c in cases {
        let figure = |x: Option<f64>| x.map_or("?".to_owned(), |x| fixed(x, 4));
        output.line(format!(
            "{:<width$}  {:<9}  {:>8}  {:<17}  {:>6}  {:>7.2}",
            c.case,
            c.verdict,
            figure(c.speedup),
            format!("{} to {}", figure(c.low), figure(c.high)),
            c.blocks,
            c.seconds,
        ))?;
    }
    for c in &verdicts.not_checked {
        output.line(format!("NOT CHECKED {}: {}", c.case, c.why))?;
    }
    match &verdicts.counters {
        None => {}
        Some(Measured::Unavailable(why)) => {
            output.line(format!("counters: unavailable: {why}"))?;
        }
        Some(Measured::Is(cases)) => {
            for case in cases {
                match &case.counts {
                    Measured::Is(counts) => output.line(format!("{}\n{counts}", case.case))?,
                    Measured::Unavailable(why) => {
                        output.line(format!("{}: counters unavailable: {why}", case.case))?;
                    }
                }
            }
        }
    }
    if let Some(caveat) = export::caveat(verdicts) {
        output.line(format!("Mind: {caveat}"))?;
    }
    output.line(summary(verdicts))
}

fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unchanged => 0,
        Verdict::Improved => 1,
        Verdict::Unclear => 2,
        Verdict::Regressed => 3,
    }
}

/// The whole in one line.
pub fn summary(verdicts: &Verdicts) -> String {
    let count = |verdict| {
        verdicts
            .cases
            .iter()
            .filter(|c| c.verdict == verdict)
            .count()
    };
    let mut text = format!(
        "{} regressed, {} improved, {} unchanged, {} unclear",
        count(Verdict::Regressed),
        count(Verdict::Improved),
        count(Verdict::Unchanged),
        count(Verdict::Unclear),
    );
    if !verdicts.not_checked.is_empty() {
        text.push_str(&format!(", {} NOT CHECKED", verdicts.not_checked.len()));
    }
    text.push_str(&format!(
        " (margin {} %, {}; speedup = time of before / time of after)",
        trimmed(100.0 * verdicts.margin),
        verdicts.margin_from
    ));
    text
}

/// At most three decimals, without zeros at the end.
fn trimmed(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
