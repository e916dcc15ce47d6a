//! Many verified cases, yardsticks among them, interleaved in one run.
//!
//! Every round runs all cases in random order and then back, so a ratio between any two comes
//! from times of the same round: a machine that is slow for a while is slow for both.

use super::interleave::{Entrant, Iterations, Progress, Run, Schedule, Stopped};
use super::pair::{Estimate, Stop};
use super::samples::Samples;
use super::stats::{MedianSequence, Rules};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// A finished run over many cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundRobin {
    /// Every slice.
    pub samples: Samples,
    /// Why the run ended: never [`Stopped::Verdict`].
    pub stopped: Stopped,
}

impl RoundRobin {
    /// Speedup of `after` over `before`, by positions in [`Samples::cases`]. The interval is the
    /// one for a number of rounds set beforehand when `stop` says so and the run was not cut
    /// short, else the one that is valid at any stopping time.
    pub fn estimate(&self, before: usize, after: usize, rules: &Rules, stop: Stop) -> Estimate {
        if stop == Stop::AfterBlocks && self.stopped == Stopped::MaxRounds {
            Estimate::fixed_blocks(&self.samples, before, after, rules)
        } else {
            Estimate::anytime(&self.samples, before, after, rules)
        }
    }

    /// Median rate of a case that does `work` each iteration, in work a second; `None` without
    /// rounds.
    pub fn rate(&self, case: usize, work: f64) -> Option<f64> {
        median(self.samples.rates(case, work))
    }

    /// Median time of one iteration of a case, in nanoseconds; `None` without rounds.
    pub fn ns_per_iteration(&self, case: usize) -> Option<f64> {
        median(self.samples.ns_per_iteration(case))
    }
}

fn median(values: Vec<f64>) -> Option<f64> {
    values.into_iter().collect::<MedianSequence>().median()
}

/// Times all entrants in interleaved rounds until the schedule ends.
pub fn run(
    entrants: &mut [Entrant<'_>],
    schedule: &Schedule,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> RoundRobin {
    let (samples, stopped) = Run {
        entrants,
        schedule,
        iterations: Iterations::Own,
        progress,
    }
    .run(&mut |_| (None, ControlFlow::Continue(())));
    RoundRobin { samples, stopped }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Failure, Timed, Tolerance, Verified};
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Duration;

    /// A machine whose speed changes by a factor of three from round to round.
    struct Simulated {
        ns_each: f64,
        slices: Rc<Cell<u32>>,
    }

    impl Timed for Simulated {
        fn iterate(&mut self, _: u64) {
            unreachable!("times itself");
        }

        fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
            self.slices.set(self.slices.get() + 1);
            let slow = f64::from(1 + self.slices.get() / 6 % 3);
            let ns = self.ns_each * iterations as f64 * slow;
            Ok(Duration::from_nanos(ns as u64))
        }
    }

    fn three() -> Vec<Verified<Simulated>> {
        let slices = Rc::new(Cell::new(0));
        let answer = Answer::Integers(vec![1]);
        [1e6, 5e5, 2e6]
            .map(|ns_each| Simulated {
                ns_each,
                slices: Rc::clone(&slices),
            })
            .into_iter()
            .map(|case| Verified::check(case, &answer, &answer, Tolerance::Exact).unwrap())
            .collect()
    }

    fn run_three(max_rounds: usize) -> RoundRobin {
        let mut cases = three();
        let mut entrants: Vec<Entrant<'_>> = cases
            .iter_mut()
            .zip(["one", "half", "two"])
            .map(|(case, name)| Entrant::new(name, case))
            .collect();
        let schedule = Schedule {
            seed: 3,
            max_rounds,
            ..Schedule::default()
        };
        run(&mut entrants, &schedule, &mut |_| ControlFlow::Continue(()))
    }

    #[test]
    fn any_two_cases_are_compared_within_rounds() {
        let run = run_three(20);
        let rules = Rules::default();
        for (before, after, speedup) in [(0, 1, 2.0), (2, 0, 2.0), (1, 2, 0.25)] {
            let estimate = run.estimate(before, after, &rules, Stop::AfterBlocks);
            let got = estimate.speedup.unwrap();
            assert!((got / speedup - 1.0).abs() < 1e-9, "{got} {speedup}");
        }
    }

    #[test]
    fn every_round_runs_each_case_twice_and_orders_vary() {
        let run = run_three(30);
        let orders: std::collections::BTreeSet<_> = run
            .samples
            .rounds()
            .iter()
            .map(|r| {
                assert_eq!(r.ns.len(), 6);
                r.order.clone()
            })
            .collect();
        assert_eq!(
            orders.len(),
            6,
            "all orders of three should occur in 30 rounds"
        );
    }

    #[test]
    fn rates_are_work_over_median_time() {
        let run = run_three(21);
        let ns = run.ns_per_iteration(1).unwrap();
        let rate = run.rate(1, 1000.0).unwrap();
        assert!((rate * ns / 1e12 - 1.0).abs() < 1e-9);
        assert_eq!(run.rate(7, 1.0), None);
    }

    #[test]
    fn no_cases_and_no_rounds_are_no_error_and_no_figures() {
        let none = run(
            &mut [],
            &Schedule {
                max_rounds: 3,
                ..Schedule::default()
            },
            &mut |_| ControlFlow::Continue(()),
        );
        assert_eq!(none.ns_per_iteration(0), None);
        assert_eq!(run_three(0).ns_per_iteration(0), None);
    }
}
