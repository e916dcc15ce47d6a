//! The tables of a run.

mod answers;
mod ladder;
mod limits;
mod setup;

pub use answers::{checks, defects};
pub use ladder::{claims, isolated, masking, rungs, samples_csv};
pub use limits::{products, profiles, scaling, tokens, yardsticks};
pub use setup::{kernels, selection, skipped};

use super::table::{Cell, Table};
use super::wording::number;
use crate::run::{Measured, Run};

/// Names of all tables that this build can write, that of the raw samples included.
pub const NAMES: [&str; 15] = [
    "claims",
    "steps",
    "isolated",
    "masking",
    "parts",
    "products",
    "tokens",
    "yardsticks",
    "scaling",
    "checks",
    "defects",
    "kernels",
    "selection",
    "skipped",
    "samples",
];

/// Every table of the run that has data, in the order of the page.
pub fn all(run: &Run) -> Vec<Table> {
    let ladder = run.ladder.as_ref();
    let tables = [
        ladder.clone().map(claims),
        ladder.clone().map(|l| rungs(run, l)),
        ladder.clone().map(isolated),
        match run.ladder.get().map(|l| &l.masking) {
            Some(Measured::Is(m)) => Measured::Is(masking(m)),
            _ => Measured::unavailable(""),
        },
        run.profiles.as_ref().map(|p| profiles(p)),
        run.products.as_ref().map(|p| products(p)),
        run.tokens.as_ref().map(|t| tokens(t)),
        run.yardsticks.as_ref().map(yardsticks),
        run.scaling.as_ref().map(|s| scaling(s)),
        run.checks.as_ref().map(|c| checks(c, |_| true)),
        run.defects.as_ref().map(|d| defects(d)),
        run.kernels.as_ref().map(|k| kernels(k)),
        run.selection.as_ref().map(selection),
        run.totals.as_ref().map(skipped),
    ];
    tables.iter().filter_map(Measured::get).cloned().collect()
}

/// Per cent of each worker: `97, 96`.
fn utilisation(value: &Measured<Vec<f64>>) -> Cell {
    match value {
        Measured::Is(cores) => Cell::Text(
            cores
                .iter()
                .map(|&u| number(u))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        Measured::Unavailable(why) => Cell::Missing(why.clone()),
    }
}
