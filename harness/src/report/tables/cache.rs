//! Tables of prefetching and of the staircase.

use super::super::cache::{levels, set, size};
use super::super::latency::{claim, mark_of};
use super::super::table::Kind::{Estimate, Number, Text};
use super::super::table::{Cell, Table};
use crate::run::{CacheStudy, Prefetch};

/// A product by working set and prefetch distance.
pub fn prefetch(study: &CacheStudy, p: &Prefetch) -> Table {
    let mut t = Table::new(
        "prefetch",
        format!(
            "Products of {} with one vector of {} activations, one thread, by working set and \
             software prefetch distance; ratios from the same rounds, to no software prefetch. \
             The hardware's own prefetching is on throughout. Caches: {}",
            p.kernel,
            p.cols,
            levels(study)
        ),
        &[
            ("set", "Working set", Text),
            ("bytes", "Bytes", Number),
            ("distance", "Distance", Text),
            ("gb_s", "GB/s", Estimate),
            ("speedup", "To off, ×", Estimate),
        ],
    );
    for s in &p.sets {
        for d in &s.distances {
            t.push(vec![
                Cell::Text(set(s)),
                Cell::Count(s.bytes),
                Cell::Text(d.name.clone()),
                Cell::estimate(&d.gb_s),
                Cell::estimate(&d.speedup),
            ]);
        }
    }
    t
}

/// What was claimed of prefetching.
pub fn prefetch_claim(p: &Prefetch) -> Table {
    let mut t = Table::new(
        "prefetch_claim",
        "The engine's own distance over none on the largest set; a distance picked afterwards as \
         the best would be luck in part",
        &[
            ("claim", "Claim", Text),
            ("gain", "Gain, ×", Estimate),
            ("verdict", "Verdict", Text),
        ],
    );
    let own = p.sets.last().and_then(|s| s.distances.last());
    t.push(vec![
        Cell::Text(p.claim.text.clone()),
        own.map_or_else(
            || Cell::Missing("no working set was timed".into()),
            |d| Cell::estimate(&d.speedup),
        ),
        Cell::Verdict(mark_of(&p.verdict), claim(&p.verdict)),
    ]);
    t
}

/// Bandwidth and latency by working set.
pub fn staircase(study: &CacheStudy) -> Table {
    let mut t = Table::new(
        "staircase",
        format!(
            "One thread by working set: bytes read a second, the faster of reading with software \
             prefetch and without; and a load that needs the one before, over cache lines in an \
             order without strides, page walks included. Caches: {}",
            levels(study)
        ),
        &[
            ("set", "Working set", Text),
            ("bytes", "Bytes", Number),
            ("read_gb_s", "Read, GB/s", Estimate),
            ("load_ns", "A load, ns", Estimate),
        ],
    );
    for s in &study.stairs {
        t.push(vec![
            Cell::Text(size(s.bytes)),
            Cell::Count(s.bytes),
            Cell::estimate(&s.read_gb_s),
            Cell::estimate(&s.load_ns),
        ]);
    }
    t
}
