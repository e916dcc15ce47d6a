//! The table of what the processor does for a token.

use super::super::table::Kind::{Number, Text};
use super::super::table::{Cell, Table};
use crate::run::{CostStudy, Measured};

/// Counted and simulated parts of a token.
pub fn costs(study: &CostStudy) -> Table {
    let sources = [
        ("counted", &study.hardware),
        ("simulated", &study.simulated),
    ];
    let said = sources.map(|(how, costs)| match costs {
        Measured::Is(c) => format!(
            "{how}, mean of {} tokens of {}: {}",
            c.tokens, c.on, c.source
        ),
        Measured::Unavailable(why) => format!("{how}: unavailable: {why}"),
    });
    let grant = study.grant.get().map_or_else(String::new, |command| {
        format!(". To have counters: {command}")
    });
    let mut t = Table::new(
        "counters",
        format!(
            "What the processor does for a token; {}{grant}",
            said.join(". ")
        ),
        &[
            ("source", "Source", Text),
            ("part", "Part", Text),
            ("instructions", "Instructions", Number),
            ("cpi", "CPI", Number),
            ("branch_miss_percent", "Branch misses, %", Number),
            ("l1_hit_percent", "L1 hits, %", Number),
            ("l2_hit_percent", "L2 hits, %", Number),
            ("llc_hit_percent", "Last-level hits, %", Number),
            ("gb_s", "GB/s", Number),
        ],
    );
    for (how, costs) in sources {
        for p in costs.get().iter().flat_map(|c| &c.parts) {
            t.push(vec![
                Cell::Text(how.into()),
                Cell::Text(p.part.clone()),
                Cell::number(&p.instructions),
                Cell::number(&p.cpi),
                Cell::number(&p.branch_miss_percent),
                Cell::number(&p.l1_hit_percent),
                Cell::number(&p.l2_hit_percent),
                Cell::number(&p.llc_hit_percent),
                Cell::number(&p.gb_s),
            ]);
        }
    }
    t
}
