//! One kernel with several prefetch distances over working sets of every level.

use std::num::NonZeroUsize;

use bitgauge_engine::prefetch::{Distance, KERNELS};

use super::sets::{Walk, WorkingSet, sizes};
use super::{Plan, most_bytes, race, rounds};
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::ladder::verdict::above;
use crate::measure::Entrant;
use crate::run::{CacheLevel, Claim, Measured, Prefetch, PrefetchDistance, PrefetchSet, Verdict};

/// Bytes ahead, between none and the engine's own distance.
const BYTES: [usize; 5] = [256, 1 << 10, 4 << 10, 8 << 10, 16 << 10];

/// As stated by those who tuned one.
fn claim() -> Claim {
    Claim {
        text: "prefetch distance alone is worth more than 1.5x".into(),
        low: 1.5,
        high: 1.5,
        error_below: None,
    }
}

/// None first, the engine's own last.
fn distances() -> Vec<(String, Distance)> {
    let between = BYTES
        .into_iter()
        .filter_map(NonZeroUsize::new)
        .map(|bytes| {
            let name = match bytes.get() {
                n if n < 1 << 10 => format!("{n} B"),
                n => format!("{} KiB", n >> 10),
            };
            (name, Distance::Bytes(bytes))
        });
    let off = ("off".to_owned(), Distance::Off);
    let own = ("own".to_owned(), Distance::default());
    [off].into_iter().chain(between).chain([own]).collect()
}

/// Races all distances on all sets.
///
/// # Errors
/// When a product is wrong.
pub fn measure(
    plan: &Plan<'_>,
    levels: &[CacheLevel],
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Measured<Prefetch>, Failure> {
    let kernel = plan.kernel.spec().name();
    if !KERNELS.contains(&kernel) {
        return Ok(Measured::unavailable(format!(
            "{kernel} does not take its prefetch distance from outside; {} do",
            KERNELS.join(", ")
        )));
    }
    let sizes = sizes(levels, most_bytes(plan));
    stage("cache: packing working sets", 0);
    let mut sets = Vec::new();
    for size in &sizes {
        sets.push(WorkingSet::new(
            plan.kernel,
            plan.cols,
            size.bytes,
            plan.seed,
        )?);
    }
    let distances = distances();
    let mut cases = Vec::new();
    for set in &sets {
        for (_, distance) in &distances {
            cases.push(Walk::verified(set, *distance)?);
        }
    }
    stage("cache: prefetch distances, interleaved", rounds(plan.quick));
    let names = sizes.iter().flat_map(|s| {
        let name = move |(d, _): &(String, Distance)| format!("{}, {d}", s.name);
        distances.iter().map(name)
    });
    let mut entrants: Vec<Entrant<'_>> = names
        .zip(&mut cases)
        .map(|(name, case)| Entrant::new(name, case))
        .collect();
    let samples = race(plan, &mut entrants, step)?;

    let none = "fewer than two rounds were run";
    let mut found = Vec::new();
    for (i, (size, set)) in sizes.iter().zip(&sets).enumerate() {
        let off = i * distances.len();
        let base = samples.ns_per_iteration(off);
        let distance = |(d, (name, _)): (usize, &(String, Distance))| {
            let ns = samples.ns_per_iteration(off + d);
            let gb_s: Vec<f64> = ns.iter().map(|ns| set.matrix_bytes() as f64 / ns).collect();
            let ratios: Vec<f64> = base.iter().zip(&ns).map(|(off, on)| off / on).collect();
            PrefetchDistance {
                name: name.clone(),
                gb_s: Measured::or(estimate(&gb_s), none),
                speedup: Measured::or(estimate(&ratios), none),
            }
        };
        found.push(PrefetchSet {
            name: size.name.clone(),
            bytes: set.matrix_bytes() * set.matrices() as u64,
            matrices: set.matrices(),
            distances: distances.iter().enumerate().map(distance).collect(),
        });
    }
    let claim = claim();
    Ok(Measured::Is(Prefetch {
        kernel: kernel.into(),
        cols: plan.cols,
        verdict: verdict(&claim, &found, levels),
        claim,
        sets: found,
    }))
}

/// Holds the claim against the engine's own distance on the largest set, which is what it was
/// tuned for: the best of all, picked afterwards, would be luck in part.
fn verdict(claim: &Claim, sets: &[PrefetchSet], levels: &[CacheLevel]) -> Verdict {
    let own = sets.last().and_then(|set| {
        let speedup = set.distances.last()?.speedup.get().copied()?;
        Some((set.bytes, speedup))
    });
    let Some((bytes, speedup)) = own else {
        return Verdict::NotMeasurable {
            why: "no working set was timed".into(),
        };
    };
    let cached = levels.last().is_none_or(|last| bytes <= last.bytes);
    if cached {
        let why = "the largest set of this run may lie in the last-level cache";
        return Verdict::NotMeasurable { why: why.into() };
    }
    above(claim, &speedup, " from memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Estimate;

    fn set(bytes: u64, low: f64, high: f64) -> PrefetchSet {
        let speedup = Estimate {
            value: 0.5 * (low + high),
            low,
            high,
            level: 0.95,
            blocks: 20,
        };
        PrefetchSet {
            name: "made up".into(),
            bytes,
            matrices: 1,
            distances: vec![PrefetchDistance {
                name: "own".into(),
                gb_s: Measured::unavailable("made up"),
                speedup: Measured::Is(speedup),
            }],
        }
    }

    fn of(bytes: u64, low: f64, high: f64) -> Verdict {
        let last = CacheLevel {
            level: 3,
            bytes: 1000,
            shared_by: Measured::Is(2),
        };
        let sets = [set(10, 9.0, 9.1), set(bytes, low, high)];
        verdict(&claim(), &sets, &[last])
    }

    #[test]
    fn the_largest_set_decides_with_its_whole_interval() {
        assert_eq!(of(1001, 1.51, 1.9), Verdict::Confirmed);
        assert!(matches!(of(1001, 1.1, 1.5), Verdict::Refuted { .. }));
        assert!(matches!(of(1001, 1.4, 1.6), Verdict::NotMeasurable { .. }));
    }

    #[test]
    fn a_set_that_a_cache_may_hold_says_nothing_about_memory() {
        assert!(matches!(of(1000, 1.6, 1.9), Verdict::NotMeasurable { .. }));
    }

    #[test]
    fn the_first_distance_is_none_and_the_last_the_engines_own() {
        let distances = distances();
        assert_eq!(distances[0], ("off".into(), Distance::Off));
        assert_eq!(distances[1].0, "256 B");
        assert_eq!(distances.last().unwrap().1, Distance::default());
    }
}
