//! The staircase: read bandwidth and load latency of one thread, by working set.

use super::{Plan, most_bytes, race, rounds};
use crate::exit::Failure;
use crate::ladder::race::estimate;
use crate::measure::Entrant;
use crate::run::{Estimate, Measured, Stair};
use crate::yardsticks::{self, LOADS, ReadBuffer, ReadVariant};

/// The smallest working set: it fits any first-level cache.
const LEAST: u64 = 16 << 10;

/// Measures bandwidth over all sets in one interleaved run, then latency in another.
///
/// # Errors
/// When a yardstick fails while it runs.
pub fn measure(
    plan: &Plan<'_>,
    stage: &dyn Fn(&str, usize),
    step: &dyn Fn(),
) -> Result<Vec<Stair>, Failure> {
    let most = most_bytes(plan);
    let finer = if plan.quick { 2 } else { 1 };
    // The largest is always among them.
    let mut sizes: Vec<u64> = (0..)
        .map(|i| most >> (i * finer))
        .take_while(|&bytes| bytes >= LEAST)
        .collect();
    sizes.reverse();
    stage("cache: read bandwidth by working set", rounds(plan.quick));
    let read = bandwidth(plan, &sizes, step)?;
    stage("cache: load latency by working set", rounds(plan.quick));
    let load = latency(plan, &sizes, step)?;
    let stairs = sizes.into_iter().zip(read).zip(load);
    Ok(stairs
        .map(|((bytes, read_gb_s), load_ns)| Stair {
            bytes,
            read_gb_s,
            load_ns,
        })
        .collect())
}

fn bandwidth(
    plan: &Plan<'_>,
    sizes: &[u64],
    step: &dyn Fn(),
) -> Result<Vec<Measured<Estimate>>, Failure> {
    let variants = ReadVariant::widest();
    let mut cases = Vec::new();
    for &bytes in sizes {
        let set = ReadBuffer::working_set(bytes, plan.machine.usable.threads);
        for &variant in &variants {
            let case = set.clone();
            cases.push(case.and_then(|set| yardsticks::read_bandwidth(&set, 1, variant)));
        }
    }
    let mut giga = Vec::new();
    let mut entrants = Vec::new();
    for case in cases.iter_mut().flatten() {
        giga.push(case.case().giga_work_per_iteration());
        let name = format!("read {}", entrants.len());
        entrants.push(Entrant::new(name, case));
    }
    let samples = race(plan, &mut entrants, step)?;
    let mut timed = 0..;
    let mut rates = cases.iter().map(|case| match case {
        Ok(_) => {
            let at = timed.next().unwrap_or_default();
            let rate = estimate(&samples.rates(at, giga[at]));
            Measured::or(rate, "fewer than two rounds were run")
        }
        Err(unavailable) => Measured::unavailable(unavailable.why.clone()),
    });
    let value = |m: &Measured<Estimate>| m.get().map_or(0.0, |e| e.value);
    let best = |_: &u64| {
        let of_one = (0..variants.len()).filter_map(|_| rates.next());
        let best = of_one.max_by(|a, b| value(a).total_cmp(&value(b)));
        best.unwrap_or_else(|| Measured::unavailable("nothing can read here"))
    };
    Ok(sizes.iter().map(best).collect())
}

fn latency(
    plan: &Plan<'_>,
    sizes: &[u64],
    step: &dyn Fn(),
) -> Result<Vec<Measured<Estimate>>, Failure> {
    let mut cases: Vec<_> = sizes
        .iter()
        .map(|&bytes| yardsticks::load_latency(bytes))
        .collect();
    let mut entrants = Vec::new();
    for case in cases.iter_mut().flatten() {
        let name = format!("loads {}", entrants.len());
        entrants.push(Entrant::new(name, case));
    }
    let samples = race(plan, &mut entrants, step)?;
    let mut timed = 0..;
    let of = |case: &Result<_, yardsticks::Unavailable>| match case {
        Ok(_) => {
            let ns = samples.ns_per_iteration(timed.next().unwrap_or_default());
            let each: Vec<f64> = ns.iter().map(|ns| ns / LOADS as f64).collect();
            Measured::or(estimate(&each), "fewer than two rounds were run")
        }
        Err(unavailable) => Measured::unavailable(unavailable.why.clone()),
    };
    Ok(cases.iter().map(of).collect())
}
