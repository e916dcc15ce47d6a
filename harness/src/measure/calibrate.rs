//! How long a slice must be, and how many iterations that takes.

use super::timed::{Failure, Timed, slice};
use std::time::{Duration, Instant};

/// Largest share of a slice that reading the clock and switching cases may take.
pub const OVERHEAD_SHARE: f64 = 0.005;

struct Nothing;

impl Timed for Nothing {
    fn iterate(&mut self, iterations: u64) {
        std::hint::black_box(iterations);
    }
}

/// Cost of one slice that does nothing, in nanoseconds: two readings of the clock, the call
/// through the trait, the record. Median of batches, so that a preempted batch does not count.
pub fn slice_overhead_ns() -> f64 {
    const BATCH: u32 = 512;
    let case: &mut dyn Timed = &mut Nothing;
    let mut batches: Vec<f64> = (0..31)
        .map(|_| {
            let mut record = Vec::with_capacity(BATCH as usize);
            let start = Instant::now();
            for _ in 0..BATCH {
                record.push(slice(std::hint::black_box(&mut *case), 1).unwrap_or(0));
            }
            let cost = start.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH);
            std::hint::black_box(record);
            cost
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}

/// The shortest slice in which an overhead of so many nanoseconds is below [`OVERHEAD_SHARE`].
pub fn shortest_slice(overhead_ns: f64) -> Duration {
    Duration::from_secs_f64(overhead_ns / OVERHEAD_SHARE * 1e-9)
}

/// Fewest iterations whose time is at least `target`; 1 for a case that is slower than that.
///
/// Times are the least of three where a repetition is cheap, since a preempted trial would make
/// the slices too short.
///
/// # Errors
/// [`Failure`] of the case, or when more and more iterations take no more time.
pub fn iterations_for(case: &mut dyn Timed, target: Duration) -> Result<u64, Failure> {
    const MOST: u64 = 1 << 40;
    const CHEAP: Duration = Duration::from_millis(20);
    let target_ns = target.as_nanos() as f64;
    let mut iterations = 1_u64;
    loop {
        let mut best = case.time(iterations)?;
        for _ in 0..2 {
            if best < CHEAP {
                best = best.min(case.time(iterations)?);
            }
        }
        let ns = best.as_nanos() as f64;
        if ns >= target_ns {
            return Ok(iterations);
        }
        if iterations >= MOST {
            return Err(Failure::new(format!(
                "{iterations} iterations took {best:?}: the case does no work that can be timed"
            )));
        }
        // A short trial is a poor guide, so it may grow the next one by 16 at most.
        let growth = if ns > 0.0 {
            (1.05 * target_ns / ns).clamp(1.0, 16.0)
        } else {
            16.0
        };
        iterations = ((iterations as f64 * growth).ceil() as u64).clamp(iterations + 1, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case on a clock of its own: a fixed cost for each iteration.
    struct Simulated {
        ns_each: f64,
        calls: u32,
    }

    impl Timed for Simulated {
        fn iterate(&mut self, _: u64) {
            unreachable!("times itself");
        }

        fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
            self.calls += 1;
            let first_is_preempted = if self.calls == 1 { 1e6 } else { 0.0 };
            let ns = self.ns_each * iterations as f64 + first_is_preempted;
            Ok(Duration::from_nanos(ns as u64))
        }
    }

    fn iterations(ns_each: f64) -> Result<u64, Failure> {
        let mut case = Simulated { ns_each, calls: 0 };
        iterations_for(&mut case, Duration::from_micros(20))
    }

    #[test]
    fn slices_reach_the_target_and_are_not_much_longer() {
        for ns_each in [0.3, 1.0, 7.0, 150.0, 4000.0] {
            let slice = iterations(ns_each).unwrap() as f64 * ns_each;
            assert!((20_000.0..26_000.0).contains(&slice), "{ns_each}: {slice}");
        }
    }

    #[test]
    fn a_slow_case_is_timed_one_iteration_at_a_time() {
        assert_eq!(iterations(20_000.0), Ok(1));
        assert_eq!(iterations(2.5e9), Ok(1));
    }

    #[test]
    fn a_case_that_takes_no_time_is_refused() {
        let message = iterations(0.0).unwrap_err().message;
        assert!(message.contains("does no work"), "{message}");
    }

    #[test]
    fn the_overhead_of_this_machine_is_measured_and_its_share_kept() {
        let overhead = slice_overhead_ns();
        assert!(overhead > 0.0 && overhead < 1e5, "{overhead}");
        let slice = shortest_slice(overhead).as_secs_f64() * 1e9;
        assert!((overhead / slice - 0.005).abs() < 1e-4);
    }
}
