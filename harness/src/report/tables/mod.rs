//! The tables of a run.

mod agreement;
mod answers;
mod cache;
mod costs;
mod ladder;
mod latency;
mod limits;
mod reported;
mod setup;

pub use agreement::{agreement, depth, likelihood, texts};
pub use answers::{checks, defects};
pub use cache::{prefetch, prefetch_claim, staircase};
pub use costs::costs;
pub use ladder::{claims, isolated, masking, rungs, samples_csv};
pub use latency::{
    cache_by_context, cache_gain, generation, latency, latency_parts, latency_samples_csv,
    latency_targets,
};
pub use limits::{products, profiles, prompts, scaling, targets, tokens, yardsticks};
pub use reported::reported;
pub use setup::{kernels, selection, skipped};

use super::table::{Cell, Table};
use super::wording::number;
use crate::run::{Agreement, Measured, Run};

/// Names of all tables that this build can write, that of the raw samples included.
pub const NAMES: [&str; 33] = [
    "claims",
    "reported",
    "steps",
    "isolated",
    "masking",
    "parts",
    "products",
    "prompts",
    "tokens",
    "targets",
    "yardsticks",
    "scaling",
    "latency",
    "latency_targets",
    "latency_parts",
    "generation",
    "cache_gain",
    "cache_by_context",
    "agreement",
    "texts",
    "likelihood",
    "depth",
    "prefetch",
    "prefetch_claim",
    "staircase",
    "counters",
    "checks",
    "defects",
    "kernels",
    "selection",
    "skipped",
    "samples",
    "latency_samples",
];

/// Every table of the run that has data, in the order of the page.
pub fn all(run: &Run) -> Vec<Table> {
    let ladder = run.ladder.as_ref();
    let tables = [
        ladder.clone().map(claims),
        Measured::Is(reported(run)),
        ladder.clone().map(|l| rungs(run, l)),
        ladder.clone().map(isolated),
        match run.ladder.get().map(|l| &l.masking) {
            Some(Measured::Is(m)) => Measured::Is(masking(m)),
            _ => Measured::unavailable(""),
        },
        run.profiles.as_ref().map(|p| profiles(p)),
        run.products.as_ref().map(|p| products(p)),
        run.prompts.as_ref().map(|p| prompts(p)),
        run.tokens.as_ref().map(|t| tokens(t)),
        run.targets.as_ref().map(|t| targets(t)),
        run.yardsticks.as_ref().map(yardsticks),
        run.scaling.as_ref().map(|s| scaling(s)),
        run.latency.as_ref().map(latency),
        run.latency.as_ref().map(latency_targets),
        run.latency.as_ref().map(latency_parts),
        run.generation.as_ref().map(generation),
        match run.generation.get().map(|g| (g, &g.gain)) {
            Some((g, Measured::Is(gain))) => Measured::Is(cache_gain(g, gain)),
            _ => Measured::unavailable(""),
        },
        run.generation.as_ref().map(cache_by_context),
        run.agreement.as_ref().map(agreement),
        run.agreement.as_ref().map(texts),
        within(run, |a| a.likelihood.as_ref().map(likelihood)),
        within(run, |a| a.depth.as_ref().map(|d| depth(d))),
        match run.cache.get().map(|c| (c, &c.prefetch)) {
            Some((c, Measured::Is(p))) => Measured::Is(prefetch(c, p)),
            _ => Measured::unavailable(""),
        },
        match run.cache.get().map(|c| &c.prefetch) {
            Some(Measured::Is(p)) => Measured::Is(prefetch_claim(p)),
            _ => Measured::unavailable(""),
        },
        run.cache.as_ref().map(staircase),
        run.counters.as_ref().map(costs),
        run.checks.as_ref().map(|c| checks(c, |_| true)),
        run.defects.as_ref().map(|d| defects(d)),
        run.kernels.as_ref().map(|k| kernels(k)),
        run.selection.as_ref().map(selection),
        run.totals.as_ref().map(skipped),
    ];
    tables.iter().filter_map(Measured::get).cloned().collect()
}

/// A table of a part of the agreement.
fn within(run: &Run, table: impl FnOnce(&Agreement) -> Measured<Table>) -> Measured<Table> {
    match &run.agreement {
        Measured::Is(agreement) => table(agreement),
        Measured::Unavailable(why) => Measured::unavailable(why),
    }
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
