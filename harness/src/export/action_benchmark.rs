//! What github-action-benchmark reads: <https://github.com/benchmark-action/github-action-benchmark>.
//!
//! Its custom tools take a list of `{name, unit, value, range?, extra?}`. An empty list makes the
//! action fail, which is what nothing measured should do.

use serde::Serialize;

use super::words::{figures, interval, real};
use crate::verdicts::{CaseVerdict, Verdicts};

/// One point of a chart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// The case.
    pub name: String,
    /// Unit of the value.
    pub unit: &'static str,
    /// The value.
    pub value: f64,
    /// Its interval, as text; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// What the point's note says.
    pub extra: String,
}

/// `customSmallerIsBetter`: nanoseconds an iteration of "after". Cases whose time is not known are
/// left out.
pub fn smaller_is_better(v: &Verdicts) -> Vec<Entry> {
    entries(v, |c| {
        let value = real(c.after_ns)?;
        Some(("ns", value, None))
    })
}

/// `customBiggerIsBetter`: the speedup of "after" against "before", with its interval. Cases without
/// a speedup are left out.
pub fn bigger_is_better(v: &Verdicts) -> Vec<Entry> {
    entries(v, |c| {
        let value = real(c.speedup)?;
        let bounded = real(c.low).is_some() || real(c.high).is_some();
        Some(("×", value, bounded.then(|| interval(c))))
    })
}

fn entries(
    v: &Verdicts,
    point: impl Fn(&CaseVerdict) -> Option<(&'static str, f64, Option<String>)>,
) -> Vec<Entry> {
    let entry = |c: &CaseVerdict| {
        let (unit, value, range) = point(c)?;
        Some(Entry {
            name: c.case.clone(),
            unit,
            value,
            range,
            extra: format!("{}: {}", c.verdict, figures(c)),
        })
    };
    v.cases.iter().filter_map(entry).collect()
}
