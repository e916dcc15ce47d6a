//! What the processor does for a token, in words.

use super::finding::Mark;
use super::wording::{NBSP, number, or_why, unavailable};
use crate::run::{CostStudy, Costs, Measured};

/// Counters in a line.
pub fn line(study: &CostStudy) -> (Mark, String) {
    let grant = study.grant.get().map_or_else(String::new, |command| {
        format!(" (`{command}` would grant them)")
    });
    let counted = match &study.hardware {
        Measured::Is(costs) => whole(costs),
        Measured::Unavailable(why) => format!("{}{grant}", unavailable(why)),
    };
    let simulated = match &study.simulated {
        Measured::Is(costs) => whole(costs),
        Measured::Unavailable(why) => unavailable(why),
    };
    let mark = match study.hardware {
        Measured::Is(_) => Mark::Plain,
        Measured::Unavailable(_) => Mark::Unknown,
    };
    (mark, format!("hardware: {counted}; simulated: {simulated}"))
}

fn whole(costs: &Costs) -> String {
    let Some(part) = costs.parts.first() else {
        return "no part".into();
    };
    let percent = |x: &f64| format!("{}{NBSP}%", number(*x));
    format!(
        "{}, {} instructions, CPI {}, branch misses {}, L1 hits {} ({}; {})",
        part.part,
        or_why(&part.instructions, |x| number(*x)),
        or_why(&part.cpi, |x| number(*x)),
        or_why(&part.branch_miss_percent, percent),
        or_why(&part.l1_hit_percent, percent),
        costs.on,
        costs.source
    )
}
