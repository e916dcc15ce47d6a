//! Imported times beside our own, on one axis.

use std::path::Path;

use super::Imported;
use crate::export::{self, ExportError};
use crate::report::chart::Chart;
use crate::report::chart::beside::{Bar, beside};
use crate::run::{self, Measured, Run, RunError};
use crate::verdicts::Verdicts;

/// The times of a run folder of ours: of `verdicts.json`, else of `run.json`.
///
/// # Errors
/// The folder has neither, or the file can't be read.
pub fn ours(dir: &Path) -> Result<(String, Vec<Bar>), ExportError> {
    match export::read(dir) {
        Ok(verdicts) => Ok(of_verdicts(&verdicts)),
        Err(ExportError::File(RunError::Missing { .. })) => Ok(of_run(&run::read(dir)?)),
        Err(other) => Err(other),
    }
}

fn of_verdicts(v: &Verdicts) -> (String, Vec<Bar>) {
    let bar = |c: &crate::verdicts::CaseVerdict| {
        Some(Bar {
            case: c.case.clone(),
            source: 0,
            ns: c.after_ns?,
            ends: None,
        })
    };
    (
        format!("bitgauge: {}", v.after.name),
        v.cases.iter().filter_map(bar).collect(),
    )
}

fn of_run(run: &Run) -> (String, Vec<Bar>) {
    let bar = |case: String, e: &run::Estimate, to_ns: f64| Bar {
        case,
        source: 0,
        ns: e.value * to_ns,
        ends: Some((e.low * to_ns, e.high * to_ns)),
    };
    let mut bars = Vec::new();
    if let Some(top) = run.ladder.get().and_then(|l| l.top()) {
        bars.push(bar(
            format!("decode a token, t{}", top.threads),
            &top.ms_token,
            1e6,
        ));
    }
    for product in run.products.get().into_iter().flatten() {
        if let Measured::Is(us) = &product.us {
            let name = format!(
                "{} {}x{} {} t{}",
                product.name, product.n, product.k, product.kernel, product.threads
            );
            bars.push(bar(name, us, 1e3));
        }
    }
    (format!("bitgauge: {}", run.name), bars)
}

/// The chart of our times and theirs; `None` when neither has a time. Counts are no times.
pub fn chart(ours: (String, Vec<Bar>), theirs: &Imported) -> Option<Chart> {
    let (name, mut bars) = ours;
    bars.extend(theirs.figures.iter().filter_map(|f| {
        let ends = f.interval.and_then(|i| {
            let (a, b) = (f.unit.nanoseconds(i.low)?, f.unit.nanoseconds(i.high)?);
            Some((a.min(b), a.max(b)))
        });
        Some(Bar {
            case: f.case.clone(),
            source: 1,
            ns: f.unit.nanoseconds(f.value)?,
            ends,
        })
    }));
    beside(&[name, theirs.tool.to_string()], &bars)
}
