//! Decoding under hardware counters.

use std::time::Instant;

use crate::counters::{self, Counts, Event};
use crate::decoder::cases::Case;
use crate::decoder::clock::WatchedDecode;
use crate::decoder::plan::Plan;
use crate::exit::Failure;
use crate::measure::{Entrant, Timed};
use crate::run::{Costs, Measured, PartCosts};

/// What is counted.
pub const EVENTS: [Event; 8] = [
    Event::Cycles,
    Event::Instructions,
    Event::Branches,
    Event::BranchMisses,
    Event::L1Loads,
    Event::L1LoadMisses,
    Event::CacheReferences,
    Event::CacheMisses,
];

/// Tokens that are counted.
const TOKENS: u64 = 16;

/// Counts whole tokens, all threads of the process.
///
/// # Errors
/// When a kernel answers wrongly, threads can't be had, or decoding fails.
pub fn count(plan: &Plan<'_>) -> Result<Measured<Costs>, Failure> {
    let team = plan.team()?;
    let decode = WatchedDecode::new(plan.model, &*team.scheduler)?;
    let mut case = team.right.verify(Case(decode))?;
    let mut entrant = Entrant::new("decode", &mut case);
    // Counters see threads that are there when they are opened, so the pool comes first.
    let mut open = match counters::open_events(&EVENTS) {
        Ok(open) => open,
        Err(no) => return Ok(Measured::unavailable(no.why)),
    };
    let begin = Instant::now();
    let (outcome, counts) = open.measure(|| entrant.time(TOKENS));
    let seconds = begin.elapsed().as_secs_f64();
    outcome.map_err(|failure| Failure::could_not_run(failure.to_string()))?;
    let bytes = plan.model.layers().iter().flat_map(|layer| {
        let groups = bitgauge_engine::model::Group::ALL.into_iter();
        groups.map(move |group| layer.projection(group).matrix().bytes())
    });
    let bytes = bytes.sum::<usize>() + plan.model.head_bytes();
    let summary = plan.summary();
    let cut = summary.cut().map_or_else(String::new, |c| format!(", {c}"));
    Ok(Measured::Is(Costs {
        source: "hardware counters, user space, all threads; what one part of a token costs is not told apart".into(),
        on: format!(
            "{}{cut}, {}, {} threads",
            summary.name, summary.kernel, summary.threads
        ),
        tokens: TOKENS,
        parts: vec![part(
            "whole token, all logits",
            &counts,
            Measured::Is(bytes as f64 * TOKENS as f64 * 1e-9 / seconds),
        )],
    }))
}

fn part(name: &str, counts: &Counts, gb_s: Measured<f64>) -> PartCosts {
    let hits = |of, missed| share(counts, missed, of).map(|missed| 100.0 - missed);
    PartCosts {
        part: name.into(),
        instructions: counts
            .of(Event::Instructions)
            .map(|c| c.value as f64 / TOKENS as f64),
        cpi: counts.cycles_per_instruction(),
        branch_miss_percent: share(counts, Event::BranchMisses, Event::Branches),
        l1_hit_percent: hits(Event::L1Loads, Event::L1LoadMisses),
        l2_hit_percent: Measured::unavailable(
            "the kernel has no event of the second-level cache that all processors share",
        ),
        llc_hit_percent: hits(Event::CacheReferences, Event::CacheMisses),
        gb_s,
    }
}

/// `some` as per cent of `all`.
fn share(counts: &Counts, some: Event, all: Event) -> Measured<f64> {
    match (counts.of(some), counts.of(all)) {
        (Measured::Unavailable(why), _) | (_, Measured::Unavailable(why)) => {
            Measured::Unavailable(why)
        }
        (Measured::Is(_), Measured::Is(all)) if all.value == 0 => {
            Measured::unavailable("none were counted")
        }
        // Each is scaled by itself where they shared a register, and so may exceed the other.
        (Measured::Is(some), Measured::Is(all)) if some.value > all.value => {
            Measured::unavailable("more misses than accesses: each was counted part of the time")
        }
        (Measured::Is(some), Measured::Is(all)) => {
            Measured::Is(100.0 * some.value as f64 / all.value as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{Count, Counted};

    fn counts(of: &[(Event, u64)]) -> Counts {
        let counted = of.iter().map(|&(event, value)| Counted {
            event,
            count: Measured::Is(Count {
                value,
                counted_share: 1.0,
            }),
        });
        Counts(counted.collect())
    }

    #[test]
    fn rates_from_recorded_counts() {
        let counts = counts(&[
            (Event::Cycles, 3200),
            (Event::Instructions, 6400),
            (Event::Branches, 1000),
            (Event::BranchMisses, 5),
            (Event::L1Loads, 2000),
            (Event::L1LoadMisses, 500),
            (Event::CacheReferences, 40),
            (Event::CacheMisses, 10),
        ]);
        let found = part("token", &counts, Measured::Is(9.0));
        assert_eq!(found.cpi, Measured::Is(0.5));
        assert_eq!(found.instructions, Measured::Is(400.0));
        assert_eq!(found.branch_miss_percent, Measured::Is(0.5));
        assert_eq!(found.l1_hit_percent, Measured::Is(75.0));
        assert_eq!(found.llc_hit_percent, Measured::Is(75.0));
        assert!(found.l2_hit_percent.why().is_some());
    }

    #[test]
    fn what_was_not_counted_is_never_zero() {
        let none = part("token", &counts(&[]), Measured::unavailable("no clock"));
        for rate in [
            &none.cpi,
            &none.instructions,
            &none.branch_miss_percent,
            &none.l1_hit_percent,
            &none.llc_hit_percent,
        ] {
            assert!(rate.why().is_some(), "{rate:?}");
        }
        let odd = counts(&[(Event::Branches, 0), (Event::BranchMisses, 0)]);
        assert!(
            share(&odd, Event::BranchMisses, Event::Branches)
                .why()
                .is_some()
        );
        let odd = counts(&[(Event::Branches, 3), (Event::BranchMisses, 4)]);
        assert!(
            share(&odd, Event::BranchMisses, Event::Branches)
                .why()
                .is_some()
        );
    }
}
