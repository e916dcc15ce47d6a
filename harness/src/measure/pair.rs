//! Two verified cases against each other: A B B A blocks until the verdict, or the budget.

use super::interleave::{Entrant, Iterations, Progress, Run, Schedule, Stopped};
use super::samples::Samples;
use super::stats::{
    Evidence, Interval, MedianSequence, Rules, Sequential, Verdict, fixed_blocks_interval,
    range_interval,
};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// When a comparison may stop by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At the first verdict: quickest, with the interval that allows it.
    AtVerdict,
    /// After the schedule's number of blocks and not before, for the narrower interval that is
    /// exact for a number set beforehand. For slow cases that can afford few blocks.
    AfterBlocks,
}

/// What kind of interval an estimate has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Confidence sequence: valid at any stopping time.
    Anytime,
    /// Order statistics of a number of blocks that was set beforehand.
    FixedBlocks {
        /// Exact probability that the interval holds the median. Below the level that was asked
        /// for when there were too few blocks for it: the interval is then the whole range.
        coverage: f64,
    },
}

/// What a run says about "after" against "before".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Time of before / time of after: the median over blocks. `None` without blocks.
    pub speedup: Option<f64>,
    /// Lower end of the interval; `None` when the blocks give no bound.
    pub low: Option<f64>,
    /// Upper end of the interval; `None` when the blocks give no bound.
    pub high: Option<f64>,
    /// The level that the interval was asked for.
    pub level: f64,
    /// How the interval was made.
    pub method: Method,
    /// The verdict, valid at any stopping time.
    pub verdict: Verdict,
    /// Strength of the evidence.
    pub evidence: Evidence,
    /// Blocks that count.
    pub blocks: u64,
    /// Wall time of these blocks.
    pub seconds: f64,
}

impl Estimate {
    /// The estimate for two cases of a run, by positions, with a confidence sequence: valid
    /// however the run came to stop.
    pub fn anytime(samples: &Samples, before: usize, after: usize, rules: &Rules) -> Self {
        Self::new(samples, before, after, rules, |ratios| {
            let sequence: MedianSequence = ratios.iter().copied().collect();
            (sequence.interval(rules.level()), Method::Anytime)
        })
    }

    /// The same with the interval for a number of blocks that was set beforehand. Only for runs
    /// that ended by [`Stopped::MaxRounds`]. With too few blocks for the level, the interval is
    /// the range of the blocks and its coverage says how little that is.
    pub fn fixed_blocks(samples: &Samples, before: usize, after: usize, rules: &Rules) -> Self {
        Self::new(
            samples,
            before,
            after,
            rules,
            |ratios| match fixed_blocks_interval(ratios, rules.level())
                .or_else(|| range_interval(ratios))
            {
                Some(fixed) => (
                    Interval {
                        low: Some(fixed.low),
                        high: Some(fixed.high),
                    },
                    Method::FixedBlocks {
                        coverage: fixed.coverage,
                    },
                ),
                None => (
                    Interval {
                        low: None,
                        high: None,
                    },
                    Method::Anytime,
                ),
            },
        )
    }

    fn new(
        samples: &Samples,
        before: usize,
        after: usize,
        rules: &Rules,
        interval: impl FnOnce(&[f64]) -> (Interval, Method),
    ) -> Self {
        let ratios = samples.log_ratios(before, after);
        let mut test = Sequential::new(rules);
        for &r in &ratios {
            test.push(r);
        }
        let (interval, method) = interval(&ratios);
        let median = ratios.iter().copied().collect::<MedianSequence>().median();
        Self {
            speedup: median.map(f64::exp),
            low: interval.low.map(f64::exp),
            high: interval.high.map(f64::exp),
            level: rules.level(),
            method,
            verdict: test.verdict(),
            evidence: test.evidence(),
            blocks: test.blocks(),
            seconds: samples.elapsed().as_secs_f64(),
        }
    }
}

/// A finished comparison: what it says, what it saw, and why it ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the samples say.
    pub estimate: Estimate,
    /// Every slice.
    pub samples: Samples,
    /// Why the run ended.
    pub stopped: Stopped,
}

/// Times `before` and `after` in interleaved blocks.
///
/// The order of each block is drawn from the schedule's seed, which the samples record. Where the
/// two need about the same iterations for a slice, both run the same number.
pub fn compare<'a>(
    before: Entrant<'a>,
    after: Entrant<'a>,
    rules: &Rules,
    schedule: &Schedule,
    stop: Stop,
    progress: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Comparison {
    let mut test = Sequential::new(rules);
    let mut after_round = |samples: &Samples| {
        let block = samples.rounds().last();
        let ratio = block.and_then(|round| samples.log_ratio(round, 0, 1));
        let verdict = test.push(ratio.unwrap_or(f64::NAN));
        let done = stop == Stop::AtVerdict && verdict != Verdict::Unclear;
        let flow = if done {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        };
        (Some(verdict), flow)
    };
    let (samples, stopped) = Run {
        entrants: &mut [before, after],
        schedule,
        iterations: Iterations::Matched,
        progress,
    }
    .run(&mut after_round);
    // A run that was cut short has a number of blocks that nobody set beforehand.
    let estimate = if stop == Stop::AfterBlocks && stopped == Stopped::MaxRounds {
        Estimate::fixed_blocks(&samples, 0, 1, rules)
    } else {
        Estimate::anytime(&samples, 0, 1, rules)
    };
    Comparison {
        estimate,
        samples,
        stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Failure, Stage, Timed, Tolerance, Verified};
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    /// Cases that share one simulated machine: a clock that drifts, and a log of who ran.
    #[derive(Clone)]
    struct Simulated {
        name: char,
        ns_each: f64,
        fails_at: Option<usize>,
        log: Rc<RefCell<Vec<(char, u64)>>>,
    }

    impl Timed for Simulated {
        fn iterate(&mut self, _: u64) {
            unreachable!("times itself");
        }

        fn time(&mut self, iterations: u64) -> Result<Duration, Failure> {
            let mut log = self.log.borrow_mut();
            log.push((self.name, iterations));
            if self.fails_at.is_some_and(|n| log.len() >= n) {
                return Err(Failure::new("the worker died"));
            }
            let slow = 1.0 + 0.001 * (log.len() % 50) as f64;
            Ok(Duration::from_nanos(
                (self.ns_each * iterations as f64 * slow) as u64,
            ))
        }
    }

    fn verified<C>(case: C) -> Verified<C> {
        let answer = Answer::Integers(vec![1]);
        Verified::check(case, &answer, &answer, Tolerance::Exact).unwrap()
    }

    fn cases(a_ns: f64, b_ns: f64) -> (Verified<Simulated>, Verified<Simulated>) {
        let log = Rc::new(RefCell::new(Vec::new()));
        let case = |name, ns_each| {
            verified(Simulated {
                name,
                ns_each,
                fails_at: None,
                log: Rc::clone(&log),
            })
        };
        (case('A', a_ns), case('B', b_ns))
    }

    fn schedule(max_rounds: usize) -> Schedule {
        Schedule {
            seed: 42,
            max_rounds,
            ..Schedule::default()
        }
    }

    fn compare_quietly(
        (mut a, mut b): (Verified<Simulated>, Verified<Simulated>),
        schedule: &Schedule,
        stop: Stop,
    ) -> Comparison {
        compare(
            Entrant::new("a", &mut a),
            Entrant::new("b", &mut b),
            &Rules::default(),
            schedule,
            stop,
            &mut |_| ControlFlow::Continue(()),
        )
    }

    #[test]
    fn speedup_is_before_over_after_and_the_verdict_is_about_after() {
        for (a, b, verdict, speedup) in [
            (100.0, 80.0, Verdict::Improved, 1.25),
            (80.0, 100.0, Verdict::Regressed, 0.8),
            (100.0, 99.5, Verdict::Unchanged, 1.005),
        ] {
            let run = compare_quietly(cases(a, b), &schedule(5000), Stop::AtVerdict);
            assert_eq!(run.estimate.verdict, verdict);
            assert_eq!(run.stopped, Stopped::Verdict);
            let got = run.estimate.speedup.unwrap();
            assert!((got / speedup - 1.0).abs() < 0.002, "{got} {speedup}");
            let (low, high) = (run.estimate.low.unwrap(), run.estimate.high.unwrap());
            assert!(low <= got && got <= high);
            assert!(run.estimate.blocks < 100);
        }
    }

    #[test]
    fn cases_of_very_different_speed_get_iterations_of_their_own() {
        let run = compare_quietly(cases(1e6, 100.0), &schedule(5000), Stop::AtVerdict);
        let counts: Vec<u64> = run.samples.cases().iter().map(|c| c.iterations).collect();
        assert!(counts[0] == 1 && counts[1] > 50, "{counts:?}");
        assert!((run.estimate.speedup.unwrap() / 1e4 - 1.0).abs() < 0.01);
    }

    #[test]
    fn blocks_are_abba_or_baab_at_random_and_the_seed_gives_them_again() {
        let orders = |seed| {
            let (a, b) = cases(100.0, 100.0);
            let log = Rc::clone(&a.case().log);
            let schedule = Schedule {
                seed,
                warmup_rounds: 0,
                ..schedule(64)
            };
            let run = compare_quietly((a, b), &schedule, Stop::AfterBlocks);
            assert_eq!(run.samples.seed(), seed);
            let ran: String = log.borrow().iter().map(|(name, _)| name).collect();
            let blocks = ran[ran.len() - 256..].to_owned();
            for (block, round) in blocks.as_bytes().chunks(4).zip(run.samples.rounds()) {
                let recorded: &[u8] = if round.order == [0, 1] {
                    b"ABBA"
                } else {
                    b"BAAB"
                };
                assert_eq!(block, recorded);
            }
            blocks
        };
        let first = orders(1);
        let abba = first.as_bytes().chunks(4).filter(|b| b == b"ABBA").count();
        assert!((16..=48).contains(&abba), "{abba} of 64");
        assert_eq!(first, orders(1));
        assert_ne!(first, orders(2));
    }

    #[test]
    fn similar_cases_run_the_same_iterations_in_every_slice() {
        let (a, b) = cases(100.0, 120.0);
        let log = Rc::clone(&a.case().log);
        let run = compare_quietly((a, b), &schedule(20), Stop::AfterBlocks);
        let counts: Vec<u64> = log.borrow().iter().rev().take(80).map(|e| e.1).collect();
        assert!(
            counts
                .iter()
                .all(|&n| n == run.samples.cases()[0].iterations)
        );
        assert_eq!(
            run.samples.cases()[0].iterations,
            run.samples.cases()[1].iterations
        );
    }

    #[test]
    fn warm_up_is_kept_apart_and_counts_for_nothing() {
        let run = compare_quietly(cases(100.0, 90.0), &schedule(10), Stop::AfterBlocks);
        assert_eq!(run.samples.warmup().len(), 2);
        assert_eq!((run.estimate.blocks, run.samples.rounds().len()), (10, 10));
    }

    #[test]
    fn blocks_set_beforehand_get_the_exact_interval_and_its_coverage() {
        let run = compare_quietly(cases(100.0, 80.0), &schedule(10), Stop::AfterBlocks);
        assert_eq!(run.stopped, Stopped::MaxRounds);
        let Method::FixedBlocks { coverage } = run.estimate.method else {
            panic!("{:?}", run.estimate.method);
        };
        assert!((coverage - 0.978_515_625).abs() < 1e-12);
        let few = compare_quietly(cases(100.0, 80.0), &schedule(5), Stop::AfterBlocks);
        assert_eq!(
            few.estimate.method,
            Method::FixedBlocks { coverage: 0.9375 }
        );
    }

    #[test]
    fn a_run_without_time_says_nothing_rather_than_something() {
        let schedule = Schedule {
            max_time: Duration::ZERO,
            ..schedule(100)
        };
        for stop in [Stop::AtVerdict, Stop::AfterBlocks] {
            let run = compare_quietly(cases(100.0, 80.0), &schedule, stop);
            assert_eq!(run.stopped, Stopped::MaxTime);
            assert_eq!(run.estimate.speedup, None);
            assert_eq!((run.estimate.low, run.estimate.high), (None, None));
            assert_eq!(run.estimate.verdict, Verdict::Unclear);
            assert_eq!(run.estimate.method, Method::Anytime);
        }
    }

    #[test]
    fn a_case_that_fails_is_named_and_what_was_measured_stays() {
        let (a, _) = cases(100.0, 80.0);
        let b = verified(Simulated {
            name: 'B',
            fails_at: Some(80),
            ..a.case().clone()
        });
        let run = compare_quietly((a, b), &schedule(1000), Stop::AfterBlocks);
        let Stopped::Failed { case, failure } = &run.stopped else {
            panic!("{:?}", run.stopped);
        };
        assert_eq!(
            (case.as_str(), failure.message.as_str()),
            ("b", "the worker died")
        );
        assert!(run.estimate.blocks > 5);
        assert_eq!(run.estimate.method, Method::Anytime);
    }

    #[test]
    fn the_caller_sees_each_stage_and_can_end_the_run() {
        let (mut a, mut b) = cases(100.0, 100.0);
        let mut stages = Vec::new();
        let run = compare(
            Entrant::new("a", &mut a),
            Entrant::new("b", &mut b),
            &Rules::default(),
            &schedule(1000),
            Stop::AfterBlocks,
            &mut |p| {
                stages.push(p.stage);
                if p.rounds == 3 {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            },
        );
        assert_eq!(run.stopped, Stopped::Cancelled);
        assert_eq!(run.estimate.blocks, 3);
        stages.dedup();
        let all = [
            Stage::Calibrating(0),
            Stage::Calibrating(1),
            Stage::WarmingUp,
            Stage::Measuring,
        ];
        assert_eq!(stages, all);
    }

    #[test]
    fn a_stored_comparison_is_estimated_again_from_its_samples() {
        let run = compare_quietly(cases(100.0, 80.0), &schedule(5000), Stop::AtVerdict);
        let text = serde_json::to_string(&run).unwrap();
        let read: Comparison = serde_json::from_str(&text).unwrap();
        assert_eq!(
            Estimate::anytime(&read.samples, 0, 1, &Rules::default()),
            run.estimate
        );
    }

    /// Real work on the real clock: twice the work takes twice the time, equal work is not called
    /// different.
    #[test]
    fn real_work_of_known_ratio_is_told_apart() {
        struct Xorshift(u64, u32);
        impl Timed for Xorshift {
            fn iterate(&mut self, iterations: u64) {
                for _ in 0..iterations {
                    for _ in 0..self.1 {
                        self.0 ^= self.0 << 13;
                        self.0 ^= self.0 >> 7;
                        self.0 ^= self.0 << 17;
                    }
                    self.0 = std::hint::black_box(self.0);
                }
            }
        }
        let run = |work_a, work_b| {
            compare(
                Entrant::new("a", &mut verified(Xorshift(1, work_a))),
                Entrant::new("b", &mut verified(Xorshift(1, work_b))),
                &Rules::default(),
                &Schedule::default(),
                Stop::AtVerdict,
                &mut |_| ControlFlow::Continue(()),
            )
        };
        let twice = run(2000, 1000);
        assert_eq!(twice.estimate.verdict, Verdict::Improved);
        assert!((twice.estimate.speedup.unwrap() - 2.0).abs() < 0.2);
        let same = run(1000, 1000).estimate.verdict;
        assert!(!matches!(same, Verdict::Improved | Verdict::Regressed));
    }
}
