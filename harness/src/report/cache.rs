//! What the caches of a machine come to, in words.

use super::finding::Mark;
use super::latency::{claim, mark_of};
use super::wording::{NBSP, number, or_why, sureness, times, unavailable};
use crate::run::{CacheStudy, Measured, Prefetch, PrefetchSet, Stair};

/// A working set in powers of two, as caches are sold: `16 KiB`.
pub fn size(bytes: u64) -> String {
    let (value, unit) = match bytes {
        b if b >= 1 << 30 => (b as f64 / f64::from(1 << 30), "GiB"),
        b if b >= 1 << 20 => (b as f64 / f64::from(1 << 20), "MiB"),
        b if b >= 1 << 10 => (b as f64 / f64::from(1 << 10), "KiB"),
        b => (b as f64, "B"),
    };
    let text = match value.fract() {
        0.0 => value.to_string(),
        _ => number(value),
    };
    format!("{text}{NBSP}{unit}")
}

/// `half of L1, 24.0 KiB`.
pub fn set(s: &PrefetchSet) -> String {
    format!("{}, {}", s.name, size(s.bytes))
}

/// The caches in a line: `L1 48 KiB, L2 2 MiB, L3 480 MiB (shared by 2)`.
pub fn levels(study: &CacheStudy) -> String {
    or_why(&study.levels, |levels| {
        let each = levels.iter().map(|c| {
            let shared = match c.shared_by {
                Measured::Is(n) if n > 1 => format!(" (shared by {n} that are seen)"),
                _ => String::new(),
            };
            format!("L{} {}{shared}", c.level, size(c.bytes))
        });
        each.collect::<Vec<_>>().join(", ")
    })
}

/// Caches in a line, with how it went: the claim about prefetching decides.
pub fn line(study: &CacheStudy) -> (Mark, String) {
    let (mark, first) = match &study.prefetch {
        Measured::Unavailable(why) => (Mark::Unknown, format!("prefetch {}", unavailable(why))),
        Measured::Is(p) => (mark_of(&p.verdict), prefetch(p)),
    };
    let end = |s: Option<&Stair>| {
        s.map_or_else(String::new, |s| {
            let read = or_why(&s.read_gb_s, |e| format!("{}{NBSP}GB/s", number(e.value)));
            let load = or_why(&s.load_ns, |e| format!("{}{NBSP}ns", number(e.value)));
            format!("; {}: {read}, {load} a load", size(s.bytes))
        })
    };
    let ends = format!("{}{}", end(study.stairs.first()), end(study.stairs.last()));
    (mark, format!("{first}{ends}"))
}

/// What the engine's own distance is worth on the largest set, and the claim.
pub fn prefetch(p: &Prefetch) -> String {
    let own = p
        .sets
        .last()
        .and_then(|s| Some((s, s.distances.last()?.speedup.get()?)));
    let worth = own.map_or_else(
        || "nothing was timed".to_owned(),
        |(s, e)| {
            format!(
                "{} with {} over {} ({})",
                times(e.value),
                p.kernel,
                size(s.bytes),
                sureness(e)
            )
        },
    );
    format!(
        "prefetch {worth}, claimed: {}: {}",
        p.claim.text,
        claim(&p.verdict)
    )
}
