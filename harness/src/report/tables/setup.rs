//! Tables of what was run: kernels, which linear ran which, what was left out.

use super::super::finding::Mark;
use super::super::table::Kind::{Number, Text};
use super::super::table::{Cell, Table};
use super::super::wording::{NBSP, number};
use crate::run::{KernelRow, Measured, Origin, Selection, Totals};

/// The kernel table.
pub fn kernels(kernels: &[KernelRow]) -> Table {
    let mut t = Table::new(
        "kernels",
        "The kernels",
        &[
            ("name", "Kernel", Text),
            ("idea", "Idea", Text),
            ("isa", "ISA", Text),
            ("bits_per_weight", "Bits per weight", Number),
            ("available", "Here", Text),
        ],
    );
    for k in kernels {
        t.push(vec![
            Cell::Code(k.name.clone()),
            Cell::Text(k.idea.clone()),
            Cell::Text(k.isa.clone()),
            Cell::Number(k.bits_per_weight),
            match &k.available {
                Measured::Is(()) => Cell::Verdict(Mark::Held, "runs".into()),
                Measured::Unavailable(why) => Cell::Missing(why.clone()),
            },
        ]);
    }
    t
}

/// Which kernel each linear ran.
pub fn selection(s: &Selection) -> Table {
    let mut t = Table::new(
        "selection",
        format!(
            "Which kernel each linear ran. Fallbacks to a slower path than the machine has: {}",
            s.fallbacks
        ),
        &[
            ("layers", "Layers", Text),
            ("linear", "Linear", Text),
            ("kernel", "Kernel", Text),
            ("fallback", "Path", Text),
        ],
    );
    for r in &s.rows {
        t.push(vec![
            Cell::Text(if r.first_layer == r.last_layer {
                r.first_layer.to_string()
            } else {
                format!("{} to {}", r.first_layer, r.last_layer)
            }),
            Cell::Code(r.linear.clone()),
            Cell::Code(r.kernel.clone()),
            if r.fallback {
                Cell::Verdict(Mark::Broken, "fallback".into())
            } else {
                let how = r.origin.map_or("as selected", Origin::name);
                Cell::Verdict(Mark::Held, how.into())
            },
        ]);
    }
    t
}

/// What was left out.
pub fn skipped(totals: &Totals) -> Table {
    let mut t = Table::new(
        "skipped",
        format!(
            "What was left out. The run took {}{NBSP}s",
            number(totals.seconds)
        ),
        &[("what", "What", Text), ("why", "Why", Text)],
    );
    for s in &totals.skipped {
        t.push(vec![Cell::Text(s.what.clone()), Cell::Text(s.why.clone())]);
    }
    t
}
